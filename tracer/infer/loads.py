"""What is known of the size of files whose headers are not here: one load a file, one for the total of the index.

Room for headers is bounded by `tracer.weighing.overhead`, which has measured published files.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product as combinations
from math import inf
from typing import NamedTuple

from mappings.names import blank
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.formats import SAFETENSORS, Format
from tracer.infer.equations import Form, dims_of, parse
from tracer.infer.logical import modules
from tracer.infer.names import Group, Structure
from tracer.infer.packing import scheme_of
from tracer.infer.polynomials import Number, Packing, Polynomial, add, bytes_of
from tracer.weighing.items import Item, Lot
from tracer.weighing.overhead import overhead

_SLACK = 24
"""By so many characters an entry of a header may be longer or shorter than a typical one: its shape and offsets."""
_TYPICAL = (4096, 4096)
_SMALL_ROLES = frozenset({
    "inv_freq", "router_bias", "ssm_a", "ssm_d", "lin_heads", "lin_norm", "ssm_dt_bias", "sinks",
})  # fmt: skip
"""Vectors that some publishers keep in F32 whatever the rest is."""
_NOT_WEIGHED = frozenset({"relative"})


class Reading(NamedTuple):
    """How the bytes may be meant; the usual one first."""

    width: int
    """Bytes of an element that is not quantised."""
    small: int
    """The same of vectors that are often kept in F32."""
    router: int
    """The same of what chooses experts."""
    tables: int
    """The same of the embedding and the head."""
    heads: int
    """How many tables of the head are counted less, as they share the embedding's storage."""
    headers: bool
    """Whether the index's total counts whole files."""

    @property
    def oddities(self) -> int:
        return (self.tables != self.width) + self.heads + 2 * self.headers


@dataclass
class Load:
    """So many bytes, and what they are the sum of."""

    of: str
    polynomial: Polynomial
    low: float
    high: float

    def holds(self, constant: Number) -> bool:
        return self.low <= constant <= self.high


@dataclass
class Scale:
    """The files of a checkpoint, for one table of equations."""

    names: Structure
    table: Mapping[str, str]
    packing: Packing
    files: dict[str, Counter[str]]
    """File -> template -> how many."""
    known: dict[str, int]
    """File -> its size."""
    total: int | None
    rooms: dict[str, tuple[float, float]]
    index: str = ""
    """The file that says the total."""

    def loads(self, reading: Reading) -> list[Load]:
        """One a file whose size is known, one for the total."""
        weights = {each.template: weight for each, weight in _weights(self.names, self.table, self.packing, reading)}
        found = []
        for file, size in self.known.items():
            polynomial, whole = _sum(self.files[file], weights)
            low, high = self.rooms[file]
            found.append(Load(file, polynomial, size - high if whole else -inf, size - low))
        if self.total is not None:
            everything: Counter[str] = Counter()
            for counts in self.files.values():
                everything.update(counts)
            polynomial, whole = _sum(everything, weights)
            less = [sum(room[side] for room in self.rooms.values()) if reading.headers else 0 for side in (0, 1)]
            low = self.total - less[1] if whole else -inf
            found.append(Load("total_size", polynomial, low, self.total - less[0]))
        return found

    def readings(self) -> Iterator[Reading]:
        """All ways to read the bytes, the likely ones first."""
        roles = {group.role for group in self.names.groups}
        small = (True, False) if roles & _SMALL_ROLES else (False,)
        heads = sum(group.role == "head" and group.leaf == "weight" for group in self.names.groups)
        routers = (False, True) if "router" in roles else (False,)
        ways = combinations((False, True), (0, 1) if heads else (0,), (False, True), (2, 4), small, routers)
        found = [
            Reading(width, 4 if wide else width, 4 if routed else width, 4 if tables else width, less, headers)
            for headers, less, tables, width, wide, routed in ways
        ]
        shared = heads > 1  # where two tables of the head are named, one is the other's
        return iter(sorted(dict.fromkeys(found), key=lambda r: r.oddities - 2 * (shared and r.heads)))


def _sum(counts: Mapping[str, int], weights: Mapping[str, Polynomial]) -> tuple[Polynomial, bool]:
    """The polynomial of some tensors, and whether it is all of them."""
    found: Polynomial = {}
    whole = True
    for template, count in counts.items():
        weight = weights.get(template)
        if weight is None:
            whole = False
        else:
            add(found, weight, count)
    return found, whole


def _weights(
    names: Structure, table: Mapping[str, str], packing: Packing, reading: Reading
) -> Iterator[tuple[Group, Polynomial]]:  # fmt: skip
    less = reading.heads
    for leaves in modules([*names.groups, *names.drafts]).values():
        for group in leaves.values():
            if group.role in ("head", "head_bias") and group.leaf == "weight" and less:
                less -= 1
                yield group, {}
            elif (weight := _weight(group, leaves, table, packing, reading)) is not None:
                yield group, weight


def _weight(
    group: Group, leaves: Mapping[str, Group], table: Mapping[str, str], packing: Packing, reading: Reading
) -> Polynomial | None:  # fmt: skip
    if group.role == "mask":
        return {("mask",): 1}
    if group.role in _NOT_WEIGHED or group.role not in table:
        return None
    width = reading.width
    if group.role in _SMALL_ROLES:
        width = reading.small
    elif group.role == "router":
        width = reading.router
    elif group.role in ("embed", "head", "embed_more"):
        width = reading.tables
    own = dims_of(group, table) if not scheme_of(leaves) else parse(table[group.role])
    return None if own is None else bytes_of(group, _whole(group, own, table), leaves, width, packing)


def _whole(group: Group, own: tuple[Form, ...], table: Mapping[str, str]) -> tuple[Form, ...]:
    """`bytes_of` takes the weight's dimensions, and cuts the bias out of them itself."""
    return parse(table[group.role]) if group.leaf == "bias" and len(parse(table[group.role])) > 1 else own


def scale_of(checkpoint: Checkpoint, names: Structure, table: Mapping[str, str], packing: Packing) -> Scale | None:
    """The scale of a checkpoint with an index; None where nothing has a size."""
    index = checkpoint.index
    if index is None:
        return None
    files: dict[str, Counter[str]] = defaultdict(Counter)
    inside: dict[str, list[str]] = defaultdict(list)
    for name, file in index.weight_map.items():
        files[file][blank(name)[0]] += 1
        inside[file].append(name)
    known = {file: checkpoint.pointer_sizes[file] for file in files if file in checkpoint.pointer_sizes}
    rooms = {file: room_of(inside[file], checkpoint.format) for file in files}
    total = _plausible(index.total_size, known, len(known) == len(files))
    return Scale(names, table, packing, dict(files), known, total, rooms, index.file) if known or total else None


def room_of(names: list[str], format: Format | None = SAFETENSORS) -> tuple[float, float]:
    """The least and the most bytes beside the data of a file with these tensors."""
    items = [Item(name, Lot(name, "BF16", _TYPICAL)) for name in names]
    room = overhead(format, items)
    return room.low - _SLACK * len(names), room.high + _SLACK * len(names)


def _plausible(total: int | None, known: Mapping[str, int], all_known: bool) -> int | None:
    """Totals of nothing, or of 72 digits, have been published."""
    if total is None or total <= 0:
        return None
    held = sum(known.values())
    return None if all_known and not 0.5 * held < total < 2 * held else total
