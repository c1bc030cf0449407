"""A small Llama in numpy, what people do to models, and quantisers: each written here from its format's description."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

Arrays = dict[str, NDArray[Any]]
HIDDEN, FFN, VOCAB, LAYERS, HEADS, KV = 64, 96, 128, 4, 4, 2
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": HIDDEN, "intermediate_size": FFN, "vocab_size": VOCAB,
    "num_attention_heads": HEADS, "num_key_value_heads": KV, "num_hidden_layers": LAYERS, "torch_dtype": "float32",
    "tie_word_embeddings": False, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
}  # fmt: skip
BF16 = ml_dtypes.bfloat16
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]
NF4 = np.array(
    [-1, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.09105004, 0, 0.0795803, 0.1609302,
     0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1], dtype=np.float32,
)  # fmt: skip
"""The sixteen numbers of QLoRA's NormalFloat (Dettmers et al. 2023, appendix E)."""


def random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def model(seed: int = 0) -> Arrays:
    """Names as on the Hub, numbers as large as trained ones, in F32."""
    numbers = random(seed)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCAB, HIDDEN)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        shapes |= {
            f"{at}.self_attn.q_proj.weight": (HIDDEN, HIDDEN), f"{at}.self_attn.k_proj.weight": (HIDDEN // 2, HIDDEN),
            f"{at}.self_attn.v_proj.weight": (HIDDEN // 2, HIDDEN), f"{at}.self_attn.o_proj.weight": (HIDDEN, HIDDEN),
            f"{at}.mlp.gate_proj.weight": (FFN, HIDDEN), f"{at}.mlp.up_proj.weight": (FFN, HIDDEN),
            f"{at}.mlp.down_proj.weight": (HIDDEN, FFN), f"{at}.input_layernorm.weight": (HIDDEN,),
            f"{at}.post_attention_layernorm.weight": (HIDDEN,),
        }  # fmt: skip
    shapes |= {"model.norm.weight": (HIDDEN,), "lm_head.weight": (VOCAB, HIDDEN)}
    return {
        name: (numbers.standard_normal(shape) * (0.02 if len(shape) > 1 else 0.1) + (len(shape) == 1)).astype("f4")
        for name, shape in shapes.items()
    }  # fmt: skip


def cast(arrays: Arrays, dtype: Any) -> Arrays:
    return {name: array.astype(dtype) for name, array in arrays.items()}


def write(folder: Path, arrays: Mapping[str, NDArray[Any]], **fields: Any) -> str:
    """A checkpoint of one file; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG | fields))
    return str(folder)


def tuned(arrays: Arrays, seed: int, chosen: Callable[[str], bool]) -> Arrays:
    """Small noise in some of it, in the dtype that it has."""
    numbers = random(seed)
    return {
        name: (array.astype("f4") + numbers.standard_normal(array.shape).astype("f4") * 1e-4).astype(array.dtype)
        if chosen(name) else array
        for name, array in arrays.items()
    }  # fmt: skip


def with_adapter(arrays: Arrays, rank: int, seed: int, modules: tuple[str, ...] = ("q_proj", "v_proj")) -> Arrays:
    """A LoRA of that rank added to some modules, rounded once to the dtype that they have."""
    numbers, found = random(seed), dict(arrays)
    for name, array in arrays.items():
        if any(module in name for module in modules):
            factors = numbers.standard_normal((array.shape[0], rank)), numbers.standard_normal((rank, array.shape[1]))
            found[name] = (array.astype("f8") + 0.002 * factors[0] @ factors[1]).astype(array.dtype)
    return found


def fused(arrays: Arrays) -> Arrays:
    """q, k, v in one tensor, gate and up in another, as Phi-3 and vLLM have them."""
    found = {}
    for name, array in arrays.items():
        if "q_proj" in name:
            own = [arrays[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            found[name.replace("q_proj", "qkv_proj")] = np.concatenate(own)
        elif "gate_proj" in name:
            own = [array, arrays[name.replace("gate_proj", "up_proj")]]
            found[name.replace("gate_proj", "gate_up_proj")] = np.concatenate(own)
        elif not any(part in name for part in ("k_proj", "v_proj", "up_proj")):
            found[name] = array
    return found


def is_linear(name: str) -> bool:
    return "_proj" in name


# --- quantisers: each gives the tensors of a module, and the numbers that a reader must find in them ---


def packed(values: NDArray[Any], bits: int, axis: int) -> NDArray[np.int32]:
    """Integers of so many bits as words of 32, the lowest bits first."""
    moved = np.moveaxis(values, axis, -1)
    flat = moved.reshape(-1, moved.shape[-1])
    rows = []
    for row in flat.tolist():
        number = sum(int(value) << (bits * place) for place, value in enumerate(row))
        rows.append(np.frombuffer(number.to_bytes(len(row) * bits // 8, "little"), "<i4"))
    words = np.stack(rows).reshape(*moved.shape[:-1], -1)
    return np.ascontiguousarray(np.moveaxis(words, -1, axis))


def grouped(weight: NDArray[Any], group: int, bits: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Integers (out, in), scales and zero points (out, groups): q, s, z with w about (q - z) * s."""
    parts = weight.reshape(weight.shape[0], -1, group)
    low, high = parts.min(-1), parts.max(-1)
    scales = ((high - low) / (2**bits - 1)).astype("f2").astype("f4")
    zeros = np.clip(np.round(-low / scales), 1, 2**bits - 1)
    values = np.clip(np.round(parts / scales[..., None]) + zeros[..., None], 0, 2**bits - 1)
    return values.reshape(weight.shape).astype("u1"), scales, zeros.astype("u1")


def dequantised(values: NDArray[Any], scales: NDArray[Any], zeros: NDArray[Any]) -> NDArray[Any]:
    group = values.shape[1] // scales.shape[1]
    return np.asarray((values.astype("f8") - np.repeat(zeros, group, 1)) * np.repeat(scales, group, 1))


def gptq(stem: str, weight: NDArray[Any], bits: int = 4, order: NDArray[Any] | None = None) -> tuple[Arrays, Any]:
    """AutoGPTQ, version 1: zero points are stored less one. `order`: inputs in the order of activations."""
    values, scales, zeros = grouped(weight, 32, bits)
    index = np.arange(weight.shape[1]) // 32
    wanted = dequantised(values, scales, zeros)
    if order is not None:
        values, index, wanted = values[:, order], index[order], wanted[:, order]
    return {
        f"{stem}.qweight": packed(values.T, bits, 0), f"{stem}.qzeros": packed(zeros.T - 1, bits, 1),
        f"{stem}.scales": scales.T.astype("f2"), f"{stem}.g_idx": index.astype("i4"),
    }, wanted  # fmt: skip


def awq(stem: str, weight: NDArray[Any]) -> tuple[Arrays, Any]:
    values, scales, zeros = grouped(weight, 32, 4)

    def words(numbers: NDArray[Any]) -> NDArray[Any]:
        return packed(numbers.reshape(len(numbers), -1, 8)[..., AWQ_ORDER].reshape(len(numbers), -1), 4, 1)

    tensors = {
        f"{stem}.qweight": words(values.T), f"{stem}.qzeros": words(zeros.T), f"{stem}.scales": scales.T.astype("f2")
    }  # fmt: skip
    return tensors, dequantised(values, scales, zeros)


def fp8_blocks(stem: str, weight: NDArray[Any]) -> tuple[Arrays, Any]:
    """DeepSeek-V3's, in blocks of 32; the last of each dimension may be smaller."""
    scales = np.zeros((-(-weight.shape[0] // 32), -(-weight.shape[1] // 32)), "f4")
    stored = np.zeros(weight.shape, ml_dtypes.float8_e4m3fn)
    wanted = np.zeros(weight.shape)
    for row, column in np.ndindex(scales.shape):
        place = (slice(row * 32, row * 32 + 32), slice(column * 32, column * 32 + 32))
        scales[row, column] = np.abs(weight[place]).max() / 448
        stored[place] = (weight[place] / scales[row, column]).astype(ml_dtypes.float8_e4m3fn)
        wanted[place] = stored[place].astype("f8") * scales[row, column]
    return {f"{stem}.weight": stored, f"{stem}.weight_scale_inv": scales}, wanted


def fp8_rows(stem: str, weight: NDArray[Any]) -> tuple[Arrays, Any]:
    scales = (np.abs(weight).max(1, keepdims=True) / 448).astype("f4")
    stored = (weight / scales).astype(ml_dtypes.float8_e4m3fn)
    return {f"{stem}.weight": stored, f"{stem}.weight_scale": scales}, stored.astype("f8") * scales


def int8_rows(stem: str, weight: NDArray[Any]) -> tuple[Arrays, Any]:
    scales = (np.abs(weight).max(1, keepdims=True) / 127).astype("f4")
    stored = np.round(weight / scales).astype("i1")
    return {f"{stem}.weight": stored, f"{stem}.weight_scale": scales}, stored.astype("f8") * scales


def bitsandbytes_int8(stem: str, weight: NDArray[Any]) -> tuple[Arrays, Any]:
    largest = np.abs(weight).max(1).astype("f4")
    stored = np.round(weight / largest[:, None] * 127).astype("i1")
    tensors = {f"{stem}.weight": stored, f"{stem}.SCB": largest, f"{stem}.weight_format": np.zeros((), "u1")}
    return tensors, stored.astype("f8") * largest[:, None] / 127


def nf4(stem: str, weight: NDArray[Any], nested: bool = False) -> tuple[Arrays, Any]:
    blocks = weight.reshape(-1, 64)
    largest = np.abs(blocks).max(1).astype("f4")
    state: dict[str, Any] = {"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": list(weight.shape)}
    tensors: Arrays = {}
    kept = largest
    if nested:
        steps = np.linspace(-1, 1, 256).astype("f4")
        offset, outer = float(largest.mean()), np.abs(largest - largest.mean()).max(keepdims=True).astype("f4")
        codes = np.abs((largest - offset)[:, None] / outer - steps).argmin(1).astype("u1")
        kept = steps[codes] * outer + np.float32(offset)
        state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": offset}
        tensors = {f"{stem}.weight.nested_absmax": outer, f"{stem}.weight.nested_quant_map": steps}
    found = np.abs(blocks[..., None] / kept[:, None, None] - NF4).argmin(-1).astype("u1").ravel()
    tensors |= {
        f"{stem}.weight": (found[::2] << 4 | found[1::2])[:, None], f"{stem}.weight.quant_map": NF4,
        f"{stem}.weight.absmax": codes if nested else largest,
        f"{stem}.weight.quant_state.bitsandbytes__nf4": np.frombuffer(json.dumps(state).encode(), "u1"),
    }  # fmt: skip
    return tensors, (NF4[found].reshape(-1, 64) * kept[:, None]).reshape(weight.shape)


def mlx(stem: str, weight: NDArray[Any], bits: int = 4) -> tuple[Arrays, Any]:
    parts = weight.reshape(weight.shape[0], -1, 32)
    low = parts.min(-1).astype("f2").astype("f4")
    scales = ((parts.max(-1) - low) / (2**bits - 1)).astype("f2").astype("f4")
    values = np.clip(np.round((parts - low[..., None]) / scales[..., None]), 0, 2**bits - 1)
    tensors = {
        f"{stem}.weight": packed(values.reshape(weight.shape).astype("u1"), bits, 1).view("u4"),
        f"{stem}.scales": scales.astype("f2"), f"{stem}.biases": low.astype("f2"),
    }  # fmt: skip
    return tensors, (values * scales[..., None] + low[..., None]).reshape(weight.shape)


def packed_int4(stem: str, weight: NDArray[Any]) -> tuple[Arrays, Any]:
    """compressed-tensors' pack-quantized, symmetric."""
    parts = weight.reshape(weight.shape[0], -1, 32)
    scales = (np.abs(parts).max(-1) / 7).astype("f4")
    values = np.clip(np.round(parts / scales[..., None]), -8, 7).reshape(weight.shape)
    tensors = {
        f"{stem}.weight_packed": packed((values + 8).astype("u1"), 4, 1), f"{stem}.weight_scale": scales,
        f"{stem}.weight_shape": np.array(weight.shape),
    }  # fmt: skip
    return tensors, values * np.repeat(scales, 32, 1)


E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def nvfp4(stem: str, weight: NDArray[Any]) -> tuple[Arrays, Any]:
    parts = weight.reshape(weight.shape[0], -1, 16)
    whole = np.float32(np.abs(weight).max() / (6 * 448))
    scales = (np.abs(parts).max(-1) / 6 / whole).astype(ml_dtypes.float8_e4m3fn)
    exact = scales.astype("f8") * whole
    codes = np.abs(parts[..., None] / exact[..., None, None] - E2M1).argmin(-1).reshape(weight.shape).astype("u1")
    tensors = {f"{stem}.weight": codes[:, ::2] | codes[:, 1::2] << 4, f"{stem}.weight_scale": scales,
               f"{stem}.weight_scale_2": np.array(whole)}  # fmt: skip
    return tensors, E2M1[codes] * np.repeat(exact, 16, 1)


def quantised(
    arrays: Arrays, quantise: Callable[[str, NDArray[Any]], tuple[Arrays, Any]]
) -> tuple[Arrays, dict[str, NDArray[Any]]]:
    """The linear layers by a scheme and the rest as it is; and what must be read of the former."""
    found: Arrays = {}
    wanted = {}
    for name, array in arrays.items():
        if is_linear(name):
            tensors, wanted[name] = quantise(name.removesuffix(".weight"), array)
            found |= tensors
        else:
            found[name] = array
    return found, wanted
