"""Which layers have their rows in another order, and whether it is the rows or the heads of config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.tracer.meaning.planted import Model, halved, interleaved, mended
from tracer.checkpoint.folder import open_checkpoint
from tracer.complaints.complaint import Told
from tracer.diagnose.diagnosis import diagnose
from tracer.meaning import TESTS, Meant, examine_meaning
from tracer.repair.changes import Rename, SetField

TRAINED = Path(__file__).parents[2] / "data" / "trained"
ALONE = {name: "off" for name in TESTS if name != "rope-order"}


def rotary(model: Model, family: str, into: Path, **fields: Any) -> Meant:
    into.mkdir()
    save_file(model, into / "model.safetensors")
    config = json.loads((TRAINED / family / "config.json").read_text()) | fields
    (into / "config.json").write_text(json.dumps(config))
    checkpoint = open_checkpoint(into)
    (ended,) = examine_meaning(checkpoint, checkpoint.config, expect=ALONE)
    return ended


@pytest.mark.parametrize("family", ["llama-3", "gemma2-3", "qwen3-3"])
@pytest.mark.parametrize("layers", [(0, 1, 2), (1, 2, 3), (0, 2, 3)])
def test_a_layer_that_is_in_order_is_not_reordered_with_the_rest(
    family: str, layers: tuple[int, ...], tmp_path: Path
) -> None:
    model: Model = load_file(TRAINED / family / "model.safetensors")
    spoilt = dict(model)
    for layer in layers:
        for of, heads in (("q", 4), ("k", 2)):
            name = f"model.layers.{layer}.self_attn.{of}_proj.weight"
            spoilt[name] = np.ascontiguousarray(interleaved(model[name], heads))
    ended = rotary(spoilt, family, tmp_path / "model")
    assert ended.check.findings or ended.check.unchecked
    if ended.changes:
        after = mended(spoilt, ended.changes)
        assert all(np.array_equal(after[name], values) for name, values in model.items())


@pytest.mark.parametrize("family", ["llama-3", "gemma2-3"])
@pytest.mark.parametrize(("heads", "kv", "dim"), [(8, 4, 12), (2, 1, 48)])
def test_heads_of_another_size_are_a_fault_of_the_config_and_not_of_the_rows(
    family: str, heads: int, kv: int, dim: int, tmp_path: Path
) -> None:
    model = load_file(TRAINED / family / "model.safetensors")
    wrong = {"num_attention_heads": heads, "num_key_value_heads": kv, "head_dim": dim}
    ended = rotary(model, family, tmp_path / "model", **wrong)
    assert [found.code for found in ended.check.findings] == ["config.conflict"]
    assert {each.field: each.value for each in ended.changes if isinstance(each, SetField)} == {
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 24,
    }  # fmt: skip
    assert all(isinstance(each, SetField) for each in ended.changes)


def test_rows_in_another_order_are_not_taken_for_other_heads(tmp_path: Path) -> None:
    """Permuted twice they are in order as 8 heads of 12 too, but less well than after the reordering."""
    model = load_file(TRAINED / "llama-3" / "model.safetensors")
    for layer in range(4):
        for of, heads in (("q", 4), ("k", 2)):
            name = f"model.layers.{layer}.self_attn.{of}_proj.weight"
            model[name] = np.ascontiguousarray(halved(model[name], heads))
    ended = rotary(model, "llama-3", tmp_path / "model")
    assert [found.code for found in ended.check.findings] == ["value.rope-order"]


@pytest.mark.parametrize("order", ["halves", "pairs"])
def test_rows_under_metas_names_are_reordered_only_where_they_are_in_pairs(order: str, tmp_path: Path) -> None:
    model = load_file(TRAINED / "llama-3" / "model.safetensors")
    for layer in range(4) if order == "pairs" else ():
        for of, heads in (("q", 4), ("k", 2)):
            name = f"model.layers.{layer}.self_attn.{of}_proj.weight"
            model[name] = np.ascontiguousarray(interleaved(model[name], heads))
    (tmp_path / "model").mkdir()
    save_file({meta(name): values for name, values in model.items()}, tmp_path / "model" / "model.safetensors")
    (tmp_path / "model" / "config.json").write_text((TRAINED / "llama-3" / "config.json").read_text())
    (change, *turned) = diagnose(str(tmp_path / "model"), Told()).stages[0]
    assert isinstance(change, Rename)
    assert bool(turned) == (order == "pairs")


def meta(name: str) -> str:
    for ours, theirs in META.items():
        name = name.replace(ours, theirs)
    return name


META = {
    "model.embed_tokens": "tok_embeddings", "lm_head": "output", "model.norm": "norm", "model.layers": "layers",
    "q_proj": "wq", "k_proj": "wk", "v_proj": "wv", "o_proj": "wo", "gate_proj": "w1", "up_proj": "w3",
    "down_proj": "w2", "self_attn": "attention", "mlp": "feed_forward", "post_attention_layernorm": "ffn_norm",
    "input_layernorm": "attention_norm",
}  # fmt: skip
