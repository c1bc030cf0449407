"""What a config.json lacks and other files, or its own fields, make up for; and what is only an adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mappings.architectures import BUILT_IN
from tracer.checkpoint.files import LocalFiles
from tracer.checkpoint.folder import open_checkpoint
from tracer.errors import InputError
from tracer.prepare.completing import completed


@pytest.mark.parametrize(("model_type", "name"), [
    ("llama", "LlamaForCausalLM"), ("gpt2", "GPT2LMHeadModel"), ("bloom", "BloomForCausalLM"),
    ("deepseek_v3", "DeepseekV3ForCausalLM"), ("gpt_oss", "GptOssForCausalLM"), ("qwen2", "Qwen2ForCausalLM"),
])  # fmt: skip
def test_an_architecture_that_is_not_named_follows_from_the_model_type(
    model_type: str, name: str, tmp_path: Path
) -> None:
    config, (finding,) = completed({"model_type": model_type}, LocalFiles(tmp_path))
    assert config["architectures"] == [name]
    assert (finding.code, finding.severity, finding.subject) == ("config.missing-field", "info", "architectures")


@pytest.mark.parametrize("config", [{}, {"model_type": "qwen"}, {"model_type": 3}, {"model_type": ""}])
def test_nothing_is_made_up(config: dict[str, Any], tmp_path: Path) -> None:
    assert completed(config, LocalFiles(tmp_path)) == (config, [])


def test_what_is_stated_stays() -> None:
    stated = {"architectures": [BUILT_IN[0].name], "model_type": "gpt2"}
    assert completed(stated, LocalFiles(Path(__file__).parent)) == (stated, [])


def test_a_scheme_may_be_told_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "quantize_config.json").write_text('{"bits": 4, "group_size": 128}')
    config, _ = completed({"architectures": ["X"]}, LocalFiles(tmp_path))
    assert config["quantization_config"] == {"quant_method": "gptq", "bits": 4, "group_size": 128}
    stated = {"architectures": ["X"], "quantization_config": {"quant_method": "awq"}}
    assert completed(stated, LocalFiles(tmp_path))[0] == stated


@pytest.mark.parametrize(("adapter", "said"), [
    ({"peft_type": "LORA", "base_model_name_or_path": "org/base"}, "a LORA adapter to 'org/base'"),
    ({}, "a PEFT adapter; load that model"),
    ({"peft_type": ["?"], "base_model_name_or_path": 3}, "a PEFT adapter; load that model"),
])  # fmt: skip
@pytest.mark.parametrize("beside", [[], ["adapter_model.bin"], ["adapter_model.safetensors", "optimizer.pt"]])
def test_an_adapter_is_no_model(tmp_path: Path, adapter: dict[str, Any], said: str, beside: list[str]) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps(adapter))
    for file in beside:
        (tmp_path / file).write_bytes(b"anything")
    with pytest.raises(InputError) as caught:
        open_checkpoint(tmp_path)
    assert (caught.value.code, said in str(caught.value)) == ("adapter.not-a-model", True)
