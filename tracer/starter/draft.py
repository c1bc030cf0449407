"""What a mapping file is going to say, as data, each entry with the reason that its comment gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mappings.axes import parse, spell
from mappings.params import Param, fused
from mappings.rows import Row

_CUTS = {"split": "split", "share": "share", "share-one": "share_one", "pad": "pad"}


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
    split: str = ""
    share: str = ""
    share_one: str = ""
    pad: str = ""
    why: str = ""

    def fields(self) -> dict[str, Any]:
        """As the file has them."""
        return _given(
            name=self.name, parts=dict(self.parts), layout=self.layout, bias=self.bias or None, style=self.style,
            quantised=self.quantised or None, split=self.split or None, share=self.share or None,
            share_one=self.share_one or None, pad=self.pad or None,
        )  # fmt: skip

    @property
    def cut(self) -> str:
        """What becomes of it on several ranks, in words."""
        told = (
            (self.split, "{} split over ranks"), (self.share, "{} split, or shared where there are more ranks"),
            (self.share_one, "{} split, a single one shared"), (self.pad, "{} padded and split"),
        )  # fmt: skip
        return "; ".join(text.format(axes) for axes, text in told if axes) or "whole on each rank"


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
    cuts: dict[str, list[str]] = {}
    for part in param.parts:
        if part.cut and part.cut.axis not in cuts.setdefault(_CUTS[part.cut.kind], []):
            cuts[_CUTS[part.cut.kind]].append(part.cut.axis)
    parts = {part.name: spell(part.dims) for part in param.parts}
    plain = fused(param.name, parts).layout
    told = {kind: " ".join(axes) for kind, axes in cuts.items()}
    return NewParam(
        param.name, parts, None if param.layout == plain else spell(param.layout), biased,
        None if param.style == "module" else param.style, param.quantised, why=why, **told,
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
