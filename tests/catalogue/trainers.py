"""M: what training frameworks leave."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.catalogue.building import Model, span
from tests.catalogue.case import Case
from tests.catalogue.models import decoder, qwen2
from tests.catalogue.shapes import MISMATCH


def placeholders(layers: int, shape: tuple[int, ...], kept: Callable[[str], bool], said: str) -> Case:
    def make() -> Model:
        model = decoder(layers)
        for name in model.tensors:
            if not kept(name):
                model.put(name, *shape)
        return model

    hollow = sum(not kept(name) for name in decoder(layers).tensors)
    return Case(
        "M1", f"{layers}-{list(shape)}", make, said, "trainer.placeholder", "model.embed_tokens.weight",
        (f"{hollow} of {9 * layers + 3}", "ZeRO-3", "zero_to_fp32"), alone="same", sound=lambda: decoder(layers),
    )  # fmt: skip


def flat(layers: int, vocab: int, hidden: int, ranks: int) -> Case:
    """The root unit of FSDP: embedding, last norm and head, an eighth of them under the first one's name."""
    share = (2 * vocab * hidden + hidden) // ranks

    def make() -> Model:
        model = decoder(layers, hidden, vocab=vocab)
        model.put("model.embed_tokens.weight", share)
        model.put("model.norm.weight", 0)
        model.put("lm_head.weight", 0)
        return model

    return Case(
        "M2", f"root-{vocab}-{ranks}", make,
        MISMATCH.format("LlamaForCausalLM", "model.embed_tokens.weight", [share], [vocab, hidden]),
        "trainer.flat-shard", "model.embed_tokens.weight", (f"{share:,}", f"{ranks}", "FSDP", "full state dict"),
        alone="same",
        sound=lambda: decoder(layers, hidden, vocab=vocab),
    )  # fmt: skip


def wrapper(layers: int, variant: str, edit: Callable[[str], str], *words: str, all_of: bool = True) -> Case:
    def make() -> Model:
        return decoder(layers).rename(edit)

    count = 9 * layers + 3
    first = next(name for name in make().tensors if name not in decoder(layers).tensors)
    missing = ", ".join(f'"{name}"' for name in decoder(layers).tensors)
    found = ", ".join(f'"{name}"' for name in make().tensors)
    return Case(
        "M3", f"{variant}-{layers}", make,
        "RuntimeError: Error(s) in loading state_dict for LlamaForCausalLM:\n\tMissing key(s) in state_dict:"
        f" {missing}."
        f"\n\tUnexpected key(s) in state_dict: {found}.",
        "name.rewrite", first, (f"{count} of {count}" if all_of else "", "0 collisions", *words), alone="same",
        sound=lambda: decoder(layers), before=lambda: decoder(layers),
    )  # fmt: skip


def _inside(name: str) -> str:
    return (
        name.replace("layers.", "layers.", 1)
        .replace(".self_attn.", "._checkpoint_wrapped_module.self_attn.")
        .replace(".mlp.", "._checkpoint_wrapped_module.mlp.")
    )


def flat_parameter(layers: int) -> Case:
    def make() -> Model:
        model = Model(decoder(layers).config)
        share = sum(int(np.prod(t.shape)) for t in decoder(layers).tensors.values()) // 4
        model.put("_fsdp_wrapped_module._flat_param", share, dtype="F32")
        return model

    return Case(
        "M3", f"flat-{layers}", make,
        "RuntimeError: Error(s) in loading state_dict for X: Unexpected key(s) in state_dict:"
        ' "_fsdp_wrapped_module._flat_param". ',
        "trainer.flat-shard", "_fsdp_wrapped_module._flat_param", ("FSDP", "4 ranks"), alone="same",
        sound=lambda: decoder(layers),
    )  # fmt: skip


def cached(layers: int, *leaves: str, said: str) -> Case:
    """Tables that every engine computes for itself."""

    def make() -> Model:
        model = decoder(layers)
        for layer in range(layers):
            for leaf in leaves:
                model.put(f"model.layers.{layer}.self_attn.rotary_emb.{leaf}", 64, 16, dtype="F32")
        return model

    return Case(
        "M4", f"{leaves[0]}-{layers}", make, said, "tensor.derived",
        f"model.layers.{span(layers)}.self_attn.rotary_emb.{said.rsplit('.', maxsplit=1)[-1].rstrip(chr(39))}",
        ("derived", "on purpose"), severity="info", alone="unasked", sound=lambda: decoder(layers),
        before=lambda: decoder(layers), still=True,
    )  # fmt: skip


def testimony(layers: int, said: str, theta: float, config: float) -> Case:
    """The buffers were computed with another base than config.json has."""

    def model(said: float, *, stored: bool = True) -> Model:
        made = qwen2(layers=layers, hidden=128, heads=4, rope_theta=said)
        values = (theta ** -(np.arange(0, 32, 2) / 32)).astype(np.float32)
        for layer in range(layers * stored):
            made.put(f"model.layers.{layer}.self_attn.rotary_emb.inv_freq", 16, dtype="F32", data=values.tobytes())
        return made

    return Case(
        "M4", f"theta-{theta:.0f}-{config:.0f}", lambda: model(config), said, "config.conflict", "rope_theta",
        (f"{theta:,.0f}", f"{config:,.0f}", f"set rope_theta to {theta:.0f}"), alone="same",
        sound=lambda: qwen2(layers=layers, hidden=128, heads=4, rope_theta=config), seed=2,
        before=lambda: model(theta, stored="inv_freq" not in said),
    )  # fmt: skip


CASES = [
    placeholders(4, (0,), lambda name: "norm" in name, MISMATCH.format("LlamaForCausalLM", "model.embed_tokens.weight",
        [0], [320, 64])),
    placeholders(3, (0,), lambda name: name == "model.norm.weight",
                 "copying a param with shape torch.Size([0]) from checkpoint"),
    placeholders(3, (1,), lambda name: False, MISMATCH.format("LlamaForCausalLM", "model.embed_tokens.weight", [1],
        [320, 64])),
    flat(3, 320, 64, 8), flat(4, 576, 32, 4),
    wrapper(4, "compiled", lambda name: f"_orig_mod.{name}", "_orig_mod"),
    wrapper(3, "compiled-in-ddp", lambda name: f"module._orig_mod.{name}", "_orig_mod", "module"),
    wrapper(4, "ddp-in-compiled", lambda name: f"_orig_mod.module.{name}", "_orig_mod", "module"),
    wrapper(3, "ddp", lambda name: f"module.{name}", "module"),
    wrapper(4, "fsdp-everywhere", lambda name: f"_fsdp_wrapped_module.{name.replace('layers.', 'layers.')}".replace(
        ".self_attn.", "._fsdp_wrapped_module.self_attn."), "_fsdp_wrapped_module"),
    wrapper(3, "checkpointed", _inside, "_checkpoint_wrapped_module", all_of=False), flat_parameter(4),
    cached(4, "cos_cached", "sin_cached", said="KeyError: 'model.layers.0.self_attn.rotary_emb.cos_cached'"),
    cached(3, "inv_freq", said="KeyError: 'model.layers.0.self_attn.rotary_emb.inv_freq'"),
    testimony(4, "KeyError: 'model.layers.0.self_attn.rotary_emb.inv_freq'", 1_000_000, 10_000),
    testimony(3, "output is garbage after some tokens", 500_000, 10_000),
]  # fmt: skip
