"""That no weights are here: a clone without its large files may be as it should, and nothing in them was read."""

from __future__ import annotations

from tracer.doctor.adapter import FILES
from tracer.doctor.admission import Patient


def missing_weights(patient: Patient) -> str:
    """What a verdict begins with; empty where a file of weights is here, be it a damaged one."""
    checkpoint, files = patient.checkpoint, patient.files
    pointers = len(checkpoint.pointer_sizes) or sum(
        files.has(name) and files.pointer_size(name) is not None for name in FILES if not files.one_file
    )
    if checkpoint.tensors or checkpoint.spans or any(damage.weights for damage in patient.damaged):
        return ""
    if pointers:
        return _told(f"{pointers} Git-LFS pointer{'s' if pointers > 1 else ''}: git lfs pull fetches them")
    if patient.empty:
        return ""
    index = checkpoint.index
    if index is not None:
        return _told(f"none of the {len(index.files())} files that {index.file} names")
    return _told("config.json without any file of weights")


def _told(what: str) -> str:
    return f"no weights are here ({what}): nothing in them was read"
