"""Where tensors went, as a trace has it."""

from __future__ import annotations

from functools import cached_property

from mappings.plan import LoadPlan
from mappings.views import Shape
from tracer.cells import shape_of
from tracer.errors import Refused
from tracer.events import Move, Padding, Parameter
from tracer.prepare import replan
from tracer.slices.placed import Placed
from tracer.slices.placement import Filled, Verdict, shard_of_expert, volume
from tracer.store import Store


class Observed:
    """A saved trace, asked of one tensor or one parameter."""

    def __init__(self, store: Store, plan: LoadPlan | None = None) -> None:
        self.store = store
        self.tp = store.run.tp
        self.ranks = tuple(sorted(store.run.ranks))
        self._given = plan
        self._last: tuple[tuple[str, int, int], list[Move]] = (("", 0, 0), [])

    @cached_property
    def planned(self) -> Placed | None:
        """What should have happened; it knows the table's lines and the shapes before cutting."""
        try:
            plan = self._given or replan(self.store)
        except Refused:
            return None
        return Placed(plan, self.tp) if plan else None

    @property
    def cut_short(self) -> bool:
        return self.store.run.observed and self.store.end is None

    def refusal(self, tp: int | None = None) -> str | None:
        if tp in (None, self.tp):
            return None
        return f"a trace shows what was loaded with --tp {self.tp}, and nothing of --tp {tp}"

    def moves(self, tensor: str) -> list[Move]:
        return list(self.store.moves(tensor=tensor))

    def into(self, param: str, expert: int | None = None) -> list[Move]:
        moves = self._into(self.tied(param) or param)
        return [move for move in moves if expert is None or (move.dst and move.dst[0][0] <= expert < move.dst[0][1])]

    def lost(self, param: str, expert: int | None = None) -> list[Move]:
        if self.planned is None or not self.store.run.observed:
            return []
        made = set(self.into(param, expert))
        return [move for move in self.planned.into(param, expert) if move.rank in self.ranks and move not in made]

    def absent(self, param: str) -> list[str]:
        return self.planned.absent(param) if self.planned else []

    def without_source(self, param: str, expert: int | None = None) -> list[Move]:
        return self.planned.without_source(param, expert) if self.planned else []

    def _into(self, param: str) -> list[Move]:
        """The last answer is kept until more is written: a picture asks twice, and again for every expert."""
        (version,) = self.store.db.execute("PRAGMA data_version").fetchone()
        asked = param, version, self.store.db.total_changes
        if self._last[0] != asked:
            self._last = asked, list(self.store.moves(param=param))
        return self._last[1]

    def filled(self, param: str) -> list[Filled]:
        tensors: list[dict[str, None]] = [{} for _ in range(self.experts(param))]
        position = {rank: number for number, rank in enumerate(self.ranks)}
        placed = [[0] * len(position) for _ in tensors]
        for move in self.into(param) if tensors else ():
            for expert in range(*move.dst[0])[: len(tensors)] if move.rank in position else ():
                tensors[expert][move.tensor] = None
                placed[expert][position[move.rank]] += volume(move.dst[1:])
        return [Filled(tuple(names), tuple(own)) for names, own in zip(tensors, placed, strict=True)]

    def feeding(self, param: str) -> list[str]:
        query = (
            "SELECT DISTINCT t.text FROM move m JOIN name t ON t.id = m.tensor LEFT JOIN tensor n ON n.name = t.id"
            " WHERE m.param = (SELECT id FROM name WHERE text = ?) ORDER BY n.id"
        )
        self.store.index()
        return [row[0] for row in self.store.db.execute(query, (self.tied(param) or param,))]

    def pads(self, param: str) -> list[Padding]:
        return self._pads.get(self.tied(param) or param, [])

    @cached_property
    def _pads(self) -> dict[str, list[Padding]]:
        found: dict[str, list[Padding]] = {}
        for rank in self.ranks:
            for pad in self.store.pads(rank):
                found.setdefault(pad.param, []).append(pad)
        return found

    @cached_property
    def _params(self) -> dict[int, dict[str, Parameter]]:
        return {rank: {param.name: param for param in self.store.params(rank)} for rank in self.ranks}

    def _param(self, name: str) -> Parameter | None:
        return next((own[name] for own in self._params.values() if name in own), None)

    def shape(self, param: str, rank: int) -> Shape | None:
        own = self._params.get(rank, {}).get(param)
        return own.shape if own else None

    def whole_shape(self, param: str) -> Shape | None:
        return self.planned.whole_shape(param) if self.planned else None

    def tensor_shape(self, tensor: str) -> Shape | None:
        found = self._row_of(tensor)
        return shape_of(found[0]) if found else None

    def _row_of(self, tensor: str) -> tuple[str, str, str | None, str | None] | None:
        self.store.index()
        query = (
            "SELECT t.shape, t.disposition, r.text, t.reason FROM tensor t LEFT JOIN name r ON r.id = t.row"
            " WHERE t.name = (SELECT id FROM name WHERE text = ?)"
        )
        found: tuple[str, str, str | None, str | None] | None = self.store.db.execute(query, (tensor,)).fetchone()
        return found

    def claim(self, tensor: str) -> Verdict:
        """As it was recorded; where in the table that stands is the plan's to say."""
        found = self._row_of(tensor)
        if found is None:
            return Verdict("unmapped", reason="no tensor of this name")
        _, disposition, row, reason = found
        planned = self.planned.claim(tensor) if self.planned else None
        if planned and planned.id == row:
            return planned
        if row is None:
            return Verdict("unmapped", reason=reason)
        return Verdict("row" if disposition == "loaded" else "skip", row, reason=reason)

    def tied(self, param: str) -> str | None:
        own = self._param(param)
        return own.tied_to if own else None

    def aliases(self, param: str) -> list[str]:
        owns = (other for own in self._params.values() for other in own.values())
        return list(dict.fromkeys(other.name for other in owns if other.tied_to == param))

    def experts(self, param: str) -> int:
        if self.planned:
            return self.planned.experts(param)
        own = self._param(param)
        shards = {move.shard for move in self._into(param)} if own and own.shape else set()
        return own.shape[0] if own and any(shard_of_expert(shard)[0] is not None for shard in shards) else 0
