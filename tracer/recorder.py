"""Watches a load through the engine's recorder protocol, and notes what the copies' own views say.

A source is known by its storage, a destination by its storage, a block by offsets, sizes and strides: nothing here
is taken from the plan. One note is a short list of plain values, so that a rank in a process of its own can write
it to a file as it happens and a crash leaves what happened until then.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import torch

Note: TypeAlias = list[Any]
"""`["move", tensor, param, row, shard, op, src offset, sizes, src strides, dst offset, dst strides]`, or
`["pad", param, value, reason, dst offset, sizes, dst strides]`; offsets count from the tensor's first element."""
Emit: TypeAlias = Callable[[Note], Any]
UNKNOWN = "?"
"""The name of a storage that was not announced: a copy from or to somewhere else."""


class ViewRecorder:
    """Implements the engine's `Recorder`; every note goes to `emit`."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._tensors: dict[int, tuple[str, int]] = {}
        self._params: dict[int, tuple[str, int]] = {}

    def stored(self, name: str, tensor: torch.Tensor) -> None:
        self._tensors[tensor.untyped_storage()._cdata] = (name, int(tensor.storage_offset()))

    def allocated(self, name: str, param: torch.Tensor) -> None:
        self._params.setdefault(param.untyped_storage()._cdata, (name, int(param.storage_offset())))

    def copied(
        self, src: torch.Tensor, dst: torch.Tensor, row: str, shard: str | int | None, op: str | None
    ) -> None:
        if src.shape != dst.shape:
            src = src.expand(dst.shape)
        tensor, start = self._tensors.get(src.untyped_storage()._cdata, (UNKNOWN, 0))
        param, first = self._params.get(dst.untyped_storage()._cdata, (UNKNOWN, 0))
        self._emit([
            "move", tensor, param, row, shard, op, src.storage_offset() - start, tuple(src.shape), src.stride(),
            dst.storage_offset() - first, dst.stride(),
        ])  # fmt: skip

    def filled(self, dst: torch.Tensor, value: float, reason: str) -> None:
        param, first = self._params.get(dst.untyped_storage()._cdata, (UNKNOWN, 0))
        self._emit(
            ["pad", param, value, reason, dst.storage_offset() - first, tuple(dst.shape), dst.stride()]
        )  # fmt: skip


class Spool:
    """Notes of one rank in a file, one a line, each written out at once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", buffering=1 << 16)

    def __call__(self, note: Note) -> None:
        self._file.write(json.dumps(note) + "\n")
        self._file.flush()

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def read_spool(path: Path) -> list[Note]:
    """The notes of a rank; a last line that was cut short is left out."""
    if not path.exists():
        return []
    notes = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            notes.append(json.loads(line))
        except ValueError:
            break
    return notes
