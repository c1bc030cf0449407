"""The path table of a page: every parameter, what leads into it, and which slice each rank takes."""

from __future__ import annotations

from collections.abc import Iterator

from mappings.names import collapse, runs
from tracer.report import words
from tracer.report.html.pictures import Pictures
from tracer.report.html.ranks import Ranks
from tracer.report.html.view import Left, Param, Path, Slice
from tracer.report.paths import Group, Hop, Line
from tracer.report.table import PathTable

MOST_LINES = 2_000
"""Lines on a page: a sound model folds to some sixty; ninety thousand names that have nothing in common do not."""
_MOST_NAMES = 50


def params(table: PathTable, ranks: Ranks, pictures: Pictures) -> Iterator[Param]:
    """The parameters in the order of the model, as many as fit."""
    left = MOST_LINES
    for group in table.groups:
        if left <= 0:
            return
        lines = group.lines[:left]
        left -= len(lines)
        paths = [_path(line, group, table, ranks) for line in lines]
        fills = [": ".join(fill) for fill in table.fills(group)]
        drawn = pictures.of(group)
        yield Param(group.param, table.told(group), paths, fills, next(iter(drawn), None), drawn[1:])


def cut(table: PathTable, ranks: Ranks) -> str:
    """What of the table is not on the page."""
    lines = sum(len(group.lines) for group in table.groups)
    told = [f"{words.plural(lines - MOST_LINES, 'more line')}; --json has all"] if lines > MOST_LINES else []
    if ranks.hidden:
        told.append(f"{words.plural(ranks.hidden, 'more rank')}; --rank R shows one, --json has all")
    return "; ".join(told)


def left(table: PathTable) -> Iterator[Left]:
    """What is not loaded, by rule."""
    for why, names in table.skipped().items():
        folded = [name for name, _ in collapse(names)]
        yield Left(why, len(names), folded[:_MOST_NAMES], max(0, len(folded) - _MOST_NAMES))


def _path(line: Line, group: Group, table: PathTable, ranks: Ranks) -> Path:
    source = table.shapes.get(line.tensor_template, ())
    hops = list(ranks.hops(line))
    if len(hops) > 1 and len({hop for _, hop in hops}) == 1:
        slices = [_slice(f"ranks {runs(rank for rank, _ in hops)}", hops[0][1], source, group, True)]
    else:
        slices = [_slice(f"rank {rank}", hop, source, group) for rank, hop in hops]
    return Path(line.shard, line.tensor, table.row(line), slices)


def _slice(who: str, hop: Hop | None, source: tuple[int, ...], group: Group, everyone: bool = False) -> Slice:
    if hop is None:
        return Slice(who, "", "", everyone)
    read, written = words.sides(hop, source, group.shape)
    return Slice(who, read, written, everyone)
