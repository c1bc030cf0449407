"""The path table and the verdict, as text for a terminal or a pull request."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from mappings.axes import spell
from mappings.bind import Leaf
from mappings.names import blank, collapse, runs
from mappings.rows import Skip
from mappings.views import Shape
from tracer.events import Padding
from tracer.report import words
from tracer.report.paths import Group, Line, by_param, fold_moves
from tracer.session import Prepared, Result
from tracer.store import Store

SHOWN_RANKS = 2
"""Ranks beside each other in the table; the others follow the same laws and are in the trace."""


class PathTable:
    """Lines of text for the moves of some ranks."""

    def __init__(self, result: Result, whole: bool = False, shown: int = SHOWN_RANKS) -> None:
        self.store: Store = result.store
        self.prepared: Prepared = result.prepared
        ranks = result.prepared.request.ranks
        self.ranks = ranks[:shown]
        self.hidden = len(ranks) - len(self.ranks)
        self.whole = whole
        self.rows = {row.id: row for row in self.prepared.plan.binding.rows}
        self.leaves: dict[str, Leaf] = {leaf.pattern.template: leaf for leaf in self.prepared.plan.binding.leaves}
        self.shapes: dict[str, Shape] = {blank(t.name)[0]: tuple(t.shape) for t in self.prepared.plan.tensors}

    def lines(self) -> Iterator[str]:
        """The whole table."""
        groups = self.groups
        cells = {id(line): self._cells(line, group) for group in groups for line in group.lines}
        rows = [self._titles(), *cells.values()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        yield "  ".join(f"{t:<{w}}" for t, w in zip(self._titles(), widths, strict=True)).rstrip()
        for group in groups:
            yield f"{group.param}  {self.told(group)}"
            for line in group.lines:
                yield "  ".join(f"{t:<{w}}" for t, w in zip(cells[id(line)], widths, strict=False)).rstrip()
            yield from (f"  fill  {reason}  {where}" for reason, where in self.fills(group))
        yield from self._rest()

    @cached_property
    def groups(self) -> list[Group]:
        """The parameters with the lines that lead into them."""
        folded = fold_moves(self.store, self.ranks, self.whole)
        return list(by_param(folded, self.store, self.ranks[0]))

    def _titles(self) -> list[str]:
        ranks = [f"rank {rank}: source -> destination" for rank in self.ranks]
        return ["  shard", "checkpoint name", "mapping row", *ranks]

    def _cells(self, line: Line, group: Group) -> list[str]:
        source = self.shapes.get(line.tensor_template, ())
        hops = [words.hop(line.hops[r], source, group.shape) if r in line.hops else "-" for r in self.ranks]
        return [f"  {line.shard}", line.tensor, self.row(line), *hops]

    def told(self, group: Group) -> str:
        """A parameter's whole shape, what lies side by side in it, its shape on a rank, how many share the lines."""
        leaf = self.leaves.get(group.template)
        times = f"  x{group.times}" if group.times > 1 else ""
        if leaf is None:
            return f"{group.shape}{times}"
        whole = leaf.whole_shape()
        made_of = words.composition(leaf)
        text = words.shape(whole) + (f" = {made_of}" if made_of else "")
        return text + (f", {words.shape(group.shape)} per rank" if self.prepared.request.tp > 1 else "") + times

    def row(self, line: Line) -> str:
        """Where the row stands, the layout on disk that it tells, and what becomes of the values."""
        row = self.rows.get(line.row)
        if row is None:
            return line.row
        return f'{row.row.source} "{spell(row.told)}"' + (f" {line.op}" if line.op else "")

    def fills(self, group: Group) -> Iterator[tuple[str, str]]:
        """What no tensor feeds: the rule, then ranks and places with their value."""
        by_text: dict[tuple[str, str], list[int]] = {}
        for rank, found in self._fills.get(group.template, ()):
            text = f"{words.side((found.dst,), group.shape)} = {found.value:g}"
            ranks = by_text.setdefault((found.reason, text), [])
            if rank not in ranks:
                ranks.append(rank)
        for (reason, text), ranks in by_text.items():
            yield reason, f"rank {runs(ranks)} {text}"

    @cached_property
    def _fills(self) -> dict[str, list[tuple[int, Padding]]]:
        """The fills of all ranks by the parameter's template: later ranks have them where the first have none."""
        found: dict[str, list[tuple[int, Padding]]] = {}
        for rank in self.prepared.request.ranks:
            for pad in self.store.pads(rank):
                found.setdefault(blank(pad.param)[0], []).append((rank, pad))
        return found

    def _rest(self) -> Iterator[str]:
        for name, to in self.prepared.plan.tied().items():
            yield f"{name}  = {to} (tied, same storage)"
        for why, names in self.skipped().items():
            yield f"not loaded: {why}  ({len(names)} tensors: {', '.join(t for t, _ in collapse(names)[:3])})"
        if self.hidden:
            yield f"({self.hidden} more ranks follow the same laws; --rank R shows one)"

    def skipped(self) -> dict[str, list[str]]:
        """The tensors that are not loaded, by rule; by the reason."""
        found: dict[str, list[str]] = {}
        for tensor, claim in zip(self.prepared.plan.tensors, self.prepared.plan.claims, strict=True):
            if isinstance(claim.owner, Skip):
                found.setdefault(claim.owner.why, []).append(tensor.name)
        return found
