"""`--write-config DIR`: what is known, as a config.json that loads; never over a file that is there."""

from __future__ import annotations

import json
from pathlib import Path

from tracer.errors import UsageError
from tracer.infer import Inferred
from tracer.outputs import write_lines

_NAME = "config.json"


def check(folder: Path) -> None:
    """Raise UsageError where no config.json can be written."""
    if (folder / _NAME).exists() or (folder / _NAME).is_symlink():
        raise UsageError(f"--write-config {folder}: there is a {_NAME} already, and it is never overwritten")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--write-config {folder}: it is no folder")


def write(found: Inferred, folder: Path) -> str:
    """The line that says what was written. Raises UsageError."""
    config = found.config()
    if not config.get("architectures"):
        raise UsageError(f"--write-config {folder}: the architecture is not known, so that no config.json would load")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--write-config {folder}: {error.strerror}") from error
    check(folder)
    write_lines(folder / _NAME, iter([json.dumps(config, indent=2)]))
    unknown = [field.name for field in found.fields if field.confidence == "unknown"]
    left = f"; left out, as no tensor tells: {', '.join(unknown)}" if unknown else ""
    guessed = [field.name for field in found.fields if field.confidence == "guess" and field.value is not None]
    doubted = f"; guessed: {', '.join(guessed)}" if guessed else ""
    return f"wrote {folder / _NAME}: {len(config)} fields{doubted}{left}"

