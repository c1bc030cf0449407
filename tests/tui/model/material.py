"""Checkpoints of every kind as subjects: header-only files of the small architectures, and traces of their loads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fixtures import header_set
from mappings.synth import Synthetic, synthesise
from tests.mappings.small import CONFIGS, bind
from tracer.prepare import prepare
from tracer.session import Request, run
from tui.model.line import Page, Target
from tui.model.opening import open_subject
from tui.model.subject import Subject

FILES = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def tensors_of(name: str) -> list[Synthetic]:
    """The tensors of one of the small architectures."""
    return synthesise(bind(name))


def write(folder: Path, config: dict[str, Any], tensors: Sequence[Synthetic]) -> Path:
    """Two files with an index, complete but for their data."""
    folder.mkdir(parents=True, exist_ok=True)
    half = len(tensors) // 2
    homes: dict[str, str] = {}
    for file, own in zip(FILES, (tensors[:half], tensors[half:]), strict=True):
        header_set.write_header_only(folder / file, own)
        homes |= dict.fromkeys((tensor.name for tensor in own), file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": homes}))
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def small(name: str, folder: Path, *more: Synthetic, **fields: Any) -> Path:
    """One of the small architectures, with tensors of any name besides."""
    return write(folder, {**CONFIGS[name].config, **fields}, [*tensors_of(name), *more])


def subject(where: Path | str | None, tp: int = 1) -> Subject:
    """What was opened, examined."""
    return open_subject(str(where) if where else None, tp, lambda seen: None)


def trace(folder: Path, tp: int, path: Path, plan_only: bool = False) -> Path:
    """The saved trace of a load on the meta device: observed, unless only the plan is asked for."""
    run(Request(str(folder), tp, "dummy", plan_only=plan_only), save=path).store.close()
    return path


def planned(folder: Path, tp: int = 1) -> Subject:
    """Its plan, where what is wrong with it takes long to say."""
    prepared = prepare(Request(str(folder), tp, plan_only=True))
    return Subject(str(folder), prepared.title, prepared.infos, "plan", tp, prepared=prepared)


def leads(page: Page, width: int = 120) -> list[Target]:
    """Everything that the lines of a page lead to, in order."""
    return [span.target for line in page.lines(width) for span in line if span.target]


def led(page: Page, kind: str) -> list[str]:
    """The names of those of one kind, each once."""
    return list(dict.fromkeys(target.name for target in leads(page) if target.kind == kind))
