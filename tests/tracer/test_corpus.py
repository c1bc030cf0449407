"""Every checkpoint of the corpus through `trace-load --plan`: real metadata, and the verdict its source.json wants.

A clone without its large files has names, shapes (from the rows) and the size of each file; what is wrong or odd in
these 74 has to be found in that. The corpus says how severe it is, the tables below say what it is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import corpus
from tracer.cli import trace_load

POINTERS = "file.lfs-pointer"

SUPPORTED: dict[str, set[str]] = {
    "bloom-176b-bin-corrupt-total-size": {"index.total-size", "config.missing-field", POINTERS},
    "bloom-176b-safetensors-mixed": {POINTERS},
    "falcon-180b-chat": {"tie.conflict"},
    "gguf-llama-2-13b-chat-q8_0": set(),
    "gguf-qwen3-32b-q4_0": set(),
    "granite-3b-code-128k": set(),
    "internlm-20b-bin": {POINTERS},
    "kimi2-pcl-1t-expansion": {"arch.mismatch", "config.missing-field"},
    "llama-3.2-3b-one-tensor-per-shard": {"index.missing-file", "layers.missing", "param.unfilled"},
    "lzlv-70b-fp16": {"config.conflict", POINTERS},
    "minicpm-v-2.6-renamed-qwen2": {"tensor.unmapped"},
    "neuroweave-mistral-7b-bf16": set(),
    "pygmalion-7b-safetensors": {"tensor.derived", POINTERS},
    "qwen2.5-3b-digital-person": set(),
    "qwen3-1.7b-mlx-bf16": set(),
    "reflection-70b-mixed-upload": {"index.wrong-shard", "index.total-size", POINTERS},
    "reflection-70b-partial-upload": {"index.missing-file", POINTERS},
    "wizardlm-2-8x22b": {POINTERS},
}
"""Architectures that have rows: the code of everything that is said, and nothing else is."""

UNSUPPORTED_SCHEME: dict[str, set[str]] = {
    "deepseek-r1-distill-qwen-14b-mlx-3bit": {"index.missing-file", POINTERS},
    "llama-3.1-8b-llm-int8": set(),
    **{
        slug: {POINTERS}
        for slug in (
            "genz-70b-gptq-3bit--1g", "genz-70b-gptq-3bit-128g", "genz-70b-gptq-4bit-128g",
            "wizard-vicuna-30b-gptq-3bit-128g", "wizard-vicuna-30b-gptq-4bit--1g", "wizard-vicuna-30b-gptq-4bit-128g",
            "wizard-vicuna-30b-gptq-4bit-32g", "wizard-vicuna-30b-gptq-8bit--1g",
        )
    },
}  # fmt: skip
"""The architecture has rows, the quantisation no layouts: refused in one line; and what the files tell beside it."""

NO_MODEL: dict[str, str] = {
    "fixture-weight-inspect-tiny": "file.trailing-bytes",
    "lora-colpali-paligemma": "adapter.not-a-model",
    "lora-distilbert-emotion": "adapter.not-a-model",
    "lora-glm4-9b-kangya": "adapter.not-a-model",
    "vita-lfs-pointers-only": "file.lfs-pointer",
}
"""Not to be read as a model at all: one line on stderr, exit status 2."""

NO_DESCRIPTION = {"gguf-kimi-k2-ud-iq3_xxs-part6": {"config.missing", "shards.gap"}}
"""Part 6 of 9: what describes the model is in part 1."""

NEAREST = {
    "codet5p-16b-bin": "", "cosmos-reason2-8b-qwen3-vl": "Qwen3ForCausalLM", "deepseek-ocr": "DeepseekV2ForCausalLM",
    "falcon-40b-first-upload": "", "gemma-2-2b-mithoon-bin": "", "gemma-2b-it": "", "gemma-2b-it-lm-head-stored": "",
    "gguf-bitnet-2b-i2_s": "", "gguf-deepseek-coder-v2-lite-q4_k_m": "DeepseekV2ForCausalLM",
    "gguf-deepseek-r1-0528-thireus-split1148": "DeepseekV2ForCausalLM",
    "gguf-deepseek-r1-f16-1147": "DeepseekV2ForCausalLM", "gguf-deepseek-r1-mislabelled-q8_0": "DeepseekV2ForCausalLM",
    "gguf-deepseek-r1-q4_k_m-1025": "DeepseekV2ForCausalLM", "gguf-gemma-3-27b-qat-q4_k_m": "",
    "gguf-glm-z1-rumination-32b-chatglm-label": "", "gguf-kimi-k2-q8_0": "DeepseekV2ForCausalLM",
    "gguf-nemotron-ultra-253b-deci": "", "gguf-qwen3-235b-name-models": "Qwen3ForCausalLM",
    "gguf-qwen3-30b-a3b-ud-q4_k_xl": "Qwen3ForCausalLM", "gguf-vocab-only-gpt-neox": "",
    "gguf-vocab-only-phi-3": "Phi3ForCausalLM", "granite-3.1-1b-a400m-fp32": "", "layoutlm-wikipedia-ja-bin": "",
    "locateanything-3b": "", "logics-thinking-8b": "", "mimo-7b-rl": "", "minimax-m1-80k": "",
    "mistral-small-4-119b-mlx-4bit": "MistralForCausalLM", "molmo-7b-d-nf4": "", "mpt-7b-instruct-bin": "",
    "oasst-pythia-1.4b-reward-model": "", "openpangu-embedded-7b": "", "phi-2-mixformer-bin": "",
    "qwen-72b-chat": "", "qwen-vl-chat-int4": "", "qwen3-vl-30b-a3b": "Qwen3ForCausalLM",
    "qwen3.5-18b-a3b-reap-pruned": "Qwen3ForCausalLM", "scicore-omics-stale-total-size": "", "vit-stanford-dogs": "",
    "zhuzhi-6b-chatglm2-bin": "",
}  # fmt: skip
"""Architectures without rows; where a relative of theirs has some, it is among those that are offered."""

FILES_ARE_WRONG_TOO = {
    "cosmos-reason2-8b-qwen3-vl": {"index.total-size"},
    # The corpus has the first file of these, not the others.
    "gguf-deepseek-r1-0528-thireus-split1148": {"shards.gap"},
    "gguf-nemotron-ultra-253b-deci": {"shards.gap"},
    # General.file_type is wrong.
    "gguf-deepseek-r1-mislabelled-q8_0": {"config.conflict"},
}
"""Of those without rows, faults that need none to be seen; of all others nothing must be said against the files."""

WORST = {"ok": "info", "info": "info", "warning": "warning", "fatal": "ERROR"}
"""The corpus' verdicts, as the worst mark that may and, from warnings on, must stand before a line."""


class Outcome(NamedTuple):
    status: int
    marks: dict[str, str]
    """Code -> the mark before its first line."""
    out: str
    err: str


def outcome(slug: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Outcome:
    try:
        status = trace_load([str(corpus.materialise(slug, folder / slug)), "--plan"])
    except SystemExit as ended:
        assert isinstance(ended.code, int)
        status = ended.code
    out, err = capsys.readouterr()
    found = re.findall(r"^(ERROR|warning|info)  (\S+)  ", out, re.MULTILINE)
    return Outcome(status, dict(reversed([(code, mark) for mark, code in found])), out, err)


def test_every_checkpoint_is_judged_once() -> None:
    tables = [*SUPPORTED, *UNSUPPORTED_SCHEME, *NO_MODEL, *NO_DESCRIPTION, *NEAREST]
    assert sorted(tables) == corpus.slugs()


@pytest.mark.parametrize("slug", SUPPORTED)
def test_a_supported_architecture_gets_the_verdict_of_the_corpus(
    slug: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = outcome(slug, tmp_path, capsys)
    worst = WORST[corpus.described(slug, "source.json")["severity"]]
    assert found.err == ""
    assert set(found.marks) == SUPPORTED[slug], found.out
    assert ("ERROR" in found.marks.values()) == (worst == "ERROR") == (found.status == 1), found.out
    assert found.status in (0, 1)
    assert ("warning" in found.marks.values()) == (worst == "warning") or worst == "ERROR", found.out


@pytest.mark.parametrize(("slug", "said"), [
    ("bloom-176b-bin-corrupt-total-size", "72 digits (25670166...), config.json and the rows give 352494542848"),
    ("kimi2-pcl-1t-expansion", "self_attn.kv_b_proj"),
    ("lzlv-70b-fp16", "as if model.embed_tokens.weight, lm_head.weight had 4 bytes an element, the others F16"),
    ("minicpm-v-2.6-renamed-qwen2", "vpm.**: 437 tensors of a module that Qwen2ForCausalLM does not have"),
    ("reflection-70b-mixed-upload", "(lm_head.weight): 2323545626 short; it is as large as model-00161-of-00162"),
    ("reflection-70b-mixed-upload", "282215219200 is what vocab_size = 128262 would give"),
    ("reflection-70b-partial-upload", "names 162 files, 39 of them missing"),
    ("llama-3.2-3b-one-tensor-per-shard", "names 254 files, 243 of them missing"),
])  # fmt: skip
def test_the_right_cause_is_named(slug: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in outcome(slug, tmp_path, capsys).out


@pytest.mark.parametrize("slug", UNSUPPORTED_SCHEME)
def test_an_unsupported_quantisation_is_one_line_and_no_guess(
    slug: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = outcome(slug, tmp_path, capsys)
    assert (found.status, found.err) == (1, "")
    assert found.out.startswith("ERROR  quant.unsupported")
    assert set(found.marks) == {"quant.unsupported"} | UNSUPPORTED_SCHEME[slug]


@pytest.mark.parametrize("slug", NEAREST)
def test_an_unknown_architecture_is_one_line_with_the_nearest(
    slug: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = outcome(slug, tmp_path, capsys)
    assert (found.status, found.err) == (1, "")
    line = found.out.splitlines()[0]
    assert line.startswith("ERROR  arch.unknown  no rows for architecture")
    assert NEAREST[slug] in line.partition("; nearest: ")[2] != ""
    assert set(found.marks) - {"arch.unknown", POINTERS} == FILES_ARE_WRONG_TOO.get(slug, set()), found.out


@pytest.mark.parametrize("slug", NO_DESCRIPTION)
def test_a_part_without_the_first_says_so(slug: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = outcome(slug, tmp_path, capsys)
    assert (found.status, set(found.marks)) == (1, NO_DESCRIPTION[slug])


@pytest.mark.parametrize("slug", NO_MODEL)
def test_what_is_no_model_is_one_line_on_stderr(
    slug: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = outcome(slug, tmp_path, capsys)
    assert (found.status, found.out) == (2, "")
    assert found.err.count("\n") == 1
    assert f"[{NO_MODEL[slug]}]" in found.err
