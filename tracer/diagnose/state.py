"""A checkpoint as it is, or as it would be after an edit, and what its headers say is wrong with it then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from mappings.findings import Finding
from mappings.plan import LoadPlan
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.collection import uncollected
from tracer.diagnose.weight import weight_of
from tracer.doctor.admission import Patient
from tracer.doctor.examination import examine_headers
from tracer.errors import InputError, Refused
from tracer.infer import Inferred, infer
from tracer.prepare import Prepared, Request, prepare_opened

OF_INTACT = frozenset({"tensor.unmapped", "shape.mismatch", "arch.mismatch", "name.rewrite"})
"""What is wrong with tensors that are here, whatever the files hold that cannot be read."""


@dataclass(frozen=True)
class State:
    """Headers, config.json and the number of ranks; all of it in memory."""

    request: Request
    patient: Patient
    files: tuple[Finding, ...] = ()
    """What is wrong with files, index and shards, which no edit of names mends."""
    findings: tuple[Finding, ...] = ()
    """Everything, those of `files` among them."""

    @property
    def checkpoint(self) -> Checkpoint:
        return self.patient.checkpoint

    @property
    def config(self) -> dict[str, Any]:
        """config.json; empty where there is none."""
        return self.checkpoint.config or {}

    @property
    def tensors(self) -> list[TensorInfo]:
        """Those whose headers are known."""
        return self.checkpoint.tensors

    @property
    def names(self) -> list[str]:
        """Of all tensors, those included that an index promises in files that are not here."""
        return self.checkpoint.names or [tensor.name for tensor in self.tensors]

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape, of those whose headers are known."""
        return {tensor.name: tensor.shape for tensor in self.tensors}

    @property
    def prepared(self) -> Prepared | None:
        """The plan and what it was made from; None where no rows apply, or where files are damaged."""
        return self.patient.prepared

    @property
    def plan(self) -> LoadPlan | None:
        return self.prepared.plan if self.prepared else None

    @property
    def refused(self) -> Finding | None:
        """Why there is no plan, where that is what config.json or the names say."""
        return self.patient.refused.finding if self.patient.refused else None

    @cached_property
    def inferred(self) -> Inferred:
        """What names and shapes say of the config, whatever it says itself."""
        return infer(self.checkpoint) if self.names or self.checkpoint.pointer_sizes else Inferred([])

    @cached_property
    def symptoms(self) -> tuple[Finding, ...]:
        """Errors and warnings."""
        return tuple(finding for finding in self.findings if finding.severity != "info")

    @cached_property
    def codes(self) -> frozenset[str]:
        """Of the symptoms."""
        return frozenset(finding.code for finding in self.symptoms)

    @cached_property
    def burden(self) -> tuple[int, int]:
        """How much is wrong: tensors and parameters behind the errors, then behind the warnings."""
        found = {"error": 0, "warning": 0}
        for finding in self.symptoms:
            found[finding.severity] += weight_of(finding)
        return found["error"], found["warning"]


@uncollected()
def state_of(patient: Patient, request: Request, files: Iterable[Finding]) -> State:
    """Plan, prove and examine what a patient has in memory."""
    files = tuple(files)
    found = examine_headers(patient, files)
    if is_damaged(patient):
        found = [each for each in found if each in files or each.code in OF_INTACT]
    return State(request, patient, files, tuple(found))


def is_damaged(patient: Patient) -> bool:
    """Whether there are tensors of which nothing can be read."""
    return any(damage.weights for damage in patient.damaged)


def of_the_intact(
    patient: Patient, request: Request, files: Iterable[Finding], known: Sequence[Finding]
) -> State | None:  # fmt: skip
    """What names and shapes beside damaged files say, and what was known; None where no rows say what to expect."""
    if (
        not is_damaged(patient)
        or patient.prepared
        or patient.refused
        or patient.empty
        or not patient.checkpoint.tensors
    ):
        return None
    try:
        prepared = prepare_opened(request, patient.checkpoint)
    except (InputError, Refused):
        return None
    state = state_of(replace(patient, prepared=prepared), request, files)
    new = [each for each in state.findings if each not in known]
    return replace(state, findings=(*known, *new))


def changed(state: State, checkpoint: Checkpoint, request: Request | None = None) -> State:
    """The same with other headers or another config. Raises InputError and UsageError as planning does."""
    request = request or state.request
    patient = replace(state.patient, checkpoint=checkpoint, prepared=None, refused=None)
    if not patient.damaged or state.patient.prepared or state.patient.refused:
        try:
            patient.prepared = prepare_opened(request, checkpoint)
        except Refused as refused:
            patient.refused = refused
    return state_of(patient, request, state.files)
