"""Each source element is read exactly as often as its declared consumers say, over all ranks."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from mappings.bind import BoundRow
from mappings.plan import LoadPlan, view_ranges
from mappings.shards import replicas
from mappings.views import Ranges, Shape, View
from tracer.audit.blocks import Blocks, blocks_of
from tracer.audit.coverage import Coverage, Region, inside, show, show_all
from tracer.audit.drafts import Draft
from tracer.columns import Columns
from tracer.events import ranges_to_json
from tracer.store import Store


def audit_reads(store: Store, plan: LoadPlan) -> tuple[list[Draft], int]:
    """Drafts `audit.unread` and `audit.overread`, and how many elements were looked at."""
    read = blocks_of(Columns(store), "tensor", "src")
    judged: dict[tuple[int, Shape, BoundRow], _Judged] = {}
    drafts: list[Draft] = []
    total = 0
    for tensor, claim in zip(plan.tensors, plan.claims, strict=True):
        if not isinstance(claim.owner, BoundRow):
            continue
        shape = tuple(tensor.shape)
        blocks = read.get(tensor.name, ())
        # Tensors that were read alike share one tuple of blocks, which lives as long as this function runs.
        key = id(blocks), shape, claim.owner
        found = judged.get(key)
        if found is None:
            found = judged[key] = _judge(shape, blocks, declared(claim.owner))
        total += found.elements
        if found.outside or found.wrong:
            drafts += _drafts(tensor.name, shape, found)
    return drafts, total


class _Judged(NamedTuple):
    """What is to be said of every tensor of one shape and row that was read at the same blocks."""

    outside: list[Ranges]
    wrong: list[tuple[str, list[Region], int]]
    elements: int


def _judge(shape: Shape, blocks: Blocks, wanted: tuple[tuple[Ranges, int], ...]) -> _Judged:
    """Reads count up and declared reads count down, so what is left over is wrong."""
    held = [(block, 1) for block in blocks if inside(block, shape)]
    # A tensor of another shape than its row's is a finding of the proofs.
    meant = [(block, -times) for block, times in wanted if inside(block, shape)]
    cover = Coverage(shape, [*held, *meant])
    less, more = cover.counts < 0, cover.counts > 0
    found = [("audit.unread", cover.regions(less), cover.elements(less)),
             ("audit.overread", cover.regions(more), cover.elements(more))]  # fmt: skip
    outside = [block for block in blocks if not inside(block, shape)]
    return _Judged(outside, [wrong for wrong in found if wrong[2]], cover.elements(less | ~less))


def _drafts(name: str, shape: Shape, found: _Judged) -> list[Draft]:
    return [
        *(_outside(name, shape, block) for block in found.outside),
        *(_draft(code, name, shape, regions, elements) for code, regions, elements in found.wrong),
    ]


@lru_cache(maxsize=1 << 12)
def declared(row: BoundRow) -> tuple[tuple[Ranges, int], ...]:
    """How often each block of a row's tensors is read over all ranks: once, or once a replica."""
    found = []
    for part in row.parts:
        sizes = tuple(row.leaf.axes.size(a) for a in part.atoms)
        strides = tuple(row.form.strides[part.name][a] for a in part.atoms)
        times = 1 if row.row.rank is not None else _replicas(row, part.name)
        whole = view_ranges(row.shape, View(row.form.offsets[part.name], sizes, strides))
        found += [(ranges, times) for ranges in whole]
    return tuple(found)


def _replicas(row: BoundRow, part: str) -> int:
    cut = next(p.cut for p in row.leaf.parts if p.name == part)
    return replicas(cut, row.leaf.axes.size(cut.axis) if cut else 1, row.leaf.tp)


def _outside(name: str, shape: Shape, block: Ranges) -> Draft:
    text = f"{{}} {shape} was read at {show(block)}, which is outside of it"
    return Draft("audit.wrong-slice", name, text, None, {"src": ranges_to_json(block)})


def _draft(code: str, name: str, shape: Shape, regions: list[Region], elements: int) -> Draft:
    where, by = show_all(regions, shape), abs(regions[0].touched)
    times = f"{by} time{'s' if by > 1 else ''} {'less' if code == 'audit.unread' else 'more'} often than declared"
    return Draft(
        code, name, f"{{}} {shape} {where} ({elements} elements) read {times}", None,
        {"ranges": [ranges_to_json(r.ranges) for r in regions], "elements": elements, "difference": regions[0].touched},
    )  # fmt: skip
