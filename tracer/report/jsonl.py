"""A trace as JSON Lines, in the order of the trace format."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tracer.errors import UsageError
from tracer.events import to_json
from tracer.store import Store


def records(store: Store) -> Iterator[str]:
    """`run`, tensors, per rank params, moves and pads, findings, `end`."""
    run = store.run
    yield to_json(run)
    yield from map(to_json, store.tensors())
    for rank in run.ranks:
        yield from map(to_json, store.params(rank))
        yield from map(to_json, store.moves(rank))
        yield from map(to_json, store.pads(rank))
    yield from map(to_json, store.findings())
    end = store.end
    if end:
        yield to_json(end)


def write(lines: Iterator[str], target: str) -> None:
    """To a file, complete or not at all; or to stdout for `-`. Raises UsageError when it cannot be written."""
    if target == "-":
        sys.stdout.writelines(line + "\n" for line in lines)
        return
    path = Path(target)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageError(f"cannot write {target}: {error.strerror}") from error
