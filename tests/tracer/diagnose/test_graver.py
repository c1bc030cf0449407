"""Zeros are a remark where nobody complains, and the cause where the model is said to talk nonsense."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tracer.diagnose.test_command import TRAINED
from tracer.cli import main

SAID = ["--error", "the output is gibberish"]


def emptied(folder: Path, first: float) -> Path:
    """The small trained model with zeros from a share of its bytes on."""
    shutil.copytree(TRAINED, folder)
    file = folder / "model.safetensors"
    held = file.read_bytes()
    start = max(int(len(held) * first), 8 + int.from_bytes(held[:8], "little"))
    file.write_bytes(held[:start] + bytes(len(held) - start))
    return folder


@pytest.mark.parametrize(("first", "code"), [(0.5, "file.truncated"), (0.0, "value.all-zero")])
def test_blanks_are_what_a_model_that_talks_nonsense_has(
    first: float, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = emptied(tmp_path / "model", first)
    assert main(["diagnose", str(folder), *SAID]) == 1
    verdict, *rest = capsys.readouterr().out.splitlines()
    assert verdict.startswith(f"ERROR  {code}  model.safetensors")
    assert any("it is what was complained of: gibberish" in line for line in rest)
    assert not any(line.startswith("not explained") for line in rest)


def test_the_whole_model_talks_nonsense_for_another_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", str(TRAINED), *SAID]) == 0
    assert "not explained: gibberish" in capsys.readouterr().out
