"""A repair and the one that undoes it give back every byte; and each does what torch does to the same tensors."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tracer.repair.damaged import TWO, Tensors, read, repaired, same, write
from tracer.repair.changes import Change, Cut, Drop, Join, Rename, Transform

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
ALL_DTYPES = [*DTYPES, torch.int8, torch.uint8, torch.bool, torch.int64, torch.float8_e4m3fn]
Made = dict[str, torch.Tensor]


class Edit(NamedTuple):
    """Changes of one tensor, what torch makes of it, and the changes that undo them."""

    changes: list[Change]
    undone: list[Change]
    made: Made


def random(draw: st.DrawFn, shape: tuple[int, ...], dtypes: list[torch.dtype]) -> torch.Tensor:
    """Any bits, NaN among them."""
    dtype = draw(st.sampled_from(dtypes))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    count = int(torch.tensor(shape).prod())
    if dtype is torch.bool:
        coins: torch.Tensor = torch.randint(0, 2, shape, generator=generator).bool()
        return coins
    raw = torch.randint(0, 256, (count * dtype.itemsize,), generator=generator, dtype=torch.uint8)
    return raw.view(dtype).reshape(shape)


def shapes(draw: st.DrawFn, least: int, most: int) -> tuple[int, ...]:
    return tuple(draw(st.lists(st.integers(1, 5), min_size=least, max_size=most)))


def halves_to_pairs(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    split: torch.Tensor = tensor.unflatten(0, (heads, 2, -1))
    return split.transpose(1, 2).flatten(0, 2)


def rename(draw: st.DrawFn, name: str) -> tuple[torch.Tensor, Edit]:
    tensor = random(draw, shapes(draw, 0, 3), ALL_DTYPES)
    new = f"language_model.{name}"
    return tensor, Edit([Rename({name: new})], [Rename({new: name})], {new: tensor})


def transpose(draw: st.DrawFn, name: str) -> tuple[torch.Tensor, Edit]:
    tensor = random(draw, shapes(draw, 2, 4), DTYPES)
    change: list[Change] = [Transform((name,), "transpose")]
    return tensor, Edit(change, change, {name: tensor.transpose(-1, -2)})


def rotary(draw: st.DrawFn, name: str) -> tuple[torch.Tensor, Edit]:
    heads, half = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    tensor = random(draw, (heads * 2 * half, *shapes(draw, 0, 2)), DTYPES)
    there: list[Change] = [Transform((name,), "half-to-interleaved", heads)]
    back: list[Change] = [Transform((name,), "interleaved-to-half", heads)]
    return tensor, Edit(there, back, {name: halves_to_pairs(tensor, heads)})


def added(draw: st.DrawFn, name: str) -> tuple[torch.Tensor, Edit]:
    """Of numbers with few bits, since a sum that is rounded cannot be undone."""
    dtype = draw(st.sampled_from(DTYPES))
    whole = draw(st.lists(st.integers(-15, 15), min_size=1, max_size=12))
    tensor = (torch.tensor(whole) / 16).to(dtype)
    there: list[Change] = [Transform((name,), "add", amount=1.0)]
    back: list[Change] = [Transform((name,), "add", amount=-1.0)]
    return tensor, Edit(there, back, {name: tensor + 1})


def cut(draw: st.DrawFn, name: str) -> tuple[torch.Tensor, Edit]:
    tensor = random(draw, shapes(draw, 1, 3), ALL_DTYPES)
    axis = draw(st.integers(0, tensor.ndim - 1))
    drop = draw(st.booleans())
    size = tensor.shape[axis]
    stops = range(1, size + 1) if drop else sorted({*draw(st.lists(st.integers(1, size), max_size=3)), size})
    ranges = list(zip([0, *stops], stops, strict=False))
    parts = {f"{name}.{n}": bounds for n, bounds in enumerate(ranges)}
    there: list[Change] = [Cut(name, axis, parts, drop)]
    back: list[Change] = [Join(tuple(parts), name, axis, drop)]
    pieces = {new: tensor.narrow(axis, start, stop - start) for new, (start, stop) in parts.items()}
    return tensor, Edit(there, back, {new: piece.squeeze(axis) if drop else piece for new, piece in pieces.items()})


EDITS: list[Callable[[st.DrawFn, str], tuple[torch.Tensor, Edit]]] = [rename, transpose, rotary, added, cut]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Made, list[Edit]]:
    tensors, edits = {}, []
    for n in range(draw(st.integers(1, 6))):
        tensors[f"t{n}"], edit = draw(st.sampled_from(EDITS))(draw, f"t{n}")
        edits.append(edit)
    return tensors, edits


def contiguous(made: Tensors) -> Made:
    return {name: tensor.contiguous() for name, tensor in made.items()}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases(), st.sampled_from([("model.safetensors",), TWO]))
def test_what_a_repair_does_torch_does_too_and_the_inverse_gives_every_byte_back(
    case: tuple[Made, list[Edit]], files: tuple[str, ...]
) -> None:  # fmt: skip
    tensors, edits = case
    files = files[: len(tensors)] if len(tensors) > 1 else files[:1]
    with tempfile.TemporaryDirectory() as root:
        source = write(Path(root, "a"), tensors, files)
        repaired(source, [change for edit in edits for change in edit.changes], Path(root, "b"))
        made = {name: tensor for edit in edits for name, tensor in edit.made.items()}
        assert same(contiguous(made), read(Path(root, "b")))
        repaired(Path(root, "b"), [change for edit in edits for change in edit.undone], Path(root, "c"))
        assert same(tensors, read(Path(root, "c")))


@settings(max_examples=8, deadline=None)
@given(st.permutations([f"t{n}" for n in range(5)]), st.sampled_from([("model.safetensors",), TWO]))
def test_names_in_any_permutation_are_exchanged_and_exchanged_back(order: list[str], files: tuple[str, ...]) -> None:
    tensors = {f"t{n}": torch.full((n + 1,), float(n)) for n in range(5)}
    there = dict(zip(tensors, order, strict=True))
    with tempfile.TemporaryDirectory() as root:
        source = write(Path(root, "a"), tensors, files)
        repaired(source, [Rename(there)], Path(root, "b"))
        assert same({there[name]: tensor for name, tensor in tensors.items()}, read(Path(root, "b")))
        repaired(Path(root, "b"), [Rename({new: old for old, new in there.items()})], Path(root, "c"))
        assert same(tensors, read(Path(root, "c")))


def test_several_changes_of_one_tensor_go_together(tmp_path: Path) -> None:
    tensors: dict[str, Any] = {"q": torch.arange(24.0).reshape(3, 8), "k": torch.arange(24.0).reshape(3, 8) + 100}
    source = write(tmp_path / "a", tensors)
    changes: list[Change] = [
        Join(("q", "k"), "qk", 0), Transform(("q", "k"), "transpose"), Transform(("q",), "interleaved-to-half", 2),
        Transform(("k",), "add", amount=0.5),
    ]  # fmt: skip
    repaired(source, changes, tmp_path / "b")
    q = tensors["q"].T.unflatten(0, (2, -1, 2)).transpose(1, 2).flatten(0, 2)
    assert torch.equal(read(tmp_path / "b")["qk"], torch.cat([q, tensors["k"].T + 0.5]))


def test_sums_are_made_in_float32_and_rounded_once(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {str(dtype): torch.randn(1000, generator=generator).to(dtype) for dtype in DTYPES[:3]}
    tensors["wide"] = torch.randn(1000, generator=generator, dtype=torch.float64)
    repaired(write(tmp_path / "a", tensors), [Transform(tuple(tensors), "add", amount=1.1)], tmp_path / "b")
    wanted = {name: (tensor.float() + 1.1).to(tensor.dtype) for name, tensor in tensors.items() if name != "wide"}
    assert same(wanted | {"wide": tensors["wide"] + 1.1}, read(tmp_path / "b"))


def test_a_part_that_is_dropped_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    tensors = {f"t{n}": torch.randn(n + 1) for n in range(6)}
    source = write(tmp_path / "a", tensors, TWO)
    result = repaired(source, [Drop(("t0", "t3"), "not loaded")], tmp_path / "b")
    assert same({name: tensors[name] for name in ("t1", "t2", "t4", "t5")}, read(tmp_path / "b"))
    assert (result.tensors, result.kept) == (4, 4)
