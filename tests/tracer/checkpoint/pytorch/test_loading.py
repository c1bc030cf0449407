"""The loader gets from a PyTorch file what it gets from safetensors: the same parameters, on every rank."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.loading.build import build
from engine.loading.loader import Loader
from engine.loading.sources import MappedWeights
from tracer.checkpoint.weights import map_file
from tracer.prepare import Request, prepare
from tracer.recorder import Note, ViewRecorder

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 1024, "intermediate_size": 2048, "num_attention_heads": 8,
    "num_key_value_heads": 2, "num_hidden_layers": 1, "vocab_size": 640, "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip
"""Some slices have more than a megabyte, and are read by other means than small ones."""


def _state(tmp_path: Path) -> dict[str, torch.Tensor]:
    """The names and shapes that the rows ask for, and numbers of our own."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    infos = prepare(Request(str(tmp_path), 1, load_format="dummy")).infos
    chance = torch.Generator().manual_seed(0)
    return {info.name: torch.randn(info.shape, generator=chance).bfloat16() for info in infos}


def _odd(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same numbers, every other matrix kept transposed, and two tensors in one storage."""
    held = {}
    for number, (name, tensor) in enumerate(state.items()):
        held[name] = tensor.t().contiguous().t() if number % 2 and tensor.dim() == 2 else tensor
    both = torch.cat([state["model.embed_tokens.weight"], state["lm_head.weight"]])
    held["model.embed_tokens.weight"], held["lm_head.weight"] = both[:640], both[640:]
    return held


def _loaded(folder: Path, rank: int) -> tuple[dict[str, torch.Tensor], list[Note]]:
    prepared = prepare(Request(str(folder), 2))
    notes: list[Note] = []
    params = build(prepared.plan, rank).params
    assert prepared.folder is not None
    source = MappedWeights(prepared.folder, prepared.infos, map_file)
    Loader(prepared.plan, rank, source, ViewRecorder(notes.append)).load(params)
    return {name: param.detach() for name, param in params.items()}, notes


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("rank", [0, 1])
def test_parameters_and_moves_equal_those_from_safetensors(zipped: bool, rank: int, tmp_path: Path) -> None:
    state = _state(tmp_path)
    wanted, found = tmp_path / "safetensors", tmp_path / "pytorch"
    for folder in (wanted, found):
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(CONFIG))
    save_file(state, wanted / "model.safetensors")
    torch.save(_odd(state), found / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    params, moves = _loaded(wanted, rank)
    ours, our_moves = _loaded(found, rank)
    assert sorted(ours) == sorted(params)
    assert all(torch.equal(ours[name], params[name]) for name in params)
    # Files keep tensors in orders of their own.
    assert sorted(map(str, our_moves)) == sorted(map(str, moves))
