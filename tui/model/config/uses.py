"""Which fields of a config.json the rows read, and what for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mappings.bind import Binding, BoundRow
from mappings.rows import Tie
from tracer.report.words import plural

_OUTSIDE: Mapping[str, str] = {
    "architectures": "chooses the rows", "torch_dtype": "what parameters are made of",
    "dtype": "what parameters are made of", "quantization_config": "chooses the scheme",
}  # fmt: skip
"""Fields that are read before any row is."""


@dataclass
class Use:
    """What becomes of one field."""

    axes: list[str] = field(default_factory=list)
    """The axes that are as long as it says, alone or with others."""
    rows: list[str] = field(default_factory=list)
    """Ids of the rows that have such an axis, in their name or in their layout."""
    also: list[str] = field(default_factory=list)
    """What else it decides, in words."""

    def words(self) -> str:
        """One line."""
        told = [f"{', '.join(self.axes)} in {plural(len(self.rows), 'row')}"] if self.rows else []
        return "; ".join([*told, *self.also])


def uses(binding: Binding) -> dict[str, Use]:
    """By the field's own name; a field that decided nothing is not among them."""
    found: dict[str, Use] = {}
    by_axis = _rows_of(binding)
    for axis in binding.arch.axes:
        rows = by_axis.get(axis, [])
        for name in dict.fromkeys(_fields(binding, axis)) if rows else ():
            use = found.setdefault(name, Use())
            use.axes.append(axis)
            use.rows += [row for row in rows if row not in use.rows]
    _also(binding, binding.arch.layers, "how many layers there are", found)
    for entry in binding.arch.entries:
        if isinstance(entry, Tie):
            _also(binding, entry.when, f"ties {entry.name}", found)
    for name, told in _OUTSIDE.items():
        if binding.config.fields.get(name) is not None:
            found.setdefault(name, Use()).also.append(told)
    for name in binding.config.used:
        if name not in found:
            _also(binding, name, "which parameters there are", found)
    return found


def _also(binding: Binding, name: str, told: str, found: dict[str, Use]) -> None:
    if name in binding.config.used:
        use = found.setdefault(name, Use())
        use.also += [told] if told not in use.also else []


def _rows_of(binding: Binding) -> dict[str, list[str]]:
    """Axis -> the rows that have it; a product counts for each of its factors."""
    found: dict[str, list[str]] = {}
    for row in binding.rows:
        for axis in dict.fromkeys(atom for own in _axes(row) for atom in _atoms(binding, own)):
            found.setdefault(axis, []).append(row.id)
    return found


def _axes(row: BoundRow) -> Iterator[str]:
    yield from row.pattern.axes
    yield from (axis for dim in row.row.layout for axis in dim)
    yield from (axis for part in row.row.slot.parts for dim in part.dims for axis in dim)


def _atoms(binding: Binding, axis: str) -> Iterator[str]:
    for factor in binding.arch.factors.get(axis, ()):
        yield from _atoms(binding, factor)
    yield axis


def _fields(binding: Binding, axis: str) -> Iterator[str]:
    """The fields of the alternative that counts: the first whose fields are all there."""
    config = binding.config
    for alternative in binding.arch.axes[axis].split(" | "):
        words = [word for word in alternative.split() if word.lstrip("@").isidentifier() and word != "ceil"]
        own = [word for word in words if not word.startswith("@")]
        if all(config.fields.get(name) is not None or config.defaults.get(name) is not None for name in own):
            yield from own
            for word in words:
                if word.startswith("@"):
                    yield from _fields(binding, word[1:])
            return
