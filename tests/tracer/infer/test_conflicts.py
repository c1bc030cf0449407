"""An existing config.json against the tensors: every disagreement once, with both values; nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fixtures.geometries import geometry
from mappings.findings import Finding
from tests import corpus
from tests.tracer.infer.synthetic import inferred, tensors_of
from tracer.infer import compare

WRONG = [
    ("llama-3-8b", {"num_key_value_heads": 32}, "num_key_value_heads", 32, 8),
    ("llama-3-8b", {"num_hidden_layers": 33}, "num_hidden_layers", 33, 32),
    ("llama-3-8b", {"intermediate_size": 11008}, "intermediate_size", 11008, 14336),
    ("llama-3-8b", {"vocab_size": 32000}, "vocab_size", 32000, 128256),
    ("llama-3-8b", {"hidden_size": 8192}, "hidden_size", 8192, 4096),
    ("qwen3-8b", {"head_dim": 64}, "head_dim", 64, 128),
    ("mixtral-8x7b", {"num_local_experts": 4}, "num_local_experts", 4, 8),
    ("deepseek-v2-lite", {"kv_lora_rank": 256}, "kv_lora_rank", 256, 512),
    ("gpt2", {"n_embd": 1024}, "n_embd", 1024, 768),
    ("bloom-560m", {"n_layer": 12}, "n_layer", 12, 24),
]

EXPECTED: dict[str, set[tuple[str, str, str]]] = {
    "falcon-180b-chat": {("tie.conflict", "info", "lm_head.weight")},
    "gemma-2b-it-lm-head-stored": {("tie.conflict", "info", "lm_head.weight")},
    "kimi2-pcl-1t-expansion": {("config.conflict", "error", "num_key_value_heads")},
    "layoutlm-wikipedia-ja-bin": {("config.conflict", "warning", "torch_dtype")},
    "locateanything-3b": {("tie.conflict", "warning", "language_model.lm_head.weight")},
    "logics-thinking-8b": {("config.conflict", "info", "siglip_config")},
    "minicpm-v-2.6-renamed-qwen2": {("config.conflict", "warning", "resampler")},
    "qwen3.5-18b-a3b-reap-pruned": {("config.conflict", "warning", "mtp_num_hidden_layers")},
    # Its embedding's file has the bytes of config.json's vocabulary; only the index's total is of the other upload.
    "reflection-70b-mixed-upload": {("index.total-size", "warning", "model.safetensors.index.json")},
}
"""What is wrong between config.json and the tensors, by `source.json`; the rest of the corpus is in no conflict."""


@pytest.mark.parametrize(("name", "change", "field", "said", "seen"), WRONG)
def test_one_wrong_field_is_one_finding_with_both_values(
    name: str, change: dict[str, Any], field: str, said: int, seen: int
) -> None:  # fmt: skip
    config = geometry(name)
    (finding,) = of(inferred(tensors_of(config), config | change).findings)
    assert (finding.code, finding.severity, finding.subject) == ("config.conflict", "error", field)
    assert str(said) in finding.message and str(seen) in finding.message
    assert finding.fix == f"set {field} to {seen}"


def test_a_nested_text_config_is_read_and_outranks_what_lies_around_it() -> None:
    config = geometry("qwen3-8b")
    nested = {"architectures": ["Qwen3VLForConditionalGeneration"], "hidden_size": 1, "text_config": config}
    assert not inferred(tensors_of(config), nested).findings
    nested["text_config"] = config | {"intermediate_size": 1}
    (finding,) = inferred(tensors_of(config), nested).findings
    assert finding.subject == "intermediate_size"


def test_sizes_around_a_nested_decoder_are_not_the_decoders() -> None:
    """Music Flamingo: the head_dim outside is the audio tower's."""
    config = geometry("llama-3-8b")
    nested = {"head_dim": 1280, "num_key_value_heads": 3, "text_config": config}
    assert not inferred(tensors_of(config), nested).findings


@pytest.mark.parametrize("outer", [{}, {"tie_word_embeddings": True}])
def test_a_nested_config_that_does_not_tie_is_no_error_where_what_is_around_it_may(outer: dict[str, Any]) -> None:
    """Mistral 3, InternVL: the class of the whole ties, whatever its decoder's config says."""
    config = geometry("llama-3-8b") | {"tie_word_embeddings": False}
    stored = [tensor for tensor in tensors_of(config) if tensor.name != "lm_head.weight"]
    assert not inferred(stored, {**outer, "text_config": config}).findings


def test_a_model_without_a_head_is_whole_where_its_names_or_its_class_say_so() -> None:
    """Qwen3-Embedding does not tie, and has no head to tie."""
    config = geometry("llama-3-8b") | {"tie_word_embeddings": False}
    stored = [tensor for tensor in tensors_of(config) if tensor.name != "lm_head.weight"]
    bare = [replace(tensor, name=tensor.name.removeprefix("model.")) for tensor in stored]
    assert not inferred(bare, config).findings
    assert not inferred(stored, config | {"architectures": ["LlamaModel"]}).findings


@pytest.mark.parametrize(("name", "field", "seen"), [
    ("mistral-7b-v0.1", "num_key_value_heads", 8), ("falcon-40b", "num_kv_heads", 8), ("qwen3-0.6b", "head_dim", 128),
    ("gpt-oss-20b", "head_dim", 64),
])  # fmt: skip
@pytest.mark.parametrize("absent", [True, False])
def test_a_field_that_is_absent_is_named_and_not_said_to_have_a_value(
    name: str, field: str, seen: int, absent: bool
) -> None:
    config = geometry(name)
    said = {key: value for key, value in config.items() if key != field} if absent else config | {field: None}
    (finding,) = inferred(tensors_of(config), said).findings
    assert (finding.code, finding.severity, finding.subject) == ("config.missing-field", "warning", field)
    assert finding.fix == f"set {field} to {seen}"


ODD: list[Any] = [
    None, "32", "x", "", -1, 0, 1.5, float("inf"), float("nan"), [], [1], {}, {"a": 1}, True, False, 2**70,
]  # fmt: skip


@pytest.mark.parametrize("name", ["llama-3-8b", "gpt2", "falcon-40b", "mixtral-8x7b", "mamba-2.8b"])
def test_no_value_of_any_field_ends_in_a_traceback(name: str) -> None:
    config = geometry(name)
    found = inferred(tensors_of(config))
    more = ("text_config", "architectures", "model_type", "quantization_config", "torch_dtype", "attention_bias",
            "vision_config", "num_nextn_predict_layers", "expansion_ratio")  # fmt: skip
    for field in (*config, *more):
        for value in ODD:
            compare(found, config | {field: value})
            compare(found, {"text_config": config | {field: value}})


def test_a_number_in_quotes_is_shown_in_quotes() -> None:
    config = geometry("llama-3-8b")
    (finding,) = inferred(tensors_of(config), config | {"num_hidden_layers": "32"}).findings
    assert "says num_hidden_layers = '32', the tensors 32" in finding.message


def test_what_shapes_cannot_tell_is_never_a_conflict() -> None:
    config = geometry("llama-3-8b")
    odd = config | {"rope_theta": 1.0, "rms_norm_eps": 1.0, "hidden_act": "relu", "max_position_embeddings": 1}
    assert not inferred(tensors_of(config), odd).findings


def test_a_head_that_is_missing_is_an_error_where_the_config_does_not_tie() -> None:
    config = geometry("llama-3-8b")
    stored = [tensor for tensor in tensors_of(config) if tensor.name != "lm_head.weight"]
    (finding,) = inferred(stored, config | {"tie_word_embeddings": False}).findings
    assert (finding.code, finding.severity) == ("tie.conflict", "error")


@pytest.mark.parametrize("slug", corpus.slugs())
def test_the_corpus_is_in_conflict_where_its_source_says_so_and_nowhere_else(
    slug: str, checkpoints: dict[str, Any]
) -> None:  # fmt: skip
    if slug not in checkpoints:
        assert slug not in EXPECTED
        return
    _, config, hidden = checkpoints[slug]
    found = replace(hidden, findings=list(hidden.findings))
    if config and not slug.startswith("gguf-"):
        compare(found, config)
    told = {(finding.code, finding.severity, finding.subject) for finding in found.findings}
    assert told == EXPECTED.get(slug, set())


def of(findings: list[Finding]) -> list[Finding]:
    """Without the next-token layers that the rows do not synthesise."""
    return [finding for finding in findings if finding.subject != "num_nextn_predict_layers"]


@pytest.mark.parametrize("width", [64, 96, 160, 256])
def test_a_width_under_which_all_heads_fit_is_blamed_before_their_numbers(width: int) -> None:
    """No norm says how wide a head is; of q and of k, both counts of heads would have to be wrong."""
    config = geometry("llama-3-8b") | {"head_dim": 128}
    (finding,) = of(inferred(tensors_of(config), config | {"head_dim": width}).findings)
    assert (finding.subject, finding.fix) == ("head_dim", "set head_dim to 128")


def test_rows_that_are_no_number_of_heads_are_nothing_that_a_field_could_be_set_to() -> None:
    config = geometry("llama-3-8b") | {"head_dim": 128}
    (finding,) = of(inferred(tensors_of(config), config | {"head_dim": 96, "num_key_value_heads": 4}).findings)
    assert finding.fix is None or "in all" not in finding.fix
