"""A sound checkpoint in which one number of one tensor is none: only who reads values sees it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tracer.checkpoint.folder import open_checkpoint

SOUND = Path(__file__).parents[1] / "data" / "trained" / "llama-3"
"""4 query heads, 2 KV heads."""
NAN = {"F32": b"\0\0\xc0\x7f", "BF16": b"\xc0\x7f", "F16": b"\0\x7e"}


def with_nan(folder: Path, name: str) -> Path:
    """A copy of the sound one."""
    shutil.copytree(SOUND, folder, dirs_exist_ok=True)
    info = next(info for info in open_checkpoint(folder).tensors if info.name == name)
    assert info.file is not None and info.offset is not None
    with (folder / info.file).open("r+b") as file:
        file.seek(info.offset)
        file.write(NAN[info.dtype])
    return folder
