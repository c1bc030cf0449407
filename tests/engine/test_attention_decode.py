"""Sequences that go on by one token: how many calls they take, and how many keys are looked at."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.attention import decode
from engine.attention.backend import Heads
from tests.engine.passes import LAYER, Case, cases, exactly, run, steps_of


@given(cases(), st.sampled_from([1, 30, 100, 300]))
@settings(max_examples=60, deadline=None)
def test_steps_too_many_for_one_call_are_divided(case: Case, room: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(decode.ROOM, "cpu", room)
        exactly(run(case), case.expected())


def test_long_sequences_do_not_widen_short_ones() -> None:
    """What is looked at is a little more than there is, and far less than sequences times the longest."""
    gathered = 0

    class Counted(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal gathered
            if func is torch.Tensor.index_select:
                gathered += len(args[2])
            elif func is torch.Tensor.__getitem__ and isinstance(args[1], slice):  # a lone sequence's, in one piece
                gathered += args[1].stop - args[1].start
            return super().__torch_function__(func, types, args, kwargs or {})

    lengths = [3000] + 60 * [40]
    case = steps_of(Heads(LAYER, 1, 1, 8, 0.35), lengths, 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(decode.ROOM, "cpu", 8 * 3000)
        cache = case.cache()
        attention = decode.Decode(case.batch().tables, lengths, case.size)
        attention(case.heads, case.now("q"), *(x.as_subclass(Counted) for x in cache.flat(LAYER)))
    assert gathered == 2 * sum(lengths)


@pytest.mark.parametrize(("lengths", "masked"), [([9], False), ([7, 7, 7], False), ([12, 3, 9, 1], True)])
def test_steps_of_many_sequences_are_one_call(
    lengths: list[int], masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it has a mask only where lengths differ: PyTorch is quicker without."""
    calls: list[bool] = []
    function = torch.nn.functional.scaled_dot_product_attention

    def counted(*args: Any, **options: Any) -> Tensor:
        calls.append(options["attn_mask"] is not None)
        return function(*args, **options)

    case = steps_of(Heads(LAYER, 6, 2, 8, 0.35), lengths)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    found = run(case)
    assert calls == [masked]
    torch.testing.assert_close(found.double(), case.expected(), rtol=1e-5, atol=1e-5)
