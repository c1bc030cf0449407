"""Whatever the format, what the Hub serves of a file of weights is never a byte of a tensor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from fixtures.gguf import Stored, Typed, write_sparse
from tests.hub_server import HubServer
from tracer.checkpoint.files import LocalFiles
from tracer.checkpoint.folder import open_files
from tracer.checkpoint.hub.files import HubFiles

SHAPES = {f"model.layers.{layer}.mlp.up_proj.weight": (128, 64) for layer in range(5)}


def safetensors(folder: Path) -> Path:
    save_file({name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}, folder / "model.safetensors")
    return folder / "model.safetensors"


def pytorch(folder: Path) -> Path:
    import torch

    torch.save({name: torch.zeros(shape) for name, shape in SHAPES.items()}, folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


def gguf(folder: Path) -> Path:
    tensors = [Stored(f"blk.{layer}.ffn_up.weight", "F32", (128, 64)) for layer in range(5)]
    words = Typed("[str]", [f"word {number}" for number in range(20_000)])
    values = {"general.architecture": Typed("str", "llama"), "tokenizer.ggml.tokens": words}
    return write_sparse(folder / "model.gguf", values, tensors)


@pytest.mark.parametrize("write", [safetensors, pytorch, gguf])
def test_no_byte_of_a_tensor_is_served(hub: HubServer, tmp_path: Path, write: Callable[[Path], Path]) -> None:
    file = write(tmp_path)
    hub.add("org/model", tmp_path)
    remote = open_files(HubFiles("org/model"))
    assert remote.tensors == open_files(LocalFiles(tmp_path)).tensors
    assert len(remote.tensors) == 5
    served = set[int]().union(*(range(start, stop) for start, stop in hub.served(file.name)))
    for tensor in remote.tensors:
        assert tensor.offset is not None
        assert served.isdisjoint(range(tensor.offset, tensor.offset + tensor.nbytes)), tensor.name
    assert len(hub.served(file.name)) < 30
