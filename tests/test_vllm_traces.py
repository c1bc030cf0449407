"""The packed observations are all there and decode."""

from __future__ import annotations

import math

import pytest

from tests.vllm_traces import TP_SIZES, keys, trace


def test_every_key_was_observed_at_every_size() -> None:
    assert len(keys()) == 46
    assert "LlamaForCausalLM-tied" in keys()


@pytest.mark.parametrize("key", keys())
@pytest.mark.parametrize("tp", TP_SIZES)
def test_a_trace_describes_each_rank(key: str, tp: int) -> None:
    content = trace(key, tp)
    assert key.startswith(content["arch"])
    assert content["tp"] == tp
    assert [rank["rank"] for rank in content["ranks"]] == list(range(tp))
    assert content["checkpoint"]


def test_infinity_is_a_number() -> None:
    assert trace("Mamba2ForCausalLM", 1)["config"]["time_step_limit"][1] == math.inf
