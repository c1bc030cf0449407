"""Checkpoints that Transformers saved, as GGUF files; and how to load those in any process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from engine.loading.loader import Loader
from engine.loading.recorder import NullRecorder
from engine.loading.sources import MappedWeights
from engine.models.contract import CausalLM
from engine.parallel import Group
from engine.processes.distributed import ProcessGroup
from fixtures.gguf import Typed, document
from fixtures.gguf_models import converted, stacked, stored, values_of
from tests.engine.checkpoints import TOKENS, bind, empty_model, ids
from tracer.checkpoint.gguf import read
from tracer.checkpoint.header import Header
from tracer.checkpoint.weights import map_file

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def convert(folder: Path, path: Path, dtype: str = "F32", by_expert: bool = False) -> Path:
    """Write the safetensors checkpoint of a folder as one GGUF file; vectors stay F32, as converters leave them."""
    config, tensors = json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")
    config |= {"rope_theta": config["rope_parameters"]["rope_theta"]}
    found = converted(config, {name: _array(tensor, dtype) for name, tensor in tensors.items()})
    found = found if by_expert else stacked(found)
    path.write_bytes(document(_values(config), stored(found, dtype)))
    return path


def _values(config: Mapping[str, Any]) -> dict[str, Typed]:
    return values_of(config) | {"general.name": Typed("str", "a test")}


def _array(tensor: torch.Tensor, dtype: str) -> Any:
    kept = tensor if tensor.ndim == 1 else tensor.to(DTYPES[dtype])
    return kept.view(torch.int16).numpy() if kept.dtype == torch.bfloat16 else kept.numpy()


def header_of(path: Path) -> Header:
    with path.open("rb") as file:
        return read(file, path.stat().st_size, path.name, str(path))


def load(path: Path, tp: int = 1, rank: int = 0, group: Group | None = None, dtype: str = "F32") -> CausalLM:
    """One rank's model, filled. What the loader does not write stays NaN, and the logits with it."""
    header = header_of(path)
    assert header.config is not None
    made = bind(header.config, tp, header.tensors, dtype)  # type: ignore[arg-type]  # what it reads, both have
    model = empty_model(made.binding, rank, group)
    params = dict(model.named_parameters())
    for param in params.values():
        param.data.fill_(float("nan"))
    Loader(made, rank, MappedWeights(path.parent, header.tensors, map_file), NullRecorder()).load(params)
    return model


def logits_of(path: Path, tp: int = 1, rank: int = 0, group: Group | None = None) -> torch.Tensor:
    """Our logits for `ids()`, (tokens, vocab)."""
    model = load(path, tp, rank, group)
    with torch.inference_mode():
        return model.compute_logits(model(ids(), torch.arange(TOKENS)))


def logits_on(group: ProcessGroup, root: Path, families: Sequence[str]) -> dict[str, torch.Tensor]:
    """For `launch`: one rank's logits of several files."""
    return {family: logits_of(root / f"{family}.gguf", group.size, group.rank, group) for family in families}
