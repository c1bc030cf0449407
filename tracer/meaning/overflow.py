"""value.overflow: numbers that the serving dtype cannot hold, counted over every number that has to be cast to it.

The only test of meaning that reads whole tensors: one number in a billion is enough. What it serves in is what was
asked for, or else what config.json says. Weights that fit say nothing of activations, which may grow beyond float16
all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mappings.findings import in_order
from tracer.checkpoint.dtypes import from_config
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.checks import Check
from tracer.infer.canonical import text_config
from tracer.meaning.material import Material
from tracer.meaning.meant import Meant, fine, not_checked
from tracer.report.words import plural
from tracer.values.casting import overflow
from tracer.values.scanning import scan

NAME = "overflow"
_HELD: Mapping[str, tuple[str, ...]] = {
    "F16": ("F16",), "BF16": ("BF16",), "F32": ("F32", "F16", "BF16"), "F64": ("F64", "F32", "F16", "BF16"),
}  # fmt: skip
"""Dtypes of which every number is one of the target; of those of 8 bits none of 16 or more is."""
_FLOATS = ("F64", "F32", "F16", "BF16")
_REACHING = ("F64", "F32", "BF16")
"""Those with the exponents of float32."""


def examine(material: Material) -> Meant:
    target = material.serve or _target(material.config)
    if target is None:
        return not_checked(NAME, "config.json does not say in which dtype the model is served")
    cast = [tensor for tensor in material.checkpoint.tensors if _loses(tensor, target)]
    left = _left(material, target)
    if not cast:
        return fine(NAME, f"no number has to be cast to {target} that it does not hold", left)
    told = f"weights of {plural(len(cast), 'tensor')} cast to {target}; activations are nowhere to be read"
    found = in_order(overflow(list(scan(replace(material.checkpoint, tensors=cast), target=target)), target))
    return Meant(Check(NAME, told, tuple(found), left))


def _left(material: Material, target: str) -> str:
    """What is not here; and what is no plain number, where the target reaches less far than what scales are kept in."""
    checkpoint = material.checkpoint
    absent = len(checkpoint.names) - len(checkpoint.tensors)
    packed = 0 if target in _REACHING else sum(tensor.dtype not in _FLOATS for tensor in checkpoint.tensors)
    reasons = [
        f"{plural(absent, 'tensor')} in files that are not here" if absent > 0 else "",
        f"what {plural(packed, 'tensor')} of other types than floats come to is not computed" if packed else "",
    ]
    return "; ".join(filter(None, reasons))


def _target(config: Mapping[str, Any]) -> str | None:
    text = text_config(config)
    named = text.get("dtype") or text.get("torch_dtype")
    target = from_config(named) if isinstance(named, str) else None
    return target if target in _HELD else None


def _loses(tensor: TensorInfo, target: str) -> bool:
    return tensor.dtype in _FLOATS and tensor.dtype not in _HELD.get(target, ())
