"""Signatures of decoders whose feed-forward is a gate, an up and a down projection, or these fused.

Shapes: the model cards' config.json and the classes of Transformers that they name.
"""

from __future__ import annotations

from tracer.infer.shapes.signature import Family

EMBED = "embedding: vocab, hidden\n"
HEAD = "head ?untied: vocab, hidden\n"
FINAL = "final norm: hidden\n"
NORMS = "input norm, post norm @layer: hidden\n"
FOUR_NORMS = "input norm, post-attention norm, pre-feed-forward norm, post-feed-forward norm @layer: hidden\n"
QKVO = "q @layer: q, hidden\nk, v @layer: kv, hidden\no @layer: hidden, q\n"
QKV_BIAS = "q bias @layer: q\nk bias, v bias @layer: kv\n"
HEAD_NORMS = "q norm, k norm @layer: dim\n"
FUSED_QKV = "o @layer: hidden, q\nqkv @layer: q + 2 kv, hidden\n"
MLP = "gate, up @layer: ffn, hidden\ndown @layer: hidden, ffn\n"
FUSED_MLP = "gate and up @layer: 2 ffn, hidden\ndown @layer: hidden, ffn\n"
ENDS = FINAL + EMBED + HEAD
ROTARY = "rotary frequencies @layer ?rotary: half\n"
MLP_BIAS = "gate bias, up bias @layer ?mlp biases: ffn\ndown bias @layer ?mlp biases: hidden\n"
ALL_BIASES = (
    "q bias @layer ?attention biases: q\nk bias, v bias @layer ?attention biases: kv\n"
    "o bias @layer ?attention biases: hidden\n"
)
SCORE = "classifier ?classifier: labels, hidden\n"
GROUPED = (("q", "kv"),)

LLAMA = Family(
    "llama",
    (
        "LlamaForCausalLM", "MistralForCausalLM", "GemmaForCausalLM", "GraniteForCausalLM", "MiniCPMForCausalLM",
        "ExaoneForCausalLM", "SmolLM3ForCausalLM", "SeedOssForCausalLM", "Ministral3ForCausalLM",
    ),
    NORMS + QKVO + MLP + ENDS + ALL_BIASES + MLP_BIAS + ROTARY + SCORE,
    "two norms a layer, q, k, v and o, gate, up and down, no biases",
    multiples=GROUPED, unusual=frozenset({"attention biases", "mlp biases", "classifier"}),
)  # fmt: skip
QWEN2 = Family(
    "qwen2", ("Qwen2ForCausalLM", "MiMoForCausalLM"), NORMS + QKVO + QKV_BIAS + MLP + ENDS + ROTARY + SCORE,
    "as Llama, with biases on q, k and v only", multiples=GROUPED, unusual=frozenset({"classifier"}),
)  # fmt: skip
QWEN3 = Family(
    "qwen3", ("Qwen3ForCausalLM",), NORMS + HEAD_NORMS + QKVO + MLP + ENDS + ALL_BIASES + SCORE,
    "as Llama, with two norms of head_dim a layer, for q and k",
    multiples=(*GROUPED, ("q", "dim"), ("kv", "dim")), greater=(("q", "dim"),),
    unusual=frozenset({"attention biases", "classifier"}),
)  # fmt: skip
PHI3 = Family(
    "phi3", ("Phi3ForCausalLM",), NORMS + FUSED_QKV + FUSED_MLP + ENDS,
    "q, k and v fused, gate and up fused, no biases", multiples=GROUPED,
)  # fmt: skip
CHATGLM = Family(
    "chatglm", ("ChatGLMForConditionalGeneration", "ChatGLMModel", "ChatGLMForCausalLM"),
    NORMS + FUSED_QKV + "qkv bias @layer: q + 2 kv\n" + FUSED_MLP + ENDS + "rotary frequencies ?rotary: half\n",
    "q, k and v fused with a bias, gate and up fused", multiples=GROUPED,
    fields={
        "layer": "num_layers", "vocab": "padded_vocab_size", "q": "num_attention_heads * kv_channels",
        "kv": "multi_query_group_num * kv_channels", "ffn": "ffn_hidden_size",
    },
)  # fmt: skip
GLM = Family(
    "glm", ("GlmForCausalLM",), NORMS + QKVO + QKV_BIAS + FUSED_MLP + ENDS,
    "biases on q, k and v only, gate and up fused", multiples=GROUPED,
)  # fmt: skip
GLM4 = Family(
    "glm4", ("Glm4ForCausalLM",), FOUR_NORMS + QKVO + FUSED_MLP + ENDS + QKV_BIAS.replace(":", "?qkv biases:"),
    "four norms a layer, gate and up fused", multiples=GROUPED,
)  # fmt: skip
BAICHUAN = Family(
    "baichuan", ("BaichuanForCausalLM", "BaiChuanForCausalLM"),
    NORMS + "qkv @layer: 3 hidden, hidden\no @layer: hidden, hidden\n" + MLP + ENDS,
    "q, k and v fused and of one width, gate, up and down apart",
)  # fmt: skip
INTERNLM2 = Family(
    "internlm2", ("InternLM2ForCausalLM",), NORMS + FUSED_QKV + MLP + ENDS,
    "q, k and v fused, gate, up and down apart", multiples=GROUPED,
)  # fmt: skip
QWEN = Family(
    "qwen", ("QWenLMHeadModel",),
    NORMS + "qkv @layer: 3 hidden, hidden\nqkv bias @layer: 3 hidden\no @layer: hidden, hidden\n" + MLP + ENDS,
    "q, k and v fused with a bias, gate, up and down apart without", fields={"ffn": "intermediate_size / 2"},
)  # fmt: skip
GEMMA2 = Family(
    "gemma2", ("Gemma2ForCausalLM",), FOUR_NORMS + QKVO + MLP + ENDS,
    "as Llama, with four norms a layer", multiples=GROUPED,
)  # fmt: skip
GEMMA3 = Family(
    "gemma3", ("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"), FOUR_NORMS + HEAD_NORMS + QKVO + MLP + ENDS,
    "four norms a layer, and two of head_dim for q and k",
    multiples=(*GROUPED, ("q", "dim"), ("kv", "dim")), greater=(("q", "dim"),),
)  # fmt: skip
OLMO2 = Family(
    "olmo2", ("Olmo2ForCausalLM", "Olmo3ForCausalLM"),
    NORMS + "q norm @layer: q\nk norm @layer: kv\n" + QKVO + MLP + ENDS,
    "as Llama, with norms over all of q and all of k", multiples=GROUPED,
)  # fmt: skip
OLMO = Family(
    "olmo", ("OlmoForCausalLM",), QKVO + MLP + EMBED + HEAD, "as Llama, without a single norm", multiples=GROUPED
)
COHERE = Family(
    "cohere", ("CohereForCausalLM", "Cohere2ForCausalLM"),
    "norm @layer: hidden\n" + QKVO + MLP + ENDS + "q norm @layer ?qk norms: heads, dim\n"
    "k norm @layer ?qk norms: kv_heads, dim\nq norm, k norm @layer ?qk norms of one shape: heads, dim\n",
    "as Llama, with one norm a layer", multiples=GROUPED,
    fields={"heads": "num_attention_heads", "kv_heads": "num_key_value_heads"},
)  # fmt: skip
STABLELM = Family(
    "stablelm", ("StableLmForCausalLM", "StableLMEpochForCausalLM"),
    "input norm, input norm bias, post norm, post norm bias @layer: hidden\n" + QKVO + MLP + EMBED + HEAD
    + "final norm, final norm bias: hidden\n" + QKV_BIAS.replace(":", "?qkv biases:"),
    "as Llama, with biases on the norms", multiples=GROUPED,
)  # fmt: skip

FAMILIES = (
    LLAMA, QWEN2, QWEN3, PHI3, CHATGLM, GLM, GLM4, BAICHUAN, INTERNLM2, QWEN, GEMMA2, GEMMA3, OLMO2, OLMO, COHERE,
    STABLELM,
)  # fmt: skip
