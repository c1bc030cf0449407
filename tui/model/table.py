"""The flat table of tensors: sorted, filtered, a line each, made where it is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from tracer.checkpoint.tensor_info import TensorInfo
from tracer.report import words
from tui.model.columns import both, cut_start, left, right, wide
from tui.model.findings.chips import SHOWN
from tui.model.kept import UNKNOWN, known, sized
from tui.model.lazy import Lazy
from tui.model.line import Line, Span, Target
from tui.model.ordered import Marks
from tui.model.orders import Order, Orders

__all__ = ["ORDERS", "Order", "TablePage", "Wanted", "kept", "rows"]

ORDERS: tuple[Order, ...] = tuple(order for order in get_args(Order) if order != "tree")


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
    def told(self) -> str:
        """What is shown of all names, in words; empty where that is all."""
        told = [f"only {self.dtype}"] if self.dtype else []
        told += ["with findings"] if self.marked else []
        return ", ".join([*told, *(["found"] if self.found is not None else [])])

    @property
    def nothing(self) -> Sequence[Line]:
        """What is said where no tensor is left."""
        told = ["nothing is left: Esc shows all names"]
        told += ["n leads to what was found elsewhere"] if self.marked else []
        return [(Span(f"  {text}", "unsure"),) for text in told]

    @property
    def narrowed(self) -> bool:
        """Whether some tensors are left out."""
        return self.dtype is not None or self.marked or self.found is not None


ALL = Wanted()


def _next(choices: Sequence[Any], now: Any) -> Any:
    return choices[(choices.index(now) + 1) % len(choices)] if now in choices else choices[0]


def kept(orders: Orders, wanted: Wanted, marks: Marks) -> Sequence[int]:
    """The positions of the tensors that are wanted, in their order."""
    infos, order = orders.infos, wanted.order
    some: Sequence[int] = orders.all(order) if wanted.found is None else wanted.found
    if wanted.found is not None and order != "file":
        some = orders.some(wanted.found, order)
    if wanted.dtype is not None:
        some = [position for position in some if infos[position].dtype == wanted.dtype]
    return [position for position in some if infos[position].name in marks] if wanted.marked else some


def rows(infos: Sequence[TensorInfo], wanted: Wanted, marks: Marks) -> list[TensorInfo]:
    """The tensors themselves."""
    return [infos[position] for position in kept(Orders(infos), wanted, marks)]


class TablePage:
    """What a sheet shows of them; `positions` are those that are kept, where somebody has them already."""

    def __init__(
        self, infos: Sequence[TensorInfo], wanted: Wanted, marks: Marks, positions: Sequence[int] | None = None
    ) -> None:
        found = kept(Orders(infos), wanted, marks) if positions is None else positions
        self.positions, self.wanted, self.marks = found, wanted, marks
        self._infos = infos

    @property
    def infos(self) -> Sequence[TensorInfo]:
        """The tensors that are shown."""
        return [self._infos[position] for position in self.positions]

    def lines(self, width: int) -> Sequence[Line]:
        if not self.positions and self.wanted.narrowed:
            return self.wanted.nothing
        return Lazy(len(self.positions), lambda number: self._line(self._at(number), width))

    def row_of(self, name: str) -> int | None:
        """The line of a tensor, if it is shown."""
        return next((number for number in range(len(self.positions)) if self._at(number).name == name), None)

    def _at(self, number: int) -> TensorInfo:
        return self._infos[self.positions[number]]

    def heading(self, width: int) -> Line:
        def titled(name: str, room: int) -> Span:
            mark = " ↓" if name == self.wanted.order else ""
            return right(Span(name + mark, "heading"), room)

        cells = [titled(name, room) for name, room in _cells(width)]
        left_out = f" ({self.wanted.told})" if self.wanted.narrowed else ""
        return both((Span(f"  {self._title(width)}{left_out}", "heading"),), cells, width)

    def _title(self, width: int) -> str:
        """Of the names; the order too where no other column has room to say it."""
        order = self.wanted.order
        if order == "file" or any(name == order for name, _ in _cells(width)):
            return "name"
        return "name ↓" if order == "name" else f"by {order} ↓"

    def _line(self, info: TensorInfo, width: int) -> Line:
        told = {"dtype": info.dtype, "shape": words.shape(info.shape), "size": sized(info), "file": info.file or "none"}
        if not known(info):
            told |= {"dtype": "", "shape": UNKNOWN}
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
    if width < 58:
        return cells[2:]
    return [*cells, ("file", 36)] if width >= 150 else cells
