"""The same trained model in other formats: GGUF as llama.cpp's converter writes it, Meta's names, quantised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from tests.tracer.meaning.planted import interleaved
from tracer.checkpoint.folder import open_checkpoint
from tracer.meaning import Meant, examine_meaning
from tracer.repair.changes import Rename, Transform

TRAINED = Path(__file__).parents[2] / "data" / "trained"
LAYER = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
GEMMA = {
    "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}  # fmt: skip
OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def numbers(name: str) -> dict[str, NDArray[Any]]:
    return {tensor: values.astype("f4") for tensor, values in load_file(TRAINED / name / "model.safetensors").items()}


def examined(path: Path) -> dict[str, Meant]:
    checkpoint = open_checkpoint(path)
    return {each.check.name: each for each in examine_meaning(checkpoint, checkpoint.config)}


def codes(ended: dict[str, Meant]) -> list[str]:
    return [finding.code for each in ended.values() for finding in each.check.findings]


def as_gguf(name: str, into: Path, permuted: bool = True, one_added: bool = True) -> Path:
    """F16, as the converter writes it: q and k of llama in pairs, 1 added to Gemma's norms."""
    config = json.loads((TRAINED / name / "config.json").read_text())
    kind = config["model_type"]
    into.mkdir()
    writer = gguf.GGUFWriter(str(into / "model.gguf"), kind)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(config["vocab_size"])
    for tensor, values in numbers(name).items():
        if kind == "llama" and permuted and tensor.endswith(("q_proj.weight", "k_proj.weight")):
            values = interleaved(values, 4 if "q_proj" in tensor else 2)
        if kind == "gemma2" and one_added and "norm" in tensor:
            values = values + 1
        writer.add_tensor(spelled(tensor, kind), values if values.ndim == 1 else values.astype("f2"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return into / "model.gguf"


def spelled(tensor: str, kind: str) -> str:
    module = tensor.removesuffix(".weight")
    if not module.startswith("model.layers."):
        return f"{OUTSIDE[module]}.weight"
    _, _, layer, rest = module.split(".", 3)
    return f"blk.{layer}.{(LAYER | GEMMA if kind == 'gemma2' else LAYER)[rest]}.weight"


@pytest.mark.parametrize("name", ["llama-3", "qwen3-3", "gemma2-3"])
def test_what_the_converter_writes_is_fine_by_its_own_conventions(name: str, tmp_path: Path) -> None:
    ended = examined(as_gguf(name, tmp_path / "m"))
    assert codes(ended) == []
    assert not any(ended[test].check.unchecked for test in ("rope-order", "gate-up", "transposed", "norm-offset"))


def test_gguf_without_the_permutation_is_put_into_pairs(tmp_path: Path) -> None:
    ended = examined(as_gguf("llama-3", tmp_path / "m", permuted=False))
    assert codes(ended) == ["value.rope-order"]
    turned = [change for change in ended["rope-order"].changes if isinstance(change, Transform)]
    assert [(change.op, change.heads) for change in turned] == [("half-to-interleaved", 4), ("half-to-interleaved", 2)]


def test_gguf_whose_norms_lack_the_one_is_found(tmp_path: Path) -> None:
    assert codes(examined(as_gguf("gemma2-3", tmp_path / "m", one_added=False))) == ["value.norm-offset"]


def test_a_config_beside_a_gguf_file_may_contradict_its_base(tmp_path: Path) -> None:
    path = as_gguf("llama-3", tmp_path / "m")
    config = json.loads((TRAINED / "llama-3" / "config.json").read_text())
    (path.parent / "config.json").write_text(json.dumps(config | {"rope_parameters": {"rope_theta": 5e5}}))
    assert codes(examined(path.parent)) == ["config.conflict"]


def test_a_reference_may_be_in_another_format(tmp_path: Path) -> None:
    """Rows are compared in the order that each side's own convention means."""
    sound = open_checkpoint(as_gguf("llama-3", tmp_path / "m"))
    reference = open_checkpoint(TRAINED / "llama-3")
    ended = {each.check.name: each for each in examine_meaning(sound, sound.config, against=reference)}
    assert codes(ended) == []
    assert "reference: q 1.000, k 1.000" in ended["rope-order"].check.told


def test_a_pytorch_file_is_read_as_any_other(tmp_path: Path) -> None:
    tensors = {name: torch.from_numpy(values) for name, values in numbers("llama-3").items()}
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text((TRAINED / "llama-3" / "config.json").read_text())
    ended = examined(tmp_path)
    assert codes(ended) == []
    assert ended["rope-order"].check.state == "ok"


@pytest.mark.parametrize("swapped", [False, True])
def test_numbers_in_eight_bits_with_scales_are_looked_at_too(swapped: bool, tmp_path: Path) -> None:
    made: dict[str, NDArray[Any]] = {}
    for name, values in numbers("llama-3").items():
        if ".mlp." in name or ".self_attn." in name:
            scale = np.abs(values).max(1, keepdims=True) / 127
            made[name] = np.round(values / scale).astype(np.int8)
            made[f"{name}_scale"] = scale.astype("f4")
        else:
            made[name] = values
    if swapped:
        made = {turned(name): values for name, values in made.items()}
    save_file(made, tmp_path / "model.safetensors")
    config = json.loads((TRAINED / "llama-3" / "config.json").read_text())
    weights = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}
    packed = {
        "quant_method": "compressed-tensors", "format": "int-quantized",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config | {"quantization_config": packed}))
    ended = examined(tmp_path)
    assert codes(ended) == (["value.gate-up-swapped"] if swapped else [])
    if swapped:
        (change,) = ended["gate-up"].changes
        assert isinstance(change, Rename)
        assert len(change.names) == 2 * 2 * 4, "weights and their scales take each other's names"
    else:
        assert ended["rope-order"].check.state == "ok"


def turned(name: str) -> str:
    """Gate for up and up for gate."""
    other = {"gate_proj": "up_proj", "up_proj": "gate_proj"}
    return ".".join(other.get(part, part) for part in name.split("."))
