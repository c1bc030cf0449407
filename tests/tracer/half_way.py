"""A checkpoint to which something happens half-way through its load, and how far that got."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import small_llama
from tracer.store import Store

WITHIN = 10.0
"""Seconds from what happened to the end of the command."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing happens to this one."""
    return small_llama.write(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def folder(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, of which faulty ranks know; that they got half-way they write beside it."""
    copy = shutil.copytree(original, tmp_path / "model")
    monkeypatch.setenv("HALF_WAY", str(tmp_path / "half-way"))
    monkeypatch.setenv("FAULTY_FILE", str(copy / "model.safetensors"))
    return copy


def layers(path: Path, rank: int) -> set[str]:
    """The layers into which a rank of a saved trace had moved something."""
    return {move.param.split(".")[2] for move in Store.open(path).moves(rank) if ".layers." in move.param}
