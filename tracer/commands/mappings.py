"""`tracer mappings`: the tables, as they are; `tracer mappings new`: the beginning of another one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from difflib import get_close_matches

from mappings.axes import spell
from mappings.registry import installed
from mappings.rows import Architecture, Entry, Fill, Row, Skip
from tracer.commands.output import Printer, output_options, refuse_empty
from tracer.errors import UsageError
from tracer.report import jsonl

DESCRIPTION = """List the architectures, or the mapping rows of one; `new MODEL` writes a starter for an unknown one.

A row says where the axes of a tensor lie on disk and which part of which engine parameter it fills. Own rows are
given to trace-load with --mapping FILE, a TOML file: `architecture`, `like`, [axes], [[param]], [[row]], [[skip]].

`tracer mappings new MODEL` writes such a file for a checkpoint of an architecture that has no rows: what it is
most like, which of its tensors have other names there, parameters for the rest. What could not be decided is a TODO
in the file."""
EPILOG = "Exit status: 0; 1 where `new` leaves something to do; 2 for an unknown architecture or unreadable input."


def options(parser: argparse.ArgumentParser) -> None:
    """The options of `tracer mappings`."""
    add = parser.add_argument
    add("arch", nargs="?", metavar="ARCH", help="an architecture, as in config.json; or the word new")
    add("model", nargs="?", metavar="MODEL", help="after new: a folder, a file, or org/name on the Hub")
    add("--output", metavar="FILE", help="after new: write the rows there instead of to stdout")
    add("--revision", metavar="REV", help="branch, tag or commit of a repository on the Hub")
    output_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print a list or a table, or write a starter."""
    refuse_empty(args, "arch", "model")
    if args.arch == "new":
        from tracer.commands.starting import write

        return write(args)
    for name in ("model", "output", "revision"):
        if getattr(args, name) is not None:
            spelled = args.model if name == "model" else f"--{name}"
            raise UsageError(f"{spelled}: expected only after `new`: tracer mappings new MODEL")
    known = installed()
    found = [arch for arch in known if args.arch in (None, arch.name, arch.id)]
    if not found:
        near = get_close_matches(args.arch, list(dict.fromkeys(arch.name for arch in known)), n=3, cutoff=0.4)
        raise UsageError(f"no rows for {args.arch}" + (f"; nearest: {', '.join(near)}" if near else ""))
    if args.json:
        jsonl.write((json.dumps(record) for arch in found for record in records(arch)), args.json)
    lines = table(found) if args.arch else (f"{arch.id}  {len(arch.rows)} rows" for arch in found)
    Printer(args).lines(lines)
    return 0


def table(found: list[Architecture]) -> Iterator[str]:
    """Every entry of the given architectures."""
    for arch in found:
        prefixes = f"  prefixes {', '.join(map(repr, arch.prefixes))}" if arch.prefixes != ("",) else ""
        yield arch.id + prefixes
        width = max(len(entry.name) for entry in arch.entries if not isinstance(entry, Fill))
        for entry in arch.entries:
            yield f"  {_describe(entry, width)}"
        for axis, expression in arch.axes.items():
            yield f"  axis {axis} = {expression}"
        for axis, atoms in arch.factors.items():
            yield f"  axis {axis} = {'.'.join(atoms)}"


def _describe(entry: Entry, width: int) -> str:
    if isinstance(entry, Row):
        parts = ", ".join(part.name for part in entry.slot.parts if part.name)
        target = entry.slot.param.name + (f"[{parts}]" if parts else "")
        op = f"  {entry.op}" if entry.op else ""
        return f'{entry.name:<{width}}  "{spell(entry.layout)}"  -> {target}  {entry.source}{op}'
    if isinstance(entry, Skip):
        return f"{entry.name:<{width}}  skipped: {entry.why}  {entry.source}"
    if isinstance(entry, Fill):
        return f"{'(no tensor)':<{width}}  fill {entry.value:g} -> {entry.slot.param.name}: {entry.why}  {entry.source}"
    return f"{entry.name:<{width}}  tied to {entry.to.name} when {entry.when}  {entry.source}"


def records(arch: Architecture) -> Iterator[dict[str, object]]:
    """One record an entry."""
    for entry in arch.entries:
        kind = type(entry).__name__.lower()
        name = None if isinstance(entry, Fill) else entry.name
        record: dict[str, object] = {"kind": kind, "architecture": arch.id, "name": name, "source": entry.source}
        if isinstance(entry, Row):
            record |= {
                "param": entry.slot.param.name, "parts": [p.name for p in entry.slot.parts if p.name],
                "layout": spell(entry.layout), "op": entry.op,
            }  # fmt: skip
        elif isinstance(entry, Skip):
            record |= {"why": entry.why}
        yield record
