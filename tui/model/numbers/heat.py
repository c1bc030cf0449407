"""A matrix as a picture: two cells of it in one of the screen by half-blocks, or by shades without colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import isinf, isnan, log10
from typing import get_args

from tui.model.line import Heat, Line, Span

LEVELS: tuple[Heat, ...] = get_args(Heat)
SHADES = " ░▒▓█"
_NOTHING = "?"


def heat_lines(means: Sequence[Sequence[float]], width: int, colours: bool) -> Iterator[Line]:
    """Mean magnitudes, on a scale of decades between the smallest and the largest of them."""
    grid = [_squeezed(row, width) for row in means]
    scale = _Scale([x for row in grid for x in row])
    if not colours:
        yield from ((Span("".join(scale.shade(x) for x in row)),) for row in grid)
        return
    for upper in range(0, len(grid), 2):
        lower = grid[upper + 1] if upper + 1 < len(grid) else [None] * len(grid[upper])
        yield tuple(_pair(scale, a, b) for a, b in zip(grid[upper], lower, strict=True))


def _squeezed(row: Sequence[float], width: int) -> list[float]:
    """No more cells than there are columns; each is the largest of what it stands for, unless one has no number."""
    width = min(width, len(row))
    edges = [n * len(row) // width for n in range(width + 1)]
    return [_largest(row[a:b]) for a, b in pairwise(edges)]


def _largest(values: Sequence[float]) -> float:
    return next((x for x in values if isnan(x)), None) or max(values)


class _Scale:
    def __init__(self, values: Sequence[float]) -> None:
        logs = [log10(x) for x in values if x > 0 and not isinf(x)]
        self._low, self._high = (min(logs), max(logs)) if logs else (0.0, 0.0)

    def part(self, value: float) -> float:
        """From 0 to 1; zeros are below all others."""
        if value <= 0:
            return 0.0
        span = self._high - self._low
        if isinf(value):  # a sum beyond all numbers
            return 1.0
        return (log10(value) - self._low) / span if span else 1.0

    def shade(self, value: float) -> str:
        if isnan(value):
            return _NOTHING
        return SHADES[0] if value <= 0 else SHADES[1 + min(int(self.part(value) * 4), 3)]

    def level(self, value: float) -> Heat:
        return LEVELS[min(int(self.part(value) * len(LEVELS)), len(LEVELS) - 1)]


def _pair(scale: _Scale, upper: float, lower: float | None) -> Span:
    """Two rows; the last of an odd number has none below it."""
    if isnan(upper) or (lower is not None and isnan(lower)):
        return Span(_NOTHING, "bad")
    if lower is None:
        return Span("▀", scale.level(upper))
    return Span("▀", scale.level(upper), under=scale.level(lower))
