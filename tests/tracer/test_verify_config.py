"""`--reference transformers=DIR` where DIR's config computes something else: the fields lead, and no sound tensor is
blamed for what they do.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.checkpoints import FAMILIES, config_of
from tests.threads import one_thread
from tests.tracer.checkpoint.gguf.conversion import convert
from tests.tracer.families import Checkpoint, checkpoint
from tests.verifying import (
    HEADS_ALIKE,
    LAYER,
    Case,
    Tensors,
    alone,
    altered,
    exchanging_rows,
    only,
    turned,
    with_config,
)
from tracer.cli import trace_load
from tracer.execute.verify.configs import IDLE, differing
from tracer.execute.verify.reference import spelled_out
from tracer.execute.verify.twins import Compared, difference
from tracer.prepare import Request, prepare

__all__ = ["checkpoint", "one_thread"]
THETA = {"rope_type": "default", "rope_theta": 50.0}


# --- the report ---


@pytest.mark.parametrize(("field", "value", "told"), [
    ("rope_parameters", THETA, "rope_parameters.rope_theta is 10000.0 here and 50.0 there"),
    ("rms_norm_eps", 0.01, "rms_norm_eps is 1e-06 here and 0.01 there"),
    ("sliding_window", 4, "sliding_window is null here and 4 there"),
    ("hidden_act", "gelu", 'hidden_act is "silu" here and "gelu" there'),
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_field_that_computes_something_else_leads_and_its_tensors_are_said_to_be_equal(
    field: str, value: Any, told: str, dtype: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:  # fmt: skip
    sound = with_config(checkpoint(HEADS_ALIKE), tmp_path / "sound", **{field: value})
    verdict = alone(Case(checkpoint(HEADS_ALIKE), options={"dtype": dtype}), tmp_path, sound)[1]
    conflict, departs = verdict.findings
    assert (verdict.state, conflict.code, conflict.severity) == ("failed", "config.conflict", "error")
    assert conflict.subject == told.partition(" is ")[0]
    assert conflict.message == f"config.json computes something else than that of {sound}: {told}"
    assert conflict.fix == f"if that of {sound} is right: --hf-config-path {sound}"
    assert (departs.code, departs.evidence["layer"], departs.fix) == ("verify.reference-differs", 0, None)
    assert departs.message.endswith(f"; the same tensors in {sound}: equal bytes, so the config is to blame")
    assert set(departs.evidence["tensors"].values()) == {"equal bytes"}
    assert list(conflict.evidence) == [conflict.subject]


def test_the_fix_that_is_named_is_one(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    sound = with_config(checkpoint("llama"), tmp_path / "sound", rope_parameters=THETA)
    command = [str(checkpoint("llama")), "--device", "cpu", "--reference", f"transformers={sound}"]
    assert trace_load(command) == 1
    printed = capsys.readouterr().out
    first, second = (printed.index(code) for code in ("ERROR  config.conflict", "ERROR  verify.reference-differs"))
    assert first < second
    assert f"fix: if that of {sound} is right: --hf-config-path {sound}\n" in printed
    case = Case(checkpoint("llama"), options={"config_path": str(sound)})
    found = alone(case, tmp_path, sound)[1]
    assert (found.state, found.findings) == ("ok", ())


def test_a_tensor_that_is_wrong_beside_the_config_is_told_from_the_sound_ones(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:  # fmt: skip
    name = "model.layers.0.self_attn.v_proj.weight"
    sound = with_config(checkpoint(HEADS_ALIKE), tmp_path / "sound", sliding_window=4)
    folder = altered(checkpoint(HEADS_ALIKE), tmp_path / "model", one_more(name, (3, 5)))
    conflict, departs = alone(Case(folder), tmp_path, sound)[1].findings
    assert conflict.code == "config.conflict"
    assert f"; {name} is not that of {sound}: 1 of 1,024 elements differ, first [3, 5]: " in departs.message
    assert departs.message.count(" is not that of ") == 1
    tensors = departs.evidence["tensors"]
    assert {other: told for other, told in tensors.items() if other != name}.keys() == {
        name.replace("v_proj", other) for other in ("q_proj", "k_proj")
    }
    assert all((told == "equal bytes") == (other != name) for other, told in tensors.items())
    assert departs.fix == "look at what fills them: --param 'model.layers.0.self_attn.qkv_proj.weight'"


def one_more(name: str, at: tuple[int, ...]) -> Callable[[Tensors], object]:
    def change(tensors: Tensors) -> None:
        tensors[name][at] += 1.0

    return change


def test_a_wrong_tensor_under_one_config_is_compared_too(checkpoint: Checkpoint, tmp_path: Path) -> None:
    sound = checkpoint("llama")
    folder = altered(sound, tmp_path / "model", turned(f"{LAYER}o_proj.weight"))
    finding = only(alone(Case(folder), tmp_path, sound))
    wrong = f"; {LAYER}o_proj.weight is not that of {sound}: 1,024 of 1,024 elements differ, first [0, 0]: "
    assert wrong in finding.message
    assert "config" not in finding.message


def test_sound_tensors_that_are_loaded_to_the_wrong_rows_are_not_blamed(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:  # fmt: skip
    sound = checkpoint(HEADS_ALIKE)
    folder = altered(sound, tmp_path / "model", lambda tensors: None)
    finding = only(alone(Case(folder, options={"mapping": exchanging_rows(tmp_path)}), tmp_path, sound))
    assert "equal bytes, so how they were loaded or computed with is to blame" in finding.message


def test_where_the_ids_do_not_show_it_a_field_that_differs_is_a_warning(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """A window that is longer than the prompt."""
    sound = with_config(checkpoint(HEADS_ALIKE), tmp_path / "sound", sliding_window=40)
    verdict = alone(Case(checkpoint(HEADS_ALIKE)), tmp_path, sound)[1]
    (finding,) = verdict.findings
    assert (verdict.state, finding.code, finding.severity) == ("ok", "config.conflict", "warning")
    assert finding.message.endswith(": sliding_window is null here and 40 there (these ids do not show it)")


def test_where_nothing_can_be_compared_the_fields_say_why(checkpoint: Checkpoint, tmp_path: Path) -> None:
    sound = with_config(checkpoint(HEADS_ALIKE), tmp_path / "sound", num_attention_heads=8)
    verdict = alone(Case(checkpoint(HEADS_ALIKE)), tmp_path, sound)[1]
    (finding,) = verdict.findings
    assert (verdict.state, finding.severity) == ("not-checked", "warning")
    assert "num_attention_heads is 4 here and 8 there" in finding.message


def test_a_gguf_file_of_a_folder_has_its_config(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """It keeps numbers in float32, leaves defaults out, and names its tensors otherwise."""
    sound, changed = checkpoint("llama"), turned(f"{LAYER}o_proj.weight")
    assert alone(Case(convert(sound, tmp_path / "a.gguf")), tmp_path, sound)[1].findings == ()
    folder = altered(sound, tmp_path / "model", changed)
    finding = only(alone(Case(convert(folder, tmp_path / "b.gguf")), tmp_path, sound))
    assert finding.message.endswith(f"; {sound} has no tensors of these names to compare them with")


def test_a_converted_folder_differs_by_its_rounding(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """... which is no fault of the tensors, and none at all in the type that it was rounded to."""
    sound = checkpoint("llama")
    folder = altered(sound, tmp_path / "model", narrowed)
    finding = only(alone(Case(folder, options={"dtype": "float32"}), tmp_path, sound))
    assert finding.message.endswith("bfloat16 here and float32 there, equal once rounded, so the rounding is to blame")
    assert finding.fix == "--dtype bfloat16 rounds the reference as well"
    assert alone(Case(folder, options={"dtype": "bfloat16"}), tmp_path, sound)[1].state == "ok"


def narrowed(tensors: Tensors) -> None:
    tensors.update({name: tensor.bfloat16() for name, tensor in tensors.items()})


# --- which fields count ---


@pytest.mark.parametrize("family", FAMILIES)
def test_fields_that_are_absent_or_idle_are_no_difference(family: str, tmp_path: Path) -> None:
    """A folder's own config against the one that Transformers makes of it, with what computes nothing changed."""
    plain = config_of(family)
    idle: dict[str, Any] = {
        "_name_or_path": "elsewhere", "transformers_version": "4.0.0", "torch_dtype": "float16", "use_cache": False,
        "attention_dropout": 0.5, "initializer_range": 0.5, "bos_token_id": 7, "a_note": {"of": "ours"},
    }  # fmt: skip
    full = dict(spelled_out(prepare(Request(str(folder_of(plain, tmp_path / "plain")), load_format="dummy"))))
    full.pop("architecture")
    ours, theirs = (
        spelled_out(prepare(Request(str(folder_of(config, tmp_path / name)), load_format="dummy")))
        for name, config in {"a": plain, "b": {**full, "architectures": plain["architectures"], **idle}}.items()
    )
    assert differing(ours, theirs) == []
    assert not IDLE & {"head_dim", "tie_word_embeddings", "num_key_value_heads", "partial_rotary_factor", "hidden_act"}


def folder_of(config: dict[str, Any], folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return folder


WIDE = {"hidden_size": 64, "num_attention_heads": 4}


def names(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    return [field.name for field in differing(ours, theirs)]


def test_nested_configs_are_compared_field_by_field() -> None:
    ours = {"text_config": {"rms_norm_eps": 1e-6, "use_cache": True, "rope_parameters": {"rope_theta": 1e4}}}
    theirs = {"text_config": {"rms_norm_eps": 1e-5, "use_cache": False, "rope_parameters": {"rope_theta": 1e6}}}
    assert names(ours, theirs) == ["text_config.rms_norm_eps", "text_config.rope_parameters.rope_theta"]
    assert names(ours, ours) == []


@pytest.mark.parametrize(("ours", "theirs", "expected"), [
    (WIDE | {"head_dim": None}, WIDE | {"head_dim": 16}, []),
    (WIDE | {"head_dim": None}, WIDE | {"head_dim": 32}, ["head_dim"]),
    ({"n_inner": None, "n_embd": 8}, {"n_inner": 32, "n_embd": 8}, []),
    ({"n_inner": None, "n_embd": 8}, {"n_inner": 16, "n_embd": 8}, ["n_inner"]),
    ({"layer_types": ["full", "full", "full"]}, {"layer_types": ["full", "slides", "slides"]}, ["layer_types[1]"]),
    ({"layer_types": ["full"]}, {"layer_types": ["full", "full"]}, ["layer_types"]),
    ({"rope_theta": 10000}, {"rope_theta": 10000.0}, []),
    ({"eps": 1e-6}, {"eps": 9.99999997e-7}, []),
    ({"mlp_bias": False}, {"mlp_bias": True}, ["mlp_bias"]),
    ({"max_position_embeddings": 8}, {"max_position_embeddings": 16}, []),
    (
        {"max_position_embeddings": 8, "rope_parameters": {"rope_type": "dynamic"}},
        {"max_position_embeddings": 16, "rope_parameters": {"rope_type": "dynamic"}}, ["max_position_embeddings"],
    ),
    ({"rope_parameters": {"partial_rotary_factor": 1.0}}, {"rope_parameters": {}}, []),
])  # fmt: skip
def test_what_follows_from_other_fields_is_worked_out(
    ours: dict[str, Any], theirs: dict[str, Any], expected: list[str]
) -> None:  # fmt: skip
    assert names(ours, theirs) == expected
    assert names(theirs, ours) == expected


VALUES = st.none() | st.booleans() | st.integers(0, 99) | st.floats(0, 1) | st.lists(st.integers(0, 3), max_size=3)
CONFIGS = st.dictionaries(st.sampled_from("abcdef"), VALUES | st.dictionaries(st.sampled_from("xyz"), VALUES))


@given(CONFIGS, CONFIGS)
def test_which_side_is_ours_decides_the_order_of_values_and_nothing_else(
    ours: dict[str, Any], theirs: dict[str, Any]
) -> None:  # fmt: skip
    assert differing(ours, ours) == []
    turned_round = [(field.name, field.theirs, field.ours) for field in differing(theirs, ours)]
    assert [tuple(field) for field in differing(ours, theirs)] == turned_round


def test_many_fields_are_counted(checkpoint: Checkpoint, tmp_path: Path) -> None:
    fields = {"rms_norm_eps": 0.1, "hidden_act": "gelu", "sliding_window": 3, "rope_parameters": THETA}
    other = with_config(checkpoint("qwen2"), tmp_path / "sound", architectures=["LlamaForCausalLM"])
    sound = with_config(other, tmp_path / "more", model_type="llama", attention_bias=True, **fields)
    finding = alone(Case(checkpoint("qwen2")), tmp_path, sound)[1].findings[0]
    assert finding.code == "config.conflict"
    assert finding.message.count(" here and ") == 6
    assert finding.message.endswith(f", and {len(finding.evidence) - 6} more")
    assert finding.evidence["architecture"] == ["Qwen2ForCausalLM", "LlamaForCausalLM"]


# --- bytes ---


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.data())
def test_the_first_element_that_differs_is_named_by_its_index(shape: list[int], data: st.DataObject) -> None:
    own = torch.arange(torch.Size(shape).numel(), dtype=torch.float32).view(shape)
    places = sorted(data.draw(st.sets(st.integers(0, own.numel() - 1))))
    other = own.clone()
    other.view(-1)[places] += 1000.0
    found = difference(own, other)
    if not places:
        assert found == Compared(True, "equal bytes")
        return
    index = [int(one) for one in (own == places[0]).nonzero()[0]]
    first = f"first {index}: {places[0]} here and {places[0] + 1000} there"
    assert found == Compared(False, f"{len(places)} of {own.numel()} elements differ, {first}")


def test_bytes_are_compared_and_not_numbers() -> None:
    nan, zero = torch.tensor([float("nan")]), torch.tensor([0.0])
    assert difference(nan, nan.clone()).same
    assert not difference(zero, -zero).same
    assert difference(zero, torch.zeros(2)).told == "shape [1] here and [2] there"
    assert difference(torch.tensor([0.1]), torch.tensor([0.1], dtype=torch.bfloat16)).told.startswith(
        "float32 here and bfloat16 there, 1 of 1 elements differ, first [0]: 0.1 here and 0.1001 there"
    )
