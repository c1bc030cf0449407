"""E: tensor parallelism."""

from __future__ import annotations

from tests.catalogue.building import Model, span
from tests.catalogue.case import Case
from tests.catalogue.models import decoder, moe, qwen2, qwen3
from tests.catalogue.quantising import awq, gptq
from tests.catalogue.towers import siglip, wrapped


def heads(count: int, kv: int, ffn: int, tp: int, failing: tuple[str, ...], legal: str, *more: str) -> Case:
    return Case(
        "E1", f"{count}-heads-tp{tp}", lambda: qwen2(heads=count, kv=kv, hidden=8 * count, ffn=ffn),
        f"ValueError: Total number of attention heads ({count}) must be divisible by tensor parallel size ({tp}).",
        "tp.indivisible", "num_attention_heads", (*failing, f"legal: {legal};", *more),
        sound=lambda: qwen2(heads=tp * 4, kv=tp, hidden=tp * 32, ffn=tp * 64),
    )  # fmt: skip


def asked_for(count: int, kv: int, tp: int) -> Case:
    """Nobody has seen an error yet: `--tp` is enough."""
    return Case(
        "E1", f"asked-{count}-heads-tp{tp}", lambda: decoder(heads=count, kv=kv, hidden=8 * count, ffn=128),
        f"ValueError: Total number of attention heads ({count}) must be divisible by tensor parallel size ({tp}).",
        "tp.indivisible", "num_attention_heads", (f"tp {tp}", "legal"), tp=tp, alone="same",
    )  # fmt: skip


def groups(ffn: int, tp: int, group: int, words: tuple[str, ...], layers: int = 3) -> Case:
    """Qwen2-72B's sizes over 8: the groups of down_proj are odd in number."""

    def make() -> Model:
        return gptq(qwen2(layers=layers, hidden=128, heads=8, kv=8, ffn=ffn), group=group)

    return Case(
        "E2", f"gptq-{ffn}-tp{tp}", make,
        f"ValueError: Weight input_size_per_partition = {ffn // tp} is not divisible by min_thread_k = 128. Consider"
        " reducing tensor_parallel_size or running with --quantization gptq.",
        "tp.quant-group", f"model.layers.{span(layers)}.mlp.down_proj", (f"{ffn // group} groups of {group}", *words),
        sound=lambda: decoder(hidden=128, heads=8, kv=8, ffn=ffn),
    )  # fmt: skip


def too_large(ffn: int, tp: int) -> Case:
    return Case(
        "E2", f"awq-{ffn}-tp{tp}", lambda: awq(qwen2(layers=3, hidden=256, heads=8, kv=8, ffn=ffn), group=128),
        "ValueError: The input size is not aligned with the quantized weight shape. This can be caused by too large"
        " tensor parallel size.",
        "tp.quant-group", "model.layers.{0..2}.mlp.down_proj", (f"{ffn // 128} groups of 128", f"tp {tp}"), tp=tp,
        alone="same", sound=lambda: awq(qwen2(layers=3, hidden=512, heads=8, kv=8, ffn=1024), group=64),
    )  # fmt: skip


def half_a_head(kv: int, dim: int, tp: int, batch: int, length: int) -> Case:
    rows = kv * dim // tp
    return Case(
        "E3", f"{kv}-heads-tp{tp}", lambda: qwen3(dim, heads=2 * tp, kv=kv, hidden=128, ffn=tp * 32),
        f"RuntimeError: shape '[{batch}, {length}, -1, {dim}]' is invalid for input of size {batch * length * rows}",
        "tp.kv-replicated", "model.layers.{0..3}.self_attn.k_proj.weight",
        (f"{rows} rows", f"one head is {dim}", f"tp {tp}", f"{kv} KV heads", f"by {tp // kv} ranks"),
        sound=lambda: qwen3(2 * dim, heads=2 * tp, kv=kv, hidden=128, ffn=tp * 32),
    )  # fmt: skip


def minimax(layers: int, heads: int, kv: int, dim: int, *, wide: bool = True) -> Model:
    """MiniMax-M2: norms over all heads of q and of k."""
    model = moe(layers, 4, heads=heads, kv=kv, dim=dim, model_type="minimax_m2", architecture="MiniMaxM2ForCausalLM",
                num_local_experts=4, use_qk_norm=True, qk_norm_type="per_layer")  # fmt: skip
    model.replace(".mlp.", ".block_sparse_moe.").replace("gate_proj", "w1").replace("up_proj", "w3")
    model.replace("down_proj", "w2").set(intermediate_size=32)
    for layer in range(layers):
        model.put(f"model.layers.{layer}.self_attn.q_norm.weight", heads * dim if wide else dim)
        model.put(f"model.layers.{layer}.self_attn.k_norm.weight", kv * dim if wide else dim)
    return model


def half_a_norm(layers: int, heads: int, kv: int, tp: int) -> Case:
    return Case(
        "E4", f"minimax-{kv}-tp{tp}", lambda: minimax(layers, heads, kv, 16),
        "the output is repeated and garbled",
        "tp.kv-replicated", f"model.layers.{span(layers)}.self_attn.k_norm.weight",
        (f"{kv} KV heads", f"{kv / tp:g} of a head", f"tp {tp}"), tp=tp, alone="unasked",
        sound=lambda: minimax(layers, heads, kv, 16, wide=False),
    )  # fmt: skip


def classifier(hidden: int, labels: int) -> Model:
    model = qwen3(16, hidden=hidden, architecture="Qwen3ForSequenceClassification", num_labels=labels, tied=True)
    model.put("score.weight", labels, hidden)
    return model


def score(hidden: int, labels: int, tp: int) -> Case:
    return Case(
        "E8", f"score-{labels}x{hidden}-tp{tp}", lambda: classifier(hidden, labels),
        f"RuntimeError: The size of tensor a ({hidden // tp}) must match the size of tensor b ({hidden}) at"
        " non-singleton"
        " dimension 1",
        "shape.mismatch", "score.weight",
        (f"{labels}x{hidden}", f"{labels}x{hidden // tp}", f"tp {tp}", "replicated"), tp=tp,
        sound=lambda: classifier(hidden + 32, labels),
    )  # fmt: skip


def merged_away(layers: int) -> Case:
    def make() -> Model:
        text = qwen2(layers=layers, tied=True, architecture="Qwen2ForSequenceClassification")
        return wrapped(text, "OwnForSequenceClassification", "own", siglip("vision_model"))

    def sound() -> Model:
        whole = make()
        whole.put("language_model.score.weight", 2, 64)
        return whole

    return Case(
        "E8", f"dropped-{layers}", make,
        "ValueError: Following weights were not initialized from checkpoint: {'language_model.score.weight'}",
        "param.unfilled", "language_model.score.weight", ("OwnForSequenceClassification", "dropped", "merge"),
        sound=sound,
    )  # fmt: skip


CASES = [
    heads(52, 52, 416, 8, ("num_attention_heads 52 does not divide by 8",), "1, 2, 4", "13, 26, 52"),
    heads(28, 4, 2368, 8, ("num_attention_heads 28 does not divide by 8",), "1, 2, 4", "7, 14, 28", "2^6 x 37",
          "tp 4 x pp 2"),
    heads(12, 2, 256, 8, ("num_attention_heads 12 does not divide by 8",), "1, 2, 4"),
    asked_for(12, 4, 8), asked_for(6, 6, 4),
    groups(3 * 7 * 11 * 16 * 2, 2, 32, ("231 = 3 x 7 x 11", "tp 1 is the only", "(232 groups")),
    groups(11 * 128, 4, 128, ("11 groups", "with groups of 64 (22)", "tp 2")),
    too_large(11 * 128, 2), too_large(3 * 5 * 128, 4), half_a_head(4, 16, 8, 4, 178), half_a_head(2, 32, 4, 1, 57),
    half_a_norm(3, 32, 8, 16), half_a_norm(4, 16, 4, 8), score(256, 1, 2), score(128, 3, 4), merged_away(4),
]  # fmt: skip
