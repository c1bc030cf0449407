"""PyTorch files are loaded by processes as safetensors are: sharded with an index, strided, expanded; audit ok."""

from __future__ import annotations

import json
import struct
from math import prod
from pathlib import Path

import pytest
import torch

from tracer.checkpoint.folder import open_checkpoint
from tracer.cli import trace_load
from tracer.prepare import Request, prepare
from tracer.session import Result, run

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 256, "torch_dtype": "float32",
}  # fmt: skip
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def write_config(folder: Path) -> dict[str, tuple[int, ...]]:
    """The config, and the names and shapes that it asks for."""
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return {info.name: info.shape for info in prepare(Request(str(folder), load_format="dummy")).infos}


def loaded(folder: Path) -> Result:
    result = run(Request(str(folder), tp=2, device="cpu"))
    assert result.audit is not None, result.where
    assert result.where.startswith("2 processes")
    assert (result.failed, result.failure) == (False, None)
    return result


@pytest.mark.parametrize("zipped", [True, False])
def test_shards_with_an_index(zipped: bool, tmp_path: Path) -> None:
    state = {name: torch.randn(shape) for name, shape in write_config(tmp_path).items()}
    weight_map: dict[str, str] = {}
    for number, start in enumerate((0, 7), 1):
        own = list(state)[start : start + 7] if number == 1 else list(state)[start:]
        file = f"pytorch_model-{number:05d}-of-00002.bin"
        torch.save({n: state[n] for n in own}, tmp_path / file, _use_new_zipfile_serialization=zipped)
        weight_map |= dict.fromkeys(own, file)
    total = sum(tensor.nbytes for tensor in state.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    result = loaded(tmp_path)
    assert result.audit is not None and result.audit.ok
    assert result.audit.read == sum(tensor.numel() for tensor in state.values())
    assert {tensor.file for tensor in result.store.tensors()} == set(weight_map.values())


def test_expanded_and_transposed_tensors(tmp_path: Path) -> None:
    """Of an expanded one the file has a row, of which every row of the tensor is made."""
    state = {name: torch.randn(shape) for name, shape in write_config(tmp_path).items()}
    state[EMBEDDING] = torch.randn(64).expand(256, 64)
    state[HEAD] = torch.randn(64, 256).t()
    path = tmp_path / "pytorch_model.bin"
    torch.save(state, path)
    infos = {info.name: info for info in open_checkpoint(tmp_path).tensors}
    assert (infos[EMBEDDING].strides, infos[EMBEDDING].reach, infos[EMBEDDING].nbytes) == ((0, 1), 64, 65536)
    assert (infos[HEAD].strides, infos[HEAD].reach) == ((1, 256), 16384)
    result = loaded(tmp_path)
    assert result.audit is not None and result.audit.ok


@pytest.mark.parametrize(("dtype", "bits"), [("F4", 4), ("F6_E2M3", 6)])
def test_a_data_type_that_torch_cannot_hold_is_not_loaded(
    dtype: str, bits: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Listed, and said once in one line; no rank is started and no audit claims anything."""
    header, at = {}, 0
    for name, shape in write_config(tmp_path).items():
        odd = name == "model.layers.0.mlp.up_proj.weight"
        stop = at + prod(shape) * (bits if odd else 32) // 8
        header[name] = {"dtype": dtype if odd else "F32", "shape": shape, "data_offsets": [at, stop]}
        at = stop
    text = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))
    assert trace_load([str(tmp_path), "--tp", "2", "--device", "cpu"]) == 1
    out = capsys.readouterr().out
    (error,) = [line for line in out.splitlines() if line.startswith("ERROR")]
    assert error.split()[1] == "quant.missing"
    assert dtype in error and "up_proj" in error
    assert "audit: not run (1 error before it)" in out
