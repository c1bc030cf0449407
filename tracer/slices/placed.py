"""Where tensors of a checkpoint go, for any number of ranks: the plan asked of one tensor, never spelled out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import product
from math import prod

from mappings.bind import BoundRow, Leaf
from mappings.names import Indices, blank
from mappings.plan import LoadPlan, Place
from mappings.proof.ranks import at, legal_sizes, prove_ranks
from mappings.views import Shape
from tracer.events import Move, Padding
from tracer.prepare import Prepared
from tracer.slices.placement import Filled, Verdict, verdict_of
from tracer.validate import LARGEST_TP

EXPERT = "expert"
"""The axis along which the tables stack experts."""


class Placed:
    """The plan at `tp` ranks, whatever number it was prepared for."""

    planned: None = None
    cut_short = False

    def __init__(self, prepared: Prepared | LoadPlan, tp: int, known: Known | None = None) -> None:
        self.tp = tp
        self.known = known or Known(prepared if isinstance(prepared, LoadPlan) else prepared.plan)
        plan = self.known.plan
        # Claims, names and domains are the same for every number of ranks; only what leads where depends on it.
        self.binding = plan.binding if tp == plan.tp else at(plan.binding, tp)
        self._rows = dict(zip(map(id, plan.binding.rows), self.binding.rows, strict=True))
        self._placing: dict[int, list[int]] = {}

    @property
    def plan(self) -> LoadPlan:
        """The plan for the number of ranks that was prepared."""
        return self.known.plan

    def at(self, tp: int) -> Placed:
        """The same for another number of ranks, sharing all that does not depend on it."""
        return Placed(self.known.plan, tp, self.known)

    @property
    def ranks(self) -> range:
        return range(0 if self.refusal() else self.tp)

    @cached_property
    def legal(self) -> list[int]:
        """The numbers of ranks that can divide the model."""
        return self.known.legal

    def refusal(self, tp: int | None = None) -> str | None:
        return self.known.refusal(self.tp if tp is None else tp)

    def moves(self, tensor: str) -> list[Move]:
        found = self.known.claimed(tensor)
        return list(self._moves(tensor, *found)) if found else []

    def _moves(self, tensor: str, claimed: BoundRow, indices: Indices) -> Iterator[Move]:
        row = self._rows[id(claimed)]
        param = row.param_name(indices)
        for rank in self.ranks:
            for law in row.laws(rank):
                place = Place(row, law, indices)
                for src, dst, perm in place.boxes:
                    yield Move(rank, tensor, row.id, place.shard, param, src, dst, perm, row.op)

    def into(self, param: str, expert: int | None = None) -> list[Move]:
        names = self.known.feeding(param, expert)
        return [move for tensor in names for move in self.moves(tensor)]

    def lost(self, param: str, expert: int | None = None) -> list[Move]:
        return []

    def absent(self, param: str) -> list[str]:
        return [row.pattern.name(indices) for row, indices in self.known.absent(param)]

    def without_source(self, param: str, expert: int | None = None) -> list[Move]:
        gone = self.known.absent(param, expert)
        return [move for row, own in gone for move in self._moves(row.pattern.name(own), row, own)]

    def filled(self, param: str) -> list[Filled]:
        """By what each row places, as to spell out the moves of 256 experts would take longer than a blink."""
        tensors: list[list[str]] = [[] for _ in range(self.experts(param))]
        placed = [[0] * len(self.ranks) for _ in tensors]
        for tensor in self.feeding(param) if tensors else ():
            found = self.known.claimed(tensor)
            assert found is not None, "what feeds a parameter is claimed by its row"
            number = next((i for axis, i in zip(found[0].pattern.axes, found[1], strict=True) if axis == EXPERT), None)
            sizes = self._sizes(self._rows[id(found[0])])
            for expert in range(len(tensors)) if number is None else (number,):
                tensors[expert].append(tensor)
                for rank, size in enumerate(sizes):
                    placed[expert][rank] += size if number is not None else size // len(tensors)
        return [Filled(tuple(names), tuple(own)) for names, own in zip(tensors, placed, strict=True)]

    def _sizes(self, row: BoundRow) -> list[int]:
        """Elements of one tensor of a row on each rank."""
        if id(row) not in self._placing:
            self._placing[id(row)] = [sum(prod(law.src.sizes) for law in row.laws(rank)) for rank in self.ranks]
        return self._placing[id(row)]

    def feeding(self, param: str) -> list[str]:
        return self.known.feeding(param)

    def pads(self, param: str) -> list[Padding]:
        return self._pads.get(self.known.tied.get(param, param), [])

    @cached_property
    def _pads(self) -> dict[str, list[Padding]]:
        plan, found = LoadPlan(self.binding, (), ()), dict[str, list[Padding]]()
        for rank in self.ranks:
            for pad, name in plan.pads(rank):
                own = (Padding(rank, name, dst, pad.value, pad.reason) for dst in plan.ranges(pad))
                found.setdefault(name, []).extend(own)
        return found

    def shape(self, param: str, rank: int) -> Shape | None:
        leaf = self._leaf(param)
        return leaf.form(rank).shape if leaf and rank in self.ranks else None

    def whole_shape(self, param: str) -> Shape | None:
        leaf = self._leaf(param)
        return leaf.whole_shape() if leaf else None

    def tensor_shape(self, tensor: str) -> Shape | None:
        return self.known.tensor_shape(tensor)

    def claim(self, tensor: str) -> Verdict:
        return self.known.verdict(tensor)

    def tied(self, param: str) -> str | None:
        return self.known.tied.get(param)

    def aliases(self, param: str) -> list[str]:
        return [name for name, to in self.known.tied.items() if to == param]

    def experts(self, param: str) -> int:
        leaf = self._leaf(param)
        return leaf.whole_shape()[0] if leaf and _stacked(leaf) else 0

    def _leaf(self, param: str) -> Leaf | None:
        """The leaf of this number of ranks; of a tied parameter that which it is tied to."""
        found = self.known.leaf(self.known.tied.get(param, param))
        return self.binding.leaves[found[0]] if found else None


def _stacked(leaf: Leaf) -> bool:
    """Whether it has the weights of experts; a router's `weight` has rows for them, and is a module of its own."""
    return leaf.param.style != "module" and len(leaf.layout) > 1 and EXPERT in leaf.param.layout[0]


class Known:
    """What holds for every number of ranks: who claims which name. Looked up by name, made when first asked for."""

    def __init__(self, plan: LoadPlan, positions: dict[str, int] | None = None) -> None:
        """`positions` are those of its tensors by name, where somebody has them already."""
        self.plan = plan
        if positions is not None:
            self.positions = positions
        self.tied = plan.tied()
        self._refusals: dict[int, str | None] = {}

    @cached_property
    def positions(self) -> dict[str, int]:
        return {tensor.name: position for position, tensor in enumerate(self.plan.tensors)}

    @cached_property
    def legal(self) -> list[int]:
        return legal_sizes(self.plan.binding)

    def refusal(self, tp: int) -> str | None:
        if tp not in self._refusals:
            self._refusals[tp] = self._refusal(tp)
        return self._refusals[tp]

    def _refusal(self, tp: int) -> str | None:
        if not 1 <= tp <= LARGEST_TP:
            return f"--tp {tp}: expected at least 1 and at most {LARGEST_TP}"
        wrong = next((f for f in prove_ranks(at(self.plan.binding, tp)).findings if f.severity == "error"), None)
        return "; ".join(filter(None, (wrong.message, wrong.fix))) if wrong else None

    def claimed(self, tensor: str) -> tuple[BoundRow, Indices] | None:
        """The row of a tensor that is loaded, as the plan has it, and the tensor's positions in its holes."""
        position = self.positions.get(tensor)
        if position is None:
            return None
        owner, indices, _ = self.plan.claims[position]
        return (owner, indices) if isinstance(owner, BoundRow) else None

    def verdict(self, tensor: str) -> Verdict:
        position = self.positions.get(tensor)
        if position is None:
            return Verdict("unmapped", reason="no tensor of this name")
        return verdict_of(self.plan.binding, self.plan.claims[position])

    def tensor_shape(self, tensor: str) -> Shape | None:
        position = self.positions.get(tensor)
        return None if position is None else self.plan.tensors[position].shape

    @cached_property
    def _leaves(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for number, leaf in enumerate(self.plan.binding.leaves):
            found.setdefault(leaf.pattern.template, []).append(number)
        return found

    def leaf(self, param: str) -> tuple[int, Indices] | None:
        """The number of a parameter's leaf, and the parameter's position in its holes."""
        template, blanks = blank(param)
        for number in self._leaves.get(template, []):
            leaf = self.plan.binding.leaves[number]
            own = leaf.pattern.positions(blanks)
            if own is not None and all(i in domain for i, domain in zip(own, leaf.domain, strict=True)):
                return number, own
        return None

    def feeding(self, param: str, expert: int | None = None) -> list[str]:
        """Made from the names that rows expect, as to look through all that there are would take longer."""
        expected = self._expected(param, expert)
        found = {at for row, own in expected for at in self._there(row, own) if self.plan.claims[at].owner is row}
        return [self.plan.tensors[position].name for position in sorted(found)]

    def absent(self, param: str, expert: int | None = None) -> list[tuple[BoundRow, Indices]]:
        """What rows expect for a parameter and no tensor has the name of."""
        return [(row, own) for row, own in self._expected(param, expert) if next(self._there(row, own), None) is None]

    def _expected(self, param: str, expert: int | None) -> Iterator[tuple[BoundRow, Indices]]:
        """The rows of a parameter, each at all its positions that lead there."""
        found = self.leaf(self.tied.get(param, param))
        if found is None:
            return
        fixed = {} if expert is None else {EXPERT: expert}
        leaf = self.plan.binding.leaves[found[0]]
        fixed |= zip(leaf.pattern.axes, found[1], strict=True)
        for row in (row for row in self.plan.binding.rows if row.leaf is leaf):
            axes = zip(row.pattern.axes, row.domain, strict=True)
            columns: list[Sequence[int]] = [(fixed[axis],) if axis in fixed else domain for axis, domain in axes]
            yield from ((row, indices) for indices in product(*columns))

    def _there(self, row: BoundRow, indices: Indices) -> Iterator[int]:
        """The positions of the tensors with the name that a row expects."""
        name = row.pattern.name(indices)
        for prefix in self.plan.binding.arch.prefixes:
            if (position := self.positions.get(prefix + name)) is not None:
                yield position
