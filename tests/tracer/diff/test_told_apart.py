"""What merely looks like training: tensors that are all zero, that changed places, that no one could read, or tied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import diffing
from tests.diffing import Arrays
from tracer.cli import main
from tracer.diff.checkpoints import compare
from tracer.diff.compared import Comparison
from tracer.diff.sides import open_side
from tracer.diff.verdict import sentence

A = diffing.model()
UP = "model.layers.{}.mlp.up_proj.weight"
NORM = "model.layers.1.input_layernorm.weight"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
Diff = Callable[..., Comparison]


@pytest.fixture
def diff(tmp_path: Path) -> Diff:
    """Compares two sets of arrays, values and all."""

    def compared(one: Arrays, other: Arrays, **fields: Any) -> Comparison:
        paths = diffing.write(tmp_path / "a", one, **fields), diffing.write(tmp_path / "b", other, **fields)
        sides = open_side("A", paths[0], True), open_side("B", paths[1], True)
        return compare(*sides, True, False, lambda done, total: None)

    return compared


def output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    main(["diff", str(tmp_path / "a"), str(tmp_path / "b"), "--values"])
    return capsys.readouterr().out


# --- zeros ---


@pytest.mark.parametrize("side", ["A", "B"])
@pytest.mark.parametrize("names", [[UP.format(2)], [UP.format(1), UP.format(2), NORM]])
def test_zeros_are_called_zeros(
    diff: Diff, tmp_path: Path, capsys: pytest.CaptureFixture[str], side: str, names: list[str]
) -> None:
    zeros = A | {name: np.zeros_like(A[name]) for name in names}
    found = diff(*((zeros, A) if side == "A" else (A, zeros)))
    other = "B" if side == "A" else "A"
    assert sentence(found).startswith(f"{len(names)} of 39 tensors all zero in {side} and not in {other}: ")
    assert {pair.subject for pair in found.pairs if pair.zero_in == side} == set(names)
    text = output(tmp_path, capsys)
    assert f", zero in {side}\n" in text
    assert "nan" not in text


def test_of_a_line_it_is_said_how_many_are_zero(diff: Diff, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diff(A, diffing.tuned(A, 1, lambda name: "up_proj" in name) | {UP.format(2): np.zeros_like(A[UP.format(2)])})
    (line,) = (line for line in output(tmp_path, capsys).splitlines() if "up_proj" in line and " x4 " in line)
    assert "cosine 1.0000, zero in B: 1" in line


def test_nan_beside_zeros_is_not_zero(diff: Diff) -> None:
    broken = np.zeros_like(A[UP.format(2)])
    broken[0, 0] = np.nan
    (pair,) = diff(A, A | {UP.format(2): broken}).differing
    assert not pair.zero_in


# --- places ---


def swapped(names: list[str], one: int, other: int) -> Arrays:
    places = {one: other, other: one}
    return A | {name.format(place): A[name.format(goes)] for name in names for place, goes in places.items()}


def test_one_matrix_of_two_layers_that_changed_places(diff: Diff) -> None:
    told = sentence(diff(A, swapped([UP], 1, 2)))
    assert told == "up_proj of layers 1 and 2 changed places, byte for byte (2 tensors); 37 of 39 tensors equal"


def test_whole_layers_that_changed_places(diff: Diff) -> None:
    names = [name.replace(".1.", ".{}.") for name in A if ".layers.1." in name]
    assert sentence(diff(A, swapped(names, 1, 3))).startswith(
        "layers 1 and 3 changed places, byte for byte (18 tensors)"
    )


def test_three_in_a_ring_did_not_change_places(diff: Diff) -> None:
    ring = A | {UP.format(place): A[UP.format((place + 1) % 3)] for place in range(3)}
    assert sentence(diff(A, ring)).startswith("up_proj of layers in another order, byte for byte (3 tensors)")


# --- unread ---


def test_what_could_not_be_read_keeps_its_other_dtype(diff: Diff) -> None:
    tensors, _ = diffing.quantised(A, diffing.nf4)
    unread = {name: np.zeros_like(array) if "quant_state" in name else array for name, array in tensors.items()}
    told = sentence(diff(A, unread))
    many = "11 of 39 tensors equal; 28 of 39 tensors could not be compared"
    assert told == f"B is A quantised, by names and shapes: bitsandbytes NF4, blocks in 28 of 39 weights; {many}"


# --- tied ---


def test_a_head_that_only_one_side_stores_is_compared_with_its_embedding(diff: Diff) -> None:
    tied = {name: array for name, array in A.items() if name != HEAD}
    copy = A | {HEAD: A[EMBEDDING]}
    assert f"{HEAD} of B equals its {EMBEDDING}, as if they were tied" in sentence(diff(tied, copy))
    assert f"{HEAD} of A equals its {EMBEDDING}, as if they were tied" in sentence(diff(copy, tied))
    wide = A | {HEAD: A[EMBEDDING].astype("f8")}
    assert f"{HEAD} of B equals its {EMBEDDING}, as if they were tied" in sentence(diff(tied, wide))


def test_a_head_of_its_own_is_told_from_its_embedding(diff: Diff) -> None:
    tied = {name: array for name, array in A.items() if name != HEAD}
    other = A | {HEAD: A[EMBEDDING].copy()}
    other[HEAD][3, 5] += 1
    assert f"{HEAD} of B is not its {EMBEDDING}: 1 of 8,192 elements differ" in sentence(diff(tied, other))
    other[HEAD][3, 5] = np.nan
    assert f"{HEAD} of B is not its {EMBEDDING}: 1 of 8,192 elements differ" in sentence(diff(tied, other))


def test_a_head_of_both_sides_is_told_nothing_of(diff: Diff) -> None:
    assert not diff(A, A).ties
