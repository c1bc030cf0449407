"""Every checkpoint of the corpus through `tracer doctor`: real metadata, and the verdict that its source.json wants.

The corpus says how severe a checkpoint is, the table says of what kind.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import corpus
from tracer.cli import main


class Said(NamedTuple):
    """The codes of everything that is said, by severity."""

    errors: frozenset[str] | set[str] = frozenset()
    warnings: frozenset[str] | set[str] = frozenset()
    remarks: frozenset[str] | set[str] = frozenset()


CLONE, UNKNOWN = {"file.lfs-pointer"}, {"arch.unknown"}
"""A clone without its large files; an architecture without rows, which is no fault of the files."""
UNKNOWN_CLONE = CLONE | UNKNOWN
PACKED_CLONE = CLONE | {"quant.unsupported"}
UNKNOWN_KEYS = UNKNOWN | {"tensor.ignored"}
"""Of some GGUF files the keys were collected, and what their tensors are called follows from nothing."""

GPTQ = (
    "genz-70b-gptq-3bit--1g", "genz-70b-gptq-3bit-128g", "genz-70b-gptq-4bit-128g", "wizard-vicuna-30b-gptq-3bit-128g",
    "wizard-vicuna-30b-gptq-4bit--1g", "wizard-vicuna-30b-gptq-4bit-128g", "wizard-vicuna-30b-gptq-4bit-32g",
    "wizard-vicuna-30b-gptq-8bit--1g",
)  # fmt: skip
"""Two models, packed in all the ways that one account published."""

CORPUS: dict[str, Said] = {
    **dict.fromkeys(GPTQ, Said(remarks=PACKED_CLONE)),
    "bloom-176b-bin-corrupt-total-size": Said(warnings={"index.total-size"}, remarks=CLONE | {"config.missing-field"}),
    "bloom-176b-safetensors-mixed": Said(remarks=CLONE),
    "codet5p-16b-bin": Said(remarks=UNKNOWN_CLONE),
    "cosmos-reason2-8b-qwen3-vl": Said(warnings={"index.total-size"}, remarks=UNKNOWN_CLONE),
    "deepseek-ocr": Said(remarks=UNKNOWN),
    "deepseek-r1-distill-qwen-14b-mlx-3bit": Said(errors={"index.missing-file"}, remarks=PACKED_CLONE),
    "falcon-180b-chat": Said(remarks={"tie.conflict"}),
    "falcon-40b-first-upload": Said(remarks=UNKNOWN_CLONE),
    "fixture-weight-inspect-tiny": Said(errors={"file.trailing-bytes", "file.truncated"}, remarks={"tensor.ignored"}),
    "gemma-2-2b-mithoon-bin": Said(remarks=UNKNOWN_CLONE),
    "gemma-2b-it": Said(remarks=UNKNOWN_CLONE),
    "gemma-2b-it-lm-head-stored": Said(remarks=UNKNOWN_CLONE),
    "gguf-bitnet-2b-i2_s": Said(remarks=UNKNOWN_KEYS),
    "gguf-deepseek-coder-v2-lite-q4_k_m": Said(remarks=UNKNOWN),
    "gguf-deepseek-r1-0528-thireus-split1148": Said(errors={"shards.gap"}, remarks=UNKNOWN_KEYS),
    "gguf-deepseek-r1-f16-1147": Said(remarks=UNKNOWN),
    "gguf-deepseek-r1-mislabelled-q8_0": Said(warnings={"config.conflict"}, remarks=UNKNOWN),
    "gguf-deepseek-r1-q4_k_m-1025": Said(remarks=UNKNOWN),
    "gguf-gemma-3-27b-qat-q4_k_m": Said(remarks=UNKNOWN),
    "gguf-glm-z1-rumination-32b-chatglm-label": Said(warnings={"arch.mismatch"}, remarks=UNKNOWN),
    "gguf-kimi-k2-q8_0": Said(remarks=UNKNOWN),
    "gguf-kimi-k2-ud-iq3_xxs-part6": Said(errors={"shards.gap"}, remarks={"config.missing"}),
    "gguf-llama-2-13b-chat-q8_0": Said(),
    "gguf-nemotron-ultra-253b-deci": Said(errors={"shards.gap"}, remarks=UNKNOWN_KEYS),
    "gguf-qwen3-235b-name-models": Said(remarks=UNKNOWN),
    "gguf-qwen3-30b-a3b-ud-q4_k_xl": Said(remarks=UNKNOWN),
    "gguf-qwen3-32b-q4_0": Said(),
    "gguf-vocab-only-gpt-neox": Said(remarks=UNKNOWN_KEYS),
    "gguf-vocab-only-phi-3": Said(remarks=UNKNOWN_KEYS),
    "granite-3.1-1b-a400m-fp32": Said(remarks=UNKNOWN_CLONE),
    "granite-3b-code-128k": Said(),
    "internlm-20b-bin": Said(remarks=CLONE),
    "kimi2-pcl-1t-expansion": Said(errors={"arch.mismatch", "config.missing-field"}),
    "layoutlm-wikipedia-ja-bin": Said(warnings={"config.conflict"}, remarks=UNKNOWN),
    "llama-3.1-8b-llm-int8": Said(remarks={"quant.unsupported"}),
    "llama-3.2-3b-one-tensor-per-shard": Said(errors={"index.missing-file", "layers.missing", "param.unfilled"}, ),
    "locateanything-3b": Said(warnings={"tie.conflict"}, remarks=UNKNOWN),
    "logics-thinking-8b": Said(remarks={"arch.unknown", "config.conflict"}),
    "lora-colpali-paligemma": Said(remarks={"adapter.not-a-model"}),
    "lora-distilbert-emotion": Said(remarks={"adapter.not-a-model"}),
    "lora-glm4-9b-kangya": Said(remarks={"adapter.not-a-model"}),
    "lzlv-70b-fp16": Said(remarks={"config.conflict", "file.lfs-pointer"}),
    "mimo-7b-rl": Said(remarks=UNKNOWN),
    "minicpm-v-2.6-renamed-qwen2": Said(warnings={"tensor.unmapped"}),
    "minimax-m1-80k": Said(remarks=UNKNOWN),
    "mistral-small-4-119b-mlx-4bit": Said(remarks=UNKNOWN),
    "molmo-7b-d-nf4": Said(remarks=UNKNOWN),
    "mpt-7b-instruct-bin": Said(remarks=UNKNOWN),
    "neuroweave-mistral-7b-bf16": Said(),
    "oasst-pythia-1.4b-reward-model": Said(remarks=UNKNOWN_CLONE),
    "openpangu-embedded-7b": Said(remarks=UNKNOWN_CLONE),
    "phi-2-mixformer-bin": Said(remarks={"arch.unknown", "file.lfs-pointer", "layers.extra"}),
    "pygmalion-7b-safetensors": Said(remarks={"file.lfs-pointer", "tensor.derived"}),
    "qwen-72b-chat": Said(remarks=UNKNOWN_CLONE),
    "qwen-vl-chat-int4": Said(remarks=UNKNOWN),
    "qwen2.5-3b-digital-person": Said(),
    "qwen3-1.7b-mlx-bf16": Said(),
    "qwen3-vl-30b-a3b": Said(remarks=UNKNOWN),
    "qwen3.5-18b-a3b-reap-pruned": Said(warnings={"config.conflict"}, remarks=UNKNOWN_CLONE | {"layers.missing"}),
    "reflection-70b-mixed-upload": Said(errors={"index.wrong-shard"}, warnings={"index.total-size"}, remarks=CLONE),
    "reflection-70b-partial-upload": Said(errors={"index.missing-file"}, remarks=CLONE),
    "scicore-omics-stale-total-size": Said(warnings={"index.total-size"}, remarks=UNKNOWN),
    "vit-stanford-dogs": Said(remarks=UNKNOWN),
    "vita-lfs-pointers-only": Said(errors=CLONE, warnings=CLONE),
    "wizardlm-2-8x22b": Said(remarks=CLONE),
    "zhuzhi-6b-chatglm2-bin": Said(remarks=UNKNOWN_CLONE),
}

WORST = {"ok": Said(), "info": Said(), "warning": Said(warnings={"any"}), "fatal": Said(errors={"any"})}

ONE_OF_SEVERAL = {
    "gguf-deepseek-r1-0528-thireus-split1148", "gguf-kimi-k2-ud-iq3_xxs-part6", "gguf-nemotron-ultra-253b-deci",
}  # fmt: skip
"""One part of a split model is here. As a folder it is not complete; the verdict is on the file that is here."""

ALL_OF_SEVERAL = {
    "gguf-deepseek-r1-q4_k_m-1025", "gguf-glm-z1-rumination-32b-chatglm-label", "gguf-qwen3-235b-name-models",
}  # fmt: skip
"""Split models all of whose parts are here, so that one can be left alone."""


class Outcome(NamedTuple):
    status: int
    said: Said
    out: str
    records: list[dict[str, Any]]


def outcome(model: Path, capsys: pytest.CaptureFixture[str]) -> Outcome:
    """What the command prints, and what it writes as JSON Lines, which have to agree."""
    target = model.parent / "records.jsonl" if model.is_dir() else model.parents[1] / "records.jsonl"
    status = main(["doctor", str(model), "--json", str(target)])
    out, err = capsys.readouterr()
    assert err == ""
    records = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    found = set(re.findall(r"^(ERROR|warning|info)  (\S+)  ", out, re.MULTILINE))
    assert found == {
        ({"error": "ERROR"}.get(each["severity"], each["severity"]), each["code"])
        for each in records if each["kind"] == "finding"
    }  # fmt: skip
    by_mark = [{code for mark, code in found if mark == wanted} for wanted in ("ERROR", "warning", "info")]
    return Outcome(status, Said(*by_mark), out, records)


def test_every_checkpoint_is_in_the_table() -> None:
    assert sorted(CORPUS) == corpus.slugs()


@pytest.mark.parametrize("slug", CORPUS)
def test_a_checkpoint_gets_its_verdict(slug: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = outcome(corpus.materialise(slug, tmp_path / slug), capsys)
    said = Said(*(codes - {"value.all-zero"} for codes in found.said))  # that data was not collected is known
    assert said == CORPUS[slug], found.out
    assert found.status == (1 if said.errors else 0)
    if slug not in ONE_OF_SEVERAL:
        wanted = WORST[corpus.described(slug, "source.json")["severity"]]
        assert bool(said.errors) == bool(wanted.errors), found.out
        assert bool(said.warnings) == bool(wanted.warnings) or wanted.errors, found.out


@pytest.mark.parametrize("slug", sorted(ONE_OF_SEVERAL | ALL_OF_SEVERAL))
def test_one_file_of_several_is_sound_where_the_file_is_what_was_asked_about(
    slug: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, *others = sorted(corpus.materialise(slug, tmp_path / slug).iterdir())
    assert bool(others) == (slug in ALL_OF_SEVERAL)
    for other in others:
        other.unlink()
    found = outcome(file, capsys)
    # A wrong name for the architecture is wrong in each part.
    assert (found.status, found.said.errors, found.said.warnings) == (0, set(), CORPUS[slug].warnings), found.out
    assert "shards.gap" in found.said.remarks
    assert "not checked: names (one file of several was named" in found.out


@pytest.mark.parametrize(("slug", "said"), [
    ("bloom-176b-bin-corrupt-total-size", "72 digits (25670166...), config.json and the rows give 352494542848"),
    ("cosmos-reason2-8b-qwen3-vl", "metadata.total_size is 0, the files have 17534339368 bytes together"),
    ("deepseek-r1-distill-qwen-14b-mlx-3bit", "1 of them missing: model-00001-of-00002.safetensors"),
    ("fixture-weight-inspect-tiny", "describes 32768 bytes of data, the file holds 32773: 5 extra"),
    ("gguf-deepseek-r1-mislabelled-q8_0", "7 (Q8_0), but 438 of 1,147 tensors are Q8_0, with"),
    ("gguf-deepseek-r1-mislabelled-q8_0", "and the whole 4.016 bits a weight"),
    ("gguf-glm-z1-rumination-32b-chatglm-label", "122 of the 613 here are: blk.{0..60}.post_attention_norm.weight"),
    ("gguf-glm-z1-rumination-32b-chatglm-label", "all are in its list of glm4 ("),
    ("kimi2-pcl-1t-expansion", "self_attn.kv_b_proj"),
    ("layoutlm-wikipedia-ja-bin", "torch_dtype is F32, but the size of its files (230025216) makes it 2 bytes"),
    ("locateanything-3b", "text_config.tie_word_embeddings is true, but language_model.lm_head.weight is stored"),
    ("logics-thinking-8b", "siglip_config.num_hidden_layers is 27, model.vision_tower.vision_towers.1.vision_tower"),
    ("lora-distilbert-emotion", "looked at: adapter  rank 8 on q_lin, v_lin, 12 pairs in 28 tensors"),
    ("minicpm-v-2.6-renamed-qwen2", "vpm.**: 437 tensors of a module that Qwen2ForCausalLM does not have"),
    ("phi-2-mixformer-bin", "n_layer is 32, layers has 32..33 beside them"),
    ("qwen3.5-18b-a3b-reap-pruned", "names lie under language_model, as in a model with towers"),
    ("qwen3.5-18b-a3b-reap-pruned", "mtp_num_hidden_layers is 1, but no tensor is of such a layer"),
    ("reflection-70b-mixed-upload", "(lm_head.weight): 2323545626 short; it is as large as model-00161-of-00162"),
    ("reflection-70b-partial-upload", "names 162 files, 39 of them missing"),
    ("scicore-omics-stale-total-size", "to the byte what 789 of the 960 tensors have by config.json at 2 bytes an"),
    ("scicore-omics-stale-total-size", "nothing is left for the other 171 (classifier_head, gene_projector, nich"),
    ("vita-lfs-pointers-only", "config.json: expected JSON, found a Git-LFS pointer"),
    ("wizard-vicuna-30b-gptq-4bit-32g", "looked at: sizes  19,435,091,032 bytes are what 4 bits in groups of 32 take"),
])  # fmt: skip
def test_the_cause_is_named(slug: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in outcome(corpus.materialise(slug, tmp_path / slug), capsys).out.replace("ok  ", "looked at: ")


def test_what_has_no_rows_is_not_checked_rather_than_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = outcome(corpus.materialise("gemma-2b-it", tmp_path / "gemma"), capsys)
    undone = {each["name"] for each in found.records if each["kind"] == "check" and each["state"] == "not-checked"}
    assert {"names", "shapes", "values"} <= undone
