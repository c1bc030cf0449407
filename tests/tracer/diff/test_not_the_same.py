"""Pairs that are easily called equal, or by the wrong story, and are not."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import diffing
from tests.diffing import BF16, Arrays
from tracer.cli import main
from tracer.diff.checkpoints import compare
from tracer.diff.compared import Comparison
from tracer.diff.sides import open_side
from tracer.diff.values.rows import Kept, Late
from tracer.diff.verdict import sentence
from tracer.errors import InputError

A = diffing.model()
EMBEDDING = "model.embed_tokens.weight"
Diff = Callable[..., Comparison]


def against(a: str, b: str, values: bool = True) -> Comparison:
    one, other = open_side("A", a, values), open_side("B", b, values)
    return compare(one, other, values, False, lambda done, total: None)


@pytest.fixture
def diff(tmp_path: Path) -> Diff:
    """Compares two sets of arrays; fields of either config by `a` and `b`."""

    def compared(one: Arrays, other: Arrays, a: dict[str, Any] | None = None, b: dict[str, Any] | None = None) -> Any:
        paths = diffing.write(tmp_path / "a", one, **(a or {})), diffing.write(tmp_path / "b", other, **(b or {}))
        return against(*paths)

    return compared


# --- not the same ---


def test_another_config_is_not_the_same_checkpoint(
    diff: Diff, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = diff(A, A, b={"rope_theta": 5e5})
    assert not found.same
    told = "but config.json differs in rope_theta: 10000.0 -> 500000.0"
    assert sentence(found) == f"the same tensors: 39 tensors equal byte for byte; {told}"
    assert main(["diff", str(tmp_path / "a"), str(tmp_path / "b"), "--exit-code"]) == 1
    capsys.readouterr()


@pytest.mark.parametrize(("dtype", "how"), [("f4", "equal exactly"), (BF16, "equal exactly once rounded to BF16")])
def test_a_dequantised_copy_is_told_to_be_one(diff: Diff, dtype: Any, how: str) -> None:
    quantised, wanted = diffing.quantised(A, diffing.fp8_rows)
    plain = diffing.cast(A | {name: numbers.astype("f4") for name, numbers in wanted.items()}, dtype)
    told = f"dequantised: FP8, one scale a row in 28 of 39 weights; {how}; "
    forth, back = diff(quantised, plain), diff(plain, quantised)
    assert sentence(forth).startswith(f"B is A {told}")
    assert sentence(back).startswith(f"A is B {told}")
    assert not forth.same


def test_scales_of_activations_are_compared(diff: Diff) -> None:
    quantised, _ = diffing.quantised(A, diffing.fp8_rows)
    names = [name.replace("weight_scale", "input_scale") for name in quantised if "_scale" in name]
    scales = {name: np.array([0.5], "f4") for name in names}
    found = diff(quantised | scales, quantised | {name: scale * 2 for name, scale in scales.items()})
    assert {pair.subject for pair in found.differing} == set(scales)
    found = diff(quantised | scales, quantised)
    assert {weight.name for weight in found.pairing.only_a} == set(scales)
    assert not found.same
    assert not diff(A, quantised | scales).pairing.only_b, "a part of how it is quantised"


def test_equal_words_of_two_versions_of_gptq_are_other_numbers(diff: Diff) -> None:
    tensors, _ = diffing.quantised(A, diffing.gptq)
    fields = {"quant_method": "gptq", "bits": 4}
    found = diff(
        tensors, tensors, {"quantization_config": fields},
        {"quantization_config": fields | {"checkpoint_format": "gptq_v2"}},
    )  # fmt: skip
    assert not found.same
    assert "quantization_config" in found.config
    told = "quantised differently: GPTQ 4 bit, group 32 -> GPTQ 4 bit, group 32, version 2 in 28 of 39 weights;"
    assert sentence(found).startswith(told)


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_integers_that_no_float_tells_apart_differ(diff: Diff, dtype: str) -> None:
    found = diff({"x": np.array([2**53], dtype)}, {"x": np.array([2**53 + 1], dtype)})
    assert [pair.subject for pair in found.valued("differs")] == ["x"]


def test_rows_that_agree_to_single_precision_only_are_not_reordered(diff: Diff) -> None:
    rows = diffing.random(1).standard_normal((8, 8))
    assert diff({"x": rows}, {"x": rows[::-1].copy()}).valued("reordered")
    assert diff({"x": rows}, {"x": rows[::-1] * (1 + 1e-12)}).valued("differs")


@pytest.mark.parametrize("shape", [(0,), (0, 4)])
def test_an_empty_tensor_is_equal_to_none_that_is_not(diff: Diff, shape: tuple[int, ...]) -> None:
    """As ZeRO-3 leaves them behind."""
    (pair,) = diff({"x": np.ones((4, 4), "f4")[: len(shape) * 2]}, {"x": np.zeros(shape, "f4")}).pairs
    assert pair.valued is None
    assert pair.unchecked == "it is empty in B"
    empty = {"x": np.zeros(shape, "f4")}
    assert diff(empty, empty).same


def test_shapes_that_only_bytes_tell_must_agree(diff: Diff) -> None:
    name = "model.layers.0.self_attn.q_proj.weight"
    short, _ = diffing.nf4(name.removesuffix(".weight"), A[name][:32])
    (pair,) = diff({name: A[name]}, short).pairs
    assert pair.unchecked == "it is of 64 rows in A, of 32 in B"


# --- not that story ---


def test_other_numbers_in_transposed_shapes_are_not_called_transposed(diff: Diff) -> None:
    """Nor a fine-tune, as norms are near 1 in every model."""
    other = {name: array.T if array.ndim == 2 else array for name, array in diffing.model(seed=9).items()}
    told = sentence(diff(A, other))
    assert "transposition" not in told
    assert "39 of 39 tensors have other numbers (cosine 0.0" in told
    assert told.endswith(": trained apart")
    tuned = {name: array.T if array.ndim == 2 else array for name, array in diffing.tuned(A, 1, bool).items()}
    assert "% off) after transposition" in sentence(diff(A, tuned))


def test_other_numbers_under_other_names_are_not_called_the_same(diff: Diff) -> None:
    told = sentence(diff(A, {f"module.{name}": array for name, array in diffing.model(seed=9).items()}))
    assert told.startswith("other tensors of the same shapes, whose names agree under an edit: strip `module.`")


def test_layers_that_moved_up_are_told_to_have(diff: Diff) -> None:
    """A model of which a layer was taken out, and the others numbered anew."""
    kept = {0: 0, 2: 1, 3: 2}
    pruned = {name: array for name, array in A.items() if "layers" not in name}
    for old, new in kept.items():
        pruned |= {name.replace(f".{old}.", f".{new}."): array for name, array in A.items() if f".{old}." in name}
    told = sentence(diff(A, pruned))
    assert "layers 1, 2 of B are layers 2, 3 of A byte for byte (18 tensors)" in told
    assert "apart" not in told
    assert told.endswith("12 of 30 tensors equal")


def test_experts_in_another_order_are_told_to_be(diff: Diff) -> None:
    name, order = "model.layers.{}.mlp.experts.{}.{}_proj.weight", diffing.random(3).permutation(8)
    numbers = diffing.random(4)
    experts = {name.format(layer, expert, part): numbers.standard_normal((24, 64)).astype("f4")
               for layer in range(2) for expert in range(8) for part in ("gate", "up")}  # fmt: skip
    mixed = {name.format(layer, expert, part): experts[name.format(layer, order[expert], part)]
             for layer in range(2) for expert in range(8) for part in ("gate", "up")}  # fmt: skip
    count = 4 * np.count_nonzero(order != np.arange(8))
    told = sentence(diff(A | experts, A | mixed))
    assert f"experts in another order, byte for byte ({count} tensors)" in told
    assert "apart" not in told


def test_rows_that_moved_alike_are_no_adapter(diff: Diff) -> None:
    moved = A[EMBEDDING].copy()
    moved[120:] += np.float32(0.01)
    told = sentence(diff(A, A | {EMBEDDING: moved}))
    assert told.startswith(f"the same checkpoint but for 1 of 39 tensors: {EMBEDDING} differs in 512 of 8,192 elements")


def test_one_number_is_no_multiple_of_another(diff: Diff) -> None:
    scalars = {"x": np.array(2, "f4"), "y": np.array([3], "f4")}
    assert len(diff(scalars, {"x": np.array(2.5, "f4"), "y": np.array([4], "f4")}).valued("differs")) == 2


def test_an_infinity_on_one_side_only_is_an_error(
    diff: Diff, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = A[EMBEDDING].copy()
    broken[0, :2] = np.inf, -np.inf
    diff(A, A | {EMBEDDING: broken})
    assert main(["diff", str(tmp_path / "a"), str(tmp_path / "b"), "--values"]) == 1
    told = f"ERROR  value.nonfinite  {EMBEDDING}: 2 infinities in B where A has numbers"
    assert told in capsys.readouterr().out


def test_a_side_of_which_no_names_are_known_has_nothing_in_common_nor_not(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(diffing.CONFIG))
    told = sentence(against(str(tmp_path), diffing.write(tmp_path / "b", A)))
    assert told == "the names of A's tensors are not known here, those of 39 in B are"


# --- what it survives ---


@pytest.mark.parametrize(
    "tensors",
    [
        {"qweight": (8, 64), "scales": (2, 64), "g_idx": ()}, {"weight": (), "scales": (), "biases": ()},
        {"weight_packed": (), "weight_scale": (4, 4)}, {"weight_packed": (4, 4), "weight_scale": (4, 0)},
        {"qweight": (8, 64), "qzeros": (0, 8), "scales": (0, 64)}, {"blocks": (16,), "scales": ()},
        {"weight": (4, 4), "weight_scale": ()}, {"qweight": (0, 0), "scales": (0, 0)},
    ],
    ids="-".join,
)  # fmt: skip
def test_leaves_of_schemes_in_odd_shapes_are_no_crash(diff: Diff, tensors: dict[str, tuple[int, ...]]) -> None:
    dtypes = {"biases": "u4", "blocks": "u1", "weight": "u4" if "biases" in tensors else "u1"}
    names = {leaf: f"x_{leaf}" if "blocks" in tensors else f"x.{leaf}" for leaf in tensors}
    odd: Arrays = {names[leaf]: np.zeros(shape, dtypes.get(leaf, "i4")) for leaf, shape in tensors.items()}
    for other in (A, odd, {"x.weight": np.ones((64, 64), "f4")}):
        diff(odd, other)


def saved(folder: Path, tensor: torch.Tensor) -> str:
    folder.mkdir()
    torch.save({"x": tensor}, folder / "pytorch_model.bin")
    return str(folder)


def test_a_slice_of_a_storage_is_compared_to_its_end(tmp_path: Path) -> None:
    """Its elements reach further than it has bytes: what lies at the end is of it, what lies between is not."""
    whole = torch.arange(64 * 64.0).reshape(64, 64)
    last, between = whole.clone(), whole.clone()
    last[63, 62] += 1
    between[0, 1] += 1
    one = saved(tmp_path / "a", whole[:, ::2])
    assert against(one, saved(tmp_path / "between", between[:, ::2])).same
    assert against(one, diffing.write(tmp_path / "st", {"x": whole[:, ::2].numpy()})).valued("equal")
    (pair,) = against(one, saved(tmp_path / "b", last[:, ::2])).valued("differs")
    assert pair.valued is not None
    assert pair.valued.distance is not None
    assert (pair.valued.distance.differing, pair.valued.distance.largest) == (1, 1.0)


def test_a_tensor_that_repeats_one_number_is_read_if_it_is_small(tmp_path: Path) -> None:
    one, other = (saved(tmp_path / f"{value}", torch.full((1,), value).expand(8, 8)) for value in (1.0, 2.0))
    assert against(one, one).same
    assert against(one, other).valued("scaled")
    large = (torch.full((1,), value).expand(1 << 15, 1 << 15) for value in (1.0, 2.0))
    one, other = (saved(tmp_path / f"large{place}", tensor) for place, tensor in enumerate(large))
    (pair,) = against(one, other).pairs
    assert "of which the order is not that of its rows" in pair.unchecked


def test_repeating_tensors_are_not_looked_for_elsewhere(tmp_path: Path) -> None:
    rows = torch.from_numpy(diffing.random(5).standard_normal((2, 1 << 14, 1)).astype("f4"))
    one, other = (saved(tmp_path / f"{place}", rows[place].expand(1 << 14, 64)) for place in (0, 1))
    assert against(one, other).valued("differs")


def test_nested_scales_of_a_huge_block_are_not_spread(diff: Diff) -> None:
    tensors, _ = diffing.nf4("x", A["lm_head.weight"], True)
    leaf = "x.weight.quant_state.bitsandbytes__nf4"
    for changed in ({"nested_blocksize": 1 << 60}, {"nested_offset": 10**400}):
        state = json.loads(tensors[leaf].tobytes()) | changed
        diff({"x.weight": A["lm_head.weight"]}, tensors | {leaf: np.frombuffer(json.dumps(state).encode(), "u1")})


def test_a_file_that_changed_after_its_header_was_read_is_refused(tmp_path: Path) -> None:
    paths = [diffing.write(tmp_path / key, A) for key in "ab"]
    one, other = (open_side(letter, path, True) for letter, path in zip("AB", paths, strict=True))
    os.utime(tmp_path / "b" / "model.safetensors", ns=(1, 1))
    with pytest.raises(InputError, match="it changed while it was read"):
        compare(one, other, True, False, lambda done, total: None)


def test_of_many_parts_few_are_kept() -> None:
    """Hundreds of experts that are turned one after the other."""
    kept: Kept = OrderedDict()
    made = []

    def part(place: int) -> Late:
        def opened() -> Any:
            made.append(place)
            return Constant(place)

        return Late((1, 1), "F32", opened, kept)

    parts = [part(place) for place in range(32)]
    assert [float(each.read(0, 1)[0, 0]) for each in parts for _ in range(2)] == [n // 2 for n in range(64)]
    assert made == list(range(32))
    assert len(kept) <= 4


class Constant:
    """One number as rows."""

    shape, dtype = (1, 1), "F32"

    def __init__(self, number: int) -> None:
        self.number = number

    def read(self, start: int, stop: int) -> Any:
        return np.full((stop - start, 1), self.number, "f4")


def test_what_was_not_compared_is_in_the_records(
    diff: Diff, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diff({"x": np.ones((4, 4), "f4")}, {"x": np.ones((4, 4), "c8")})
    main(["diff", str(tmp_path / "a"), str(tmp_path / "b"), "--values", "--json", "-"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found[0]["same"] is False
    assert [record["unchecked"] for record in found if record["kind"] == "difference"] == [
        "numbers of C64 cannot be read"
    ]
