"""Each destination element is written once on each rank."""

from __future__ import annotations

from functools import lru_cache

from mappings.views import Ranges, Shape
from tracer.audit.coverage import Coverage, Region, inside, show, show_all
from tracer.audit.drafts import Draft
from tracer.events import ranges_to_json
from tracer.store import Store


def audit_writes(store: Store, rank: int) -> tuple[list[Draft], int]:
    """Drafts `audit.unwritten` and `audit.overwritten`, and how many elements were looked at."""
    written = store.blocks("param", "dst", rank)
    padded: dict[str, tuple[Ranges, ...]] = {}
    for pad in store.pads(rank):
        padded[pad.param] = (*padded.get(pad.param, ()), pad.dst)
    drafts: list[Draft] = []
    total = 0
    for param in store.params(rank):
        if param.tied_to:
            continue
        blocks = (*written.get(param.name, ()), *padded.get(param.name, ()))
        drafts += [_outside(param.name, param.shape, b, rank) for b in blocks if not inside(b, param.shape)]
        blocks = tuple(block for block in blocks if inside(block, param.shape))
        unwritten, overwritten, size = _written(param.shape, blocks)
        total += size
        for code, regions, elements in (("audit.unwritten", *unwritten), ("audit.overwritten", *overwritten)):
            if elements:
                drafts.append(_draft(code, param.name, param.shape, rank, regions, elements))
    return drafts, total


@lru_cache(maxsize=1 << 12)
def _written(
    shape: Shape, blocks: tuple[Ranges, ...]
) -> tuple[tuple[list[Region], int], tuple[list[Region], int], int]:
    cover = Coverage(shape, ((block, 1) for block in blocks))
    never, often = cover.counts < 1, cover.counts > 1
    size = cover.elements(never | ~never)
    return (cover.regions(never), cover.elements(never)), (cover.regions(often), cover.elements(often)), size


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
