"""Bytes come out as they are in the file, and never fewer than were asked for."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path

import pytest

from fixtures.hostile import entry, framed
from tracer.checkpoint.safetensors import read_header
from tracer.checkpoint.weights import MappedFile, map_file
from tracer.errors import InputError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "model.safetensors"
    header = json.dumps({"a": entry("U8", [8], [0, 8])})
    file.write_bytes(framed(header.encode(), b"01234567"))
    return file


def test_a_span_is_the_tensors_bytes(path: Path) -> None:
    (info,) = read_header(path)
    assert info.offset is not None
    with MappedFile(path) as mapped, mapped.span(info.offset, info.nbytes) as span:
        assert bytes(span) == b"01234567"
        assert span.readonly


@pytest.mark.parametrize("span", [(-1, 2), (0, -1), (0, 10_000), (10_000, 1)])
def test_a_span_outside_is_refused(path: Path, span: tuple[int, int]) -> None:
    with MappedFile(path) as mapped, pytest.raises(ValueError, match="asked for"):
        mapped.span(*span)


def test_a_map_closes(path: Path) -> None:
    mapped = map_file(path)
    mapped.close()
    assert mapped.closed


def test_a_read_gives_the_same_bytes_as_the_map(path: Path) -> None:
    (info,) = read_header(path)
    assert info.offset is not None
    into = bytearray(5)
    with MappedFile(path) as mapped:
        mapped.read_into(info.offset + 2, memoryview(into))
        assert into == mapped[info.offset + 2 : info.offset + 7] == b"23456"


def test_a_file_cut_short_after_it_was_mapped_is_an_error_that_names_the_byte(path: Path) -> None:
    with MappedFile(path) as mapped:
        size = len(mapped)
        os.truncate(path, size - 3)
        with pytest.raises(InputError, match=rf"found the end of the file at {size - 3}") as refused:
            mapped.read_into(size - 8, memoryview(bytearray(8)))
    assert refused.value.code == "file.truncated"


def test_a_closed_or_forgotten_map_leaves_no_file_open(path: Path) -> None:
    gc.collect()
    before = len(os.listdir("/dev/fd"))
    MappedFile(path).close()
    map_file(path)
    gc.collect()
    assert len(os.listdir("/dev/fd")) == before
