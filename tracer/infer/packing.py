"""Quantised modules: what they would be unpacked, in which scheme, with how many bits and in groups of what.

Layouts: AutoGPTQ and GPTQModel (`qweight` in/pack x out), AutoAWQ (`qweight` in x out/pack), bitsandbytes (4-bit: flat
bytes with `absmax`; 8-bit: `SCB`), the FP8 checkpoints of DeepSeek-V3 (`weight_scale_inv` by blocks),
compressed-tensors (`weight_packed`), ModelOpt's NVFP4 and BitNet (bytes beside `weight_scale`), MLX (`scales` and
`biases` beside a packed `weight`), MXFP4 (gpt-oss).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from tracer.checkpoint.dtypes import BITS
from tracer.infer.names import Group, Shape

_WORD = 32
"""Bits of the integers that GPTQ, AWQ and MLX pack into."""
Leaves = Mapping[str, Group]
_LEAST_DIMS: Mapping[str, int] = {
    "qweight": 2, "qzeros": 2, "g_idx": 1, "weight_packed": 2, "scales": 1, "weight.absmax": 1,
}  # fmt: skip
"""Dimensions without which a leaf is none of its scheme."""
_FROM_HIDDEN = (
    "q", "k", "v", "qkv", "q_a", "kv_a", "gate", "up", "gate_up", "expert_gate", "expert_up", "shared_gate",
    "shared_up", "shared_gate_up",
)  # fmt: skip
_TO_HIDDEN = ("out", "down", "expert_down", "shared_down", "shared_out")
_EITHER_WAY = ("c_attn", "c_proj", "c_fc")
"""GPT-2 stores these with the inputs first, others that took over its names do not."""


class Unpacked(NamedTuple):
    """A module's weight as it was before."""

    shape: Shape | None
    """(out, in), a stack of experts in front; None where only the number of elements is known."""
    scheme: str = ""
    """As `quant_method` of a config spells it; empty where the weight is stored as it is."""
    bits: int | None = None
    group: int | None = None
    """Input channels that share a scale; -1 for all."""
    block: tuple[int, int] | None = None
    evidence: str = ""


def scheme_of(leaves: Mapping[str, object]) -> str:
    """The scheme, by the names of a module's leaves."""
    if "qweight" in leaves:
        return "gptq" if "g_idx" in leaves else "gptq|awq"
    if "weight_packed" in leaves:
        return "compressed-tensors"
    if "SCB" in leaves or any(leaf.startswith("weight.quant_state") for leaf in leaves):
        return "bitsandbytes"
    if "weight_scale_inv" in leaves:
        return "fp8"
    if "blocks" in leaves:
        return "mxfp4"
    if {"scales", "biases"} <= set(leaves):
        return "mlx"
    return "compressed-tensors" if "weight_scale" in leaves else ""


def unpacked(leaves: Leaves, hidden: int | None = None) -> Unpacked:
    """One module's weight. `hidden` settles what MLX leaves open: width and bits are only known as a product."""
    shapes = {leaf: group.shape for leaf, group in leaves.items() if group.shape is not None}
    scheme = scheme_of(leaves)
    if any(len(shape) < _LEAST_DIMS.get(leaf, 0) or 0 in shape for leaf, shape in shapes.items()):
        return Unpacked(None, scheme.split("|", maxsplit=1)[0])
    if scheme.startswith("gptq") and "qweight" in shapes:
        return _words(shapes)
    if scheme == "mlx" and {"weight", "scales"} <= set(shapes) and shapes["weight"]:
        return _mlx(shapes["weight"], shapes["scales"], hidden)
    if scheme == "bitsandbytes":
        return _bitsandbytes(leaves, shapes, hidden)
    if scheme == "compressed-tensors" and "weight_packed" in shapes:
        return _compressed(shapes, hidden)
    if scheme == "mxfp4" and "blocks" in shapes and len(shapes["blocks"]) == 4:
        experts, out, groups, half = shapes["blocks"]
        return Unpacked((experts, out, 2 * groups * half), scheme, 4, 2 * half, None, f"blocks {shapes['blocks']}")
    if "weight" not in shapes:
        return Unpacked(shapes.get(""), scheme)
    return _scaled(shapes, scheme, leaves)


def _words(shapes: Mapping[str, Shape]) -> Unpacked:
    """GPTQ packs along the input, AWQ along the output; which it is, the scales tell: (groups, out)."""
    scales = shapes.get("scales")
    if scales is None or len(scales) != 2 or len(shapes["qweight"]) != 2:
        return Unpacked(None, "gptq")
    rows, columns = shapes["qweight"]
    groups, out = scales
    if columns != out:
        bits = _WORD * columns // out
        told = f"qweight ({rows}, {columns}) packs along scales ({groups}, {out})"
        return Unpacked((out, rows), "awq", bits, rows // groups, None, told)
    zeros = shapes.get("qzeros", (0, 0))
    index = shapes.get("g_idx")
    bits = _WORD * rows // index[0] if index else _WORD * zeros[1] // out if out else 0
    if not bits:
        return Unpacked(None, "gptq")
    inner = index[0] if index else _WORD * rows // bits
    told = f"qweight ({rows}, {columns}) of {inner} inputs, scales ({groups}, {out})"
    return Unpacked((out, inner), "gptq", bits, -1 if groups == 1 else inner // groups, None, told)


def _mlx(weight: Shape, scales: Shape, hidden: int | None) -> Unpacked:
    """`weight` has in * bits / 32 columns, `scales` in / group: of the pairs that fit, the one whose width is known."""
    ways = [
        (bits, group) for group in (64, 32, 128, 16) for bits in (4, 8, 6, 3, 5, 2)
        if scales[-1] * group * bits == _WORD * weight[-1]
    ]  # fmt: skip
    known = [way for way in ways if scales[-1] * way[1] == hidden] or ways
    if not known:
        return Unpacked(None, "mlx")
    bits, group = known[0]
    told = f"weight {weight} beside scales {scales}: {bits} bits in groups of {group}"
    return Unpacked((*weight[:-1], scales[-1] * group), "mlx", bits, group, None, told)


def _bitsandbytes(leaves: Leaves, shapes: Mapping[str, Shape], hidden: int | None) -> Unpacked:
    weight, absmax = shapes.get("weight"), shapes.get("weight.absmax")
    if "SCB" in leaves:
        return Unpacked(weight, "bitsandbytes", 8, None, None, f"SCB beside weight {weight}")
    if weight is None:
        return Unpacked(None, "bitsandbytes", 4)
    codes = prod(weight) * BITS.get(leaves["weight"].dtype or "", 8) // 4
    group = codes // absmax[0] if absmax and absmax[0] else None
    kind = next((leaf.rpartition("__")[2] for leaf in leaves if leaf.startswith("weight.quant_state")), "4-bit")
    told = f"{kind}: weight {weight}, absmax {absmax}"
    return Unpacked(_unflattened(leaves["weight"], codes, hidden), "bitsandbytes", 4, group, None, told)


def _unflattened(weight: Group, codes: int, hidden: int | None) -> Shape | None:
    """Flat codes of a matrix whose outputs or inputs are the hidden size, by what it is for; the values of its
    `quant_state` have the shape too, no header has it.
    """  # fmt: skip
    if not hidden or codes % hidden or weight.module.rpartition(".")[2] in _EITHER_WAY:
        return None
    if weight.role in _TO_HIDDEN:
        return hidden, codes // hidden
    return (codes // hidden, hidden) if weight.role in _FROM_HIDDEN else None


def _compressed(shapes: Mapping[str, Shape], hidden: int | None) -> Unpacked:
    rows, columns = shapes["weight_packed"][-2:]
    scale = shapes.get("weight_scale") or (rows, 1)
    ways = [bits for bits in (4, 8, 2) if _WORD * columns // bits == hidden] or [4, 8]
    inner = _WORD * columns // ways[0]
    group = -1 if scale[-1] == 1 else inner // scale[-1]
    told = f"weight_packed {shapes['weight_packed']}, weight_scale {scale}"
    return Unpacked((rows, inner), "compressed-tensors", ways[0], group, None, told)


def _scaled(shapes: Mapping[str, Shape], scheme: str, leaves: Leaves) -> Unpacked:
    """A weight that keeps its shape: FP8 and the like; of bytes, what they hold."""
    weight = shapes["weight"]
    if scheme and {dtype for _, dtype in leaves["weight"].shapes} == {"U8"}:
        return _bytes(shapes, scheme)
    scale = shapes.get("weight_scale_inv") or shapes.get("weight_scale")
    if scheme == "fp8" and scale is not None and len(scale) == len(weight) == 2:
        block = tuple(_block(extent, count) for extent, count in zip(weight, scale, strict=True))
        told = f"weight_scale_inv {scale} beside weight {weight}"
        return Unpacked(weight, scheme, 8, None, (block[0], block[1]), told)
    told = f"weight_scale {scale}" if scheme and "weight_scale" in leaves else ""
    return Unpacked(weight, scheme, 8 if scheme else None, None, None, told)


def _bytes(shapes: Mapping[str, Shape], scheme: str) -> Unpacked:
    """NVFP4 (ModelOpt): two codes a byte along the inputs, a scale for some of them, and one for all; BitNet as
    Transformers packs it: four ternary values a byte along the outputs, one scale."""
    weight, scale = shapes["weight"], shapes.get("weight_scale", ())
    told = f"weight {weight} in bytes beside weight_scale {scale}"
    if not weight:
        return Unpacked(None, scheme)
    if "weight_scale_2" in shapes and scale and scale[-1]:
        inner = 2 * weight[-1]
        return Unpacked((*weight[:-1], inner), "modelopt", 4, inner // scale[-1], None, told)
    if prod(scale) == 1:
        return Unpacked((4 * weight[0], *weight[1:]), "bitnet", 2, None, None, told)
    return Unpacked(None, scheme)


def _block(extent: int, count: int) -> int:
    """The usual power of two that cuts so many blocks; the last one may be partial."""
    exact = -(-extent // count)
    power = 1 << max(0, (exact - 1).bit_length())
    return power if -(-extent // power) == count else exact
