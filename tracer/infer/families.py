"""The families of the field: by which modules one is known, what its class is called, how its config spells a field.

Sources: the configuration classes of Transformers and of the model repositories' own code (`configuration_*.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tracer.infer.equations import norms_are_wide
from tracer.infer.names import Structure

LLAMA_SPELLING: Mapping[str, str] = {
    "layers": "num_hidden_layers", "hidden": "hidden_size", "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads", "head_dim": "head_dim", "ffn": "intermediate_size", "vocab": "vocab_size",
    "tie": "tie_word_embeddings", "attention_bias": "attention_bias", "mlp_bias": "mlp_bias",
    "experts": "num_local_experts", "active": "num_experts_per_tok", "moe_ffn": "moe_intermediate_size",
    "shared": "n_shared_experts", "shared_ffn": "shared_expert_intermediate_size", "dense": "first_k_dense_replace",
    "drafts": "num_nextn_predict_layers", "q_rank": "q_lora_rank", "kv_rank": "kv_lora_rank",
    "nope": "qk_nope_head_dim", "rope": "qk_rope_head_dim", "v_dim": "v_head_dim", "positions":
    "max_position_embeddings", "types": "type_vocab_size", "state": "state_size", "conv": "conv_kernel",
    "dt": "time_step_rank", "inner": "intermediate_size", "mheads": "num_heads", "mdim": "head_dim",
    "groups": "n_groups", "lin_heads": "linear_num_value_heads", "lin_dim": "linear_value_head_dim",
    "lin_key_heads": "linear_num_key_heads", "lin_key_dim": "linear_key_head_dim",
    "lin_conv": "linear_conv_kernel_dim", "theta": "rope_theta", "eps": "rms_norm_eps", "act": "hidden_act",
    "axis_positions": "max_2d_position_embeddings", "ssm_bias": "use_bias", "conv_bias": "use_conv_bias",
}  # fmt: skip


@dataclass(frozen=True)
class Family:
    """One class of models."""

    name: str
    """As in `architectures`."""
    model_type: str
    has: tuple[str, ...]
    """Modules that it always has; `a|b` is either."""
    lacks: tuple[str, ...] = ()
    spelling: Mapping[str, str] = field(default_factory=dict)
    """Where it differs from Llama's; an empty string where its config has no such field."""
    equations: Mapping[str, str] = field(default_factory=dict)
    """Where its tensors differ from the table."""
    constants: Mapping[str, object] = field(default_factory=dict)
    """What its config must say for these tensors."""
    tied: bool = False
    """Whether a config that is silent means tied."""
    towers: bool = False
    """Whether it sees or hears although no field of its config says so."""
    biased: bool = False
    """Whether biases of q, k and v belong to the class, and no field says so."""
    shared: tuple[str, ...] = ()
    """Other classes with the same modules."""

    def spelled(self, canonical: str) -> str:
        """The field's name in this family's config; empty where it has none."""
        return self.spelling.get(canonical, LLAMA_SPELLING.get(canonical, canonical))

    def fits(self, modules: set[str]) -> bool:
        have = all(any(way in modules for way in wanted.split("|")) for wanted in self.has)
        return have and not any(module in modules for module in self.lacks)


_Q, _QK = ("self_attn.q_proj",), ("self_attn.q_proj", "self_attn.q_norm")
_MLP, _LLAMA = ("mlp.gate_proj",), ("self_attn.q_proj", "mlp.gate_proj", "input_layernorm")
_ROUTERS = ("mlp.gate", "mlp.router", "mlp.router.gate")
_EXPERTS = "mlp.experts.{}.gate_proj|mlp.experts.gate_up_proj"
_GPT: dict[str, str] = {
    "layers": "n_layer", "hidden": "n_embd", "heads": "n_head", "ffn": "n_inner", "positions": "n_positions",
    "kv_heads": "", "head_dim": "", "attention_bias": "", "mlp_bias": "", "eps": "layer_norm_epsilon",
    "act": "activation_function", "theta": "",
}  # fmt: skip
_NO_FLAGS: dict[str, str] = {"attention_bias": "", "mlp_bias": ""}
_ENCODER: dict[str, str] = {
    "kv_heads": "", "head_dim": "", "attention_bias": "", "mlp_bias": "", "eps": "layer_norm_eps", "theta": "",
}  # fmt: skip
_MOE: dict[str, str] = {"experts": "num_experts", "attention_bias": "attention_bias", "mlp_bias": ""}
_DEEPSEEK: dict[str, str] = {"experts": "n_routed_experts", "head_dim": "", "mlp_bias": "", "shared_ffn": ""}
_MLA = ("self_attn.kv_a_proj_with_mqa", "self_attn.kv_b_proj|self_attn.embed_q")

FAMILIES: tuple[Family, ...] = (
    # State spaces and linear attention
    Family("JambaForCausalLM", "jamba", ("mamba.x_proj", "feed_forward.gate_proj|feed_forward.router"), spelling={
        "experts": "num_experts", "state": "mamba_d_state", "conv": "mamba_d_conv", "dt": "mamba_dt_rank",
        "inner": "", "attention_bias": "", "mlp_bias": "", "head_dim": "", "expand": "mamba_expand",
        "ssm_bias": "mamba_proj_bias", "conv_bias": "mamba_conv_bias"}),
    Family("MambaForCausalLM", "mamba", ("mixer.in_proj", "mixer.x_proj"), tied=True, spelling=_NO_FLAGS,
           shared=("FalconMambaForCausalLM",)),
    Family("Mamba2ForCausalLM", "mamba2", ("mixer.in_proj", "mixer.dt_bias"),
           ("self_attn.q_proj", "mixer.q_proj"),
           spelling={"inner": "", "heads": "num_heads", "attention_bias": "", "mlp_bias": ""}),
    Family("Qwen3NextForCausalLM", "qwen3_next", ("linear_attn.in_proj_qkvz",), spelling=_MOE),
    Family("Qwen3_5MoeForCausalLM", "qwen3_5_moe_text", ("linear_attn.in_proj_qkv", _EXPERTS), spelling=_MOE),
    Family("Qwen3_5ForCausalLM", "qwen3_5_text", ("linear_attn.in_proj_qkv",), spelling={"mlp_bias": ""}),
    Family("MiniMaxM1ForCausalLM", "minimax_m1", ("self_attn.output_gate", "block_sparse_moe.gate"), spelling=_NO_FLAGS,
           equations={"qkv": "3 lin_v, hidden"}),
    # Mixtures
    Family("GptOssForCausalLM", "gpt_oss", ("self_attn.sinks", "mlp.router"),
           equations={"experts_gate_up": "experts, hidden, 2 moe_ffn", "experts_down": "experts, moe_ffn, hidden"},
           spelling={"moe_ffn": "intermediate_size", "mlp_bias": ""}),
    Family("DeepseekV3ForCausalLM", "deepseek_v3", (*_MLA, "mlp.gate.e_score_correction_bias"), spelling=_DEEPSEEK,
           shared=("Glm4MoeLiteForCausalLM",)),
    Family("DeepseekV2ForCausalLM", "deepseek_v2", (*_MLA, "mlp.gate"), spelling=_DEEPSEEK),
    Family("Glm4MoeForCausalLM", "glm4_moe", ("mlp.gate.e_score_correction_bias", "mlp.shared_experts.gate_proj"),
           spelling={"experts": "n_routed_experts", "mlp_bias": "", "shared_ffn": ""},
           shared=("SolarOpenForCausalLM", "ExaoneMoeForCausalLM")),
    Family("DeepseekForCausalLM", "deepseek", ("mlp.shared_experts.gate_proj", _EXPERTS),
           ("self_attn.q_norm", "mlp.moe_statics.e_score_correction_bias"), spelling=_DEEPSEEK),
    Family("Qwen2MoeForCausalLM", "qwen2_moe", ("mlp.shared_expert_gate",), spelling=_MOE | {"attention_bias": ""},
           biased=True),
    Family("Qwen3MoeForCausalLM", "qwen3_moe", (*_QK, _EXPERTS),
           ("mlp.shared_experts.gate_proj", "mlp.shared_mlp.gate_proj", "mlp.shared_experts.gate_up_proj"),
           spelling=_MOE),
    Family("MiniMaxM2ForCausalLM", "minimax_m2", ("self_attn.q_norm", "block_sparse_moe.experts.{}.w1"),
           spelling=_NO_FLAGS | {"moe_ffn": "intermediate_size"}),
    Family("MixtralForCausalLM", "mixtral", ("block_sparse_moe.experts.{}.w1|mlp.experts.gate_up_proj",),
           ("self_attn.q_norm", "mlp.gate_proj", "mlp.shared_experts.gate_proj"),
           spelling=_NO_FLAGS | {"moe_ffn": "intermediate_size"}),
    Family("GraniteMoeForCausalLM", "granitemoe", ("block_sparse_moe.input_linear",), ("shared_mlp.input_linear",),
           spelling={"moe_ffn": "intermediate_size", "head_dim": "", "mlp_bias": ""}),
    # The field's older dialects
    Family("BloomForCausalLM", "bloom", ("word_embeddings_layernorm", "self_attention.query_key_value"), tied=True,
           spelling=_GPT | {"hidden": "n_embed", "heads": "num_attention_heads", "positions": "", "act": "",
                            "ffn": ""}),
    Family("ChatGLMForConditionalGeneration", "chatglm", ("self_attention.query_key_value", "mlp.dense_h_to_4h"),
           ("ln_attn", "word_embeddings"), equations={"up": "2 ffn, hidden"}, spelling={
               "layers": "num_layers", "kv_heads": "multi_query_group_num", "head_dim": "kv_channels",
               "ffn": "ffn_hidden_size", "vocab": "padded_vocab_size", "attention_bias": "add_qkv_bias",
               "mlp_bias": "add_bias_linear", "eps": "layernorm_epsilon", "act": "", "theta": "rope_ratio"},
           constants={"multi_query_attention": True}),
    Family("FalconForCausalLM", "falcon", ("self_attention.query_key_value", "ln_attn"), tied=True,
           constants={"new_decoder_architecture": True}, spelling={
               "kv_heads": "num_kv_heads", "head_dim": "", "ffn": "ffn_hidden_size", "attention_bias": "bias",
               "mlp_bias": "", "eps": "layer_norm_epsilon"}),
    Family("FalconForCausalLM", "falcon", ("self_attention.query_key_value", "word_embeddings"), tied=True, spelling={
               "kv_heads": "num_kv_heads", "head_dim": "", "ffn": "ffn_hidden_size", "attention_bias": "bias",
               "mlp_bias": "", "eps": "layer_norm_epsilon"}),
    Family("GPTNeoXForCausalLM", "gpt_neox", ("attention.query_key_value", "mlp.dense_h_to_4h"),
           spelling={"kv_heads": "", "head_dim": "", "mlp_bias": "", "eps": "layer_norm_eps",
                     "theta": "rotary_emb_base"}),
    Family("MPTForCausalLM", "mpt", ("attn.Wqkv", "ffn.up_proj"), tied=True, shared=("MptForCausalLM",), spelling={
        "layers": "n_layers", "hidden": "d_model", "heads": "n_heads", "kv_heads": "", "head_dim": "", "ffn": "",
        "expand": "expansion_ratio", "attention_bias": "", "mlp_bias": "", "positions": "max_seq_len", "act": "",
        "eps": "", "theta": ""}),
    Family("QWenLMHeadModel", "qwen", ("attn.c_attn", "mlp.w1"), biased=True,
           spelling={"kv_heads": "", "head_dim": "kv_channels", "attention_bias": "", "mlp_bias": "",
                     "ffn": "intermediate_size", "eps": "layer_norm_epsilon", "act": "", "theta": "rotary_emb_base"}),
    Family("GPT2LMHeadModel", "gpt2", ("attn.c_attn", "mlp.c_fc", "wpe"), spelling=_GPT, tied=True, biased=True,
           shared=("GPTBigCodeForCausalLM",)),
    Family("InternLM2ForCausalLM", "internlm2", ("attention.wqkv", "feed_forward.w1"),
           spelling={"attention_bias": "bias", "mlp_bias": "", "head_dim": ""}),
    Family("MixFormerSequentialForCausalLM", "mixformer-sequential", ("mixer.Wqkv",), biased=True, spelling=_GPT,
           equations={"ssm_out": "hidden, q"}),
    Family("PhiForCausalLM", "phi", ("self_attn.dense", "mlp.fc1"), biased=True,
           spelling={"attention_bias": "", "mlp_bias": "", "head_dim": "", "eps": "layer_norm_eps"}),
    Family("MolmoForCausalLM", "molmo", ("att_proj", "ff_proj"), towers=True,
           spelling={"head_dim": "", "mlp_bias": "", "attention_bias": "qkv_bias", "eps": "layer_norm_eps", "act": ""}),
    Family("OPTForCausalLM", "opt",
           ("self_attn.q_proj", "fc1", "self_attn_layer_norm", "embed_positions", "embed_tokens"),
           ("encoder_attn.q_proj",), tied=True, biased=True, shared=("BioGptForCausalLM",),
           equations={"positions": "positions + 2, hidden"},
           spelling={"kv_heads": "", "head_dim": "", "ffn": "ffn_dim", "attention_bias": "enable_bias", "mlp_bias": "",
                     "eps": "", "act": "activation_function", "theta": ""}),
    Family("CodeGenForCausalLM", "codegen", ("attn.qkv_proj", "mlp.fc_in"), spelling=_GPT),
    # Encoders
    Family("LayoutLMForMaskedLM", "layoutlm", ("attention.self.query", "x_position_embeddings"), tied=True, biased=True,
           spelling=_ENCODER),
    Family("RobertaForMaskedLM", "roberta", ("attention.self.query", "lm_head.dense"), tied=True, biased=True,
           spelling=_ENCODER, shared=("XLMRobertaForMaskedLM", "CamembertForMaskedLM")),
    Family("BertForMaskedLM", "bert", ("attention.self.query",), tied=True, biased=True, spelling=_ENCODER,
           shared=("BertModel", "RobertaModel")),
    Family("ViTForImageClassification", "vit", ("attention.attention.query",), biased=True,
           shared=("DeiTForImageClassification", "ViTMAEForPreTraining"),
           spelling=_ENCODER | {"attention_bias": "qkv_bias", "positions": ""}),
    Family("DistilBertForMaskedLM", "distilbert", ("attention.q_lin",), tied=True, biased=True, spelling=_ENCODER | {
        "layers": "n_layers", "hidden": "dim", "heads": "n_heads", "ffn": "hidden_dim", "act": "activation",
        "eps": ""}),
    Family("T5ForConditionalGeneration", "t5", ("layer.{}.SelfAttention.q",), tied=True, spelling={
        "layers": "num_layers", "hidden": "d_model", "heads": "num_heads", "head_dim": "d_kv", "ffn": "d_ff",
        "kv_heads": "", "attention_bias": "", "mlp_bias": "", "eps": "layer_norm_epsilon", "theta": "",
        "positions": "", "decoder_layers": "num_decoder_layers"}),
    # Llama and those that share its skeleton; the order is from special to plain
    Family("Gemma3ForCausalLM", "gemma3_text", (*_QK, "pre_feedforward_layernorm"), tied=True),
    Family("Gemma2ForCausalLM", "gemma2", (*_Q, "pre_feedforward_layernorm", "post_feedforward_layernorm"), tied=True),
    Family("Olmo2ForCausalLM", "olmo2", (*_QK, "post_feedforward_layernorm"), ("input_layernorm",),
           shared=("Olmo3ForCausalLM", "Exaone4ForCausalLM")),
    Family("Glm4ForCausalLM", "glm4", ("mlp.gate_up_proj", "post_self_attn_layernorm")),
    Family("Phi3ForCausalLM", "phi3", ("self_attn.qkv_proj", "mlp.gate_up_proj"), spelling={"mlp_bias": ""}),
    Family("GlmForCausalLM", "glm", ("self_attn.q_proj", "mlp.gate_up_proj")),
    Family("Qwen3ForCausalLM", "qwen3", (*_QK, *_MLP, "input_layernorm"), _ROUTERS, spelling={"mlp_bias": ""}),
    Family("CohereForCausalLM", "cohere", (*_Q, *_MLP, "input_layernorm"), ("post_attention_layernorm",), tied=True,
           spelling={"mlp_bias": "", "eps": "layer_norm_eps"}, shared=("Cohere2ForCausalLM",)),
    Family("Starcoder2ForCausalLM", "starcoder2", (*_Q, "mlp.c_fc"), tied=True,
           spelling={"attention_bias": "use_bias", "mlp_bias": "", "head_dim": "", "eps": "norm_epsilon"}),
    Family("NemotronForCausalLM", "nemotron", (*_Q, "mlp.up_proj", "input_layernorm"), ("mlp.gate_proj",),
           shared=("ArceeForCausalLM",), spelling={"eps": "norm_eps"}),
    Family("LlamaForCausalLM", "llama", _LLAMA, _ROUTERS, shared=(
        "MistralForCausalLM", "GraniteForCausalLM", "SmolLM3ForCausalLM", "Ernie4_5ForCausalLM")),
)  # fmt: skip

PLAIN = FAMILIES[-1]
UNKNOWN = Family("", "", (), spelling={"mheads": "mamba_num_heads", "mdim": "mamba_head_dim", "inner": ""})


def family_of(names: Structure) -> Family:
    """The first family whose modules are all there; one without a name where none fits."""
    modules = names.modules
    found = next((family for family in FAMILIES if family.fits(modules)), UNKNOWN)
    if found.model_type == "qwen3_moe" and norms_are_wide(names):
        return OLMOE
    return _among_llamas(names) if found is PLAIN else found


def published_as(family: Family, architecture: str) -> Family:
    """Llama's names are those of others too: which of them, a published geometry of the same widths may say."""
    known = NAMED.get(architecture)
    return known if family is PLAIN and known in (MISTRAL, GEMMA) else family


def _among_llamas(names: Structure) -> Family:
    """Llama's skeleton with the marks of those that share it: biases."""
    biased = any(group.leaf == "bias" for group in names.of("q"))
    if biased and not any(group.leaf == "bias" for group in names.of("out")):
        return MIMO if names.drafts else QWEN2
    return STABLELM if any(group.leaf == "bias" for group in names.of("norm")) else PLAIN


QWEN2 = Family("Qwen2ForCausalLM", "qwen2", _LLAMA, spelling={"attention_bias": "", "mlp_bias": ""}, biased=True)
MIMO = Family("MiMoForCausalLM", "mimo", _LLAMA, spelling={"mlp_bias": ""}, biased=True)
_STABLELM = {"attention_bias": "use_qkv_bias", "mlp_bias": "", "head_dim": "", "eps": "layer_norm_eps"}
STABLELM = Family("StableLmForCausalLM", "stablelm", _LLAMA, spelling=_STABLELM)
MISTRAL = Family("MistralForCausalLM", "mistral", _LLAMA, spelling=_NO_FLAGS)
GEMMA = Family("GemmaForCausalLM", "gemma", _LLAMA, tied=True, spelling={"mlp_bias": ""})
OLMOE = Family("OlmoeForCausalLM", "olmoe", (*_QK, _EXPERTS), spelling=_MOE | {"moe_ffn": "intermediate_size"})
_ALL = (*FAMILIES, QWEN2, MIMO, STABLELM, MISTRAL, GEMMA, OLMOE)
BY_MODEL_TYPE: Mapping[str, Family] = {family.model_type: family for family in reversed(_ALL)}
NAMED: Mapping[str, Family] = {family.name: family for family in reversed(_ALL)}
"""By the name of the class."""
