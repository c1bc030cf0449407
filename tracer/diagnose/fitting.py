"""Which value of one field of config.json would make names and shapes fit, worked out from the rows.

Every size of a layout is linear in each field, or inversely so (heads, where head_dim follows from them): two values
of the field give the line, and the stored size the value. What that gives is counted on a few tensors of each kind,
so that only the best are tried as a plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from mappings.bind import Binder, Binding, BoundRow
from mappings.claims import Claims
from mappings.names import Indices, blank
from mappings.rows import Architecture
from mappings.sizes import ConfigError
from mappings.views import Shape

_PROBES = (1, 2, 4, 8, 16, 32, 64)
"""Values of an absent field at which a layout is evaluated, until two of them can be bound."""
_SMALL = 64
"""Counts of layers, experts and periods: none is read off a shape, so that the neighbours are tried."""
_FEW = (0, 1, 2, 3)
_KNOWN = 0.25
"""Of the sample: where rows know less, names are what is wrong, and no field is worked out from the rest."""
_VOTES = 3
"""Values of one field that are looked at, those first for which most tensors speak."""
_UNBOUND = 1 << 30


class Fitted(NamedTuple):
    """A value, how many tensors it leaves wrong, and one that speaks for it."""

    field: str
    value: Any
    misfit: int
    witness: str


class Sample:
    """A few tensors of each kind: all layers, of experts the first and the last."""

    def __init__(self, names: Sequence[str], shapes: Mapping[str, Shape]) -> None:
        found: dict[str, list[tuple[Indices, str]]] = {}
        for name in names:
            template, indices = blank(name)
            found.setdefault(template, []).append((indices, name))
        self.templates = frozenset(found)
        self.names = [name for held in found.values() for name in _ends(held)]
        self.shapes = {name: shapes[name] for name in self.names if name in shapes}


def _ends(held: Sequence[tuple[Indices, str]]) -> Iterator[str]:
    deep = [indices[1:] for indices, _ in held]
    if not any(deep):
        return (name for _, name in held)
    ends = {min(deep), max(deep)}
    return (name for indices, name in held if indices[1:] in ends)


class Fitting:
    """One architecture, held against the sample under whatever config."""

    def __init__(self, arch: Architecture, config: Mapping[str, Any], sample: Sample, dtype: str) -> None:
        self.arch, self.config, self.sample, self.dtype = arch, config, sample, dtype

    def bound(self, field: str = "", value: Any = None) -> Binding | None:
        """With one field changed; None where that is no config. Any field may be absent."""
        config = {**self.config, field: value} if field else self.config
        try:
            return Binder(self.arch, config, 1, self.sample.templates, self.dtype).bind()
        except ConfigError:
            return None

    @cached_property
    def misfit(self) -> int:
        """As the config is."""
        return self.misfit_of(self.bound())

    def misfit_of(self, binding: Binding | None) -> int:
        """Tensors of the sample that nobody claims or that have another shape, and rows and layers that lack theirs."""
        if binding is None:
            return _UNBOUND
        wrong = 0
        seen: dict[str, set[Indices]] = {}
        for name, claim in zip(self.sample.names, Claims(binding).claim(self.sample.names), strict=True):
            if claim.owner is None:
                wrong += 1
            elif isinstance(claim.owner, BoundRow):
                seen.setdefault(claim.owner.id, set()).add(claim.indices)
                wrong += self.sample.shapes.get(name, claim.owner.shape) != claim.owner.shape
        return wrong + sum(_lacking(row, seen.get(row.id, set())) for row in binding.rows)

    def better(self) -> list[Fitted]:
        """Values of single fields that leave less wrong, the best first; of counts and flags only where no size is
        all that is wrong.
        """  # fmt: skip
        if self.claimed < _KNOWN * len(self.sample.names):
            return []
        found = self._best(self._sizes())
        if found and not found[0].misfit:
            return found
        return sorted([*found, *self._best(self._others())], key=lambda each: each.misfit)

    @cached_property
    def claimed(self) -> int:
        """How many tensors of the sample a row knows; all, where the config as it is cannot be bound."""
        binding = self.bound()
        if binding is None:
            return len(self.sample.names)
        return sum(claim.owner is not None for claim in Claims(binding).claim(self.sample.names))

    def _best(self, values: Iterator[tuple[str, Any, str]]) -> list[Fitted]:
        tried: dict[tuple[str, str], tuple[str, Any, str]] = {}
        for field, value, witness in values:
            key = (field, repr(value))
            tried[key] = (field, value, witness or tried.get(key, (field, value, ""))[2])
        found = [self.fitted(*each) for each in tried.values()]
        return sorted((each for each in found if each.misfit < self.misfit), key=lambda each: each.misfit)

    def fitted(self, field: str, value: Any, witness: str = "") -> Fitted:
        return Fitted(field, value, self.misfit_of(self.bound(field, value)), witness)

    # --- what is worth trying ---

    def _sizes(self) -> Iterator[tuple[str, Any, str]]:
        for field in self._size_fields():
            yield from self._solved(field)

    def _others(self) -> Iterator[tuple[str, Any, str]]:
        binding = self.bound()
        used = dict(binding.config.used) if binding else {}
        for field, value in used.items():
            if type(value) is int and value <= _SMALL and field not in self._size_fields():
                near = (value - 1, value + 1, 2 * value, value // 2, *_FEW)
                yield from ((field, each, "") for each in dict.fromkeys(near) if each >= 0 and each != value)
        flags = {**{name: value for name, value in self.arch.flags.items() if type(value) is bool}, **used}
        yield from ((name, not value, "") for name, value in flags.items() if type(value) is bool)
        yield from self._compared()

    def _size_fields(self) -> list[str]:
        """The fields of the axes' expressions."""
        words = [word for text in self.arch.axes.values() for word in text.split()]
        return list(dict.fromkeys(word for word in words if word.isidentifier() and word != "ceil"))

    def _compared(self) -> Iterator[tuple[str, Any, str]]:
        """Fields that switch a parameter on where they have just one value, with it and without."""
        for param in self.arch.params:
            name, equals, wanted = (param.when or "").removeprefix("not ").partition(" == ")
            if equals and wanted.isdigit():
                yield from ((name, value, "") for value in (int(wanted), int(wanted) - 1))

    def _solved(self, field: str) -> Iterator[tuple[str, Any, str]]:
        """Each value that the size of some tensor asks for."""
        said = self.config.get(field)
        own = said if type(said) is int and said > 0 else 0
        points = [(x, b) for x in ((own, 2 * own, own + 1) if own else _PROBES) if (b := self.bound(field, x))][:2]
        if len(points) < 2:
            points = [(x, b) for x in _PROBES if x != own and (b := self.bound(field, x))][:2]
        # A size that follows a field neither on a line nor on a hyperbola (heads in Falcon's fused rows).
        yield from ((field, near, "") for near in (2 * own, own // 2) if near)
        if len(points) < 2:
            return
        votes: Counter[int] = Counter()
        witnesses: dict[int, str] = {}
        for name, value in self._asked(*points):
            votes[value] += 1
            witnesses.setdefault(value, name)
        votes.pop(own, None)
        yield from ((field, value, witnesses[value]) for value, _ in votes.most_common(_VOTES))

    def _asked(self, one: tuple[int, Binding], other: tuple[int, Binding]) -> Iterator[tuple[str, int]]:
        """Template and shape of a tensor, and the value that one of its extents asks for."""
        (x, first), (y, second) = one, other
        shapes = {row.id: row.shape for row in second.rows}
        done: set[tuple[str, Shape]] = set()
        for name, claim in zip(self.sample.names, Claims(first).claim(self.sample.names), strict=True):
            own = self.sample.shapes.get(name)
            if own is None or not isinstance(claim.owner, BoundRow) or (claim.owner.id, own) in done:
                continue
            done.add((claim.owner.id, own))
            there = shapes.get(claim.owner.id, ())
            if len(own) == len(claim.owner.shape) == len(there):
                for size, a, b in zip(own, claim.owner.shape, there, strict=True):
                    if (value := _solve(size, x, a, y, b)) is not None:
                        yield f"{blank(name)[0]} {own}", value


def _solve(size: int, x: int, a: int, y: int, b: int) -> int | None:
    """The value at which a size that is `a` at `x` and `b` at `y` is `size`: on a line, or on a hyperbola."""
    if a == b:
        return None
    if a * x == b * y:
        return _whole(a * x, size)
    rise = (size - a) * (y - x)
    value = None if rise % (b - a) else x + rise // (b - a)
    return value if value is not None and value > 0 else None


def _whole(number: int, divisor: int) -> int | None:
    return number // divisor if divisor > 0 and number % divisor == 0 else None


def _lacking(row: BoundRow, seen: set[Indices]) -> int:
    """Layers of a row without a tensor, or 1 for one that has no holes and no tensor."""
    if not row.domain:
        return 0 if seen else 1
    lacking = len(set(row.domain[0]) - {indices[0] for indices in seen})
    deep = len(row.domain) > 1 and seen and len(row.domain[1]) > 0
    return lacking + (1 if deep and max(row.domain[1]) not in {indices[1] for indices in seen} else 0)
