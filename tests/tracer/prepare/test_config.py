"""Who is blamed for a value: whoever said it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.gguf import Stored, Typed, document
from tracer.cli import trace_load
from tracer.errors import Refused
from tracer.prepare import Request, prepare

SMALL = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "vocab_size": 10, "rms_norm_eps": 1e-5,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    return tmp_path


def refusal(request: Request) -> str:
    with pytest.raises(Refused) as caught:
        prepare(request)
    return caught.value.finding.message


def test_config_json_is_blamed_for_what_it_says(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(SMALL | {"num_attention_heads": 0}))
    assert refusal(Request(str(folder), plan_only=True)).startswith("config.json: num_attention_heads is 0")


def test_overrides_are_blamed_for_what_they_say(folder: Path) -> None:
    request = Request(str(folder), plan_only=True, overrides='{"num_attention_heads": 0}')
    assert refusal(request).startswith("config.json with --hf-overrides: num_attention_heads is 0")


def test_another_config_is_blamed_by_its_path(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps(SMALL | {"hidden_size": "eight"}))
    assert refusal(Request(str(folder), plan_only=True, config_path=str(other))).startswith(f"{other}: hidden_size")


def test_a_gguf_file_is_blamed_for_its_own_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = {
        "general.architecture": Typed("str", "llama"), "llama.embedding_length": Typed("u32", 32),
        "llama.block_count": Typed("u32", 1), "llama.attention.head_count": Typed("u32", 0),
        "llama.feed_forward_length": Typed("u32", 32), "llama.attention.layer_norm_rms_epsilon": Typed("f32", 1e-5),
    }  # fmt: skip
    path = tmp_path / "m.gguf"
    path.write_bytes(document(values, [Stored("token_embd.weight", "F32", (10, 32), bytes(1280))]))
    assert trace_load([str(path), "--plan"]) == 1
    assert "the GGUF file: num_attention_heads is 0" in capsys.readouterr().out


def test_an_architecture_that_gguf_files_are_not_mapped_for(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(document({"general.architecture": Typed("str", "deepseek2")}, []))
    said = refusal(Request(str(path), plan_only=True))
    assert "nearest: DeepseekV2ForCausalLM" in said
    assert "of GGUF files the names of llama, qwen2, qwen3 are mapped" in said


def test_a_slip_of_the_pen_in_an_override_is_told(folder: Path) -> None:
    request = Request(str(folder), plan_only=True, overrides='{"hiden_size": 8}')
    (finding,) = [f for f in prepare(request).findings if f.subject == "hiden_size"]
    assert "adds hiden_size, which config.json does not have; did you mean hidden_size?" in finding.message


def test_the_file_that_describes_the_model_is_missed_before_the_description(tmp_path: Path) -> None:
    """Of a split GGUF model the first file has the keys."""
    from fixtures.gguf import split_documents

    tensors = [Stored("a", "F32", (32,), bytes(128)), Stored("b", "F32", (32,), bytes(128))]
    files = split_documents({"general.architecture": Typed("str", "llama")}, tensors, "m", [1, 1])
    (tmp_path / "m-00002-of-00002.gguf").write_bytes(files["m-00002-of-00002.gguf"])
    with pytest.raises(Refused) as caught:
        prepare(Request(str(tmp_path), plan_only=True))
    assert caught.value.finding.code == "shards.gap"
    assert [other.code for other in caught.value.others] == ["config.missing"]
