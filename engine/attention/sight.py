"""What a query sees: where the keys are, and what is added to their scores."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from engine.attention.backend import Heads


class Kind(NamedTuple):
    """All of a layer's heads that its sight depends on: layers of one kind share it."""

    window: int | None
    """None also where it hides nothing."""
    slopes: tuple[float, ...]
    spelled_out: bool
    width: int
    """Numbers in the keys of one token."""


class Sight(NamedTuple):
    """Of the sequences of a pass, for one kind of layer."""

    slots: Tensor | slice | None
    """Where in the cache the keys are, (keys,) int64 or from here to there; None where they are those of the pass."""
    bias: Tensor | None
    """(sequences, heads or 1, queries, keys); None where nothing is hidden but what came later."""


def kind(heads: Heads, length: int) -> Kind:
    """`length`: of the longest sequence."""
    window = heads.window if heads.window is not None and heads.window < length else None
    return Kind(window, heads.slopes, spelled_out(heads), heads.kv_count * heads.dim)


def spelled_out(heads: Heads) -> bool:
    """Whether PyTorch's function cannot compute it: it knows neither caps nor sinks."""
    return heads.softcap is not None or heads.sinks is not None


def bias(heads: Heads, queries: Tensor, keys: Tensor, dtype: torch.dtype) -> Tensor:
    """Positions (sequences, queries) and (sequences, keys) -> what is added to scores, (sequences, heads or 1, q, k).

    -inf for later keys and those behind the window, else 0, or ALiBi's penalty. That is computed from distances, so
    that near keys, which matter most, have penalties that a narrow `dtype` holds exactly or nearly so.
    """
    distance = (queries[:, :, None] - keys[:, None])[:, None]
    hidden = distance < 0
    if heads.window is not None:
        hidden |= distance >= heads.window
    if not heads.slopes:
        return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, float("-inf"))
    slopes = torch.tensor(heads.slopes, dtype=torch.float64, device=hidden.device)[:, None, None]
    return (-slopes * distance).to(dtype).masked_fill_(hidden, float("-inf"))


def fetch(cached: Tensor, slots: Tensor | slice) -> Tensor:
    """What is at `slots` of the cache's keys or values (slots, kv heads, dim); no copy of what lies in one piece."""
    return cached[slots] if isinstance(slots, slice) else cached.index_select(0, slots)


def in_one_piece(slots: Tensor) -> Tensor | slice:
    """Slots (keys,) of one sequence, as a range where its blocks follow each other; on a CPU, as it has to look."""
    if slots.device.type != "cpu":
        return slots
    first, last = int(slots[0]), int(slots[-1])
    follow = last - first + 1 == len(slots) and bool((slots.diff() == 1).all())
    return slice(first, last + 1) if follow else slots


def slots(tables: Tensor, positions: Tensor, size: int) -> Tensor:
    """Block tables (sequences, blocks) and positions (sequences, n) -> slots (sequences, n) int64."""
    return tables.gather(1, positions // size) * size + positions % size
