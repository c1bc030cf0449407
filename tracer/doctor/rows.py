"""What the mapping rows say of a checkpoint, in the words of `trace-load --plan`; and that there are none, if so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mappings.findings import Finding
from mappings.proof import Proof, prove
from tracer.checkpoint.consistency import some
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.formats import GGUF
from tracer.doctor.admission import Patient
from tracer.doctor.chart import Chart
from tracer.errors import Refused
from tracer.prepare import Prepared

_AREAS = {"names": "names", "slots": "names", "axes": "names", "sizes": "shapes", "ranks": "shapes", "bytes": "files"}
"""Which check a proof belongs to."""
_NO_DEFECT = ("arch.unknown", "quant.unsupported")
"""What only says that this program has no rows: the files may be as good as any."""


def examine_rows(patient: Patient, chart: Chart) -> None:
    """Names, shapes and sizes, where rows tell what they should be."""
    if patient.prepared is not None:
        _prove(patient.prepared, chart)
    elif patient.refused is not None:
        _refuse(patient, patient.refused, chart)
    else:
        several = "one file of several was named, and what the others hold is not known"
        damaged = "files are damaged, and what is in them is not known"
        if patient.lost and not any(damage.weights for damage in patient.damaged):
            damaged = f"{some(patient.lost)} cannot be read, and without it nothing says what there should be"
        reason = several if patient.part else damaged
        for area in ("names", "shapes", "sizes"):
            chart.unchecked(area, reason)


def _prove(prepared: Prepared, chart: Chart) -> None:
    checkpoint = prepared.checkpoint
    assert checkpoint is not None
    whole, named = checkpoint.state == "complete", checkpoint.state != "config-only"
    proofs = prove(prepared.plan, checkpoint.spans if whole else None, whole, named)
    reworded = prepared.configured.reworded
    known = [*checkpoint.findings, *prepared.configured.findings, *prepared.plan.binding.findings]
    for finding in prepared.findings:
        # What no other part of the preparation has said, the scales have.
        chart.found([reworded(finding)], None if finding in known else "sizes")
    for proof in proofs:
        chart.found(_of_storage(checkpoint, reworded(finding)) for finding in proof.findings)
    for item in prepared.unchecked:
        chart.unchecked(_area_of(item.name), f"{item.name}: {item.reason}")
    _tell(prepared, proofs, chart)


def _of_storage(checkpoint: Checkpoint, finding: Finding) -> Finding:
    """Two names of one storage, as pickles keep them, cannot differ."""
    if finding.code != "tie.conflict":
        return finding
    names = (finding.subject, finding.evidence.get("to"))
    held = {(t.file, t.offset, t.shape, t.strides) for t in checkpoint.tensors if t.name in names and t.file}
    if len(held) > 1 or sum(t.name in names for t in checkpoint.tensors) < 2:
        return finding
    message = f"{names[0]} and {names[1]} are two names of one storage, as {finding.evidence.get('flag')} says"
    return replace(finding, severity="info", message=message, fix=None)


def _area_of(name: str) -> str:
    if name.startswith("index"):
        return "index"
    return "sizes" if name.startswith("sizes") else "files"


def _tell(prepared: Prepared, proofs: Iterable[Proof], chart: Chart) -> None:
    arch = prepared.run.architecture
    done: dict[str, list[str]] = {}
    for proof in proofs:
        area = _AREAS[proof.name]
        if proof.unchecked and proof.name != "bytes":  # that there are no headers is said already
            chart.unchecked(area, f"{proof.name}: {proof.unchecked.reason}")
        elif proof.holds and not proof.unchecked:
            done.setdefault(area, []).append(proof.name)
    if "names" in done:
        chart.told("names", f"{len(prepared.infos):,} tensors against the rows of {arch} ({', '.join(done['names'])})")
    if "sizes" in done.get("shapes", ()):
        some = "" if "names" in done.get("names", ()) else _claimed(prepared)
        chart.told("shapes", f"headers{some} against config.json by the rows of {arch} ({', '.join(done['shapes'])})")
    chart.told("sizes", prepared.weighed)
    chart.told("config", f"{arch}, as the rows read it")


def _claimed(prepared: Prepared) -> str:
    claimed = sum(claim.disposition == "loaded" for claim in prepared.plan.claims)
    return f" of {claimed:,} of {len(prepared.infos):,} tensors"


def _refuse(patient: Patient, refused: Refused, chart: Chart) -> None:
    finding = refused.finding
    known = {(each.code, each.message) for each in patient.checkpoint.findings}
    others = [each for each in refused.others if (each.code, each.message) not in known]
    chart.found(_judged(patient, each) for each in [finding, *others] if (each.code, each.message) not in known)
    codes = [each.code for each in (finding, *others)]
    reason = next((_REASONS[code] for code in codes if code in _REASONS), f"nothing can be planned with {finding.code}")
    for area in ("names", "shapes"):
        chart.unchecked(area, reason)
    if (limit := _limit(patient, codes)) and patient.checkpoint.tensors:
        chart.limited("names", limit)
    chart.left(patient.checkpoint.unchecked, "files")


def _limit(patient: Patient, codes: list[str]) -> str:
    """What a verdict without an error would otherwise hide."""
    classes = (patient.checkpoint.config or {}).get("architectures")
    name = str(classes[0])[:80] if isinstance(classes, list) and classes else "this architecture"
    if "arch.unknown" in codes:
        return f"no rows for {name}: no full list of names and shapes"
    return "no rows for this quantisation: no full list of names and shapes" if "quant.unsupported" in codes else ""


_REASONS = {
    "arch.unknown": "no rows for this architecture say what it consists of",
    "quant.unsupported": "no rows for this quantisation say what it consists of",
    "config.missing": "without a config.json nothing says what there should be",
}


def _judged(patient: Patient, finding: Finding) -> Finding:
    """A refusal of this program is no error of the files."""
    if finding.code == "config.missing":
        finding = replace(finding, fix="`tracer infer MODEL --write-config DIR` makes one of what the tensors say")
    if finding.code in _NO_DEFECT or _does_without(patient, finding):
        return replace(finding, severity="info", fix=None)
    return finding


def _does_without(patient: Patient, finding: Finding) -> bool:
    """Whether loaders need what is missing: GGUF files say it themselves, and one file is no folder."""
    files, checkpoint = patient.files, patient.checkpoint
    if finding.code == "config.missing":
        return files.one_file or checkpoint.format is GGUF or files.has("params.json")
    named = finding.code == "config.missing-field" and finding.subject == "architectures"
    config = checkpoint.config or {}
    return named and "architectures" not in config and any(isinstance(config.get(field), str) for field in _INSTEAD)


_INSTEAD = ("model_type", "_class_name", "architecture")
"""Fields by which Transformers' base classes, Diffusers and timm choose a class without `architectures`."""
