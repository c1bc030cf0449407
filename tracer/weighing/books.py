"""The files of an index on the scales: what the rows expect in each, by row, against the size of its pointer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tracer.checkpoint.formats import PYTORCH, Format
from tracer.weighing.bands import Band, total
from tracer.weighing.items import Item, Lot
from tracer.weighing.overhead import headers, overhead


@dataclass(frozen=True)
class Shard:
    """One file that is not here: its tensors and its size."""

    file: str
    size: int
    items: Sequence[Item]
    beside: Band
    """Bytes beside the data."""

    @cached_property
    def known(self) -> bool:
        """Whether the shape of every tensor is known."""
        return all(item.lot.shape is not None for item in self.items)


@dataclass(frozen=True)
class Books:
    """Everything that is weighed of one checkpoint."""

    items: Sequence[Item]
    shards: Sequence[Shard]
    """Of known size, in natural order."""
    total_size: int | None
    """As the index has it."""
    headers: Band
    """Bytes beside the data of all files together: some tools count them in the total."""
    format: Format | None
    held: int | None
    """The sizes of all files together, if all are known."""

    @cached_property
    def lots(self) -> dict[str, Lot]:
        """Every row, tie and skip that tensors are claimed by."""
        return {item.lot.key: item.lot for item in self.items if not item.real}

    @cached_property
    def known(self) -> bool:
        """Whether the shape of every tensor is known."""
        return all(item.lot.shape is not None for item in self.items)

    @cached_property
    def shares(self) -> bool:
        """Whether two names may be one storage: pickles keep one of both, safetensors files cannot."""
        return self.format is PYTORCH

    @cached_property
    def places(self) -> dict[str, int]:
        """Which of the files each tensor is in, as far as its size is known."""
        return {item.name: n for n, shard in enumerate(self.shards) for item in shard.items}

    @cached_property
    def counts(self) -> list[Counter[str]]:
        """How many tensors of each lot: in each file, and last in all."""
        return [_counted(own) for own in (*(shard.items for shard in self.shards), self.items)]

    @cached_property
    def real(self) -> list[int]:
        """Bytes of tensors whose header is known, in the same order."""
        own = (*(shard.items for shard in self.shards), self.items)
        return [sum(item.lot.nbytes for item in items if item.real) for items in own]

    def heavier(self, elements: Mapping[str, int]) -> list[int]:
        """What the given elements a tensor of each lot come to: in each file, and last in all."""
        return [sum(counts[key] * n for key, n in elements.items()) for counts in self.counts]


def _counted(items: Iterable[Item]) -> Counter[str]:
    return Counter(item.lot.key for item in items if not item.real)


def open_books(
    items: Sequence[Item], homes: Mapping[str, str], sizes: Mapping[str, int], format: Format | None,
    total_size: int | None,
) -> Books:  # fmt: skip
    """`homes` says in which file each tensor is, `sizes` how large those files are that are known by pointer."""
    held = by_file(items, homes)
    shards = [Shard(file, sizes[file], held[file], overhead(format, held[file])) for file in sizes if file in held]
    whole = sum(sizes.values()) if len(shards) == len(held) else None
    return Books(items, shards, total_size, total(headers(format, own) for own in held.values()), format, whole)


def by_file(items: Iterable[Item], homes: Mapping[str, str]) -> dict[str, list[Item]]:
    """The tensors of each file."""
    held: dict[str, list[Item]] = {}
    for item in items:
        held.setdefault(homes[item.name], []).append(item)
    return held
