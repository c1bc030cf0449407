"""Tensors in the order of the tree, by columns: to compare and to weigh groups of 90,000 no tensor is looked at."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import TypeAlias

from mappings.findings import SEVERITIES, Severity
from tracer.checkpoint.tensor_info import TensorInfo
from tui.model.kept import known, unknown

Marks: TypeAlias = Mapping[str, Severity]
"""The worst finding about each tensor that has one."""
Kinds: TypeAlias = "array[int]"
"""A number for what follows the first number of a name, with dtype and shape: equal where those are."""
NUMBER = re.compile(r"(?:^|\.)(?:0|[1-9][0-9]{0,8})(?=\.|\Z)")
"""A segment that is an index, with the dot before it."""


class Ordered:
    """All tensors of a checkpoint, in the order of `together`."""

    def __init__(self, infos: Sequence[TensorInfo], marks: Marks, kinds: Kinds | None = None) -> None:
        self.infos, self.marks, self.kinds = infos, marks, kinds

    def prepare(self) -> None:
        """Look at each name once, so that nothing has to that is asked when a key is pressed."""
        _ = self.sizes, self.codes, self.strange
        if self.kinds is None:
            found: dict[object, int] = {}
            self.kinds = array("L", [found.setdefault(_kind(info), len(found)) for info in self.infos])

    @cached_property
    def sizes(self) -> Sequence[int]:
        """Bytes."""
        return [info.nbytes for info in self.infos]

    @cached_property
    def codes(self) -> bytes:
        """The worst finding about each, as the place of its severity and 1; empty where there is none at all."""
        if not self.marks:
            return b""
        codes = {severity: code for code, severity in enumerate(SEVERITIES, 1)}
        return bytes([codes[self.marks[info.name]] if info.name in self.marks else 0 for info in self.infos])

    @cached_property
    def strange(self) -> bytes:
        """Of which nothing but the name is known; empty where there is none."""
        return bytes(not known(info) for info in self.infos) if unknown(self.infos) else b""


def _kind(info: TensorInfo) -> object:
    number = NUMBER.search(info.name)
    return (info.name[number.end() :], info.dtype, info.shape) if number else None


class Chosen:
    """Some of them, or all, in the same order."""

    def __init__(self, whole: Ordered, places: Sequence[int]) -> None:
        self.whole, self._places = whole, places
        self._all = len(places) == len(whole.infos)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, at: int) -> TensorInfo:
        return self.whole.infos[self._places[at]]

    @property
    def run(self) -> Run:
        return Run(self, 0, len(self))

    @cached_property
    def until(self) -> Sequence[int]:
        """Bytes of all before each, and of all."""
        sizes = self.whole.sizes if self._all else map(self.whole.sizes.__getitem__, self._places)
        return list(accumulate(sizes, initial=0))

    @cached_property
    def codes(self) -> bytes:
        return self._of(self.whole.codes)

    @cached_property
    def strange(self) -> bytes:
        return self._of(self.whole.strange)

    def _of(self, column: bytes) -> bytes:
        return column if self._all or not column else bytes(map(column.__getitem__, self._places))

    @property
    def kinds(self) -> Kinds | None:
        """None as long as nobody prepared them."""
        return self.whole.kinds if self._all else self._kinds

    @cached_property
    def _kinds(self) -> Kinds | None:
        kinds = self.whole.kinds
        return None if kinds is None else array("L", map(kinds.__getitem__, self._places))


class Run:
    """Those of one group, which follow each other."""

    __slots__ = ("begin", "chosen", "end")

    def __init__(self, chosen: Chosen, begin: int, end: int) -> None:
        self.chosen, self.begin, self.end = chosen, begin, end

    def __len__(self) -> int:
        return self.end - self.begin

    def __iter__(self) -> Iterator[TensorInfo]:
        return (self.chosen[at] for at in range(self.begin, self.end))

    @property
    def first(self) -> TensorInfo:
        return self.chosen[self.begin]

    @property
    def last(self) -> TensorInfo:
        return self.chosen[self.end - 1]

    def part(self, begin: int, end: int) -> Run:
        """Counted in all that were chosen."""
        return Run(self.chosen, begin, end)

    @property
    def nbytes(self) -> int:
        """The data of all of them."""
        return self.chosen.until[self.end] - self.chosen.until[self.begin]

    @property
    def unknown(self) -> int:
        """Of how many nothing is known but their names."""
        return self.chosen.strange.count(1, self.begin, self.end)

    @property
    def severity(self) -> Severity | None:
        """The worst finding about any of them."""
        codes = self.chosen.codes
        found = (own for code, own in enumerate(SEVERITIES, 1) if codes.find(code, self.begin, self.end) >= 0)
        return next(found, None)

    def kinds(self) -> bytes | None:
        """What follows the first number of each name, dtypes and shapes, as something to be compared."""
        kinds = self.chosen.kinds
        return None if kinds is None else kinds[self.begin : self.end].tobytes()

    def codes(self) -> bytes:
        """The worst finding about each; empty where there is none at all."""
        return self.chosen.codes[self.begin : self.end]
