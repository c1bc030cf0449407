"""Reads one tensor once, piece by piece, and keeps what a page shows of it. Only this imports numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.values.decoding import decode
from tracer.values.pieces import PIECE, opened, pieces_of, unreadable
from tracer.values.statistics import Statistics, of_pieces

FREE = 64 << 20
"""Bytes that are read without being asked: a blink of a disk."""
FIRST = 96
"""Elements that are shown as they are."""
HEAT_ROWS, HEAT_COLUMNS = 64, 160
"""Cells of the picture of a matrix, before it is fitted to the screen."""
Told = Callable[[int, int], None]
Floats = NDArray[np.float64]


class Stopped(Exception):
    """Nobody wants it any more."""


@dataclass(frozen=True)
class Look:
    """What was seen of one tensor."""

    info: TensorInfo
    statistics: Statistics
    first: tuple[float | complex, ...]
    """The first elements, in the order of the bytes."""
    heat: Floats | None
    """Mean magnitude of each cell of a matrix, NaN where a cell holds nothing that is finite; None for other shapes."""


def hindrance(checkpoint: Checkpoint | None, info: TensorInfo) -> str:
    """Why values cannot be read; empty where they can."""
    if info.file is None:
        return "there is no file: the bytes are made up" if checkpoint is None else "its file is not here"
    if checkpoint is None:
        return "a trace has no values: open the checkpoint that was loaded"
    if checkpoint.files.folder is None:
        return "the files are on the Hub; `tracer doctor --values` reads those that are here"
    return f"{info.file} is not here" if info.offset is None else unreadable(info)


def look(checkpoint: Checkpoint, info: TensorInfo, told: Told, stopped: Callable[[], bool]) -> Look:
    """Every byte of a tensor once. Raises InputError, and Stopped between two pieces when `stopped` says so."""
    folder = checkpoint.files.folder
    assert folder is not None
    assert info.file is not None
    seen = _Seen(info)
    with opened(folder / info.file, checkpoint.stamps.get(info.file)) as file:
        buffer = memoryview(bytearray(min(PIECE, info.nbytes or PIECE)))
        pieces = _watched(pieces_of(file, info, buffer), info, seen, told, stopped)
        statistics = of_pieces(info, pieces, None, np.empty(PIECE // 2, np.int64))
    return Look(info, statistics, tuple(seen.first), seen.heat)


def _watched(
    pieces: Iterator[memoryview], info: TensorInfo, seen: _Seen, told: Told, stopped: Callable[[], bool]
) -> Iterator[memoryview]:
    done = 0
    for piece in pieces:
        if stopped():
            raise Stopped
        seen.take(piece)
        yield piece
        done += len(piece)
        told(done, info.nbytes)


class _Seen:
    """The first elements, and magnitudes by cell."""

    def __init__(self, info: TensorInfo) -> None:
        self._info = info
        self._at = 0
        self.first: list[float | complex] = []
        self._cells = _Cells(info.shape) if _is_matrix(info) else None

    def take(self, piece: memoryview) -> None:
        found = decode(np.frombuffer(piece, np.uint8), self._info.dtype, big_endian=self._info.big_endian)
        if found is None:
            self._cells = None
            return
        if len(self.first) < FIRST:
            self.first += [_number(x) for x in found[: FIRST - len(self.first)]]
        if self._cells is not None:
            self._cells.add(self._at, np.abs(found.astype(np.float64)))
        self._at += len(found)

    @property
    def heat(self) -> Floats | None:
        return None if self._cells is None else self._cells.means


def _is_matrix(info: TensorInfo) -> bool:
    """Of two dimensions as it is, of more with all but the last together; stored row by row."""
    rows = prod(info.shape[:-1])
    return len(info.shape) > 1 and rows > 1 and info.shape[-1] > 1 and info.strides is None and info.dtype != "C64"


def _number(value: np.generic) -> float | complex:
    number = value.item() if hasattr(value, "item") else value
    return number if isinstance(number, int | float | complex) else float(value)


class _Cells:
    """Sums of magnitudes by cell of a grid that is laid over a matrix."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._rows, self._columns = prod(shape[:-1]), shape[-1]
        self._grid = min(self._rows, HEAT_ROWS), min(self._columns, HEAT_COLUMNS)
        cells = self._grid[0] * self._grid[1]
        self._sums, self._counts = np.zeros(cells), np.zeros(cells)
        self._column_of = np.arange(self._columns) * self._grid[1] // self._columns

    def add(self, at: int, magnitudes: Floats) -> None:
        """The elements from position `at` on."""
        places = np.arange(at, at + len(magnitudes))
        row, column = np.divmod(places, self._columns)
        cell = row * self._grid[0] // self._rows * self._grid[1] + self._column_of[column]
        finite = np.isfinite(magnitudes)
        weights = np.where(finite, magnitudes, 0.0)
        self._sums += np.bincount(cell, weights, len(self._sums))
        self._counts += np.bincount(cell, finite, len(self._sums))

    @property
    def means(self) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            means: Floats = (self._sums / self._counts).reshape(self._grid)
        return means
