"""Random passes over sequences in a cache, and what attention gives for them by its definition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from hypothesis import strategies as st
from torch import Tensor

from engine.attention.backend import Attention, Heads
from engine.attention.batch import Pass, make_pass
from engine.attention.paged import PagedSdpa
from engine.cache.tensors import KVCache

exactly = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)
LAYER = 3


def by_definition(heads: Heads, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Query by query, head by head, in float64: q (queries, heads, dim) are the last of keys (all, kv heads, dim)."""
    out = torch.zeros_like(q, dtype=torch.float64)
    for row in range(len(q)):
        position = len(keys) - len(q) + row
        seen = range(max(0, position + 1 - (heads.window or position + 1)), position + 1)
        for head in range(heads.count):
            mate = head * heads.kv_count // heads.count
            scores = torch.stack([q[row, head].double() @ keys[j, mate].double() * heads.scale for j in seen])
            if heads.softcap is not None:
                scores = heads.softcap * torch.tanh(scores / heads.softcap)
            if heads.slopes:
                scores = scores - heads.slopes[head] * torch.tensor([position - j for j in seen], dtype=torch.float64)
            shares = scores.exp()
            sink = heads.sinks[head].double().exp() if heads.sinks is not None else 0.0
            out[row, head] = (shares[:, None] * values[list(seen), mate].double()).sum(0) / (shares.sum() + sink)
    return out


@dataclass(frozen=True)
class Known:
    """One sequence: its block table, what is computed of it in a pass, and q, k, v of all its positions."""

    table: list[int]
    start: int
    stop: int
    prompt: int
    q: Tensor
    k: Tensor
    v: Tensor

    @property
    def part(self) -> tuple[int, int, list[int], int]:
        return self.start, self.stop, self.table, self.prompt


@dataclass(frozen=True)
class Case:
    heads: Heads
    size: int
    blocks: int
    sequences: list[Known]

    def cache(self) -> KVCache:
        """Earlier keys and values at their places, NaN at all others."""
        cache = KVCache([self.heads], self.blocks, self.size, self.sequences[0].q.dtype)
        for pages, name in zip(cache.pages(LAYER), "kv", strict=True):
            pages.fill_(float("nan"))
            for each in self.sequences:
                self.put(pages, each, getattr(each, name), range(each.start))
        return cache

    def put(self, pages: Tensor, sequence: Known, vectors: Tensor, positions: range) -> None:
        for position in positions:
            pages[sequence.table[position // self.size], position % self.size] = vectors[position]

    def batch(self) -> Pass:
        return make_pass([each.part for each in self.sequences], self.size)

    def now(self, name: str) -> Tensor:
        return torch.cat([getattr(each, name)[each.start : each.stop] for each in self.sequences])

    def expected(self) -> Tensor:
        return torch.cat([
            by_definition(self.heads, each.q[each.start : each.stop], each.k[: each.stop], each.v[: each.stop])
            for each in self.sequences
        ])  # fmt: skip


class Makes(Protocol):
    def __call__(self, batch: Pass, cache: KVCache) -> Attention: ...


def run(case: Case, backend: Makes = PagedSdpa) -> Tensor:
    return backend(case.batch(), case.cache())(case.heads, case.now("q"), case.now("k"), case.now("v"))


@st.composite
def layers(draw: st.DrawFn) -> Heads:
    kv_count, group, dim = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.sampled_from([8, 16]))
    count = kv_count * group
    numbers = st.lists(st.floats(-3, 3, width=32), min_size=count, max_size=count)
    return Heads(
        LAYER, count, kv_count, dim, draw(st.sampled_from([dim**-0.5, 0.7])),
        window=draw(st.none() | st.integers(1, 9)),
        slopes=tuple(abs(x) for x in draw(st.just([]) | numbers)),
        softcap=draw(st.none() | st.sampled_from([0.5, 20.0])),
        sinks=draw(st.none() | st.builds(torch.tensor, numbers)),
    )  # fmt: skip


ANY = layers()


@st.composite
def cases(draw: st.DrawFn, heads: st.SearchStrategy[Heads] = ANY, dtype: torch.dtype = torch.float64) -> Case:
    """Sequences anywhere in their prompts or behind them, on scattered blocks, with blocks to spare."""
    of, size = draw(heads), draw(st.integers(1, 5))
    spans = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 6) | st.just(1)), min_size=1, max_size=4))
    needed = [-(-(start + more) // size) for start, more in spans]
    blocks = draw(st.permutations(range(sum(needed) + 2)))
    noise = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    sequences = []
    for (start, more), count in zip(spans, needed, strict=True):
        table, blocks = blocks[:count], blocks[count:]
        q, k, v = (
            torch.randn(start + more, n, of.dim, generator=noise, dtype=torch.float64).to(dtype)
            for n in (of.count, of.kv_count, of.kv_count)
        )
        prompt = draw(st.integers(1, start + more))
        sequences.append(Known(table, start, start + more, prompt, q, k, v))
    return Case(of, size, sum(needed) + 2, sequences)


def steps_of(heads: Heads, lengths: list[int], size: int = 4) -> Case:
    """A pass in which each sequence goes on by one token."""
    blocks = [-(-length // size) for length in lengths]
    q, k, v = (torch.randn(max(lengths), count, heads.dim) for count in (heads.count, heads.kv_count, heads.kv_count))
    tables = [list(range(sum(blocks[:i]), sum(blocks[: i + 1]))) for i in range(len(blocks))]
    known = [Known(table, n - 1, n, n, q[:n], k[:n], v[:n]) for table, n in zip(tables, lengths, strict=True)]
    return Case(heads, size, sum(blocks), known)


def on_gpu(case: Case, backend: Makes) -> Tensor:
    cache = case.cache()
    there = KVCache([case.heads], case.blocks, case.size, cache.dtype, "cuda")
    for pages, own in zip(there.pages(LAYER), cache.pages(LAYER), strict=True):
        pages.copy_(own)
    batch = make_pass([each.part for each in case.sequences], case.size, "cuda")
    return backend(batch, there)(case.heads, *(case.now(name).cuda() for name in "qkv")).cpu()
