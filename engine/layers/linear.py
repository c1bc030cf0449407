"""Linear layers, cut over ranks by their outputs (columns of the matrix in xW) or by their inputs (rows).

Which it is, and how wide this rank's share is, the `Param` says; the weight is (outputs, inputs) everywhere.
The column-parallel classes compute alike and differ in how they hand over what they computed.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from engine.layers.leaves import Leaves
from engine.parallel import TensorParallel
from mappings.params import Param


class ReplicatedLinear(Leaves):
    """The whole matrix on every rank: (…, inputs) -> (…, outputs)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class ColumnParallelLinear(Leaves):
    """Each rank computes its own outputs: (…, inputs) -> (…, this rank's outputs)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class MergedColumnParallelLinear(ColumnParallelLinear):
    """Several column-parallel matrices in one; `widths` are this rank's outputs of each, side by side."""

    def __init__(self, param: Param, tp: TensorParallel) -> None:
        super().__init__(param, tp)
        self.widths = tuple(tp.outputs(param).values())


class QKVParallelLinear(Leaves):
    """Query, key and value in one matrix; key and value heads are shared where there are fewer than ranks."""

    def __init__(self, param: Param, tp: TensorParallel) -> None:
        super().__init__(param, tp)
        self.widths = tp.outputs(param)
        self.dim = tp.binding.axes.size("dim")
        self.heads = self.widths["q"] // self.dim
        self.kv_heads = self.widths["k"] // self.dim

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(tokens, hidden) -> (tokens, heads, dim), and twice (tokens, kv heads, dim)."""
        fused = F.linear(x, self.weight, self.bias)
        q, k, v = (part.unflatten(-1, (-1, self.dim)) for part in fused.split(list(self.widths.values()), -1))
        return q, k, v


class RowParallelLinear(Leaves):
    """Each rank multiplies its own inputs; the sum over ranks is the output, the bias added to it once."""

    def __init__(self, param: Param, tp: TensorParallel) -> None:
        super().__init__(param, tp)
        self.group = tp.group

    def forward(self, x: Tensor) -> Tensor:
        """(…, this rank's inputs) -> (…, outputs), the same on every rank."""
        out = self.group.all_reduce(F.linear(x, self.weight))
        return out if self.bias is None else out + self.bias
