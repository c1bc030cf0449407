"""Our header reader against the reference implementation, in both directions."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from fixtures.hostile import entry, file_of, framed
from tracer.checkpoint.dtypes import BITS
from tracer.checkpoint.header import Header
from tracer.checkpoint.safetensors import open_header, parse_header, read_header
from tracer.errors import InputError

names = st.text(min_size=1, max_size=12).filter(lambda name: name != "__metadata__")
arrays = st.builds(
    lambda dtype, shape: np.zeros(shape, dtype),
    st.sampled_from(["bool", "u1", "i2", "f2", "f4", "f8", "i8", "c8"]),
    st.lists(st.integers(0, 4), max_size=4),
)


def written(tensors: dict[str, np.ndarray[Any, Any]], metadata: dict[str, str] | None = None) -> bytes:
    return bytes(save(tensors, metadata))


def parsed(content: bytes) -> Header:
    return parse_header(content, len(content), "model.safetensors")


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    # Not empty: safetensors 0.8 writes a header that is no JSON when there is metadata and nothing else.
    st.dictionaries(names, arrays, min_size=1, max_size=6),
    st.dictionaries(names, st.text(max_size=8), max_size=3),
)
def test_what_the_reference_writes_we_read(
    tensors: dict[str, np.ndarray[Any, Any]], metadata: dict[str, str]
) -> None:
    content = written(tensors, metadata)
    header = parsed(content)
    assert header.metadata == metadata
    found = {info.name: (info.shape, info.nbytes) for info in header.tensors}
    assert found == {name: (array.shape, array.nbytes) for name, array in tensors.items()}
    dtypes = {name: description["dtype"] for name, description in deserialize(content)}
    assert {info.name: info.dtype for info in header.tensors} == dtypes


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=6))
def test_offsets_point_at_the_tensors_bytes(contents: list[bytes]) -> None:
    tensors = {f"t{number}": np.frombuffer(content, "u1") for number, content in enumerate(contents)}
    file = written(tensors)
    for info in parsed(file).tensors:
        assert info.offset is not None
        assert file[info.offset : info.offset + info.nbytes] == tensors[info.name].tobytes()


# --- whatever the reference refuses, we refuse ---

numbers: st.SearchStrategy[Any] = st.one_of(
    st.integers(-2, 20), st.sampled_from([2**31, 2**32, 2**63, 2**64, 1.0, 0.5, True, None, "8", [], {}])
)
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*BITS, "F128", "f32", 3, None]),
        "shape": st.one_of(st.lists(numbers, max_size=3), numbers),
        "data_offsets": st.one_of(st.lists(numbers, max_size=3), numbers),
    }
)
headers = st.dictionaries(st.text(max_size=4), st.one_of(entries, numbers), max_size=4)


def agrees(content: bytes) -> None:
    """We accept nothing that the reference refuses, and read the same out of what both accept."""
    try:
        reference = dict(deserialize(content))
    except (SafetensorError, OverflowError):
        with pytest.raises(InputError):
            parsed(content)
        return
    try:
        ours = parsed(content)
    except InputError:
        return
    assert {info.name: (info.dtype, list(info.shape)) for info in ours.tensors} == {
        name: (description["dtype"], description["shape"]) for name, description in reference.items()
    }


@settings(deadline=None, derandomize=True, max_examples=400)
@given(headers, st.integers(0, 40))
def test_invented_headers(header: dict[str, Any], data: int) -> None:
    agrees(file_of(header, data))


@st.composite
def edited_files(draw: st.DrawFn) -> bytes:
    """A valid file with one number, field or byte changed."""
    sizes = draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    ends = [sum(sizes[: count + 1]) * 4 for count in range(len(sizes))]
    header: dict[str, Any] = {
        f"t{at}": entry(shape=[size], offsets=[end - size * 4, end])
        for at, (size, end) in enumerate(zip(sizes, ends, strict=True))
    }
    victim = header[draw(st.sampled_from(sorted(header)))]
    places = [("shape", 0), ("data_offsets", 0), ("data_offsets", 1), ("dtype", None)]
    field, place = draw(st.sampled_from(places))
    if place is None:
        victim[field] = draw(st.sampled_from([*BITS, "F128"]))
    else:
        victim[field][place] = draw(numbers)
    return file_of(header, ends[-1] + draw(st.integers(0, 1)))


@settings(deadline=None, derandomize=True, max_examples=400)
@given(edited_files())
def test_files_with_one_lie(content: bytes) -> None:
    agrees(content)


@settings(deadline=None, derandomize=True, max_examples=400)
@given(st.data())
def test_files_with_one_changed_byte(data: st.DataObject) -> None:
    content = bytearray(file_of({"a": entry(), "__metadata__": {"b": "c"}, "d": entry(offsets=(8, 16))}, 16))
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    agrees(bytes(content))


# --- by example ---


def test_file_order_not_header_order(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(file_of({"late": entry(offsets=(8, 16)), "early": entry()}, 16))
    assert [info.name for info in read_header(path)] == ["early", "late"]
    assert {info.file for info in read_header(path)} == {"model.safetensors"}


def test_a_file_without_tensors() -> None:
    assert parsed(file_of({}, 0)).tensors == []


def test_packed_dtypes_fill_whole_bytes() -> None:
    header = parsed(file_of({"a": entry("F4", [6], (0, 3)), "b": entry("F6_E3M2", [4], (3, 6))}, 6))
    assert [info.nbytes for info in header.tensors] == [3, 3]


def test_padding_after_the_json_belongs_to_the_header(tmp_path: Path) -> None:
    text = json.dumps({"a": entry()}).encode() + b"     "
    path = tmp_path / "model.safetensors"
    path.write_bytes(framed(text, bytes(8)))
    assert read_header(path)[0].offset == open_header(path).spans[0].stop == 8 + len(text)


def test_a_long_header_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(written({f"layers.{number}": np.zeros(1, "f4") for number in range(500)}))
    assert len(read_header(path)) == 500


def test_the_reader_takes_no_more_than_the_header(tmp_path: Path) -> None:
    """A file of a terabyte costs what its header costs."""
    path = tmp_path / "model.safetensors"
    nbytes = 2**40
    header = json.dumps({"a": entry("U8", [nbytes], [0, nbytes])}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        try:
            file.truncate(8 + len(header) + nbytes)
        except OSError:
            pytest.skip("this file system has no sparse files of a terabyte")
    assert read_header(path)[0].nbytes == nbytes


def test_truncation_is_spelled_out() -> None:
    content = file_of({"a": entry(), "b": entry(offsets=(8, 16)), "c": entry(offsets=(16, 24))}, 10)
    with pytest.raises(InputError, match="14 short; 2 of 3 tensors are incomplete, beginning with 'b'"):
        parsed(content)
