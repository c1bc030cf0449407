"""Rows for an architecture that nobody knows: each registered one under another class and other names.

Two sources: the plan that the written file gives, and the plan of the built-in rows for the original names, element
by element; and then a forward pass through what either of them loads.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mappings.architectures import BUILT_IN
from mappings.synth import Synthetic
from tests.mappings.small import CONFIGS
from tests.tracer.starter.computing import computes_as, computes_in_parts_as, numbers, other_names, sound
from tests.tracer.starter.shelves import (
    UNQUANTISED,
    Names,
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
from tracer.checkpoint.folder import open_checkpoint
from tracer.starter import Starter, starter

CLASS = "HiddenModel"
SPELLINGS: dict[str, Names] = {
    "as they are": (),
    "wrapped": (("^", "language_model."),),
    "another backbone": (("^model.", "backbone."), ("^transformer.", "backbone.")),
    "as Meta spells": (
        ("self_attn", "attention"), ("self_attention", "attention"), ("q_proj", "query"), ("k_proj", "key"),
        ("v_proj", "value"), ("o_proj", "out_proj"), ("gate_proj", "w1"), ("up_proj", "w3"), ("down_proj", "w2"),
        ("embed_tokens", "tok_embeddings"), ("word_embeddings", "tok_embeddings"), ("mlp", "feed_forward"),
        ("input_layernorm", "attention_norm"), ("post_attention_layernorm", "ffn_norm"), ("lm_head", "output"),
    ),
    "in blocks": (
        ("layers", "blocks"), ("h", "blocks"), ("self_attn", "attn"), ("q_proj", "wq"), ("k_proj", "wk"),
        ("v_proj", "wv"), ("o_proj", "wo"), ("mlp", "ffn"), ("input_layernorm", "norm1"),
        ("post_attention_layernorm", "norm2"), ("norm", "final_norm"), ("embed_tokens", "embedding"),
    ),
}  # fmt: skip


def started(folder: Path, key: str, changes: Names, config: Mapping[str, Any], **options: Any) -> Starter:
    return starter(open_checkpoint(shelve(folder, config, shapes_of(tensors(key, changes)))), config, **options)


def hidden(key: str) -> dict[str, Any]:
    return {**config_of(key), "architectures": [CLASS]}


ONE_OF_EACH = list({CONFIGS[key].arch: key for key in reversed(UNQUANTISED)}.values())
CASES = [(key, "as they are") for key in UNQUANTISED]
CASES += [(key, spelling) for key in ONE_OF_EACH for spelling in SPELLINGS if spelling != "as they are"]


@pytest.mark.parametrize(("key", "spelling"), CASES)
def test_a_hidden_architecture_is_placed_as_its_own_rows_place_it(key: str, spelling: str, tmp_path: Path) -> None:
    changes, config = SPELLINGS[spelling], hidden(key)
    found = started(tmp_path / "m", key, changes, config)
    assert found.claimed == found.total
    assert found.loads, found.trial.errors
    assert not found.draft.todo
    if spelling == "as they are":
        assert tomllib.loads(found.text).keys() == {"architecture", "like"}, "it names what it is like, and no more"
    for tp in (1, 2):
        own = by_file(found.text, config, tensors(key, changes), tp)
        for rank in range(tp):
            mine, theirs = placed(own, rank), placed_by_built_in(key, tp, rank)
            assert mine.keys() == theirs.keys()
            for name, ids in theirs.items():
                np.testing.assert_array_equal(mine[name], ids, err_msg=name)
    computes_as(sound(key), found.text, config, other_names(sound(key).stored, changes))


DECODERS = [key for key in UNQUANTISED if key.split()[0] in ("llama", "mistral", "qwen2", "qwen3", "phi3")]
FAMILY = {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Phi3ForCausalLM"}


@pytest.mark.parametrize("key", DECODERS)
def test_a_decoder_is_placed_so_from_what_its_names_mean_alone(key: str, tmp_path: Path) -> None:
    """None of its family is registered: every parameter is written, fused as vLLM fuses it and cut as vLLM cuts it."""
    config = hidden(key)
    others = [arch for arch in BUILT_IN if arch.name not in FAMILY]
    found = started(tmp_path / "m", key, (), config, registered=others)
    assert found.loads, found.trial.errors
    for tp in (1, 2):
        own = by_file(found.text, config, tensors(key), tp)
        for rank in range(tp):
            mine, theirs = placed(own, rank), placed_by_built_in(key, tp, rank)
            assert {name: ids.tolist() for name, ids in mine.items()} == {k: v.tolist() for k, v in theirs.items()}
    computes_as(sound(key), found.text, config, sound(key).stored)


def test_of_architectures_that_fit_alike_the_one_in_the_class_name_is_meant(tmp_path: Path) -> None:
    for name in ("MyLlamaForCausalLM", "NotLlama3ForCausalLM", "LlamaWithHeadModel"):
        config = {**hidden("llama"), "architectures": [name]}
        found = started(tmp_path / name, "llama", (), config)
        assert found.draft.like == "LlamaForCausalLM"
        assert "MistralForCausalLM would do as well" in found.text.replace("\n# ", " ")
        computes_as(sound("llama"), found.text, config, sound("llama").stored)
    config = {**hidden("llama"), "model_type": "mistral"}
    found = started(tmp_path / "m", "llama", (), config)
    assert found.draft.like == "MistralForCausalLM"
    computes_as(sound("mistral"), found.text, config, sound("mistral").stored)


def test_fields_of_another_family_are_found_by_what_they_are_called(tmp_path: Path) -> None:
    """A config in GPT-2's spelling: sizes refer to its fields, and change with them."""
    ours = {"n_embd": "hidden_size", "n_layer": "num_hidden_layers", "n_head": "num_attention_heads",
            "n_inner": "intermediate_size", "num_kv_heads": "num_key_value_heads"}  # fmt: skip
    theirs = {**hidden("llama")}
    config = {**{new: theirs.pop(old) for new, old in ours.items()}, **theirs}
    found = started(tmp_path / "m", "llama", (), config)
    assert found.loads, found.trial.errors
    assert found.draft.flags == {old: f"@{new}" for new, old in ours.items()}
    computes_as(sound("llama"), found.text, config, sound("llama").stored)


def test_sizes_of_a_nested_config_are_written_as_numbers(tmp_path: Path) -> None:
    inner = hidden("llama")
    config = {"architectures": [inner.pop("architectures")[0]], "text_config": inner}
    found = started(tmp_path / "m", "llama", SPELLINGS["wrapped"], config)
    assert found.loads, found.trial.errors
    assert found.draft.flags["hidden_size"] == inner["hidden_size"]
    assert found.draft.prefixes[0] == "language_model."
    outer = config | {"partial_rotary_factor": inner["partial_rotary_factor"]}
    computes_as(sound("llama"), found.text, outer, other_names(sound("llama").stored, SPELLINGS["wrapped"]))


def test_layers_of_two_kinds_get_domains_of_their_own(tmp_path: Path) -> None:
    """Experts in some layers only, and no architecture to be like that has them."""
    config = hidden("deepseek v2")
    others = [arch for arch in BUILT_IN if not arch.name.startswith("Deepseek")]
    found = started(tmp_path / "m", "deepseek v2", (), config, registered=others)
    assert found.loads, found.trial.errors
    assert sorted(found.draft.domains.values()) == ["0", "1, 2"]
    computes_as(sound("deepseek v2"), found.text, config, sound("deepseek v2").stored)


def test_parts_that_are_one_tensor_are_said_to_have_an_order_that_no_shape_tells(tmp_path: Path) -> None:
    others = [arch for arch in BUILT_IN if arch.name != "Phi3ForCausalLM"]
    found = started(tmp_path / "m", "phi3", (), hidden("phi3"), registered=others)
    assert any("qkv_proj" in told and "q, k, v" in told for told in found.draft.assumed)
    assert "TODO" not in found.text
    computes_as(sound("phi3"), found.text, hidden("phi3"), sound("phi3").stored)


def test_what_means_nothing_is_whole_on_each_rank_and_needs_a_forward_pass(tmp_path: Path) -> None:
    """Nothing computes with a gizmo: it is loaded as it is, and without it the others compute as ever."""
    config = hidden("llama")
    gizmos = numbers([Synthetic(f"model.layers.{i}.self_attn.gizmo.weight", "F32", (7, 5)) for i in (0, 1)])
    shapes = shapes_of(tensors("llama")) | {name: tuple(gizmo.shape) for name, gizmo in gizmos.items()}
    found = starter(open_checkpoint(shelve(tmp_path / "m", config, shapes)), config)
    assert found.loads, found.trial.errors
    assert found.unapplied == ("model.layers.{layer}.self_attn.gizmo",)
    assert any("the forward pass must also apply them" in limit for limit in found.limits)
    (param,) = found.draft.params
    assert str(param.cuts) == "whole on each rank"
    more = computes_in_parts_as(sound("llama"), found.text, config, {**sound("llama").stored, **gizmos})
    assert {name: gizmo.tolist() for name, gizmo in more.items()} == {k: v.tolist() for k, v in gizmos.items()}


def test_weights_of_an_unknown_scheme_are_left_to_do(tmp_path: Path) -> None:
    """Nobody knows what these numbers mean, so nothing computes with them: the file does not load, and says of what."""
    config = hidden("llama")
    shapes = shapes_of(tensors("llama"))
    for i in (0, 1):
        name = f"model.layers.{i}.mlp.down_proj"
        shapes |= {f"{name}.qweight": (6, 10), f"{name}.scales": (2, 10)}
        del shapes[f"{name}.weight"]
    found = starter(open_checkpoint(shelve(tmp_path / "m", config, shapes)), config)
    assert (found.claimed, found.total) == (19, 23)
    assert not found.loads
    assert {why for _, why in found.draft.todo} == {
        f"{leaf} of a quantised weight: there are no leaf layouts for it" for leaf in ("qweight", "scales")
    }
    ledger.uncomputed(found)


def test_the_names_compared_are_not_the_same() -> None:
    """A comparison of nothing with itself would pass every test above."""
    for spelling, changes in SPELLINGS.items():
        names = [t.name for t in tensors("llama")]
        assert spelling == "as they are" or [renamed(name, changes) for name in names] != names
