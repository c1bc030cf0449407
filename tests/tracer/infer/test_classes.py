"""The class that config.json names: a finding where the modules that are stored are not its, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.geometries import geometry
from mappings.findings import Finding
from tests.tracer.infer.synthetic import inferred, tensors_of


def found(name: str, claimed: str, **more: Any) -> list[Finding]:
    config = geometry(name) | {"architectures": [claimed], **more}
    return [each for each in inferred(tensors_of(geometry(name)), config).findings if each.code == "arch.mismatch"]


def test_a_class_whose_biases_are_not_stored_is_not_these_tensors() -> None:
    (finding,) = found("llama-3-8b", "Qwen2ForCausalLM", model_type="qwen2")
    assert (finding.severity, finding.subject) == ("error", "Qwen2ForCausalLM")
    assert "no bias of self_attn.q_proj is stored, which Qwen2ForCausalLM always has" in finding.message


def test_biases_that_a_class_does_not_read_are_told_unless_the_config_asks_for_them() -> None:
    (finding,) = found("qwen2-7b", "LlamaForCausalLM", model_type="llama")
    assert "a bias of self_attn.q_proj is stored" in finding.message
    assert finding.fix is not None and "Qwen2ForCausalLM" in finding.fix
    assert not found("qwen2-7b", "LlamaForCausalLM", model_type="llama", attention_bias=True)


def test_modules_that_a_class_does_not_have_are_told() -> None:
    (finding,) = found("qwen3-8b", "LlamaForCausalLM", model_type="llama")
    assert "self_attn.q_norm is stored, which LlamaForCausalLM does not have" in finding.message


def test_a_class_that_names_leave_to_a_guess_is_not_told_to_be_set() -> None:
    """Llama's modules are Mistral's too: that Qwen2's biases are absent is sure, which class it is instead is not."""
    (finding,) = found("llama-3-8b", "Qwen2ForCausalLM", hidden_size=4096)
    config = {**geometry("llama-3-8b"), "hidden_size": 512, "head_dim": 32, "num_attention_heads": 16}
    (unpublished,) = [
        each for each in inferred(tensors_of(config), config | {"architectures": ["Qwen2ForCausalLM"]}).findings
        if each.code == "arch.mismatch"
    ]  # fmt: skip
    assert finding.severity == unpublished.severity == "error"
    assert unpublished.fix is None and "MistralForCausalLM" in unpublished.message


@pytest.mark.parametrize(("name", "claimed"), [
    ("llama-3-8b", "MistralForCausalLM"), ("mistral-7b-v0.1", "LlamaForCausalLM"), ("llama-3-8b", "GraniteForCausalLM"),
    ("phi-3-mini-4k", "LlamaForCausalLM"), ("gpt2", "GPTBigCodeForCausalLM"), ("qwen3-8b", "MyOwnForCausalLM"),
    ("qwen3-8b", "LlamaForSequenceClassification"),
])  # fmt: skip
def test_a_class_that_names_cannot_tell_apart_or_that_nobody_knows_is_no_mismatch(name: str, claimed: str) -> None:
    assert not found(name, claimed)


@pytest.mark.parametrize("odd", [None, "LlamaForCausalLM", [], [None], [["x"]], [1], {"a": 1}])
def test_what_is_no_list_of_names_is_compared_with_nothing(odd: Any) -> None:
    config = geometry("qwen3-8b") | {"architectures": odd}
    findings = inferred(tensors_of(geometry("qwen3-8b")), config).findings
    assert not [each for each in findings if each.code == "arch.mismatch"]
