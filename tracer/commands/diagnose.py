"""`tracer diagnose`: from an error, a log, or nothing but a checkpoint to the cause and the one change."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tracer.commands.output import Printer, output_options, refuse_empty
from tracer.errors import UsageError
from tracer.outputs import check_output
from tracer.report import diagnosis, jsonl
from tracer.validate import LARGEST_TP

if TYPE_CHECKING:
    from tracer.complaints.complaint import Told

DESCRIPTION = """Say why a checkpoint does not load, or loads and talks nonsense: one cause first, and the one change.

What an engine said (--error, --log) is held against the files, the names, the shapes and config.json. Each cause that
is thought of is tried in memory: the plan is made again with it mended, and what is gone then was explained by it."""
EPILOG = "Exit status: 0 nothing wrong, 1 at least one error, 2 bad usage, or nothing that could be examined."


def options(parser: argparse.ArgumentParser) -> None:
    """The options of `tracer diagnose`."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a folder, a file, or org/name on the Hub")
    add("--error", metavar="TEXT", help="what was said when it failed, as it was printed")
    add("--log", type=Path, metavar="FILE", help="a whole log of an engine")
    add("--tp", type=int, metavar="N", help="how many ranks load it; without it what the log says, else 1")
    add("--revision", metavar="REV", help="branch, tag or commit of a repository on the Hub")
    output_options(parser)


def run(args: argparse.Namespace) -> int:
    """Diagnose, print, and return the exit status."""
    from tracer.diagnose.diagnosis import diagnose

    refuse_empty(args, "model")
    _check(args)
    printer = Printer(args)
    told = _told(args)
    found = diagnose(args.model, told, _ranks(args, told), args.revision)
    if args.json:
        jsonl.write(diagnosis.records(found), args.json)
    printer.lines(diagnosis.lines(found))
    return 1 if found.failed else 0


def _check(args: argparse.Namespace) -> None:
    """Raises UsageError."""
    if args.error is not None and args.log is not None:
        raise UsageError("--error and --log: expected one of them")
    if args.tp is not None and not 1 <= args.tp <= LARGEST_TP:
        raise UsageError(f"--tp {args.tp}: expected at least 1 and at most {LARGEST_TP}")
    if args.json and args.json != "-":
        check_output("--json", Path(args.json), [args.model])


def _told(args: argparse.Namespace) -> Told:
    """What was pasted. Raises InputError."""
    from tracer.complaints.complaint import Told

    if args.error is None and args.log is None:
        return Told()
    from tracer import complaints

    return complaints.read_error(args.error) if args.log is None else complaints.read_log(args.log)


def _ranks(args: argparse.Namespace, told: Told) -> int:
    """As asked, or as the log says."""
    if args.tp is not None:
        return int(args.tp)
    said = told.settings.get("tensor_parallel_size", told.settings.get("tp_size", ""))
    return int(said) if said.isdecimal() and 1 <= int(said) <= LARGEST_TP else 1
