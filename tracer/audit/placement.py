"""Observed moves equal the planned ones as multisets, per rank; where not, what went where instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from mappings.plan import LoadPlan, Place
from mappings.views import Ranges
from tracer.audit.coverage import show
from tracer.audit.drafts import Draft
from tracer.cells import shard_text
from tracer.columns import Columns
from tracer.events import Move, ranges_to_json
from tracer.store import Store


class Placed(NamedTuple):
    """One block from a tensor to a parameter, on one rank."""

    tensor: str
    param: str
    src: Ranges
    dst: Ranges
    perm: tuple[int, ...] | None
    op: str | None
    row: str
    shard: str | int | None


def audit_placement(store: Store, plan: LoadPlan, ranks: Sequence[int]) -> tuple[list[Draft], int]:
    """Drafts `audit.rank-duplicate`, `audit.wrong-slice` and `audit.unwritten`, and how many moves were compared."""
    strays: dict[int, list[tuple[Placed, Placed | None]]] = {}
    never: list[tuple[int, Placed]] = []
    compared = 0
    columns = Columns(store)
    for rank in ranks:
        told = _as_planned(columns, plan, rank)
        if told is not None:
            compared += told
            strays[rank] = []
            continue
        observed = Counter(_observed(store.moves(rank)))
        intended = Counter(planned(plan, rank))
        compared += observed.total()
        missing = intended - observed
        strays[rank] = [(stray, _instead(stray, missing)) for stray in observed - intended if stray not in intended]
        accounted = {want for _, want in strays[rank]}
        never += [(rank, placed) for placed in missing if placed not in accounted]
    duplicated = _duplicates(plan, strays, ranks)
    drafts = [_duplicate(name, ranks) for name in duplicated]
    for rank, pairs in strays.items():
        drafts += [_stray(rank, stray, want) for stray, want in pairs if stray.tensor not in duplicated]
    drafts += [_never(rank, placed) for rank, placed in never if placed.tensor not in duplicated]
    return drafts, compared


def _as_planned(columns: Columns, plan: LoadPlan, rank: int) -> int | None:
    """How many moves there are, if they are just the planned ones in the planned order; None if anything differs.

    A name or a block that the store does not have differs from whatever is found, also from nothing at all.

    Names and blocks are compared by their numbers in the store, which stand for different texts.
    """
    moves = columns.moves(rank)
    compared = 0
    for found, wanted in zip_longest(moves, _planned_numbers(columns, plan, rank)):
        if found != wanted or found is None or None in found[:-1]:
            return None
        compared += 1
    return compared


def _planned_numbers(columns: Columns, plan: LoadPlan, rank: int) -> Iterator[tuple[object, ...]]:
    """The plan's moves as the store has them, None for a name or a block that it has not."""
    name, box = columns.name_numbers.get, columns.box_numbers.get
    tensors = [name(tensor.name) for tensor in plan.tensors]
    places: dict[Place, tuple[str, list[int | None]]] = {}
    for position, row, _, place, param in plan.steps(rank):
        found = places.get(place)
        if found is None:
            found = places[place] = shard_text(place.shard), [box(block) for block in place.boxes]
        for number in found[1]:
            yield tensors[position], name(row.id), found[0], name(param), number, row.op


def _observed(moves: Iterable[Move]) -> Iterator[Placed]:
    for m in moves:
        yield Placed(m.tensor, m.param, m.src, m.dst, m.perm, m.op, m.row, m.shard)


def planned(plan: LoadPlan, rank: int) -> Iterator[Placed]:
    """Every block that the plan wants on a rank."""
    for step in plan.steps(rank):
        tensor = plan.tensors[step.tensor].name
        for box in plan.boxes(step):
            yield Placed(tensor, step.param, *box, step.row.op, step.row.id, step.shard)


def _instead(stray: Placed, missing: Counter[Placed]) -> Placed | None:
    """The planned block at the stray's destination, or else of its tensor."""
    same = [p for p in missing if p.param == stray.param and p.dst == stray.dst]
    return next(iter(same), None) or next((p for p in missing if p.tensor == stray.tensor), None)


def _duplicates(
    plan: LoadPlan, wrong: dict[int, list[tuple[Placed, Placed | None]]], ranks: Sequence[int]
) -> list[str]:  # fmt: skip
    """Tensors that should be cut, of which every rank read the same wrong blocks, or those of one right rank."""
    if len(ranks) < 2:
        return []
    sources = {rank: _by_tensor(pairs) for rank, pairs in wrong.items()}
    suspects = {name for found in sources.values() for name in found}
    intended = {rank: _intended(plan, rank, suspects) for rank in ranks}
    return [
        name for name in sorted(suspects)
        if any(intended[rank].get(name) != intended[ranks[0]].get(name) for rank in ranks)
        and len({frozenset(sources[rank].get(name) or intended[rank].get(name, set())) for rank in ranks}) == 1
    ]  # fmt: skip


def _by_tensor(pairs: Iterable[tuple[Placed, Placed | None]]) -> dict[str, set[Ranges]]:
    found: dict[str, set[Ranges]] = {}
    for stray, _ in pairs:
        found.setdefault(stray.tensor, set()).add(stray.src)
    return found


def _intended(plan: LoadPlan, rank: int, names: set[str]) -> dict[str, set[Ranges]]:
    found: dict[str, set[Ranges]] = {}
    for step in plan.steps(rank):
        name = plan.tensors[step.tensor].name
        if name in names:
            found.setdefault(name, set()).update(box.src for box in plan.boxes(step))
    return found


def _duplicate(name: str, ranks: Sequence[int]) -> Draft:
    return Draft(
        "audit.rank-duplicate", name, f"all {len(ranks)} ranks hold the same slice of {{}}, which should be cut",
        None, {"ranks": list(ranks)},
    )  # fmt: skip


def _stray(rank: int, stray: Placed, want: Placed | None) -> Draft:
    got = f"{_short(stray.tensor, stray.param)}{show(stray.src)}{_how(stray)}"
    plan = "; nothing was planned there"
    if want:
        plan = f"; planned: {_short(want.tensor, stray.param)}{show(want.src)}{_how(want)}{_unlike(stray, want)}"
    return Draft(
        "audit.wrong-slice", stray.param, f"{{}} {show(stray.dst)} was written from {got}{plan}", rank,
        {"tensor": stray.tensor, "src": ranges_to_json(stray.src), "dst": ranges_to_json(stray.dst),
         "planned_src": ranges_to_json(want.src) if want else None,
         "planned_tensor": want.tensor if want else None},
    )  # fmt: skip


def _never(rank: int, want: Placed) -> Draft:
    """A planned move that did not happen; the writes may have been made up for by something else."""
    source = f"{_short(want.tensor, want.param)}{show(want.src)}"
    return Draft(
        "audit.unwritten", want.param, f"{{}} {show(want.dst)} was never written from {source}, as planned", rank,
        {"ranges": [ranges_to_json(want.dst)], "tensor": want.tensor},
    )  # fmt: skip


def _unlike(stray: Placed, want: Placed) -> str:
    """What else differs than the source: the place, the transform, or only what the loader called it."""
    told = []
    if stray.dst != want.dst:
        told.append(f"to {show(want.dst)}")
    if stray.op != want.op:
        told.append(f"through {want.op}, not {stray.op}")
    if (stray.row, stray.shard) != (want.row, want.shard):
        told.append(f"as shard {want.shard} of {want.row}, not {stray.shard} of {stray.row}")
    return "".join(f" {text}" for text in told)


def _how(placed: Placed) -> str:
    return f" transposed {placed.perm}" if placed.perm else ""


def _short(tensor: str, param: str) -> str:
    """A tensor's name without the segments it shares with the parameter, so that layers fold into one finding.

    Two are left at least: `weight` alone is no name.
    """
    own, other = tensor.split("."), param.split(".")
    shared = 0
    while shared < min(len(own) - 2, len(other) - 1) and own[shared] == other[shared]:
        shared += 1
    return ".".join(own[shared:])

