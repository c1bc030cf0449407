"""O: fields of config.json that have moved, are asked for, or are misspelt."""

from __future__ import annotations

from typing import Any

from tests.catalogue.building import Model
from tests.catalogue.case import Case
from tests.catalogue.models import decoder, qwen3
from tests.catalogue.towers import qwen25_vl

UNUSED = "Output is fine for short prompts and turns into garbage after a few thousand tokens"


def moved(layers: int, theta: float, said: str) -> Case:
    """As Transformers 5 writes it, met by a reader of version 4."""

    def make() -> Model:
        return decoder(layers, rope_parameters={"rope_theta": theta, "rope_type": "default"})

    return Case(
        "O1", f"moved-{theta:.0f}-{layers}", make, said, "config.missing-field", "rope_theta",
        ("rope_parameters.rope_theta", f"{theta:,.0f}", "10,000", "top level"),
        sound=lambda: decoder(layers, rope_theta=theta), unread=("rope_parameters",),
        before=lambda: make().set(rope_theta=theta),
    )  # fmt: skip


def both(layers: int, top: float, nested: float) -> Case:
    def make() -> Model:
        return decoder(layers, rope_theta=top, rope_parameters={"rope_theta": nested, "rope_type": "default"})

    return Case(
        "O1", f"both-{top:.0f}-{nested:.0f}", make, UNUSED, "config.conflict", "rope_theta",
        (f"{top:,.0f}", f"{nested:,.0f}", "rope_parameters"), alone="same",
        sound=lambda: decoder(layers, rope_theta=top, rope_parameters={"rope_theta": top, "rope_type": "default"}),
    )  # fmt: skip


def wanted(layers: int, field: str, said: str, other: str, value: int, **more: Any) -> Case:
    fields: dict[str, Any] = {field: value}
    return Case(
        "O2", f"{field}-{value}", lambda: decoder(layers, **more), said, "config.missing-field", field,
        (f"{other} = {value:,}".replace(",", ""), "equivalent"),
        sound=lambda: decoder(layers, **more, **fields), before=lambda: decoder(layers, **more, **fields), still=True,
    )  # fmt: skip


def typo_of_registry(wrong: str) -> Case:
    """The checkpoint says it right, and the table of the loader has it wrong."""
    return Case(
        "O3", f"registry-{wrong}", lambda: qwen25_vl(new=False), f"KeyError: '{wrong}'", "arch.unknown", wrong,
        ("qwen2_5_vl", f"`{wrong}`", "misspelt", "right"),
        sound=lambda: qwen25_vl(new=False).set(model_type="qwen2_vl"),
    )  # fmt: skip


def typo_of_config(wrong: str, right: str) -> Case:
    return Case(
        "O3", f"config-{wrong}", lambda: qwen3().set(model_type=wrong, architectures=[right]),
        f"ValueError: The checkpoint you are trying to load has model type `{wrong}` but Transformers does not"
        " recognize"
        " this architecture. This could be because of an issue with the checkpoint, or because your version of"
        " Transformers is"
        " out of date.",
        "arch.unknown", "model_type", (wrong, "qwen3"), alone="unasked", sound=decoder, before=qwen3,
    )  # fmt: skip


CASES = [
    moved(4, 1_000_000.0, "AttributeError: 'LlamaConfig' object has no attribute 'rope_theta'"),
    moved(3, 500_000.0, "KeyError: 'rope_theta'"),
    both(4, 10_000.0, 1_000_000.0), both(3, 500_000.0, 5_000_000.0),
    wanted(4, "model_max_length", "KeyError: 'model_max_length'", "max_position_embeddings", 131072,
        max_position_embeddings=131072),
    wanted(3, "n_ctx", "KeyError: 'n_ctx'", "max_position_embeddings", 4096, max_position_embeddings=4096),
    wanted(3, "n_head", "KeyError: 'n_head'", "num_attention_heads", 4),
    wanted(4, "max_sequence_length", "KeyError: \"could not find any of: ['max_sequence_length', 'n_ctx']\"",
           "max_position_embeddings", 2048, max_position_embeddings=2048),
    typo_of_registry("qwem2_5_vl"), typo_of_registry("qwen2_5_lv"),
    typo_of_config("qwem3", "Qwen3ForCausalLM"), typo_of_config("qwne3", "Qwen3ForCausalLM"),
]  # fmt: skip
