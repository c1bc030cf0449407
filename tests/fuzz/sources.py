"""What is damaged: real headers, as they were published or as rows say that they are, and small files with values."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from fixtures.geometries import geometry
from fixtures.header_set import tensors_of
from fixtures.hostile import framed
from tests import corpus
from tests.fuzz.case import Blob
from tracer.checkpoint import lfs
from tracer.checkpoint.dtypes import BITS

MODELS = ("llama-3-8b", "gpt2", "bloom-560m", "qwen3-0.6b", "mixtral-8x7b", "deepseek-v2-lite", "gpt-oss-20b")
"""Families whose names and shapes differ."""
WITH_HEADERS = (
    "bloom-176b-safetensors-mixed", "fixture-weight-inspect-tiny", "llama-3.2-3b-one-tensor-per-shard",
    "lora-distilbert-emotion",
)  # fmt: skip
"""Checkpoints of the corpus of which a file was small enough to be collected with its header."""
LONGEST = 40
"""Tensors of a synthesised header: a shard's worth, and quick to read."""


@cache
def published() -> tuple[Blob, ...]:
    """The genuine headers of the corpus, each with a hole of the size that its data had."""
    with tempfile.TemporaryDirectory() as folder:
        for slug in WITH_HEADERS:
            corpus.materialise(slug, Path(folder) / slug)
        files = sorted(Path(folder).glob("*/*.safetensors"))
        return tuple(_header_and_hole(path) for path in files if path.stat().st_size > lfs.LIMIT)


def _header_and_hole(path: Path) -> Blob:
    with path.open("rb") as file:
        length = file.read(8)
        head = length + file.read(int.from_bytes(length, "little"))
    return Blob(head, path.stat().st_size - len(head))


@cache
def synthesised() -> tuple[Blob, ...]:
    """Shards of known models: every name and shape real, the data a hole."""
    found = []
    for model in MODELS:
        tensors = tensors_of(geometry(model))
        for start in (0, len(tensors) // 2):
            some = tensors[start : start + LONGEST]
            found.append(header_of([(t.name, t.dtype, list(t.shape)) for t in some]))
    return tuple(found)


@cache
def small() -> tuple[Blob, ...]:
    """Whole files, as the library writes them, and of types that numpy has not."""
    kinds = ("u1", "i2", "f2", "f4", "i8", "f8", "?")
    arrays: dict[str, Any] = {f"t.{kind}": np.arange(12).astype(kind).reshape(3, 4) for kind in kinds}
    arrays |= {"scalar": np.array(7.0), "nothing": np.zeros((0, 5)), "nämé \n": np.ones(3, "f4")}
    odd = [("a", "F4", [6]), ("b", "F6_E2M3", [2, 2]), ("c", "F8_E8M0", [3]), ("d", "C64", [1])]
    every = [(f"t.{dtype}", dtype, [2, 4]) for dtype in BITS]
    written = [save(arrays, {"format": "np", "note": 'a "b" \\\\'}), save({"a": np.arange(2.0)})]
    filled = [Blob(b.head + bytes(n % 251 for n in range(b.hole))) for b in (header_of(odd), header_of(every))]
    return (*(Blob(bytes(file)) for file in written), *filled, Blob(framed(b"{}")))


def header_of(tensors: Sequence[tuple[str, str, list[int]]], metadata: dict[str, str] | None = None) -> Blob:
    """A safetensors file of these tensors, side by side in a hole."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"} if metadata is None else metadata}
    end = 0
    for name, dtype, shape in tensors:
        start, end = end, end + (int(np.prod(shape, dtype=object)) * BITS[dtype] + 7) // 8
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    return Blob(framed(text + b" " * (-len(text) % 8)), end)


def choose(rng: random.Random) -> Blob:
    """Any of them; the small ones often, since a change of one byte is a larger share of them."""
    return rng.choice(rng.choice([small, small, published, synthesised])())
