"""Every hostile file is refused, for the reason that it was made for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from safetensors import SafetensorError, safe_open

from fixtures.hostile import HOSTILE
from tracer.checkpoint.folder import open_checkpoint
from tracer.checkpoint.safetensors import read_header
from tracer.errors import InputError

STRICTER_THAN_THE_REFERENCE = {"one_name_twice", "field_too_many", "begins_with_a_space"}


@pytest.fixture(params=HOSTILE)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(name: str, tmp_path: Path) -> Path:
    file = tmp_path / "model.safetensors"
    HOSTILE[name].write(file)
    return file


def test_the_refusal_names_its_code_and_its_file(name: str, path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_header(path)
    assert caught.value.code == HOSTILE[name].code
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert HOSTILE[name].says
    assert not [words for words in HOSTILE[name].says if words not in message], message


def test_the_refusal_is_one_readable_line(path: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_checkpoint(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400 + len(str(path))


def test_the_reference_reader_agrees(name: str, path: Path) -> None:
    """Else we would refuse files that work; the exceptions break the format, or lose something silently."""
    if name in STRICTER_THAN_THE_REFERENCE:
        assert safe_open(path, "np")
        return
    with pytest.raises(SafetensorError):
        safe_open(path, "np")


def test_the_codes_are_documented_ones() -> None:
    form = re.compile(r"(file|header)\.[a-z-]+")
    assert all(form.fullmatch(case.code) for case in HOSTILE.values())
