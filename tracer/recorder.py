"""Watches a load through the engine's recorder protocol, and notes what the copies' own views say.

A source is known by its storage, a destination by its storage, a block by offsets, sizes and strides: nothing here
is taken from the plan. One note is a short list of plain values, so that a rank in a process of its own can write
it to a file as it happens and a crash leaves what happened until then.
"""

from __future__ import annotations

import marshal
import time
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


FLUSH_SECONDS = 0.1
"""Notes wait in memory this long at most while copies go on: writing each on its own would cost as much as all
the rest of tracing. An exception loses none; a killed process loses those of its last tenth of a second."""


class Spool:
    """Notes of one rank in a file, in batches that follow each other.

    Batches are marshalled, which costs a fifth of JSON; the file lives as long as the load, and only the interpreter
    that runs the load reads it.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._notes: list[Note] = []
        self._due = time.monotonic() + FLUSH_SECONDS

    def __call__(self, note: Note) -> None:
        self._notes.append(note)
        now = time.monotonic()
        if now > self._due:
            self.flush()
            self._due = now + FLUSH_SECONDS

    def flush(self) -> None:
        """Write out what is waiting."""
        marshal.dump(self._notes, self._file)
        self._file.flush()
        self._notes.clear()

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
        self._file.close()


def read_spool(path: Path) -> list[Note]:
    """The notes of a rank; a last batch that was cut short is left out."""
    notes: list[Note] = []
    if not path.exists():
        return notes
    with path.open("rb") as file:
        while True:
            try:
                notes += marshal.load(file)
            except (EOFError, ValueError, TypeError):
                return notes
