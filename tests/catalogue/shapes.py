"""D: a shape mismatch."""

from __future__ import annotations

from fixtures.gguf import Typed
from tests.catalogue.building import Gguf, Model, span
from tests.catalogue.case import Case
from tests.catalogue.models import decoder, gguf, qwen2, qwen3
from tests.catalogue.towers import siglip, wrapped

MISMATCH = (
    "RuntimeError: Error(s) in loading state_dict for {}: size mismatch for {}: copying a param with shape"
    " torch.Size({}) from checkpoint, the shape in current model is torch.Size({})."
)


def kv_heads(layers: int, heads: int, said: int, dim: int = 16) -> Case:
    """config.json has fewer KV heads than the tensors."""
    hidden = heads * dim

    def make() -> Model:
        return decoder(layers, hidden, heads, heads, ffn=3 * hidden).set(num_key_value_heads=said)

    text = MISMATCH.format(
        "LlamaForCausalLM", "model.layers.0.self_attn.k_proj.weight", [hidden, hidden], [said * dim, hidden]
    )
    return Case(
        "D1", f"{heads}-heads-said-{said}", make, text, "config.conflict", "num_key_value_heads",
        (f"num_key_value_heads = {said}", f"set num_key_value_heads to {heads}"), alone="same",
        sound=lambda: decoder(layers, hidden, heads, heads, ffn=3 * hidden),
        before=lambda: decoder(layers, hidden, heads, heads, ffn=3 * hidden),
    )  # fmt: skip


def taken_for_mha(layers: int, heads: int, kv: int) -> Case:
    """The files agree; the loader took every head to have keys of its own."""
    dim, hidden = 16, heads * 16
    small = kv * dim * hidden
    return Case(
        "D1", f"loader-knows-no-gqa-{heads}-{kv}", lambda: decoder(layers, hidden, heads, kv, ffn=3 * hidden),
        f"load attention data error {small}, {small * heads // kv}",
        "shape.mismatch", f"model.layers.{span(layers)}.self_attn.k_proj.weight",
        (f"{kv} KV heads", f"{heads // kv} times", f"{heads} / {kv}"),
        sound=lambda: decoder(layers, hidden, heads, heads, ffn=3 * hidden),
    )  # fmt: skip


def head_dim(layers: int, hidden: int, heads: int, dim: int, said: str) -> Case:
    """head_dim is stated, and the loader has divided."""
    got, expected = heads * dim * hidden, hidden * hidden
    return Case(
        "D2", f"ignored-{hidden}-{heads}-{dim}", lambda: qwen3(dim, layers=layers, hidden=hidden, heads=heads),
        said.format(got, expected), "shape.mismatch", f"model.layers.{span(layers)}.self_attn.q_proj.weight",
        (f"q_proj is {heads * dim}x{hidden}", f"q_norm has {dim} entries",
         f"head_dim = {hidden}/{heads} = {hidden // heads}",
         "being ignored"),
        sound=lambda: qwen3(hidden // heads, layers=layers, hidden=hidden, heads=heads),
    )  # fmt: skip


def head_dim_absent(layers: int, hidden: int, heads: int, dim: int) -> Case:
    """The field is not there, and the tensors have another width than the division gives."""

    def make() -> Model:
        return qwen3(dim, layers=layers, hidden=hidden, heads=heads).set(head_dim=None)

    return Case(
        "D2", f"absent-{hidden}-{heads}-{dim}", make,
        f"got {heads * dim * hidden} elements, expected {hidden * hidden}",
        "config.missing-field", "head_dim", (f"set head_dim to {dim}",), alone="same",
        sound=lambda: qwen3(dim, layers=layers, hidden=hidden, heads=heads),
        before=lambda: qwen3(dim, layers=layers, hidden=hidden, heads=heads),
    )  # fmt: skip


def added_tokens(config: int, more: int, said: str) -> Case:
    """The table has grown, config.json has not."""

    def make() -> Model:
        return decoder(vocab=config + more).set(vocab_size=config)

    return Case(
        "D3", f"added-{more}", make, said.format(config + more, config), "config.conflict", "vocab_size",
        (f"{config + more}", f"vocab_size = {config}", f"set vocab_size to {config + more}"), alone="same",
        sound=lambda: decoder(vocab=config), before=lambda: decoder(vocab=config + more),
    )  # fmt: skip


def one_table_resized(vocab: int, more: int, odd: str) -> Case:
    """Of the two tables one has grown; config.json agrees with the other."""

    def make() -> Model:
        model = decoder(vocab=vocab)
        model.put(odd, vocab + more, 64)
        return model

    return Case(
        "D3", f"{odd.split('.')[-2]}-{more}", make,
        MISMATCH.format("LlamaForCausalLM", odd, [vocab + more, 64], [vocab, 64]),
        "vocab.padded", odd, (f"agree at {vocab}", f"{odd} alone has {vocab + more} rows", f"+{more}"),
        alone="unasked", sound=lambda: decoder(vocab=vocab),
    )  # fmt: skip


def smaller_tokenizer(rows: int, tokens: int, hidden: int) -> Case:
    """All of the checkpoint agrees; somebody resized to the tokenizer."""
    text = MISMATCH.format("Qwen2ForCausalLM", "model.embed_tokens.weight", [rows, hidden], [tokens, hidden])
    return Case(
        "D3", f"tokenizer-{tokens}", lambda: qwen2(vocab=rows, hidden=hidden), text,
        "vocab.padded", "model.embed_tokens.weight",
        (f"agree at {rows}", f"tokenizer {tokens}", f"{rows - tokens} rows", "do not shrink"), severity="info",
        sound=lambda: qwen2(vocab=rows // 2, hidden=hidden),
    )  # fmt: skip


def mllama(vocab: int, more: int) -> Model:
    text = decoder(vocab=vocab, model_type="mllama_text_model")
    text.put("model.embed_tokens.weight", vocab + more, 64)
    tower = siglip("vision_model")
    return wrapped(text, "MllamaForConditionalGeneration", "mllama", tower)


def input_only(vocab: int, more: int) -> Case:
    return Case(
        "D4", f"mllama-{vocab}-{more}", lambda: mllama(vocab, more),
        MISMATCH.format("MllamaForConditionalGeneration", "language_model.lm_head.weight", [vocab, 64],
                        [vocab + more, 64]),
        "vocab.padded", "language_model.model.embed_tokens.weight",
        (f"{more} rows", "never be generated", "neither pad nor tie"), severity="info", sound=lambda: mllama(vocab, 0),
    )  # fmt: skip


def padded_share(vocab: int, tp: int, model: str = "llama") -> Case:
    whole = -(-vocab // 64) * 64
    return Case(
        "D5", f"{model}-{vocab}-tp{tp}", lambda: gguf(model, vocab=vocab),
        f"RuntimeError: The size of tensor a ({vocab // tp}) must match the size of tensor b ({whole // tp}) at"
        " non-singleton dimension 0",
        "vocab.padded", "token_embd.weight",
        (f"{vocab}", f"padded to {whole}", f"{whole // tp} rows", f"rows {(tp - 1) * whole // tp} to {vocab - 1}",
         f"{whole - vocab} of padding"),
        sound=lambda: gguf(model, vocab=whole),
    )  # fmt: skip


def whole_allocated(layers: int, ffn: int, tp: int) -> Case:
    def model() -> Gguf:
        made = gguf(layers=layers, ffn=ffn, vocab=640)
        made.values["general.name"] = Typed("str", "small")
        return made

    return Case(
        "D6", f"gguf-{ffn}-tp{tp}", model,
        f"RuntimeError: The size of tensor a ({ffn}) must match the size of tensor b ({ffn // tp}) at non-singleton"
        " dimension 0",
        "shape.mismatch", f"blk.{span(layers)}.ffn_gate.weight",
        (f"allocated {ffn} rows", f"slice has {ffn // tp}", f"ratio is {tp}", "allocation forgot"), tp=tp,
        sound=lambda: gguf(layers=layers, ffn=ffn + 64, vocab=640),
    )  # fmt: skip


CASES = [
    kv_heads(4, 8, 1), kv_heads(3, 4, 2), taken_for_mha(4, 16, 2), taken_for_mha(3, 12, 4),
    head_dim(4, 80, 8, 32, "got {} elements, expected {}"),
    head_dim(3, 96, 4, 32, "ValueError: shape mismatch: got {} elements, expected {}"), head_dim_absent(4, 80, 8, 32),
    added_tokens(320, 4, MISMATCH.format("LlamaForCausalLM", "model.embed_tokens.weight", "[{}, 64]", "[{}, 64]")),
    added_tokens(256, 1, "assert loaded_weight.shape[output_dim] == self.org_vocab_size\nAssertionError"),
    one_table_resized(320, 4, "lm_head.weight"), one_table_resized(256, 64, "model.embed_tokens.weight"),
    smaller_tokenizer(640, 598, 64), smaller_tokenizer(448, 433, 32), input_only(320, 8), input_only(512, 16),
    padded_share(328, 2), padded_share(1000, 4), padded_share(1004, 2), whole_allocated(4, 256, 2),
    whole_allocated(3, 512, 4),
]  # fmt: skip
