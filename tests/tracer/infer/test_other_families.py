"""Families without rows: names and shapes as Transformers' own classes make them, on the meta device.

Nothing here was looked at when the tables were written, so that what is called certain shows what that word is worth.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
import transformers

from tests.tracer.infer.synthetic import inferred
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.infer import Inferred
from tracer.infer.canonical import canonical

DECODERS = [
    "arcee", "bamba", "biogpt", "bitnet", "cohere", "cohere2", "codegen", "deepseek_v3", "exaone4", "falcon_mamba",
    "gemma2", "gemma3_text", "gemma3n_text", "glm4", "glm4_moe", "gpt_neo", "gpt_neox", "gptj", "granite",
    "granitemoe", "helium", "lfm2", "llama4_text", "mamba2", "minimax_m2", "nemotron_h", "olmo", "olmo2",
    "olmoe", "opt", "persimmon", "phi", "phi3", "phimoe", "qwen2_moe", "qwen3_next", "smollm3", "stablelm",
    "starcoder2",
]  # fmt: skip
OTHERS = ["albert", "bart", "bert", "mt5", "roberta", "vit", "whisper", "zamba", "zamba2"]

TOLD = {"hidden": "hidden_size", "layers": "num_hidden_layers", "vocab": "vocab_size"}
"""What follows from shapes in every decoder; how its config spells it, or has it spelled."""
WHOLE = {"gemma3n_text", "gpt_neo", "zamba", "zamba2"}
"""Kinds of layers are listed in their configs, so that fewer layers are another matter."""


class Made(NamedTuple):
    """A model that was never loaded."""

    config: Any
    said: dict[str, Any]
    """Its config.json."""
    tensors: list[TensorInfo]

    def found(self, config: dict[str, Any] | None = None) -> Inferred:
        return inferred(self.tensors, config)


@cache
def made(kind: str) -> Made:
    """With few layers, as their number is all that they add."""
    few = {} if kind in WHOLE else {"num_hidden_layers": 6}
    config = transformers.CONFIG_MAPPING[kind](**few)
    with torch.device("meta"):
        speaks = type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
        built = (transformers.AutoModelForCausalLM if speaks else transformers.AutoModel).from_config(config)
    tied = set(getattr(built, "all_tied_weights_keys", None) or ())
    held = [(name, tuple(tensor.shape)) for name, tensor in built.state_dict().items() if name not in tied]
    said = {**config.to_dict(), "architectures": [type(built).__name__]}
    return Made(config, said, [TensorInfo(name, "BF16", shape, "f", 0, 0) for name, shape in held])


@pytest.mark.parametrize("kind", [*DECODERS, *OTHERS])
def test_what_is_called_certain_is_what_its_config_says(kind: str) -> None:
    certain = {field.name: field.value for field in made(kind).found().fields if field.confidence == "certain"}
    assert not {name: value for name, value in certain.items() if made(kind).said.get(name) not in (None, value)}


@pytest.mark.parametrize("kind", DECODERS)
def test_the_sizes_of_a_decoder_follow_whatever_its_family(kind: str) -> None:
    own, config = canonical(made(kind).found().config()), made(kind).config
    assert {name: own.get(name) for name in TOLD} == {name: getattr(config, spelled) for name, spelled in TOLD.items()}


@pytest.mark.parametrize("kind", [*DECODERS, *OTHERS])
def test_its_own_config_is_in_no_conflict(kind: str) -> None:
    found = made(kind).found(made(kind).said).findings
    assert not [f.message for f in found if f.subject != "num_nextn_predict_layers"]  # which Transformers never has


@pytest.mark.parametrize("kind", ["cohere2", "exaone4", "granite", "gemma3n_text", "glm4", "smollm3", "starcoder2"])
@pytest.mark.parametrize("field", ["num_hidden_layers", "hidden_size", "vocab_size"])
def test_a_wrong_number_is_found_in_families_without_rows(kind: str, field: str) -> None:
    """The doubts that keep sound configs out of trouble must not silence everything."""
    wrong = made(kind).said | {field: getattr(made(kind).config, field) + 64}
    (finding,) = [f for f in made(kind).found(wrong).findings if f.code in ("config.conflict", "vocab.padded")]
    assert finding.subject == field


@pytest.mark.parametrize(("kind", "architecture"), [
    ("glm4_moe", "Glm4MoeForCausalLM"), ("starcoder2", "Starcoder2ForCausalLM"),
    ("stablelm", "StableLmForCausalLM"), ("opt", "OPTForCausalLM"), ("gemma2", "Gemma2ForCausalLM"),
])  # fmt: skip
def test_families_of_the_table_are_recognised(kind: str, architecture: str) -> None:
    assert made(kind).found().config()["architectures"] == [architecture]


@pytest.mark.parametrize("kind", ["granite", "smollm3", "gemma3n_text", "bitnet", "cohere2", "exaone4", "roberta"])
def test_a_class_that_others_share_its_modules_with_or_that_lacks_some_is_a_guess(kind: str) -> None:
    (found,) = [field for field in made(kind).found().fields if field.name == "architectures"]
    assert found.confidence == "guess"
    assert "have the same modules" in found.evidence or "nothing is known" in found.evidence


def test_an_encoder_and_a_decoder_of_different_depths_are_two_fields() -> None:
    config = made("mt5").found().config()
    assert (config["num_layers"], config["num_decoder_layers"]) == (6, made("mt5").config.num_decoder_layers)


def names_of(**shapes: tuple[int, ...]) -> list[TensorInfo]:
    return [TensorInfo(name.replace("__", "."), "BF16", shape, "f", 0, 0) for name, shape in shapes.items()]


def test_a_tower_is_told_by_the_words_of_its_name_and_the_decoder_by_its_embedding() -> None:
    """Video-LLaVA: the tower has more layers than the decoder."""
    decoder = {f"model__layers__{n}__{name}__weight": (64, 64) for n in range(2) for name in LINEAR}
    tower = {f"model__video_tower__encoder__layers__{n}__{name}__weight": (32, 32) for n in range(9) for name in LINEAR}
    config = inferred(names_of(model__embed_tokens__weight=(1000, 64), **decoder, **tower)).config()
    assert (config["num_hidden_layers"], config["hidden_size"]) == (2, 64)


LINEAR = ("self_attn__q_proj", "self_attn__k_proj", "self_attn__v_proj", "self_attn__o_proj", "mlp__up_proj")


def test_layers_of_two_widths_are_no_conflict_with_a_config_that_says_one_of_them() -> None:
    """MiMo-V2: some layers have more KV heads than the others."""
    config: dict[str, Any] = {
        "hidden_size": 64, "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 1000,
        "model_type": "llama", "num_hidden_layers": 4,
    }  # fmt: skip
    rows = {"q": (64,) * 4, "k": (16, 32, 32, 32), "v": (16, 32, 32, 32)}
    tensors = {f"model__layers__{n}__self_attn__{name}_proj__weight": (rows[name][n], 64)
               for n in range(4) for name in rows}  # fmt: skip
    held = names_of(model__embed_tokens__weight=(1000, 64), **tensors)
    assert not inferred(held, config).findings
    assert inferred(held, config | {"num_key_value_heads": 8}).findings
