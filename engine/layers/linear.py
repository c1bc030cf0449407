"""Linear layers, cut over ranks by their outputs (columns of the matrix in xW) or by their inputs (rows).

Which it is, and how wide this rank's share is, the `Param` says; the weight is (outputs, inputs) everywhere. How it
is kept and multiplied with is its method's business. The column-parallel classes compute alike and differ in how they
hand over what they computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from engine.layers.leaves import Leaves
from engine.layers.linear_method import LinearMethod, Weights, in_form
from engine.parallel import TensorParallel
from mappings.params import Param


class LinearBase(Leaves):
    """A matrix and its method: the one given, or the one that `tp` has for the layer's prefix."""

    def __init__(
        self, param: Param, tp: TensorParallel, prefix: str, method: LinearMethod | None = None,
        create: Callable[[Param, TensorParallel], Mapping[str, nn.Parameter]] | None = None,
    ) -> None:  # fmt: skip
        chosen = method or tp.linear_method(prefix)
        super().__init__(param, tp, prefix, create or chosen.create)
        self.method = chosen
        self.weights: Weights = {leaf: p for leaf, p in self.named_parameters(recurse=False) if leaf != "bias"}

    def weights_loaded(self) -> None:
        """See `engine.layers.linear_method`."""
        self.weights = in_form(self, self.method, self.weights)


class ReplicatedLinear(LinearBase):
    """The whole matrix on every rank: (…, inputs) -> (…, outputs)."""

    def forward(self, x: Tensor) -> Tensor:
        return self.method.apply(self.weights, x, self.bias)


class ColumnParallelLinear(LinearBase):
    """Each rank computes its own outputs: (…, inputs) -> (…, this rank's outputs)."""

    def forward(self, x: Tensor) -> Tensor:
        return self.method.apply(self.weights, x, self.bias)


class MergedColumnParallelLinear(ColumnParallelLinear):
    """Several column-parallel matrices in one; `widths` are this rank's outputs of each, side by side."""

    def __init__(self, param: Param, tp: TensorParallel, prefix: str, method: LinearMethod | None = None) -> None:
        super().__init__(param, tp, prefix, method)
        self.widths = tuple(tp.outputs(param).values())


class QKVParallelLinear(LinearBase):
    """Query, key and value in one matrix; key and value heads are shared where there are fewer than ranks."""

    def __init__(self, param: Param, tp: TensorParallel, prefix: str, method: LinearMethod | None = None) -> None:
        super().__init__(param, tp, prefix, method)
        widths = tp.outputs(param)
        self.dim = tp.binding.axes.size("dim")
        self.heads = widths["q"] // self.dim
        self.kv_heads = widths["k"] // self.dim

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(tokens, hidden) -> (tokens, heads, dim), and twice (tokens, kv heads, dim)."""
        fused = self.method.apply(self.weights, x, self.bias)
        by_head = fused.view(len(x), self.heads + 2 * self.kv_heads, self.dim)
        q, k, v = by_head.split_with_sizes((self.heads, self.kv_heads, self.kv_heads), 1)
        return q, k, v


class RowParallelLinear(LinearBase):
    """Each rank multiplies its own inputs; the sum over ranks is the output, the bias added to it once."""

    def __init__(self, param: Param, tp: TensorParallel, prefix: str, method: LinearMethod | None = None) -> None:
        super().__init__(param, tp, prefix, method)
        self.group = tp.group

    def forward(self, x: Tensor) -> Tensor:
        """(…, this rank's inputs) -> (…, outputs), the same on every rank."""
        if self.group.size == 1:
            return self.method.apply(self.weights, x, self.bias)
        out = self.group.all_reduce(self.method.apply(self.weights, x, None))
        return out if self.bias is None else out + self.bias
