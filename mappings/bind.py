"""An architecture bound to one config: concrete leaves, concrete rows, and where each row leads on each rank.

All tensors of one row share one placement law per rank and part; a name axis only adds a linear offset. So binding
costs per row, never per tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import product
from typing import NamedTuple

from mappings.axes import PART, Axes, Layout
from mappings.findings import Finding
from mappings.forms import AtomPart, Form, atom_part, form
from mappings.names import Domains, Indices, Pattern
from mappings.params import Cut, Param, Part
from mappings.rows import Architecture, Fill, Row, Skip, Tie
from mappings.schemes import Scheme, scheme_of
from mappings.sizes import MAX_TENSORS, Config, ConfigError, axes_of, config_of, domains_of, positions
from mappings.views import Shape, View


class Law(NamedTuple):
    """Where one part of every tensor of a row goes on one rank."""

    rank: int
    part: str
    src: View
    dst: View
    shift: tuple[int, ...]
    """Elements that the destination moves on for one step of each hole of the row's name."""


@dataclass(frozen=True, eq=False)
class Leaf:
    """One leaf of a parameter: `….qkv_proj.weight`, for every position of the holes of its name."""

    param: Param
    leaf: str
    pattern: Pattern
    domain: tuple[Sequence[int], ...]
    parts: tuple[AtomPart, ...]
    layout: Layout
    dtype: str
    axes: Axes
    tp: int

    def instances(self) -> Iterator[Indices]:
        """Every position of the holes, in order."""
        return product(*self.domain)

    def rooms(self, rank: int) -> dict[str, dict[str, int]]:
        """Places that the rank allocates along each atom of each part."""
        return {p.name: {a: e.room for a, e in p.extents(self.axes, self.tp, rank).items()} for p in self.parts}

    def form(self, rank: int) -> Form:
        """The rank's shape, and the strides of each part's atoms."""
        return _form_of(self, rank)

    def whole_shape(self) -> Shape:
        """The shape before cutting, padding not counted."""
        return form(self.layout, self.parts, whole_rooms(self.axes, self.layout, self.parts)).shape


def whole_rooms(axes: Axes, layout: Layout, parts: Sequence[AtomPart]) -> dict[str, dict[str, int]]:
    """The full sizes of each part's atoms. Those of the layout are among them, so that an axis too many does not
    stop the proof that names it.
    """  # fmt: skip
    told = [axis for dim in layout for axis in dim if axis != PART]
    return {p.name: {axis: axes.size(axis) for axis in (*p.atoms, *told)} for p in parts}


@lru_cache(maxsize=1 << 14)
def _form_of(leaf: Leaf, rank: int) -> Form:
    whole, rooms = whole_rooms(leaf.axes, leaf.layout, leaf.parts), leaf.rooms(rank)
    return form(leaf.layout, leaf.parts, {name: whole[name] | own for name, own in rooms.items()})


@dataclass(frozen=True, eq=False)
class BoundRow:
    """One leaf of a row: `model.layers.{layer}.self_attn.q_proj.weight`, with its laws."""

    row: Row
    leaf: Leaf
    id: str
    pattern: Pattern
    domain: tuple[Sequence[int], ...]
    parts: tuple[AtomPart, ...]
    layout: Layout
    """On disk, in atoms, without the axes that are spelled in the name."""
    told: Layout
    """The same as the row tells it: `head.dim`, not `kv.group.dim`."""

    @cached_property
    def form(self) -> Form:
        """Shape and strides on disk."""
        return form(self.layout, self.parts, whole_rooms(self.leaf.axes, self.layout, self.parts))

    @property
    def shape(self) -> Shape:
        """What the header must say."""
        return self.form.shape

    @property
    def op(self) -> str | None:
        return self.row.op

    def instances(self) -> Iterator[Indices]:
        """Every position of the holes, in order."""
        return product(*self.domain)

    def count(self) -> int:
        """How many tensors the row claims."""
        total = 1
        for axis in self.domain:
            total *= len(axis)
        return total

    def ranks(self) -> range:
        """The ranks that read this row."""
        only = self.row.rank
        return range(self.leaf.tp) if only is None else range(only, only + 1)

    def laws(self, rank: int) -> list[Law]:
        """Where the row's parts go on `rank`; empty where nothing does."""
        return _laws_of(self, rank) if rank in self.ranks() else []

    def param_indices(self, indices: Indices) -> Indices:
        """The position of the parameter that a tensor of this row belongs to."""
        return tuple([indices[hole] for hole in self._holes])

    @cached_property
    def _holes(self) -> tuple[int, ...]:
        """Which holes of the row's name are the holes of the parameter's."""
        return tuple(self.pattern.axes.index(axis) for axis in self.leaf.pattern.axes)

    def param_name(self, indices: Indices) -> str:
        position = self.param_indices(indices)
        name = self._param_names.get(position)
        if name is None:
            name = self._param_names[position] = self.leaf.pattern.name(position)
        return name

    @cached_property
    def _param_names(self) -> dict[Indices, str]:
        """Names that were asked for: the tensors of 256 experts lead to one."""
        return {}

    def shifting(self, indices: Indices) -> Indices:
        """The positions that move the destination within its parameter, such as an expert's number."""
        return tuple([indices[hole] for hole in self._shifting])

    @cached_property
    def _shifting(self) -> tuple[int, ...]:
        own = set(self.leaf.pattern.axes)
        return tuple(hole for hole, axis in enumerate(self.pattern.axes) if axis not in own)


@lru_cache(maxsize=1 << 15)
def _laws_of(bound: BoundRow, rank: int) -> list[Law]:
    target = bound.leaf.form(rank)
    by_name = {p.name: p for p in bound.leaf.parts}
    laws = (_law(bound, target, p, by_name[p.name], rank) for p in bound.parts)
    return [law for law in laws if 0 not in law.src.sizes]


def _law(bound: BoundRow, target: Form, stored: AtomPart, part: AtomPart, rank: int) -> Law:
    extents = part.extents(bound.leaf.axes, bound.leaf.tp, rank)
    source, dst = bound.form.strides[part.name], target.strides[part.name]
    sizes = tuple(extents[a].held for a in stored.atoms)
    start = sum(extents[a].start * source[a] for a in stored.atoms)
    return Law(
        rank, part.name,
        View(bound.form.offsets[part.name] + start, sizes, tuple(source[a] for a in stored.atoms)),
        View(target.offsets[part.name], sizes, tuple(dst[a] for a in stored.atoms)),
        tuple(dst.get(axis, 0) for axis in bound.pattern.axes),
    )  # fmt: skip


@dataclass(frozen=True)
class Binding:
    """Everything about an architecture that config.json (and which optional tensors exist) decides."""

    arch: Architecture
    config: Config
    axes: Axes
    domains: Domains
    tp: int
    leaves: tuple[Leaf, ...]
    rows: tuple[BoundRow, ...]
    skips: tuple[tuple[Skip, Pattern], ...]
    ties: tuple[Tie, ...]
    """Ties that the config switches on."""
    fills: tuple[tuple[Fill, Leaf], ...]
    scheme: Scheme | None
    by_header: tuple[str, ...] = ()
    """Optional leaves whose existence the header decided, as config.json does not say."""
    findings: tuple[Finding, ...] = ()
    """What binding itself found."""

    def leaf(self, param: Param, leaf: str = "weight") -> Leaf | None:
        """A leaf of a parameter, None where it does not exist."""
        return self._leaves.get((param.name, leaf))

    @cached_property
    def _leaves(self) -> dict[tuple[str, str], Leaf]:
        return {(leaf.param.name, leaf.leaf): leaf for leaf in self.leaves}


class Binder:
    """Builds a `Binding`. `templates` are the blanked names of the header, None when there is no header."""

    def __init__(
        self, arch: Architecture, fields: Mapping[str, object], tp: int,
        templates: Set[str] | None = None, dtype: str = "BF16",
    ) -> None:  # fmt: skip
        self.arch = arch
        self.config = config_of(arch, fields)
        self.axes = axes_of(arch, self.config)
        self.domains = domains_of(arch, self.config)
        self.findings: list[Finding] = []
        self.scheme = self._scheme()
        self.tp = tp
        self.templates = templates
        self.dtype = dtype
        self.by_header: list[str] = []

    def bind(self) -> Binding:
        """Raises `mappings.sizes.ConfigError` when config.json lacks or garbles a field."""
        rows = [row for row in self.arch.rows if self._on(row.slot.param)]
        ties = tuple(e for e in self.arch.entries if isinstance(e, Tie) and self.config.flag(e.when))
        untied = [e.param for e in self.arch.entries if isinstance(e, Tie) and e not in ties]
        tied = {tie.param.name for tie in ties}
        rows = [row for row in rows if row.slot.param.name not in tied]
        params = [p for p in self.arch.params if p.name not in tied and (self._on(p) or p in untied)]
        feeding = {p.name: [r for r in rows if r.slot.param.name == p.name] for p in params}
        leaves = {p.name: [self._leaf(p, x) for x in self._leaf_names(p, feeding[p.name])] for p in params}
        bound = [self._row(row, leaf) for row in rows for leaf in leaves[row.slot.param.name]]
        self._check_count(bound)
        return Binding(
            self.arch, self.config, self.axes, self.domains, self.tp,
            tuple(leaf for found in leaves.values() for leaf in found), tuple(bound), self._skips(), ties,
            self._fills(leaves), self.scheme, tuple(self.by_header), tuple(self.findings),
        )  # fmt: skip

    def _check_count(self, rows: Sequence[BoundRow]) -> None:
        """Each number may be possible and their product not: every tensor is going to be enumerated."""
        total, field = sum(row.count() for row in rows), self.arch.layers
        if total > MAX_TENSORS:
            layers = self.config.get(field)
            message = f"config.json describes {total:,} tensors ({field} {layers}), expected at most {MAX_TENSORS:,}"
            raise ConfigError(Finding("config.invalid", "error", field, message, {"field": field, "tensors": total}))

    def _scheme(self) -> Scheme | None:
        """The declared scheme; an unknown one is said and the weights are treated as unquantised."""
        try:
            return scheme_of(self.config)
        except ConfigError as error:
            self.findings.append(error.finding)
            return None

    def _on(self, param: Param) -> bool:
        return param.when is None or self.config.flag(param.when)

    def _skips(self) -> tuple[tuple[Skip, Pattern], ...]:
        return tuple((e, Pattern(e.name)) for e in self.arch.entries if isinstance(e, Skip))

    def _fills(self, leaves: Mapping[str, list[Leaf]]) -> tuple[tuple[Fill, Leaf], ...]:
        fills = [e for e in self.arch.entries if isinstance(e, Fill)]
        return tuple(
            (e, leaf) for e in fills for leaf in leaves.get(e.slot.param.name, []) if leaf.leaf == e.leaf
        )  # fmt: skip

    def _leaf_names(self, param: Param, rows: Sequence[Row]) -> list[str]:
        names = ["weight"]
        if self._has_bias(param, rows):
            names.append("bias")
        if self.scheme and self.scheme.applies(param):
            names.append(self.scheme.scale_leaf)
        return names

    def _has_bias(self, param: Param, rows: Sequence[Row]) -> bool:
        if isinstance(param.bias, bool):
            return param.bias
        if isinstance(param.bias, str):
            return self.config.flag(param.bias)
        found = any(self._stored(Pattern(row.leaf_name("bias"))) for row in rows)
        self.by_header.append(param.leaf_name("bias"))
        return found

    def _stored(self, pattern: Pattern) -> bool:
        """Whether the header has a tensor of this pattern under any known prefix."""
        return any(prefix + pattern.template in (self.templates or ()) for prefix in self.arch.prefixes)

    def _leaf(self, param: Param, leaf: str) -> Leaf:
        pattern = Pattern(param.leaf_name(leaf))
        parts = tuple(self._part(part, leaf) for part in param.parts)
        layout = self.axes.layout(self._leaf_layout(param.layout, param.parts, leaf))
        return Leaf(
            param, leaf, pattern, self._domain(pattern), parts, layout, self._dtype(param, leaf), self.axes, self.tp
        )  # fmt: skip

    def _dtype(self, param: Param, leaf: str) -> str:
        if leaf in param.dtypes:
            return param.dtypes[leaf]
        if self.scheme and self.scheme.applies(param):
            if leaf == self.scheme.scale_leaf:
                return self.scheme.scale_dtype
            if leaf == "weight":
                return self.scheme.weight_dtype
        return self.dtype

    def _part(self, part: Part, leaf: str) -> AtomPart:
        if leaf == "bias":
            return atom_part(self.axes, Part(part.name, bias_dims(part.dims), _kept(part, bias_dims(part.dims))))
        if leaf == "weight" or self.scheme is None:
            return atom_part(self.axes, part)
        return atom_part(self.axes, self.scheme.scale_part(part), self.scheme.blocked(part))

    def _leaf_layout(self, layout: Layout, parts: Sequence[Part], leaf: str) -> Layout:
        if leaf == "weight" or (self.scheme is None and leaf != "bias"):
            return layout
        if leaf == "bias":
            return bias_layout(layout, parts[0].dims)
        return self.scheme.scale_layout(layout, parts[0]) if self.scheme else layout

    def _domain(self, pattern: Pattern) -> tuple[Sequence[int], ...]:
        return tuple(self.domains[hole] if hole in self.domains else self._counted(hole) for hole in pattern.holes)

    def _counted(self, axis: str) -> range:
        return range(positions(self.arch.axes.get(axis, axis), self.axes.size(axis)))

    def _row(self, row: Row, leaf: Leaf) -> BoundRow:
        pattern = Pattern(row.leaf_name(leaf.leaf))
        spelled = set(pattern.axes)
        own = {p.name: p for p in leaf.parts}
        parts = tuple(
            replace(own[part.name], atoms=tuple(a for a in own[part.name].atoms if a not in spelled))
            for part in row.slot.parts
        )  # fmt: skip
        stated = self._leaf_layout(row.layout, row.slot.parts, leaf.leaf)
        told = tuple(dim for dim in stated if not (dim and set(dim) <= spelled))
        return BoundRow(
            row, leaf, f"{self.arch.id}:{pattern.text}", pattern, self._domain(pattern), parts,
            self.axes.layout(told), told,
        )  # fmt: skip


def bias_dims(dims: Layout) -> Layout:
    """A bias has its weight's dimensions but the last; a vector's bias is like the vector. Literal 1s vanish."""
    return dims if len(dims) == 1 else tuple(dim for dim in dims[:-1] if dim)


def bias_layout(layout: Layout, dims: Layout) -> Layout:
    """A weight's layout without the axes that its bias lacks."""
    if len(dims) == 1:
        return layout
    gone = set(dims[-1])
    kept = (tuple(axis for axis in dim if axis not in gone) for dim in layout)
    return tuple(dim for dim in kept if dim)


def _kept(part: Part, dims: Layout) -> Cut | None:
    """The part's cut if its axis is still there."""
    return part.cut if part.cut and any(part.cut.axis in dim for dim in dims) else None


def is_fused(leaf: Leaf) -> bool:
    """Whether several parts lie side by side in the parameter."""
    return len(leaf.parts) > 1 or any(PART in dim for dim in leaf.layout)
