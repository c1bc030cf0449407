"""What a tensor is for, by its name: one table over the spellings of the field, whole dot-components only.

Spellings: the state dicts of the Transformers classes, of the model repositories' own code (Qwen, ChatGLM, InternLM2,
MPT, Phi, Molmo, MiniMax), llama.cpp's tensor list (`gguf-py`, `constants.py`) and mlx-lm's renamings. A path is what
follows the number of the layer, or what follows the wrappers of a tensor outside the layers; `{}` is a number.
"""

from __future__ import annotations

from collections.abc import Mapping

WRAPPERS = frozenset({
    "model", "transformer", "language_model", "text_model", "llm", "module", "base_model", "backbone", "gpt_neox",
    "bert", "roberta", "layoutlm", "distilbert", "electra", "vit", "albert", "decoder", "encoder", "embeddings",
    "_orig_mod", "rwkv", "embedding", "output_layer", "shared", "transformer_decoder", "xlm_roberta", "camembert",
    "language_backbone", "thinker",
})  # fmt: skip
"""Components in front of the name of a tensor that say nothing of it."""

TOWERS = frozenset({
    "visual", "vision", "vision_tower", "vision_model", "vision_backbone", "vision_encoder", "image_encoder", "vpm",
    "resampler", "mm_projector", "multi_modal_projector", "projector", "mlp1", "mlp_AR", "visual_tokenizer",
    "sam_model",
    "audio_tower", "audio_model", "audio_encoder", "speech_encoder", "apm", "audio_projector", "connector",
    "image_newline", "view_seperator", "view_separator", "vision_embed_tokens", "perceiver", "mm", "v", "vqmodel",
    "aligner", "talker", "token2wav", "vit_large_projector", "embed_vision", "embed_audio", "merger", "vision_adapter",
    "image_projection", "patch_merger", "vision_language_adapter", "visual_projection", "audio_projection",
    "abstractor",
})  # fmt: skip
"""Components that begin something that is not the decoder of text."""
SENSES = frozenset({"vision", "visual", "image", "img", "video", "audio", "speech", "codec", "tower"})
"""Words of a component (`video_tower`, `img_processor`) that say the same."""

NEXT_TOKEN = frozenset({"mtp_layers", "mtp", "nextn", "nextn_predict_layers"})
"""Components that begin layers which draft the tokens after the next."""

_TABLE: dict[str, str] = {
    "embed": "embed_tokens word_embeddings wte embed_in tok_embeddings token_embd embedding.word_embeddings "
    "wte.embedding tok_embedding embeddings.word_embeddings embeddings shared "
    "token_embedding",
    "embed_more": "wte.new_embedding",
    "embed_norm": "word_embeddings_layernorm token_embd_norm embeddings.LayerNorm embedding_norm LayerNorm",
    "head": "lm_head embed_out linear cls.predictions.decoder output_layer ff_out.head lm_head.decoder",
    "positions": "wpe embed_positions position_embeddings position_embedding position_embd",
    "axis_positions": "h_position_embeddings w_position_embeddings x_position_embeddings y_position_embeddings",
    "types": "token_type_embeddings token_types",
    "norm": "norm ln_f final_layer_norm final_layernorm norm_f model_norm output_norm layernorm ln final_norm "
    "input_layernorm post_attention_layernorm pre_feedforward_layernorm post_feedforward_layernorm ln_1 ln_2 ln_attn "
    "ln_mlp pre_ff_layernorm norm_1 norm_2 norm1 norm2 attention_norm ffn_norm attn_norm ff_norm layer_norm1 "
    "layer_norm2 self_attn_layer_norm layernorm_before layernorm_after post_self_attn_layernorm post_mlp_layernorm "
    "attention.output.LayerNorm output.LayerNorm post_attention_norm post_ffw_norm embedding_layernorm sa_layer_norm "
    "output_layer_norm pre_feedforward_layernorm post_layernorm encoder.final_layernorm final_layernorm "
    "attn_out_norm attn_output_norm layer_output_norm pre_mlp_layernorm pre_mlp_norm self_attn.layer_norm layer_norm "
    "layer.{}.layer_norm hidden_layernorm token_layernorm enorm hnorm shared_head.norm ln1 ln2 attention_layernorm "
    "feedforward_layernorm "
    "post_norm1 post_norm2 attention.ln self_attn.attn_sub_norm encoder_attn_layer_norm mlp_norm",
    "q": "self_attn.q_proj attention.self.query attention.attention.query attn.q_proj attention.wq attn_q "
    "attention.q_lin layer.{}.SelfAttention.q attn.attention.q_proj mixer.q_proj",
    "k": "self_attn.k_proj attention.self.key attention.attention.key attn.k_proj attention.wk attn_k "
    "attention.k_lin layer.{}.SelfAttention.k attn.attention.k_proj mixer.k_proj",
    "v": "self_attn.v_proj attention.self.value attention.attention.value attn.v_proj attention.wv attn_v "
    "attention.v_lin layer.{}.SelfAttention.v attn.attention.v_proj mixer.v_proj",
    "qkv": "self_attn.qkv_proj attn.c_attn attn.Wqkv mixer.Wqkv attention.wqkv attention.query_key_value "
    "self_attention.query_key_value att_proj attn.qkv_proj attn.qkv attn_qkv self_attn.W_pack "
    "self_attn.query_key_value",
    "out": "self_attn.o_proj self_attn.out_proj self_attn.dense attn.c_proj attn.out_proj attention.wo "
    "attention.dense self_attention.dense attn_out attention.output.dense attn_output attn.proj attn.o_proj "
    "attention.out_lin layer.{}.SelfAttention.o attn.attention.out_proj attn.Wo mixer.o_proj",
    "q_norm": "self_attn.q_norm self_attn.q_layernorm attn_q_norm self_attn.query_layernorm attn.q_norm",
    "k_norm": "self_attn.k_norm self_attn.k_layernorm attn_k_norm self_attn.key_layernorm attn.k_norm",
    "sinks": "self_attn.sinks attn_sinks",
    "inv_freq": "self_attn.rotary_emb.inv_freq rotary_emb.inv_freq attention.rotary_emb.inv_freq "
    "rotary_pos_emb.inv_freq",
    "mask": "attn.bias attn.masked_bias attention.bias attention.masked_bias attn.causal_mask position_ids "
    "crossattention.causal_mask self_attn.rotary_emb.cos_cached self_attn.rotary_emb.sin_cached rope_freqs",
    "gate": "mlp.gate_proj mlp.w2 feed_forward.gate_proj feed_forward.w1 ffn_gate layer.{}.DenseReluDense.wi_0",
    "up": "mlp.up_proj feed_forward.up_proj feed_forward.w3 ffn_up mlp.c_fc mlp.dense_h_to_4h mlp.fc1 mlp.fc_in "
    "ffn.up_proj fc1 intermediate.dense ffn.lin1 layer.{}.DenseReluDense.wi_1 layer.{}.DenseReluDense.wi mlp.w1 "
    "mlp.linear_fc1",
    "gate_up": "mlp.gate_up_proj ff_proj",
    "down": "mlp.down_proj feed_forward.down_proj feed_forward.w2 ffn_down mlp.c_proj mlp.dense_4h_to_h mlp.fc2 "
    "mlp.fc_out ffn.down_proj fc2 output.dense ffn.lin2 layer.{}.DenseReluDense.wo ff_out mlp.linear_fc2",
    "router": "mlp.gate block_sparse_moe.gate block_sparse_moe.router.layer mlp.router feed_forward.router "
    "ffn_gate_inp feed_forward.gate block_sparse_moe.router mlp.router.gate",
    "router_bias": "mlp.gate.e_score_correction_bias block_sparse_moe.e_score_correction_bias exp_probs_b "
    "mlp.gate.expert_bias mlp.e_score_correction_bias mlp.moe_statics.e_score_correction_bias mlp.expert_bias "
    "mlp.experts.e_score_correction_bias block_sparse_moe.gate.e_score_correction_bias",
    "expert_gate": "mlp.experts.{}.gate_proj block_sparse_moe.experts.{}.w1 feed_forward.experts.{}.gate_proj "
    "ffn_gate.{} feed_forward.experts.{}.w1",
    "expert_up": "mlp.experts.{}.up_proj block_sparse_moe.experts.{}.w3 feed_forward.experts.{}.up_proj ffn_up.{} "
    "feed_forward.experts.{}.w3",
    "expert_down": "mlp.experts.{}.down_proj block_sparse_moe.experts.{}.w2 feed_forward.experts.{}.down_proj "
    "ffn_down.{} feed_forward.experts.{}.w2",
    "experts_gate": "ffn_gate_exps mlp.switch_mlp.gate_proj block_sparse_moe.switch_mlp.gate_proj",
    "experts_up": "ffn_up_exps mlp.switch_mlp.up_proj block_sparse_moe.switch_mlp.up_proj",
    "experts_gate_up": "mlp.experts.gate_up_proj block_sparse_moe.input_linear feed_forward.experts.gate_up_proj",
    "experts_down": "ffn_down_exps mlp.switch_mlp.down_proj mlp.experts.down_proj block_sparse_moe.output_linear "
    "feed_forward.experts.down_proj block_sparse_moe.switch_mlp.down_proj",
    "shared_gate": "mlp.shared_experts.gate_proj mlp.shared_expert.gate_proj ffn_gate_shexp "
    "feed_forward.shared_expert.gate_proj mlp.shared_mlp.gate_proj block_sparse_moe.shared_experts.gate_proj",
    "shared_up": "mlp.shared_experts.up_proj mlp.shared_expert.up_proj ffn_up_shexp "
    "feed_forward.shared_expert.up_proj mlp.shared_mlp.up_proj block_sparse_moe.shared_experts.up_proj",
    "shared_down": "mlp.shared_experts.down_proj mlp.shared_expert.down_proj ffn_down_shexp "
    "feed_forward.shared_expert.down_proj mlp.shared_mlp.down_proj block_sparse_moe.shared_experts.down_proj",
    "shared_gate_up": "shared_mlp.input_linear mlp.shared_experts.gate_up_proj",
    "shared_out": "shared_mlp.output_linear",
    "shared_router": "mlp.shared_expert_gate ffn_gate_inp_shexp",
    "q_a": "self_attn.q_a_proj attn_q_a",
    "q_a_norm": "self_attn.q_a_layernorm attn_q_a_norm",
    "q_b": "self_attn.q_b_proj attn_q_b",
    "kv_a": "self_attn.kv_a_proj_with_mqa attn_kv_a_mqa",
    "kv_a_norm": "self_attn.kv_a_layernorm attn_kv_a_norm",
    "kv_b": "self_attn.kv_b_proj attn_kv_b",
    "k_b": "self_attn.embed_q attn_k_b",
    "v_b": "self_attn.unembed_out attn_v_b",
    "ssm_in": "mixer.in_proj mamba.in_proj ssm_in",
    "ssm_conv": "mixer.conv1d mamba.conv1d ssm_conv1d",
    "ssm_x": "mixer.x_proj mamba.x_proj ssm_x",
    "ssm_dt": "mixer.dt_proj mamba.dt_proj ssm_dt",
    "ssm_a": "mixer.A_log mamba.A_log ssm_a",
    "ssm_d": "mixer.D mamba.D ssm_d",
    "ssm_dt_bias": "mixer.dt_bias mamba.dt_bias",
    "ssm_norm": "mixer.norm mamba.norm ssm_norm",
    "ssm_out": "mamba.out_proj ssm_out mixer.out_proj",
    "dt_norm": "mamba.dt_layernorm",
    "state_norm": "mamba.b_layernorm mamba.c_layernorm",
    "lin_qkv": "linear_attn.in_proj_qkv",
    "lin_qkvz": "linear_attn.in_proj_qkvz",
    "lin_z": "linear_attn.in_proj_z",
    "lin_ba": "linear_attn.in_proj_ba",
    "lin_a": "linear_attn.in_proj_a linear_attn.in_proj_b",
    "lin_conv": "linear_attn.conv1d",
    "lin_heads": "linear_attn.A_log linear_attn.dt_bias",
    "lin_norm": "linear_attn.norm",
    "lin_out": "linear_attn.out_proj",
    "out_gate": "self_attn.output_gate",
    "out_norm": "self_attn.norm",
    "next_token": "eh_proj input_proj",
    "draft_head": "shared_head.head",
    "cross_q": "crossattention.q_attn encoder_attn.q_proj layer.{}.EncDecAttention.q",
    "cross_k": "encoder_attn.k_proj", "cross_v": "encoder_attn.v_proj",
    "cross_kv": "crossattention.qkv_proj",
    "cross_out": "crossattention.out_proj encoder_attn.out_proj layer.{}.EncDecAttention.o",
    "relative": "layer.{}.SelfAttention.relative_attention_bias",
    "square": "pooler.dense cls.predictions.transform.dense lm_head.dense vocab_transform",
    "square_norm": "cls.predictions.transform.LayerNorm lm_head.layer_norm vocab_layer_norm",
    "head_bias": "cls.predictions lm_head.bias",
    "classes": "classifier score out_proj",
    "class_token": "cls_token class_token",
    "patches": "patch_embeddings.projection",
}  # fmt: skip

ROLES: Mapping[str, str] = {path: role for role, paths in _TABLE.items() for path in reversed(paths.split())}
"""Path -> role."""

OUTSIDE: Mapping[str, str] = {"ff_out": "head", "output": "head", "linear": "head", "out_proj": "classes"}
"""Paths that mean something else outside of layers."""

SQUEEZED = ("_bias", "_blocks", "_scales")
"""How leaves of stacked experts are spelled (gpt-oss): below no module of their own."""

LEAVES = frozenset({
    "weight", "bias", "qweight", "qzeros", "scales", "g_idx", "biases", "SCB", "weight_format", "weight_scale",
    "weight_scale_inv", "weight_scale_2", "input_scale", "weight_packed", "weight_shape", "weight_zero_point",
    "weight_g_idx", "k_scale", "v_scale", "scale", "lora_A", "lora_B", "activation_scale", "output_scale",
    "gamma", "beta",
})  # fmt: skip
"""What a module consists of; the quantisation schemes put theirs beside the usual two."""


def split(path: str) -> tuple[str, str]:
    """Module and leaf: `("self_attn.q_proj", "weight")`; a bare tensor has no leaf.

    >>> split("att_proj.weight.quant_state.bitsandbytes__nf4")
    ('att_proj', 'weight.quant_state.bitsandbytes__nf4')
    """
    parts = path.split(".")
    for position, part in enumerate(parts):
        if part in LEAVES and position and not (part == "bias" and parts[position - 1] == "attn"):
            return ".".join(parts[:position]), ".".join(parts[position:])
    for ending in SQUEEZED:
        if path.endswith(ending) and path.removesuffix(ending) in ROLES:
            return path.removesuffix(ending), ending[1:]
    return path, ""
