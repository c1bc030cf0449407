"""Element ids: the common ground on which two accounts of a load are compared.

Every element of every tensor of a checkpoint gets a number of its own; where it turns up in a parameter is then a
matter of looking, whoever moved it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from safetensors.numpy import save_file

from mappings.views import Ranges, Shape
from tests.vllm_traces import keys
from tracer.events import Move

Ids: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

FAMILIES = (
    "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Phi3ForCausalLM",
    "GPT2LMHeadModel", "BloomForCausalLM", "MixtralForCausalLM", "FalconForCausalLM", "DeepseekV2ForCausalLM",
    "DeepseekV3ForCausalLM", "GptOssForCausalLM", "MambaForCausalLM", "Mamba2ForCausalLM", "JambaForCausalLM",
)  # fmt: skip
"""The architectures that have rows."""


def checkpoints() -> list[str]:
    """The observed checkpoints of these families, with their variants."""
    return [key for key in keys() if key.partition("-")[0] in FAMILIES]


def number(shapes: Mapping[str, Shape]) -> dict[str, Ids]:
    """Distinct positive numbers for all elements of all tensors."""
    numbered, first = {}, 1
    for name, shape in shapes.items():
        size = int(np.prod(shape, dtype=np.int64))
        numbered[name] = np.arange(first, first + size, dtype=np.int64).reshape(shape)
        first += size
    return numbered


def write_checkpoint(folder: Path, config: Mapping[str, Any], numbered: Mapping[str, Ids]) -> Path:
    """A float32 checkpoint whose values are the ids; below 2**24 they are exact."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    assert max(int(ids.max()) for ids in numbered.values()) < 1 << 24
    save_file({name: value_of(name, ids) for name, ids in numbered.items()}, folder / "model.safetensors")
    return folder


def value_of(name: str, ids: Ids) -> Any:
    """What is stored for an id. `A_log` goes through exp, so its ids are kept small."""
    return (ids / (1 << 22) if name.endswith("A_log") else ids).astype(np.float32)


def observed_by_vllm(trace: Mapping[str, Any], rank: int, numbered: Mapping[str, Ids]) -> dict[str, Ids]:
    """vLLM's parameters on a rank, in ids; 0 where it put a constant."""
    params = {}
    for name, param in trace["ranks"][rank]["params"].items():
        if param.get("buffer"):
            continue
        assert param["untouched_elements"] == 0
        ids = np.zeros(param["shape"], dtype=np.int64)
        for block in param["blocks"]:
            source = numbered[block["src"]][_slices(block["src_index"])]
            order = (block.get("op") or {}).get("permute")
            source = source.transpose(order) if order else source
            target = ids[_slices(block["dst_index"])]
            ids[_slices(block["dst_index"])] = source.reshape(target.shape)
        params[name] = ids
    return params


def _slices(index: Iterable[list[int]]) -> tuple[slice, ...]:
    return tuple(slice(*r) for r in index)


def slices(ranges: Ranges) -> tuple[slice, ...]:
    """Ranges as numpy slices."""
    return tuple(slice(*r) for r in ranges)


def apply_moves(
    moves: Iterable[Move], shapes: Mapping[str, Shape], values: Mapping[str, Any], dtype: Any = np.int64
) -> dict[str, Any]:
    """The trace-format rule: moves applied to zeros, in order, reproduce the parameters up to `op`."""
    params = {name: np.zeros(shape, dtype=dtype) for name, shape in shapes.items()}
    for move in moves:
        source = values[move.tensor][slices(move.src)]
        source = source.transpose(move.perm) if move.perm else source
        target = params[move.param][slices(move.dst)]
        params[move.param][slices(move.dst)] = source.reshape(target.shape)
    return params
