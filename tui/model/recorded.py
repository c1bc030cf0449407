"""Opens a saved trace: what was observed, beside the plan that it should have followed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from mappings.findings import Finding, in_order
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.checks import Check
from tracer.diagnose.cause import Cause
from tracer.errors import InputError, Refused
from tracer.events import Run
from tracer.prepare import Prepared, Request, replan
from tracer.reading import check_structure, open_trace
from tracer.report.words import plural
from tracer.store import Store
from tracer.verified import REFERENCE, UNSEEN, VALUES, VERIFY
from tui.model.subject import Subject

_ABSENT = "no weights are here (the trace has no tensor that was in a file): nothing in them was read"


def open_recorded(where: str, arrived: Callable[[Subject], None]) -> Subject:
    """What is in it is there at once, the plan a little later. Raises InputError."""
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
    found = in_order(store.findings())
    subject = subject.further(
        stage="examined", prepared=prepared, refused=refused, checks=_checks(store, infos),
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


def _checks(store: Store, infos: Sequence[TensorInfo]) -> list[Check]:
    """As they were recorded; one that failed is told by its findings. What nobody asked for was not checked."""
    checks = store.checks()
    recorded = [
        Check(check.name, unchecked=check.reason or "not said why") if check.state == "not-checked"
        else Check(check.name, check.reason or "")
        for check in checks if check.state in ("ok", "not-checked")
    ]  # fmt: skip
    if not any(check.name in (VERIFY, REFERENCE) for check in checks):
        absent = "" if any(info.file is not None for info in infos) else _ABSENT
        recorded.append(Check(VALUES, unchecked=UNSEEN, absent=absent))
    return recorded + ([] if store.end else [Check("end", unchecked="the trace was cut short: it has no end record")])
