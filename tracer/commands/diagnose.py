"""`tracer diagnose`: from an error, a log, or nothing but a checkpoint to the cause and the one change."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mappings.sizes import ConfigError
from tracer.commands.output import Printer, output_options, refuse_empty
from tracer.commands.progress import Progress
from tracer.errors import UsageError
from tracer.outputs import check_distinct, check_output
from tracer.report import diagnosis, jsonl, unanswered
from tracer.validate import LARGEST_TP

if TYPE_CHECKING:
    from tracer.complaints.complaint import Told
    from tracer.diagnose.diagnosis import Diagnosis

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
    values = parser.add_mutually_exclusive_group()
    values.add_argument("--values", action="store_true", default=None, help="read a sample of the values in any case")
    values.add_argument("--no-values", dest="values", action="store_false", help="read headers only")
    add("--expect", action="append", default=[], metavar="NAME=off", help="a test of values that does not apply")
    add("--against", type=Path, metavar="DIR", help="a checkpoint of the same family that is known to be good")
    add("--repair", type=Path, metavar="DIR", help="write a corrected copy into a new folder")
    add("--write-rows", type=Path, metavar="FILE", help="write mapping rows for what no row claims, for --mapping")
    add("--revision", metavar="REV", help="branch, tag or commit of a repository on the Hub")
    output_options(parser)


def run(args: argparse.Namespace) -> int:
    """Diagnose, print, write what was asked for, and return the exit status."""
    from tracer.diagnose.diagnosis import diagnose
    from tracer.diagnose.reading import Reading

    refuse_empty(args, "model")
    _check(args)
    printer = Printer(args)
    told = _told(args)
    reading = Reading(args.values, _expected(args.expect), args.against)
    found = diagnose(args.model, told, _ranks(args, told), args.revision, reading)
    if args.json:
        jsonl.write(diagnosis.records(found), args.json)
    printer.lines(diagnosis.lines(found))
    printer.lines(unanswered.lines(found, _ranks(args, told), reading))
    if args.write_rows:
        printer.lines(_write_rows(found, args.write_rows))
    if args.repair:
        printer.lines(_repair(found, args))
    return 1 if found.failed else 0


def _check(args: argparse.Namespace) -> None:
    """Raises UsageError."""
    if args.error is not None and args.log is not None:
        raise UsageError("--error and --log: expected one of them")
    if args.tp is not None and not 1 <= args.tp <= LARGEST_TP:
        raise UsageError(f"--tp {args.tp}: expected at least 1 and at most {LARGEST_TP}")
    json_file = Path(args.json) if args.json and args.json != "-" else None
    inputs = [args.model, *(str(path) for path in (args.log, args.against) if path)]
    for option, target in (("--json", json_file), ("--write-rows", args.write_rows)):
        if target is not None:
            check_output(option, target, inputs)
    if json_file is not None and args.write_rows is not None:
        check_distinct("--write-rows", args.write_rows, "--json", json_file)


def _expected(said: list[str]) -> dict[str, str]:
    """`rope-order=off` as a pair. Raises UsageError; which names there are is known to those who test."""
    pairs = [text.partition("=") for text in said]
    for text, (_, equals, _) in zip(said, pairs, strict=True):
        if not equals:
            raise UsageError(f"--expect {text}: expected NAME=off")
    return {name: wanted for name, _, wanted in pairs}


def _write_rows(found: Diagnosis, target: Path) -> Iterator[str]:
    """The file, and what came of trying it."""
    from mappings.userfile import MappingFileError
    from tracer.outputs import write_lines
    from tracer.starter import starter, starter_of
    from tracer.starter.summary import proved

    assert found.original is not None
    state = found.original
    try:
        made = starter_of(state.prepared) if state.prepared else starter(state.checkpoint, state.config)
    except (ConfigError, MappingFileError) as error:
        yield f"rows not written: {error}"
        return
    write_lines(target, iter(made.text.splitlines()))
    claimed = f"{made.claimed} of {made.total} names are claimed with --mapping {target}"
    yield f"rows written to {target}: {claimed}, {proved(made)}"
    yield from (f"      {limit}" for limit in made.limits)


def _repair(found: Diagnosis, args: argparse.Namespace) -> Iterator[str]:
    """The corrected copy, where an edit mends anything. Raises UsageError and InputError."""
    from tracer.diagnose.state import is_damaged
    from tracer.repair.repair import repair

    if not found.stages or found.original is None:
        yield f"not repaired: no edit of the checkpoint mends {'what is wrong' if found.causes else 'anything'}"
        return
    if is_damaged(found.original.patient):
        yield "not repaired: files are damaged, and a copy would lack what they hold; download them again first"
        return
    with Progress("writing", quiet=args.quiet) as told:
        done = repair(found.original.checkpoint, found.stages, args.repair, told)
    yield from done.lines()


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
    return int(said) if said.isdecimal() and len(said) < 10 and 1 <= int(said) <= LARGEST_TP else 1
