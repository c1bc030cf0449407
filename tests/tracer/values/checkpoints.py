"""Small checkpoints with values: a sound one in any dtype, for those who plant a fault in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from fixtures.hostile import framed
from tracer.checkpoint.folder import Checkpoint, open_checkpoint
from tracer.values.decoding import unit

NUMPY: dict[str, Any] = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2, "F8_E4M3FNUZ": ml_dtypes.float8_e4m3fnuz,
    "F8_E5M2FNUZ": ml_dtypes.float8_e5m2fnuz, "F8_E8M0": ml_dtypes.float8_e8m0fnu, "I64": np.int64, "U64": np.uint64,
    "I32": np.int32, "U32": np.uint32, "I16": np.int16, "U16": np.uint16, "I8": np.int8, "U8": np.uint8,
    "BOOL": np.bool_, "C64": np.complex64,
}  # fmt: skip
"""What each dtype is in numpy; written here, and not taken from what is tested."""
LAYERS = 4
ROWS, COLUMNS = 64, 256
CONFIG = {"architectures": ["LlamaForCausalLM"], "tie_word_embeddings": False, "vocab_size": 96}


class Raw(NamedTuple):
    """A tensor as a file has it."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


def raw(dtype: str, numbers: NDArray[Any]) -> Raw:
    """Numbers, cast to a dtype."""
    return Raw(dtype, numbers.shape, numbers.astype(NUMPY[dtype]).tobytes())


def safetensors(tensors: Mapping[str, Raw]) -> bytes:
    """A whole file, the tensors in their order."""
    entries: dict[str, Any] = {}
    end = 0
    for name, tensor in tensors.items():
        entries[name] = {
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": [end, end + len(tensor.data)],
        }
        end += len(tensor.data)
    return framed(json.dumps(entries).encode(), b"".join(tensor.data for tensor in tensors.values()))


def opened(folder: Path, tensors: Mapping[str, Raw], config: Mapping[str, Any] = CONFIG) -> Checkpoint:
    """Write a folder of one file, and read its headers."""
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(safetensors(tensors))
    return open_checkpoint(folder)


def weights(seed: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """As training leaves them: small, of both signs, none of them zero."""
    found = np.random.default_rng(seed).normal(0, 0.1, shape)
    return np.where(np.abs(found) < 0.01, 0.01, found)


def sound(dtype: str) -> dict[str, Raw]:
    """A model with nothing wrong, though much of it is blank on purpose: norms, biases, masks, zero points, scales.

    Packed integers (I32, U8, U32) are what stands in a `qweight`, with the scales and zero points of GPTQ.
    """
    made = {"model.embed_tokens.weight": raw("F32", weights(1, (96, COLUMNS)))}
    for layer in range(LAYERS):
        for number, name in enumerate(("q_proj", "o_proj", "down_proj")):
            made |= _matrix(f"model.layers.{layer}.self_attn.{name}", dtype, layer * 10 + number)
        prefix = f"model.layers.{layer}"
        made[f"{prefix}.input_layernorm.weight"] = raw("F32", np.ones(COLUMNS))
        made[f"{prefix}.self_attn.q_proj.bias"] = raw("F32", np.zeros(ROWS))
        made[f"{prefix}.self_attn.rotary_emb.inv_freq"] = raw("F32", 1 / np.arange(1.0, 33))
        made[f"{prefix}.self_attn.masked_bias"] = raw("F32", np.full((1, 1, 8, 8), -np.inf))
        made[f"{prefix}.mlp.gate.e_score_correction_bias"] = raw("F32", np.zeros(16))
        made[f"{prefix}.self_attn.q_proj.lora_B.weight"] = raw("F32", np.zeros((ROWS, 8)))
    made["model.embeddings.token_type_embeddings.weight"] = raw("F32", np.zeros((2, COLUMNS)))
    made["model.embeddings.position_ids"] = raw("I64", np.arange(64).reshape(1, 64))
    made["lm_head.weight"] = raw("F32", weights(2, (96, COLUMNS)))
    return made


def _matrix(name: str, dtype: str, seed: int) -> dict[str, Raw]:
    if dtype not in ("I32", "U32", "U8"):
        return {f"{name}.weight": raw(dtype, weights(seed, (ROWS, COLUMNS)))}
    packed = np.random.default_rng(seed).integers(1, 256, ROWS * COLUMNS * unit(dtype)[1], np.uint8)
    return {
        f"{name}.qweight": Raw(dtype, (ROWS, COLUMNS), packed.tobytes()),
        f"{name}.qzeros": Raw(dtype, (2, COLUMNS), b"\x77" * (2 * COLUMNS * unit(dtype)[1])),
        f"{name}.g_idx": raw("I32", np.zeros(COLUMNS)),
        f"{name}.scales": raw("F16", np.abs(weights(seed, (2, COLUMNS)))),
    }


def patched(tensor: Raw, at: int, data: bytes) -> Raw:
    """The same with other bytes from byte `at` on."""
    assert at + len(data) <= len(tensor.data) == prod(tensor.shape) * unit(tensor.dtype)[1]
    return tensor._replace(data=tensor.data[:at] + data + tensor.data[at + len(data) :])
