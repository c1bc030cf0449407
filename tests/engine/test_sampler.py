"""From logits to tokens, against softmax, torch and the logits processors of Transformers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from engine.sampling.draws import uniform
from engine.sampling.params import Sampling
from engine.sampling.sampler import Choice, NotFinite, Sampler
from engine.sampling.survivors import CANDIDATES, surviving_scores

GREEDY = Sampling()
DRAWN = Sampling(temperature=1.0, seed=7)
LARGE = 2 * CANDIDATES + 5
"""Ids of a vocabulary that is not sorted as a whole."""


def choose(logits: Tensor, samplings: list[Sampling], steps: list[int] | None = None) -> list[Choice]:
    return Sampler().sample(logits, samplings, steps or [0] * len(samplings))


def tokens(logits: Tensor, samplings: list[Sampling], steps: list[int] | None = None) -> list[int]:
    return [choice.token for choice in choose(logits, samplings, steps)]


def noise(*shape: int, seed: int = 0, scale: float = 3.0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


def processors(sampling: Sampling) -> LogitsProcessorList:
    """What Transformers' `generate` applies for these settings, in its order (`_get_logits_processor`)."""
    found: list[Any] = [TemperatureLogitsWarper(float(sampling.temperature))]
    if sampling.top_k:
        found.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        found.append(TopPLogitsWarper(sampling.top_p))
    if sampling.min_p:
        found.append(MinPLogitsWarper(sampling.min_p))
    return LogitsProcessorList(found)


def processed(logits: Tensor, sampling: Sampling) -> Tensor:
    """What Transformers makes of one row (vocab,)."""
    no_ids = torch.zeros(1, 1, dtype=torch.int64)
    scores: Tensor = processors(sampling)(no_ids, logits[None].clone())
    return scores[0]


def assert_as_transformers(logits: Tensor, samplings: list[Sampling]) -> None:
    """The same ids survive, with the same scores; of equal scores, which top-p may divide, as many."""
    for ours, row, sampling in zip(surviving_scores(logits, samplings), logits, samplings, strict=True):
        theirs = processed(row, sampling)
        assert torch.equal(ours.sort().values, theirs.sort().values)
        possible = (row / sampling.temperature)[row.isfinite()]
        assert possible.unique().numel() < possible.numel() or torch.equal(ours, theirs)


def survivors(logits: Tensor, samplings: list[Sampling]) -> list[list[int]]:
    return [row.isfinite().nonzero()[:, 0].tolist() for row in surviving_scores(logits, samplings)]


def assert_distributed(found: list[int], odds: Tensor) -> None:
    """Pearson's chi-square test, at a limit (Wilson and Hilferty's) that one honest sampler in 10,000 exceeds."""
    seen = torch.bincount(torch.tensor(found), minlength=len(odds)).double()
    possible = odds > 0
    assert seen[~possible].sum() == 0
    expected = odds[possible] * len(found)
    freedom = len(expected) - 1
    limit = freedom * (1 - 2 / (9 * freedom) + 3.72 * (2 / (9 * freedom)) ** 0.5) ** 3
    assert ((seen[possible] - expected) ** 2 / expected).sum() < limit


ROUND = st.integers(-8, 8).map(lambda quarter: quarter / 4)
"""So round that ids are often equally likely and sums often just p."""
LOGIT = ROUND | st.floats(-30, 30, width=32) | st.just(float("-inf"))
WIDTHS = st.integers(1, 20)
SETTINGS = st.builds(
    Sampling, temperature=st.sampled_from([0.25, 0.7, 1.0, 2.0]) | st.floats(0.01, 100), seed=st.just(1),
    top_k=st.integers(0, 40), top_p=st.sampled_from([0.25, 0.5, 0.75, 0.9, 1.0]) | st.floats(1e-6, 1.0),
    min_p=st.sampled_from([0.0, 0.0, 0.05, 0.5, 1.0]) | st.floats(0, 1),
)  # fmt: skip


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, list[Sampling]]:
    samplings = draw(st.lists(SETTINGS, min_size=1, max_size=3))
    width = draw(WIDTHS)
    row = st.lists(LOGIT, min_size=width, max_size=width).filter(lambda logits: max(logits) > float("-inf"))
    return torch.tensor([draw(row) for _ in samplings], dtype=torch.float32), samplings


class TestWhichIdsMayBeDrawn:
    @given(batches())
    @settings(max_examples=80, deadline=None)
    def test_the_same_as_transformers_leaves(self, batch: tuple[Tensor, list[Sampling]]) -> None:
        assert_as_transformers(*batch)

    @given(
        st.integers(0, 1 << 30), st.sampled_from([0.0, 0.5, 3.0, 12.0]), st.booleans(),
        st.lists(SETTINGS, min_size=1, max_size=3),
    )  # fmt: skip
    @settings(max_examples=30, deadline=None)
    def test_the_same_in_a_vocabulary_that_is_not_sorted_as_a_whole(
        self, seed: int, scale: float, ties: bool, samplings: list[Sampling]
    ) -> None:
        logits = noise(len(samplings), LARGE, seed=seed, scale=scale)
        assert_as_transformers(logits.round() if ties else logits, samplings)

    @pytest.mark.parametrize("top_p", [0.5, 0.97, 0.9999999])
    @pytest.mark.parametrize("ties", [False, True])
    def test_the_same_for_a_real_vocabulary(self, top_p: float, ties: bool) -> None:
        logits = noise(2, 32_000, seed=1)
        logits = logits.round() if ties else logits
        assert_as_transformers(logits, [replace(DRAWN, top_p=top_p), DRAWN])

    def test_the_same_where_top_p_is_just_a_sum_of_probabilities(self) -> None:
        """Give or take what rounding makes of it."""
        logits = noise(1, LARGE, scale=4.0)
        sums = logits.softmax(-1).sort(descending=True).values.cumsum(-1, dtype=torch.float64)[0, 4:64]
        for top_p in sums.tolist():
            assert_as_transformers(logits, [replace(DRAWN, top_p=top_p)])

    @pytest.mark.parametrize("width", [10, LARGE])
    def test_of_equally_likely_ids_the_lowest_survive(self, width: int) -> None:
        logits = torch.full((4, width), -200.0)
        logits[:, [2, 3, 5, 7]] = 0.0
        kept = survivors(logits, [replace(DRAWN, top_p=p) for p in (1e-9, 0.25, 0.5, 0.7)])
        assert kept == [[2], [2], [2, 3], [2, 3, 5]]
        [most] = survivors(torch.zeros(1, width), [replace(DRAWN, top_p=0.7)])
        assert most == list(range(len(most)))

    def test_top_p_keeps_the_smallest_set_that_reaches_it(self) -> None:
        logits = torch.tensor([[0.125, 0.5, 0.25, 0.125]]).log()
        kept = {p: survivors(logits, [replace(DRAWN, top_p=p)])[0] for p in (1e-6, 0.4, 0.6, 0.8, 0.99)}
        assert kept == {1e-6: [1], 0.4: [1], 0.6: [1, 2], 0.8: [0, 1, 2], 0.99: [0, 1, 2, 3]}

    def test_top_p_is_a_share_of_what_top_k_left(self) -> None:
        logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
        assert survivors(logits, [replace(DRAWN, top_p=0.6), replace(DRAWN, top_p=0.6, top_k=2)][:1]) == [[0, 1]]
        assert survivors(logits, [replace(DRAWN, top_p=0.6, top_k=2)]) == [[0]]

    @given(batches())
    @settings(max_examples=25, deadline=None)
    def test_what_is_drawn_is_among_them(self, batch: tuple[Tensor, list[Sampling]]) -> None:
        logits, samplings = batch
        allowed = survivors(logits, samplings)
        for step in range(3):
            found = tokens(logits, samplings, [step] * len(samplings))
            assert all(token in ids for token, ids in zip(found, allowed, strict=True))


class TestGreedy:
    @given(st.lists(st.lists(ROUND, min_size=9, max_size=9), min_size=1, max_size=5))
    def test_takes_the_likeliest_and_the_lowest_of_equal_ones(self, rows: list[list[float]]) -> None:
        assert tokens(torch.tensor(rows), [GREEDY] * len(rows)) == [row.index(max(row)) for row in rows]

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
    def test_equals_argmax_in_any_float_type(self, dtype: torch.dtype) -> None:
        logits = noise(8, 5000).to(dtype)
        assert tokens(logits, [GREEDY] * 8) == logits.argmax(-1).tolist()

    def test_needs_no_seed_and_no_filter(self) -> None:
        assert tokens(noise(1, 50), [Sampling(top_k=3, top_p=0.1)]) == tokens(noise(1, 50), [GREEDY])

    @pytest.mark.parametrize("temperature", [1e-10, 1e-37, 1e-45, 1e-300])
    def test_is_what_a_vanishing_temperature_comes_to(self, temperature: float) -> None:
        logits = noise(2, 100, scale=1e4)
        logits[1] = -logits[1].abs()
        cold = [Sampling(temperature=temperature, seed=1)] * 2
        assert tokens(logits, cold) == logits.argmax(-1).tolist()

    def test_stays_greedy_beside_rows_that_are_drawn(self) -> None:
        logits = noise(4, 1000)
        found = tokens(logits, [GREEDY, DRAWN, GREEDY, DRAWN])
        assert [found[0], found[2]] == logits[[0, 2]].argmax(-1).tolist()


class TestDraws:
    @pytest.mark.parametrize(
        "sampling",
        [
            Sampling(temperature=1.0), Sampling(temperature=1.7), Sampling(temperature=1.0, top_k=5),
            Sampling(temperature=0.8, top_p=0.8), Sampling(temperature=1.0, min_p=0.1),
        ],
    )  # fmt: skip
    def test_follow_the_distribution_that_transformers_draws_from(self, sampling: Sampling) -> None:
        logits, draws = noise(12, seed=3, scale=1.0), 20_000
        odds = processed(logits, sampling).double().softmax(-1)
        found = tokens(logits.expand(draws, -1), [replace(sampling, seed=9)] * draws, list(range(draws)))
        assert_distributed(found, odds)

    def test_follow_it_from_seed_to_seed_too(self) -> None:
        draws = 20_000
        samplings = [Sampling(temperature=1.0, seed=seed) for seed in range(draws)]
        assert_distributed(tokens(torch.zeros(draws, 8), samplings), torch.full((8,), 1 / 8))

    def test_depend_on_the_seed_and_the_step(self) -> None:
        seeds, steps = [count // 9 for count in range(81)], [count % 9 for count in range(81)]
        found = tokens(torch.zeros(81, 50_000), [replace(DRAWN, seed=seed) for seed in seeds], steps)
        assert len(set(found)) > 75

    @given(
        st.permutations(range(6)),
        st.lists(st.integers(0, (1 << 64) - 1), min_size=6, max_size=6), st.lists(st.integers(0, 99), min_size=6),
    )  # fmt: skip
    @settings(max_examples=15, deadline=None)
    def test_are_the_same_alone_and_in_any_batch(self, order: list[int], seeds: list[int], steps: list[int]) -> None:
        logits = noise(6, LARGE)
        mixed = [
            GREEDY, Sampling(temperature=1.0), Sampling(temperature=0.7, top_p=0.9), Sampling(temperature=2.0, top_k=9),
            Sampling(temperature=1.0, min_p=0.02, logprobs=2), Sampling(temperature=0.5, top_k=50, top_p=0.5),
        ]  # fmt: skip
        samplings = [replace(own, seed=seed) for own, seed in zip(mixed, seeds, strict=True)]
        alone = [choose(logits[row : row + 1], [samplings[row]], [steps[row]])[0] for row in order]
        batched = choose(logits[order], [samplings[row] for row in order], [steps[row] for row in order])
        assert batched == alone

    def test_are_the_same_in_portions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        logits, samplings = noise(7, 500), [replace(DRAWN, seed=seed) for seed in range(7)]
        whole = tokens(logits, samplings)
        monkeypatch.setattr("engine.sampling.sampler.AT_ONCE", 1000)
        assert tokens(logits, samplings) == whole

    def test_never_take_an_impossible_id(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The extremes of a random number, with ids of probability 0 at both ends."""
        logits = torch.tensor([[float("-inf"), 1.0, 0.0, float("-inf")]])
        for draw, expected in ((0.0, 1), (1 - 2.0**-48, 2)):
            monkeypatch.setattr("engine.sampling.sampler.uniform", lambda seed, step, draw=draw: draw)
            assert tokens(logits, [DRAWN]) == [expected]

    def test_need_a_seed(self) -> None:
        with pytest.raises(ValueError, match=r"seed: expected the number .* found None"):
            choose(noise(1, 5), [Sampling(temperature=1.0)])

    def test_leave_the_logits_as_they_are(self) -> None:
        logits = noise(2, 300)
        before = logits.clone()
        choose(logits, [replace(DRAWN, top_k=3, top_p=0.5, min_p=0.1, logprobs=3)] * 2)
        assert torch.equal(logits, before)

    @given(st.integers(0, (1 << 64) - 1), st.integers(0, 1 << 40))
    def test_numbers_lie_in_the_unit_interval_and_come_again(self, seed: int, step: int) -> None:
        number = uniform(seed, step)
        assert 0 <= number < 1
        assert uniform(seed, step) == number

    def test_numbers_stay_below_any_total(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class AllOnes:
            def __init__(self, content: bytes, digest_size: int) -> None:
                self.digest = lambda: b"\xff" * digest_size

        monkeypatch.setattr("engine.sampling.draws.blake2b", AllOnes)
        assert all(uniform(0, 0) * total < total for total in (1.0, 1.0000000000000002, 1.9999999999999998, 0.7))

    def test_no_rows_need_nothing(self) -> None:
        assert choose(torch.empty(0, 9), []) == []


class TestLogProbabilities:
    def test_are_those_of_the_unmodified_distribution(self) -> None:
        logits = noise(3, 700)
        samplings = [Sampling(logprobs=0), replace(DRAWN, temperature=0.3, top_k=4, logprobs=5), GREEDY]
        first, second, third = choose(logits, samplings)
        expected = torch.log_softmax(logits, -1)
        assert first.logprob == float(expected[0, first.token])
        assert second.logprob == float(expected[1, second.token])
        assert (third.logprob, third.top) == (None, None)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_the_likeliest_come_first_and_equal_ones_by_id(self, dtype: torch.dtype) -> None:
        logits = noise(2, 60, scale=1.0).round().to(dtype)
        expected = torch.log_softmax(logits.float(), -1)
        for row, choice in enumerate(choose(logits, [Sampling(logprobs=8)] * 2)):
            order = sorted(range(60), key=lambda token: (-float(expected[row, token]), token))
            assert choice.top == [(token, float(expected[row, token])) for token in order[:8]]
            assert choice.top[0] == (choice.token, choice.logprob)

    def test_none_are_told_of_impossible_ids(self) -> None:
        logits = torch.tensor([[0.0, float("-inf"), 0.0]])
        assert [token for token, _ in choose(logits, [Sampling(logprobs=9)])[0].top or []] == [0, 2]

    def test_none_beside_the_chosen_one(self) -> None:
        assert choose(noise(1, 5), [Sampling(logprobs=0)])[0].top == []


class TestGarbage:
    @pytest.mark.parametrize("sampling", [GREEDY, replace(DRAWN, top_p=0.5)])
    @pytest.mark.parametrize(
        ("values", "told"),
        [([float("nan")], "1 (1 NaN)"), ([float("inf")] * 2, "2 (2 +inf)"),
         ([float("nan"), float("inf"), float("-inf")], "3 (1 NaN, 1 +inf, 1 -inf)")],
    )  # fmt: skip
    def test_is_refused_with_its_row_and_how_much_there_is(
        self, sampling: Sampling, values: list[float], told: str
    ) -> None:
        logits = noise(4, 20)
        logits[2, 5 : 5 + len(values)] = torch.tensor(values)
        with pytest.raises(NotFinite) as caught:
            choose(logits, [sampling] * 4)
        assert str(caught.value) == f"row 2: {told} of 20 logits are not finite"
        assert tuple(caught.value.found) == (2,)

    def test_a_row_without_any_possible_id_is_garbage(self) -> None:
        logits = noise(2, 4)
        logits[0] = float("-inf")
        with pytest.raises(ValueError, match=r"^row 0: 4 \(4 -inf\) of 4 logits are not finite$"):
            choose(logits, [GREEDY, DRAWN])

    def test_many_rows_are_one_line(self) -> None:
        with pytest.raises(NotFinite, match=r"^row 0: .*row 2: .*; so in 6 more rows$") as caught:
            choose(torch.full((9, 4), float("nan")), [GREEDY] * 9)
        assert tuple(caught.value.found) == tuple(range(9))

    def test_ids_that_are_ruled_out_are_no_garbage(self) -> None:
        logits = torch.tensor([[float("-inf"), -3.0e38, float("-inf")]])
        assert tokens(logits, [GREEDY]) == [1]
        assert tokens(logits, [replace(DRAWN, temperature=0.5)]) == [1]
