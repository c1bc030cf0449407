"""BLOOM: no positions but ALiBi's penalty for distance, and a norm right after the embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from engine.attention.backend import Attention, Heads
from engine.attention.sdpa import WHOLE_SEQUENCE
from engine.layers.activation import gelu_bloom
from engine.layers.alibi import slopes
from engine.layers.embedding import ParallelLMHead, VocabParallelEmbedding
from engine.layers.leaves import under
from engine.layers.linear import ColumnParallelLinear, QKVParallelLinear, RowParallelLinear
from engine.layers.norm import LayerNorm
from engine.models.contract import CausalLM, with_defaults
from engine.parallel import TensorParallel
from mappings.architectures.bloom import (
    EMBED,
    EMBED_NORM,
    FC,
    FC_OUT,
    FINAL_NORM,
    HEAD,
    INPUT_NORM,
    OUT,
    POST_NORM,
    QKV,
)
from mappings.sizes import Config


class BloomAttention(nn.Module):
    """Attention over all tokens before, the nearer ones preferred; each head by a slope of its own."""

    def __init__(self, tp: TensorParallel, prefix: str, layer: int) -> None:
        super().__init__()
        self.query_key_value = qkv = QKVParallelLinear(QKV, tp, f"{prefix}.query_key_value")
        self.dense = RowParallelLinear(OUT, tp, f"{prefix}.dense")
        first, stop = tp.held(QKV, "head")
        own = slopes(tp.binding.axes.size("head"))[first:stop]
        self.heads = Heads(layer, qkv.heads, qkv.kv_heads, qkv.dim, qkv.dim**-0.5, slopes=own)

    def forward(self, x: Tensor, attention: Attention) -> Tensor:
        return self.dense(attention(self.heads, *self.query_key_value(x)).flatten(1))


class BloomMLP(nn.Module):
    """dense_4h_to_h(gelu(dense_h_to_4h(x)))."""

    def __init__(self, tp: TensorParallel, prefix: str) -> None:
        super().__init__()
        self.dense_h_to_4h = ColumnParallelLinear(FC, tp, f"{prefix}.dense_h_to_4h")
        self.dense_4h_to_h = RowParallelLinear(FC_OUT, tp, f"{prefix}.dense_4h_to_h")

    def forward(self, x: Tensor) -> Tensor:
        return self.dense_4h_to_h(gelu_bloom(self.dense_h_to_4h(x)))


class BloomBlock(nn.Module):
    """Attention and feed-forward, each after a norm; the residual path may start behind the norm."""

    def __init__(self, config: Config, tp: TensorParallel, prefix: str, layer: int) -> None:
        super().__init__()
        eps = config.get("layer_norm_epsilon")
        self.input_layernorm = LayerNorm(INPUT_NORM, tp, f"{prefix}.input_layernorm", eps)
        self.self_attention = BloomAttention(tp, f"{prefix}.self_attention", layer)
        self.post_attention_layernorm = LayerNorm(POST_NORM, tp, f"{prefix}.post_attention_layernorm", eps)
        self.mlp = BloomMLP(tp, f"{prefix}.mlp")
        self.residual_after_norm = config.flag("apply_residual_connection_post_layernorm")

    def forward(self, x: Tensor, attention: Attention) -> Tensor:
        normed = self.input_layernorm(x)
        x = self._residual(x, normed) + self.self_attention(normed, attention)
        normed = self.post_attention_layernorm(x)
        return self._residual(x, normed) + self.mlp(normed)

    def _residual(self, x: Tensor, normed: Tensor) -> Tensor:
        return normed if self.residual_after_norm else x


class BloomModel(nn.Module):
    """Everything but the head."""

    def __init__(self, config: Config, tp: TensorParallel, prefix: str) -> None:
        super().__init__()
        eps, layers = config.get("layer_norm_epsilon"), tp.binding.domains["layer"]
        self.word_embeddings = VocabParallelEmbedding(EMBED, tp, f"{prefix}.word_embeddings")
        self.word_embeddings_layernorm = LayerNorm(EMBED_NORM, tp, f"{prefix}.word_embeddings_layernorm", eps)
        self.h = nn.ModuleList(BloomBlock(config, tp, f"{prefix}.h.{layer}", layer) for layer in layers)
        self.ln_f = LayerNorm(FINAL_NORM, tp, f"{prefix}.ln_f", eps)

    def forward(self, ids: Tensor, attention: Attention) -> Tensor:
        x = self.word_embeddings_layernorm(self.word_embeddings(ids))
        for block in self.h:
            x = block(x, attention)
        return self.ln_f(x)


class BloomForCausalLM(CausalLM):
    """BLOOM in all its sizes."""

    defaults: ClassVar[Mapping[str, Any]] = {"layer_norm_epsilon": 1e-5}

    def __init__(self, config: Config, tp: TensorParallel, prefix: str = "") -> None:
        super().__init__(config, tp, prefix)
        self.transformer = BloomModel(with_defaults(config, self.defaults), tp, under(prefix, "transformer"))
        self.lm_head = ParallelLMHead(HEAD, tp, under(prefix, "lm_head"), self.transformer.word_embeddings)

    def embed_input_ids(self, ids: Tensor) -> Tensor:
        return self.transformer.word_embeddings(ids)

    def forward(self, ids: Tensor, positions: Tensor, attention: Attention = WHOLE_SEQUENCE) -> Tensor:
        return self.transformer(ids, attention)

    def compute_logits(self, hidden: Tensor) -> Tensor:
        return self.lm_head(hidden)
