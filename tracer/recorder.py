"""Watches a load through the engine's recorder protocol, and notes what the copies' own views say.

A source is known by its storage, a destination by its storage, a block by offsets, sizes and strides: nothing here
is taken from the plan. One note is a short list of plain values, so that a rank in a process of its own can write
it to a file as it happens and a crash leaves what happened until then.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

if TYPE_CHECKING:
    import torch

Note: TypeAlias = list[Any]
"""`["param", name, shape, strides, dtype, tied to]` (all of a rank's parameters come first),
`["move", tensor, param, row, shard, op, src offset, sizes, src strides, dst offset, dst strides]`, or
`["pad", param, value, reason, dst offset, sizes, dst strides]`; offsets count from the tensor's first element.
A rank's first notes are `["file", path, size, time, inode]` of the files that it is about to map."""
Emit: TypeAlias = Callable[[Note], Any]
Take: TypeAlias = Callable[[BinaryIO], list[Note] | None]
"""The batch that begins where a file stands; None where there is none, or not all of it yet."""
UNKNOWN = "?"
"""The name of a storage that was not announced: a copy from or to somewhere else."""


def last_move(notes: Sequence[Note]) -> tuple[str, str] | None:
    """The tensor and the parameter of the last move among some notes."""
    return next(((note[1], note[2]) for note in reversed(notes) if note[0] == "move"), None)


class ViewRecorder:
    """Implements the engine's `Recorder`; every note goes to `emit`.

    Storages are told apart by address, so whatever has been announced is kept alive as long as it may be copied from:
    parameters to the end, a stored tensor until the next one is told of. What comes from elsewhere is `UNKNOWN`.
    """

    def __init__(self, emit: Emit, keep: Callable[[], object] | None = None) -> None:
        """`keep` is called when no note comes for a while."""
        self._emit = emit
        self._keep = keep
        self._tensor: tuple[int, str, int, torch.Tensor] | None = None
        self._params: dict[int, tuple[str, int, torch.Tensor]] = {}

    def stored(self, name: str, tensor: torch.Tensor) -> None:
        self._tensor = (_storage(tensor), name, int(tensor.storage_offset()), tensor)

    def allocated(self, name: str, param: torch.Tensor) -> None:
        owner = self._params.setdefault(_storage(param), (name, int(param.storage_offset()), param))[0]
        tied_to = None if owner == name else owner
        self._emit(["param", name, tuple(param.shape), param.stride(), str(param.dtype), tied_to])

    def copied(
        self, src: torch.Tensor, dst: torch.Tensor, row: str, shard: str | int | None, op: str | None
    ) -> None:
        if src.shape != dst.shape:
            src = src.expand(dst.shape)
        tensor, start = self._source(src)
        param, first = self._target(dst)
        self._emit([
            "move", tensor, param, row, shard, op, src.storage_offset() - start, tuple(src.shape), src.stride(),
            dst.storage_offset() - first, dst.stride(),
        ])  # fmt: skip

    def filled(self, dst: torch.Tensor, value: float, reason: str) -> None:
        param, first = self._target(dst)
        self._emit(
            ["pad", param, value, reason, dst.storage_offset() - first, tuple(dst.shape), dst.stride()]
        )  # fmt: skip

    def pause(self) -> None:
        if self._keep is not None:
            self._keep()

    def _source(self, src: torch.Tensor) -> tuple[str, int]:
        if self._tensor is None or self._tensor[0] != _storage(src):
            return UNKNOWN, 0
        return self._tensor[1], self._tensor[2]

    def _target(self, dst: torch.Tensor) -> tuple[str, int]:
        found = self._params.get(_storage(dst))
        return (found[0], found[1]) if found else (UNKNOWN, 0)


def _storage(tensor: torch.Tensor) -> int:
    """The storage's address: also tensors on the meta device have one, and views share it."""
    return int(tensor.untyped_storage()._cdata)


class Spool:
    """Notes of one rank in a file, in batches that follow each other.

    Writing each note on its own would cost as much as all the rest of tracing, so whoever makes them says when to
    `flush`: the loader every tenth of a second. An exception loses none; a killed process loses the last batch.

    Batches are marshalled, which costs a fifth of JSON: the file lives as long as the load, in a folder of this user's
    alone, and is read by the same Python on the same machine. What goes to another machine is JSON (`sending`).
    Raises OSError, with the file's name, when its disk is full.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)  # a batch is written at once, and what failed is not tried again
        self._notes: list[Note] = []

    def __call__(self, note: Note) -> None:
        self._notes.append(note)

    def flush(self) -> None:
        """Write out what is waiting."""
        data = memoryview(marshal.dumps(self._notes))
        self._notes.clear()
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._file.name) from error

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with closing(self._file):
            self.flush()


class Growing:
    """The batches of a file of notes that is still written to: each once, when all of it is there."""

    def __init__(self, path: Path, take: Take) -> None:
        self._path = path
        self._take = take
        self._at = 0

    def __call__(self) -> Iterator[list[Note]]:
        """Those that have come since the last look; one that was cut short is left out."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._at)
            while (batch := self._take(file)) is not None:
                self._at = file.tell()
                yield batch


def read_spool(path: Path) -> Iterator[list[Note]]:
    """The batches of a rank's notes; a last one that was cut short is left out."""
    return Growing(path, next_batch)()


def next_batch(file: BinaryIO) -> list[Note] | None:
    """The batch that begins where a spool's file stands; None where there is none, or not all of it yet."""
    try:
        batch: list[Note] = marshal.load(file)
    except (EOFError, ValueError, TypeError):
        return None
    return batch
