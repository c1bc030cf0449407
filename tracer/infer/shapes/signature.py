"""What shapes can tell of a family: its roles, each with a shape in named widths and how often it recurs.

A signature is text, one role a line:

    q, o @layer: q, hidden          two tensors a layer, of q x hidden
    gate, up @moe expert: ffn, hidden   two for every expert of every routed layer
    head ?untied: vocab, hidden     one, in those checkpoints that store it
    qkv @layer: q + 2 kv, hidden    a dimension that is a sum of widths

A width is what a shape shows: heads and their dimension only ever appear as the product of both. That signatures and
the rows of `mappings` mean the same checkpoints is what the tests compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeAlias

Widths: TypeAlias = Mapping[str, int]
"""The sizes of named widths, and how often layers of each kind recur."""
Key: TypeAlias = tuple[int, ...]
"""A shape whatever way round its matrices are stored."""


class Extent(NamedTuple):
    """One dimension: a sum of multiples of widths, and a constant."""

    terms: tuple[tuple[int, str], ...]
    constant: int

    def size(self, widths: Widths) -> int | None:
        """None where a width is not known."""
        total = self.constant
        for times, width in self.terms:
            if width not in widths:
                return None
            total += times * widths[width]
        return total

    def unknown(self, widths: Widths) -> list[str]:
        return [width for _, width in self.terms if width not in widths]

    def solve(self, size: int, widths: Widths) -> tuple[str, int] | None:
        """The value of the only unknown width that makes this `size`; None where there is no positive integer."""
        rest, open_ = size - self.constant, [(0, "")]
        for times, width in self.terms:
            if width in widths:
                rest -= times * widths[width]
            else:
                open_.append((times, width))
        if len(open_) != 2 or rest <= 0 or rest % open_[1][0]:
            return None
        return open_[1][1], rest // open_[1][0]


@dataclass(frozen=True)
class Role:
    """Tensors of one meaning."""

    names: tuple[str, ...]
    """One tensor each, in a layer: `gate`, `up`."""
    shape: tuple[Extent, ...]
    repeat: tuple[str, ...]
    """What it recurs over: a kind of layer, then widths (the experts)."""
    tag: str
    """Those checkpoints have it that have all roles of this tag; empty where all have."""


class Need(NamedTuple):
    """Roles of one shape, whichever way round, that recur together: shapes cannot tell them apart."""

    shape: tuple[Extent, ...]
    repeat: tuple[str, ...]
    times: int

    def tensors(self, widths: Widths) -> int | None:
        """How many there are; None where a factor is not known."""
        total = self.times
        for factor in self.repeat:
            if factor not in widths:
                return None
            total *= widths[factor]
        return total


@dataclass(frozen=True)
class Family:
    """Architectures that no shape can tell apart, the most usual first."""

    name: str
    architectures: tuple[str, ...]
    text: str
    tell: str
    """What sets it apart, in words."""
    multiples: tuple[tuple[str, str], ...] = ()
    """Pairs of widths of which the first is a multiple of the second: q of kv."""
    greater: tuple[tuple[str, str], ...] = ()
    """Pairs of widths of which the first is the larger one."""
    sums: tuple[tuple[str, str, str], ...] = ()
    """Kinds of layers that together are another kind: (all, dense, routed)."""
    unusual: frozenset[str] = frozenset()
    """Tags that hardly any checkpoint has."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Widths that config.json states otherwise than most do: size expressions of `mappings.sizes`."""

    @cached_property
    def roles(self) -> tuple[Role, ...]:
        return tuple(_role(line) for line in self.text.splitlines() if line.strip())

    @cached_property
    def tags(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(role.tag for role in self.roles if role.tag))

    @cached_property
    def needs(self) -> Mapping[str, tuple[Need, ...]]:
        """What there must be, by tag: what recurs with layers before what is there once."""
        found: dict[str, dict[tuple[object, ...], list[Role]]] = {"": {}}
        for role in self.roles:
            same = (_either_way(role.shape), role.repeat)
            found.setdefault(role.tag, {}).setdefault(same, []).append(role)
        return {tag: tuple(sorted(map(_need, own.values()), key=lambda n: not n.repeat)) for tag, own in found.items()}

    @property
    def widths(self) -> list[str]:
        """Every width and kind of layer that the signature mentions."""
        named = [w for role in self.roles for extent in role.shape for _, w in extent.terms]
        return list(dict.fromkeys([*named, *(axis for role in self.roles for axis in role.repeat)]))


def key(shape: tuple[int, ...]) -> Key:
    """Two dimensions in order of size; of three, the last two: stacked experts are turned like matrices."""
    if len(shape) == 2:
        return shape if shape[0] <= shape[1] else (shape[1], shape[0])
    if len(shape) == 3:
        return (shape[0], *sorted(shape[1:]))
    return shape


def turned(shape: tuple[Extent, ...]) -> Iterator[tuple[Extent, ...]]:
    """The ways round that `key` makes one."""
    yield shape
    if len(shape) in (2, 3) and shape[-1] != shape[-2]:
        yield (*shape[:-2], shape[-1], shape[-2])


def _either_way(shape: tuple[Extent, ...]) -> tuple[Extent, ...]:
    return min(turned(shape))


def _need(roles: list[Role]) -> Need:
    return Need(roles[0].shape, roles[0].repeat, sum(len(role.names) for role in roles))


def _role(line: str) -> Role:
    """One line of a signature. Raises ValueError for a line that is none."""
    head, colon, dims = line.partition(":")
    if not colon:
        raise ValueError(f"signature line {line!r} has no shape")
    head, _, tag = head.partition("?")
    names, _, repeat = head.partition("@")
    shape = tuple(_extent(dim) for dim in dims.split(","))
    return Role(tuple(name.strip() for name in names.split(",")), shape, tuple(repeat.split()), tag.strip())


def _extent(text: str) -> Extent:
    terms, constant = [], 0
    for term in text.split("+"):
        number, _, width = term.strip().partition(" ")
        if not number.isdigit():
            number, width = "1", number
        if width:
            terms.append((int(number), width))
        else:
            constant += int(number)
    return Extent(tuple(terms), constant)
