"""`tracer audit`: the audits again, on a saved trace."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tracer.commands.output import Printer, output_options, refuse_empty
from tracer.errors import Refused
from tracer.events import Run, to_json
from tracer.outputs import check_output
from tracer.prepare import replan
from tracer.reading import check_structure, open_trace
from tracer.report import jsonl, verdict
from tracer.store import Store

if TYPE_CHECKING:
    from tracer.audit import Audit

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
    from tracer.audit import Audit
    from tracer.audit.again import audit_again

    refuse_empty(args)
    printer = Printer(args)
    if args.json and args.json != "-":
        check_output("--json", Path(args.json), [str(args.trace)])
    with closing(open_trace(args.trace)) as store:
        check_structure(args.trace)
        try:
            checked = audit_again(store, replan(store))
        except Refused as refused:
            checked = Audit(findings=[refused.finding])
        if args.json:
            jsonl.write(iter(_records(checked)), args.json)
        printer.lines([*_summary(checked, store), *verdict.findings(checked.findings)])
    return 1 if any(finding.severity == "error" for finding in checked.findings) else 0


def _summary(checked: Audit, store: Store) -> list[str]:
    run = store.run
    what = f"{run.model}: {run.architecture}, tp {run.tp}, ranks {list(run.ranks)}, {_how(run)}"
    if not store.run.observed:
        return [what, f"audit: not checked ({checked.unchecked[0].reason})"]
    recorded = sum(f.severity == "error" for f in store.findings())
    noted = [f"recorded when it was loaded: {recorded} errors"] if recorded else []
    return [what, verdict.audit_summary(checked), *noted, *_cut_short(store)]


def _how(run: Run) -> str:
    """What was done that the trace tells of."""
    if not run.observed:
        return "planned, not loaded"
    fake = "; dummy: the bytes were fake" if run.load_format == "dummy" else ""
    return f"loaded by {run.loader}{fake}"


def _cut_short(store: Store) -> list[str]:
    """What ended a load before its end, as far as the trace says; nothing where it came to its end."""
    reasons = [check.reason for check in store.checks() if check.name == "load" and check.reason]
    return [] if store.end else [f"cut short: {'; '.join(reasons) or 'the trace has no end record'}"]


def _records(checked: Audit) -> list[str]:
    found = [to_json(finding) for finding in checked.findings]
    return found + [
        json.dumps({"kind": "check", "name": u.name, "state": "not-checked", "reason": u.reason})
        for u in checked.unchecked
    ]  # fmt: skip
