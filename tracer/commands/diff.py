"""`tracer diff`: what became of one checkpoint in another, or of one load in another."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tracer.checks import Check, failed
from tracer.checks import findings as findings_of
from tracer.checks import records as records_of
from tracer.commands.output import Printer, output_options, refuse_empty, steerable
from tracer.diff import asked, records, table, verdict
from tracer.diff.checkpoints import compare
from tracer.diff.compared import Comparison
from tracer.diff.sides import is_trace, open_side
from tracer.errors import UsageError
from tracer.outputs import check_output
from tracer.report import jsonl
from tracer.report.verdict import findings as finding_lines

DESCRIPTION = """Say what differs between two checkpoints, or between two traces of loads.

A and B are folders, files or repositories on the Hub (org/name, org/name@revision; headers only); or both are traces
(--save or --json of a load, of this tool or another). Headers suffice for names, shapes and dtypes; --values reads
every byte of both once, and says how far apart the numbers are and what was done to them."""
EPILOG = """Exit status: 0 they were compared, whatever came out; 1 at least one error (a side is damaged, or has NaN
where the other has numbers); 2 bad usage or unreadable input. To differ is no error. With --exit-code, as in git diff:
1 also when they differ in a name, a shape, a dtype, a value or a field of config.json, or when one that was asked for
could not be compared. In which files tensors lie, and fields of config.json that change nothing that is loaded
(_name_or_path, transformers_version, ...), are told, and are no difference."""


def options(parser: argparse.ArgumentParser) -> None:
    """The options of `tracer diff`."""
    add = parser.add_argument
    add("a", metavar="A", help="a folder, a file, a repository on the Hub, or a trace")
    add("b", metavar="B", help="the same; what is told is what became of A in B")
    add("--values", action="store_true", help="read every byte of both: distances, dequantisation, ranks of changes")
    add(
        "--reports", nargs=2, metavar=("OF_A", "OF_B"), type=Path,
        help="with --values: stored scans of both (tracer doctor --values); what has equal digests is not read again",
    )  # fmt: skip
    add("--all", action="store_true", help="do not collapse the table, and look at every matrix for a low rank")
    add("--exit-code", action="store_true", help="exit status 1 when they differ, for scripts")
    output_options(parser)


def run(args: argparse.Namespace) -> int:
    """Compare, print, and return the exit status."""
    refuse_empty(args, "a", "b")
    printer = Printer(args)
    if args.json and args.json != "-":
        check_output("--json", Path(args.json), [args.a, args.b])
    if args.reports and not args.values:
        raise UsageError("--reports: digests are compared with --values only")
    kinds = [is_trace(args.a), is_trace(args.b)]
    if kinds[0] != kinds[1]:
        trace, other = (args.a, args.b) if kinds[0] else (args.b, args.a)
        raise UsageError(f"{trace} is a trace of a load and {other} is a checkpoint: expected two of one kind")
    if kinds[0]:
        from tracer.commands.diff_traces import run_traces

        return run_traces(args, printer)
    return _checkpoints(args, printer)


def _checkpoints(args: argparse.Namespace, printer: Printer) -> int:
    a, b = open_side("A", args.a, args.values), open_side("B", args.b, args.values)
    reports = tuple(args.reports) if args.reports else (None, None)
    comparison = compare(a, b, args.values, args.all, _progress, reports)
    checks, sentence = asked.checks(comparison), verdict.sentence(comparison)
    if args.json:
        jsonl.write(iter([*records.records(comparison, sentence), *records_of(checks)]), args.json)
    printer.lines(_lines(comparison, checks, sentence, args.all))
    return status(args, checks, comparison.same, comparison.complete)


def status(args: argparse.Namespace, checks: Sequence[Check], same: bool, complete: bool) -> int:
    """1 for errors, and with --exit-code for whatever is not known to be the same."""
    return int(failed(checks) or (args.exit_code and not (same and complete)))


def _lines(comparison: Comparison, checks: Sequence[Check], sentence: str, whole: bool) -> Iterator[str]:
    """The verdict, then its grounds."""
    yield sentence
    yield str(comparison.a)
    yield str(comparison.b)
    yield from table.lines(comparison, whole)
    yield from grounds(checks)


def grounds(checks: Sequence[Check]) -> Iterator[str]:
    """Findings but remarks, then each check on a line, those that did not run last."""
    yield from finding_lines([finding for finding in findings_of(checks) if finding.severity != "info"])
    for check in checks:
        if check.told and not check.unchecked and not any(f.severity == "error" for f in check.findings):
            yield f"{check.name}: {check.told}"
    for check in checks:
        if check.unchecked:
            yield f"not checked: {check.name} ({check.unchecked})"


def _progress(done: int, total: int) -> None:
    """One line on a terminal, written over again."""
    if not steerable(sys.stderr) or not total:
        return
    line = "" if done >= total else f"{100 * done // total:3} % of {total / 1e9:.2f} GB compared"
    print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
