"""Whether the numbers of a tensor are those of a weight, or codes and shares of one in a quantised module."""

from __future__ import annotations

from collections.abc import Iterable

from tracer.checkpoint.tensor_info import TensorInfo
from tracer.infer.packing import scheme_of

_PACKED = ("qweight", "qzeros", "weight_packed", "weight", "blocks")
_SCALES = ("weight_scale_inv", "weight_scale", "SCB")
"""What a weight of eight bits is multiplied by."""


def codes(info: TensorInfo, tensors: Iterable[TensorInfo]) -> str:
    """What they are instead, told by the other tensors of the module; empty where they are the weight's own."""
    # Stacked experts have no module each: the leaf is the end of a name.
    between = "_" if info.name.endswith("_blocks") else "."
    module, _, leaf = info.name.rpartition(between)
    start = f"{module}{between}"
    leaves = {other.name.removeprefix(start): None for other in tensors if other.name.startswith(start)}
    scheme, scale = scheme_of(leaves), next((each for each in _SCALES if each in leaves), "")
    if leaf not in _PACKED or not scheme:
        return ""
    if info.dtype == "I8" or info.dtype.startswith("F8"):
        return f"before scaling: the weights are these times {scale}" if scale and leaf == "weight" else ""
    packed = info.dtype.startswith(("I", "U"))
    return f"packed, not the weights: codes of {scheme.replace('|', ' or ')}" if packed else ""
