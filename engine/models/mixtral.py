"""Mixtral: Llama's decoder with a mixture of experts in the place of the MLP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from engine.layers.linear import ReplicatedLinear
from engine.layers.moe import FusedMoE
from engine.models.llama import LlamaBlock, LlamaForCausalLM
from engine.parallel import TensorParallel
from mappings.architectures.mixtral import ROUTER, W2, W13
from mappings.sizes import Config


class MixtralMoE(nn.Module):
    """A router and its experts."""

    def __init__(self, config: Config, tp: TensorParallel, prefix: str) -> None:
        super().__init__()
        top_k, act = config.require("num_experts_per_tok"), config.get("hidden_act")
        self.gate = ReplicatedLinear(ROUTER, tp, f"{prefix}.gate")
        self.experts = FusedMoE(W13, W2, tp, f"{prefix}.experts", top_k, act)

    def forward(self, x: Tensor) -> Tensor:
        return self.experts(x, self.gate(x))


class MixtralBlock(LlamaBlock):
    """Llama's block; vLLM calls the second half `block_sparse_moe`."""

    def build_feed_forward(self, config: Config, tp: TensorParallel, prefix: str) -> None:
        self.block_sparse_moe = MixtralMoE(config, tp, f"{prefix}.block_sparse_moe")

    def feed_forward(self, x: Tensor) -> Tensor:
        return self.block_sparse_moe(x)


class MixtralForCausalLM(LlamaForCausalLM):
    """Every layer slides if a window is stated."""

    defaults: ClassVar[Mapping[str, Any]] = {
        **LlamaForCausalLM.defaults,
        "rms_norm_eps": 1e-5, "rope_theta": 1000000.0, "num_experts_per_tok": 2,
    }
    block = MixtralBlock

    def window(self, config: Config, layer: int) -> int | None:
        return config.size("sliding_window")
