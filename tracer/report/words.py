"""Numbers and shapes in the words of the field."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from mappings.axes import PART

if TYPE_CHECKING:
    from mappings.bind import Leaf
    from mappings.forms import AtomPart
    from mappings.views import Ranges, Shape
    from tracer.report.paths import Hop, Side

EXPERT = -1
"""Stands for the tensor's own expert in a folded range."""
HEADS = {"head": "query heads", "kv": "KV heads"}


def count(number: int) -> str:
    """`8.03 B`, `291`."""
    for limit, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M")):
        if number >= limit:
            return f"{number / limit:.2f} {unit}"
    return f"{number:,}"


def size(nbytes: int) -> str:
    """`16.06 GB` (decimal)."""
    for limit, unit in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if nbytes >= limit:
            return f"{nbytes / limit:.2f} {unit}"
    return f"{nbytes} bytes"


def shape(extents: Shape) -> str:
    """`(6144, 4096)`, `(4096)`."""
    return f"({', '.join(map(str, extents))})"


def composition(leaf: Leaf) -> str:
    """What lies side by side in a fused parameter: `32 query heads + 2 x 8 KV heads`; empty where nothing does."""
    if len(leaf.parts) < 2:
        return ""
    described = [_part(leaf, part) for part in leaf.parts]
    return " + ".join(f"{n} x {text}" if (n := len(list(same))) > 1 else text for text, same in groupby(described))


def _part(leaf: Leaf, part: AtomPart) -> str:
    cut = part.cut.axis if part.cut else ""
    if leaf.leaf in ("weight", "bias") and cut in ("head", "kv") and "kv" in leaf.axes.sizes:
        return f"{leaf.axes.size(cut)} {HEADS[cut]}"
    if cut == "head":
        return f"{leaf.axes.size('head')} heads"
    mentioned = {axis for dim in leaf.layout for axis in dim}
    own = [atom for atom in part.atoms if atom not in mentioned or (PART in mentioned and atom == cut)]
    elements = 1
    for atom in own:
        elements *= leaf.axes.size(atom)
    return f"{elements}"


def hop(found: Hop, src_shape: Shape, dst_shape: Shape) -> str:
    """`[2048:4096] -> [0:2048]`; `all` where both sides are whole."""
    return " -> ".join(sides(found, src_shape, dst_shape))


def sides(found: Hop, src_shape: Shape, dst_shape: Shape) -> tuple[str, str]:
    """What is read, and where it lands."""
    turned = " transposed" if found.perm else ""
    return f"{side(found.src, src_shape)}{turned}", side(found.dst, dst_shape)


def side(ranges: Side, shape: Shape) -> str:
    """The blocks of one side: one spelled out, several as the first and their number, whole dimensions as `:`."""
    merged = _merged(ranges)
    if merged is not None:
        return _box(merged, shape)
    first = _box(ranges[0], shape)
    step = _step(ranges)
    return f"{first} x{len(ranges)} every {step}" if step else f"{first} .. {_box(ranges[-1], shape)} x{len(ranges)}"


def _moving(ranges: Side) -> int | None:
    """The one dimension in which the blocks differ."""
    dims = [dim for dim, column in enumerate(zip(*ranges, strict=True)) if len(set(column)) > 1]
    return dims[0] if len(dims) == 1 else None


def _merged(ranges: Side) -> Ranges | None:
    """The one block that all of them are together, if they follow each other."""
    if len(ranges) == 1:
        return ranges[0]
    dim = _moving(ranges)
    if dim is None or any(r[dim][2] != 1 for r in ranges) or any(a[dim][1] != b[dim][0] for a, b in pairwise(ranges)):
        return None
    return (*ranges[0][:dim], (ranges[0][dim][0], ranges[-1][dim][1], 1), *ranges[0][dim + 1 :])


def _step(ranges: Side) -> int | None:
    """The distance from each block to the next, if it is always the same."""
    dim = _moving(ranges)
    if dim is None:
        return None
    steps = {b[dim][0] - a[dim][0] for a, b in pairwise(ranges)}
    return steps.pop() if len(steps) == 1 else None


def _box(ranges: Ranges, shape: Shape) -> str:
    texts = [_range(r, shape[i] if i < len(shape) else None) for i, r in enumerate(ranges)]
    while len(texts) > 1 and texts[-1] == ":":
        texts.pop()
    return "all" if texts in ([":"], []) else f"[{', '.join(texts)}]"


def _range(r: tuple[int, int, int], extent: int | None) -> str:
    if r[0] == EXPERT:
        return "expert"
    if extent is not None and r == (0, extent, 1):
        return ":"
    return f"{r[0]}:{r[1]}" + (f":{r[2]}" if r[2] > 1 else "")


def plural(number: int, noun: str) -> str:
    """`1 tensor`, `2,710 tensors`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
