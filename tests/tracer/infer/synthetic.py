"""Checkpoints as headers describe them, made of a config: names, shapes and data types, and no file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from mappings.registry import choose
from mappings.synth import synthesise
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.infer import Inferred, of_names


def tensors_of(config: Mapping[str, Any], dtype: str = "BF16") -> list[TensorInfo]:
    """What a checkpoint of this config holds, by its rows."""
    return list(_made(json.dumps(config, sort_keys=True), dtype))


@lru_cache(maxsize=64)
def _made(config: str, dtype: str) -> list[TensorInfo]:
    """The same, once for all tests: a mixture has 92,000."""
    made = synthesise(choose(json.loads(config), None, 1, dtype).binding)
    return [TensorInfo(each.name, each.dtype, tuple(each.shape), "model.safetensors", 0, 0) for each in made]


def inferred(tensors: list[TensorInfo], config: dict[str, Any] | None = None) -> Inferred:
    """What tensors say."""
    return of_names([tensor.name for tensor in tensors], tensors, config)
