"""K: tied embeddings and heads of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.catalogue.building import Gguf, Model, bf16
from tests.catalogue.case import Case
from tests.catalogue.folders import Folder, beside, whole
from tests.catalogue.models import decoder, gguf, qwen3
from tests.catalogue.towers import qwen3_vl, siglip, wrapped

GARBAGE = "The model loads without an error and the output is gibberish"


def drawn(rows: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.02, (rows, width)).astype(np.float32)


def with_head(layers: int, config_vocab: int, head: np.ndarray, table: np.ndarray | None = None, **more: Any) -> Model:
    """A model that config.json ties, with a head in its files all the same."""
    model = qwen3(layers=layers, hidden=head.shape[1], vocab=config_vocab, tied=True, **more)
    for name, values in (("model.embed_tokens.weight", head if table is None else table), ("lm_head.weight", head)):
        model.put(name, *values.shape, data=bf16(values.ravel()))
    return model


def trained_head(layers: int, vocab: int, said: str) -> Case:
    """Two tables of weights that grew apart; random ones show no training, so heavy tails stand for it."""

    def table(seed: int) -> np.ndarray:
        return drawn(vocab, 64, seed) * np.random.default_rng(seed + 50).gamma(0.5, 2, (vocab, 1)).astype(np.float32)

    return Case(
        "K1", f"differs-{layers}-{vocab}", lambda: with_head(layers, vocab, table(1), table(2)), said,
        "tie.conflict", "lm_head.weight", ("config.json ties", "cosine", "tie_word_embeddings"), alone="same",
        sound=lambda: with_head(layers, vocab, table(1)), seed=3,
        before=lambda: with_head(layers, vocab, table(1), table(2)).set(tie_word_embeddings=False),
    )  # fmt: skip


def copied_head(layers: int, vocab: int, said: str) -> Case:
    return Case(
        "K2", f"copied-{layers}-{vocab}", lambda: with_head(layers, vocab, drawn(vocab, 64, 1)), said,
        "tie.conflict", "lm_head.weight", ("byte for byte", f"{vocab * 64 * 2:,} bytes", "whole", "leave"),
        severity="info", alone="same",
        sound=lambda: decoder(layers, vocab=vocab), seed=3, still=True,
        before=lambda: with_head(layers, vocab, drawn(vocab, 64, 1)).drop(lambda name: name == "lm_head.weight"),
    )  # fmt: skip


def not_tied_by_class(layers: int) -> Case:
    return Case(
        "K3", f"class-{layers}", lambda: qwen3(layers=layers, tied=True),
        "ValueError: Following weights were not initialized from checkpoint: {'lm_head.weight'}",
        "tie.conflict", "lm_head.weight", ("tie_word_embeddings = true", "model.embed_tokens.weight", "complete"),
        sound=lambda: qwen3(layers=layers),
    )  # fmt: skip


def not_tied_by_wrapper(layers: int) -> Case:
    def make() -> Model:
        text = decoder(layers, tied=True, model_type="mbart")
        return wrapped(text, "NemotronParseForConditionalGeneration", "nemotron_parse", siglip("encoder"), "decoder.")

    return Case(
        "K3", f"wrapper-{layers}", make,
        "Some weights of NemotronParseForConditionalGeneration were not initialized from the model checkpoint at /m and"
        " are newly initialized: ['decoder.lm_head.weight']",
        "tie.conflict", "decoder.lm_head.weight", ("tie_word_embeddings = true", "complete"),
        sound=lambda: decoder(layers),
    )  # fmt: skip


def merged(layers: int, vocab: int, added: int) -> Case:
    """Tables that are one but for the rows that were added and trained."""

    def tables() -> tuple[np.ndarray, np.ndarray]:
        table = drawn(vocab + added, 64, 4) * np.random.default_rng(9).gamma(0.5, 2, (vocab + added, 1)).astype(
            np.float32
        )
        head = table.copy()
        head[vocab:] = drawn(added, 64, 5) * 3
        return table, head

    def model() -> Model:
        table, head = tables()
        return with_head(layers, vocab + added, head, table)

    def make() -> Folder:
        adapter = {"peft_type": "LORA", "modules_to_save": ["embed_tokens", "lm_head"], "r": 8}
        return Folder([whole(model()), beside("training/adapter_config.json", adapter)])

    return Case(
        "K4", f"added-{added}-of-{vocab + added}", make, "The merged model is repeating the same token infinitely",
        "tie.conflict", "lm_head.weight", ("config.json ties", f"last {added} rows"), alone="unasked",
        sound=lambda: with_head(layers, vocab + added, tables()[0]), seed=3,
        before=lambda: model().set(tie_word_embeddings=False),
    )  # fmt: skip


def untied(layers: int, said: str, *, prefix: str = "") -> Case:
    """The flag was lost, or never needed: no head is here."""

    def model(tied: bool) -> Model:
        text = qwen3(16 if prefix else 32, layers=layers, tied=True).set(tie_word_embeddings=tied)
        return qwen3_vl(text, prefix) if prefix else text

    return Case(
        "K5", f"untied-{layers}-{prefix or 'plain'}", lambda: model(False), said, "tie.conflict",
        "text_config.tie_word_embeddings" if prefix else "tie_word_embeddings",
        ("tie_word_embeddings = false", "no head is stored", "tie_word_embeddings to true"),
        alone="unasked" if prefix else "same",
        sound=lambda: qwen3(layers=layers), before=lambda: model(True),
    )  # fmt: skip


def embedding_model(layers: int) -> Case:
    def make() -> Folder:
        model = qwen3(layers=layers, tied=True).set(tie_word_embeddings=False)
        return Folder([whole(model), beside("1_Pooling/config.json", {"word_embedding_dimension": 64}),
                       beside("modules.json", [{"idx": 0, "name": "0", "path": "",
                           "type": "Transformer"}])])  # fmt: skip

    return Case(
        "K5", f"embedding-{layers}", make, "RuntimeError: weight lm_head.weight does not exist", "tie.conflict",
        "lm_head.weight", ("1_Pooling", "needs no head"), severity="info", alone="same",
        sound=lambda: qwen3(layers=layers),
    )  # fmt: skip


def t5(layers: int, stored: str, hidden: int = 32) -> Model:
    """T5 with its one table under one of its names."""
    config = {
        "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "d_model": hidden, "d_ff": 64, "d_kv": 8,
        "num_heads": 4, "num_layers": layers, "num_decoder_layers": layers, "vocab_size": 200,
        "relative_attention_num_buckets": 32, "tie_word_embeddings": True, "torch_dtype": "float32",
    }  # fmt: skip
    model = Model(config)
    model.put("shared.weight", 200, hidden, dtype="F32")
    for stack in ("encoder", "decoder"):
        for block in range(layers):
            parts = ["SelfAttention", "EncDecAttention"] if stack == "decoder" else ["SelfAttention"]
            for at, part in enumerate(parts):
                for leaf in "qkvo":
                    model.put(f"{stack}.block.{block}.layer.{at}.{part}.{leaf}.weight", hidden, hidden, dtype="F32")
                model.put(f"{stack}.block.{block}.layer.{at}.layer_norm.weight", hidden, dtype="F32")
            last = f"{stack}.block.{block}.layer.{len(parts)}"
            model.put(f"{last}.DenseReluDense.wi.weight", 64, hidden, dtype="F32")
            model.put(f"{last}.DenseReluDense.wo.weight", hidden, 64, dtype="F32")
            model.put(f"{last}.layer_norm.weight", hidden, dtype="F32")
        model.put(f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 32, 4, dtype="F32")
        model.put(f"{stack}.final_layer_norm.weight", hidden, dtype="F32")
    return model.rename(lambda name: stored if name == "shared.weight" else name)


def alias(layers: int, stored: str, asked: str) -> Case:
    return Case(
        "K6", f"{stored}-{asked}", lambda: t5(layers, stored), f"RuntimeError: weight {asked} does not exist",
        "tie.conflict", asked, (stored, "one table", "[200, 32]"),
        alone="unasked" if stored == "lm_head.weight" else "nothing", sound=lambda: t5(layers, asked),
        before=lambda: t5(layers, asked), still=True,
    )  # fmt: skip


def gguf_without_table(name: str, layers: int, said: str) -> Case:
    def make() -> Gguf:
        model = gguf(name, layers=layers, norms_of_heads=name == "qwen3")
        del model.tensors["token_embd.weight"]
        return model

    return Case(
        "K7", f"{name}-{layers}", make, said, "tie.conflict", "token_embd.weight",
        ("output.weight", "alias", "[320, 64]"),
        alone="same", sound=lambda: gguf(name, layers=layers, norms_of_heads=name == "qwen3", head=False),
    )  # fmt: skip


CASES = [
    trained_head(3, 320, GARBAGE), trained_head(4, 512, "outputs are !!!!!!!!"),
    copied_head(3, 320, "KeyError: 'lm_head.weight'"),
    copied_head(4, 400, "ERROR 06-21 11:02:03 worker.py:150] KeyError: 'lm_head.weight'"),
    not_tied_by_class(4), not_tied_by_class(3), not_tied_by_wrapper(3), merged(3, 448, 64), merged(4, 600, 128),
    untied(4, "RuntimeError: weight lm_head.weight does not exist"), untied(3,
        "RuntimeError: weight lm_head.weight does not exist"),
    untied(3, "ValueError: Missing 1 parameters: language_model.lm_head.weight", prefix="language_model."),
    embedding_model(4), alias(2, "decoder.embed_tokens.weight", "shared.weight"),
    alias(3, "shared.weight", "encoder.embed_tokens.weight"), alias(2, "lm_head.weight", "encoder.embed_tokens.weight"),
    gguf_without_table("qwen3", 3, "error loading model: tensor 'token_embd.weight' not found"),
    gguf_without_table("llama", 4, "llama_model_load: error loading model: missing tensor 'token_embd.weight'"),
]  # fmt: skip
