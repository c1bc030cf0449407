"""What has a weight's name and is no file is refused, without waiting for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.tracer.checkpoint.sharded import refusal


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    assert "a pipe" in str(refusal(tmp_path))
    assert "a pipe" in str(refusal(tmp_path / "model.safetensors"))


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").mkdir()
    assert "a folder" in str(refusal(tmp_path))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs devices")
def test_a_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").symlink_to("/dev/zero")
    assert "a device" in str(refusal(tmp_path))
