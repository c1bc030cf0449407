"""Rows beside those of a known architecture, for the tensors of a checkpoint that none of its rows claims."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mappings.synth import Synthetic, synthesise
from mappings.views import Shape
from tests.mappings.small import bind
from tests.placements import number
from tests.tracer.starter.computing import (
    Sound,
    Tensors,
    by_modules,
    computes_as,
    computes_in_parts_as,
    header_of,
    numbers,
    other_names,
    sound,
)
from tests.tracer.starter.shelves import (
    by_file,
    config_of,
    placed,
    placed_by_built_in,
    renamed,
    shapes_of,
    shelve,
    tensors,
)
from tests.tracer.starter.written import ledger
from tracer.prepare import Request, prepare
from tracer.starter import Starter, starter_of

Shapes = dict[str, Shape]
LAYER = "model.layers.{layer}"


def with_layers(**extra: Shape) -> Callable[[Shapes], Shapes]:
    """More tensors in both layers; `__` stands for a dot."""
    return lambda shapes: shapes | in_layers(**extra)


def in_layers(**extra: Shape) -> Shapes:
    return {f"model.layers.{i}.{name.replace('__', '.')}": shape for i in (0, 1) for name, shape in extra.items()}


def drawn(**extra: Shape) -> Tensors:
    """Numbers for these."""
    return numbers([Synthetic(name, "F32", shape) for name, shape in in_layers(**extra).items()], seed=5)


def llama_with(more: Tensors) -> Tensors:
    return {**sound("llama").stored, **more}


def knowing(rows: str, more: Tensors, **config: Any) -> Sound:
    """The model of the rows that have a place for more than Llama's."""
    fields = {**config_of("llama"), "architectures": [rows], **config}
    return Sound(rows, fields, llama_with(more))


def computes_without(found: Starter, more: Tensors) -> None:
    """What nothing applies is loaded as it is, and the others compute what they do without it."""
    loaded = computes_in_parts_as(sound("llama"), found.text, config_of("llama"), llama_with(more), tp=1)
    assert {name: param.tolist() for name, param in loaded.items()} == {k: v.tolist() for k, v in more.items()}


def rows_for(tmp_path: Path, key: str, change: Callable[[Shapes], Shapes], **config: Any) -> Starter:
    fields = {**config_of(key), **config}
    folder = shelve(tmp_path / "m", fields, change(shapes_of(tensors(key))))
    return starter_of(prepare(Request(str(folder), plan_only=True)))


def test_where_nothing_is_missing_nothing_is_written(tmp_path: Path) -> None:
    found = rows_for(tmp_path, "llama", dict)
    assert found.loads
    assert not found.draft.rows
    assert found.text.splitlines()[-1] == 'architecture = "LlamaForCausalLM"'
    computes_as(sound("llama"), found.text, config_of("llama"), sound("llama").stored)


def test_norms_of_query_and_key_are_those_of_the_sibling_that_has_them(tmp_path: Path) -> None:
    norms: dict[str, Shape] = {"self_attn__q_norm__weight": (3,), "self_attn__k_norm__weight": (3,)}
    found = rows_for(tmp_path, "llama", with_layers(**norms))
    assert (found.draft.architecture, found.draft.like) == ("LlamaForCausalLM", "Qwen3ForCausalLM")
    assert found.loads
    assert not found.unapplied
    model = knowing("Qwen3ForCausalLM", drawn(**norms))
    computes_as(model, found.text, config_of("llama"), model.stored)


def test_one_row_of_a_sibling_is_borrowed_and_said_to_be(tmp_path: Path) -> None:
    """No model normalises queries alone, so none is there to compare with: without it the others are Llama."""
    found = rows_for(tmp_path, "llama", with_layers(self_attn__q_norm__weight=(3,)))
    assert found.loads
    assert found.draft.borrowed == {f"{LAYER}.self_attn.q_norm": "Qwen3ForCausalLM"}
    assert "as in Qwen3ForCausalLM (llama.py:" in found.text
    assert "applied by the modules of Qwen3ForCausalLM" in found.limits[0]
    more = drawn(self_attn__q_norm__weight=(3,))
    computes_without(found, more)
    applied = by_modules(found.text, config_of("llama"), llama_with(more), "Qwen3ForCausalLM")
    assert applied.isfinite().all()
    assert not applied.allclose(sound("llama").logits, atol=0.01)


BIASES: dict[str, Shape] = {"self_attn__q_proj__bias": (48,), "self_attn__k_proj__bias": (6,),
                            "self_attn__v_proj__bias": (6,)}  # fmt: skip


def test_biases_that_the_config_forgets_are_taken_as_their_weights_lie(tmp_path: Path) -> None:
    found = rows_for(tmp_path, "llama", with_layers(**BIASES))
    assert found.draft.like == "Qwen2ForCausalLM"
    own = by_file(found.text, config_of("llama"), tensors("llama with biases"), 1)
    assert own.shapes(0)["model.layers.0.self_attn.qkv_proj.bias"] == (60,)
    model = knowing("Qwen2ForCausalLM", drawn(**BIASES))
    computes_as(model, found.text, config_of("llama"), model.stored)


def test_a_bias_that_no_sibling_has_is_added_to_the_parameter(tmp_path: Path) -> None:
    """As Llama with biases computes whose others are zero."""
    found = rows_for(tmp_path, "llama", with_layers(self_attn__o_proj__bias=(10,)))
    assert found.loads
    assert found.draft.rebiased == {f"{LAYER}.self_attn.o_proj"}
    assert not found.unapplied
    more = drawn(self_attn__o_proj__bias=(10,))
    zeros = {name: tensor * 0 for name, tensor in drawn(**BIASES).items()}
    model = knowing("LlamaForCausalLM", {**more, **zeros}, attention_bias=True)
    computed = by_modules(found.text, config_of("llama"), llama_with(more), model.name)
    np.testing.assert_allclose(computed, model.logits, rtol=0, atol=1e-6)


def test_a_bias_of_one_part_is_a_parameter_cut_as_its_weight_is(tmp_path: Path) -> None:
    """Nothing applies it, as no modules keep the bias of a part by itself."""
    found = rows_for(tmp_path, "llama", with_layers(self_attn__q_proj__bias=(48,)))
    (param,) = found.draft.params
    assert (dict(param.parts), param.cuts.split) == ({"": "head.dim"}, "head")
    assert found.loads
    assert found.unapplied == (param.name,)
    computes_without(found, drawn(self_attn__q_proj__bias=(48,)))


@pytest.mark.parametrize(("name", "shape", "split"), [
    ("self_attn__sinks", (16,), "head"), ("mlp__norm_of_gate__weight", (10,), ""), ("extra__weight", (7, 10), ""),
])  # fmt: skip
def test_a_new_parameter_is_cut_as_its_neighbours_or_whole(
    name: str, shape: Shape, split: str, tmp_path: Path
) -> None:  # fmt: skip
    """No modules apply it: it is loaded, and what the others compute is as without."""
    found = rows_for(tmp_path, "llama", with_layers(**{name: shape}))
    (param,) = found.draft.params
    assert param.cuts.split == split
    assert str(param.cuts) in found.text
    assert found.unapplied == (param.name,)
    assert found.loads
    computes_without(found, drawn(**{name: shape}))


def test_what_the_engine_computes_itself_is_skipped(tmp_path: Path) -> None:
    found = rows_for(tmp_path, "llama", with_layers(attention__rotary_emb__inv_freq=(1,)))
    assert found.draft.skips == [(f"{LAYER}.attention.rotary_emb.inv_freq", "recomputed from rope_theta")]
    assert found.loads
    stored = llama_with(drawn(attention__rotary_emb__inv_freq=(1,)))
    computes_as(sound("llama"), found.text, config_of("llama"), stored)


def test_zeros_are_skipped_where_that_was_proven_and_only_there(tmp_path: Path) -> None:
    """Without the proof they are loaded, and nothing applies them."""
    change = with_layers(self_attn__gizmo__weight=(7, 10))
    folder = shelve(tmp_path / "m", config_of("llama"), change(shapes_of(tensors("llama"))))
    prepared = prepare(Request(str(folder), plan_only=True))
    names = [f"model.layers.{i}.self_attn.gizmo.weight" for i in (0, 1)]
    found, unproven = starter_of(prepared, names), starter_of(prepared, names[:1])
    assert found.draft.skips == [(f"{LAYER}.self_attn.gizmo.weight", "every element is zero")]
    assert unproven.draft.skips == []
    gizmos = drawn(self_attn__gizmo__weight=(7, 10))
    computes_as(sound("llama"), found.text, config_of("llama"), llama_with(gizmos))
    computes_without(unproven, gizmos)


def test_readings_that_fit_as_well_are_said_in_the_file_and_in_the_result(tmp_path: Path) -> None:
    """48 is both the feed-forward width and all heads. Nothing applies it, whichever it is."""
    found = rows_for(tmp_path, "llama", with_layers(adapter__scale=(48,)))
    assert found.loads
    (told,) = found.draft.assumed
    assert '"ffn"' in told
    assert '"head.dim" fits as well' in told
    assert '"head.dim" fits as well' in found.text
    computes_without(found, drawn(adapter__scale=(48,)))


def test_axes_that_have_a_factor_in_common_are_no_two_dimensions_of_one_tensor(tmp_path: Path) -> None:
    """2 KV heads and 16 heads, which are 8 to each of those: as `"kv, head"` a fourth of it would stay empty.

    Nothing applies it, whatever it is.
    """
    found = rows_for(tmp_path, "llama", with_layers(adapter__weight=(2, 16)))
    (param,) = found.draft.params
    assert "head" not in param.parts[""]
    computes_without(found, drawn(adapter__weight=(2, 16)))


def test_a_norm_of_each_head_is_cut_by_heads_where_a_head_is_as_long_as_there_are_heads(tmp_path: Path) -> None:
    """As Cohere's, which no modules apply here."""
    square: dict[str, Shape] = {"self_attn__q_norm__weight": (16, 16)}
    config = {**config_of("llama"), "head_dim": 16}
    llama = synthesise(bind("llama", **config))
    found = rows_for(tmp_path, "llama", lambda _: shapes_of(llama) | in_layers(**square), head_dim=16)
    (param,) = found.draft.params
    assert (param.parts[""], param.cuts.split) == ("head, dim", "head")
    stored = numbers(llama) | drawn(**square)
    model = Sound("LlamaForCausalLM", config, stored)
    computes_in_parts_as(model, found.text, config, stored, tp=1)
    own = by_file(found.text, config, header_of(stored), 2)
    ids = number({each.name: each.shape for each in header_of(stored)})
    for name in drawn(**square):
        halves = [placed(own, rank)[name] for rank in (0, 1)]
        np.testing.assert_array_equal(np.concatenate(halves), ids[name])


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
    own = by_file(found.text, config_of(key), tensors(key, changes), tp)
    for rank in range(tp):
        mine, theirs = placed(own, rank), placed_by_built_in(key, tp, rank)
        assert mine.keys() == theirs.keys()
        for name, ids in theirs.items():
            np.testing.assert_array_equal(mine[name], ids, err_msg=name)
    computes_as(sound(key), found.text, config_of(key), other_names(sound(key).stored, changes))


def test_gamma_and_beta_are_the_leaves_of_a_norm(tmp_path: Path) -> None:
    """Loaded leaf by leaf, which modules that keep a norm together do not take: computed with in parts."""
    aliases = {"layernorm.weight": "layernorm.gamma", "layernorm.bias": "layernorm.beta"}

    def spelled(name: str) -> str:
        for old, new in aliases.items():
            name = name.replace(old, new)
        return name

    found = rows_for(tmp_path, "bloom", lambda shapes: {spelled(name): shape for name, shape in shapes.items()})
    assert found.loads, found.trial.errors
    renamed_ = [tensor._replace(name=spelled(tensor.name)) for tensor in tensors("bloom")]
    own = placed(by_file(found.text, config_of("bloom"), renamed_, 1), 0)
    theirs = placed_by_built_in("bloom", 1, 0)
    assert {name: ids.tolist() for name, ids in own.items()} == {name: ids.tolist() for name, ids in theirs.items()}
    assert any("leaf by leaf" in limit for limit in found.limits)
    stored = {spelled(name): tensor for name, tensor in sound("bloom").stored.items()}
    assert not computes_in_parts_as(sound("bloom"), found.text, config_of("bloom"), stored)


def test_names_that_say_nothing_are_not_guessed_between(tmp_path: Path) -> None:
    """k and v have one shape, and `a` and `b` say nothing of which is which. Without them nothing computes."""
    changes = (("k_proj", "a"), ("v_proj", "b"))
    found = rows_for(tmp_path, "llama", lambda shapes: {renamed(n, changes): shape for n, shape in shapes.items()})
    assert not found.loads
    assert {row.param for row in found.draft.rows} == {f"{LAYER}.self_attn.a", f"{LAYER}.self_attn.b"}
    ledger.uncomputed(found)


def test_a_tower_beside_the_decoder_is_left_to_whoever_reads_the_file(tmp_path: Path) -> None:
    """With the rows that are there the decoder computes as it does alone."""
    more: Shapes = {f"vision_tower.blocks.{i}.mlp.fc1.weight": (8, 8) for i in range(3)}
    found = rows_for(tmp_path, "llama", lambda shapes: shapes | more)
    assert found.draft.todo == [("vision_tower.**", "3 tensors of a tower that is no decoder of text")]
    assert (found.claimed, found.total) == (21, 24)
    assert not found.loads
    tower = numbers([Synthetic(name, "F32", shape) for name, shape in more.items()])
    computes_as(sound("llama"), found.text, config_of("llama"), llama_with(tower))
