"""One forward pass over several sequences: which tokens are whose, and where in the cache their keys are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import TypeAlias

import torch
from torch import Tensor

Part: TypeAlias = tuple[int, int, Sequence[int], int]
"""What a pass computes of one sequence: first position, position after the last, block table, length of the prompt."""


@dataclass(frozen=True, slots=True)
class Pass:
    """The tokens of a pass lie sequence after sequence, each one's in order. All tensors are on one device."""

    starts: Tensor
    """(sequences + 1,) int32: the row of each sequence's first token, and the number of tokens."""
    lengths: Tensor
    """(sequences,) int32: how many keys each sequence has, those of this pass included."""
    tables: Tensor
    """(sequences, most blocks) int32: position p is in block `tables[s, p // size]`; 0 where there is no block."""
    slots: Tensor
    """(tokens,) int64: where each token's key and value go, block * size + offset."""
    origins: Tensor
    """(tokens,) int64: what `Attention.lengths` says."""
    most_queries: int
    most_keys: int


def make_pass(parts: Sequence[Part], size: int, device: str | torch.device = "cpu") -> Pass:
    """`size` is that of a block. One tensor travels to the device, and all others are views or a cast of it."""
    starts = [0, *accumulate(stop - start for start, stop, _, _ in parts)]
    lengths = [stop for _, stop, _, _ in parts]
    width = max(len(table) for _, _, table, _ in parts)
    numbers = starts + lengths
    for _, _, table, _ in parts:
        numbers += table
        numbers += [0] * (width - len(table))
    narrow, tokens, count = len(numbers), starts[-1], len(parts)
    for start, stop, table, _ in parts:
        numbers.extend(_slots(start, stop, table, size))
    for start, stop, _, prompt in parts:
        numbers.extend(_origins(start, stop, prompt))
    sent = send(numbers, device)
    rows, ends, tables = sent[:narrow].to(torch.int32).split((count + 1, count, count * width))
    slots, origins = sent[narrow:].split(tokens)
    most = max(stop - start for start, stop, _, _ in parts)
    return Pass(rows, ends, tables.view(count, width), slots, origins, most, max(lengths))


def _slots(start: int, stop: int, table: Sequence[int], size: int) -> Iterator[int]:
    """Where positions start..stop go, a range for each block."""
    blocks = range(start // size, (stop - 1) // size + 1)
    bounds = [start, *((block + 1) * size for block in blocks[:-1]), stop]
    moved = [(table[block] - block) * size for block in blocks]
    return chain.from_iterable(
        range(begin + by, end + by) for (begin, end), by in zip(pairwise(bounds), moved, strict=True)
    )


def _origins(start: int, stop: int, prompt: int) -> Iterator[int]:
    """How long the sequence was when positions start..stop came."""
    told = max(min(stop, prompt) - start, 0)
    return chain([prompt] * told, range(start + told + 1, stop + 1))


def send(numbers: list[int], device: str | torch.device) -> Tensor:
    """(numbers,) int64 on the device, without waiting for it."""
    device = torch.device(device)
    pinned = device.type == "cuda"
    return torch.tensor(numbers, dtype=torch.int64, pin_memory=pinned).to(device, non_blocking=pinned)
