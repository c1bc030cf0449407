"""Every checkpoint of the corpus with its config.json hidden: which of its fields come back.

What can come back depends on what a clone without its large files leaves, and is decided by that alone:

    names               layers, biases, what is tied; experts and dense first layers where names number them
    files of known size the widths: several files of different contents are several equations
    one total alone     the same where the geometry is published, as one equation has many solutions otherwise;
                        nothing where other models (vision towers) are in the same total
    one file, no names  the widths of a published decoder, quantised
    keys of a GGUF file all that they say, as nothing else says it
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from fixtures import fingerprints
from tests import corpus
from tracer.checkpoint.folder import Checkpoint
from tracer.infer.canonical import canonical
from tracer.infer.families import LLAMA_SPELLING

BY_NAMES = {"layers", "experts", "attention_bias", "mlp_bias", "tie", "dense"}
BY_WIDTHS = {
    "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "moe_ffn", "shared", "shared_ffn", "types",
    "axis_positions", "q_rank", "kv_rank", "nope", "rope", "v_dim",
}  # fmt: skip

WRONG_CONFIG = {
    ("kimi2-pcl-1t-expansion", "kv_heads"), ("reflection-70b-mixed-upload", "vocab"), ("locateanything-3b", "tie"),
    ("oasst-pythia-1.4b-reward-model", "tie"),
}  # fmt: skip
"""Fields that the config has wrong, or that mean nothing (a reward model has no head to tie)."""


class Compared(NamedTuple):
    """One field of one checkpoint."""

    slug: str
    field: str
    wanted: Any
    found: Any


def inferable(slug: str, checkpoint: Checkpoint, config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The fields that could come back, with the config's values."""
    numbered = any(".experts.0." in name for name in checkpoint.names)
    known = BY_WIDTHS if widths_are_told(slug, checkpoint, config) else set()
    known = known | (BY_NAMES if checkpoint.names else set()) - (set() if numbered else {"experts", "dense"})
    for field, value in canonical(config).items():
        told = field in known or slug.startswith("gguf-")
        if told and (slug, field) not in WRONG_CONFIG and value not in (None, 0):
            yield field, value


def widths_are_told(slug: str, checkpoint: Checkpoint, config: dict[str, Any]) -> bool:
    """Whether there are sizes enough, as the docstring above has it."""
    stacks = [name for name in corpus.described(slug, "source.json").get("layer_groups", {}) if "mtp" not in name]
    if len(checkpoint.pointer_sizes) > 1 or not checkpoint.names:
        return True
    text = {LLAMA_SPELLING[name]: value for name, value in canonical(config).items() if name in SHARED}
    return len(stacks) == 1 and bool(fingerprints.matching(text))


SHARED = ("layers", "hidden", "heads", "kv_heads", "ffn")
"""Numbers that a published geometry must have for it to be the same; words may have been added to it."""


def compared(checkpoints: dict[str, Any]) -> list[Compared]:
    return [
        Compared(slug, field, wanted, canonical(found.config()).get(field))
        for slug, (checkpoint, config, found) in checkpoints.items()
        for field, wanted in inferable(slug, checkpoint, config)
    ]  # fmt: skip


def test_at_least_95_percent_of_the_inferable_fields_come_back(checkpoints: dict[str, Any]) -> None:
    fields = compared(checkpoints)
    misses = [each for each in fields if each.found != each.wanted]
    for each in misses:
        print(f"{each.slug:<40} {each.field:<16} config {each.wanted}, inferred {each.found}")
    print(f"{len(fields) - len(misses)} of {len(fields)} fields, {len(checkpoints)} checkpoints")
    assert len(fields) > 350
    assert len(misses) <= 0.05 * len(fields)


def test_every_checkpoint_whose_sizes_determine_it_gives_back_its_hidden_size(checkpoints: dict[str, Any]) -> None:
    """No checkpoint may be lost for good behind an average."""
    lost = {each.slug for each in compared(checkpoints) if each.field == "hidden" and each.found != each.wanted}
    # An encoder in the files of the decoder; layers of two kinds with experts.
    assert lost <= {"codet5p-16b-bin", "qwen3.5-18b-a3b-reap-pruned"}


def test_what_is_called_certain_is_never_wrong(checkpoints: dict[str, Any]) -> None:
    wrong = []
    for slug, (_, config, found) in checkpoints.items():
        said = canonical(config)
        for field in found.fields:
            for name, value in canonical({field.name: field.value}).items() if field.confidence == "certain" else ():
                if name in said and said[name] != value and (slug, name) not in WRONG_CONFIG:
                    wrong.append((slug, field.name, field.value, said[name]))
    assert not wrong


def test_of_one_part_of_a_split_model_nothing_is_certain_that_other_parts_may_change(
    checkpoints: dict[str, Any],
) -> None:
    """Layers 36 to 42 of Kimi-K2, whose first layer is dense."""
    found = checkpoints["gguf-kimi-k2-ud-iq3_xxs-part6"].found
    certain = {field.name: field.value for field in found.fields if field.confidence == "certain"}
    assert {"hidden_size": 7168, "q_lora_rank": 1536, "num_attention_heads": 64}.items() <= certain.items()
    assert not {"num_hidden_layers", "first_k_dense_replace", "tie_word_embeddings"} & set(certain)


def test_a_vocabulary_with_added_tokens_is_counted(checkpoints: dict[str, Any]) -> None:
    """Mistral-7B has 32,000 words; two were added."""
    assert canonical(checkpoints["neuroweave-mistral-7b-bf16"][2].config())["vocab"] == 32002


@pytest.mark.parametrize(("bits", "group"), [(3, 128), (4, 128), (4, 32), (8, -1)])
def test_of_one_quantised_file_the_size_and_its_bits_tell_the_geometry(
    checkpoints: dict[str, Any], bits: int, group: int
) -> None:  # fmt: skip
    spelled = f"{bits}bit-{group}g" if group > 0 else f"{bits}bit--1g"
    config = checkpoints[f"wizard-vicuna-30b-gptq-{spelled}"][2].config()
    assert {"bits": bits, "group_size": group}.items() <= config["quantization_config"].items()
    assert config["hidden_size"] == 6656
    fields = checkpoints[f"wizard-vicuna-30b-gptq-{spelled}"][2].fields
    assert {field.confidence for field in fields} == {"likely", "unknown"}, "its names were made up"
