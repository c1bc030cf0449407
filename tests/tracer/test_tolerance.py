"""How far half precision may be from the reference: in most tokens, and in the worst."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.engine.checkpoints import VOCABULARY
from tests.threads import one_thread
from tests.tracer.families import Checkpoint, checkpoint
from tests.verifying import Case, Tensors, altered, judged, one_pass
from tracer.execute.verify.points import LOGITS
from tracer.execute.verify.prompt import prompt
from tracer.execute.verify.sources import Sources
from tracer.execute.verify.states import States
from tracer.execute.verify.tolerance import ALL, EXACT, Tolerance
from tracer.prepare import Request, prepare
from tracer.verified import Verified

__all__ = ["checkpoint", "one_thread"]
TABLE = {
    "llama": "model.embed_tokens.weight", "qwen3": "model.embed_tokens.weight", "mixtral": "model.embed_tokens.weight",
    "gpt2-untied": "transformer.wte.weight",
}  # fmt: skip
IDS = prompt(VOCABULARY, 64)
LAST = max(place for place, token in enumerate(IDS) if IDS.count(token) == 1)
"""The last token of the prompt that is there once."""


def reference_of(case: Case, tmp_path: Path, sound: Path | None = None) -> Verified:
    """The verdict on one rank, in this process."""
    return judged(case, [one_pass(case, tmp_path / "states")], tmp_path / "states", sound)[1]


# --- whole models ---


def last_token_wrong(name: str) -> Callable[[Tensors], object]:
    """One id is looked up as another; what attention tells of it, it tells the few that come after."""

    def change(tensors: Tensors) -> None:
        tensors[name][IDS[LAST]] = tensors[name][IDS[LAST] - 1].clone()

    assert len(IDS) - LAST < len(IDS) // 8
    return change


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2-untied", "mixtral"])
def test_one_wrong_token_is_found_in_any_type(
    family: str, dtype: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """By the same name, far beyond what is allowed."""
    sound = checkpoint(family)
    folder = altered(sound, tmp_path / "model", last_token_wrong(TABLE[family]))
    verdict = reference_of(Case(folder, options={"dtype": dtype}), tmp_path, sound)
    assert verdict.state == "failed", verdict.line()
    (finding,) = verdict.findings
    assert list(finding.evidence["parameters"]) == [TABLE[family]]
    assert finding.evidence["departing"] == f"the output of {TABLE[family].removesuffix('.weight')}"
    embedded = "the output of the embeddings"
    assert finding.evidence["distances"][embedded] > 50 * finding.evidence["allowed"][embedded]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    "family", ["llama", "llama-tied", "llama-llama3", "qwen2", "qwen3", "phi3-partial", "bloom", "mixtral"]
)
def test_rounding_alone_is_none(family: str, dtype: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Of all that were measured, those whose worst tokens have the worst luck are among these."""
    verdict = reference_of(Case(checkpoint(family), options={"dtype": dtype}), tmp_path)
    assert verdict.state == "ok", verdict.line()
    assert "3 of 3 layers agree" in verdict.told


def test_who_chooses_experts_is_known_by_the_plan(checkpoint: Checkpoint) -> None:
    routed = {family: Sources(prepare(Request(str(checkpoint(family)))).plan).routed for family in (*TABLE, "bloom")}
    assert routed == {family: family == "mixtral" for family in routed}


# --- the measure ---

SPOT = ("layer", "output")


def noisy(states: Tensor, size: float, seed: int) -> Tensor:
    """Each token's state moved by just so much of its length."""
    noise = torch.randn(states.shape, generator=torch.Generator().manual_seed(seed))
    by: Tensor = size * noise / noise.norm(dim=1, keepdim=True) * states.norm(dim=1, keepdim=True)
    return states + by


EXPECTED = torch.randn(32, 16, generator=torch.Generator().manual_seed(0))


def tolerance(size: float = 0.02) -> Tolerance:
    """Rounding moves every token of the reference by `size`."""
    exact, narrow = EXPECTED, noisy(EXPECTED, size, 1).bfloat16()
    return Tolerance(_states(exact), _states(narrow))


def _states(values: Tensor) -> States:
    return States([], {SPOT: values}, {})


def departs(found: Tensor, own: Tolerance) -> bool:
    distance, allowed = own.measure(SPOT, found)
    return distance > allowed


@pytest.mark.parametrize(("times", "expected"), [(1.0, False), (1.8, False), (2.3, True), (5.0, True)])
def test_all_tokens_may_be_twice_as_far_as_those_of_the_reference(times: float, expected: bool) -> None:
    assert departs(noisy(EXPECTED, 0.02 * times, 2), tolerance()) == expected


@pytest.mark.parametrize(("times", "expected"), [(3.5, False), (4.5, True)])
def test_the_worst_token_may_be_four_times_as_far(times: float, expected: bool) -> None:
    found = noisy(EXPECTED, 0.02, 2)
    found[17] = noisy(EXPECTED, 0.02 * times, 3)[17]
    assert departs(found, tolerance()) == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 31), min_size=1, max_size=32, unique=True))
def test_tokens_that_are_something_else_are_seen_however_few(tokens: Sequence[int]) -> None:
    found = noisy(EXPECTED, 0.02, 2)
    found[list(tokens)] = -EXPECTED[list(tokens)]
    assert departs(found, tolerance())


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(32)))
def test_the_order_of_tokens_is_nothing_to_it(order: list[int]) -> None:
    own = tolerance()
    assert own.narrow is not None
    turned = Tolerance(_states(own.exact.values[SPOT][order]), _states(own.narrow.values[SPOT][order]))
    found = noisy(EXPECTED, 0.05, 4)
    assert turned.measure(SPOT, found[order]) == pytest.approx(own.measure(SPOT, found))


def test_in_float32_one_token_is_enough_and_the_bound_is_fixed() -> None:
    exact = Tolerance(_states(EXPECTED), None)
    found = EXPECTED.clone()
    assert exact.measure(SPOT, found) == (0.0, EXACT)
    found[3] *= 1 + 2 * EXACT
    assert departs(found, exact)


def test_logits_are_measured_by_the_spread_of_them_all() -> None:
    expected = torch.tensor([[0.0, 4.0], [0.0, 4.0]])
    found = expected + torch.tensor([[0.0, 0.0], [1.0, -3.0]])
    spot = (LOGITS, "output")
    own = Tolerance(States([], {spot: expected}, {}), None)
    assert own.measure(spot, found)[0] == pytest.approx(3 / float(expected.std()))


def test_rounding_of_no_size_is_allowed_one_unit_of_the_type() -> None:
    own = Tolerance(_states(EXPECTED.bfloat16().float()), _states(EXPECTED.bfloat16()))
    assert own.measure(SPOT, EXPECTED.bfloat16()) == (0.0, 2**-7)
    assert ALL[0] == 1
