"""What tensors take, and where: counted by kinds, as there are few kinds of 92,000 tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracer.checkpoint.tensor_info import TensorInfo


@dataclass(frozen=True)
class Stored:
    """Of some tensors."""

    count: int = 0
    nbytes: int = 0
    dtypes: Counter[str] = field(default_factory=Counter)
    """The bytes of each."""
    files: Counter[str] = field(default_factory=Counter)
    """The bytes in each."""
    in_files: Counter[str] = field(default_factory=Counter)
    """The tensors in each."""


def stored(infos: Iterable[TensorInfo]) -> Stored:
    """All of it in one go."""
    count = total = 0
    dtypes, files, in_files = Counter[str](), Counter[str](), Counter[str]()
    for (dtype, file, nbytes), times in Counter(map(attrgetter("dtype", "file", "nbytes"), infos)).items():
        count += times
        total += nbytes * times
        dtypes[dtype] += nbytes * times
        if file is not None:
            files[file] += nbytes * times
            in_files[file] += times
    return Stored(count, total, dtypes, files, in_files)


BLOCK = 1024
"""Tensors that are counted together, once and for all."""


class StoredRuns:
    """What each run of these tensors takes, without looking at more than two blocks of them one by one."""

    def __init__(self, infos: Sequence[TensorInfo], block: int = BLOCK) -> None:
        self._infos, self._block = infos, block
        self._blocks = [stored(infos[start : start + block]) for start in range(0, len(infos), block)]

    def between(self, start: int, stop: int) -> Stored:
        """Of those from `start` to `stop`."""
        first, last = -(-start // self._block), stop // self._block
        if first >= last:
            return stored(self._infos[start:stop])
        ends = stored(self._infos[start : first * self._block]), stored(self._infos[last * self._block : stop])
        return _together([ends[0], *self._blocks[first:last], ends[1]])


def _together(parts: Sequence[Stored]) -> Stored:
    dtypes, files, in_files = Counter[str](), Counter[str](), Counter[str]()
    for part in parts:  # not by `+`, which forgets what takes nothing
        dtypes.update(part.dtypes)
        files.update(part.files)
        in_files.update(part.in_files)
    return Stored(sum(part.count for part in parts), sum(part.nbytes for part in parts), dtypes, files, in_files)
