"""Llama and the decoders that share its blocks: Mistral, Qwen2, Qwen3, Phi-3.

Where they differ in their parameters (biases, norms of q and k), the mapping says so; what is left to say
here are the defaults of their configs and which keys a layer sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from engine.attention.backend import Attention, Heads
from engine.attention.sdpa import WHOLE_SEQUENCE
from engine.layers.activation import act_and_mul
from engine.layers.embedding import ParallelLMHead, VocabParallelEmbedding
from engine.layers.leaves import under
from engine.layers.linear import MergedColumnParallelLinear, QKVParallelLinear, RowParallelLinear
from engine.layers.norm import RMSNorm
from engine.layers.rope import rope_of
from engine.layers.rotary import Rotary, Rotation
from engine.models.contract import CausalLM, with_defaults
from engine.parallel import TensorParallel
from mappings.architectures.llama import (
    DOWN,
    EMBED,
    FINAL_NORM,
    GATE_UP,
    HEAD,
    INPUT_NORM,
    K_NORM,
    OUT,
    POST_NORM,
    Q_NORM,
    QKV,
)
from mappings.params import Param
from mappings.sizes import Config


class LlamaAttention(nn.Module):
    """Rotary attention with grouped keys and values; `window` keys are seen, or all."""

    def __init__(self, config: Config, tp: TensorParallel, prefix: str, layer: int, window: int | None) -> None:
        super().__init__()
        self.qkv_proj = QKVParallelLinear(QKV, tp, f"{prefix}.qkv_proj")
        self.o_proj = RowParallelLinear(OUT, tp, f"{prefix}.o_proj")
        self.q_norm = _head_norm(Q_NORM, config, tp, f"{prefix}.q_norm")
        self.k_norm = _head_norm(K_NORM, config, tp, f"{prefix}.k_norm")
        dim = self.qkv_proj.dim
        self.heads = Heads(layer, self.qkv_proj.heads, self.qkv_proj.kv_heads, dim, dim**-0.5, window)

    def forward(self, x: Tensor, rotation: Rotation, attention: Attention) -> Tensor:
        q, k, v = self.qkv_proj(x)
        q, k = rotation.turn(self.q_norm(q)), rotation.turn(self.k_norm(k))
        return self.o_proj(attention(self.heads, q, k, v).flatten(1))


def _head_norm(param: Param, config: Config, tp: TensorParallel, prefix: str) -> nn.Module:
    """A norm over each head's dimensions, where the architecture has it."""
    return RMSNorm(param, tp, prefix, config.get("rms_norm_eps")) if tp.binding.leaf(param) else nn.Identity()


class LlamaMLP(nn.Module):
    """down(act(gate(x)) * up(x))."""

    def __init__(self, config: Config, tp: TensorParallel, prefix: str) -> None:
        super().__init__()
        self.gate_up_proj = MergedColumnParallelLinear(GATE_UP, tp, f"{prefix}.gate_up_proj")
        self.act_and_mul = act_and_mul(config.get("hidden_act"))
        self.down_proj = RowParallelLinear(DOWN, tp, f"{prefix}.down_proj")

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.act_and_mul(self.gate_up_proj(x)))


class LlamaBlock(nn.Module):
    """Attention and feed-forward, each after a norm and beside a residual path."""

    def __init__(self, config: Config, tp: TensorParallel, prefix: str, layer: int, window: int | None) -> None:
        super().__init__()
        eps = config.get("rms_norm_eps")
        self.input_layernorm = RMSNorm(INPUT_NORM, tp, f"{prefix}.input_layernorm", eps)
        self.self_attn = LlamaAttention(config, tp, f"{prefix}.self_attn", layer, window)
        self.post_attention_layernorm = RMSNorm(POST_NORM, tp, f"{prefix}.post_attention_layernorm", eps)
        self.build_feed_forward(config, tp, prefix)

    def build_feed_forward(self, config: Config, tp: TensorParallel, prefix: str) -> None:
        """Overridden, with `feed_forward`, where the second half is not a plain MLP."""
        self.mlp = LlamaMLP(config, tp, f"{prefix}.mlp")

    def feed_forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)

    def forward(self, x: Tensor, rotation: Rotation, attention: Attention) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotation, attention)
        return x + self.feed_forward(self.post_attention_layernorm(x))


class LlamaModel(nn.Module):
    """Everything but the head."""

    def __init__(
        self, embed_tokens: VocabParallelEmbedding, layers: list[LlamaBlock], norm: RMSNorm, rotary: Rotary
    ) -> None:  # fmt: skip
        super().__init__()
        self.embed_tokens = embed_tokens
        self.layers = nn.ModuleList(layers)
        self.norm = norm
        self.rotary = rotary

    def forward(self, ids: Tensor, positions: Tensor, attention: Attention) -> Tensor:
        x = self.embed_tokens(ids)
        rotation = self.rotary(positions, x.dtype, attention.lengths)
        for layer in self.layers:
            x = layer(x, rotation, attention)
        return self.norm(x)


class LlamaForCausalLM(CausalLM):
    """Llama 1 to 3."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "rms_norm_eps": 1e-6, "hidden_act": "silu", "rope_theta": 10000.0,
    }  # fmt: skip
    block: ClassVar[type[LlamaBlock]] = LlamaBlock

    def __init__(self, config: Config, tp: TensorParallel, prefix: str = "") -> None:
        super().__init__(config, tp, prefix)
        config = with_defaults(config, self.defaults)
        inner, layers = under(prefix, "model"), tp.binding.domains["layer"]
        self.model = LlamaModel(
            VocabParallelEmbedding(EMBED, tp, f"{inner}.embed_tokens"),
            [self.block(config, tp, f"{inner}.layers.{layer}", layer, self.window(config, layer)) for layer in layers],
            RMSNorm(FINAL_NORM, tp, f"{inner}.norm", config.get("rms_norm_eps")),
            Rotary(rope_of(config, tp.binding.axes.size("dim"))),
        )
        self.lm_head = ParallelLMHead(HEAD, tp, under(prefix, "lm_head"), self.model.embed_tokens)

    def window(self, config: Config, layer: int) -> int | None:
        """How many keys a query of this layer sees; None for all before it."""
        return None

    def embed_input_ids(self, ids: Tensor) -> Tensor:
        return self.model.embed_tokens(ids)

    def forward(self, ids: Tensor, positions: Tensor, attention: Attention = WHOLE_SEQUENCE) -> Tensor:
        return self.model(ids, positions, attention)

    def compute_logits(self, hidden: Tensor) -> Tensor:
        return self.lm_head(hidden)


class MistralForCausalLM(LlamaForCausalLM):
    """Every layer slides. A config without the field means 4096; one that says null means no window."""

    def window(self, config: Config, layer: int) -> int | None:
        return config.size("sliding_window") if "sliding_window" in config.fields else 4096


class Qwen2ForCausalLM(LlamaForCausalLM):
    """The layers from `max_window_layers` on slide, or those `layer_types` names; only if switched on."""

    defaults: ClassVar[Mapping[str, Any]] = {**LlamaForCausalLM.defaults, "max_window_layers": 28}

    def window(self, config: Config, layer: int) -> int | None:
        if not config.flag("use_sliding_window"):
            return None
        kinds = config.get("layer_types")
        slides = kinds[layer] == "sliding_attention" if kinds else layer >= config.count("max_window_layers")
        return config.size("sliding_window") if slides else None


class Qwen3ForCausalLM(Qwen2ForCausalLM):
    """Qwen2 with norms on each head's query and key, and a head size of its own."""


class Phi3ForCausalLM(LlamaForCausalLM):
    """Fused on disk as here; part of each head is rotated; every layer slides if a window is stated."""

    defaults: ClassVar[Mapping[str, Any]] = {
        **LlamaForCausalLM.defaults,
        "rms_norm_eps": 1e-5, "max_position_embeddings": 4096, "original_max_position_embeddings": 4096,
    }

    def window(self, config: Config, layer: int) -> int | None:
        return config.size("sliding_window")
