"""The one edit of names under which two checkpoints agree: found, counted, and never at the price of a collision."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.renames import Edit, Rewrite, best_rewrite, rewrites

LLAMA = [
    *(f"model.layers.{layer}.self_attn.{part}_proj.weight" for layer in range(3) for part in "qkvo"),
    *(f"model.layers.{layer}.input_layernorm.weight" for layer in range(3)), "model.norm.weight", "lm_head.weight",
]  # fmt: skip
BERT = [f"encoder.layer.{layer}.output.LayerNorm.{leaf}" for layer in range(3) for leaf in ("weight", "bias")]


def replaced(names: list[str], *pairs: tuple[str, str]) -> list[str]:
    """Names as another program writes them."""
    for old, new in pairs:
        names = [name.replace(old, new) for name in names]
    return names


def put_before(names: list[str], prefix: str) -> list[str]:
    return [prefix + name for name in names]


WRAPPED = [
    "model." + name.removeprefix("model.").replace("self_attn", "_fsdp_wrapped_module.self_attn._fsdp_wrapped_module")
    for name in LLAMA if "self_attn" in name
]  # fmt: skip


@pytest.mark.parametrize(
    ("theirs", "ours", "edit", "mapped"),
    [
        (put_before(LLAMA, "module."), LLAMA, "strip `module.`", 17),
        (put_before(LLAMA, "_orig_mod."), LLAMA, "strip `_orig_mod.`", 17),
        (put_before(LLAMA, "language_model."), LLAMA, "strip `language_model.`", 17),
        (put_before(LLAMA, "base_model.model."), LLAMA, "strip `base_model.model.`", 17),
        (put_before(LLAMA, "0.auto_model."), LLAMA, "strip `0.auto_model.`", 17),
        (LLAMA, put_before(LLAMA, "language_model."), "put `language_model.` before", 17),
        (WRAPPED, LLAMA, "take out `_fsdp_wrapped_module.`", 12),
        (replaced(LLAMA, ("self_attn", "attention.self")), LLAMA, "replace `attention.self` by `self_attn`", 12),
        (replaced(LLAMA, ("model.", "transformer.")), LLAMA, "replace `transformer` by `model`", 16),
        (
            replaced(LLAMA, ("model.layers", "transformer.h"), ("self_attn", "attn")), LLAMA,
            "replace `transformer.h` by `model.layers` and replace `attn` by `self_attn`", 15,
        ),
        (
            replaced(BERT, ("Norm.weight", "Norm.gamma"), ("Norm.bias", "Norm.beta")), BERT,
            "replace `gamma` by `weight` and replace `beta` by `bias`", 6,
        ),
    ],
)  # fmt: skip
def test_the_edit_that_maps_most(theirs: list[str], ours: list[str], edit: str, mapped: int) -> None:
    found = best_rewrite(theirs, ours)
    assert found is not None
    assert (str(found.edit), found.mapped, found.collisions) == (edit, mapped, 0)
    assert all(found.edit.apply(name) == other and other in ours for name, other in found.pairs.items())


def test_names_that_agree_are_left_alone() -> None:
    assert best_rewrite(LLAMA, LLAMA) is None
    found = best_rewrite([*put_before(LLAMA[:-1], "x."), LLAMA[-1]], LLAMA)
    assert found is not None
    assert (found.mapped, found.total) == (16, 16)


def test_two_edits_one_after_the_other() -> None:
    """As Transformers renamed its vision models: `visual` and `model` both went below `model`."""
    old = ["visual.blocks.0.norm1.weight", "visual.blocks.1.norm1.weight", "model.layers.0.mlp.weight",
           "model.layers.1.mlp.weight", "model.norm.weight", "lm_head.weight"]  # fmt: skip
    new = [
        name.replace("model.", "model.language_model.").replace("visual.", "model.visual.") for name in old
    ]  # fmt: skip
    assert [str(found.edit) for found in rewrites(new, old)] == ["take out `language_model.`", "strip `model.`"]


def test_an_edit_that_makes_two_names_one_is_none() -> None:
    """Taking `module` out wherever it is would make one name of two; at the start it is put before some of them."""
    doubled = [*put_before(LLAMA, "module."), *put_before(LLAMA, "x.module.")]
    found = best_rewrite(doubled, LLAMA)
    assert found is not None
    assert str(found.edit) in ("strip `module.`", "strip `x.module.`")
    assert (found.mapped, found.total, found.collisions) == (17, 34, 0)


def test_shapes_must_agree() -> None:
    theirs, ours = put_before(LLAMA, "x."), LLAMA
    shapes = dict.fromkeys(theirs, (4, 4))
    assert best_rewrite(theirs, ours, shapes, dict.fromkeys(ours, (8, 4))) is None
    found = best_rewrite(theirs, ours, shapes, {name: (8, 4) if "norm" in name else (4, 4) for name in ours})
    assert found is not None
    assert (found.mapped, found.misshapen) == (13, 4)


def test_unrelated_names_have_no_edit() -> None:
    assert best_rewrite(LLAMA, ["conv1.kernel", "conv2.kernel"]) is None
    assert best_rewrite([], LLAMA) is None


SEGMENT = st.sampled_from(["model", "layers", "0", "1", "attn", "q", "weight", "x"])
NAME = st.lists(SEGMENT, min_size=1, max_size=6).map(".".join)


@given(st.sets(NAME, min_size=1, max_size=20), st.lists(SEGMENT, min_size=1, max_size=2).map(".".join))
def test_a_prefix_can_be_stripped_again(names: set[str], prefix: str) -> None:
    edit, back = Edit("start", (("", prefix),)), Edit("start", ((prefix, ""),))
    for name in names:
        longer = edit.apply(name)
        assert longer == f"{prefix}.{name}"
        assert back.apply(longer) == name


@given(st.sets(NAME, max_size=20), st.sets(NAME, max_size=20))
def test_whatever_the_names_an_edit_is_one_to_one(names: set[str], others: set[str]) -> None:
    found: Rewrite | None = best_rewrite(sorted(names), sorted(others))
    if found is not None:
        assert found.collisions == 0
        assert len(set(found.pairs.values())) == len(found.pairs) > 0
        assert set(found.pairs) <= names - others
        assert set(found.pairs.values()) <= others - names
