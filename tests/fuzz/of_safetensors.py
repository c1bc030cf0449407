"""Safetensors files, damaged; the second opinion is the safetensors library's own."""

from __future__ import annotations

import json
import random
import re
from math import prod
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from tests.fuzz import sources
from tests.fuzz.case import Blob, Case, one_file
from tests.fuzz.damage import ANYWHERE, BYTES, PARTS, several
from tests.fuzz.header_damage import JSON, MORE, Pairs, spelt
from tests.fuzz.ours import OF_THE_MODEL, Errors, Wrong
from tracer.checkpoint.dtypes import BITS
from tracer.checkpoint.safetensors import read_header
from tracer.checkpoint.tensor_info import TensorInfo

FILE = "model.safetensors"
STRICTER = {
    "header.duplicate-name": "occurs twice in one object; one of them would be lost",
    "header.invalid": r"expected exactly the fields|expected '\{', found|more elements than 64 bits can count",
    "header.too-large": "which hold more values than are read|are read",
    "file.empty": "a header and no tensors",
    "file.truncated": "space that was reserved",
}
"""What is an error to us and none to the library. It lets the last of two names win, so that one tensor is lost;
overlooks fields that the format does not have, and blanks before the object, which the format forbids; counts up to
2**64 elements where a dimension of zero makes them none, which overflows in readers that multiply first; reads headers
for which we would need more memory than we allow ourselves; and does not mind a file without tensors, or with none but
zeros from the middle of one to its end."""


class Listed(NamedTuple):
    """What the library says of one tensor."""

    dtype: str
    shape: list[int]


def make(rng: random.Random) -> Case:
    """A real file with one to three changes; one in twenty has none."""
    blob = sources.choose(rng)
    if rng.random() < 0.05:
        return one_file(FILE, blob)
    if rng.random() < 0.5:
        return one_file(FILE, _retold(rng, blob))
    head = several(rng, blob.head, rng.choice([BYTES, PARTS, PARTS, ANYWHERE]))
    return one_file(FILE, Blob(head, _resized(rng, blob.hole)))


def _resized(rng: random.Random, hole: int) -> int:
    """Mostly as it was; else a file that was cut, or goes on."""
    if rng.random() < 0.8:
        return hole
    return max(rng.choice([0, hole - 1, hole + 1, hole // 2, hole - 4096, hole + 2**20, 2 * hole, 3 << 30]), 0)


def _retold(rng: random.Random, blob: Blob) -> Blob:
    """Damage to what the header says."""
    start = 8 + int.from_bytes(blob.head[:8], "little")
    header: Pairs = list(json.loads(blob.head[8:start]).items())
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if header:
            rng.choice(rng.choice([JSON, MORE]))(rng, header)
    text = spelt(header) + b" " * rng.choice([0, 0, 7])
    return Blob(len(text).to_bytes(8, "little") + text + blob.head[start:], _resized(rng, blob.hole))


def library(path: Path) -> dict[str, Listed] | None:
    """What the library reads, in the order of the bytes; None where it refuses."""
    try:
        with safe_open(path, "np") as file:
            names = file.offset_keys()
            return {name: Listed(file.get_slice(name).get_dtype(), file.get_slice(name).get_shape()) for name in names}
    except (SafetensorError, OverflowError):
        return None


def judge(case: Case, path: Path, ours: Errors) -> str:
    """Both opinions. Returns what the case turned out to be; raises Wrong where ours is worse."""
    expected = library(path)
    if expected is None:
        if not ours:
            raise Wrong("we call healthy what the library refuses")
        return "refused by both"
    if ours:
        _check_stricter(ours)
        return "refused by us alone"
    _compare(expected, read_header(path))
    return "read by both"


def _check_stricter(ours: Errors) -> None:
    for code, message in ours.items():
        if not code.startswith(OF_THE_MODEL) and not re.search(STRICTER.get(code, "(?!)"), message):
            raise Wrong(f"an error that the library does not see, and none of those that we see alone: {message}")


def _compare(expected: dict[str, Listed], found: list[TensorInfo]) -> None:
    """The same names, types and shapes, and the same bytes."""
    told = {info.name: Listed(info.dtype, list(info.shape)) for info in found}
    if told != expected:
        raise Wrong(f"we read {told}, the library {expected}"[:2000])
    places = {info.name: info for info in found}
    at = min((info.offset for info in found if info.offset is not None), default=0)
    for name, (dtype, shape) in expected.items():
        nbytes = prod(shape) * BITS[dtype] // 8
        if nbytes and (places[name].offset, places[name].nbytes) != (at, nbytes):
            raise Wrong(f"tensor {name!r}: we place it at {places[name].offset}, the library at {at}")
        at += nbytes
