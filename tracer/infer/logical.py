"""Shapes of weights as they were before any quantisation, and the scheme of the whole."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from tracer.infer.names import Group, Shape, Structure
from tracer.infer.packing import scheme_of, unpacked

PLAIN = ("weight", "bias", "", "gamma", "beta")
_CODES = ("qweight", "weight_packed", "weight")
"""Leaves of which the others only say how they are meant."""


def modules(groups: Iterable[Group]) -> dict[tuple[str, str], dict[str, Group]]:
    """The place of a module -> its leaves."""
    found: dict[tuple[str, str], dict[str, Group]] = defaultdict(dict)
    for group in groups:
        found[group.place][group.leaf] = group
    return found


def shapes(names: Structure, hidden: int | None) -> Iterator[tuple[Group, Shape]]:
    """Each weight and bias with the shape that it would have unpacked, as far as it is known."""
    for leaves in modules(names.groups).values():
        if not scheme_of(leaves):
            yield from ((g, g.shape) for leaf, g in leaves.items() if leaf in PLAIN and g.shape is not None)
            continue
        weight = unpacked(leaves, hidden)
        first = next((leaves[leaf] for leaf in _CODES if leaf in leaves), next(iter(leaves.values())))
        if weight.shape is not None:
            yield (
                Group(first.template, first.indices, first.shapes, first.stack, first.module, "weight", first.role),
                (weight.shape),
            )
        if "bias" in leaves and leaves["bias"].shape is not None:
            yield leaves["bias"], leaves["bias"].shape


def narrow(names: Structure) -> int | None:
    """The hidden size, as vectors tell it: norms are never quantised."""
    widths = Counter(g.shape[0] for g in names.of("norm", "weight") if g.shape and len(g.shape) == 1)
    return widths.most_common(1)[0][0] if widths else None


def quantisation(names: Structure, hidden: int | None) -> tuple[dict[str, Any], str]:
    """`quantization_config`, and what says so; empty where nothing is quantised."""
    found: Counter[tuple[str, int | None, int | None, tuple[int, int] | None]] = Counter()
    told: dict[str, str] = {}
    for leaves in modules(names.groups).values():
        if not scheme_of(leaves):
            continue
        weight = unpacked(leaves, hidden)
        found[weight.scheme, weight.bits, weight.group, weight.block] += len(next(iter(leaves.values())).indices)
        told.setdefault(weight.scheme, weight.evidence or f"leaves {', '.join(sorted(leaves))}")
    if not found:
        return {}, ""
    scheme, bits, group, block = found.most_common(1)[0][0]
    return _config(scheme, bits, group, block), f"{told[scheme]} ({sum(found.values())} modules)"


def _config(
    scheme: str, bits: int | None, group: int | None, block: tuple[int, int] | None
) -> dict[str, Any]:  # fmt: skip
    if scheme == "mlx":
        return {"mode": "affine"} | {key: value for key, value in (("bits", bits), ("group_size", group)) if value}
    found: dict[str, Any] = {"quant_method": scheme.split("|", maxsplit=1)[0]}
    if scheme == "bitsandbytes":
        return found | {"load_in_4bit": bits == 4, "load_in_8bit": bits == 8}
    if scheme == "fp8":
        return found | ({"weight_block_size": list(block)} if block else {})
    if bits and scheme != "mxfp4":
        found["bits"] = bits
    return found | ({"group_size": group} if group and scheme != "mxfp4" else {})


def gptq(bits: int, group: int) -> dict[str, Any]:
    """`quantization_config` of GPTQ; a group of -1 is the whole width."""
    return _config("gptq", bits, group, None)


def dtype_of(names: Structure) -> str | None:
    """Of most bytes among what is not quantised, in safetensors' spelling."""
    weight: Counter[str] = Counter()
    for leaves in modules(names.groups).values():
        if not scheme_of(leaves):
            for leaf, group in leaves.items():
                if leaf in PLAIN:
                    for (shape, dtype), count in group.shapes.items():
                        weight[dtype] += count * _elements(shape)
    return weight.most_common(1)[0][0] if weight else None


def _elements(shape: Shape) -> int:
    total = 1
    for extent in shape:
        total *= extent
    return total
