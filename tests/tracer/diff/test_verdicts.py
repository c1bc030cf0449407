"""A model against what people make of models: the sentence a person would say, with the numbers that numpy gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import diffing
from tests.diffing import BF16, Arrays
from tracer.diff.checkpoints import compare
from tracer.diff.compared import Comparison
from tracer.diff.sides import open_side
from tracer.diff.verdict import sentence

A = diffing.model()
A_BF16 = diffing.cast(A, BF16)
ATTENTION = "model.layers.{}.self_attn.{}_proj.weight"
ONE = "model.layers.1.mlp.up_proj.weight"
Diff = Callable[..., Comparison]


@pytest.fixture
def diff(tmp_path: Path) -> Diff:
    """Compares two sets of arrays as checkpoints."""

    def compared(a: Arrays, b: Arrays, values: bool = True, **fields: Any) -> Comparison:
        paths = diffing.write(tmp_path / "a", a), diffing.write(tmp_path / "b", b, **fields)
        one, other = (open_side(letter, path, values) for letter, path in zip("AB", paths, strict=True))
        return compare(one, other, values, False, lambda done, total: None)

    return compared


def relative(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """|a - b| / |a|, as plainly as it can be done."""
    wide = a.astype("f8"), b.astype("f8")
    return float(np.linalg.norm(wide[0] - wide[1]) / np.linalg.norm(wide[0]))


def changed(array: np.ndarray[Any, Any], place: tuple[int, ...], value: float) -> np.ndarray[Any, Any]:
    found = array.copy()
    found[place] = value
    return found


def test_a_checkpoint_is_itself(diff: Diff) -> None:
    found = diff(A, A)
    assert sentence(found) == "the same checkpoint: 39 tensors equal byte for byte"
    assert found.same


def test_without_values_it_is_said_that_they_were_not_compared(diff: Diff) -> None:
    told = sentence(diff(A, A, values=False))
    assert told == "the same names, shapes and dtypes: 39 tensors; values were not compared (--values)"


def test_other_names_are_told_by_their_one_edit(diff: Diff) -> None:
    renamed = {f"language_model.{name}": array for name, array in A.items()}
    told = "the same tensors under other names: strip `language_model.` from 39 of 39 names of {}"
    assert sentence(diff(A, renamed)) == f"{told.format('B')}; all 39 tensors equal byte for byte"
    assert sentence(diff(renamed, A)) == f"{told.format('A')}; all 39 tensors equal byte for byte"


def test_without_values_other_names_are_no_sign_of_the_same_tensors(diff: Diff) -> None:
    renamed = {f"language_model.{name}": array + 1 for name, array in A.items()}
    assert sentence(diff(A, renamed, values=False)) == (
        "the same shapes under other names: strip `language_model.` from 39 of 39 names of B;"
        " values were not compared (--values)"
    )


def halved(arrays: Arrays, prefix: str = "") -> Arrays:
    """A smaller size of the same family: every axis half as long."""
    return {prefix + name: array[tuple(slice(0, n // 2) for n in array.shape)] for name, array in arrays.items()}


STRIPPED = {name.removeprefix("model."): array for name, array in A.items()}


@pytest.mark.parametrize("values", [False, True])
def test_another_size_under_other_names_is_told_by_the_edit_and_by_its_shapes(diff: Diff, values: bool) -> None:
    forth, back = diff(STRIPPED, halved(A), values), diff(halved(A), STRIPPED, values)
    for found, side in ((forth, "B"), (back, "A")):
        told = sentence(found)
        assert told.startswith(f"the same names but for an edit: strip `model.` from 38 of 39 names of {side}; shapes ")
        assert sum(pair.resized for pair in found.pairs) == len(found.pairs) == 39
        assert not (found.pairing.only_a or found.pairing.only_b or found.same)
    assert "(64,) -> (32,) in 9 tensors" in sentence(forth)


def test_another_number_of_layers_and_fused_parts_hide_no_edit(diff: Diff) -> None:
    fewer = {name: array for name, array in diffing.fused(halved(A, "base.")).items() if ".3." not in name}
    told = sentence(diff(A, fewer, values=False))
    assert "strip `base.` from 15 of 21 names of B" in told
    assert "shapes differ: (128, 64) -> (64, 32) in 2 tensors" in told
    assert "q_proj" not in told.partition("B lacks")[0], "parts of another size are no parts"


def test_one_resized_tensor_is_under_the_edit_of_all_others(diff: Diff) -> None:
    renamed = {f"module.{name}": array for name, array in A.items()}
    grown = renamed | {"module.model.embed_tokens.weight": np.zeros((136, 64), "f4")}
    found = diff(A, grown, values=False)
    told = sentence(found)
    assert told.startswith("the same names but for an edit: strip `module.` from 39 of 39 names of B; ")
    assert "shapes differ: (128, 64) -> (136, 64) in model.embed_tokens.weight" in told
    assert not (found.pairing.only_a or found.pairing.only_b)


def test_a_few_modules_that_are_called_alike_are_no_edit(diff: Diff) -> None:
    """Another architecture has norms of the same names, and nothing else."""
    norm = "input_layernorm"
    strange = {f"encoder.{name}" if norm in name else f"{name}.x.y": array for name, array in halved(A).items()}
    assert sentence(diff(A, strange, values=False)).startswith("nothing in common")
    other = {name.replace(".mlp.", ".mlp.shared_experts."): array for name, array in halved(A).items() if "mlp" in name}
    rest = {name: array for name, array in A.items() if "mlp" not in name}
    assert "B lacks 12 of A's 39 tensors" in sentence(diff(A, rest | other, values=False))


def test_a_fine_tune_is_told_with_its_distance(diff: Diff) -> None:
    b = diffing.tuned(A, 1, diffing.is_linear)
    found = diff(A, b)
    assert sentence(found) == (
        "the same names and shapes; 28 of 39 tensors differ, relative distance 0.5 % (median), in all 4 layers:"
        " a fine-tune; 11 of 39 tensors equal"
    )
    for pair in found.valued("differs"):
        name = pair.subject
        assert pair.valued is not None
        distance = pair.valued.distance
        assert distance is not None
        assert distance.relative == pytest.approx(relative(A[name], b[name]), rel=1e-12)
        assert distance.largest == np.abs(A[name].astype("f8") - b[name]).max()
        flat = A[name].astype("f8").ravel(), b[name].astype("f8").ravel()
        cosine = flat[0] @ flat[1] / np.linalg.norm(flat[0]) / np.linalg.norm(flat[1])
        assert distance.cosine == pytest.approx(cosine, rel=1e-12)
        assert distance.differing == np.count_nonzero(A[name] != b[name])


def test_a_fine_tune_of_some_layers_is_told_with_them(diff: Diff) -> None:
    b = diffing.tuned(A_BF16, 2, lambda name: ".2." in name or ".3." in name)
    told = sentence(diff(A_BF16, b))
    assert told.startswith("the same names and shapes; 14 of 39 tensors differ")
    assert "all in layers 2, 3: a fine-tune" in told


def test_other_weights_of_the_same_architecture_are_trained_apart(diff: Diff) -> None:
    other = diffing.model(seed=9)
    pairs = [(A[name].ravel(), other[name].ravel()) for name in A]
    cosine = np.median([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in pairs])
    told = f"the same names and shapes; 39 of 39 tensors have other numbers (cosine {cosine:.2f}): trained apart"
    assert sentence(diff(A, other)) == told


@pytest.mark.parametrize("base", [A, A_BF16], ids=["f32", "bf16"])
@pytest.mark.parametrize("rank", [4, 8])
def test_a_merged_adapter_is_told_with_its_rank(diff: Diff, base: Arrays, rank: int) -> None:
    told = sentence(diff(base, diffing.with_adapter(base, rank, 3)))
    assert told == (
        f"B is A with a low-rank change of rank {rank} in q_proj and v_proj of all 4 layers (8 tensors):"
        " a merged adapter; 31 of 39 tensors equal"
    )


def test_an_adapter_of_rank_16_in_one_module(diff: Diff) -> None:
    told = sentence(diff(A_BF16, diffing.with_adapter(A_BF16, 16, 4, ("o_proj",))))
    assert told.startswith("B is A with a low-rank change of rank 16 in o_proj of all 4 layers (4 tensors): a merged")


def test_one_tensor_that_changed_is_named(diff: Diff) -> None:
    b = A | {ONE: A[ONE] + diffing.random(5).standard_normal(A[ONE].shape).astype("f4") * 1e-3}
    told = sentence(diff(A, b))
    assert told.startswith(f"the same checkpoint but for 1 of 39 tensors: {ONE} differs in 6,144 of 6,144 elements")


def test_one_element_that_changed_is_counted_and_no_adapter(diff: Diff) -> None:
    b = A | {ONE: changed(A[ONE], (3, 4), A[ONE][3, 4] + 0.5)}
    assert sentence(diff(A, b)) == (
        f"the same checkpoint but for 1 of 39 tensors: {ONE} differs in 1 of 6,144 elements (max |a - b| 0.5);"
        " 38 of 39 tensors equal"
    )


def test_nan_on_one_side_is_a_difference_and_on_both_none(diff: Diff) -> None:
    broken = A | {ONE: changed(A[ONE], (3, 4), np.nan)}
    told = sentence(diff(A, broken))
    assert f"{ONE} differs in 1 of 6,144 elements (max |a - b| 0, NaN only in B: 1)" in told
    other_payload = broken[ONE].copy()
    other_payload.view("u4")[3, 4] += 1
    assert diff(broken, broken | {ONE: other_payload}).same


def test_a_rounded_copy_is_equal_after_the_cast(diff: Diff) -> None:
    exact = {name: array for name, array in A.items() if (array != array.astype(BF16).astype("f4")).any()}
    assert sentence(diff(A, A_BF16)) == "B is A rounded to BF16: 39 tensors equal exactly after the cast"
    assert sentence(diff(A_BF16, A)) == "A is B rounded to BF16: 39 tensors equal exactly after the cast"
    assert len(exact) == 39
    widened = diff(A_BF16, diffing.cast(A_BF16, "f4"))
    assert [pair.valued.relation for pair in widened.pairs if pair.valued] == ["equal"] * 39
    told = "the same numbers, kept in B as another dtype: 39 of 39 tensors as F32 instead of BF16"
    assert sentence(widened).startswith(told)
    assert not widened.same


def test_a_copy_that_is_not_quite_rounded_is_not_called_rounded(diff: Diff) -> None:
    b = dict(A_BF16)
    b[ONE] = changed(A_BF16[ONE], (0, 0), float(A_BF16[ONE][0, 0]) * 1.0625)
    found = diff(A, b)
    assert len(found.valued("cast")) == 38
    assert [pair.subject for pair in found.valued("differs")] == [ONE]


def test_rows_in_the_other_rotary_order_are_equal_after_the_permutation(diff: Diff) -> None:
    def in_pairs(array: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
        return array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)

    heads = {"q": diffing.HEADS, "k": diffing.KV}
    b = A | {
        ATTENTION.format(layer, part): in_pairs(A[ATTENTION.format(layer, part)], heads[part])
        for layer in range(4) for part in heads
    }  # fmt: skip
    told = sentence(diff(A, b))
    assert "equal after the rotary permutation of 4 heads: q_proj of all 4 layers (4 tensors)" in told
    assert "equal after the rotary permutation of 2 heads: k_proj of all 4 layers (4 tensors)" in told


def test_transposed_reordered_and_scaled_copies(diff: Diff) -> None:
    down = "model.layers.{}.mlp.down_proj.weight"
    b = dict(A)
    for layer in range(4):
        b[ATTENTION.format(layer, "o")] = A[ATTENTION.format(layer, "o")].T
        b[down.format(layer)] = A[down.format(layer)].T
    b["lm_head.weight"] = A["lm_head.weight"][diffing.random(6).permutation(diffing.VOCAB)]
    b["model.embed_tokens.weight"] = A["model.embed_tokens.weight"] * np.float32(0.75)
    told = sentence(diff(A, b))
    assert "equal after transposition: down_proj and o_proj of all 4 layers (8 tensors)" in told
    assert "equal but for the order of their rows: lm_head.weight (1 tensor)" in told
    assert "B is 0.75 times A in model.embed_tokens.weight (1 tensor)" in told


def test_fused_and_split_are_told_with_counts(diff: Diff) -> None:
    forth, back = diff(A, diffing.fused(A)), diff(diffing.fused(A), A)
    for found, parts, whole in ((forth, "A", "B"), (back, "B", "A")):
        told = sentence(found)
        assert f"q_proj, k_proj, v_proj of {parts} are one tensor in {whole}: 12 -> 4" in told
        assert f"gate_proj, up_proj of {parts} are one tensor in {whole}: 8 -> 4" in told
        assert told.endswith("all 27 tensors equal")


def test_fused_under_other_names_and_tuned(diff: Diff) -> None:
    b = {f"transformer.{name}": array for name, array in diffing.fused(diffing.tuned(A, 7, diffing.is_linear)).items()}
    told = sentence(diff(A, b))
    assert "strip `transformer.` from 19 of 27 names of B" in told
    assert "q_proj, k_proj, v_proj of A are one tensor in B: 12 -> 4" in told
    assert told.endswith(": a fine-tune; 11 of 27 tensors equal")


def test_stacked_experts_are_their_experts(diff: Diff) -> None:
    numbers = diffing.random(8)
    at = "model.layers.{}.mlp.experts"
    a, b = dict(A), dict(A)
    for layer in range(2):
        own = {part: numbers.standard_normal((4, *shape)).astype("f4")
               for part, shape in (("gate", (24, 64)), ("up", (24, 64)), ("down", (64, 24)))}  # fmt: skip
        a |= {f"{at.format(layer)}.{expert}.{part}_proj.weight": own[part][expert]
              for expert in range(4) for part in own}  # fmt: skip
        b[f"{at.format(layer)}.gate_up_proj"] = np.concatenate([own["gate"], own["up"]], axis=1)
        b[f"{at.format(layer)}.down_proj"] = own["down"]
    found = diff(a, b)
    assert not found.pairing.only_a
    assert not found.pairing.only_b
    assert "down_proj of all experts of A are one tensor in B: 8 -> 2" in sentence(found)
    assert "gate_proj, up_proj of all experts of A are one tensor in B: 16 -> 2" in sentence(found)
    assert len(found.valued("equal")) == len(found.pairs)
    turned = b | {name: array.swapaxes(1, 2) for name, array in b.items() if "experts" in name}
    found = diff(a, turned)
    assert "gate_proj, up_proj of all experts of A are one tensor in B, each transposed: 16 -> 2" in sentence(found)
    assert len(found.valued("equal")) == len(found.pairs)


def test_missing_layers_and_more_rows(diff: Diff) -> None:
    short = {name: array for name, array in A.items() if ".3." not in name}
    assert sentence(diff(A, short)) == (
        "B lacks 9 of A's 39 tensors (all of layer 3); all 30 tensors equal byte for byte"
    )
    longer = A | {"lm_head.weight": np.concatenate([A["lm_head.weight"], np.zeros((8, 64), "f4")])}
    assert sentence(diff(A, longer)) == (
        "shapes differ: (128, 64) -> (136, 64) in lm_head.weight; all 39 tensors equal, as far as both have them"
    )


def test_nothing_in_common(diff: Diff) -> None:
    told = sentence(diff(A, {f"x{n}.y{n}.z{n}": np.zeros(n, "f4") for n in range(1, 4)}))
    assert told.startswith("nothing in common: none of A's 39 names is one of B's 3")


def test_configs_are_compared_field_by_field(diff: Diff) -> None:
    assert diff(A, A, rope_theta=5e5).config == {"rope_theta": (10000.0, 5e5)}
