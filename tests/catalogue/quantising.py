"""What quantisers make of a checkpoint: other leaves in the place of weights, and a block in config.json.

Layouts: AutoGPTQ, AutoAWQ, bitsandbytes (`quant_state`), compressed-tensors, DeepSeek's FP8, ModelOpt's NVFP4.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from math import ceil
from typing import Any

import numpy as np

from tests.catalogue.building import Model
from tests.catalogue.models import PROJECTIONS

Which = Callable[[str], bool]


def projections(module: str) -> bool:
    """The seven of every layer, and those of experts."""
    return module.rpartition(".")[2] in PROJECTIONS


def linear(module: str) -> bool:
    """Any matrix of a layer that is no router."""
    return (".layers." in module and not module.endswith((".gate", "norm", "layernorm"))) or ".h." in module


def _modules(model: Model, which: Which) -> Iterator[tuple[str, int, int]]:
    """Module, outputs and inputs of the matrices that are taken; they are taken out."""
    for name, tensor in list(model.tensors.items()):
        module, _, leaf = name.rpartition(".")
        if leaf == "weight" and len(tensor.shape) == 2 and which(module):
            yield module, tensor.shape[0], tensor.shape[1]


def gptq(model: Model, which: Which = projections, bits: int = 4, group: int = 32, *, order: bool = False) -> Model:
    """`order` is desc_act: inputs belong to groups in an order of their own."""
    chance = np.random.default_rng(7)
    for module, out, inner in _modules(model, which):
        del model.tensors[f"{module}.weight"]
        groups = np.arange(inner, dtype=np.int32) // group
        model.put(f"{module}.qweight", inner * bits // 32, out, dtype="I32")
        model.put(f"{module}.qzeros", inner // group, out * bits // 32, dtype="I32")
        model.put(f"{module}.scales", inner // group, out, dtype="F16")
        data = (chance.permutation(groups) if order else groups).astype(np.int32).tobytes()
        model.put(f"{module}.g_idx", inner, dtype="I32", data=data)
    return model.set(
        quantization_config={"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": order, "sym": True}
    )


def awq(model: Model, which: Which = projections, bits: int = 4, group: int = 32, **more: Any) -> Model:
    for module, out, inner in _modules(model, which):
        del model.tensors[f"{module}.weight"]
        model.put(f"{module}.qweight", inner, out * bits // 32, dtype="I32")
        model.put(f"{module}.qzeros", inner // group, out * bits // 32, dtype="I32")
        model.put(f"{module}.scales", inner // group, out, dtype="F16")
    method = {"quant_method": "awq", "bits": bits, "group_size": group, "zero_point": True, "version": "gemm"}
    return model.set(quantization_config=method | more)


def bitsandbytes(model: Model, which: Which = projections, *, nested: bool = True, **more: Any) -> Model:
    """NF4: a column of two codes a byte, and the state beside it."""
    for module, out, inner in _modules(model, which):
        count = out * inner
        name = f"{module}.weight"
        model.put(name, count // 2, 1, dtype="U8")
        model.put(f"{name}.quant_map", 16, dtype="F32")
        model.put(f"{name}.absmax", ceil(count / 64), dtype="U8" if nested else "F32")
        if nested:
            model.put(f"{name}.nested_absmax", ceil(count / 64 / 256), dtype="F32")
            model.put(f"{name}.nested_quant_map", 256, dtype="F32")
        state = json.dumps({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [out, inner]}).encode()
        model.put(f"{name}.quant_state.bitsandbytes__nf4", len(state), dtype="U8", data=state)
    method = {
        "quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": nested, "bnb_4bit_compute_dtype": "bfloat16",
    }  # fmt: skip
    return model.set(quantization_config=method | more)


def fp8_blocks(
    model: Model, which: Which = projections, block: int = 128, scale: str = "weight_scale_inv", **more: Any
) -> Model:  # fmt: skip
    for module, out, inner in _modules(model, which):
        model.put(f"{module}.weight", out, inner, dtype="F8_E4M3")
        model.put(f"{module}.{scale}", ceil(out / block), ceil(inner / block), dtype="F32")
    method = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [block, block], "activation_scheme": "dynamic"}
    return model.set(quantization_config=method | more)


def by_channel(
    model: Model, which: Which = projections, dtype: str = "I8", *, inputs: bool = False, ignore: tuple[str, ...] = ()
) -> Model:  # fmt: skip
    """compressed-tensors: one scale a row, and one of the inputs where they are static."""
    for module, out, inner in _modules(model, which):
        model.put(f"{module}.weight", out, inner, dtype=dtype)
        model.put(f"{module}.weight_scale", out, 1)
        if inputs:
            model.put(f"{module}.input_scale", 1, dtype="F32")
    kind = "float" if dtype.startswith("F8") else "int"
    weights = {"num_bits": 8, "type": kind, "strategy": "channel", "symmetric": True, "dynamic": False}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}}
    return model.set(
        quantization_config={
            "quant_method": "compressed-tensors", "format": f"{kind}-quantized", "config_groups": groups,
            "ignore": ["lm_head", *ignore], "quantization_status": "compressed",
        }
    )  # fmt: skip


def by_group(model: Model, which: Which = projections, bits: int = 4, group: int = 32) -> Model:
    """compressed-tensors' pack-quantized: codes in words along the inputs, one scale a group."""
    for module, out, inner in _modules(model, which):
        del model.tensors[f"{module}.weight"]
        model.put(f"{module}.weight_packed", out, ceil(inner * bits / 32), dtype="I32")
        model.put(f"{module}.weight_scale", out, inner // group)
        shape = np.array([out, inner], dtype=np.int64).tobytes()
        model.put(f"{module}.weight_shape", 2, dtype="I64", data=shape)
    weights = {"num_bits": bits, "type": "int", "strategy": "group", "group_size": group, "symmetric": True}
    return model.set(
        quantization_config={
            "quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["lm_head"],
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}},
        }
    )  # fmt: skip


def nvfp4(model: Model, which: Which = projections, ignore: tuple[str, ...] = ()) -> Model:
    """ModelOpt: two codes a byte, an FP8 scale for sixteen of them, and one for all."""
    for module, out, inner in _modules(model, which):
        model.put(f"{module}.weight", out, inner // 2, dtype="U8")
        model.put(f"{module}.weight_scale", out, inner // 16, dtype="F8_E4M3")
        model.put(f"{module}.weight_scale_2", dtype="F32")
        model.put(f"{module}.input_scale", dtype="F32")
    weights = {"num_bits": 4, "type": "float", "group_size": 16}
    return model.set(
        quantization_config={
            "quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head", *ignore],
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        }
    )  # fmt: skip
