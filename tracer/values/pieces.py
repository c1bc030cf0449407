"""The bytes of a tensor in bounded pieces, in the order of the file, through one buffer that is used again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracer.checkpoint.files import Files
from tracer.checkpoint.stamp import Stamp
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.checkpoint.weights import MappedFile, map_file
from tracer.unchanged import mapping_of
from tracer.values.decoding import Bytes, unit

PIECE = 1 << 20
"""Bytes; what is read once is looked at several times, and should still be in the processor's cache by then."""
STRETCH = 4 * PIECE
"""Bytes that a thread reads at once: numpy's work on less is shorter than the wait for Python's lock after it."""


def pieces(files: Files, tensor: TensorInfo, limit: int = PIECE) -> Iterator[memoryview]:
    """A tensor's bytes as they lie in the file, at most `limit` at once, whole elements or blocks in each.

    Each piece is gone when the next is asked for. Raises InputError for a file that cannot be read or ends early,
    ValueError for a tensor of which `unreadable` says why.
    """
    folder, reason = files.folder, unreadable(tensor)
    if folder is None or tensor.file is None or reason:
        raise ValueError(f"{tensor.name}: {reason or 'its bytes are not on this machine'}")
    with opened(folder / tensor.file, None) as file:
        yield from pieces_of(file, tensor, memoryview(bytearray(min(limit, max(tensor.nbytes, 1)))))


def pieces_of(file: MappedFile, tensor: TensorInfo, buffer: memoryview) -> Iterator[memoryview]:
    """The same of a file that is open, in pieces as large as the buffer allows."""
    for begin, length in places(tensor, len(buffer)):
        piece = buffer[:length]
        file.read_into(begin, piece)
        yield piece


def places(tensor: TensorInfo, limit: int = PIECE) -> Iterator[tuple[int, int]]:
    """Where each piece begins in the file, and how long it is."""
    assert tensor.offset is not None
    whole = unit(tensor.dtype)[1]
    step = limit // whole * whole
    if not step:
        raise ValueError(f"a buffer of {limit} bytes holds no element of {tensor.dtype}")
    end = tensor.offset + tensor.nbytes
    for begin in range(tensor.offset, end, step):
        yield begin, min(step, end - begin)


def cut(raw: Bytes, dtype: str) -> list[Bytes]:
    """A stretch in pieces, whole elements or blocks in each."""
    step = PIECE // unit(dtype)[1] * unit(dtype)[1]
    return [raw[begin : begin + step] for begin in range(0, len(raw), step)]


def unreadable(tensor: TensorInfo) -> str:
    """Why the bytes of a tensor cannot be read in their order; empty where they can.

    A transposed tensor is read as it is stored. One that leaves gaps in its storage, or repeats parts of it, is not.
    """
    if tensor.offset is None or tensor.file is None:
        return "in no file"
    if tensor.strides is None:
        return ""
    covered = 1
    for stride, size in sorted(zip(tensor.strides, tensor.shape, strict=True)):
        if size > 1 and stride != covered:
            return "its strides leave gaps or repeat elements"
        covered *= size
    return ""


@contextmanager
def opened(path: Path, stamp: Stamp | None) -> Iterator[MappedFile]:
    """A file of that stamp, where one is given; raises InputError if it has become another since."""
    with map_file(path) if stamp is None else mapping_of({str(path): stamp})(path) as file:
        yield file
