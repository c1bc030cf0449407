"""What of a checkpoint's folder goes into the copy: the model that was read, and all that is no weights."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tracer.checkpoint.copies import is_called_weights
from tracer.checkpoint.files import in_natural_order
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.formats import FORMATS, PYTORCH, SAFETENSORS
from tracer.errors import UsageError
from tracer.repair.config import CONFIG

_OWN_STEM = "pytorch_model"
"""What PyTorch files are called beside safetensors files called `model`."""


class LeftOut(NamedTuple):
    """What is in the folder and not in the copy."""

    file: str
    why: str


class Beside(NamedTuple):
    """The files that are no weights of the model, by relative names with `/`."""

    kept: list[str]
    left_out: list[LeftOut]


def beside(checkpoint: Checkpoint, model: list[str]) -> Beside:
    """What lies beside the files of the model. Of a checkpoint that was named by one file only its config.json."""
    folder = checkpoint.files.folder
    assert folder is not None
    if checkpoint.files.one_file:
        why = "one file was named, and not its folder"
        return Beside([CONFIG] if checkpoint.files.has(CONFIG) else [], [LeftOut("what else lies beside it", why)])
    kept: list[str] = []
    left_out: list[LeftOut] = []
    index = checkpoint.index.file if checkpoint.index else None
    for name, why in _walked(folder):
        if name in model or (name == index and checkpoint.format is PYTORCH):
            continue
        why = why or ("" if name == index else _why_not(name))
        if why:
            left_out.append(LeftOut(name, why))
        else:
            kept.append(name)
    return Beside(in_natural_order(kept), sorted(left_out))


def _walked(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file, and what cannot be copied with the reason. Folders that are links may lead anywhere."""
    unseen: list[OSError] = []
    for at, folders, files in os.walk(folder, onerror=unseen.append):
        here = Path(at).relative_to(folder)
        for name in list(folders):
            path = Path(at, name)
            why = "a link to a folder" if path.is_symlink() else "a hidden folder" if name.startswith(".") else ""
            if why:
                folders.remove(name)
                yield f"{(here / name).as_posix()}/", why
        for name in files:
            yield (here / name).as_posix(), _irregular(Path(at, name))
    for error in unseen:
        yield f"{Path(error.filename).relative_to(folder).as_posix()}/", "a folder that cannot be listed"


def _irregular(path: Path) -> str:
    try:
        return "" if stat.S_ISREG(path.stat().st_mode) else "no regular file"
    except OSError:
        return "a link that leads nowhere"


def _why_not(name: str) -> str:
    if is_called_weights(name):
        return "weights that were not read: they would be without the changes"
    if any(format.is_index(PurePosixPath(name).name) for format in FORMATS):
        return "the index of weights that were not read"
    return ""


def new_names(checkpoint: Checkpoint, model: list[str]) -> dict[str, str]:
    """File of the model -> its name in the copy, where all of them are safetensors. Raises UsageError."""
    if checkpoint.format is not PYTORCH:
        return {file: file for file in model}
    names = {file: _as_safetensors(file) for file in model}
    for file, name in names.items():
        first = next(other for other in model if names[other] == name)
        if first != file:
            raise UsageError(f"{first} and {file} would both become {name}")
    return names


def _as_safetensors(file: str) -> str:
    path = PurePosixPath(file)
    stem = path.stem.replace(_OWN_STEM, "model", 1) if path.stem.startswith(_OWN_STEM) else path.stem
    return str(path.with_name(stem + SAFETENSORS.suffixes[0]))
