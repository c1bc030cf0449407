"""Runs passes of a model: chunks of sequences in, one row of logits for each chunk that ends where its sequence does.

Of the model it calls `forward` and `compute_logits`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.attention.backend import Heads
from engine.attention.batch import make_pass
from engine.attention.choice import choose
from engine.cache.tensors import KVCache
from engine.models.contract import CausalLM
from engine.serving.scheduler import Chunk


class Survey:
    """Attention that looks at nothing and notes which layers ask for it: what a cache must hold."""

    def __init__(self) -> None:
        self.heads: dict[int, Heads] = {}
        self.dtype = torch.float32

    def __call__(self, heads: Heads, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self.heads[heads.layer] = heads
        self.dtype = k.dtype
        return torch.zeros_like(q)

    def lengths(self, positions: Tensor) -> Tensor:
        """Of a lone token, what is at hand."""
        return positions + 1


@torch.no_grad()
def survey(model: CausalLM, device: str) -> Survey:
    """What the attention layers of this rank are like, found by a pass of one token; none for a model without any."""
    found, first = Survey(), torch.zeros(1, dtype=torch.int64, device=device)
    model.forward(first, first, found)
    return found


class Runner:
    """One rank's model and its cache."""

    def __init__(self, model: CausalLM, cache: KVCache, device: str = "cpu") -> None:
        self._model = model
        self.cache = cache
        self._device = device
        self._backend = choose(device, cache.dtype, cache.heads, cache.size)

    @torch.no_grad()
    def run(self, chunks: Sequence[Chunk]) -> Tensor:
        """Logits (rows, vocabulary) float32, a row for each chunk that reaches the end of its sequence, in order."""
        ids = [token for chunk in chunks for token in chunk.sequence.ids[chunk.start : chunk.stop]]
        places = [place for chunk in chunks for place in range(chunk.start, chunk.stop)]
        batch = make_pass(
            [(chunk.start, chunk.stop, chunk.sequence.blocks, chunk.sequence.told) for chunk in chunks],
            self.cache.size, self._device,
        )  # fmt: skip
        hidden = self._model.forward(self._tensor(ids), self._tensor(places), self._backend(batch, self.cache))
        return self._model.compute_logits(hidden[self._tensor(last_rows(chunks))]).float()

    def _tensor(self, numbers: list[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.int64).to(self._device, non_blocking=True)


def last_rows(chunks: Sequence[Chunk]) -> list[int]:
    """Which token of a pass is the last one of its sequence."""
    rows, end = [], 0
    for chunk in chunks:
        end += chunk.stop - chunk.start
        if chunk.sampled:
            rows.append(end - 1)
    return rows
