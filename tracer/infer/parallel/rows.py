"""How a model with rows can be divided: its axes say what can be cut, its parameters what a rank holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from mappings.bind import Binding, Leaf
from mappings.forms import AtomPart
from mappings.params import Part
from mappings.proof.ranks import LARGEST_TP, at, violations
from mappings.shards import replicas
from mappings.sizes import ConfigError, Sizes
from tracer.checkpoint.dtypes import nbytes
from tracer.infer.parallel.cache import Cache, windows
from tracer.infer.parallel.result import Obstacle

CACHE_BYTES = 2
"""An element of the cache, as the model computes: BF16 or F16."""


def obstacles(binding: Binding) -> dict[int, Obstacle | None]:
    """For every number of ranks the first axis that it cannot cut, None where it can cut all."""
    return {tp: _obstacle(binding, tp) for tp in range(1, LARGEST_TP + 1)}


def _obstacle(binding: Binding, tp: int) -> Obstacle | None:
    found = violations(binding, tp)
    if not found:
        return None
    first = found[0]
    return Obstacle(tp, field_of(binding, first.axis), first.size, first.reason)


def field_of(binding: Binding, axis: str) -> str:
    """What the config calls an axis, or the product of fields that it is; the axis itself where there is no field."""
    dims, slash, block = axis.partition("/")
    first = dims.split(".")[0]
    atom = binding.arch.factors.get(first, (first,))[-1]
    fields = binding.config.fields
    for alternative in binding.arch.axes.get(atom, "").split(" | "):
        names = [word for word in alternative.split() if word.isidentifier() and word != "ceil"]
        if names and "@" not in alternative and all(fields.get(name) is not None for name in names):
            told = names[0] if atom == "group" else _times_constants(binding, first, alternative)
            return f"{told} in blocks of {block}" if slash else told
    return "num_attention_heads" if atom == "group" and "num_attention_heads" in fields else axis


def _times_constants(binding: Binding, axis: str, told: str) -> str:
    """`head_dim`, where an axis is two halves and `told` is one of them; the product where that is not the same."""
    sizes = (binding.arch.axes.get(factor, "") for factor in binding.arch.factors.get(axis, ()))
    times = prod(int(size) for size in sizes if size.isdigit())
    if times == 1:
        return told
    whole = told.removeprefix("ceil ").removesuffix(f" / {times}")
    try:
        same = Sizes(binding.arch, binding.config).evaluate(whole) == binding.axes.size(axis)
    except ConfigError:
        same = False
    return whole if same else f"{times} * ({told})"


@dataclass(frozen=True)
class Weights:
    """Bytes of the parameters, all ranks of one stage together."""

    before: int
    """What the first stage has: embeddings."""
    layers: tuple[int, ...]
    after: int
    """What the last stage has: norm and head, and the embeddings again where they are tied."""
    experts: int
    """Of the layers' bytes those of routed experts."""

    def scaled(self, packed: int, total: int) -> Weights:
        """The same where the whole takes `packed` bytes instead of `total`."""
        before, after, experts = (n * packed // total for n in (self.before, self.after, self.experts))
        return Weights(before, tuple(n * packed // total for n in self.layers), after, experts)


def on_rank(binding: Binding, tp: int) -> int:
    """Bytes of every parameter of the fullest rank."""
    cut = at(binding, tp)
    return max(sum(_leaf_bytes(leaf, rank) * _instances(leaf) for leaf in cut.leaves) for rank in {0, tp - 1})


def dtypes(binding: Binding) -> list[str]:
    """The data types of the parameters, that of most bytes first."""
    weights: dict[str, int] = {}
    for leaf in at(binding, 1).leaves:
        weights[leaf.dtype] = weights.get(leaf.dtype, 0) + _leaf_bytes(leaf, 0) * _instances(leaf)
    return sorted(weights, key=lambda dtype: -weights[dtype])


def whole(binding: Binding) -> Weights:
    """Bytes of every parameter on one rank, by where they are in the model."""
    single = at(binding, 1)
    count = len(single.domains["layer"])
    by_layer, outside, experts = [0] * count, [0, 0], 0
    seen = False
    for leaf in single.leaves:
        each = _leaf_bytes(leaf, 0)
        if "layer" not in leaf.pattern.axes:
            outside[seen] += each
            continue
        seen = True
        for index in leaf.domain[leaf.pattern.axes.index("layer")]:
            by_layer[index] += each
        experts += each * _instances(leaf) if _is_expert(leaf) else 0
    tied = [single.leaf(tie.to) for tie in single.ties]
    again = sum(_leaf_bytes(leaf, 0) for leaf in tied if leaf is not None)
    return Weights(outside[0], tuple(by_layer), outside[1] + again, experts)


def _leaf_bytes(leaf: Leaf, rank: int) -> int:
    return nbytes(leaf.dtype, prod(leaf.form(rank).shape))


def _instances(leaf: Leaf) -> int:
    return prod(len(domain) for domain in leaf.domain)


def _is_expert(leaf: Leaf) -> bool:
    return leaf.param.style == "stacked" and any("expert" in dim for part in leaf.param.parts for dim in part.dims)


def expert_count(binding: Binding) -> int:
    """Routed experts of a layer; 0 where there are none."""
    return binding.axes.size("expert") if any(_is_expert(leaf) for leaf in binding.leaves) else 0


def cache(binding: Binding, tp: int) -> Cache:
    """What a rank keeps of a sequence."""
    cut = at(binding, tp)
    layers = len(cut.domains["layer"])
    window, having = windows(cut.config.fields, layers)
    full, short, state = 0, 0, 0
    for leaf in cut.leaves:
        if leaf.leaf != "weight":
            continue
        each = CACHE_BYTES * _kept(leaf)
        where = _layers(leaf)
        full += each * len([index for index in where if index not in having])
        short += each * len([index for index in where if index in having])
        state += CACHE_BYTES * _state(leaf) * len(where)
    latent = any(_latent(part) for leaf in cut.leaves for part in leaf.param.parts)
    return Cache(full, ((window, short),) if short else (), state, latent)


def copies(binding: Binding, tp: int) -> int:
    """How many ranks hold each KV head."""
    shared = [
        replicas(part.cut, leaf.axes.size(part.cut.axis), tp)
        for leaf in binding.leaves for part in leaf.parts if part.cut and part.cut.kind == "share"
    ]  # fmt: skip
    return max(shared, default=1)


def _layers(leaf: Leaf) -> list[int]:
    axes = leaf.pattern.axes
    return list(leaf.domain[axes.index("layer")]) if "layer" in axes else []


def _kept(leaf: Leaf) -> int:
    """Elements that this projection adds to the cache for one token."""
    return sum(_outputs(leaf, part, own) for part, own in _pairs(leaf) if part.name in ("k", "v") or _latent(part))


def _latent(part: Part) -> bool:
    return any("kv_a" in dim for dim in part.dims)


def _pairs(leaf: Leaf) -> Iterator[tuple[Part, AtomPart]]:
    return zip(leaf.param.parts, leaf.parts, strict=True)


def _outputs(leaf: Leaf, part: Part, own: AtomPart) -> int:
    """Rows of a part on a rank, those of replicated heads among them."""
    rooms = own.extents(leaf.axes, leaf.tp, 0)
    atoms = [atom for dim in part.dims[:-1] for atom in leaf.axes.atoms(dim)]
    return prod(rooms[atom].room for atom in atoms)


def _state(leaf: Leaf) -> int:
    """Elements that a state-space layer keeps: the last inputs of its convolution, and its state."""
    axes = leaf.axes
    if leaf.param.name.endswith(".conv1d"):
        return sum(_outputs(leaf, part, own) for part, own in _pairs(leaf)) * (axes.size("conv") - 1)
    if leaf.param.name.endswith(".A"):
        rooms = prod(extent.room for own in leaf.parts for extent in own.extents(axes, leaf.tp, 0).values())
        return rooms if "state" in leaf.parts[0].atoms else rooms * axes.size("mdim") * axes.size("state")
    return 0
