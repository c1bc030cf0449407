"""Models with a tower for images, as they were published and as later versions save them."""

from __future__ import annotations

from typing import Any

from tests.catalogue.building import Model
from tests.catalogue.models import qwen2


def vision_blocks(
    prefix: str, blocks: int = 4, hidden: int = 32, out: int = 64, *, gated: bool = True, biases: bool = False
) -> Model:  # fmt: skip
    """The tower of Qwen2.5-VL and of what follows its names (GLM-4.5V)."""
    model = Model({})
    model.put(f"{prefix}.patch_embed.proj.weight", hidden, 3, 2, 14, 14)
    for block in range(blocks):
        here = f"{prefix}.blocks.{block}"
        for leaf, rows in (("qkv", 3 * hidden), ("proj", hidden)):
            model.put(f"{here}.attn.{leaf}.weight", rows, hidden)
            model.put(f"{here}.attn.{leaf}.bias", rows)
        for name in ("norm1", "norm2"):
            model.put(f"{here}.{name}.weight", hidden)
        for name in ("gate_proj", "up_proj") if gated else ("fc1",):
            model.put(f"{here}.mlp.{name}.weight", 2 * hidden, hidden)
        model.put(f"{here}.mlp.{'down_proj' if gated else 'fc2'}.weight", hidden, 2 * hidden)
        for name, rows in (("gate_proj", 2 * hidden), ("up_proj", 2 * hidden), ("down_proj", hidden)) * biases:
            model.put(f"{here}.mlp.{name}.bias", rows)
    model.put(f"{prefix}.merger.ln_q.weight", hidden)
    for number in (0, 2):
        model.put(f"{prefix}.merger.mlp.{number}.weight", 4 * hidden if number == 0 else out, 4 * hidden)
        model.put(f"{prefix}.merger.mlp.{number}.bias", 4 * hidden if number == 0 else out)
    return model


def siglip(prefix: str, blocks: int = 3, hidden: int = 32) -> Model:
    """The tower of Gemma-3 and Pixtral-like wrappers: `vision_model.encoder.layers`."""
    model = Model({})
    model.put(f"{prefix}.embeddings.patch_embedding.weight", hidden, 3, 14, 14)
    model.put(f"{prefix}.embeddings.patch_embedding.bias", hidden)
    model.put(f"{prefix}.embeddings.position_embedding.weight", 16, hidden)
    for block in range(blocks):
        here = f"{prefix}.encoder.layers.{block}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            model.put(f"{here}.self_attn.{name}.weight", hidden, hidden)
            model.put(f"{here}.self_attn.{name}.bias", hidden)
        for name, rows, inner in (("fc1", 2 * hidden, hidden), ("fc2", hidden, 2 * hidden)):
            model.put(f"{here}.mlp.{name}.weight", rows, inner)
            model.put(f"{here}.mlp.{name}.bias", rows)
        for name in ("layer_norm1", "layer_norm2"):
            model.put(f"{here}.{name}.weight", hidden)
            model.put(f"{here}.{name}.bias", hidden)
    for leaf in ("weight", "bias"):
        model.put(f"{prefix}.post_layernorm.{leaf}", hidden)
    return model


def qwen25_vl(*, new: bool, layers: int = 4, blocks: int = 4, **sizes: Any) -> Model:
    """Qwen2.5-VL as Transformers 4.52 and later saves it (`new`), or as it was published."""
    text = qwen2(layers=layers, **sizes)
    config = text.config | {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl",
        "vision_config": {
            "depth": blocks, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "fullatt_block_indexes": [1],
            "out_hidden_size": text.config["hidden_size"],
        },
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
        "transformers_version": "4.52.4" if new else "4.49.0",
    }  # fmt: skip
    tower = vision_blocks("visual", blocks, out=text.config["hidden_size"], biases=True)
    if new:
        text.rename(lambda name: name.replace("model.", "model.language_model.", 1))
        tower.rename(lambda name: f"model.{name}")
    return Model(config).add(tower).add(text)


def wrapped(text: Model, architecture: str, model_type: str, tower: Model, prefix: str = "language_model.") -> Model:
    """A decoder inside a wrapper with a tower, its fields in `text_config`."""
    config = {
        "architectures": [architecture], "model_type": model_type, "torch_dtype": "bfloat16",
        "text_config": {k: v for k, v in text.config.items() if k not in ("architectures", "torch_dtype")},
        "vision_config": {
            "hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 64, "num_attention_heads": 4,
            "image_size": 56, "patch_size": 14,
        },
    }  # fmt: skip
    return Model(config).add(tower).add(text, prefix)


def pixtral(blocks: int = 3, hidden: int = 32, text_hidden: int = 64) -> Model:
    """Tower and projector of Mistral Small 3.1."""
    model = Model({})
    model.put("vision_tower.patch_conv.weight", hidden, 3, 14, 14)
    model.put("vision_tower.ln_pre.weight", hidden)
    for block in range(blocks):
        here = f"vision_tower.transformer.layers.{block}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            model.put(f"{here}.attention.{name}.weight", hidden, hidden)
        for name in ("gate_proj", "up_proj"):
            model.put(f"{here}.feed_forward.{name}.weight", 2 * hidden, hidden)
        model.put(f"{here}.feed_forward.down_proj.weight", hidden, 2 * hidden)
        for name in ("attention_norm", "ffn_norm"):
            model.put(f"{here}.{name}.weight", hidden)
    model.put("multi_modal_projector.norm.weight", hidden)
    model.put("multi_modal_projector.patch_merger.merging_layer.weight", hidden, 4 * hidden)
    model.put("multi_modal_projector.linear_1.weight", text_hidden, hidden)
    model.put("multi_modal_projector.linear_2.weight", text_hidden, text_hidden)
    return model


def qwen3_vl(text: Model, prefix: str, blocks: int = 3, hidden: int = 32) -> Model:
    """Qwen3-VL under MLX's names: the decoder below `language_model`, the tower beside it."""
    model = Model({})

    def linear(name: str, out: int, inner: int) -> None:
        model.put(f"visual.{name}.weight", out, inner)
        model.put(f"visual.{name}.bias", out)

    def norm(name: str, size: int) -> None:
        model.put(f"visual.{name}.weight", size)
        model.put(f"visual.{name}.bias", size)

    model.put("visual.patch_embed.proj.weight", hidden, 3, 2, 14, 14)
    model.put("visual.patch_embed.proj.bias", hidden)
    model.put("visual.pos_embed.weight", 16, hidden)
    for block in range(blocks):
        here = f"blocks.{block}"
        norm(f"{here}.norm1", hidden)
        norm(f"{here}.norm2", hidden)
        linear(f"{here}.attn.qkv", 3 * hidden, hidden)
        linear(f"{here}.attn.proj", hidden, hidden)
        linear(f"{here}.mlp.linear_fc1", 2 * hidden, hidden)
        linear(f"{here}.mlp.linear_fc2", hidden, 2 * hidden)
    for merger, size in (("merger", hidden), ("deepstack_merger_list.0", 4 * hidden)):
        norm(f"{merger}.norm", size)
        linear(f"{merger}.linear_fc1", 4 * hidden, 4 * hidden)
        linear(f"{merger}.linear_fc2", text.config["hidden_size"], 4 * hidden)
    made = wrapped(text, "Qwen3VLForConditionalGeneration", "qwen3_vl", model, prefix)
    made.config["vision_config"] = {
        "depth": blocks, "hidden_size": hidden, "intermediate_size": 2 * hidden, "num_heads": 4, "patch_size": 14,
        "out_hidden_size": text.config["hidden_size"], "num_position_embeddings": 16, "deepstack_visual_indexes": [1],
    }  # fmt: skip
    made.set(tie_word_embeddings=text.config["tie_word_embeddings"])
    made.config["text_config"]["rope_parameters"] = {
        "rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3],
    }  # fmt: skip
    return made
