"""Which tensors together are one quantised weight; by leaf names, dtypes and shapes, without reading a value.

Leaves: GPTQ and AWQ as AutoGPTQ and AutoAWQ write them; FP8 as DeepSeek-V3 (`weight_scale_inv`) and compressed-tensors
(`weight_scale`); compressed-tensors' int8 and `pack-quantized`; bitsandbytes' int8 (`SCB`) and 4 bit
(`weight.quant_state.*`); MLX (`scales`, `biases`); gpt-oss' MXFP4 (`*_blocks`, `*_scales`); GGUF's blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from operator import attrgetter
from typing import Any, TypeAlias

from mappings.ggml import BLOCKS
from mappings.schemes import DECLARED_IN
from tracer.bulk import in_bulk
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diff.packed import layouts
from tracer.diff.weights import Scheme, Shape, Weight, plain

Members: TypeAlias = dict[str, TensorInfo]
Matched: TypeAlias = tuple[Scheme, tuple[int, ...] | None]

_BITSANDBYTES_4 = ("absmax", "quant_map", "nested_absmax", "nested_quant_map", "quant_state")
_MARKERS = frozenset(
    {"qweight", "weight_packed", "weight_scale_inv", "weight_scale", "scales", "SCB", "weight_blocks"}
)
_LEAVES = (
    "qweight", "weight_packed", "weight", "weight_blocks",  # first what is packed
    "qzeros", "scales", "biases", "g_idx", "weight_scale_inv", "weight_scale", "weight_zero_point", "weight_g_idx",
    "weight_shape", "weight_scale_2", "weight_global_scale", "input_scale", "input_global_scale", "SCB",
    "weight_format",
)  # fmt: skip
_RANKS = {leaf: rank for rank, leaf in enumerate(_LEAVES)}
_BESIDE = frozenset({"input_scale", "input_global_scale"})
"""Of activations: a module may have them or not, and the weight is the same."""
_NOTHING: Members = {}
_KEPT = attrgetter("dtype", "shape")

MATCHERS: Sequence[Callable[[Members, Mapping[str, Any]], Matched | None]] = (
    layouts.gptq_or_awq, layouts.mlx, layouts.compressed_integers, layouts.nvfp4, layouts.scaled_floats,
    layouts.scaled_integers, layouts.bitsandbytes_int8, layouts.bitsandbytes_4bit,
)  # fmt: skip


def weights(tensors: Sequence[TensorInfo], config: Mapping[str, Any] | None) -> dict[str, Weight]:
    """Every weight of a checkpoint by the name that it would have unquantised, in file order."""
    by_name = {info.name: info for info in tensors}
    marked = _marked(by_name)
    declared = _declared(config or {})
    if "group_size" not in declared:
        declared = declared | _mlx_group(marked, tensors, config or {})
    packed = _packed(marked, declared)
    if not packed:
        return _all_alone(by_name)
    weights: dict[str, Weight] = {}
    for info in tensors:
        weight = packed.get(info.name) or _alone(info)
        weights.setdefault(weight.name, weight)
    return weights


def _packed(marked: Mapping[str, Members], declared: Mapping[str, Any]) -> dict[str, Weight]:
    """The weights that several tensors are kept in, by the names of all of them."""
    known: dict[tuple[object, ...], tuple[str, str, Matched] | None] = {}
    found: list[tuple[str, Shape | None, str, Members, Scheme, Members]] = []
    for stem, members in marked.items():
        # Thousands of modules have the same leaves in the same shapes.
        key = (*members, *map(_KEPT, members.values()))
        if key not in known:
            known[key] = _match(members, declared)
        if (match := known[key]) is not None:
            leaf, dtype, (scheme, shape) = match
            own, beside = (members, {}) if _BESIDE.isdisjoint(members) else _apart(members)
            found.append((stem + leaf, shape, dtype, own, scheme, beside))
    weights = in_bulk(Weight, *zip(*found, strict=True)) if found else []
    return {info.name: weight for weight in weights for info in (*weight.members.values(), *weight.beside.values())}


def _apart(members: Members) -> tuple[Members, Members]:
    """What a weight is kept in, and what only lies beside it."""
    own = {leaf: info for leaf, info in members.items() if leaf not in _BESIDE}
    return own, {leaf: info for leaf, info in members.items() if leaf in _BESIDE}


def _all_alone(by_name: Mapping[str, TensorInfo]) -> dict[str, Weight]:
    infos = list(by_name.values())
    if any(info.dtype in BLOCKS for info in infos):
        return {info.name: _alone(info) for info in infos}
    kept = [{"": info} for info in infos]
    shapes, dtypes = (map(attrgetter(field), infos) for field in ("shape", "dtype"))
    weights = in_bulk(Weight, list(by_name), shapes, dtypes, kept, repeat(None), repeat(_NOTHING))
    return dict(zip(by_name, weights, strict=True))


def _declared(config: Mapping[str, Any]) -> dict[str, Any]:
    """What config.json says of its quantisation, wherever it says it."""
    for field in DECLARED_IN:
        if isinstance(config.get(field), dict):
            return dict(config[field])
    return {}


def _mlx_group(
    marked: Mapping[str, Members], tensors: Sequence[TensorInfo], config: Mapping[str, Any]
) -> dict[str, int]:  # fmt: skip
    """How many inputs share a scale in MLX' modules, by those as wide as the model; empty where none tells.

    Of a module alone only the product of bits and width is known; all modules of a checkpoint have groups of one size.
    """
    modules = [members for members in marked.values() if {"weight", "scales", "biases"} <= members.keys()]
    hidden = _hidden(tensors, config) if modules else None
    if hidden is None:
        return {}
    from tracer.infer.names import Group
    from tracer.infer.packing import unpacked

    found: Counter[int] = Counter()
    for shapes in {tuple((leaf, info.shape, info.dtype) for leaf, info in members.items()) for members in modules}:
        leaves = {leaf: Group(leaf, shapes=Counter([(shape, dtype)])) for leaf, shape, dtype in shapes}
        weight = unpacked(leaves, hidden)
        if weight.group and weight.shape and weight.shape[-1] == hidden:
            found[weight.group] += 1
    return {"group_size": found.most_common(1)[0][0]} if found else {}


def _hidden(tensors: Sequence[TensorInfo], config: Mapping[str, Any]) -> int | None:
    """The width of the model: by config.json, else by its norms, which nobody quantises."""
    text = config.get("text_config")
    for fields in (config, text if isinstance(text, dict) else {}):
        if type(fields.get("hidden_size")) is int:
            return int(fields["hidden_size"])
    widths = Counter(info.shape[0] for info in tensors if len(info.shape) == 1 and "norm" in info.name)
    return widths.most_common(1)[0][0] if widths else None


def _alone(info: TensorInfo) -> Weight:
    """A tensor that is a weight by itself; GGUF's blocks carry their own scales."""
    if info.dtype in BLOCKS:
        size = info.nbytes * 8 / max(1, _product(info.shape))
        scheme = Scheme(f"GGUF {info.dtype}", round(size))
        return Weight(info.name, info.shape, info.dtype, {"weight": info}, scheme)
    return plain(info)


def _product(shape: Sequence[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def _marked(by_name: Mapping[str, TensorInfo]) -> dict[str, Members]:
    """The tensors of each module that has a leaf which only quantised modules have."""
    stems: dict[str, Members] = {}
    modules: dict[str, Members] = {}
    for name, info in by_name.items():
        stem, _, leaf = name.rpartition(".")
        if leaf in _RANKS:
            own = modules.get(stem)
            if own is None:
                own = modules[stem] = {}
            own[leaf] = info
        if leaf in _MARKERS:
            stems.setdefault(stem, {})
        elif ".weight." in name:
            stem, _, rest = name.partition(".weight.")
            if rest.partition(".")[0] in _BITSANDBYTES_4:
                stems.setdefault(stem, {})[f"weight.{rest}"] = info
        elif leaf.endswith("_blocks") and f"{name[:-7]}_scales" in by_name:
            stems[name[:-7]] = {"blocks": info, "scales": by_name[f"{name[:-7]}_scales"]}
    for stem, members in stems.items():
        if "blocks" not in members:
            own = modules.get(stem, {})
            held = tuple(own)
            ordered = _ordered(held)
            stems[stem] = own if ordered == held and not members else {leaf: own[leaf] for leaf in ordered} | members
    return stems


@lru_cache(maxsize=1024)
def _ordered(leaves: tuple[str, ...]) -> tuple[str, ...]:
    """As in `_LEAVES`: remembered, as thousands of modules have the same ones."""
    return tuple(sorted(leaves, key=_RANKS.__getitem__))


def _match(members: Members, declared: Mapping[str, Any]) -> tuple[str, str, Matched] | None:
    """The leaf that the weight would be called by, the dtype of what is packed, and its scheme."""
    if "blocks" in members:
        matched = layouts.mxfp4(members)
        return ("", members["blocks"].dtype, matched) if matched else None
    main = next((leaf for leaf in _LEAVES[:3] if leaf in members), None)
    if main is None:
        return None
    for matcher in MATCHERS:
        matched = matcher(members, declared)
        if matched:
            return ".weight", members[main].dtype, matched
    return None
