"""`tracer doctor`: the check-up of a checkpoint's files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tracer.checks import failed, records
from tracer.commands.output import Printer, output_options, refuse_empty
from tracer.commands.progress import Progress
from tracer.errors import UsageError
from tracer.outputs import check_distinct, check_output
from tracer.report import checks, jsonl

if TYPE_CHECKING:
    from tracer.checkpoint.folder import Checkpoint
    from tracer.checks import Check
    from tracer.doctor import Examination, Values

DESCRIPTION = """Check the files of a checkpoint themselves: headers, index, shards, pickles, values.

Every file is looked at, also after one that cannot be read; what could not be looked at is said, and never counted as
ok. MODEL is a folder, a file, or the id of a repository on the Hub, of which headers only are fetched."""
EPILOG = "Exit status: 0 nothing wrong, 1 at least one error, 2 bad usage, or nothing that could be examined."


def options(parser: argparse.ArgumentParser) -> None:
    """The options of `tracer doctor`."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a folder, a file, or org/name on the Hub")
    add("--revision", metavar="REV", help="branch, tag or commit of a repository on the Hub")
    add("--values", action="store_true", help="read every byte once: not finite, zeros, constants, duplicates")
    add("--dtype", metavar="TYPE", help="with --values: the type it is to be served as, for what overflows in it")
    add("--save", type=Path, metavar="FILE", help="with --values: keep the statistics of each tensor (SQLite)")
    output_options(parser)


def run(args: argparse.Namespace) -> int:
    """Examine, print, and return the exit status."""
    from tracer.doctor import examine

    refuse_empty(args, "model")
    _check(args)
    printer = Printer(args)
    examined = examine(args.model, args.revision, _values(args) if args.values else None)
    if args.json:
        jsonl.write(_records(examined), args.json)
    printer.lines(checks.lines(examined.checks))
    return 1 if failed(examined.checks) else 0


def _check(args: argparse.Namespace) -> None:
    """Raises UsageError."""
    for name in ("dtype", "save"):
        if getattr(args, name) is not None and not args.values:
            raise UsageError(f"--{name}: expected --values with it, which reads them")
    written = [(option, path) for option, path in (("--json", args.json), ("--save", args.save)) if path]
    targets = [(option, Path(path)) for option, path in written if str(path) != "-"]
    for option, target in targets:
        check_output(option, target, [args.model])
    if len(targets) > 1:
        check_distinct("--save", targets[1][1], "--json", targets[0][1])
    if args.dtype is not None:
        from tracer.values.targets import check_target

        check_target(args.dtype)


def _values(args: argparse.Namespace) -> Values:
    def read(checkpoint: Checkpoint) -> list[Check]:
        from tracer.values import examine_values

        with Progress("reading", quiet=args.quiet) as told:
            return examine_values(checkpoint, told, args.dtype, args.save)[0]

    return read


def _records(examined: Examination) -> Iterator[str]:
    """Findings and checks, then what each pickle refers to."""
    yield from records(examined.checks)
    for listing in examined.listings:
        record = {"kind": "pickle", "file": listing.file, "globals": dict(listing.counts)}
        yield json.dumps(record | {"complete": listing.complete})
