"""Checkpoints as rows write them, with one thing changed; and what is diagnosed of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mappings.registry import choose
from mappings.synth import synthesise
from tests.tracer.doctor.told import write_json, write_safetensors
from tracer.complaints import read_error
from tracer.diagnose.diagnosis import Diagnosis, diagnose
from tracer.diagnose.reading import Reading

HEADERS = Reading(wanted=False)
"""The numbers in these files mean nothing."""


def same(name: str) -> str:
    """Not renamed."""
    return name


def write(
    folder: Path, config: Mapping[str, Any], renamed: Callable[[str], str | None] = same, **said: Any
) -> Path:  # fmt: skip
    """The tensors of a config under other names (None: left out), and a config.json that says something else."""
    folder.mkdir(parents=True, exist_ok=True)
    made = synthesise(choose(config, None, 1, "BF16").binding)
    held = {new: (each.dtype, tuple(each.shape)) for each in made if (new := renamed(each.name)) is not None}
    write_safetensors(folder / "model.safetensors", held)
    told = {key: value for key, value in {**config, **said}.items() if value is not None}
    write_json(folder / "config.json", told)
    return folder


def diagnosed(folder: Path, said: str = "", tp: int = 1) -> Diagnosis:
    """By headers alone."""
    return diagnose(str(folder), read_error(said), tp, reading=HEADERS)


def codes(found: Diagnosis) -> list[tuple[str, str]]:
    """Code and subject of each cause, in order."""
    return [(cause.finding.code, cause.finding.subject) for cause in found.causes]
