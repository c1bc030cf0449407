"""What a mapping file is going to say, as data, each entry with the reason that its comment gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mappings.axes import parse, spell
from mappings.params import Param, Part, fused
from mappings.rows import Row


class Cuts(NamedTuple):
    """The axes that are cut over ranks, by how; several are parted by blanks."""

    split: str = ""
    share: str = ""
    share_one: str = ""
    pad: str = ""

    def __str__(self) -> str:
        told = (
            (self.split, "{} split over ranks"), (self.share, "{} split, or shared where there are more ranks"),
            (self.share_one, "{} split, a single one shared"), (self.pad, "{} padded and split"),
        )  # fmt: skip
        return "; ".join(text.format(axes) for axes, text in told if axes) or "whole on each rank"


WHOLE = Cuts()


def cuts_of(parts: Iterable[Part]) -> Cuts:
    """As the parts of a table have them."""
    found: dict[str, list[str]] = {}
    for cut in (part.cut for part in parts if part.cut):
        axes = found.setdefault(cut.kind.replace("-", "_"), [])
        if cut.axis not in axes:
            axes.append(cut.axis)
    return Cuts(**{kind: " ".join(axes) for kind, axes in found.items()})


@dataclass(frozen=True, slots=True)
class NewRow:
    """A `[[row]]`."""

    name: str
    param: str
    parts: tuple[str, ...] = ()
    layout: str | None = None
    style: str | None = None
    op: str | None = None
    rank: int | None = None
    why: str = ""

    def fields(self) -> dict[str, Any]:
        """As the file has them."""
        return _given(
            name=self.name, param=self.param, parts=list(self.parts) or None, layout=self.layout, style=self.style,
            op=self.op, rank=self.rank,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class NewParam:
    """A `[[param]]`."""

    name: str
    parts: Mapping[str, str]
    layout: str | None = None
    bias: bool = False
    style: str | None = None
    quantised: bool = False
    cuts: Cuts = WHOLE
    why: str = ""

    def fields(self) -> dict[str, Any]:
        """As the file has them."""
        cuts = {key: axes for key, axes in self.cuts._asdict().items() if axes}
        return _given(
            name=self.name, parts=dict(self.parts), layout=self.layout, bias=self.bias or None, style=self.style,
            quantised=self.quantised or None, **cuts,
        )  # fmt: skip


@dataclass
class Draft:
    """A mapping file that is being written."""

    architecture: str
    like: str | None = None
    why: str = ""
    """What the beginning of the file says."""
    layers: str | None = None
    prefixes: tuple[str, ...] = ()
    axes: dict[str, str] = field(default_factory=dict)
    factors: dict[str, tuple[str, ...]] = field(default_factory=dict)
    flags: dict[str, Any] = field(default_factory=dict)
    domains: dict[str, str] = field(default_factory=dict)
    params: list[NewParam] = field(default_factory=list)
    rows: list[NewRow] = field(default_factory=list)
    skips: list[tuple[str, str]] = field(default_factory=list)
    """Name and why."""
    removes: list[tuple[str, str]] = field(default_factory=list)
    """Name of a row that does not hold here, and what stands in its place."""
    todo: list[tuple[str, str]] = field(default_factory=list)
    """What is left to whoever reads the file: tensors, and why."""
    assumed: list[str] = field(default_factory=list)
    """What was decided though something else fits as well."""
    borrowed: dict[str, str] = field(default_factory=dict)
    """New parameter -> the architecture whose it is."""
    rebiased: set[str] = field(default_factory=set)
    """Parameters of the base itself, with a bias or without."""
    settled: set[int] = field(default_factory=set)
    """Ids of openings that stay empty, and for which nothing is to be removed."""
    renamed: set[str] = field(default_factory=set)
    """Parameters of the base itself, a leaf of which has another name on disk."""


def of_param(param: Param, why: str, biased: bool) -> NewParam:
    """A parameter of a table, as a file can say it."""
    parts = {part.name: spell(part.dims) for part in param.parts}
    plain = fused(param.name, parts).layout
    return NewParam(
        param.name, parts, None if param.layout == plain else spell(param.layout), biased,
        None if param.style == "module" else param.style, param.quantised, cuts_of(param.parts), why,
    )  # fmt: skip


def of_row(row: Row, name: str, style: str, why: str) -> NewRow:
    """A row of a table under another name on disk."""
    parts = tuple(part.name for part in row.slot.parts if part.name)
    whole = len(row.slot.parts) == len(row.slot.param.parts)
    stated = row.stated is not None and row.stated != (row.slot.param.whole.layout if whole else row.slot.layout)
    return NewRow(
        name, row.slot.param.name, () if whole else parts, spell(row.layout) if stated else None,
        None if style == "module" else style, row.op, row.rank, why,
    )  # fmt: skip


def axes_of(layout: str) -> list[str]:
    """The axes that a layout mentions."""
    return [axis for dim in parse(layout) for axis in dim]


def _given(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
