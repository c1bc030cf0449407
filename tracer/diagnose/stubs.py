"""Files of which only headers were ever written: published headers, and what tests and plans are made of."""

from __future__ import annotations

from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.doctor.zeros import Looked, look

SMALL = 1 << 20
"""Bytes up to which the room that a file takes on the disk does not tell whether it was meant to be filled."""


def never_written(checkpoint: Checkpoint, *, only: bool = False) -> str:
    """That no weights are here, where the disk never got most of their bytes; `only` where nothing else was seen."""
    looked = _looked(checkpoint)
    holes = sum(each.holes for each in looked)
    if not holes or 2 * holes < _size(checkpoint) or (only and not all(each.blank for each in looked)):
        return ""
    seen = "all that was seen of them is zero" if only else "they are zero"
    return f"no weights are here ({holes:,} bytes of the files were never written): {seen}"


def hardly_filled(checkpoint: Checkpoint, zero: int) -> str:
    """The same of so many bytes of tensors that are nothing but zeros, whether or not the disk has them."""
    if 2 * zero < _size(checkpoint) or not zero:
        return ""
    told = f"no weights are here ({zero:,} bytes of tensors are zero): headers without a model"
    return never_written(checkpoint) or (told if _size(checkpoint) < SMALL else "")


def _looked(checkpoint: Checkpoint) -> list[Looked]:
    folder = checkpoint.files.folder
    held: dict[str, list[TensorInfo]] = {}
    for tensor in checkpoint.tensors:
        if tensor.file is not None:
            held.setdefault(tensor.file, []).append(tensor)
    return [] if folder is None else list(look(folder, held))


def _size(checkpoint: Checkpoint) -> int:
    return sum(tensor.nbytes for tensor in checkpoint.tensors)
