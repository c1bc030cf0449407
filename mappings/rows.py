"""Rows: what becomes of each tensor of a checkpoint. An `Architecture` is a list of them.

Every tensor ends with exactly one verdict, a `Row`, a `Skip` or a `Tie`; every element of a parameter is written by
exactly one `Row` or `Fill`, or padded. Families are plain list concatenation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from mappings.axes import Layout, parse
from mappings.names import Domains
from mappings.params import Param, Slot

DiskStyle: TypeAlias = Literal["module", "bare", "plain"]
"""How leaves are spelled on disk: `name.weight`; `name` and `name_bias`; or `name` alone."""


def _here() -> str:
    """File and line of the table entry being built, for reports: `llama.py:41`."""
    frame = sys._getframe(1)
    while frame.f_globals.get("__name__") == __name__ or frame.f_code.co_filename.startswith("<"):
        if frame.f_back is None:
            return "?"
        frame = frame.f_back
    return f"{frame.f_code.co_filename.replace(chr(92), '/').rpartition('/')[2]}:{frame.f_lineno}"


class Row:
    """`Row(name in the checkpoint, slot in the engine[, layout if unusual])`.

    `rank` restricts the row to one rank, where a `Fill` answers for the others; `op` names a value transform of
    `mappings.transforms`, which lies outside the bijection and inside the coverage.
    """

    def __init__(
        self, name: str, slot: Slot | Param, layout: str | None = None, *,
        style: DiskStyle = "module", op: str | None = None, rank: int | None = None, source: str | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.slot = slot.whole if isinstance(slot, Param) else slot
        self.stated: Layout | None = parse(layout) if layout else None
        self.style: DiskStyle = "plain" if self.slot.param.style == "plain" else style
        self.op = op
        self.rank = rank
        self.source = source or _here()

    @property
    def layout(self) -> Layout:
        """The layout on disk; name axes are still in it."""
        return self.stated or self.slot.layout

    def leaf_name(self, leaf: str) -> str:
        """The checkpoint's name of a leaf, holes still in it."""
        if self.style == "module":
            return f"{self.name}.{leaf}"
        return self.name if leaf == "weight" else f"{self.name}_{leaf}"

    def __repr__(self) -> str:
        return f"Row({self.name!r}, {self.slot.param.name!r})"


@dataclass(frozen=True, slots=True)
class Skip:
    """Tensors that are deliberately not loaded. The name may end in `**`, and then covers all below it."""

    name: str
    why: str
    derived: bool = False
    """Whether the engine recomputes it (a rotary table, a causal mask)."""
    elements: str | None = None
    """How many elements a tensor has, as a size expression (`mappings.sizes`); None where nobody knows. What files
    weigh is judged by it."""
    source: str = field(default_factory=_here, compare=False)


@dataclass(frozen=True, slots=True)
class Tie:
    """`name` is the same storage as `to`, when the config flag says so; a stored copy is not read."""

    name: str
    to: Param
    param: Param
    """The parameter that exists instead when the flag is off."""
    when: str = "tie_word_embeddings"
    source: str = field(default_factory=_here, compare=False)


@dataclass(frozen=True, slots=True)
class Fill:
    """Elements that no tensor feeds, by rule: a constant, on every rank but `except_rank`."""

    slot: Slot
    leaf: str
    value: float
    why: str
    except_rank: int | None = None
    source: str = field(default_factory=_here, compare=False)


Entry: TypeAlias = Row | Skip | Tie | Fill


@dataclass(frozen=True)
class Architecture:
    """One dialect of one architecture: its axes, its rows, and how the config gives sizes and domains."""

    name: str
    """As in `architectures` of config.json."""
    also: tuple[str, ...] = field(default=(), kw_only=True)
    """Other names there under which the same tensors have been published."""
    axes: Mapping[str, str]
    """Axis -> size expression over config fields (see `mappings.sizes`)."""
    entries: tuple[Entry, ...]
    factors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    flags: Mapping[str, Any] = field(default_factory=dict)
    """Config fields with a documented default, used where config.json does not state them."""
    silent: Mapping[str, int] = field(default_factory=dict, kw_only=True)
    """Sizes of Transformers' config class for fields that config.json does not have; null is no silence, and leaves an
    expression to its next alternative."""
    domains: Callable[[Any], Domains] | None = None
    """Domains of name axes beyond `layer`, from a `mappings.sizes.Config`."""
    layers: str = "num_hidden_layers"
    prefixes: tuple[str, ...] = ("",)
    """Known wrappers in front of every name of the checkpoint."""
    dialect: str | None = None
    """None for the spelling that the Hub uses; else what is different (`stacked`)."""
    requires: Mapping[str, Any] = field(default_factory=dict)
    """Config values without which these rows do not describe the model."""

    @property
    def id(self) -> str:
        """`MixtralForCausalLM`, or `MixtralForCausalLM/stacked` for a dialect."""
        return f"{self.name}/{self.dialect}" if self.dialect else self.name

    @property
    def rows(self) -> list[Row]:
        return [entry for entry in self.entries if isinstance(entry, Row)]

    @property
    def params(self) -> list[Param]:
        """Every parameter that a row or a tie leads to, once, in table order."""
        found: list[Param] = []
        by_name: dict[str, list[Param]] = {}
        for entry in self.entries:
            param = entry.slot.param if isinstance(entry, Row) else entry.param if isinstance(entry, Tie) else None
            if param is not None and param not in by_name.setdefault(param.name, []):
                by_name[param.name].append(param)
                found.append(param)
        return found
