"""Opens a saved trace: what was observed, beside the plan that it should have followed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from mappings.findings import Finding
from tracer.audit import Audit
from tracer.audit.again import CUT_SHORT, audit_again, found_again
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.checks import Check
from tracer.diagnose.cause import Cause
from tracer.errors import InputError, Refused
from tracer.events import Run
from tracer.prepare import Prepared, Request, replan
from tracer.reading import check_structure, open_trace
from tracer.report.verdict import audit_summary
from tracer.report.words import plural
from tracer.store import Store
from tracer.verified import REFERENCE, UNSEEN, VALUES, VERIFY
from tui.model.findings.chips import END
from tui.model.subject import Subject

MANY_MOVES = 50_000
"""Of a load whose plan is shown before it is audited."""
MOST_MOVES = 1_000_000
"""Of a load that is audited again before its findings are there: with as many that takes about seven seconds."""
AS_IT_SAYS = "as the trace says; not audited here"
_AUDIT = "audit"
_ABSENT = "no weights are here (the trace has no tensor that was in a file): nothing in them was read"


def open_recorded(where: str, arrived: Callable[[Subject], None]) -> Subject:
    """What is in it is there at once, what the plan and the audit say of it a little later. Raises InputError."""
    try:
        return _opened(where, open_trace(Path(where)), arrived)
    except sqlite3.Error as error:
        raise InputError(f"{where}: the trace store cannot be read: {error}", subject=where) from error


def _opened(where: str, store: Store, arrived: Callable[[Subject], None]) -> Subject:
    run = store.run
    infos = [TensorInfo(t.name, t.dtype, t.shape, t.file, t.offset, t.nbytes) for t in store.tensors()]
    subject = Subject(where, run.model, infos, tp=run.tp, store=store, made_up=_made_up(run, infos))
    arrived(subject)
    check_structure(Path(where))
    prepared, refused = _replanned(store, infos)
    subject = subject.further(stage="plan", prepared=prepared, refused=refused)
    if MANY_MOVES < store.count("move") <= MOST_MOVES:
        arrived(subject)
    audited = _audited(store, prepared)
    found = _found(store, audited)
    subject = subject.further(
        stage="examined", checks=_checks(store, infos, audited),
        causes=[Cause(finding) for finding in found if finding.severity != "info"],
        remarks=[finding for finding in found if finding.severity == "info"],
    )  # fmt: skip
    arrived(subject)
    return subject


def _made_up(run: Run, infos: Sequence[TensorInfo]) -> list[str]:
    """As far as a trace tells it: a tensor that was in no file was made for the load."""
    absent = sum(info.file is None for info in infos)
    whose = "" if absent == len(infos) else f" of {plural(absent, 'tensor')}"
    shapes = [f"shapes and data types{whose}"] if absent else []
    return [*shapes, "the bytes"] if absent or run.load_format == "dummy" else []


def _replanned(store: Store, infos: list[TensorInfo]) -> tuple[Prepared | None, Finding | None]:
    """The plan that the trace should have followed, or why there is none."""
    run = store.run
    try:
        plan = replan(store)
    except Refused as refused:
        return None, refused.finding
    if plan is None:
        return None, None
    request = Request(None, run.tp, plan_only=True)
    return Prepared(request, run.model, Path(), plan, infos, run, None), None


def _audited(store: Store, prepared: Prepared | None) -> Audit | str:
    """The audit again, or why there is none."""
    if store.end is None:
        return "the trace was cut short"
    if prepared is None:
        return "no plan could be made from it"
    if store.run.observed and store.count("move") > MOST_MOVES:
        return f"it has more than {MOST_MOVES:,} moves, `tracer audit` looks at them all"
    try:
        return audit_again(store, prepared.plan)
    except InputError as error:  # it says what cannot be; what there is is shown all the same
        return str(error)


def _found(store: Store, audited: Audit | str) -> list[Finding]:
    """What is wrong by the trace and by the audit. A trace without an end is never well, whatever ended it."""
    found = found_again(store.findings(), audited.findings if isinstance(audited, Audit) else None)
    if store.end is None and not any(finding.code == "load.failed" for finding in found):
        return [Finding("load.failed", "error", "load", CUT_SHORT), *found]
    return found


def _checks(store: Store, infos: Sequence[TensorInfo], audited: Audit | str) -> list[Check]:
    """As they were recorded; one that failed is told by its findings. What nobody asked for was not checked."""
    checks = store.checks()
    recorded = [
        Check(check.name, unchecked=check.reason or "not said why") if check.state == "not-checked"
        else Check(check.name, check.reason or "")
        for check in checks if check.state in ("ok", "not-checked")
    ]  # fmt: skip
    recorded = _with_audit(recorded, audited) if isinstance(audited, Audit) else _unaudited(recorded, audited)
    if not any(check.name in (VERIFY, REFERENCE) for check in checks):
        absent = "" if any(info.file is not None for info in infos) else _ABSENT
        recorded.append(Check(VALUES, unchecked=UNSEEN, absent=absent))
    return recorded + ([] if store.end else [Check(END, unchecked=CUT_SHORT)])


def _with_audit(recorded: Sequence[Check], audited: Audit) -> list[Check]:
    """With what the audit came to in the place of what the trace says of it."""
    undone = {check.name for check in recorded if check.unchecked}
    kept = [check for check in recorded if check.name != _AUDIT or check.unchecked]
    kept += [Check(each.name, unchecked=each.reason) for each in audited.unchecked if each.name not in undone]
    if audited.findings or any(check.name == _AUDIT for check in kept):
        return kept
    told = audit_summary(audited).partition(": ")[2]
    return [*kept, Check(_AUDIT, told) if audited.written else Check(_AUDIT, unchecked=told)]


def _unaudited(recorded: Sequence[Check], why: str) -> list[Check]:
    """Nothing is ok by the trace's own word."""
    reason = f"{AS_IT_SAYS}: {why}"
    told = [check if check.unchecked else Check(check.name, unchecked=reason) for check in recorded]
    silent = not any(check.name == _AUDIT for check in told)
    return [*told, Check(_AUDIT, unchecked=f"not audited here: {why}")] if silent else told
