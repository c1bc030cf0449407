"""Rows beside those of a known architecture, for the tensors of a checkpoint that none of its rows claims."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mappings.views import Shape
from tests.mappings.small import CONFIGS
from tests.tracer.starter.shelves import by_file, placed, placed_by_built_in, renamed, shapes_of, shelve, tensors
from tracer.prepare import Request, prepare
from tracer.starter import Starter, starter_of

Shapes = dict[str, Shape]
LAYER = "model.layers.{layer}"


def with_layers(**extra: Shape) -> Callable[[Shapes], Shapes]:
    """More tensors in both layers; `__` stands for a dot."""
    return lambda shapes: shapes | {
        f"model.layers.{i}.{name.replace('__', '.')}": shape for i in (0, 1) for name, shape in extra.items()
    }


def rows_for(tmp_path: Path, key: str, change: Callable[[Shapes], Shapes], **config: Any) -> Starter:
    fields = {**CONFIGS[key].config, **config}
    folder = shelve(tmp_path / "m", fields, change(shapes_of(tensors(key))))
    return starter_of(prepare(Request(str(folder), plan_only=True)))


def test_where_nothing_is_missing_nothing_is_written(tmp_path: Path) -> None:
    found = rows_for(tmp_path, "llama", dict)
    assert found.loads
    assert not found.draft.rows
    assert found.text.splitlines()[-1] == 'architecture = "LlamaForCausalLM"'


def test_norms_of_query_and_key_are_those_of_the_sibling_that_has_them(tmp_path: Path) -> None:
    change = with_layers(self_attn__q_norm__weight=(3,), self_attn__k_norm__weight=(3,))
    found = rows_for(tmp_path, "llama", change)
    assert (found.draft.architecture, found.draft.like) == ("LlamaForCausalLM", "Qwen3ForCausalLM")
    assert found.loads
    assert not found.unapplied


def test_one_row_of_a_sibling_is_borrowed_and_said_to_be(tmp_path: Path) -> None:
    found = rows_for(tmp_path, "llama", with_layers(self_attn__q_norm__weight=(3,)))
    assert found.loads
    assert found.draft.borrowed == {f"{LAYER}.self_attn.q_norm": "Qwen3ForCausalLM"}
    assert "as in Qwen3ForCausalLM (llama.py:" in found.text
    assert "applied by the modules of Qwen3ForCausalLM" in found.limits[0]


def test_biases_that_the_config_forgets_are_taken_as_their_weights_lie(tmp_path: Path) -> None:
    change = with_layers(self_attn__q_proj__bias=(48,), self_attn__k_proj__bias=(6,), self_attn__v_proj__bias=(6,))
    found = rows_for(tmp_path, "llama", change)
    assert found.draft.like == "Qwen2ForCausalLM"
    own = by_file(found.text, CONFIGS["llama"].config, tensors("llama with biases"), 1)
    assert own.shapes(0)["model.layers.0.self_attn.qkv_proj.bias"] == (60,)


def test_a_bias_that_no_sibling_has_is_added_to_the_parameter(tmp_path: Path) -> None:
    found = rows_for(tmp_path, "llama", with_layers(self_attn__o_proj__bias=(10,)))
    assert found.loads
    assert found.draft.rebiased == {f"{LAYER}.self_attn.o_proj"}
    assert not found.unapplied


def test_a_bias_of_one_part_is_a_parameter_cut_as_its_weight_is(tmp_path: Path) -> None:
    found = rows_for(tmp_path, "llama", with_layers(self_attn__q_proj__bias=(48,)))
    (param,) = found.draft.params
    assert (dict(param.parts), param.cuts.split) == ({"": "head.dim"}, "head")
    assert found.loads


@pytest.mark.parametrize(("name", "shape", "split"), [
    ("self_attn__sinks", (16,), "head"), ("mlp__norm_of_gate__weight", (10,), ""), ("extra__weight", (7, 10), ""),
])  # fmt: skip
def test_a_new_parameter_is_cut_as_its_neighbours_or_whole(
    name: str, shape: Shape, split: str, tmp_path: Path
) -> None:  # fmt: skip
    found = rows_for(tmp_path, "llama", with_layers(**{name: shape}))
    (param,) = found.draft.params
    assert param.cuts.split == split
    assert str(param.cuts) in found.text
    assert found.unapplied == (param.name,)
    assert found.loads


def test_what_the_engine_computes_itself_is_skipped(tmp_path: Path) -> None:
    found = rows_for(tmp_path, "llama", with_layers(attention__rotary_emb__inv_freq=(1,)))
    assert found.draft.skips == [(f"{LAYER}.attention.rotary_emb.inv_freq", "recomputed from rope_theta")]
    assert found.loads


def test_zeros_are_skipped_where_that_was_proven_and_only_there(tmp_path: Path) -> None:
    change = with_layers(self_attn__gizmo__weight=(7, 10))
    folder = shelve(tmp_path / "m", CONFIGS["llama"].config, change(shapes_of(tensors("llama"))))
    prepared = prepare(Request(str(folder), plan_only=True))
    names = [f"model.layers.{i}.self_attn.gizmo.weight" for i in (0, 1)]
    assert starter_of(prepared, names).draft.skips == [(f"{LAYER}.self_attn.gizmo.weight", "every element is zero")]
    assert starter_of(prepared, names[:1]).draft.skips == []


def test_readings_that_fit_as_well_are_said_in_the_file_and_in_the_result(tmp_path: Path) -> None:
    """48 is both the feed-forward width and all heads."""
    found = rows_for(tmp_path, "llama", with_layers(adapter__scale=(48,)))
    assert found.loads
    (told,) = found.draft.assumed
    assert '"ffn"' in told
    assert '"head.dim" fits as well' in told
    assert '"head.dim" fits as well' in found.text


OTHER_NAMES = {
    "a module renamed": ("llama", (("q_proj", "query"),)),
    "all of a layer renamed": ("llama", (("self_attn", "attention"), ("mlp", "feed_forward"), ("o_proj", "wo"))),
    "the embedding renamed": ("llama", (("embed_tokens", "wte"),)),
    "the embedding that the head is tied to renamed": ("llama tied", (("embed_tokens", "wte"),)),
    "gamma": ("llama", (("input_layernorm", "input_norm"),)),
    "experts renamed": ("mixtral", (("block_sparse_moe", "moe"),)),
    "a first norm of two": ("bloom", (("input_layernorm", "ln_1"), ("post_attention_layernorm", "ln_2"))),
    "Conv1D": ("gpt2", (("c_attn", "qkv"), ("c_fc", "fc_in"))),
}  # fmt: skip


@pytest.mark.parametrize("case", list(OTHER_NAMES))
@pytest.mark.parametrize("tp", [1, 2])
def test_renamed_tensors_go_where_they_always_went(case: str, tp: int, tmp_path: Path) -> None:
    key, changes = OTHER_NAMES[case]
    found = rows_for(tmp_path, key, lambda shapes: {renamed(name, changes): shape for name, shape in shapes.items()})
    assert found.loads, found.trial.errors
    own = by_file(found.text, CONFIGS[key].config, tensors(key, changes), tp)
    for rank in range(tp):
        mine, theirs = placed(own, rank), placed_by_built_in(key, tp, rank)
        assert mine.keys() == theirs.keys()
        for name, ids in theirs.items():
            np.testing.assert_array_equal(mine[name], ids, err_msg=name)


def test_gamma_and_beta_are_the_leaves_of_a_norm(tmp_path: Path) -> None:
    aliases = {"layernorm.weight": "layernorm.gamma", "layernorm.bias": "layernorm.beta"}

    def spelled(name: str) -> str:
        for old, new in aliases.items():
            name = name.replace(old, new)
        return name

    found = rows_for(tmp_path, "bloom", lambda shapes: {spelled(name): shape for name, shape in shapes.items()})
    assert found.loads, found.trial.errors
    renamed_ = [tensor._replace(name=spelled(tensor.name)) for tensor in tensors("bloom")]
    own = placed(by_file(found.text, CONFIGS["bloom"].config, renamed_, 1), 0)
    theirs = placed_by_built_in("bloom", 1, 0)
    assert {name: ids.tolist() for name, ids in own.items()} == {name: ids.tolist() for name, ids in theirs.items()}
    assert any("leaf by leaf" in limit for limit in found.limits)


def test_names_that_say_nothing_are_not_guessed_between(tmp_path: Path) -> None:
    """k and v have one shape, and `a` and `b` say nothing of which is which."""
    changes = (("k_proj", "a"), ("v_proj", "b"))
    found = rows_for(tmp_path, "llama", lambda shapes: {renamed(n, changes): shape for n, shape in shapes.items()})
    assert not found.loads
    assert {row.param for row in found.draft.rows} == {f"{LAYER}.self_attn.a", f"{LAYER}.self_attn.b"}


def test_a_tower_beside_the_decoder_is_left_to_whoever_reads_the_file(tmp_path: Path) -> None:
    more = {f"vision_tower.blocks.{i}.mlp.fc1.weight": (8, 8) for i in range(3)}
    found = rows_for(tmp_path, "llama", lambda shapes: shapes | more)
    assert found.draft.todo == [("vision_tower.**", "3 tensors of a tower that is no decoder of text")]
    assert (found.claimed, found.total) == (21, 24)
    assert not found.loads
