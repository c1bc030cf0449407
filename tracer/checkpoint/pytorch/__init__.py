"""Reads PyTorch's .bin, .pt and .pth files without unpickling them: their pickles are followed, nothing is run.

`machine.py` is the machine, `allowed.py` what a pickle may refer to, `state_dict.py` which mapping is the model.
Tensors that share a storage, overlap or are transposed are as legal here as they are in PyTorch.
"""

from __future__ import annotations

from typing import BinaryIO

from mappings.findings import Finding
from tracer.checkpoint.header import Header
from tracer.checkpoint.pytorch.contents import Contents
from tracer.checkpoint.pytorch.legacy_format import read_legacy
from tracer.checkpoint.pytorch.local import is_local
from tracer.checkpoint.pytorch.refusal import Refusal
from tracer.checkpoint.pytorch.state_dict import StateDict, find_state_dict
from tracer.checkpoint.pytorch.tensors import place_tensors
from tracer.checkpoint.pytorch.zip_format import read_zip
from tracer.checkpoint.sniff import HEAD_BYTES, kind_of_weights
from tracer.errors import InputError

__all__ = ["read"]

_ZIP = b"PK\x03\x04"
_NO_END = (
    "a legacy PyTorch file (before 1.6, no zip) does not say where its header ends, so that it cannot be listed from"
    " afar without reading weights; download it"
)
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_HEADER_AT = 8
"""Where the JSON of a safetensors file begins."""
_TAR_MAGIC = b"ustar"
_TAR_MAGIC_AT = 257


def read(file: BinaryIO, size: int, name: str, where: str) -> Header:
    """The tensors of a PyTorch file of `size` bytes, of whose data not a byte is read. Raises InputError.

    A legacy file does not say where its pickles end: up to as many bytes again as they have (16 KiB for the
    smallest) may be read past them, and are not looked at. A remote one is refused for that.
    """
    try:
        return _header(_contents(file, size, name), name)
    except Refusal as refusal:
        raise InputError(f"{where}: {refusal}", code=refusal.code, subject=refusal.subject or name) from None


def _contents(file: BinaryIO, size: int, name: str) -> Contents:
    if size == 0:
        raise Refusal("file.empty", "expected a PyTorch file, found 0 bytes")
    file.seek(0)
    head = file.read(min(size, len(_ZIP)))
    if head == _ZIP:
        return read_zip(file, size, name)
    if head.startswith(_PICKLES):
        if not is_local(file):
            raise Refusal("pickle.unreadable", _NO_END)
        return read_legacy(file, size, name)
    head += file.read(min(size, HEAD_BYTES) - len(head))
    raise _something_else(head)


def _something_else(head: bytes) -> Refusal:
    kind = kind_of_weights(head)
    if kind is not None:
        return Refusal(kind.code, f"expected a PyTorch file, found {kind.what}; {kind.advice}")
    if head[_HEADER_AT : _HEADER_AT + 2] == b'{"':
        return Refusal("file.wrong-format", "expected a PyTorch file, found a safetensors file; name it .safetensors")
    if head[_TAR_MAGIC_AT:].startswith(_TAR_MAGIC):
        what = "a tar archive, as PyTorch saved until 0.1.1; load and save it with a newer one"
    else:
        zeros = "" if any(head) else " (zeros: space was reserved and never written)"
        what = f"bytes that begin neither a zip archive nor a pickle{zeros}"
    return Refusal("file.wrong-format", f"byte 0: expected a PyTorch file, found {what}")


def _header(contents: Contents, name: str) -> Header:
    state = find_state_dict(contents.pickle.value)
    tensors = place_tensors(state.tensors, contents.places, name, big_endian=contents.big_endian)
    return Header(tensors, _metadata(contents, state), contents.spans, _findings(contents, state, name))


def _metadata(contents: Contents, state: StateDict) -> dict[str, str]:
    metadata = {"pytorch.format": contents.format}
    if state.key:
        metadata["pytorch.state_dict"] = state.key
    if state.others:
        metadata["pytorch.ignored"] = "1 value" if state.others == 1 else f"{state.others} values"
    return metadata


def _findings(contents: Contents, state: StateDict, name: str) -> list[Finding]:
    found = (_tensors_elsewhere(contents, state, name), _unused_storages(contents, name))
    return [finding for finding in found if finding is not None]


def _tensors_elsewhere(contents: Contents, state: StateDict, name: str) -> Finding | None:
    """Those outside of the state dict: an optimizer's, say."""
    count = contents.pickle.tensors - len({id(tensor) for tensor in state.tensors.values()})
    if count <= 0:
        return None
    at = f", {state.key!a}," if state.key else ""
    message = f"{name}: the state dict{at} has {contents.pickle.tensors - count} of {contents.pickle.tensors} tensors"
    evidence = {"tensors": count, "state_dict": state.key}
    return Finding("tensor.ignored", "info", name, f"{message}; the others are not read", evidence)


def _unused_storages(contents: Contents, name: str) -> Finding | None:
    unused = [key for key in contents.places if key not in contents.pickle.storages]
    if not unused:
        return None
    nbytes = sum(contents.places[key].nbytes for key in unused)
    message = f"{name}: {len(unused)} storages ({nbytes} bytes) belong to no tensor, the first is {unused[0]!a}"
    return Finding("header.hole", "warning", name, message, {"storages": unused, "nbytes": nbytes})
