"""Sentences that programs and people were seen to say, with what each of them says: the other source of truth.

The letters and numbers are those of the failures that this is written for; the sentences without one are those of the
programs' own sources, with other names.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Sentence(NamedTuple):
    """What is said, and what it says; what is not stated is empty."""

    text: str
    kind: str
    says: Mapping[str, Any] = MappingProxyType({})


def _key(name: str) -> Sentence:
    return Sentence(f"KeyError: '{name}'", "no-parameter", {"names": (name,)})


FAILURES = {
    "A1": Sentence("Can not map tensor 'model.layers.0.self_attn.k_norm.weight'", "no-parameter",
                   {"names": ("model.layers.0.self_attn.k_norm.weight",), "program": "llama.cpp"}),
    "A2": Sentence("Can not map tensor 'bert.embeddings.LayerNorm.beta'", "no-parameter",
                   {"names": ("bert.embeddings.LayerNorm.beta",)}),
    "A3": _key("blocks.0.attn.qkv.weight"),
    "A4": Sentence("Following weights were not initialized from checkpoint: "
                   "{'…mlp.shared_experts.gate_up_proj.weight', …}", "no-tensor",
                   {"names": ("…mlp.shared_experts.gate_up_proj.weight",), "program": "vllm"}),
    "A5": _key("transformer.h.0.mlp.dense_4h_to_h.bias"),
    "B1": _key("language_model.embed_tokens.weight"),
    "B1 the other way": _key("visual.patch_embed.proj.weight"),
    "B2": Sentence("no module named 'language_model' in LlamaForCausalLM", "no-parameter",
                   {"names": ("language_model",), "fields": ("LlamaForCausalLM",), "program": "vllm"}),
    "B3": Sentence("Can not map tensor 'embed_tokens.weight'", "no-parameter", {"names": ("embed_tokens.weight",)}),
    "B4": _key("model.model.model.embed_tokens.weight"),
    "B6": Sentence("There is no module or parameter named 'backbone.layers' in MambaForCausalLM", "no-parameter",
                   {"names": ("backbone.layers",), "fields": ("MambaForCausalLM",)}),
    "B7": Sentence("Following weights were not initialized from checkpoint: {'lm_head.weight'}", "no-tensor",
                   {"names": ("lm_head.weight",)}),
    "C1": _key("layers.0.mlp.gate_gate_up_proj.deq_scale"),
    "C2": _key("layers.0.self_attn.qkv_proj.weight"),
    "C5": Sentence("KeyError … 'layers.10.feed_forward.experts.0.activation_fn.scales'", "no-parameter",
                   {"names": ("layers.10.feed_forward.experts.0.activation_fn.scales",)}),
    "D1": Sentence("size mismatch … wk.weight: … [4096, 4096] … current model is [128, 4096]", "shape",
                   {"names": ("wk.weight",), "shapes": ((4096, 4096), (128, 4096))}),
    "D1 elements": Sentence("load attention data error 33554432, 268435456", "shape",
                            {"numbers": (33554432, 268435456)}),
    "D2": Sentence("got 10485760 elements, expected 6553600", "shape", {"numbers": (10485760, 6553600)}),
    "D3": Sentence("assert loaded_weight.shape[output_dim] == self.org_vocab_size", "shape",
                   {"fields": ("loaded_weight.shape[output_dim]", "self.org_vocab_size")}),
    "D3 shapes": Sentence("[128260, 4096] … [128256, 4096]", "shape", {"shapes": ((128260, 4096), (128256, 4096))}),
    "D3 padded": Sentence("[152064, 3584] … [151646, 3584]", "shape", {"shapes": ((152064, 3584), (151646, 3584))}),
    "D5": Sentence("The size of tensor a (16004) must match the size of tensor b (16032)", "shape",
                   {"numbers": (16004, 16032)}),
    "E1": Sentence("Total number of attention heads (52) must be divisible by tensor parallel size (8).", "divisible",
                   {"numbers": (52, 8), "program": "vllm"}),
    "E2": Sentence("Weight input_size_per_partition = 14784 is not divisible by min_thread_k = 128", "divisible",
                   {"numbers": (14784, 128)}),
    "E2 aligned": Sentence("The input size is not aligned with the quantized weight shape. "
                           "This can be caused by too large tensor parallel size.", "divisible"),
    "E3": Sentence("shape '[4, 178, -1, 128]' is invalid for input of size 45568", "shape",
                   {"shapes": ((4, 178, -1, 128),), "numbers": (45568,)}),
    "E4": Sentence("repeated or garbled output", "garbage"),
    "E5": Sentence("Correct shapes, no exception, wrong text at tp > 1", "garbage"),
    "E8": Sentence("The size of tensor a (1280) must match the size of tensor b (2560)", "shape",
                   {"numbers": (1280, 2560)}),
    "E8 score": Sentence("Following weights were not initialized from checkpoint: {'language_model.score.weight'}",
                         "no-tensor", {"names": ("language_model.score.weight",)}),
    "F1": _key("layers.0.mlp.down_proj.weight_scale"),
    "F2": Sentence("'layers.0.mlp.down_proj.weight.absmax'", "no-parameter",
                   {"names": ("layers.0.mlp.down_proj.weight.absmax",)}),
    "F3": Sentence("assert param_data.shape == loaded_weight.shape", "shape",
                   {"fields": ("param_data.shape", "loaded_weight.shape")}),
    "F4": _key("layers.32.self_attn.qkv_proj.k_scale"),
    "F5": Sentence("Found k_scale in the checkpoint (e.g. layers.3.self_attn.attn.k_scale), but not found the expected "
                   "name in the model (e.g. layers.3.self_attn.attn.attn.k_scale). k_scale is not loaded.",
                   "no-parameter", {"names": ("layers.3.self_attn.attn.k_scale",
                                              "layers.3.self_attn.attn.attn.k_scale")}),
    "F6": Sentence("'MergedColumnParallelLinear' object has no attribute 'weight_scale_inv'. "
                   "Did you mean: 'weight_scale'?", "attribute",
                   {"names": ("weight_scale_inv",), "fields": ("MergedColumnParallelLinear",)}),
    "F7": Sentence("Can not map tensor 'model.layers.0.mlp.down_proj.weight_scale_inv'", "no-parameter",
                   {"names": ("model.layers.0.mlp.down_proj.weight_scale_inv",)}),
    "F8": _key("vision_model.encoder.layers.0.mlp.fc1.weight_scale"),
    "F11": _key("layers.0.mlp.down_proj.weight_zero_point"),
    "F12": Sentence("gibberish.", "garbage"),
    "F13": Sentence("perfect text at TP 1, nonsense at TP 2 with desc_act=True", "garbage"),
    "F14": _key("lm_head.qweight"),
    "G1": _key("model.language_model.layers.0.mlp.experts.gate_up_proj"),
    "G3": Sentence("Missing key in checkpoint state_dict: mtp.layers.0.mlp.experts.224.down_proj.weight", "no-tensor",
                   {"names": ("mtp.layers.0.mlp.experts.224.down_proj.weight",)}),
    "G4": _key("layers.0.mlp.experts.w13_bias"),
    "G5": Sentence("RuntimeError: failed to map GGUF parameters (18288)", "no-tensor", {"numbers": (18288,)}),
    "G6": _key("layers.45.mlp.shared_expert.down_proj.weight"),
    "H1": _key("layers.0.attention.wk.weight"),
    "H1 later": _key("layers.60.mlp.gate_up_proj.weight"),
    "H3": Sentence("server boots, captures graphs, answers garbage", "garbage"),
    "H6": Sentence("weight model.layers.24.mlp.gate_proj.weight does not exist", "no-tensor",
                   {"names": ("model.layers.24.mlp.gate_proj.weight",), "program": "tgi"}),
    "I1": Sentence("Error while deserializing header: HeaderTooLarge", "header",
                   {"fields": ("HeaderTooLarge",), "program": "safetensors"}),
    "I3": Sentence("MetadataIncompleteBuffer", "header", {"fields": ("MetadataIncompleteBuffer",)}),
    "I5": Sentence("Error while deserializing header: InvalidHeaderDeserialization", "header",
                   {"fields": ("InvalidHeaderDeserialization",)}),
    "J1": Sentence("gibberish after ~20 or more tokens", "garbage"),
    "J2": Sentence("gibberish, mixed scripts", "garbage"),
    "J3": Sentence("coherent-looking but degraded", "garbage"),
    "J4": Sentence("endless `!`", "garbage"),
    "J4 NaN": Sentence("NaN logits", "not-finite"),
    "J4 repeated": Sentence('outputs "stud stud stud"', "garbage", {"fields": ("stud",)}),
    "J4 marks": Sentence("outputs !!!!!!!!", "garbage"),
    "J5": Sentence("405B FP8 model, only exclamation marks", "garbage"),
    "J6": Sentence("[2304, 768] … current model is [768, 2304]", "shape", {"shapes": ((2304, 768), (768, 2304))}),
    "K2": _key("lm_head.weight"),
    "K3": Sentence("boots, garbage; no unloaded-weights report", "garbage"),
    "K4": Sentence("repeating the same token infinitely", "garbage"),
    "K5": Sentence("weight lm_head.weight does not exist", "no-tensor", {"names": ("lm_head.weight",)}),
    "K5 MLX": Sentence("Missing 1 parameters: language_model.lm_head.weight", "no-tensor",
                       {"names": ("language_model.lm_head.weight",), "numbers": (1,)}),
    "K6": Sentence("weight shared.weight does not exist", "no-tensor", {"names": ("shared.weight",)}),
    "K6 encoder": Sentence("weight encoder.embed_tokens.weight does not exist", "no-tensor",
                           {"names": ("encoder.embed_tokens.weight",)}),
    "K7": Sentence("tensor 'token_embd.weight' not found", "no-tensor",
                   {"names": ("token_embd.weight",), "program": "llama.cpp"}),
    "L1": _key("base_model.model.model.layers.0.self_attn.qkv_proj.lora_A.weight"),
    "L2": Sentence("Found missing adapter keys while loading the checkpoint", "adapter"),
    "L4": _key("layers.11.mlp.down_proj.weight"),
    "M1": Sentence("copying a param with shape torch.Size([0]) from checkpoint", "shape",
                   {"shapes": ((0,),), "program": "torch"}),
    "M2": Sentence("embed_tokens.weight … torch.Size([131344896]) … [128266, 4096]", "shape",
                   {"names": ("embed_tokens.weight",), "shapes": ((131344896,), (128266, 4096))}),
    "M4": Sentence("KeyError on `inv_freq`, `cos_cached`, `sin_cached`.", "no-parameter", {"names": ("inv_freq",)}),
    "N1": _key("layers.61.mlp.experts.w2_weight"),
    "N2": _key("model.layers.30.self_attn.kv_a_proj_with_mqa.weight"),
    "N3": _key("model.layers.92.self_attn.q_proj.weight"),
    "O2": Sentence("KeyError: 'model_max_length'", "no-field", {"fields": ("model_max_length",)}),
    "Q1": Sentence("Received 2 parameters not in model: lm_head.biases, lm_head.scales", "no-parameter",
                   {"names": ("lm_head.biases", "lm_head.scales"), "numbers": (2,)}),
    "Q2": Sentence("missing tensor", "no-tensor"),
    "R2": Sentence("'Parameter' object has no attribute 'weight_loader'", "attribute",
                   {"names": ("weight_loader",), "fields": ("Parameter",)}),
}  # fmt: skip
"""Each symptom line of the collected failures that consists of words of a program or of a person."""
