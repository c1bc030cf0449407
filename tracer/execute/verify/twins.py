"""Tensors of two folders under one name, compared byte by byte: whether a departure can lie with them at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tracer.checkpoint.weights import map_file
from tracer.errors import InputError
from tracer.prepare import Prepared

if TYPE_CHECKING:
    from torch import Tensor

SPELLED = 3
"""Tensors whose differences are spelled out; all of them are in the evidence."""


class Compared(NamedTuple):
    """One tensor beside its namesake."""

    same: bool
    told: str
    """`equal bytes`, or what differs."""
    rounded: str | None = None
    """The data type here, in torch's spelling, where there is another and only that differs."""


class Twins:
    """What a load was made of beside what the reference was made of."""

    def __init__(self, prepared: Prepared, sound: Prepared) -> None:
        self._ours = _Stored(prepared)
        self._theirs = _Stored(sound)
        self.folder = sound.title

    def compare(self, names: Iterable[str]) -> dict[str, Compared]:
        """Those that both folders have and that can be read, in order."""
        return {name: found for name in names if (found := self._compare(name)) is not None}

    def _compare(self, name: str) -> Compared | None:
        try:
            own, other = self._ours.read(name), self._theirs.read(name)
        except (KeyError, ValueError, InputError, OSError):
            return None
        return difference(own, other)


class _Stored:
    """The tensors of one folder by name."""

    def __init__(self, prepared: Prepared) -> None:
        from engine.loading.sources import MappedWeights

        self._weights = MappedWeights(prepared.folder, prepared.infos, map_file)
        self._positions = {info.name: place for place, info in enumerate(prepared.infos) if info.file is not None}

    def read(self, name: str) -> Tensor:
        """A view of its file. Raises KeyError, ValueError."""
        return self._weights.tensor(self._positions[name])


def difference(own: Tensor, other: Tensor) -> Compared:
    """What is stored in another type there is first rounded to ours, as converting does."""
    if own.shape != other.shape:
        return Compared(False, f"shape {list(own.shape)} here and {list(other.shape)} there")
    types = "" if own.dtype == other.dtype else f"{_plain(own)} here and {_plain(other)} there, "
    other = other.to(own.dtype)
    wrong = (_bits(own) != _bits(other)).flatten()
    count = int(wrong.sum())
    if not count:
        return Compared(True, f"{types}equal once rounded", _plain(own)) if types else Compared(True, "equal bytes")
    place = int(wrong.int().argmax())
    here, there = (float(side.flatten()[place]) for side in (own, other))
    where = f"first {_index(place, own.shape)}: {here:.4g} here and {there:.4g} there"
    return Compared(False, f"{types}{count:,} of {wrong.numel():,} elements differ, {where}")


def told(found: Mapping[str, Compared], folder: str, config_differs: bool) -> str:
    """What speaks for or against the tensors that a departure has named."""
    if not found:
        return f"; {folder} has no tensors of these names to compare them with"
    wrong = [(name, one.told) for name, one in found.items() if not one.same]
    if wrong:
        more = f"; and {len(wrong) - SPELLED} more differ" if len(wrong) > SPELLED else ""
        return "".join(f"; {name} is not that of {folder}: {how}" for name, how in wrong[:SPELLED]) + more
    how = ", ".join(dict.fromkeys(one.told for one in found.values()))
    blame = "how they were loaded or computed with"
    if config_differs:
        blame = "the config"
    elif rounded(found):
        blame = "the rounding"
    return f"; the same tensors in {folder}: {how}, so {blame} is to blame"


def rounded(found: Mapping[str, Compared]) -> str | None:
    """The data type that sound tensors were rounded to here."""
    return next((one.rounded for one in found.values() if one.rounded), None) if sound(found) else None


def sound(found: Mapping[str, Compared]) -> bool:
    """Whether there are tensors that were compared, and nothing is wrong with any."""
    return bool(found) and all(one.same for one in found.values())


def _bits(tensor: Tensor) -> Tensor:
    """The same memory as integers, so that a NaN equals itself and 0 is not -0."""
    import torch

    kinds = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return tensor.contiguous().view(kinds[tensor.element_size()])


def _index(place: int, shape: Sequence[int]) -> list[int]:
    """Of an element in row-major order."""
    index = []
    for size in reversed(shape):
        place, rest = divmod(place, size)
        index.append(rest)
    return index[::-1]


def _plain(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
