"""Every hostile GGUF file is refused, for the reason that it was made for; and so is whatever mutation breaks."""

from __future__ import annotations

import io
import random
import tracemalloc
import warnings
from itertools import pairwise
from pathlib import Path

import pytest
from gguf import GGUFReader

from fixtures.gguf import Stored, Typed, document
from fixtures.hostile_gguf import HOSTILE_GGUF
from tracer.checkpoint.gguf import read
from tracer.checkpoint.header import Header
from tracer.errors import InputError

STRICTER_THAN_THE_REFERENCE = {
    "big_endian", "key_without_a_letter", "key_of_a_megabyte", "string_longer_than_the_file",
    "strings_longer_than_the_file", "array_of_an_unknown_type", "neither_true_nor_false", "tensor_without_a_name",
    "five_dimensions", "dimension_of_zero", "offset_off_the_alignment", "hole_before_the_first", "hole_between",
    "two_names_for_the_same_bytes", "one_begins_inside_another", "goes_on_after_the_data", "vocabulary_and_more",
}  # fmt: skip
"""gguf-py swaps bytes, and checks neither the tiling nor the format's limits; llama.cpp refuses nearly all of these."""
FILLS_MEMORY = {"array_longer_than_the_file"}
"""gguf-py believes the count."""


def refusal(raw: bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        read(io.BytesIO(raw), len(raw), "model.gguf", "here/model.gguf")
    return caught.value


@pytest.mark.parametrize("name", HOSTILE_GGUF)
def test_the_refusal_is_one_line_with_its_code_its_file_and_its_place(name: str) -> None:
    error = refusal(HOSTILE_GGUF[name].make())
    assert error.code == HOSTILE_GGUF[name].code, str(error)
    assert str(error).startswith("here/model.gguf: ")
    assert all(words in str(error) for words in HOSTILE_GGUF[name].says), str(error)
    assert HOSTILE_GGUF[name].says
    assert str(error).isprintable()
    assert len(str(error)) < 400


@pytest.mark.parametrize("name", sorted(HOSTILE_GGUF.keys() - FILLS_MEMORY))
def test_the_reference_reader_agrees(name: str, tmp_path: Path) -> None:
    """Else we would refuse files that work."""
    path = tmp_path / "model.gguf"
    HOSTILE_GGUF[name].write(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name in STRICTER_THAN_THE_REFERENCE:
            assert GGUFReader(path)
        else:
            with pytest.raises(Exception):  # noqa: B017  # it has no exception of its own
                GGUFReader(path)


def whole() -> bytes:
    """One pair of every kind, tensors plain and in blocks."""
    values = {
        "general.architecture": Typed("str", "llama"), "llama.block_count": Typed("u32", 2),
        "a.i8": Typed("i8", -1), "a.u16": Typed("u16", 3), "a.f32": Typed("f32", 1e-5), "a.f64": Typed("f64", 0.1),
        "a.bool": Typed("bool", True), "a.u64": Typed("u64", 2**40), "a.list": Typed("[i32]", [1, 2, 3]),
        "a.lists": Typed("[[u8]]", [[1, 2], [3]]), "general.alignment": Typed("u32", 64),
        "tokenizer.ggml.tokens": Typed("[str]", [f"<{n}>" for n in range(50)]),
    }  # fmt: skip
    tensors = [
        Stored("token_embd.weight", "F16", (5, 32), bytes(320)),
        Stored("blk.0.attn_q.weight", "Q4_0", (4, 64), bytes(144)),
        Stored("output.weight", "Q6_K", (2, 256), bytes(420)),
        Stored("output_norm.weight", "F32", (32,), bytes(128)),
    ]  # fmt: skip
    return document(values, tensors)


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, cut out, repeated, or a number made large; mostly in the header."""
    found = bytearray(raw)
    for _ in range(chance.choice([1, 1, 2, 3])):
        at = chance.randrange(min(len(found), 1400))
        match chance.randrange(10):
            case 0 | 1 | 2:
                found[at] = chance.randrange(256)
            case 3 | 4 | 5:
                found[at] ^= 1 << chance.randrange(8)
            case 6 | 7:
                found[at : at + 8] = chance.choice([2**64 - 1, 2**63, 2**32, 2**20, 0]).to_bytes(8, "little")
            case 8:
                size = chance.randint(1, 16)
                found[at : at + size] = found[at : at + size] * chance.choice([0, 2])
            case _:
                del found[at:]
        found = found or bytearray(b"G")
    return bytes(found)


def test_whatever_is_mutated_is_read_or_refused_in_one_line(tmp_path: Path) -> None:
    """Deterministic; no count in a file decides how much memory is taken; and whatever gguf-py refuses, we refuse."""
    raw, chance = whole(), random.Random(11)
    assert len(read(io.BytesIO(raw), len(raw), "a", "a").tensors) == 4
    accepted: dict[bytes, Header] = {}
    tracemalloc.start()
    try:
        for _ in range(3000):
            case = mutated(raw, chance)
            try:
                accepted[case] = read(io.BytesIO(case), len(case), "a", "a")
            except InputError as error:
                assert error.code, error
                assert str(error).isprintable(), error
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()
    assert 300 < len(accepted) < 1500
    for case, header in accepted.items():
        assert all(a.stop == b.start for a, b in pairwise(header.spans))
        assert (header.spans[0].start, header.spans[-1].stop) == (0, len(case))
        path = tmp_path / "model.gguf"
        path.write_bytes(case)
        assert places(header) == places_by_reference(path)


def places(header: Header) -> dict[str, tuple[str, tuple[int, ...], int | None, int]]:
    return {t.name: (t.dtype, t.shape, t.offset, t.nbytes) for t in header.tensors}


def places_by_reference(path: Path) -> dict[str, tuple[str, tuple[int, ...], int | None, int]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            t.name: (t.tensor_type.name, tuple(map(int, t.shape[::-1])), t.data_offset, t.n_bytes)
            for t in GGUFReader(path).tensors
        }  # fmt: skip
