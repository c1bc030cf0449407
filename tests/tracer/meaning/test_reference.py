"""A checkpoint held against one known to be good: every tensor and every field that is computed with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.tracer.meaning.planted import Model, interleaved, mended
from tracer.checkpoint.folder import open_checkpoint
from tracer.errors import UsageError
from tracer.meaning import Meant, examine_meaning
from tracer.repair.changes import SetField

TRAINED = Path(__file__).parents[2] / "data" / "trained"
LLAMA = TRAINED / "llama-3"
LAYERS = range(4)


def against(model: Model, into: Path, fields: dict[str, Any] | None = None, reference: Path = LLAMA) -> list[Meant]:
    """What the tests say of these tensors beside the trained model."""
    into.mkdir()
    save_file(model, into / "model.safetensors")
    config = json.loads((LLAMA / "config.json").read_text()) | (fields or {})
    (into / "config.json").write_text(json.dumps(config))
    checkpoint = open_checkpoint(into)
    return examine_meaning(checkpoint, checkpoint.config, against=open_checkpoint(reference))


def found(ended: list[Meant]) -> list[tuple[str, str]]:
    return [(each.code, each.message) for meant in ended for each in meant.check.findings]


def trained() -> Model:
    found: Model = load_file(LLAMA / "model.safetensors")
    return found


def swap(model: Model, one: str, other: str) -> None:
    for name in [name for name in model if one in name]:
        there = name.replace(one, other)
        model[name], model[there] = model[there], model[name]


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("k_proj", "v_proj", "model.layers.{0..3}.self_attn.k_proj.weight and v_proj.weight have changed places"),
        ("layers.1.", "layers.2.", "layers 1 and 2 have changed places"),
        ("input_layernorm", "post_attention_layernorm", "have changed places"),
    ],
)
def test_what_changed_places_is_named_and_changed_back(one: str, other: str, said: str, tmp_path: Path) -> None:
    model = trained()
    swap(model, one, other)
    ended = against(model, tmp_path / "model")
    ((code, message),) = found(ended)
    assert (code, said in message) == ("value.reference", True)
    after = mended(model, [change for each in ended for change in each.changes])
    assert all(np.array_equal(after[name], values) for name, values in trained().items())


def test_tensors_of_another_model_are_named_and_so_is_what_is_a_multiple(tmp_path: Path) -> None:
    model, draws = trained(), np.random.default_rng(0)
    for layer in (1, 2):
        name = f"model.layers.{layer}.mlp.up_proj.weight"
        model[name] = draws.permutation(model[name].ravel()).reshape(model[name].shape)
        down = f"model.layers.{layer}.mlp.down_proj.weight"
        model[down] = (model[down].astype("f4") * 8).astype(model[down].dtype)
    said = [message for _, message in found(against(model, tmp_path / "model"))]
    assert any("layers.{1, 2}.mlp.up_proj.weight: not the reference's, and nowhere in it" in each for each in said)
    assert any("layers.{1, 2}.mlp.down_proj.weight: 8 times the reference's" in each for each in said)


@pytest.mark.parametrize("layers", [(1,), (1, 2), (1, 2, 3)])
def test_rows_in_another_order_are_told_of_just_the_layers_that_have_it(
    layers: tuple[int, ...], tmp_path: Path
) -> None:
    model = trained()
    for layer in layers:
        for of, heads in (("q", 4), ("k", 2)):
            name = f"model.layers.{layer}.self_attn.{of}_proj.weight"
            model[name] = np.ascontiguousarray(interleaved(model[name], heads))
    ended = against(model, tmp_path / "model")
    assert {code for code, _ in found(ended)} == {"value.rope-order"}
    after = mended(model, [change for each in ended for change in each.changes])
    assert all(np.array_equal(after[name], values) for name, values in trained().items())


def test_rows_of_a_fused_tensor_cut_by_another_layout_are_found_among_their_neighbours(tmp_path: Path) -> None:
    model = trained()
    for layer in LAYERS:
        names = [f"model.layers.{layer}.self_attn.{of}_proj.weight" for of in "qkv"]
        groups = np.concatenate([model[name] for name in names]).reshape(2, 4, 24, 96)
        for name, part in zip(names, (groups[:, :2], groups[:, 2], groups[:, 3]), strict=True):
            model[name] = np.ascontiguousarray(part.reshape(-1, 96))
    ((code, message),) = found(against(model, tmp_path / "model"))
    assert code == "value.reference"
    assert "the rows are those of several tensors of the reference" in message


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ({"rms_norm_eps": 0.1}, 1e-6), ({"hidden_act": "gelu"}, "silu"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, 1e4),
    ],
)  # fmt: skip
def test_a_field_that_is_computed_with_and_differs_is_a_conflict(
    fields: dict[str, Any], value: object, tmp_path: Path
) -> None:
    ended = against(trained(), tmp_path / "model", fields)
    ((code, _),) = found(ended)
    assert code == "config.conflict"
    (change,) = [change for each in ended for change in each.changes]
    assert isinstance(change, SetField)
    assert change.value == value


def test_the_heads_of_the_reference_decide_and_no_row_is_blamed(tmp_path: Path) -> None:
    heads = {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 12}
    ended = against(trained(), tmp_path / "model", heads)
    assert [code for code, _ in found(ended)] == ["config.conflict"]
    changes = [change for each in ended for change in each.changes]
    assert {c.field: c.value for c in changes if isinstance(c, SetField)} == {
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 24,
    }  # fmt: skip


def test_another_model_is_not_called_a_spoilt_one(tmp_path: Path) -> None:
    ended = against(trained(), tmp_path / "model", reference=TRAINED / "gemma2-3")
    assert found(ended) == []
    limits = [each.check.limit for each in ended if each.check.limit]
    assert any("not a relative of the reference" in limit for limit in limits)
    assert any("the reference is gemma2, and this one is llama" in limit for limit in limits)


def test_what_sound_edits_do_to_a_reference_is_no_fault(tmp_path: Path) -> None:
    """An adapter merged into v, and the neurons of the MLPs in another order."""
    model, draws = trained(), np.random.default_rng(1)
    for layer in LAYERS:
        v = f"model.layers.{layer}.self_attn.v_proj.weight"
        low = draws.normal(size=(model[v].shape[0], 4)) @ draws.normal(size=(4, model[v].shape[1]))
        model[v] = (model[v].astype("f4") + low / low.std() * 3 * model[v].astype("f4").std()).astype(model[v].dtype)
        order = draws.permutation(256)
        for of in ("gate", "up", "down"):
            name = f"model.layers.{layer}.mlp.{of}_proj.weight"
            model[name] = np.ascontiguousarray(model[name][:, order] if of == "down" else model[name][order])
    ended = against(model, tmp_path / "model")
    assert found(ended) == []
    assert any("only partly like the reference's" in each.check.limit for each in ended)


def test_a_test_can_only_be_expected_off() -> None:
    checkpoint = open_checkpoint(LLAMA)
    with pytest.raises(UsageError, match="rope-order=on: expected NAME=off"):
        examine_meaning(checkpoint, checkpoint.config, expect={"rope-order": "on"})
