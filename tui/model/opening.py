"""Opens what was asked for, and says each time more of it is known. Runs beside the screen, in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mappings.findings import Finding, in_order
from mappings.proof import findings as proved_findings
from mappings.proof import prove
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.checks import Check
from tracer.collection import uncollected
from tracer.complaints.complaint import Told as Nothing
from tracer.diagnose.cause import Cause
from tracer.diagnose.diagnosis import diagnose_patient
from tracer.diagnose.reading import Reading
from tracer.doctor.adapter import adapter_of
from tracer.doctor.admission import Patient, admit
from tracer.errors import Refused
from tracer.outputs import is_store
from tracer.prepare import Prepared, Request, prepare, replan
from tracer.reading import open_trace
from tracer.store import Store
from tui.model.subject import Subject

Arrived = Callable[[Subject], None]
HEADERS_ONLY = Reading(wanted=False)
TRACE_ENDINGS = (".db", ".sqlite", ".jsonl")


@uncollected()
def open_subject(where: str | None, tp: int, arrived: Arrived) -> Subject:
    """Gives `arrived` what there is to be seen, once, twice or three times, and returns the last.

    Raises InputError and UsageError.
    """
    if where is None:
        return _synthetic(tp, arrived)
    return _trace(where, arrived) if is_trace(where) else _checkpoint(where, tp, arrived)


def is_trace(where: str) -> bool:
    """Whether a file is a trace and not a file of weights."""
    path = Path(where)
    return path.is_file() and (is_store(path) or path.suffix in TRACE_ENDINGS)


def _checkpoint(where: str, tp: int, arrived: Arrived) -> Subject:
    def seen(checkpoint: Checkpoint) -> None:
        if checkpoint.tensors:
            arrived(Subject(where, checkpoint.files.title, checkpoint.tensors, tp=tp, checkpoint=checkpoint))

    patient = admit(where, None, tp, seen)
    subject = _planned(where, tp, patient)
    arrived(subject)
    found = diagnose_patient(patient, Request(where, tp, plan_only=True), Nothing(), HEADERS_ONLY)
    subject = replace(subject, stage="examined", causes=found.causes, remarks=found.remarks, checks=found.checks)
    arrived(subject)
    return subject


def _planned(where: str, tp: int, patient: Patient) -> Subject:
    prepared, checkpoint = patient.prepared, patient.checkpoint
    if patient.empty:  # of an adapter what it has is shown, though it is no model
        checkpoint = adapter_of(patient.files) or checkpoint
    tensors: Sequence[TensorInfo] = prepared.infos if prepared else checkpoint.tensors
    return Subject(
        where, checkpoint.files.title, tensors, "plan", tp, checkpoint, prepared,
        patient.refused.finding if patient.refused else None, made_up=prepared.fake if prepared else (),
    )  # fmt: skip


def _synthetic(tp: int, arrived: Arrived) -> Subject:
    """The embedded geometry: names and shapes from the rows, no files."""
    prepared = prepare(Request(None, tp, load_format="dummy", plan_only=True))
    subject = Subject("", prepared.title, prepared.infos, "plan", tp, prepared=prepared, made_up=prepared.fake)
    arrived(subject)
    causes, checks = _proved(prepared)
    subject = replace(subject, stage="examined", causes=causes, checks=checks)
    arrived(subject)
    return subject


def _proved(prepared: Prepared) -> tuple[list[Cause], list[Check]]:
    """What the static proofs have to say where there are no files that could be examined."""
    proofs = prove(prepared.plan, None, shapes_known=False, names_known=False)
    found = in_order([*prepared.findings, *proved_findings(proofs)])
    checks = [
        Check(proof.name, proof.checked, tuple(proof.findings), proof.unchecked.reason if proof.unchecked else "")
        for proof in proofs
    ]  # fmt: skip
    return [Cause(finding) for finding in found], checks


# --- traces ---


def _trace(where: str, arrived: Arrived) -> Subject:
    store = open_trace(Path(where))
    run = store.run
    infos = [TensorInfo(t.name, t.dtype, t.shape, t.file, t.offset, t.nbytes) for t in store.tensors()]
    subject = Subject(where, run.model, infos, tp=run.tp, store=store)
    arrived(subject)
    prepared, refused = _replanned(store, infos)
    found = in_order(store.findings())
    causes = [Cause(finding) for finding in found if finding.severity != "info"]
    subject = replace(
        subject, stage="examined", prepared=prepared, refused=refused, causes=causes, checks=_checks(store),
        remarks=[finding for finding in found if finding.severity == "info"],
    )  # fmt: skip
    arrived(subject)
    return subject


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


def _checks(store: Store) -> list[Check]:
    """As they were recorded; one that failed is told by its findings."""
    recorded = [
        Check(check.name, unchecked=check.reason or "not said why") if check.state == "not-checked"
        else Check(check.name, check.reason or "")
        for check in store.checks() if check.state in ("ok", "not-checked")
    ]  # fmt: skip
    return recorded + ([] if store.end else [Check("end", unchecked="the trace was cut short: it has no end record")])
