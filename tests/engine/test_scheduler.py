"""Who computes when: any company, any cache and any budget give each sequence what it would get alone."""

from __future__ import annotations

import random
import subprocess
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from engine.sampling.params import Sampling
from engine.serving.scheduler import Limits
from engine.serving.sequence import Finish, Sequence
from tests.engine.company import EOS, VOCABULARY, Request, Service, Setup, alone, serve
from tests.mappings.laws import law


def test_a_prompt_is_cut_to_the_budget_and_decodes_come_first() -> None:
    service = Service(Setup(tokens=8, caching=False))
    service.add(0, Request((0,) * 3, Sampling(max_tokens=9, ignore_eos=True)))
    service.add(1, Request((1,) * 20, Sampling(max_tokens=9, ignore_eos=True)))
    seen = []
    for _ in range(4):
        chunks = service.scheduler.step()
        seen.append([(chunk.sequence.number, chunk.start, chunk.stop) for chunk in chunks])
        service.scheduler.update(chunks, service.model.run(chunks))
    assert seen == [[(0, 0, 3), (1, 0, 5)], [(0, 3, 4), (1, 5, 12)], [(0, 4, 5), (1, 12, 19)], [(0, 5, 6), (1, 19, 20)]]


@pytest.mark.parametrize("caching", [True, False])
def test_the_youngest_gives_way_to_an_older_one_and_is_the_next_to_come_back(caching: bool) -> None:
    """Of eight blocks both that run have four, and each wants a fifth."""
    setup = Setup(blocks=8, caching=caching)
    requests = [Request((n,) * (16 if n == 2 else 8), Sampling(max_tokens=16, ignore_eos=True)) for n in range(4)]
    service = Service(setup)
    older, younger, *_ = (service.add(number, request) for number, request in enumerate(requests))
    while not service.scheduler.preemptions:
        service.step()
    assert list(service.scheduler.running) == [0]
    assert list(service.scheduler.waiting) == [1, 2, 3]
    assert (older.length, younger.length, younger.blocks, younger.computed) == (18, 17, [], 0)
    while older.finish is None:
        service.step()
    assert younger.length == 17
    while service.live:
        service.step()
    assert service.started == [0, 1, 2, 3]
    assert younger.generated == alone(requests[1], setup.longest)[0]
    assert (service.scheduler.pool.reused > 0) == caching


def test_who_needs_a_block_and_is_the_youngest_keeps_its_own_and_waits() -> None:
    """The older one takes the last block and ends within it, so nothing is computed twice."""
    service = Service(Setup(blocks=5, size=8, caching=False))
    service.add(0, Request((0,) * 16, Sampling(max_tokens=5, ignore_eos=True)))
    younger = service.add(1, Request((1,) * 15, Sampling(max_tokens=6, ignore_eos=True)))
    lengths = []
    while service.live:
        service.step()
        lengths.append(younger.length)
    assert lengths == [16, 17, 17, 17, 17, 18, 19, 20, 21]
    assert (service.scheduler.preemptions, service.model.computed) == (0, 20 + 20)


@pytest.mark.parametrize(
    ("asked", "ids", "finish"),
    [
        (Sampling(max_tokens=3, ignore_eos=True), 3, "length"),
        (Sampling(max_tokens=50, ignore_eos=True), 8, "length"),
        (Sampling(max_tokens=50, ignore_eos=True, stop_ids=(3,)), 2, "stop"),
        (Sampling(max_tokens=50), 5, "stop"),
        (Sampling(max_tokens=5), 5, "stop"),
    ],
)
def test_a_sequence_ends_by_an_id_by_what_was_asked_or_by_the_models_length(
    asked: Sampling, ids: int, finish: Finish
) -> None:
    """The ids are 1, 3, 0, 0, eos, ..., given by hand, of a model that takes 12."""
    scheduler = Setup(length=12).scheduler()
    sequence = Sequence(0, (2,) * 4, asked)
    scheduler.add(sequence)
    for token in (1, 3, 0, 0, EOS, 1, 1, 1, 1, 1):
        if sequence.finish is None:
            scheduler.update(scheduler.step(), [token])
            assert (sequence.number in scheduler.running) == (sequence.finish is None)
    assert len(sequence.generated) == ids
    assert sequence.finish == finish
    assert not scheduler.busy


def test_a_sequence_that_outgrows_the_whole_cache_ends_by_length_alone_as_in_company() -> None:
    """The last id is drawn and not computed, so there is one more than the cache holds."""
    setup = Setup(blocks=3)
    endless = Sampling(max_tokens=1000, ignore_eos=True)
    _, sequences = serve(setup, [Request((n, 1), endless) for n in range(3)])
    assert [(sequence.length, sequence.finish) for sequence in sequences] == [(13, "length")] * 3


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (0, "empty prompt: expected at least one id"),
        (40, "prompt of 40 ids: the longest sequence has 40, generated ones included"),
        (33, "prompt of 33 ids: needs 9 blocks of 4, the cache has 8"),
    ],
)
def test_what_can_never_fit_is_refused_and_the_others_go_on(prompt: int, said: str) -> None:
    service = Service(Setup(blocks=8, length=40))
    request = Request((0,) * 20, Sampling(max_tokens=5, ignore_eos=True))
    sequence = service.add(0, request)
    service.step()
    with pytest.raises(ValueError) as caught:
        service.scheduler.add(Sequence(1, (0,) * prompt, Sampling()))
    assert str(caught.value) == said
    with pytest.raises(ValueError, match="max_tokens"):
        service.scheduler.add(Sequence(1, (0,), Sampling(max_tokens=0)))
    service.scheduler.check(32)
    while service.live:
        service.step()
    assert sequence.generated == alone(request, service.setup.longest)[0]


def test_a_stop_text_in_the_last_id_outranks_the_length_and_an_abort_comes_too_late() -> None:
    scheduler = Setup().scheduler()
    sequence = Sequence(0, (0,), Sampling(max_tokens=1))
    scheduler.add(sequence)
    scheduler.update(scheduler.step(), [1])
    assert sequence.finish == "length"
    scheduler.finish(sequence, "stop")
    scheduler.abort(sequence)
    assert str(sequence.finish) == "stop"


@pytest.mark.parametrize("field", ["tokens", "sequences", "length"])
def test_limits_that_let_nothing_run_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"limits: {field}: expected at least ., found 0"):
        Limits(**{"tokens": 1, "sequences": 1, "length": 2, field: 0})


def test_nobody_is_let_in_as_older_than_who_came_before() -> None:
    scheduler = Setup().scheduler()
    scheduler.add(Sequence(3, (0,), Sampling()))
    for number in (2, 3):
        with pytest.raises(AssertionError, match=f"sequence {number} is added after 3"):
            scheduler.add(Sequence(number, (0,), Sampling()))


def test_a_chunk_is_noted_only_once() -> None:
    scheduler = Setup(tokens=2).scheduler()
    scheduler.add(Sequence(0, (0,) * 5, Sampling()))
    chunks = scheduler.step()
    scheduler.update(chunks, [])
    with pytest.raises(AssertionError, match="not where this chunk begins"):
        scheduler.update(chunks, [])


samplings = st.builds(
    Sampling, max_tokens=st.integers(1, 30), ignore_eos=st.sampled_from([True, True, False]),
    stop_ids=st.sampled_from([(), (), (), (3,)]),
)  # fmt: skip
prompts = st.builds(
    lambda start, tail: (((0, 1, 2, 3) * 4)[:start] + tuple(tail)) or (0,),
    st.integers(0, 16), st.lists(st.integers(0, VOCABULARY - 1), max_size=8),
)  # fmt: skip
setups = st.builds(
    Setup, blocks=st.integers(2, 12), size=st.integers(1, 5), tokens=st.integers(1, 40),
    sequences=st.integers(1, 8), length=st.integers(20, 60), caching=st.booleans(),
)  # fmt: skip
staying = st.builds(Request, prompts, samplings, st.sampled_from([0, 0, 0, 1]), st.integers(0, 6))
leaving = st.builds(
    Request, prompts, samplings, st.just(0), st.integers(0, 6), st.integers(0, 30),
    st.booleans(), st.sampled_from(["abort", "stop"]),
)  # fmt: skip


@settings(law, max_examples=500)
@given(setups, st.lists(st.one_of(staying, staying, leaving), min_size=3, max_size=14))
def test_everyone_gets_what_it_would_get_alone(setup: Setup, requests: list[Request]) -> None:
    """However they arrive and leave, and whatever the cache and the budget of a pass."""
    scheduler = setup.scheduler()
    fitting = []
    for request in requests:
        length = len(request.prompt)
        if length < setup.length and length <= setup.blocks * setup.size:
            fitting.append(request)
        else:
            with pytest.raises(ValueError, match=f"^prompt of {length} ids: "):
                scheduler.add(Sequence(0, request.prompt, request.sampling))
    assert not scheduler.busy
    service, sequences = serve(setup, fitting)
    event(f"preempted: {service.scheduler.preemptions > 0}, shared: {service.scheduler.pool.reused > 0}")
    assert service.started == [sequence.number for sequence in sequences if sequence.number in service.started]


@pytest.mark.parametrize("caching", [True, False])
def test_two_hundred_requests_in_a_cache_too_small_for_them_all_end_in_fairness(caching: bool) -> None:
    draw = random.Random(4)
    stems = [tuple(draw.choices(range(VOCABULARY), k=16)) for _ in range(3)]
    requests = [
        Request(
            draw.choice(stems)[: draw.randrange(17)] + tuple(draw.choices(range(VOCABULARY), k=draw.randrange(1, 60))),
            Sampling(max_tokens=draw.randrange(1, 60), ignore_eos=draw.random() < 0.8),
            arrives=draw.randrange(300),
        )
        for _ in range(200)
    ]
    setup = Setup(blocks=60, tokens=48, sequences=32, length=140, caching=caching)
    needed = sum(-(-len(request.prompt) // setup.size) for request in requests)
    assert needed > 10 * setup.blocks
    service, sequences = serve(setup, requests)
    assert service.started == list(range(200))
    assert all(sequence.finish in ("stop", "length") for sequence in sequences)
    assert service.scheduler.preemptions > 10
    assert (service.scheduler.pool.reused > 500) == caching


def lines_of_a_step(waiting: int) -> int:
    """Lines of the engine that a pass executes beside so many that wait."""
    scheduler = Setup(blocks=40, sequences=8).scheduler()
    for number in range(8 + waiting):
        scheduler.add(Sequence(number, (1, 2, 3), Sampling(max_tokens=50, ignore_eos=True)))
    scheduler.update(scheduler.step(), [0] * 8)
    count = 0

    def trace(frame: FrameType, kind: str, _: Any) -> Any:
        nonlocal count
        count += kind == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        scheduler.update(scheduler.step(), [0] * 8)
    finally:
        sys.settrace(before)
    return count


def test_a_pass_costs_the_same_however_many_wait() -> None:
    assert lines_of_a_step(10) == lines_of_a_step(5000) > 50


def test_the_books_are_kept_without_torch() -> None:
    modules = "engine.serving.scheduler, engine.cache.blocks, engine.sampling.params"
    program = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
