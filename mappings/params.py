"""What a (fused) engine parameter consists of, and which of its axes is split over tensor-parallel ranks.

A `Param` names a module of the engine, as vLLM names it; its *leaves* (`weight`, `bias`, the block scales of a
quantisation scheme) all follow from the axes of the weight. Rows of a mapping and layers of the engine are built
from the same `Param` objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from mappings.axes import PART, Layout, parse

CutKind: TypeAlias = Literal["split", "share", "share-one", "pad"]
LeafStyle: TypeAlias = Literal["module", "stacked", "plain"]
"""How leaves are spelled: `name.weight`, `name_weight`, or `name` alone (a bare tensor without leaves)."""
Exists: TypeAlias = bool | str | None
"""Whether an optional leaf exists: always, never, when a config flag says so, or (None) when the header has it."""

VOCABULARY_MULTIPLE = 64
"""Rows of a vocabulary-parallel table are padded to a multiple of this, whatever the number of ranks (vLLM)."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How one axis of a part is divided over ranks.

    split      the size divides by the number of ranks
    share      the same, or with more ranks than positions each position is replicated (KV heads)
    share-one  the same, but only a single position may be replicated (the groups of Mamba-2)
    pad        the size is first padded to a multiple, the tail is filled (vocabulary)
    """

    kind: CutKind
    axis: str


@dataclass(frozen=True, slots=True)
class Part:
    """One of the things that lie side by side in a fused parameter: q, k, v; gate, up; ..."""

    name: str
    """The shard's name in the trace; empty for a parameter that is not fused."""
    dims: Layout
    cut: Cut | None


@dataclass(frozen=True)
class Param:
    """A module of the engine whose weight is made of parts; one law places all its leaves."""

    name: str
    parts: tuple[Part, ...]
    layout: Layout
    """The layout of the weight in the engine; `part` first unless stated."""
    bias: Exists = False
    when: str | None = None
    style: LeafStyle = "module"
    quantised: bool = False
    """Whether a quantisation scheme applies to it (linear layers: yes; embeddings, norms, routers: no)."""
    dtypes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Leaves kept in a data type of their own, whatever the model's."""

    def __getitem__(self, parts: str | tuple[str, ...]) -> Slot:
        """`QKV["q"]`, `QKV["q", "k", "v"]`: the slot that a row fills. Raises KeyError for an unknown part."""
        names = (parts,) if isinstance(parts, str) else parts
        known = {part.name: part for part in self.parts}
        return Slot(self, tuple(known[name] for name in names))

    @property
    def whole(self) -> Slot:
        """The slot that covers every part."""
        return Slot(self, self.parts)

    def leaf_name(self, leaf: str) -> str:
        """The engine's name of a leaf: `….qkv_proj.weight`, `….w13_weight`, or the name itself."""
        return self.name + {"module": f".{leaf}", "stacked": f"_{leaf}", "plain": ""}[self.style]


@dataclass(frozen=True, slots=True)
class Slot:
    """Some or all parts of a parameter: where a row of a mapping leads."""

    param: Param
    parts: tuple[Part, ...]

    @property
    def layout(self) -> Layout:
        """The layout these parts have on disk unless the row says otherwise."""
        return self.parts[0].dims if len(self.parts) == 1 else _side_by_side(self.parts)


def _side_by_side(parts: tuple[Part, ...]) -> Layout:
    return ((PART,), *parts[0].dims[1:])


def _cut_of(dims: Layout, cuts: tuple[Cut, ...]) -> Cut | None:
    axes = {axis for dim in dims for axis in dim}
    return next((cut for cut in cuts if cut.axis in axes), None)


def _cuts(split: str, share: str, share_one: str, pad: str) -> tuple[Cut, ...]:
    kinds: tuple[tuple[CutKind, str], ...] = (
        ("split", split), ("share", share), ("share-one", share_one), ("pad", pad),
    )  # fmt: skip
    return tuple(Cut(kind, axis) for kind, text in kinds for axis in text.split())


def fused(
    name: str, parts: Mapping[str, str], *, layout: str | None = None, bias: Exists = False, when: str | None = None,
    style: LeafStyle = "module", quantised: bool = False, dtypes: Mapping[str, str] | None = None,
    split: str = "", share: str = "", share_one: str = "", pad: str = "",
) -> Param:  # fmt: skip
    """A parameter of named parts, each with its layout.

    `split`, `share`, `share_one` and `pad` name the axes to cut; a part is cut along the first that it mentions.
    """
    cuts = _cuts(split, share, share_one, pad)
    built = tuple(Part(part, dims := parse(text), _cut_of(dims, cuts)) for part, text in parts.items())
    own = parse(layout) if layout else built[0].dims if len(built) == 1 else _side_by_side(built)
    return Param(name, built, own, bias, when, style, quantised, MappingProxyType(dict(dtypes or {})))


def linear(
    name: str, dims: str = "", *, bias: Exists = False, when: str | None = None, split: str = "", share: str = "",
    share_one: str = "", layout: str | None = None, quantised: bool = True, **parts: str,
) -> Param:  # fmt: skip
    """The weight of a linear layer, `"out, in"`, or several fused along `out`."""
    return fused(
        name, {"": dims} if dims else parts, bias=bias, when=when, split=split, share=share, share_one=share_one,
        layout=layout, quantised=quantised,
    )  # fmt: skip


def norm(name: str, dims: str = "hidden", *, bias: Exists = False, when: str | None = None, split: str = "") -> Param:
    """The scale (and shift) of a normalisation, whole on every rank unless split."""
    return fused(name, {"": dims}, bias=bias, when=when, split=split)


def embedding(name: str, dims: str = "vocab, hidden", *, pad: str = "vocab", when: str | None = None) -> Param:
    """A table of vectors; vocabulary-parallel unless `pad` is empty."""
    return fused(name, {"": dims}, pad=pad, when=when)


def experts(name: str, dims: str = "", *, layout: str | None = None, bias: Exists = False, **parts: str) -> Param:
    """The stacked weights of all routed experts, split along `ffn` inside every expert."""
    own = {"": dims} if dims else parts
    default = layout or ("expert, part, hidden" if len(own) > 1 else None)
    axis = "moe_ffn" if any("moe_ffn" in text for text in own.values()) else "ffn"
    return fused(name, own, layout=default, bias=bias, style="stacked", quantised=True, split=axis)


def plain(
    name: str, dims: str, *, split: str = "", share: str = "", dtype: str | None = None, when: str | None = None
) -> Param:
    """A tensor without leaves (`A`, `sinks`, a correction bias), optionally in a data type of its own."""
    dtypes = {"weight": dtype} if dtype else {}
    return fused(name, {"": dims}, style="plain", when=when, split=split, share=share, dtypes=dtypes)
