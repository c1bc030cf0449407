"""GGUF files, damaged; the second opinion is llama.cpp's own reader in Python, on whatever we accept."""

from __future__ import annotations

import random
import tempfile
import warnings
from functools import cache
from pathlib import Path

from gguf import GGUFReader

from fixtures.gguf import Stored, Typed, document, header, info, pair, write_sparse
from fixtures.hostile_gguf import HOSTILE_GGUF
from mappings.ggml import FORK_TYPES
from tests import corpus
from tests.fuzz.case import Blob, Case, one_file
from tests.fuzz.damage import ANYWHERE, BYTES, flip, large_number, several
from tests.fuzz.ours import Errors, Wrong, read_by_us
from tracer.checkpoint.gguf import read

FILE = "model.gguf"
WITH_TENSORS = ("gguf-llama-2-13b-chat-q8_0", "gguf-qwen3-32b-q4_0")
"""Checkpoints of the corpus whose list of tensors is known."""


@cache
def published() -> tuple[Blob, ...]:
    """Real headers without their vocabularies, and holes for the data."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for slug in WITH_TENSORS:
            values, tensors = _told(corpus.materialise(slug, Path(folder) / slug))
            path = write_sparse(Path(folder) / FILE, values, tensors)
            head = header(values, tensors)
            found.append(Blob(head, path.stat().st_size - len(head)))
    return tuple(found)


def _told(folder: Path) -> tuple[dict[str, Typed], list[Stored]]:
    """The first tensors of a file, and the keys that are numbers."""
    path = next(folder.glob("*.gguf"))
    with path.open("rb") as file:
        found = read(file, path.stat().st_size, FILE, FILE)
    numbers = {k: v for k, v in found.metadata.items() if v.isdigit() and not k.startswith("GGUF.")}
    values = {key: Typed("u32", int(value)) for key, value in numbers.items()}
    tensors = [Stored(tensor.name, tensor.dtype, tensor.shape) for tensor in found.tensors[:30]]
    return {"general.architecture": Typed("str", "llama"), **values}, tensors


@cache
def small() -> tuple[Blob, ...]:
    """One pair of every kind, tensors plain and in blocks; and the smallest files that there are."""
    values = {
        "general.architecture": Typed("str", "llama"), "llama.block_count": Typed("u32", 2),
        "a.i8": Typed("i8", -1), "a.u16": Typed("u16", 3), "a.f32": Typed("f32", 1e-5), "a.f64": Typed("f64", 0.1),
        "a.bool": Typed("bool", True), "a.u64": Typed("u64", 2**40), "a.list": Typed("[i32]", [1, 2, 3]),
        "a.lists": Typed("[[u8]]", [[1, 2], [3]]), "general.alignment": Typed("u32", 64),
        "tokenizer.ggml.tokens": Typed("[str]", [f"<{n}>" for n in range(5)]),
    }  # fmt: skip
    tensors = [
        Stored("token_embd.weight", "F16", (5, 32), bytes(320)),
        Stored("blk.0.attn_q.weight", "Q4_0", (4, 64), bytes(144)),
        Stored("output.weight", "Q6_K", (2, 256), bytes(420)), Stored("output_norm.weight", "F32", (32,), bytes(128)),
    ]  # fmt: skip
    one = [Stored("a", "F32", (8,), bytes(32))]
    files = document(values, tensors), document({}, one), document({}, one, 2), document(values, [])
    return tuple(map(Blob, files))


def swell(rng: random.Random, content: bytes) -> bytes:
    """More pairs or tensors than were counted, or more of what was counted; the counts sometimes follow."""
    extra = rng.choice([
        pair("x", Typed("str", "y" * rng.choice([0, 10, 70_000]))), pair("general.alignment", Typed("u32", 0)),
        pair("x", Typed("[str]", ["z"] * rng.choice([0, 3, 3000]))), info("a", [2**32, 2**32], 0, 0),
        pair("split.count", Typed("u16", 65535)) + pair("split.no", Typed("u16", 3)), info("b", [8], 0, 32),
        pair("split.tensors.count", Typed("i32", -5)), info("n" * 100, [1] * 5, 0, 2**63),
        info(b"\xed\xa0\x80", [8], 0, 0),
    ])  # fmt: skip
    at = rng.choice([24, rng.randrange(24, max(len(content), 25))])
    grown = content[:at] + extra + content[at:]
    which = rng.choice([8, 16, None])
    if which is None or len(grown) < 24:
        return grown
    count = (int.from_bytes(grown[which : which + 8], "little") + rng.choice([1, 2, -1])) % 2**64
    return grown[:which] + count.to_bytes(8, "little") + grown[which + 8 :]


def make(rng: random.Random) -> Case:
    """A real header or a small file, with one to three changes; some that were made to be refused, changed as well."""
    blob = rng.choice(rng.choice([small, small, published])())
    if rng.random() < 0.1:
        blob = Blob(HOSTILE_GGUF[rng.choice(sorted(HOSTILE_GGUF))].make() or b"G")
    if rng.random() < 0.07:
        return one_file(FILE, blob)
    head = several(rng, blob.head, rng.choice([[flip], [large_number], [swell], BYTES, ANYWHERE]))
    hole = blob.hole if rng.random() < 0.9 else max(blob.hole + rng.choice([-1, 1, -32, 32, 2**30]), 0)
    return one_file(FILE, Blob(head, hole))


_OF_A_FORK = {kind.name for kind in FORK_TYPES.values()}
Place = tuple[str, tuple[int, ...], int | None, int]


def judge(case: Case, path: Path, ours: Errors) -> str:
    """Only headers that we accept are shown to the reference, which believes counts and fills the memory with them."""
    found = read_by_us(path, read, ours)
    if found is None:
        return "refused by us"
    if any(tensor.dtype in _OF_A_FORK for tensor in found):
        return "read by us alone: a type that gguf-py does not have"
    expected = _reference(path)
    listed: dict[str, Place] = {t.name: (t.dtype, t.shape, t.offset, t.nbytes) for t in found}
    if listed != expected:
        raise Wrong(f"we read {listed}, gguf-py {expected}"[:2000])
    return "read by both, and contradictory" if ours else "read by both"


def _reference(path: Path) -> dict[str, Place]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tensors = GGUFReader(path).tensors
        except Exception as error:  # it has no exception of its own
            raise Wrong(f"we read what gguf-py refuses: {error!r}") from error
        return {
            t.name: (t.tensor_type.name, tuple(map(int, t.shape[::-1])), int(t.data_offset), int(t.n_bytes))
            for t in tensors
        }
