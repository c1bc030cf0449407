"""Each destination element is written once on each rank."""

from __future__ import annotations

from typing import NamedTuple

from mappings.views import Ranges, Shape
from tracer.audit.blocks import Blocks, blocks_of
from tracer.audit.coverage import Coverage, Region, inside, show, show_all
from tracer.audit.drafts import Draft
from tracer.columns import Columns
from tracer.events import ranges_to_json
from tracer.store import Store


def audit_writes(store: Store, rank: int) -> tuple[list[Draft], int]:
    """Drafts `audit.unwritten` and `audit.overwritten`, and how many elements were looked at."""
    written = blocks_of(Columns(store), "param", "dst", rank)
    judged: dict[tuple[int, Blocks, Shape], _Judged] = {}
    padded: dict[str, Blocks] = {}
    for pad in store.pads(rank):
        padded[pad.param] = (*padded.get(pad.param, ()), pad.dst)
    drafts: list[Draft] = []
    total = 0
    for param in store.params(rank):
        if param.tied_to:
            continue
        blocks, pads = written.get(param.name, ()), padded.get(param.name, ())
        # Parameters that were written alike share one tuple of blocks, which lives as long as this function runs.
        key = id(blocks), pads, param.shape
        found = judged.get(key)
        if found is None:
            found = judged[key] = _judge(param.shape, (*blocks, *pads))
        total += found.elements
        if found.outside or found.wrong:
            drafts += _drafts(param.name, param.shape, rank, found)
    return drafts, total


class _Judged(NamedTuple):
    """What is to be said of every parameter of one shape that was written at the same blocks."""

    outside: list[Ranges]
    wrong: list[tuple[str, list[Region], int]]
    elements: int


def _judge(shape: Shape, blocks: Blocks) -> _Judged:
    cover = Coverage(shape, ((block, 1) for block in blocks if inside(block, shape)))
    never, often = cover.counts < 1, cover.counts > 1
    found = [("audit.unwritten", cover.regions(never), cover.elements(never)),
             ("audit.overwritten", cover.regions(often), cover.elements(often))]  # fmt: skip
    outside = [block for block in blocks if not inside(block, shape)]
    return _Judged(outside, [wrong for wrong in found if wrong[2]], cover.elements(never | ~never))


def _drafts(name: str, shape: Shape, rank: int, found: _Judged) -> list[Draft]:
    return [
        *(_outside(name, shape, block, rank) for block in found.outside),
        *(_draft(code, name, shape, rank, regions, elements) for code, regions, elements in found.wrong),
    ]


def _outside(name: str, shape: Shape, block: Ranges, rank: int) -> Draft:
    text = f"{{}} {shape} was written at {show(block)}, which is outside of it"
    return Draft("audit.wrong-slice", name, text, rank, {"dst": ranges_to_json(block)})


def _draft(code: str, name: str, shape: Shape, rank: int, regions: list[Region], elements: int) -> Draft:
    where = show_all(regions, shape)
    times = f"{regions[0].touched} times" if code == "audit.overwritten" else "never"
    return Draft(
        code, name, f"{{}} {shape} {where} ({elements} elements) written {times}", rank,
        {"ranges": [ranges_to_json(r.ranges) for r in regions], "elements": elements},
    )  # fmt: skip
