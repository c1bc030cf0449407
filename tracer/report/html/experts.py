"""The experts of a parameter as grids of cells: one grid for all ranks that have the same of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import NamedTuple

from mappings.names import runs
from tracer.report.html.view import Expert, Grid
from tracer.slices.picture import PLACED, Experts, SliceMap

MOST_GRIDS = 8
"""Ranks that differ in what they have; a load that ends in the middle may leave each with something else."""
SIGNS = {"whole": "■", "partly": "◧", "missing": "☒", "twice": "▣"}
"""What the cells look like."""


class Sizes(NamedTuple):
    """Of the drawing, in its units."""

    cell: int = 25
    row: int = 20
    gap: int = 6
    """Between groups."""
    group: int = 8
    line: int = 32
    """Experts of one line."""
    left: int = 80


SIZES = Sizes()


def grids(map: SliceMap) -> Iterator[Grid]:
    """Of a parameter with experts, those of the first ranks first."""
    assert map.experts is not None
    for states, ranks in list(_alike(map, map.experts).items())[:MOST_GRIDS]:
        yield _grid(map.experts, states, f"rank{'s' if len(ranks) > 1 else ''} {runs(ranks)}")


def hidden(map: SliceMap) -> list[int]:
    """The ranks that have something else again, and no grid."""
    assert map.experts is not None
    rest = list(_alike(map, map.experts).values())[MOST_GRIDS:]
    return sorted(rank for ranks in rest for rank in ranks)


def _alike(map: SliceMap, experts: Experts) -> dict[tuple[str, ...], list[int]]:
    """The states of all experts -> the ranks that have them so."""
    found: dict[tuple[str, ...], list[int]] = {}
    for place, rank in enumerate(map.ranks):
        found.setdefault(tuple(experts.state(cell, place) for cell in experts.cells), []).append(rank)
    return found


def _grid(experts: Experts, states: Sequence[str], who: str) -> Grid:
    numbers: dict[str, list[int]] = {}
    for cell, state in zip(experts.cells, states, strict=True):
        numbers.setdefault(state, []).append(cell.number)
    told = [_told(state, own) for state, own in numbers.items()]
    cells = [
        Expert(*_place(at), cell.number, state, cell.number == experts.chosen,
               f"expert {cell.number}: {PLACED[state]} on {who}")
        for at, (cell, state) in enumerate(zip(experts.cells, states, strict=True))
    ]  # fmt: skip
    return Grid(who, cells, "; ".join(told), ceil(len(cells) / SIZES.line) * SIZES.row)


def _told(state: str, numbers: Sequence[int]) -> str:
    which = "" if state == "whole" else f": {runs(numbers)}"
    return f"{SIGNS[state]} {len(numbers)} {PLACED[state]}{which}"


def _place(at: int) -> tuple[int, int]:
    """Where the cell of that place begins."""
    row, column = divmod(at, SIZES.line)
    return SIZES.left + column * SIZES.cell + column // SIZES.group * SIZES.gap, row * SIZES.row
