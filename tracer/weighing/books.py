"""The files of an index on the scales: what the rows expect in each, against the size that its pointer states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tracer.checkpoint.formats import Format
from tracer.weighing.bands import Band, total
from tracer.weighing.items import Item
from tracer.weighing.overhead import headers, overhead


@dataclass(frozen=True)
class Shard:
    """One file that is not here: its tensors and its size."""

    file: str
    size: int
    items: Sequence[Item]
    beside: Band
    """Bytes beside the data."""

    @property
    def known(self) -> bool:
        """Whether the shape of every tensor is known."""
        return all(item.shape is not None for item in self.items)

    def expected(self, width: int) -> Band:
        """What the file should weigh."""
        return total(item.nbytes(width) for item in self.items).plus(self.beside)

    def fits(self, width: int, more: float = 0) -> bool:
        """Whether it weighs that, and `more` on top."""
        return self.expected(width).holds(self.size - more)

    def surplus(self, width: int) -> float:
        """How far the size is above what is expected, negative below; 0 where it fits."""
        low, high = self.expected(width)
        return max(self.size - high, 0) + min(self.size - low, 0)


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

    @property
    def known(self) -> bool:
        """Whether the shape of every tensor is known."""
        return all(item.shape is not None for item in self.items)

    def data(self, width: int) -> Band:
        """What all tensors weigh together."""
        return total(item.nbytes(width) for item in self.items)

    def misfits(self, width: int) -> list[Shard]:
        """The files that weigh something else than they should."""
        return [shard for shard in self.shards if not shard.fits(width)]

    def with_items(self, items: Sequence[Item]) -> Books:
        """The same files, if the tensors were others."""
        by_name = {item.name: item for item in items}
        shards = [replace(shard, items=[by_name[item.name] for item in shard.items]) for shard in self.shards]
        return replace(self, items=items, shards=shards)


def open_books(
    items: Sequence[Item], homes: Mapping[str, str], sizes: Mapping[str, int], format: Format | None,
    total_size: int | None,
) -> Books:  # fmt: skip
    """`homes` says in which file each tensor is, `sizes` how large those files are that are known by pointer."""
    held = by_file(items, homes)
    beside = {file: overhead(format, own) for file, own in held.items()}
    shards = [Shard(file, sizes[file], held[file], beside[file]) for file in sizes if file in held]
    return Books(items, shards, total_size, total(headers(format, own) for own in held.values()))


def by_file(items: Iterable[Item], homes: Mapping[str, str]) -> dict[str, list[Item]]:
    """The tensors of each file."""
    held: dict[str, list[Item]] = {}
    for item in items:
        held.setdefault(homes[item.name], []).append(item)
    return held
