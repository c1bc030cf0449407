"""Totals against what config.json and the names come to, in models with towers."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import corpus
from tests.tracer.doctor.told import Told, write_json
from tracer.doctor.expected import expected

H, READ, WIDTH, KV, FFN, VOCAB, LAYERS, DEEP, PATCH, IMAGE, QUERIES = 48, 64, 80, 32, 96, 100, 2, 3, 14, 56, 8
CONFIG: dict[str, Any] = {
    "architectures": ["StrangeForConditionalGeneration"], "model_type": "strange", "hidden_size": READ,
    "intermediate_size": FFN, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2,
    "vocab_size": VOCAB, "torch_dtype": "bfloat16", "tie_word_embeddings": False, "query_num": QUERIES,
    "vision_config": {
        "hidden_size": H, "intermediate_size": WIDTH, "num_hidden_layers": DEEP, "patch_size": PATCH,
        "image_size": IMAGE, "model_type": "siglip",
    },
}  # fmt: skip
MORE = ["nicher.layers.0.linear1.weight", "nicher.layers.0.linear1.bias", "classes_head.weight"]


def decoder() -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {
        "llm.model.embed_tokens.weight": (VOCAB, READ), "llm.model.norm.weight": (READ,),
        "llm.lm_head.weight": (VOCAB, READ),
    }  # fmt: skip
    for n in range(LAYERS):
        at = f"llm.model.layers.{n}"
        found |= {f"{at}.{norm}.weight": (READ,) for norm in ("input_layernorm", "post_attention_layernorm")}
        found |= {f"{at}.self_attn.{m}_proj.weight": (READ, READ) for m in "qo"}
        found |= {f"{at}.self_attn.{m}_proj.weight": (KV, READ) for m in "kv"}
        found |= {f"{at}.mlp.{m}_proj.weight": (FFN, READ) for m in ("gate", "up", "down")}
    return found


def tower(root: str = "vpm", clip: bool = False) -> dict[str, tuple[int, ...]]:
    places = (IMAGE // PATCH) ** 2 + clip
    found: dict[str, tuple[int, ...]] = {
        f"{root}.embeddings.patch_embedding.weight": (H, 3, PATCH, PATCH),
        f"{root}.embeddings.position_embedding.weight": (places, H), f"{root}.post_layernorm.weight": (H,),
    }  # fmt: skip
    found |= {f"{root}.embeddings.class_embedding": (H,)} if clip else {}
    linear = {**{f"self_attn.{m}_proj": (H, H) for m in ("q", "k", "v", "out")}, "mlp.fc1": (WIDTH, H),
              "mlp.fc2": (H, WIDTH)}  # fmt: skip
    for n in range(DEEP):
        found |= {f"{root}.encoder.layers.{n}.{m}.weight": shape for m, shape in linear.items()}
        found |= {f"{root}.encoder.layers.{n}.{m}.bias": shape[:1] for m, shape in linear.items()}
        found |= {f"{root}.encoder.layers.{n}.layer_norm1.weight": (H,)}
    return found


def resampler() -> dict[str, tuple[int, ...]]:
    return {
        "resampler.query": (QUERIES, READ), "resampler.proj": (READ, READ), "resampler.kv_proj.weight": (READ, H),
        "resampler.attn.in_proj_weight": (3 * READ, READ), "resampler.attn.in_proj_bias": (3 * READ,),
        "resampler.attn.out_proj.weight": (READ, READ), "resampler.ln_q.bias": (READ,),
    }  # fmt: skip


def elements(*parts: dict[str, tuple[int, ...]]) -> int:
    return sum(prod(shape) for part in parts for shape in part.values())


def clone(folder: Path, names: list[str], total: int, suffix: str = "safetensors") -> Told:
    """An index without any of its files."""
    folder.mkdir(exist_ok=True)
    write_json(folder / "config.json", CONFIG)
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    index = {"metadata": {"total_size": total}, "weight_map": dict.fromkeys(names, f"{stem}-00001-of-00002.{suffix}")}
    write_json(folder / f"{stem}.{suffix}.index.json", index)
    return Told(folder)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("root", ["vpm", "vision_tower.vision_model"])
def test_towers_are_counted_to_the_element(root: str, clip: bool) -> None:
    parts = decoder(), tower(root, clip), resampler()
    found = expected(CONFIG, [name for part in parts for name in part])
    assert (found.elements, found.unknown) == (elements(*parts), [])


def test_a_published_total_is_met_to_the_byte() -> None:
    """MiniCPM-V 2.6 as its index says it, from a folder whose config.json still describes the towers."""
    names = corpus.described("minicpm-v-2.6-renamed-qwen2", "model.safetensors.index.json")
    config = corpus.described("scicore-omics-stale-total-size", "config.json")
    found = expected(config, list(names["weight_map"]))
    assert (2 * found.elements, found.unknown) == (names["metadata"]["total_size"], [])


def test_a_total_that_leaves_nothing_for_some_tensors_is_from_before_them(tmp_path: Path) -> None:
    parts = decoder(), tower(), resampler()
    names = [name for part in parts for name in part]
    finding = clone(tmp_path, [*names, *MORE], 2 * elements(*parts))["index.total-size"]
    assert finding.severity == "warning"
    assert f"to the byte what {len(names)} of the {len(names) + 3} tensors have" in finding.message
    assert "nothing is left for the other 3 (classes_head, nicher)" in finding.message


@settings(max_examples=25, deadline=None)
@given(more=st.integers(1, 10**6))
def test_a_total_that_has_room_for_them_is_not_doubted(more: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    parts = decoder(), tower(), resampler()
    told = clone(tmp_path_factory.mktemp("m"), [*(name for part in parts for name in part), *MORE],
                 2 * (elements(*parts) + more))  # fmt: skip
    assert "index.total-size" not in told.codes()


def test_a_pickle_may_hold_second_names_of_what_is_counted(tmp_path: Path) -> None:
    parts = decoder(), tower(), resampler()
    told = clone(tmp_path, [*(name for part in parts for name in part), *MORE], 2 * elements(*parts), "bin")
    assert "index.total-size" not in told.codes()


def test_another_stack_s_embedding_is_not_the_decoder_s() -> None:
    names = [*decoder(), "nicher.embeddings.weight", *MORE]
    found = expected(CONFIG, names)
    assert found.elements == elements(decoder())
    assert (sorted(found.unknown), found.tensors) == (
        ["classes_head.weight", "nicher.embeddings.weight", "nicher.layers.{}.linear1.bias",
         "nicher.layers.{}.linear1.weight"], 4,
    )  # fmt: skip
