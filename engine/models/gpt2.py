"""GPT-2: learned positions, LayerNorm before each half of a block, GELU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from engine.attention.backend import Attention, Heads
from engine.attention.sdpa import WHOLE_SEQUENCE
from engine.layers.activation import activation
from engine.layers.embedding import ParallelLMHead, ReplicatedEmbedding, VocabParallelEmbedding
from engine.layers.leaves import under
from engine.layers.linear import ColumnParallelLinear, QKVParallelLinear, RowParallelLinear
from engine.layers.norm import LayerNorm
from engine.models.contract import CausalLM, with_defaults
from engine.parallel import TensorParallel
from mappings.architectures.gpt2 import EMBED, FC, FC_OUT, FINAL_NORM, HEAD, LN_1, LN_2, OUT, POSITIONS, QKV
from mappings.sizes import Config


class GPT2Attention(nn.Module):
    """Attention over all tokens before."""

    def __init__(self, config: Config, tp: TensorParallel, prefix: str, layer: int) -> None:
        super().__init__()
        self.c_attn = QKVParallelLinear(QKV, tp, f"{prefix}.c_attn")
        self.c_proj = RowParallelLinear(OUT, tp, f"{prefix}.c_proj")
        scale = self.c_attn.dim**-0.5 if config.flag("scale_attn_weights") else 1.0
        if config.flag("scale_attn_by_inverse_layer_idx"):
            scale /= layer + 1
        self.heads = Heads(layer, self.c_attn.heads, self.c_attn.kv_heads, self.c_attn.dim, scale)

    def forward(self, x: Tensor, attention: Attention) -> Tensor:
        return self.c_proj(attention(self.heads, *self.c_attn(x)).flatten(1))


class GPT2MLP(nn.Module):
    """c_proj(act(c_fc(x)))."""

    def __init__(self, config: Config, tp: TensorParallel, prefix: str) -> None:
        super().__init__()
        self.c_fc = ColumnParallelLinear(FC, tp, f"{prefix}.c_fc")
        self.c_proj = RowParallelLinear(FC_OUT, tp, f"{prefix}.c_proj")
        self.act = activation(config.get("activation_function"))

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(self.act(self.c_fc(x)))


class GPT2Block(nn.Module):
    """Attention and feed-forward, each after a norm and beside a residual path."""

    def __init__(self, config: Config, tp: TensorParallel, prefix: str, layer: int) -> None:
        super().__init__()
        self.ln_1 = LayerNorm(LN_1, tp, f"{prefix}.ln_1", config.get("layer_norm_epsilon"))
        self.attn = GPT2Attention(config, tp, f"{prefix}.attn", layer)
        self.ln_2 = LayerNorm(LN_2, tp, f"{prefix}.ln_2", config.get("layer_norm_epsilon"))
        self.mlp = GPT2MLP(config, tp, f"{prefix}.mlp")

    def forward(self, x: Tensor, attention: Attention) -> Tensor:
        x = x + self.attn(self.ln_1(x), attention)
        return x + self.mlp(self.ln_2(x))


class GPT2Model(nn.Module):
    """Everything but the head."""

    def __init__(self, config: Config, tp: TensorParallel, prefix: str) -> None:
        super().__init__()
        self.wte = VocabParallelEmbedding(EMBED, tp, f"{prefix}.wte")
        self.wpe = ReplicatedEmbedding(POSITIONS, tp, f"{prefix}.wpe")
        layers = tp.binding.domains["layer"]
        self.h = nn.ModuleList(GPT2Block(config, tp, f"{prefix}.h.{layer}", layer) for layer in layers)
        self.ln_f = LayerNorm(FINAL_NORM, tp, f"{prefix}.ln_f", config.get("layer_norm_epsilon"))

    def forward(self, ids: Tensor, positions: Tensor, attention: Attention) -> Tensor:
        x = self.wte(ids) + self.wpe(positions)
        for block in self.h:
            x = block(x, attention)
        return self.ln_f(x)


class GPT2LMHeadModel(CausalLM):
    """GPT-2 in all its sizes."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new", "scale_attn_weights": True,
    }

    def __init__(self, config: Config, tp: TensorParallel, prefix: str = "") -> None:
        super().__init__(config, tp, prefix)
        self.transformer = GPT2Model(with_defaults(config, self.defaults), tp, under(prefix, "transformer"))
        self.lm_head = ParallelLMHead(HEAD, tp, under(prefix, "lm_head"), self.transformer.wte)

    def embed_input_ids(self, ids: Tensor) -> Tensor:
        return self.transformer.wte(ids)

    def forward(self, ids: Tensor, positions: Tensor, attention: Attention = WHOLE_SEQUENCE) -> Tensor:
        return self.transformer(ids, positions, attention)

    def compute_logits(self, hidden: Tensor) -> Tensor:
        return self.lm_head(hidden)
