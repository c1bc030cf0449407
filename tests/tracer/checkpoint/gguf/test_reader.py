"""What is read of a GGUF file equals what gguf-py reads of it; and not one byte of a weight is read for it."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES

from fixtures.gguf import ALIGNMENT, Stored, Typed, document, header, padding, write_sparse
from mappings.ggml import BLOCKS, GGML_TYPES
from mappings.proof.bytes import prove_bytes
from tracer.checkpoint.dtypes import BITS
from tracer.checkpoint.gguf import read
from tracer.checkpoint.header import Header

VALUES = {
    "general.architecture": Typed("str", "llama"), "x.u8": Typed("u8", 200), "x.i8": Typed("i8", -100),
    "x.u16": Typed("u16", 60000), "x.i16": Typed("i16", -30000), "x.u32": Typed("u32", 4_000_000_000),
    "x.i32": Typed("i32", -2_000_000_000), "x.u64": Typed("u64", 2**63), "x.i64": Typed("i64", -(2**62)),
    "x.f32": Typed("f32", 0.5), "x.f64": Typed("f64", 0.1), "x.true": Typed("bool", True),
    "x.false": Typed("bool", False), "x.text": Typed("str", "naïve\n"), "x.empty": Typed("str", ""),
    "x.list": Typed("[u32]", [1, 2, 3]), "x.words": Typed("[str]", ["a", "bc"]), "x.none": Typed("[str]", []),
}  # fmt: skip


class Watched(io.BytesIO):
    """A file that remembers which bytes were asked for."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.ranges: list[tuple[int, int]] = []

    def read(self, size: int | None = -1, /) -> bytes:
        start = self.tell()
        found = super().read(size)
        self.ranges.append((start, start + len(found)))
        return found


def one_of_each_type() -> list[Stored]:
    return [
        Stored(f"blk.{number}.weight", kind.name, (3, 2 * kind.elements), bytes(6 * kind.nbytes))
        for number, kind in GGML_TYPES.items()
    ]  # fmt: skip


def read_raw(raw: bytes) -> Header:
    return read(io.BytesIO(raw), len(raw), "model.gguf", "model.gguf")


# --- second opinions ---


def test_the_types_are_those_of_the_reference() -> None:
    assert {number: (kind.elements, kind.nbytes) for number, kind in GGML_TYPES.items()} == {
        kind.value: sizes for kind, sizes in GGML_QUANT_SIZES.items()
    }
    assert {n: kind.name for n, kind in GGML_TYPES.items()} == {kind.value: kind.name for kind in GGML_QUANT_SIZES}


def test_plain_types_are_spelled_and_sized_as_in_safetensors() -> None:
    plain = {kind.name: kind.nbytes * 8 for kind in GGML_TYPES.values() if kind.elements == 1}
    assert plain == {name: BITS[name] for name in plain}
    assert not BLOCKS.keys() & BITS.keys()


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("alignment", [None, 8, 64])
def test_it_reads_what_the_reference_reads(version: int, alignment: int | None, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    values = VALUES | ({"general.alignment": Typed("u32", alignment)} if alignment else {})
    path.write_bytes(document(values, one_of_each_type(), version))
    header, reference = read_raw(path.read_bytes()), GGUFReader(path)
    assert [
        (t.name, t.tensor_type.name, tuple(t.shape[::-1].tolist()), t.data_offset, t.n_bytes) for t in reference.tensors
    ] == [(t.name, t.dtype, t.shape, t.offset, t.nbytes) for t in header.tensors]
    own = {key: field.contents() for key, field in reference.fields.items() if not key.startswith("GGUF.")}
    assert {key: told(value) for key, value in own.items()} == {
        key: value for key, value in header.metadata.items() if key != "GGUF.version"
    }


def told(value: Any) -> str:
    """A value of gguf-py as our metadata tell it."""
    if isinstance(value, list):
        return {3: "3 x u32: 1, 2, 3", 2: "2 x str", 0: "0 x str"}[len(value)]
    return str(value)


def test_it_reads_what_the_reference_writes(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    writer = GGUFWriter(path, "qwen3")
    writer.add_block_count(7)
    writer.add_rope_freq_base(1e6)
    writer.add_token_list(["a", "b", "c"])
    writer.add_tensor("token_embd.weight", np.arange(12, dtype=np.float32).reshape(3, 4))
    writer.add_tensor("output_norm.weight", np.ones(4, dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    raw = path.read_bytes()
    found = read_raw(raw)
    assert [(t.name, t.dtype, t.shape) for t in found.tensors] == [
        ("token_embd.weight", "F32", (3, 4)), ("output_norm.weight", "F16", (4,)),
    ]  # fmt: skip
    first = found.tensors[0]
    assert first.offset is not None
    assert raw[first.offset : first.offset + first.nbytes] == np.arange(12, dtype=np.float32).tobytes()
    assert found.config is not None
    assert found.config["num_hidden_layers"] == 7
    assert found.config["vocab_size"] == 3


def test_everything_in_the_file_is_accounted_for() -> None:
    spans = read_raw(document(VALUES, one_of_each_type())).spans
    assert prove_bytes(spans).holds
    assert {span.tensor for span in spans} >= {"the header", "padding", "the end of the file", "blk.12.weight"}


def test_the_last_tensor_need_not_be_padded() -> None:
    padded = document({}, [Stored("a", "F32", (5,), bytes(20))])
    assert read_raw(padded).tensors == read_raw(padded[:-12]).tensors
    assert prove_bytes(read_raw(padded[:-12]).spans).holds


@pytest.mark.parametrize("pad", [0, 1, 31])
def test_a_vocabulary_has_no_tensors_and_may_end_unpadded(pad: int) -> None:
    raw = header(VALUES, [])
    raw += bytes(min(pad, -len(raw) % ALIGNMENT))
    assert read_raw(raw).tensors == []
    assert prove_bytes(read_raw(raw).spans).holds


def test_tensors_may_be_listed_in_another_order_than_they_lie_in() -> None:
    raw = document({}, [Stored("a", "F32", (8,), bytes(32)), Stored("b", "F32", (8,), bytes(32))])
    swapped = raw.replace(b"\x01" + bytes(7) + b"a", b"\x01" + bytes(7) + b"?").replace(b"b", b"a").replace(b"?", b"b")
    assert [t.name for t in read_raw(swapped).tensors] == ["b", "a"]


def test_a_number_of_32_bits_is_told_with_its_fewest_digits() -> None:
    for value in (1e-5, 1e-6, 0.1, 500000.0, 1e30, 3.4028234663852886e38, float("inf")):
        told = read_raw(document({"a": Typed("f32", value)}, [])).metadata["a"]
        assert struct.pack("<f", float(told)) == struct.pack("<f", value)
        assert len(told) <= 22
    assert read_raw(document({"a": Typed("f32", 1e-5)}, [])).metadata["a"] == "1e-05"


# --- what is read ---


def tokenizer(words: int) -> Mapping[str, Typed]:
    """As large as those of today: tokens, scores, types, merges, a template."""
    return VALUES | {
        "tokenizer.ggml.tokens": Typed("[str]", [f"token{n % 997}" for n in range(words)]),
        "tokenizer.ggml.scores": Typed("[f32]", [0.5] * words),
        "tokenizer.ggml.merges": Typed("[str]", [f"a{n % 89} b{n % 97}" for n in range(words)]),
        "tokenizer.chat_template": Typed("str", "x" * 9000),
    }


def layers(count: int) -> list[Stored]:
    names = ("attn_q", "attn_k", "attn_v", "attn_output", "attn_norm", "ffn_gate", "ffn_up", "ffn_down", "ffn_norm")
    return [Stored(f"blk.{n}.{name}.weight", "F32", (4, 8), b"\x55" * 128) for n in range(count) for name in names]


def test_no_byte_of_a_weight_is_read_and_the_requests_are_few() -> None:
    """A header does not say where it ends; a lower bound of what is left does."""
    tensors = layers(100)
    raw = document(tokenizer(150_000), tensors)
    end = len(raw) - sum(t.nbytes + len(padding(t.nbytes)) for t in tensors)
    file = Watched(raw)
    found = read(file, len(raw), "model.gguf", "model.gguf")
    assert len(found.tensors) == len(tensors)
    assert max(stop for _, stop in file.ranges) <= end
    assert len(file.ranges) < 60, len(file.ranges)
    assert sum(stop - start for start, stop in file.ranges) < end
    first = min(t.offset for t in found.tensors if t.offset is not None)
    assert 0 <= first - max(stop for _, stop in file.ranges) < ALIGNMENT


def test_nothing_is_read_twice() -> None:
    file = Watched(document(tokenizer(5000), layers(10)))
    read(file, len(file.getvalue()), "model.gguf", "model.gguf")
    ranges = sorted(file.ranges)
    assert all(a[1] <= b[0] for a, b in pairwise(ranges))


def test_long_lists_of_numbers_are_passed_over() -> None:
    """The scores of a tokenizer cost no bytes."""
    plain, scored = ({"a": Typed("[f32]", [0.5] * n), "z": Typed("str", "end")} for n in (5000, 100_000))
    counts = []
    for values in (plain, scored):
        file = Watched(document(values, []))
        found = read(file, len(file.getvalue()), "a", "a")
        assert found.metadata["z"] == "end"
        counts.append(sum(stop - start for start, stop in file.ranges))
    assert counts[0] == counts[1]


def test_a_file_of_a_terabyte_is_listed_from_its_header(tmp_path: Path) -> None:
    """Sparse: the sizes are real, the bytes are not."""
    tensors = [Stored(f"blk.{n}.ffn_up_exps.weight", "BF16", (256, 2048, 7168)) for n in range(61)]
    path = write_sparse(tmp_path / "model.gguf", VALUES, tensors)
    with path.open("rb") as file:
        found = read(file, path.stat().st_size, path.name, str(path))
    assert sum(t.nbytes for t in found.tensors) == 61 * 256 * 2048 * 7168 * 2
    assert prove_bytes(found.spans).holds
