"""A checkpoint whose headers were read: the plan of it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mappings.findings import in_order
from mappings.proof import findings as proved_findings
from mappings.proof import prove
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.checks import Check
from tracer.complaints.complaint import Told as Nothing
from tracer.diagnose.cause import Cause
from tracer.diagnose.diagnosis import diagnose_patient
from tracer.diagnose.reading import Reading
from tracer.doctor.adapter import adapter_of
from tracer.doctor.admission import Patient, admit
from tracer.prepare import Prepared, Request, prepare
from tui.model.subject import Subject

HEADERS_ONLY = Reading(wanted=False)


def examined(
    where: str, tp: int, opened: Checkpoint | None, seen: Callable[[Checkpoint], None],
    arrived: Callable[[Subject], None],
) -> Subject:  # fmt: skip
    """`opened` was seen already; where it could not be opened so easily, `seen` gets the headers. Raises InputError."""
    patient = admit(where, None, tp, seen, opened)
    subject = _planned(where, tp, patient)
    arrived(subject)
    found = diagnose_patient(patient, Request(where, tp, plan_only=True), Nothing(), HEADERS_ONLY)
    checks = [_here(check) for check in found.checks]
    subject = subject.further(stage="examined", causes=found.causes, remarks=found.remarks, checks=checks)
    arrived(subject)
    return subject


def _here(check: Check) -> Check:
    """What is done here in the place of an option."""
    if check.name != "values" or not check.unchecked:
        return check
    return replace(check, unchecked="headers only; v reads those of one tensor, `tracer diagnose` a sample of all")


def _planned(where: str, tp: int, patient: Patient) -> Subject:
    prepared, checkpoint = patient.prepared, patient.checkpoint
    if patient.empty:  # of an adapter what it has is shown, though it is no model
        checkpoint = adapter_of(patient.files) or checkpoint
    tensors: Sequence[TensorInfo] = checkpoint.tensors
    if prepared and prepared.infos != tensors:
        tensors = prepared.infos
    return Subject(
        where, checkpoint.files.title, tensors, "plan", tp, checkpoint, prepared,
        patient.refused.finding if patient.refused else None, made_up=prepared.fake if prepared else (),
    )  # fmt: skip


def synthetic(tp: int, arrived: Callable[[Subject], None]) -> Subject:
    """The embedded geometry: names and shapes from the rows, no files."""
    prepared = prepare(Request(None, tp, load_format="dummy", plan_only=True))
    subject = Subject("", prepared.title, prepared.infos, "plan", tp, prepared=prepared, made_up=prepared.fake)
    arrived(subject)
    causes, checks = _proved(prepared)
    subject = subject.further(stage="examined", causes=causes, checks=checks)
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
