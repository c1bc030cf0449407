"""Opens a saved trace, of this tool or another: a store, or JSON Lines read into one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from mappings.findings import Finding
from tracer.cells import damaged
from tracer.checkpoint.regular_file import open_regular
from tracer.errors import InputError
from tracer.events import Check, End, Event, Move, Padding, Parameter, Run, Tensor, from_json
from tracer.integrity import check_cells
from tracer.outputs import is_store
from tracer.store import Store, add_events, read_only


def open_trace(path: Path) -> Store:
    """A store, or JSON Lines read into one. Raises InputError with the line that is wrong."""
    open_regular(path).close()  # or say what stands in its place
    return _open_store(path) if is_store(path) else _read_lines(path)


def _open_store(path: Path) -> Store:
    store = Store.open(path)
    try:
        check_cells(store.db)
        if store.count("run") > 1:
            raise damaged(f"it has {store.count('run')} run records")
        _ = store.run, store.end, store.findings(), store.checks()
    except (InputError, sqlite3.Error) as error:
        store.close()
        raise InputError(f"{path}: {error}", subject=str(path)) from error
    return store


def check_structure(path: Path) -> None:
    """Raises InputError for a store whose pages or indexes are damaged: what is looked for there would not be found.

    Takes as long as reading it again, over a connection of its own, so that others need not wait. JSON Lines have none.
    """
    if not is_store(path):
        return
    try:
        with closing(read_only(path)) as db:
            found = next(iter(db.execute("PRAGMA integrity_check(1)")))[0]
    except sqlite3.Error as error:
        raise InputError(f"{path}: {error}", subject=str(path)) from error
    if found != "ok":
        said = " ".join(str(found).split())
        raise InputError(f"{path}: the trace store is damaged: {said}", subject=str(path))


def _read_lines(path: Path) -> Store:
    store = Store.new()
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    _add(store, line, number, path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as JSON Lines: {error}", subject=str(path)) from error
    if not store.count("run"):
        raise InputError(f"{path}: expected a trace, found no records", subject=str(path))
    return store


def _add(store: Store, line: str, number: int, path: Path) -> None:
    try:
        event = from_json(line)
        _keep(store, event, first=number == 1)
    except (ValueError, sqlite3.IntegrityError, OverflowError) as error:
        raise InputError(f"{path}: line {number}: {error}", subject=str(path)) from error


def _keep(store: Store, event: Event | Finding | None, first: bool) -> None:
    """Raises ValueError for a record in the wrong place, sqlite3.IntegrityError for one that is there twice."""
    if first != isinstance(event, Run):
        raise ValueError("the run record of a trace is its first line, and only that")
    match event:
        case Run():
            store.set_run(event)
        case Tensor():
            store.add_tensors([event])
        case Parameter():
            store.add_params([event])
        case Move():
            add_events(store, [event])
        case Padding():
            store.add_pads([event])
        case End():
            store.set_end(event)
        case Finding():
            store.add_finding(event)
        case Check():
            store.add_check(event)
