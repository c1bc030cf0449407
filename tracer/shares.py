"""What each rank has to do of a load, and what it has done in one that is over: counted by laws and by blocks.

A terabyte has hundreds of thousands of moves. All tensors of a row are cut alike, so that a row is counted once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

from mappings.bind import BoundRow
from mappings.plan import LoadPlan
from mappings.views import Ranges, boxes
from tracer.cells import ranges_of, shape_of
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.standing import Share
from tracer.store import Store


class Weight(NamedTuple):
    """What turns elements of a tensor into bytes of its file."""

    nbytes: int
    elements: int

    def of(self, elements: int) -> int:
        return self.nbytes * elements // self.elements if self.elements else 0


def weights(infos: Sequence[TensorInfo]) -> dict[str, Weight]:
    """Of each tensor by its name."""
    return {info.name: Weight(info.nbytes, prod(info.shape)) for info in infos}


def planned_shares(plan: LoadPlan, infos: Sequence[TensorInfo], ranks: Sequence[int], read: bool) -> list[Share]:
    """Nothing is done yet. `read` is whether bytes are read at all."""
    alike = Counter(
        (claim.owner, Weight(info.nbytes, prod(info.shape)))
        for claim, info in zip(plan.claims, infos, strict=True) if isinstance(claim.owner, BoundRow)
    )  # fmt: skip
    return [_planned(alike, rank, read) for rank in ranks]


def _planned(alike: Mapping[tuple[BoundRow, Weight], int], rank: int, read: bool) -> Share:
    moves = nbytes = 0
    for (row, weight), tensors in alike.items():
        for law in row.laws(rank):
            moves += tensors * len(boxes(row.shape, law.src, row.leaf.form(rank).shape, law.dst))
            nbytes += tensors * weight.of(prod(law.src.sizes))
    return Share(rank, moves, nbytes if read else None)


_LAST = "SELECT m.rank, n.total, m.tensor, m.param FROM moves m JOIN" \
    " (SELECT count(*) AS total, max(id) AS last FROM move GROUP BY rank) n ON n.last = m.id ORDER BY m.rank"
_READ = """SELECT m.rank, b.src, t.shape, t.nbytes, m.n FROM
    (SELECT rank, box, tensor, count(*) AS n FROM move GROUP BY rank, box, tensor) m
    JOIN box b ON b.id = m.box JOIN tensor t ON t.name = m.tensor WHERE t.offset IS NOT NULL"""


def stored_shares(store: Store) -> list[Share]:
    """What each rank of a saved trace did; nothing says what it should have done."""
    found = {rank: Share(rank) for rank in {*store.run.ranks, *store.ranks()}}
    for rank, moves, tensor, param in store.db.execute(_LAST):
        found[rank] = Share(rank, moves=moves, tensor=tensor, param=param)
    if store.run.observed and store.run.load_format != "dummy":
        for rank, src, shape, nbytes, times in store.db.execute(_READ):
            weight = Weight(nbytes, prod(shape_of(shape) or ()))
            found[rank].nbytes += times * weight.of(_elements(ranges_of(src)))
    return [found[rank] for rank in sorted(found)]


def _elements(ranges: Ranges) -> int:
    return prod(len(range(*each)) for each in ranges)
