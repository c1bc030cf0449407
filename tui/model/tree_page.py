"""The tree as lines: a glyph, the name, how many alike, and at the right what it weighs."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.report import words
from tui.model.columns import both, right
from tui.model.findings.chips import SHOWN
from tui.model.kept import UNKNOWN, kept
from tui.model.lazy import Lazy
from tui.model.line import Line, Role, Span, Target
from tui.model.table import ALL, Wanted
from tui.model.tree import Node, Row, Tree

_WIDE = 64
"""From so many columns on, there is room for dtype and shape."""


class TreePage:
    """What a sheet shows of a tree."""

    def __init__(self, tree: Tree, wanted: Wanted = ALL) -> None:
        self.tree, self.wanted = tree, wanted

    def lines(self, width: int) -> Sequence[Line]:
        rows = self.tree.rows
        if not rows and self.wanted.narrowed:
            return self.wanted.nothing
        return Lazy(len(rows), lambda number: _line(rows[number], width))

    def heading(self, width: int) -> Line | None:
        shape = (right(Span("dtype, shape", "heading"), 24),) if width >= _WIDE else ()
        left_out = f" ({self.wanted.told})" if self.wanted.narrowed else ""
        return both((Span(f"  name{left_out}", "heading"),), (*shape, right(Span("size", "heading"), 11)), width)


def _line(row: Row, width: int) -> Line:
    node = row.node
    start = (Span("  " * row.depth), _handle(node), *_mark(node), Span(node.label, _role(node), _target(node)))
    return both((*start, *_times(node)), _weight(node, width), width)


def _role(node: Node) -> Role:
    return "name" if node.is_tensor else "strong"


def _target(node: Node) -> Target:
    return Target("tensor" if node.is_tensor else "group", node.prefix)


def _handle(node: Node) -> Span:
    if node.is_tensor:
        return Span("  ")
    return Span("▾ " if node.opened else "▸ ", "dim")


def _mark(node: Node) -> tuple[Span, ...]:
    if node.severity is None:
        return ()
    glyph, role = SHOWN[node.severity]
    return (Span(f"{glyph} ", role),)


def _times(node: Node) -> tuple[Span, ...]:
    return (Span(f" ×{node.times:,}", "number"),) if node.times > 1 else ()


def _weight(node: Node, width: int) -> tuple[Span, ...]:
    unknown = node.unknown
    told = UNKNOWN if unknown == len(node.run) else f"{'over ' if unknown else ''}{words.size(node.nbytes)}"
    size = right(Span(told, "number"), 11 + 5 * bool(unknown))
    if width < _WIDE:
        return (size,)
    if node.is_tensor:
        info = node.run.first
        return right(Span(kept(info), "dim"), 24), size
    return right(Span(words.plural(node.count, "tensor"), "dim"), 24), size
