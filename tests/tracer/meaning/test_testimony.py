"""What a checkpoint says of its own rope_theta, and of the head beside its embedding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from tracer.checkpoint.folder import open_checkpoint
from tracer.meaning import Meant, examine_meaning
from tracer.meaning.rope_theta import _base, _rounded
from tracer.repair.changes import Drop, SetField

LLAMA = Path(__file__).parents[2] / "data" / "trained" / "llama-3"
DIM = 24


def frequencies(base: float, dim: int = DIM) -> NDArray[Any]:
    """As Transformers computes them."""
    return np.asarray(1.0 / (base ** (np.arange(0, dim, 2, dtype=np.float64) / dim)))


def ended(folder: Path, name: str) -> Meant:
    checkpoint = open_checkpoint(folder)
    return next(each for each in examine_meaning(checkpoint, checkpoint.config) if each.check.name == name)


def witnessed(into: Path, values: NDArray[Any], **fields: Any) -> Path:
    """A copy with the buffers, and with fields of config.json in place of `rope_parameters`."""
    into.mkdir(exist_ok=True)
    buffers = {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": values for layer in range(4)}
    save_file(load_file(LLAMA / "model.safetensors") | buffers, into / "model.safetensors")
    config = json.loads((LLAMA / "config.json").read_text())
    if fields:
        config = {key: value for key, value in config.items() if key != "rope_parameters"} | fields
    (into / "config.json").write_text(json.dumps(config))
    return into


@settings(max_examples=60, deadline=None)
@given(st.floats(100, 1e9), st.integers(4, 128), st.sampled_from(["f8", "f4", ml_dtypes.bfloat16]))
def test_the_base_of_frequencies_is_found_whatever_they_are_stored_as(base: float, half: int, dtype: Any) -> None:
    found = _base(frequencies(base, 2 * half).astype(dtype).astype(np.float64))
    assert found is not None
    # The logarithms of bfloat16 are off by 2 ** -9 at most, and the last but one says the base.
    assert found == pytest.approx(base, rel=0.02 if dtype is ml_dtypes.bfloat16 else 1e-3)


@pytest.mark.parametrize("base", [10_000.0, 500_000.0, 1_000_000.0, 5e6])
def test_a_round_base_is_said_as_people_write_it(base: float) -> None:
    found = _base(frequencies(base).astype(ml_dtypes.bfloat16).astype(np.float64))
    assert found is not None
    assert _rounded(found) == base


def test_buffers_that_agree_are_told(tmp_path: Path) -> None:
    found = ended(witnessed(tmp_path / "m", frequencies(10_000.0).astype("f4")), "rope-theta")
    assert found.check.state == "ok"
    assert "10,000" in found.check.told


@pytest.mark.parametrize("field", ["rope_theta", "rope_parameters.rope_theta"])
def test_buffers_of_another_base_are_a_conflict_with_the_field_that_says_it(field: str, tmp_path: Path) -> None:
    said = {"rope_theta": 10_000.0} if field == "rope_theta" else {"rope_parameters": {"rope_theta": 10_000.0}}
    found = ended(witnessed(tmp_path / "m", frequencies(1e6).astype("f4"), **said), "rope-theta")
    (finding,) = found.check.findings
    assert (finding.code, finding.severity, finding.subject) == ("config.conflict", "error", field)
    assert "1,000,000" in finding.message
    assert "10,000" in finding.message
    assert found.changes == (SetField(field, 1_000_000),)


def test_buffers_of_the_usual_base_may_be_older_than_an_edited_config(tmp_path: Path) -> None:
    found = ended(witnessed(tmp_path / "m", frequencies(1e4).astype("f4"), rope_theta=1e6), "rope-theta")
    assert [finding.severity for finding in found.check.findings] == ["warning"]


@pytest.mark.parametrize("factor", [1.0, 4.0])
def test_linear_scaling_may_be_in_the_buffers_or_not(factor: float, tmp_path: Path) -> None:
    scaling = {"rope_type": "linear", "factor": 4.0}
    values = (frequencies(1e4) / factor).astype("f4")
    folder = witnessed(tmp_path / "m", values, rope_theta=1e4, rope_scaling=scaling)
    assert ended(folder, "rope-theta").check.state == "ok"


def test_frequencies_that_are_on_no_line_are_not_judged(tmp_path: Path) -> None:
    """As Llama 3.1's, which are scaled by wavelength."""
    values = frequencies(5e5)
    values[6:] /= 8
    found = ended(witnessed(tmp_path / "m", values.astype("f4"), rope_theta=5e5), "rope-theta")
    assert not found.check.findings
    assert "no line" in found.check.unchecked


# --- the head ---


def headed(into: Path, head: NDArray[Any], tied: bool = True) -> Path:
    into.mkdir(exist_ok=True)
    save_file(load_file(LLAMA / "model.safetensors") | {"lm_head.weight": head}, into / "model.safetensors")
    config = json.loads((LLAMA / "config.json").read_text()) | {"tie_word_embeddings": tied}
    (into / "config.json").write_text(json.dumps(config))
    return into


def test_of_a_tied_head_it_is_told_what_dropping_it_costs(tmp_path: Path) -> None:
    table = load_file(LLAMA / "model.safetensors")["model.embed_tokens.weight"]
    own = load_file(LLAMA / "model.safetensors")["lm_head.weight"]
    draws = np.random.default_rng(3)
    same = ended(headed(tmp_path / "same", table), "tied-head")
    rounded = ended(
        headed(tmp_path / "rounded", table.astype("f4").astype(ml_dtypes.float8_e4m3fn).astype("f4")), "tied-head"
    )
    drawn = ended(headed(tmp_path / "drawn", draws.normal(0, 0.02, table.shape).astype(table.dtype)), "tied-head")
    trained = ended(headed(tmp_path / "trained", own), "tied-head")
    assert same.check.state == "ok"
    assert [f.code for f in rounded.check.findings] == ["value.tie-mismatch"]
    assert [f.code for f in drawn.check.findings] == ["value.tie-mismatch"]
    assert all(isinstance(each.changes[0], Drop) for each in (rounded, drawn))
    assert [(f.code, f.severity) for f in trained.check.findings] == [("tie.conflict", "error")]
    assert trained.changes == (SetField("tie_word_embeddings", False),)


def test_a_few_rows_of_new_tokens_are_seen_among_all(tmp_path: Path) -> None:
    head = load_file(LLAMA / "model.safetensors")["model.embed_tokens.weight"].copy()
    head[-2:] *= -1
    found = ended(headed(tmp_path / "m", head), "tied-head")
    assert [f.severity for f in found.check.findings] == ["warning"]
    assert "in 2 rows" in found.check.findings[0].message
    assert not found.changes


def test_of_two_heads_neither_is_called_absent(tmp_path: Path) -> None:
    model = load_file(LLAMA / "model.safetensors")
    folder = headed(tmp_path / "m", model["lm_head.weight"])
    both = load_file(folder / "model.safetensors") | {"output.weight": model["lm_head.weight"]}
    save_file(both, folder / "model.safetensors")
    assert "which of several is the head" in ended(folder, "tied-head").check.unchecked


def test_a_head_that_is_not_tied_is_nobodys_business(tmp_path: Path) -> None:
    own = load_file(LLAMA / "model.safetensors")["lm_head.weight"]
    assert ended(headed(tmp_path / "m", own, tied=False), "tied-head").check.state == "ok"
