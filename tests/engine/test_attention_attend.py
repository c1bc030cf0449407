"""Scores that PyTorch's function cannot compute, and how many of them exist at once."""

from __future__ import annotations

import pytest
import torch

from engine.attention import attend
from engine.attention.backend import Heads
from engine.attention.sdpa import WHOLE_SEQUENCE
from tests.engine.passes import LAYER, by_definition, exactly


def test_scores_that_are_spelled_out_are_made_slice_by_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = Heads(LAYER, 4, 2, 8, 0.3, window=7, softcap=2.0, sinks=torch.randn(4))
    q, k, v = (torch.randn(20, count, 8, dtype=torch.float64) for count in (4, 2, 2))
    monkeypatch.setattr(attend, "ROOM", 3 * 4 * 20)
    exactly(WHOLE_SEQUENCE(heads, q, k, v), by_definition(heads, q, k, v))
