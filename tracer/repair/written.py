"""Writes one safetensors file from planned tensors, and reads it back.

    8 bytes, little endian: length of the header | the header, JSON, padded with spaces to 8 bytes | the tensors

The reference writer puts tensors of wide elements first, so that each lies at a multiple of its element; so does this
one, and leaves the order alone otherwise. (safetensors/src/tensor.rs, `prepare`.)
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from xxhash import xxh3_128

from tracer.checkpoint.consistency import shortened
from tracer.checkpoint.dtypes import BITS
from tracer.checkpoint.json_object import READ_LIMIT
from tracer.checkpoint.safetensors import open_header
from tracer.checkpoint.weights import map_file
from tracer.errors import UsageError
from tracer.repair.gathering import PIECE, Sources, pieces
from tracer.repair.planned import Planned

_ALIGNMENT = 8

Progress = Callable[[int], object]
"""Hears of bytes that are done, since it heard last."""


def in_file_order(planned: Iterable[Planned]) -> list[Planned]:
    """Wide elements first."""
    return sorted(planned, key=lambda tensor: -BITS[tensor.dtype])


def header_of(planned: Sequence[Planned], metadata: Mapping[str, str], file: str) -> bytes:
    """The beginning of a file that holds these tensors in this order. Raises UsageError for one too long to be read."""
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for tensor in planned:
        entries[tensor.name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [at, at + tensor.nbytes]}
        at += tensor.nbytes
    content = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    content += b" " * (-len(content) % _ALIGNMENT)
    if len(content) > READ_LIMIT:
        raise UsageError(f"{file}: its header would have {len(content)} bytes, and at most {READ_LIMIT} are read")
    return len(content).to_bytes(8, "little") + content


def write(target: Path, header: bytes, planned: Sequence[Planned], sources: Sources, progress: Progress) -> list[str]:
    """A new file, on disk when this returns; the digest of each tensor as it was handed to the system.

    Raises InputError for a source that cannot be read; OSError.
    """
    digests = []
    with target.open("xb", buffering=0) as file:
        _all(file.fileno(), memoryview(header))
        progress(len(header))
        for tensor in planned:
            digest = xxh3_128()
            for piece in pieces(tensor, sources):
                digest.update(piece)
                _all(file.fileno(), piece)
                progress(len(piece))
            digests.append(digest.hexdigest())
        os.fsync(file.fileno())
    return digests


def _all(descriptor: int, content: memoryview) -> None:
    """The system may take a part of it only: of a full disk what there is room for, of any at most 2 GiB."""
    done = 0
    while done < len(content):
        done += os.write(descriptor, content[done:])


def compare(target: Path, planned: Sequence[Planned], digests: Sequence[str], progress: Progress) -> None:
    """Read a file back with the reader of checkpoints. Raises UsageError for a tensor that is not what was written."""
    found = open_header(target).tensors
    expected = [(tensor.name, tensor.dtype, tensor.shape) for tensor in planned]
    if [(tensor.name, tensor.dtype, tensor.shape) for tensor in found] != expected:
        raise UsageError(f"{target}: its header does not read as it was written")
    buffer = memoryview(bytearray(min(PIECE, max((tensor.nbytes for tensor in found), default=0))))
    with map_file(target) as file:
        for tensor, wanted in zip(found, digests, strict=True):
            digest, begin = xxh3_128(), tensor.offset or 0
            for at in range(begin, begin + tensor.nbytes, max(1, len(buffer))):
                piece = buffer[: min(len(buffer), begin + tensor.nbytes - at)]
                file.read_into(at, piece)
                digest.update(piece)
                progress(len(piece))
            if digest.hexdigest() != wanted:
                raise UsageError(f"{target}: {shortened(tensor.name)} does not read as it was written; check the disk")
