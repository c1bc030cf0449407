"""A mixture of experts: a router picks a few experts for every token, and their outputs are averaged."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.layers.activation import ActAndMul
from engine.layers.leaves import leaves
from engine.parallel import TensorParallel
from mappings.params import Param


def route(scores: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """(tokens, experts) -> the chosen experts' weights, summing to one, and numbers; both (tokens, top_k)."""
    weights, experts = torch.topk(torch.softmax(scores.float(), dim=-1), top_k, dim=-1)
    return weights / weights.sum(dim=-1, keepdim=True), experts


class RoutedExperts(nn.Module):
    """Stacked weights: `w13_weight` (experts, gate and up, hidden), `w2_weight` (experts, hidden, ffn)."""

    w13_weight: nn.Parameter
    w2_weight: nn.Parameter

    def __init__(self, w13: Param, w2: Param, tp: TensorParallel) -> None:
        super().__init__()
        for param in (w13, w2):
            for leaf, parameter in leaves(param, tp).items():
                self.register_parameter(param.leaf_name(leaf).rpartition(".")[2], parameter)


class FusedMoE(nn.Module):
    """All experts of a layer; each rank computes its share of every expert's inner width."""

    def __init__(self, w13: Param, w2: Param, tp: TensorParallel, top_k: int, act: str = "silu") -> None:
        super().__init__()
        self.routed_experts = RoutedExperts(w13, w2, tp)
        self.act_and_mul = ActAndMul(act)
        self.top_k = top_k
        self.group = tp.group

    def forward(self, x: Tensor, scores: Tensor) -> Tensor:
        """(tokens, hidden) and the router's (tokens, experts) -> (tokens, hidden), the same on every rank."""
        weights, chosen = route(scores, self.top_k)
        out = torch.zeros_like(x)
        for expert in cast("list[int]", chosen.unique().tolist()):
            token, place = torch.where(chosen == expert)
            share = self._expert(expert, x[token]) * weights[token, place, None]
            out.index_add_(0, token, share.to(out.dtype))
        return self.group.all_reduce(out)

    def _expert(self, expert: int, x: Tensor) -> Tensor:
        inner = self.act_and_mul(F.linear(x, self.routed_experts.w13_weight[expert]))
        return F.linear(inner, self.routed_experts.w2_weight[expert])
