"""Which modules of a checkpoint are quantised, and how, as the leaves below them show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tracer.checkpoint.tensor_info import TensorInfo

Kind: TypeAlias = Literal[
    "plain", "gptq", "awq", "bitsandbytes-4", "bitsandbytes-8", "fp8-block", "fp8", "int8", "nvfp4", "packed", "mlx",
    "ternary", "other",
]  # fmt: skip
FLOATS = ("F64", "F32", "F16", "BF16")
EIGHTS = ("F8_E4M3", "F8_E5M2")
WORDS: Mapping[Kind, str] = {
    "plain": "plain", "gptq": "GPTQ", "awq": "AWQ", "bitsandbytes-4": "bitsandbytes 4-bit",
    "bitsandbytes-8": "bitsandbytes 8-bit", "fp8-block": "FP8 with a scale a block", "fp8": "FP8",
    "int8": "INT8", "nvfp4": "NVFP4", "packed": "compressed-tensors", "mlx": "MLX affine", "ternary": "ternary",
    "other": "packed",
}  # fmt: skip
_STATES = ("absmax", "quant_map", "nested_absmax", "nested_quant_map")
STATE = "quant_state"
"""Below a weight of bitsandbytes: `weight.quant_state.bitsandbytes__nf4`."""
_LEAVES = frozenset({
    "weight", "bias", "qweight", "qzeros", "scales", "biases", "g_idx", "SCB", "weight_format", "weight_scale",
    "weight_scale_inv", "weight_scale_2", "weight_zero_point", "weight_shape", "weight_packed", "weight_g_idx",
    "weight_global_scale", "input_scale", "input_global_scale", "input_zero_point", "k_scale", "v_scale", "kv_scale",
    "q_scale", "prob_scale", "output_scale", "deq_scale", "quant_bias", "input_offset", "weight_offset", "_scale",
    "scale", "zero_point", "codes", "codebooks", "activation_scale",
})  # fmt: skip
"""Last segments of what quantisers write."""
OF_CACHE = ("k_scale", "v_scale", "kv_scale", "q_scale", "prob_scale")
"""Scales of an attention, wherever they lie."""
SIDES = _LEAVES - {"weight", "bias", "qweight", "weight_packed", "codes"} | set(_STATES)
"""Those that only mean something beside a weight, or beside a cache."""


@dataclass(frozen=True)
class Module:
    """One module and its leaves."""

    name: str
    leaves: Mapping[str, TensorInfo]

    @property
    def kind(self) -> Kind:
        return _kind(self.leaves)

    @property
    def role(self) -> str:
        """Its last segment: what it is in its layer."""
        return self.name.rpartition(".")[2]


def split(name: str) -> tuple[str, str]:
    """Module and leaf; of bitsandbytes' state everything below `weight`."""
    module, dot, leaf = name.rpartition(".")
    if f".weight.{STATE}." in name:
        module, _, leaf = name.partition(f".weight.{STATE}.")
        return module, STATE
    if leaf in _STATES and module.endswith(".weight"):
        return module.removesuffix(".weight"), leaf
    if leaf == "_scale" and module.endswith(".weight"):
        return module.removesuffix(".weight"), leaf
    return (module, leaf) if dot else ("", leaf)


def role_of(name: str) -> str:
    """Of the module of a tensor; empty for a name without a module."""
    return split(name)[0].rpartition(".")[2]


def is_side(name: str) -> bool:
    """Whether it is one of the tensors that quantisers put beside weights."""
    leaf = split(name)[1]
    return leaf in SIDES or leaf == STATE


def modules_of(tensors: Sequence[TensorInfo]) -> dict[str, Module]:
    """Every module that has a weight of some kind, or what belongs to one."""
    found: dict[str, dict[str, TensorInfo]] = {}
    for tensor in tensors:
        module, leaf = split(tensor.name)
        found.setdefault(module, {})[leaf] = tensor
    return {name: Module(name, leaves) for name, leaves in found.items()}


def _kind(leaves: Mapping[str, TensorInfo]) -> Kind:
    if "qweight" in leaves:
        return _of_words(leaves)
    if "weight_packed" in leaves:
        return "packed"
    weight = leaves.get("weight")
    if weight is None:
        return "other" if leaves.keys() & {"codes", "compressed"} else "plain"
    if leaves.keys() & {*_STATES, STATE}:
        return "bitsandbytes-4"
    if "SCB" in leaves:
        return "bitsandbytes-8"
    return _of_dtype(weight, leaves)


def _of_words(leaves: Mapping[str, TensorInfo]) -> Kind:
    """GPTQ packs along the inputs, AWQ along the outputs."""
    words, scales = leaves["qweight"].shape, leaves.get("scales")
    if "g_idx" in leaves or scales is None or len(words) < 2 or len(scales.shape) < 2:
        return "gptq"
    return "gptq" if words[1] == scales.shape[1] else "awq"


def _of_dtype(weight: TensorInfo, leaves: Mapping[str, TensorInfo]) -> Kind:
    if weight.dtype == "U32" and "scales" in leaves:
        return "mlx"
    if weight.dtype == "U8" and "weight_scale_2" in leaves:
        return "nvfp4"
    if weight.dtype == "U8":
        return "ternary" if "weight_scale" in leaves else "other"
    if weight.dtype in EIGHTS:
        scale = leaves.get("weight_scale_inv") or leaves.get("weight_scale")
        grid = (
            scale is not None
            and len(scale.shape) == 2
            and 1 not in scale.shape[1:]
            and scale.shape[0] < weight.shape[0]
        )
        return "fp8-block" if grid or "weight_scale_inv" in leaves else "fp8"
    if weight.dtype == "I8":
        return "int8"
    return "plain"
