"""`tracer audit`: the audits again, on a saved trace."""

from __future__ import annotations

import argparse
import json
import sqlite3
from pathlib import Path

from mappings.findings import Finding, Unchecked
from mappings.plan import LoadPlan
from mappings.proof import findings, prove
from tracer.audit import Audit
from tracer.audit import audit as run_audit
from tracer.commands.output import Printer, output_options
from tracer.errors import InputError, Refused
from tracer.events import End, Event, Move, Padding, Parameter, Run, Tensor, from_json, to_json
from tracer.outputs import check_output, is_store
from tracer.prepare import replan
from tracer.report import jsonl, verdict
from tracer.store import Store, add_events

DESCRIPTION = """Audit a saved trace again: a store (--save) or JSON Lines (--json), of this tool or another.

The plan is made anew from the config and the names in the trace; every parameter element must have been written once
on each rank, every tensor element read as often as declared, every move as planned."""
EPILOG = "Exit status: 0 nothing wrong, 1 at least one error, 2 not a trace."


def options(parser: argparse.ArgumentParser) -> None:
    """The options of `tracer audit`."""
    parser.add_argument("trace", metavar="TRACE", type=Path, help="a trace store or a JSON Lines trace")
    output_options(parser)


def run(args: argparse.Namespace) -> int:
    """Audit, print, and return the exit status."""
    printer = Printer(args)
    if args.json and args.json != "-":
        check_output("--json", Path(args.json), [str(args.trace)])
    store = open_trace(args.trace)
    try:
        checked = again(store)
    except Refused as refused:
        checked = Audit(findings=[refused.finding])
    if args.json:
        jsonl.write(iter(_records(checked)), args.json)
    printer.lines([_summary(checked, store), *verdict.findings(checked.findings)])
    return 1 if any(finding.severity == "error" for finding in checked.findings) else 0


def again(store: Store) -> Audit:
    """Everything that can be said of a saved trace. Raises Refused when its config cannot be planned."""
    plan = replan(store)
    if not store.run.observed:
        checked = Audit(unchecked=[Unchecked("audit", "the trace is a plan: nothing in it was observed")])
    else:
        checked = run_audit(store, plan)
    found = [f for f in findings(prove(plan, None)) if f.severity == "error"] if plan else []
    checked.findings = [*_records_of(store, plan), *found, *checked.findings]
    if store.end is None:
        checked.unchecked.append(Unchecked("end", "the trace was cut short: it has no end record"))
    return checked


def _records_of(store: Store, plan: LoadPlan | None) -> list[Finding]:
    """What the records say of each other: totals, ranks, and the verdicts on tensors."""
    end, found = store.end, []
    for table, count in (("tensor", "tensors"), ("param", "params"), ("move", "moves")):
        if end and getattr(end, count) != store.count(table):
            found.append(_contradiction("end", f"{count} is {getattr(end, count)}, there are {store.count(table)}"))
    strangers = store.ranks() - set(store.run.ranks)
    if strangers:
        found.append(_contradiction("run", f"records of ranks {sorted(strangers)}, which run.ranks does not name"))
    for tensor, claim in zip(store.tensors(), plan.claims if plan else (), strict=False):
        if tensor.disposition != claim.disposition:
            said = f"it is said to be {tensor.disposition}, by the rows it is {claim.disposition}"
            found.append(_contradiction(tensor.name, said))
    return found


def _contradiction(subject: str, said: str) -> Finding:
    return Finding("audit.wrong-slice", "error", subject, f"{subject}: the trace contradicts itself: {said}")


def _summary(checked: Audit, store: Store) -> str:
    run = store.run
    what = f"{run.model}: {run.architecture}, tp {run.tp}, ranks {list(run.ranks)}, loaded by {run.loader}"
    if not store.run.observed:
        return f"{what}\naudit: not checked ({checked.unchecked[0].reason})"
    recorded = sum(f.severity == "error" for f in store.findings())
    noted = f"\nrecorded when it was loaded: {recorded} errors" if recorded else ""
    return f"{what}\n{verdict.audit_summary(checked)}{noted}"


def _records(checked: Audit) -> list[str]:
    found = [to_json(finding) for finding in checked.findings]
    return found + [
        json.dumps({"kind": "check", "name": u.name, "state": "not-checked", "reason": u.reason})
        for u in checked.unchecked
    ]  # fmt: skip


def open_trace(path: Path) -> Store:
    """A store, or JSON Lines read into one. Raises InputError with the line that is wrong."""
    if not path.is_file():
        raise InputError(f"{path}: no such trace", subject=str(path))
    return Store.open(path) if is_store(path) else _read_lines(path)


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
    store.index()
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
