"""Opens what MODEL means as far as it can be read, with a plan of it where there are rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from mappings.findings import Finding
from tracer.checkpoint import adapters, shards
from tracer.checkpoint.files import Files, LocalFiles
from tracer.checkpoint.folder import Checkpoint, open_files
from tracer.checkpoint.formats import of_file
from tracer.checkpoint.hub.address import is_hub_id
from tracer.doctor.damage import Damage, damage_of_texts, damage_of_weights
from tracer.doctor.trainers import is_trainers
from tracer.doctor.undamaged import Undamaged
from tracer.errors import InputError, Refused
from tracer.prepare import Prepared, Request, prepare_opened
from tracer.prepare.model import open_model


@dataclass
class Patient:
    """A checkpoint as far as it can be read."""

    files: Files
    checkpoint: Checkpoint
    """Of what is not damaged; without a state where nothing is left."""
    damaged: list[Damage] = field(default_factory=list)
    prepared: Prepared | None = None
    """Names, shapes and sizes by the rows; None where there are none, or where files are damaged."""
    refused: Refused | None = None
    """Why the rows say nothing."""
    empty: bool = False
    """Whether nothing of the model itself could be read."""
    lack: InputError | None = None
    """What is to be said where nothing turns out to be wrong with what there is, since there is nothing."""
    part: bool = False
    """Whether one file of a numbered series was named, and the others are not here."""

    @property
    def whole(self) -> bool:
        """Whether what there is should be all of the model."""
        return not (self.lost or self.part or self.empty)

    @property
    def lost(self) -> list[str]:
        """Files that loaders need and that cannot be read."""
        return [damage.file for damage in self.damaged if damage.weights or damage.finding.severity == "error"]


def admit(
    model: str, revision: str | None = None, tp: int = 1, seen: Callable[[Checkpoint], None] | None = None,
    opened: Checkpoint | None = None,
) -> Patient:  # fmt: skip
    """Raises InputError where there is nothing to examine, and UsageError. `seen` gets the headers before the plan,
    where they were not read before: then `opened` has them.
    """  # fmt: skip
    request = Request(model, tp, plan_only=True, revision=revision)
    try:
        patient = _planned(request, opened or _opened(request, seen))
    except InputError as error:
        return _salvage(model, revision, error)
    read = patient.checkpoint.index.file if patient.checkpoint.index else None
    # What was opened did without them.
    patient.damaged = [
        damage._replace(finding=replace(damage.finding, severity="warning"))
        for damage in damage_of_texts(patient.files, read)
    ]
    return _as_part(patient) if patient.files.one_file else patient


def _opened(request: Request, seen: Callable[[Checkpoint], None] | None) -> Checkpoint:
    """One of which nothing is damaged that must be read. Raises InputError."""
    checkpoint = open_model(request)
    assert checkpoint is not None
    if seen:
        seen(checkpoint)
    return checkpoint


def _planned(request: Request, checkpoint: Checkpoint) -> Patient:
    try:
        return Patient(checkpoint.files, checkpoint, prepared=prepare_opened(request, checkpoint))
    except Refused as refused:
        return Patient(checkpoint.files, checkpoint, refused=refused)


def _as_part(patient: Patient) -> Patient:
    """Whoever names one file of several asks about that file."""
    checkpoint = patient.checkpoint
    gaps = [finding for finding in checkpoint.findings if finding.code == "shards.gap"]
    if not gaps:
        return patient
    rest = [finding for finding in checkpoint.findings if finding.code != "shards.gap"]
    checkpoint.findings = [*rest, *(replace(gap, severity="info", fix=None) for gap in gaps)]
    return replace(patient, prepared=None, refused=None, part=True)


def _salvage(model: str, revision: str | None, error: InputError) -> Patient:
    """What is left of a checkpoint that cannot be opened as a whole. Raises `error` where that is nothing."""
    files = _files(model, revision, error)
    damaged = [*damage_of_texts(files), *damage_of_weights(files)]
    checkpoint = _rest(files, damaged)
    if checkpoint is not None:
        _mend_gaps(checkpoint, damaged)
        return Patient(files, checkpoint, damaged)
    if not damaged and not _is_anything(files):
        raise error
    empty = Checkpoint(files, None, state="config-only")
    if not damaged and error.code == "file.lfs-pointer" and (finding := error.finding()):
        empty.findings.append(finding)
    return Patient(files, empty, damaged, empty=True, lack=error)


def _files(model: str, revision: str | None, error: InputError) -> Files:
    if is_hub_id(model):
        from tracer.checkpoint.hub.listing import files_of

        return files_of(model, revision)
    path = Path(model)
    if not os.path.exists(path) or not (path.is_dir() or path.is_file()):
        raise error
    return LocalFiles(path)


def _rest(files: Files, damaged: list[Damage]) -> Checkpoint | None:
    if files.one_file and damaged:
        return None
    try:
        return open_files(Undamaged(files, [damage.file for damage in damaged]))
    except InputError:
        # Nothing of the model is left, or it is an adapter, which others look at.
        return None


def _is_anything(files: Files) -> bool:
    """Whether there is anything of a model at the top; what lies in sub-folders is to be named itself."""
    names = files.names()
    if any("/" in name and of_file(name) and not is_trainers(name) for name in names):
        return False
    return any(of_file(name) or is_trainers(name) for name in names) or files.has(adapters.CONFIG)


def _mend_gaps(checkpoint: Checkpoint, damaged: list[Damage]) -> None:
    """A file of a numbered series that is damaged is not missing as well."""
    held = {damage.file for damage in damaged}
    kept: list[Finding] = []
    for finding in checkpoint.findings:
        missing: list[str] = finding.evidence.get("missing", []) if finding.code == "shards.gap" else []
        if not held.intersection(missing):
            kept.append(finding)
        elif not held.issuperset(missing):
            series = shards.series_of(missing[0])
            present = [name for name in checkpoint.files.names() if shards.series_of(name) == series]
            kept += shards.gaps([*present, *held])
    checkpoint.findings = kept
