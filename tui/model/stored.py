"""What tensors take, and where: counted by kinds, as there are few kinds of 92,000 tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
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
