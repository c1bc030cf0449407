"""Layers that are numbered from 1, of a class without rows: config.json says how many there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.catalogue import models
from tests.catalogue.building import Model
from tests.tracer.diagnose.written import codes, diagnosed
from tracer.cli import main


def olmo(layers: int = 4) -> Model:
    return models.decoder(layers, tied=True, model_type="olmo", architecture="OlmoForCausalLM")


def moved(name: str, by: int = 1) -> str:
    return re.sub(r"layers\.(\d+)", lambda found: f"layers.{int(found[1]) + by}", name)


def test_they_are_numbered_from_0_and_the_names_map_one_to_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = olmo().rename(moved).write(tmp_path / "m")
    assert main(["diagnose", str(folder), "--repair", str(tmp_path / "mended")]) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("ERROR  name.rewrite  number the layers of model.layers from 0, and not from 1: 36 of 36 ")
    assert codes(diagnosed(tmp_path / "mended")) == []


def test_layers_from_0_are_left_alone_and_so_is_what_was_cut_off_in_front(tmp_path: Path) -> None:
    assert codes(diagnosed(olmo().write(tmp_path / "whole"))) == []
    cut = diagnosed(olmo(5).drop(lambda name: ".layers.0." in name).write(tmp_path / "cut"))
    assert "name.rewrite" not in {code for code, _ in codes(cut)}
