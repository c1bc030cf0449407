"""Bytes come out as they are in the file, and never fewer than were asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.hostile import entry, framed
from tracer.checkpoint.safetensors import read_header
from tracer.checkpoint.weights import MappedFile, map_file


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
