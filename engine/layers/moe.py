"""A mixture of experts: a router picks a few experts for every token, and their outputs are averaged."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.layers.activation import act_and_mul
from engine.layers.linear_method import LinearMethod, Weights, in_form
from engine.parallel import TensorParallel
from mappings.params import Param


def route(scores: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """(tokens, experts) -> the chosen experts' weights, summing to one, and numbers; both (tokens, top_k)."""
    wide = scores.to(torch.promote_types(scores.dtype, torch.float32))
    weights, experts = torch.topk(torch.softmax(wide, dim=-1), top_k, dim=-1)
    return weights / weights.sum(dim=-1, keepdim=True), experts


def by_expert(chosen: Tensor, experts: int) -> tuple[Tensor, Tensor]:
    """The places of `chosen` (tokens, top_k), counted row by row, sorted by expert: (tokens * top_k,) int64; and
    where each expert's end in that order: (experts,) int32. Nothing waits for the GPU.
    """  # fmt: skip
    expert, order = chosen.flatten().sort(stable=True)
    numbers = torch.arange(experts, device=chosen.device)
    return order, torch.searchsorted(expert, numbers, right=True, out_int32=True)


class RoutedExperts(nn.Module):
    """Stacked weights: `w13_weight` (experts, gate and up, hidden), `w2_weight` (experts, hidden, ffn)."""

    def __init__(self, w13: Param, w2: Param, tp: TensorParallel, prefix: str, method: LinearMethod) -> None:
        super().__init__()
        self.prefix = prefix
        self.method = method
        self.w13, self.w2 = self._stack(w13, tp), self._stack(w2, tp)

    def _stack(self, param: Param, tp: TensorParallel) -> Weights:
        made = self.method.create(param, tp)
        if "bias" in made:
            raise ValueError(f"{self.prefix}: there is {param.leaf_name('bias')}, and experts add no biases here")
        for leaf, parameter in made.items():
            self.register_parameter(param.leaf_name(leaf).rpartition(".")[2], parameter)
        return made

    def weights_loaded(self) -> None:
        """See `engine.layers.linear_method`."""
        self.w13 = in_form(self, self.method, self.w13)
        self.w2 = in_form(self, self.method, self.w2)


class FusedMoE(nn.Module):
    """All experts of a layer; each rank computes its share of every expert's inner width.

    Rows of tokens are sorted by expert, so that an expert's matrix is read once for all its tokens, and not at all
    where it has none (Gale et al. 2022). No row meets another, and what a token's experts say is added up in the
    order of their weights: which tokens share a pass has no part in it.
    """

    def __init__(
        self, w13: Param, w2: Param, tp: TensorParallel, prefix: str, top_k: int, act: str = "silu",
        method: LinearMethod | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.prefix = prefix
        self.method = method or tp.linear_method(prefix)
        self.routed_experts = RoutedExperts(w13, w2, tp, f"{prefix}.routed_experts", self.method)
        self.act_and_mul = act_and_mul(act)
        self.top_k = top_k
        self.group = tp.group

    def forward(self, x: Tensor, scores: Tensor) -> Tensor:
        """(tokens, hidden) and the router's (tokens, experts) -> (tokens, hidden), the same on every rank."""
        weights, chosen = route(scores, self.top_k)
        order, ends = by_expert(chosen, scores.shape[-1])
        inner = self.act_and_mul(self.method.experts(self.routed_experts.w13, x[order // self.top_k], ends))
        sorted_rows = self.method.experts(self.routed_experts.w2, inner, ends)
        rows = torch.empty_like(sorted_rows).index_copy_(0, order, sorted_rows).view(*chosen.shape, -1)
        return self.group.all_reduce((rows * weights.unsqueeze(-1)).sum(1).to(x.dtype))
