"""Runs passes of a model: chunks of sequences in, one row of logits for each chunk that ends where its sequence does.

Of the model it calls `forward` and `compute_logits`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.attention.backend import Heads
from engine.attention.batch import make_pass, send
from engine.attention.choice import choose, one_kind
from engine.attention.varlen import Varlen
from engine.cache.tensors import KVCache
from engine.models.contract import CausalLM
from engine.parallel import ALONE, Group
from engine.serving.graphs import Graphs
from engine.serving.scheduler import Chunk
from engine.serving.steps import Bounds, Steps


class Survey:
    """Attention that looks at nothing and notes which layers ask what of it: so what a cache must hold."""

    def __init__(self) -> None:
        self.heads: dict[int, Heads] = {}
        self.dtype = torch.float32
        self.by_length = False
        """Whether the model computes by how long a sequence is, which the host must know to tell it."""

    def __call__(self, heads: Heads, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self.heads[heads.layer] = heads
        self.dtype = k.dtype
        return torch.zeros_like(q)

    def lengths(self, positions: Tensor) -> Tensor:
        """Of a lone token, what is at hand."""
        self.by_length = True
        return positions + 1


@torch.no_grad()
def survey(model: CausalLM, device: str) -> Survey:
    """What the attention layers of this rank are like, found by a pass of one token; none for a model without any."""
    found, first = Survey(), torch.zeros(1, dtype=torch.int64, device=device)
    model.forward(first, first, found)
    return found


def recordable(found: Survey, size: int, device: str, group: Group = ALONE) -> bool:
    """Whether decoding from a cache with blocks of `size` tokens never waits for the device, so that graphs hold it.

    The ranks ask together. What is seen only while a pass is tried must be seen by all at the same place: a rank that
    broke it off alone would leave the others in a collective.
    """
    if torch.device(device).type != "cuda" or found.by_length:
        return False
    backend = choose(device, found.dtype, list(found.heads.values()), size, group)
    return backend is Varlen and one_kind(device, group)


class Runner:
    """One rank's model and its cache."""

    def __init__(
        self, model: CausalLM, cache: KVCache, device: str = "cpu", bounds: Bounds | None = None, group: Group = ALONE
    ) -> None:  # fmt: skip
        """`bounds`: of the passes that become CUDA graphs, where they are `recordable`; None for no graphs."""
        self._model = model
        self.cache = cache
        self._device = device
        self._backend = choose(device, cache.dtype, cache.heads, cache.size, group)
        self.steps: Steps | None = None
        """What is kept of graphs."""
        if bounds is not None:
            self.steps = Steps(model, cache, self._backend, bounds, Graphs(device), device, group)

    def close(self) -> None:
        """Let go of the graphs: NCCL does not leave a group as long as there are any that speak to it."""
        self.steps = None

    @torch.inference_mode()
    def run(self, chunks: Sequence[Chunk]) -> Tensor:
        """Logits (rows, vocabulary) float32, a row for each chunk that reaches the end of its sequence, in order."""
        ids = [token for chunk in chunks for token in chunk.sequence.ids[chunk.start : chunk.stop]]
        places = [place for chunk in chunks for place in range(chunk.start, chunk.stop)]
        parts = [(chunk.start, chunk.stop, chunk.sequence.blocks, chunk.sequence.told) for chunk in chunks]
        rows = last_rows(chunks)
        if self.steps is not None and self.steps.suits(parts):
            return self.steps.run(ids, places, parts)[send(rows, self._device)].float()
        batch = make_pass(parts, self.cache.size, self._device)
        counts = len(ids), len(ids), len(rows)
        given, where, last = send([*ids, *places, *rows], self._device).split(counts)
        hidden = self._model.forward(given, where, self._backend(batch, self.cache))
        return self._model.compute_logits(hidden[last]).float()


def last_rows(chunks: Sequence[Chunk]) -> list[int]:
    """Which token of a pass is the last one of its sequence."""
    rows, end = [], 0
    for chunk in chunks:
        end += chunk.stop - chunk.start
        if chunk.sampled:
            rows.append(end - 1)
    return rows
