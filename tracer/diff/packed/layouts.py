"""Schemes by their leaves: bits, groups and the shape of the weight, from shapes and what config.json declares.

Each matcher gets the tensors of one module by leaf and gives the scheme and the shape (out, in) of its weight, or None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diff.weights import Scheme

Members: TypeAlias = Mapping[str, TensorInfo]
Matched: TypeAlias = tuple[Scheme, tuple[int, ...] | None]
_FP8 = {"F8_E4M3": "FP8", "F8_E5M2": "FP8 (E5M2)", "F8_E4M3FNUZ": "FP8 (FNUZ)", "F8_E5M2FNUZ": "FP8 (E5M2, FNUZ)"}
_WORD = 32
"""Bits of the integers that are packed into."""


def gptq_or_awq(members: Members, declared: Mapping[str, Any]) -> Matched | None:
    """qweight (in / pack, out) for GPTQ, (in, out / pack) for AWQ; scales (groups, out) tell which."""
    packed, scales, zeros = members.get("qweight"), members.get("scales"), members.get("qzeros")
    if packed is None or scales is None or len(packed.shape) != 2 or len(scales.shape) != 2:
        return None
    out = scales.shape[1]
    if packed.shape[1] == out:
        return _gptq(members, declared, packed, scales, zeros)
    pack = out // packed.shape[1] if packed.shape[1] and out % packed.shape[1] == 0 else 0
    if pack != 8:
        return None
    group = _group(packed.shape[0], scales.shape[0])
    return Scheme("AWQ", 4, group, {"pack": pack}), (out, packed.shape[0])


def _gptq(
    members: Members, declared: Mapping[str, Any], packed: TensorInfo, scales: TensorInfo, zeros: TensorInfo | None
) -> Matched | None:  # fmt: skip
    out, order = scales.shape[1], members.get("g_idx")
    bits = declared.get("bits") if isinstance(declared.get("bits"), int) else None
    if zeros is not None and len(zeros.shape) == 2 and out and zeros.shape[1] * _WORD % out == 0:
        bits = zeros.shape[1] * _WORD // out
    elif order is not None and order.shape and order.shape[0]:
        bits = packed.shape[0] * _WORD // order.shape[0]
    if bits not in (2, 3, 4, 8):
        return None
    inner = packed.shape[0] * _WORD // bits
    second = declared.get("checkpoint_format") == "gptq_v2"
    settings = {"bits": bits, "zero_offset": 0 if second else 1}
    group = _group(inner, scales.shape[0]) + (", version 2" if second else "")
    return Scheme("GPTQ", bits, group, settings), (out, inner)


def mlx(members: Members, declared: Mapping[str, Any]) -> Matched | None:
    """weight U32 (out, in * bits / 32), scales and biases (out, groups)."""
    packed, scales, biases = members.get("weight"), members.get("scales"), members.get("biases")
    if packed is None or scales is None or biases is None or packed.dtype != "U32" or scales.shape != biases.shape:
        return None
    if not packed.shape or not scales.shape:
        return None
    size = declared.get("group_size", 64)
    inner = scales.shape[-1] * size if isinstance(size, int) else 0
    if inner < 1 or packed.shape[-1] * _WORD % inner:
        return None
    bits = packed.shape[-1] * _WORD // inner
    if bits not in (2, 3, 4, 5, 6, 8):
        return None
    return Scheme("MLX", bits, f"group {size}", {"bits": bits}), (*packed.shape[:-1], inner)


def compressed_integers(members: Members, declared: Mapping[str, Any]) -> Matched | None:
    """compressed-tensors' pack-quantized: weight_packed I32 (out, in / pack), weight_scale (out, groups)."""
    packed, scales = members.get("weight_packed"), members.get("weight_scale")
    if packed is None or scales is None or packed.dtype != "I32" or len(packed.shape) != 2 or len(scales.shape) != 2:
        return None
    bits = _declared_bits(declared) or 4
    if bits not in (4, 8):
        return None
    inner = packed.shape[-1] * (_WORD // bits)
    settings = {"bits": bits}
    unread = "its columns are reordered (weight_g_idx)" if "weight_g_idx" in members else ""
    name = "compressed-tensors"
    return Scheme(name, bits, _group(inner, scales.shape[1]), settings, unread), (packed.shape[0], inner)


def _declared_bits(declared: Mapping[str, Any]) -> int | None:
    groups = declared.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        if isinstance(weights, dict) and isinstance(weights.get("num_bits"), int):
            return int(weights["num_bits"])
    return None


def nvfp4(members: Members, declared: Mapping[str, Any]) -> Matched | None:
    """Two E2M1 numbers a byte, a scale in E4M3 for each 16 of them, and one in F32 for the tensor."""
    packed = members.get("weight_packed") or members.get("weight")
    scales = members.get("weight_scale")
    if packed is None or scales is None or packed.dtype != "U8" or scales.dtype != "F8_E4M3":
        return None
    inner = packed.shape[-1] * 2 if packed.shape else 0
    if not inner or not scales.shape or scales.shape[-1] * 16 != inner:
        return None
    return Scheme("NVFP4", 4, "group 16"), (*packed.shape[:-1], inner)


def scaled_floats(members: Members, declared: Mapping[str, Any]) -> Matched | None:
    """weight in FP8, multiplied by a scale for the tensor, a row, or a block."""
    weight = members.get("weight")
    scales = members.get("weight_scale_inv") or members.get("weight_scale")
    if weight is None or scales is None or weight.dtype not in _FP8:
        return None
    grid = _grid(weight.shape, scales.shape, declared.get("weight_block_size"))
    if grid is None:
        return None
    return Scheme(_FP8[weight.dtype], 8, grid[0], {"block": grid[1]}), weight.shape


def scaled_integers(members: Members, declared: Mapping[str, Any]) -> Matched | None:
    """compressed-tensors' int-quantized: weight I8 (out, in), weight_scale for the tensor or each row."""
    weight, scales = members.get("weight"), members.get("weight_scale")
    if weight is None or scales is None or weight.dtype != "I8":
        return None
    grid = _grid(weight.shape, scales.shape, None)
    return None if grid is None else (Scheme("INT8", 8, grid[0], {"block": grid[1]}), weight.shape)


def _grid(
    shape: tuple[int, ...], scales: tuple[int, ...], declared: object
) -> tuple[str, tuple[int, int]] | None:  # fmt: skip
    """What shares a scale, in words and as (rows, columns)."""
    if not shape or 0 in shape or 0 in scales:
        return None
    out, inner = (shape[-2] if len(shape) > 1 else 1), shape[-1]
    count = 1
    for size in scales:
        count *= size
    if count == 1:
        return "one scale", (out, inner)
    rows = scales[-2] if len(scales) > 1 else scales[0]
    columns = scales[-1] if len(scales) > 1 else 1
    if (rows, columns) == (out, 1):
        return "one scale a row", (1, inner)
    given = declared if isinstance(declared, list) and len(declared) == 2 else [None, None]
    block = _extent(out, rows, given[0]), _extent(inner, columns, given[1])
    if None in block or len(scales) != 2 or len(shape) != 2:
        return None
    return f"{block[0]} x {block[1]} blocks", (block[0] or 1, block[1] or 1)


def _extent(size: int, blocks: int, declared: object) -> int | None:
    """Elements of a block along one dimension; the last may be cut short."""
    for extent in (declared, 128, 64, 32, 256, -(-size // blocks)):
        if isinstance(extent, int) and extent > 0 and -(-size // extent) == blocks:
            return extent
    return None


def bitsandbytes_int8(members: Members, declared: Mapping[str, Any]) -> Matched | None:
    """weight I8 (out, in), SCB F32 (out): the largest magnitude of each row."""
    weight, scales = members.get("weight"), members.get("SCB")
    if weight is None or scales is None or weight.dtype != "I8" or weight.shape[:1] != scales.shape:
        return None
    return Scheme("bitsandbytes int8", 8, "one scale a row"), weight.shape


def bitsandbytes_4bit(members: Members, declared: Mapping[str, Any]) -> Matched | None:
    """weight U8 (elements / 2, 1), with absmax, quant_map and a JSON of its shape as bytes."""
    weight = members.get("weight")
    state = next((leaf for leaf in members if leaf.startswith("weight.quant_state.")), None)
    if weight is None or state is None or "weight.absmax" not in members or weight.dtype != "U8":
        return None
    kind = "NF4" if state.endswith("nf4") else "FP4"
    nested = ", nested" if "weight.nested_absmax" in members else ""
    return Scheme(f"bitsandbytes {kind}", 4, f"blocks{nested}", {"state": state}), None


def mxfp4(members: Members) -> Matched | None:
    """blocks U8 (..., in / 32, 16), scales U8 (..., in / 32) of powers of two (OCP microscaling formats)."""
    blocks, scales = members["blocks"], members["scales"]
    if len(blocks.shape) < 2 or blocks.shape[:-1] != scales.shape or blocks.shape[-1:] != (16,) or blocks.dtype != "U8":
        return None
    return Scheme("MXFP4", 4, "group 32"), (*blocks.shape[:-2], blocks.shape[-2] * 32)


def _group(inner: int, groups: int) -> str:
    """`group 128`; `one scale a row` where there is one group."""
    if groups <= 1:
        return "one scale a row"
    return f"group {-(-inner // groups)}"
