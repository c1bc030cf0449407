"""The prompt of `--verify`: within the model's bounds, and always the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracer.execute.verify.prompt import TOKENS, prompt


@given(st.integers(1, 1 << 20), st.integers(1, 1 << 20))
def test_the_prompt_lies_within_the_vocabulary_and_the_models_length(vocabulary: int, longest: int) -> None:
    ids = prompt(vocabulary, longest)
    assert len(ids) == min(TOKENS, longest)
    assert all(0 <= token < vocabulary for token in ids)


def test_the_prompt_is_always_the_same_and_asks_every_rank() -> None:
    assert prompt(1000, 8) == [236, 103, 396, 154, 66, 401, 917, 800]
    assert {token * 8 // 128256 for token in prompt(128256, 8192)} == set(range(8))
