"""Compares two loads rank by rank, or, where they were cut differently, all ranks of one with all of the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from mappings.views import Box, Ranges, Shape
from tracer.diff.loads.pieces import merged, same_elements
from tracer.diff.loads.placements import Load, Target, shape_in
from tracer.events import Parameter

What: TypeAlias = Literal["destination", "source", "only-a", "only-b", "otherwise", "param", "pad", "tensor"]
"""Same source and another destination; the reverse; moved in one trace only; both differ; a parameter itself."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One tensor on one rank, or one parameter of it."""

    what: What
    rank: int | None
    subject: str
    """The tensor; of `param` and `pad` the parameter."""
    a: tuple[Target, ...] = ()
    b: tuple[Target, ...] = ()
    detail: str = ""


@dataclass(slots=True)
class LoadComparison:
    """Two loads, compared."""

    a: Load
    b: Load
    ranks: tuple[int, ...]
    """Those that both have; none where the loads were cut for different numbers of ranks."""
    differences: list[Difference] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    tensors: int = 0
    """Tensors that either moves."""

    @property
    def same(self) -> bool:
        return not self.differences and not self.unchecked

    @property
    def lonely(self) -> list[int]:
        """Ranks that only one of them has, where both were cut for as many."""
        return sorted(set(self.a.run.ranks) ^ set(self.b.run.ranks)) if self.a.run.tp == self.b.run.tp else []

    @property
    def incomparable(self) -> str:
        """Why no move of one can be held against one of the other; empty where they can."""
        a, b = self.a.run, self.b.run
        if a.tp == b.tp:
            told = f"the traces have no rank in common ({list(a.ranks)}, {list(b.ranks)})"
            return "" if self.ranks else told
        lacking = [load for load in (self.a, self.b) if set(load.run.ranks) < set(range(load.run.tp))]
        had = " and ".join(f"{load.letter} has {list(load.run.ranks)} of {load.run.tp}" for load in lacking)
        return f"loads at another tp can be only by all ranks together, and {had}" if lacking else ""


def compare(a: Load, b: Load) -> LoadComparison:
    """All that differs. Raises InputError for a damaged trace."""
    alike = a.run.tp == b.run.tp
    ranks = tuple(sorted(set(a.run.ranks) & set(b.run.ranks))) if alike else ()
    found = LoadComparison(a, b, ranks)
    found.differences += _tensors(a, b)
    moved: set[str] = set()
    for rank in ranks:
        own_a, own_b = a.params(rank), b.params(rank)
        found.differences += _params(rank, own_a, own_b, a, b)
        moves_a, moves_b = a.moves(rank), b.moves(rank)
        for tensor in dict.fromkeys([*moves_a, *moves_b]):
            moved.add(tensor)
            targets = moves_a.get(tensor, ()), moves_b.get(tensor, ())
            if targets[0] != targets[1]:
                found.differences += _tensor(found, rank, tensor, targets, own_a, own_b)
    if not alike and not found.incomparable:
        moved |= _over_all_ranks(found)
    elif not alike:
        found.unchecked.append(found.incomparable)
    if found.lonely:
        found.unchecked.append(f"rank{'s' if len(found.lonely) > 1 else ''} {found.lonely}: in one trace only")
    found.tensors = len(moved)
    return found


def _tensors(a: Load, b: Load) -> Iterator[Difference]:
    """What the traces say of the checkpoint."""
    for name in dict.fromkeys([*a.tensors, *b.tensors]):
        one, other = a.tensors.get(name), b.tensors.get(name)
        if one is None or other is None:
            yield Difference("tensor", None, name, detail=f"only in {'B' if one is None else 'A'}")
        elif (one.shape, one.dtype) != (other.shape, other.dtype):
            kept = f"{one.dtype} {one.shape} in A, {other.dtype} {other.shape} in B"
            yield Difference("tensor", None, name, detail=kept)


def _params(
    rank: int, own_a: dict[str, Parameter], own_b: dict[str, Parameter], a: Load, b: Load
) -> Iterator[Difference]:  # fmt: skip
    pads_a, pads_b = a.pads(rank), b.pads(rank)
    for name in dict.fromkeys([*own_a, *own_b]):
        one, other = own_a.get(name), own_b.get(name)
        if one is None or other is None:
            yield Difference("param", rank, name, detail=f"only in {'B' if one is None else 'A'}")
            continue
        if (one.shape, one.dtype, one.tied_to) != (other.shape, other.dtype, other.tied_to):
            yield Difference("param", rank, name, detail=f"{_kept(one)} in A, {_kept(other)} in B")
        if pads_a.get(name, set()) != pads_b.get(name, set()):
            yield Difference("pad", rank, name, detail="filled without a source otherwise in A than in B")


def _kept(param: Parameter) -> str:
    return f"{param.dtype} {param.shape}" + (f" tied to {param.tied_to}" if param.tied_to else "")


def _tensor(
    found: LoadComparison, rank: int, tensor: str, targets: tuple[tuple[Target, ...], tuple[Target, ...]],
    own_a: dict[str, Parameter], own_b: dict[str, Parameter],
) -> Iterator[Difference]:  # fmt: skip
    """One tensor on one rank whose moves are not written down alike."""
    a, b = (tuple(target._replace(boxes=merged(target.boxes)) for target in side) for side in targets)
    by_a, by_b = ({(target.param, target.op): target for target in side} for side in (a, b))
    shape = found.a.tensors.get(tensor) or found.b.tensors.get(tensor)
    left_a, left_b = dict(by_a), dict(by_b)
    for key in by_a.keys() & by_b.keys():
        same = _same(by_a[key], by_b[key], shape.shape if shape else (), own_a, own_b)
        if same is None:
            found.unchecked.append(f"{tensor} on rank {rank}: too many elements in too many blocks")
        if same is not False:
            del left_a[key], left_b[key]
    if left_a or left_b:
        one, other = tuple(left_a.values()), tuple(left_b.values())
        yield Difference(_kind(one, other), rank, tensor, one, other)


def _same(
    a: Target, b: Target, shape: Shape, own_a: dict[str, Parameter], own_b: dict[str, Parameter]
) -> bool | None:  # fmt: skip
    if a.boxes == b.boxes:
        return True
    ends = shape_in(own_a, a.param), shape_in(own_b, b.param)
    if ends[0] is None or ends[1] is None or not _inside((*a.boxes, *b.boxes), shape, ends[0]):
        return False
    return same_elements(a.boxes, b.boxes, shape, ends[0], ends[1])


def _inside(boxes: tuple[Box, ...], src: Shape, dst: Shape) -> bool:
    return all(_within(box.src, src) and _within(box.dst, dst) for box in boxes)


def _within(ranges: Ranges, shape: Shape) -> bool:
    return len(ranges) == len(shape) and all(
        0 <= start <= stop <= size and step > 0 for (start, stop, step), size in zip(ranges, shape, strict=True)
    )  # fmt: skip


def _kind(a: tuple[Target, ...], b: tuple[Target, ...]) -> What:
    if not a or not b:
        return "only-b" if not a else "only-a"
    if _sources(a) == _sources(b):
        return "destination"
    ends = [{(target.param, box.dst) for target in side for box in target.boxes} for side in (a, b)]
    return "source" if ends[0] == ends[1] else "otherwise"


def _sources(targets: tuple[Target, ...]) -> tuple[Ranges, ...]:
    """What is read, however it is cut and wherever it goes: the source of a block stands for its destination too."""
    read = merged([Box(box.src, box.src, None) for target in targets for box in target.boxes])
    return tuple(box.src for box in read)


def _over_all_ranks(found: LoadComparison) -> set[str]:
    """For different numbers of ranks: which parameters each tensor goes to, and which of its elements are read."""
    sides: list[dict[str, dict[tuple[str, str | None], list[Box]]]] = [{}, {}]
    for load, side in ((found.a, sides[0]), (found.b, sides[1])):
        for rank in load.run.ranks:
            for tensor, targets in load.moves(rank).items():
                own = side.setdefault(tensor, {})
                for target in targets:
                    own.setdefault((target.param, target.op), []).extend(target.boxes)
    for tensor in dict.fromkeys([*sides[0], *sides[1]]):
        a, b = (tuple(Target(*to, tuple(boxes)) for to, boxes in side.get(tensor, {}).items()) for side in sides)
        unlike = {target[:2] for target in a} != {target[:2] for target in b}
        if unlike or _sources(a) != _sources(b):
            found.differences.append(Difference(_kind(a, b) if unlike else "source", None, tensor, a, b))
    return {*sides[0], *sides[1]}
