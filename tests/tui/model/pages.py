"""Pages as text, and the checkpoints that they are asked about."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fixtures import small_checkpoint
from mappings.findings import Finding
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.checks import Check
from tracer.diagnose.cause import Cause
from tui.model.columns import wide
from tui.model.line import Page, plain
from tui.model.opening import open_subject
from tui.model.subject import Subject

WIDTHS = (60, 80, 120, 200)


def text(page: Page, width: int = 80) -> str:
    """A page as it is read; no line is wider than the sheet, or could steer the terminal."""
    lines = [plain(spans) for spans in page.lines(width)]
    assert all(wide(line) <= width for line in lines), max(lines, key=wide)
    assert all(line.isprintable() for line in lines)
    return "\n".join(line.rstrip() for line in lines)


def prose(page: Page, width: int = 80) -> str:
    """The same without the places where lines were broken."""
    return " ".join(text(page, width).split())


def small(folder: Path, change: Callable[[dict[str, Any]], Any] | None = None, tp: int = 1) -> Subject:
    """The small Llama, its config changed; the last of the stages."""
    return stages(folder, change, tp)[-1]


def stages(folder: Path, change: Callable[[dict[str, Any]], Any] | None = None, tp: int = 1) -> list[Subject]:
    """All that is seen of it while it is opened."""
    small_checkpoint.sound(folder)
    config = dict(small_checkpoint.CONFIG)
    if change:
        change(config)
        (folder / "config.json").write_text(json.dumps(config))
    seen: list[Subject] = []
    open_subject(str(folder), tp, seen.append)
    return seen


def examined(
    causes: Sequence[Cause] = (), remarks: Sequence[Finding] = (), names: Sequence[str] = (),
    checks: Sequence[Check] = (),
) -> Subject:  # fmt: skip
    """A subject of which only this is known."""
    tensors = [TensorInfo(name, "BF16", (4, 4), "model.safetensors", 0, 32) for name in names]
    return Subject("here", "here", tensors, "examined", causes=causes, remarks=remarks, checks=checks)
