"""Tables of vectors: token embeddings cut over ranks by rows, those that every rank holds whole, and the head."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from engine.layers.leaves import Leaves
from engine.layers.linear import LinearBase
from engine.layers.linear_method import LinearMethod
from engine.parallel import TensorParallel
from mappings.params import Param


class ReplicatedEmbedding(Leaves):
    """The whole table on every rank: (tokens,) -> (tokens, hidden)."""

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight)


class VocabParallelEmbedding(Leaves):
    """Each rank looks up the ids among its rows `start .. stop`; the others contribute zeros to the sum."""

    def __init__(self, param: Param, tp: TensorParallel, prefix: str) -> None:
        super().__init__(param, tp, prefix)
        self.group = tp.group
        self.start, self.stop = tp.held(param, "vocab")

    def forward(self, ids: Tensor) -> Tensor:
        """(tokens,) -> (tokens, hidden), the same on every rank."""
        if self.group.size == 1:
            return F.embedding(ids, self.weight)
        elsewhere = (ids < self.start) | (ids >= self.stop)
        own = F.embedding((ids - self.start).masked_fill(elsewhere, 0), self.weight)
        return self.group.all_reduce(own.masked_fill(elsewhere.unsqueeze(-1), 0))


class ParallelLMHead(LinearBase):
    """Scores every token of the vocabulary.

    A tied head's table is that of the embeddings, and loaded once. A linear method that stores it otherwise makes a
    second one of it, as embeddings are looked up in the first.
    """

    def __init__(
        self, param: Param, tp: TensorParallel, prefix: str, embedding: VocabParallelEmbedding | None = None,
        method: LinearMethod | None = None,
    ) -> None:  # fmt: skip
        tied = any(tie.param.name == param.name for tie in tp.binding.ties)
        shared = embedding.weight if tied and embedding is not None else None
        super().__init__(param, tp, prefix, method, None if shared is None else lambda *_: {"weight": shared})
        self.vocab = tp.binding.axes.size("vocab")
        self.group = tp.group

    def forward(self, hidden: Tensor) -> Tensor:
        """(tokens, hidden) -> (tokens, vocab), the same on every rank; the padding rows are the last ones."""
        own = self.method.apply(self.weights, hidden, self.bias)
        return self.group.all_gather(own)[..., : self.vocab]
