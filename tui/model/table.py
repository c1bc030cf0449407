"""The flat table of tensors: sorted, filtered, a line each, made where it is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal, TypeAlias, get_args

from tracer.checkpoint.tensor_info import TensorInfo
from tracer.report import words
from tui.model.columns import both, cut_start, left, right, wide
from tui.model.findings.chips import SHOWN
from tui.model.lazy import Lazy
from tui.model.line import Line, Span, Target
from tui.model.tree import Marks, natural

Order: TypeAlias = Literal["file", "name", "size", "elements", "dtype", "shape"]
ORDERS: tuple[Order, ...] = get_args(Order)
_KEYS: dict[Order, Callable[[TensorInfo], Any]] = {
    "name": lambda info: natural(info.name),
    "size": lambda info: -info.nbytes,
    "elements": lambda info: -prod(info.shape),
    "dtype": lambda info: info.dtype,
    "shape": lambda info: info.shape,
}
"""Sorting is stable: equals stay in the order of the files, which is the order `file`."""


@dataclass(frozen=True)
class Wanted:
    """What of the tensors is shown, and in which order."""

    order: Order = "file"
    dtype: str | None = None
    marked: bool = False
    """Only those with a finding."""
    found: tuple[int, ...] | None = None
    """Positions that a search found, the best first; their order stands unless another was asked for."""

    def sorted_next(self) -> Wanted:
        """By the next of `ORDERS`."""
        return replace(self, order=_next(ORDERS, self.order))

    def typed_next(self, dtypes: Sequence[str]) -> Wanted:
        """Of the next dtype; after the last of all."""
        return replace(self, dtype=_next([None, *dtypes], self.dtype))

    @property
    def narrowed(self) -> bool:
        """Whether some tensors are left out."""
        return self.dtype is not None or self.marked or self.found is not None


def _next(choices: Sequence[Any], now: Any) -> Any:
    return choices[(choices.index(now) + 1) % len(choices)] if now in choices else choices[0]


def rows(infos: Sequence[TensorInfo], wanted: Wanted, marks: Marks) -> list[TensorInfo]:
    """The tensors that are wanted, in their order."""
    some = infos if wanted.found is None else [infos[position] for position in wanted.found]
    kept = [
        info for info in some
        if (wanted.dtype is None or info.dtype == wanted.dtype) and (not wanted.marked or info.name in marks)
    ]  # fmt: skip
    return sorted(kept, key=_KEYS[wanted.order]) if wanted.order in _KEYS else kept


class TablePage:
    """What a sheet shows of them."""

    def __init__(self, infos: Sequence[TensorInfo], wanted: Wanted, marks: Marks) -> None:
        self.infos, self.wanted, self.marks = rows(infos, wanted, marks), wanted, marks

    def lines(self, width: int) -> Sequence[Line]:
        return Lazy(len(self.infos), lambda number: self._line(self.infos[number], width))

    def heading(self, width: int) -> Line:
        def titled(name: str, room: int) -> Span:
            mark = " ↓" if name.startswith(self.wanted.order) else ""
            return right(Span(name + mark, "heading"), room)

        cells = [titled(name, room) for name, room in _cells(width)]
        start = "  name ↓" if self.wanted.order == "name" else "  name"
        return both((Span(start, "heading"),), cells, width)

    def _line(self, info: TensorInfo, width: int) -> Line:
        told = {"dtype": info.dtype, "shape": words.shape(info.shape), "size": words.size(info.nbytes),
                "file": info.file or "none"}  # fmt: skip
        cells = [right(Span(cut_start(told[name], room - 1), "dim"), room) for name, room in _cells(width)]
        room = width - sum(wide(cell.text) for cell in cells) - 3
        name = left(Span(cut_start(info.name, room), "name", Target("tensor", info.name)), max(room, 0))
        return both((self._mark(info), name), cells, width)

    def _mark(self, info: TensorInfo) -> Span:
        severity = self.marks.get(info.name)
        return Span("  ") if severity is None else Span(f"{SHOWN[severity][0]} ", SHOWN[severity][1])


def _cells(width: int) -> list[tuple[str, int]]:
    """The columns that there is room for, with their widths."""
    cells = [("dtype", 9), ("shape", 20), ("size", 12)]
    if width < 56:
        return cells[2:]
    return [*cells, ("file", 36)] if width >= 150 else cells
