"""`tracer audit`: the audits again, on a saved trace."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mappings.findings import Unchecked
from mappings.proof import findings, prove
from tracer.audit import Audit
from tracer.audit import audit as run_audit
from tracer.audit.records import audit_records
from tracer.commands.output import Printer, output_options
from tracer.errors import Refused
from tracer.events import to_json
from tracer.outputs import check_output
from tracer.prepare import replan
from tracer.reading import open_trace
from tracer.report import jsonl, verdict
from tracer.store import Store

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
    checked.findings = [*audit_records(store, plan), *found, *checked.findings]
    if store.end is None:
        checked.unchecked.append(Unchecked("end", "the trace was cut short: it has no end record"))
    return checked


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
