"""`tracer diff` of two traces."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

from mappings.names import runs
from tracer.checks import Check
from tracer.checks import records as records_of
from tracer.commands.output import Printer
from tracer.diff.loads.compare import LoadComparison, compare
from tracer.diff.loads.placements import Load
from tracer.diff.loads.telling import groups, lines, sentence
from tracer.diff.records import record
from tracer.diff.table import SCREEN
from tracer.errors import UsageError
from tracer.reading import check_structure, open_trace
from tracer.report import jsonl
from tracer.report.words import plural

PLANNED = "{} observed"
NEITHER = "other ranks"
"""What is asked of a plan, or of ranks that no trace is of, and cannot be: no lack of the comparison."""


def run_traces(args: argparse.Namespace, printer: Printer) -> int:
    """Compare, print, and return the exit status. Raises InputError for what is no trace."""
    if args.values:
        raise UsageError("--values: traces have no values; compare the checkpoints")
    with closing(open_trace(Path(args.a))) as one, closing(open_trace(Path(args.b))) as other:
        for trace in args.a, args.b:
            check_structure(Path(trace))
        comparison = compare(Load("A", args.a, one), Load("B", args.b, other))
        checks, verdict = load_checks(comparison), sentence(comparison)
        if args.json:
            told = [group._asdict() for group in groups(comparison, whole=True)]
            found = [record("difference", **{**each, "subject": each.pop("name")}) for each in told]
            head = record("verdict", same=comparison.same, sentence=verdict)
            jsonl.write(iter([head, *found, *records_of(checks)]), args.json)
        printer.lines([verdict, str(comparison.a), str(comparison.b), *lines(comparison, args.all, SCREEN)])
        printer.lines(_grounds(checks))
    beside = (NEITHER, *(PLANNED.format(letter) for letter in "AB"))
    complete = not any(check.unchecked for check in checks if check.name not in beside)
    return int(args.exit_code and not (comparison.same and complete))


def load_checks(comparison: LoadComparison) -> list[Check]:
    """What was compared, and what could not be."""
    a, b = comparison.a, comparison.b
    ranks = f"{plural(comparison.tensors, 'tensor')} on ranks {list(comparison.ranks)}"
    over = f"{plural(comparison.tensors, 'tensor')}: which parameters, and which elements are read over all ranks"
    told = (ranks if comparison.ranks else over) if comparison.tensors else ""
    found = [Check("moves", told, (), "; ".join(comparison.unchecked))]
    if not comparison.ranks:
        found.append(Check("ranks", "", (), f"A is of tp {a.run.tp}, B of tp {b.run.tp}: slices cannot be compared"))
    elif missing := sorted(set(range(a.run.tp)) - {*a.run.ranks, *b.run.ranks}):
        found.append(Check(NEITHER, "", (), f"{runs(missing)} of {a.run.tp}: neither trace is of them"))
    for load in (a, b):
        if load.store.end is None:
            found.append(Check(f"end of {load.letter}", "", (), "the trace was cut short"))
        if not load.run.observed:
            found.append(Check(PLANNED.format(load.letter), "", (), "it is a plan: nothing in it was observed"))
    return found


def _grounds(checks: list[Check]) -> list[str]:
    told = [f"{check.name}: {check.told}" for check in checks if check.told]
    return told + [f"not checked: {check.name} ({check.unchecked})" for check in checks if check.unchecked]
