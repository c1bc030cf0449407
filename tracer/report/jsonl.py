"""A trace as JSON Lines, in the order of the trace format."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tracer.events import to_json
from tracer.outputs import write_lines
from tracer.store import Store


def records(store: Store) -> Iterator[str]:
    """`run`, tensors, per rank params, moves and pads, findings, checks, `end`."""
    run = store.run
    yield to_json(run)
    yield from map(to_json, store.tensors())
    for rank in run.ranks:
        yield from map(to_json, store.params(rank))
        yield from map(to_json, store.moves(rank))
        yield from map(to_json, store.pads(rank))
    yield from map(to_json, store.findings())
    yield from map(to_json, store.checks())
    end = store.end
    if end:
        yield to_json(end)


def write(lines: Iterator[str], target: str) -> None:
    """To a file, complete or not at all; or to stdout for `-`. Raises UsageError when it cannot be written."""
    if target == "-":
        sys.stdout.writelines(line + "\n" for line in lines)
    else:
        write_lines(Path(target), lines)
