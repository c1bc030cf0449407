"""Weights that are not as large in every layer: of layers with the same modules these tell which differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from mappings.names import HOLE
from tracer.infer import logical
from tracer.infer.names import Group, Shape, Structure
from tracer.infer.packing import scheme_of

_AS_STORED = ("", "fp8")
"""Schemes that leave a weight its shape; of others the shape tells bits as well as widths."""
_WEIGHTS = ("weight", "")

ShapeOf = Callable[[str], Shape | None]


class Width(NamedTuple):
    """What one layer has of such a weight."""

    module: str
    role: str
    shapes: tuple[Shape, ...]
    """Several where the layer has the module more than once, as experts."""


def widths(names: Structure, shape_of: ShapeOf) -> dict[int, tuple[Width, ...]]:
    """Layer -> its own, in the order of the names; headers are asked for nothing that all layers have alike."""
    found: dict[int, list[Width]] = {}
    for group in _uneven(names):
        of_layer: dict[int, set[Shape]] = {}
        for indices in group.indices:
            shape = shape_of(_filled(group.template, indices))
            if shape is not None:
                of_layer.setdefault(indices[0], set()).add(shape)
        for layer, shapes in of_layer.items():
            found.setdefault(layer, []).append(Width(group.module, group.role, tuple(sorted(shapes))))
    return {layer: tuple(own) for layer, own in found.items()}


def _uneven(names: Structure) -> Iterator[Group]:
    for (stack, _), leaves in logical.modules([*names.groups, *names.strange]).items():
        if stack and stack == names.stack and scheme_of(leaves) in _AS_STORED:
            for group in (leaves[leaf] for leaf in _WEIGHTS if leaf in leaves):
                if len({shape for shape, _ in group.shapes}) > 1:
                    yield group


def _filled(template: str, indices: tuple[int, ...]) -> str:
    numbers = iter(indices)
    return ".".join(str(next(numbers)) if part == HOLE else part for part in template.split("."))


def mlp_width(own: Sequence[Width], hidden: int) -> int | None:
    """The one extent of the weights of an MLP that is not the hidden size; None where they have not just one."""
    found = set()
    for width in own:
        halves = 2 if width.role == "gate_up" else 1
        found |= {extent // halves for shape in width.shapes for extent in shape if extent != hidden}
    return found.pop() if len(found) == 1 else None


def attention_fits(width: Width, hidden: int, heads: int, kv: int, dim: int) -> bool:
    """Whether a weight of attention has so many heads as the model is said to have."""
    extent = {"q": heads * dim, "out": heads * dim, "qkv": (heads + 2 * kv) * dim}.get(width.role, kv * dim)
    return all(sorted(shape) == sorted((extent, hidden)) for shape in width.shapes)
