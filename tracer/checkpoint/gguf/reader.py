"""Reads the header of a GGUF file, and believes none of it until the file's size agrees.

    "GGUF" | version, u32 | number of tensors, u64 | number of pairs, u64 | pairs | tensors | padding | data

All little endian. Source: the GGUF specification in ggml's `docs/gguf.md`, versions 2 and 3; version 1 had 32-bit
counts and lived for three weeks. Stricter than the reference reader: nothing may hide between or behind tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import unpack
from typing import BinaryIO, NoReturn

from mappings.span import Span
from tracer.checkpoint.gguf.claims import check_claims
from tracer.checkpoint.gguf.config import config_of
from tracer.checkpoint.gguf.infos import MOST_TENSORS, SHORTEST_INFO, Info, aligned, read_infos, tile
from tracer.checkpoint.gguf.refusal import Refusal, shown
from tracer.checkpoint.gguf.values import MOST_PAIRS, SHORTEST_PAIR, Value, read_pairs
from tracer.checkpoint.gguf.window import Window
from tracer.checkpoint.header import Header
from tracer.checkpoint.sniff import HEAD_BYTES, kind_of_weights
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import InputError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
_FIXED_BYTES = 24
_ALIGNMENT = "general.alignment"
_USUAL_ALIGNMENT = 32
_OLDER = (b"lmgg", b"fmgg", b"tjgg", b"algg")
"""What the formats before GGUF begin with."""


def read(file: BinaryIO, size: int, name: str, where: str) -> Header:
    """The header of a file of `size` bytes; of its data not a byte is read. Raises InputError."""
    try:
        return _read(file, size, name)
    except Refusal as refusal:
        raise InputError(f"{where}: {refusal}", code=refusal.code, subject=refusal.subject or name) from None


def _read(file: BinaryIO, size: int, name: str) -> Header:
    window = Window(file, size)
    version, tensors, pairs = _fixed(file, window, size)
    _check_counts(version, tensors, pairs)
    window.promise(pairs * SHORTEST_PAIR + tensors * SHORTEST_INFO, f"counts of {pairs} pairs and {tensors} tensors")
    values = read_pairs(window, pairs)
    alignment = _alignment(values)
    infos = read_infos(window, tensors, alignment)
    start = aligned(window.at, alignment)
    if infos or size > start:
        tile(infos, max(size - start, 0), alignment)
    # A file without tensors, a vocabulary, may end with its header, unpadded.
    found = [TensorInfo(i.name, i.type.name, i.shape, name, start + i.begin, i.nbytes) for i in infos]
    metadata = {"GGUF.version": str(version)} | {key: str(value) for key, value in values.items()}
    spans = _spans(name, window.at, start, infos, size)
    return Header(found, metadata, spans, check_claims(values, found), config_of(values, found))


def _fixed(file: BinaryIO, window: Window, size: int) -> tuple[int, int, int]:
    """Version and the two counts."""
    head = b""
    if size >= _FIXED_BYTES:
        window.promise(_FIXED_BYTES, "the version and the counts")
        head = window.take(_FIXED_BYTES)
    if not head.startswith(MAGIC):
        file.seek(0)
        head = file.read(min(size, HEAD_BYTES))
        if not head.startswith(MAGIC):
            _refuse_other_format(head)
        raise Refusal("file.truncated", f"expected {_FIXED_BYTES} bytes before the first pair, found {size}")
    version, tensors, pairs = unpack("<4xIQQ", head)
    return version, tensors, pairs


def _refuse_other_format(head: bytes) -> NoReturn:
    if not head:
        raise Refusal("file.empty", "expected a GGUF file, found 0 bytes")
    kind = kind_of_weights(head)
    if kind is not None:
        raise Refusal(kind.code, f"expected a GGUF file, found {kind.what}; {kind.advice}")
    if head.startswith(_OLDER):
        raise Refusal("file.wrong-format", "expected a GGUF file, found one of its predecessors; convert it again")
    if head[8:9] == b"{":
        raise Refusal("file.wrong-format", "expected a GGUF file, found a safetensors file")
    zeros = "" if any(head) else " (zeros: space was reserved and never written)"
    raise Refusal("header.invalid", f"byte 0: expected {MAGIC!r}, found {head[:4]!r}{zeros}")


def _check_counts(version: int, tensors: int, pairs: int) -> None:
    if version & 0xFFFF == 0 and version:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        raise Refusal("header.invalid", f"byte 4: GGUF version {swapped} in big endian; only little endian is read")
    if version not in VERSIONS:
        raise Refusal("header.invalid", f"byte 4: GGUF version {version}; versions 2 and 3 are read")
    for what, found, most in (("tensors", tensors, MOST_TENSORS), ("pairs", pairs, MOST_PAIRS)):
        if found > most:
            raise Refusal("header.too-large", f"{found} {what}, expected at most {most}")


def _alignment(values: dict[str, Value]) -> int:
    value = values.get(_ALIGNMENT, _USUAL_ALIGNMENT)
    if type(value) is not int or not 0 < value < 2**32 or value & (value - 1):
        raise Refusal("header.invalid", f"{_ALIGNMENT}: expected a power of two, found {shown(value)}")
    return value


def _spans(name: str, header_end: int, data_start: int, infos: Sequence[Info], size: int) -> list[Span]:
    """Everything in the file: the header, the tensors, and the padding before and after each."""
    spans, end = [Span(name, 0, header_end, "the header")], header_end
    for info in infos:
        if end < data_start + info.begin:
            spans.append(Span(name, end, data_start + info.begin, "padding"))
        end = data_start + info.end
        spans.append(Span(name, data_start + info.begin, end, info.name))
    if end < size:
        spans.append(Span(name, end, size, "padding"))
    return [*spans, Span(name, size, size, "the end of the file")]
