"""Generation in narrow types and on GPUs. What does not need a GPU to be wrong is tested on the CPU as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.attention.batch import Part, make_pass
from engine.attention.paged import PagedSdpa
from engine.attention.varlen import PAGE, Varlen
from engine.cache.tensors import bytes_per_block
from engine.memory import free_bytes
from engine.processes.distributed import ProcessGroup
from engine.processes.launch import launch
from engine.sampling.params import Sampling
from engine.serving import steps
from engine.serving.engine import Engine
from engine.serving.runner import Runner
from engine.serving.scheduler import Chunk
from engine.serving.sequence import Sequence as Request
from engine.serving.serve import SHARE, Settings, run
from engine.serving.steps import Form, Steps, ladder
from tests.engine.learnt import FAMILIES, POSITIONS, engine_on, learn, learnt_of, of_transformers, rounded, text
from tests.engine.test_generation import Made, engine_of, made, prompts, tokens_of
from tests.threads import one_thread

__all__ = ["made", "one_thread"]
GPU = pytest.mark.gpu
BOTH = [pytest.param("cpu", "llama", id="cpu-llama"),
        *(pytest.param("cuda", family, marks=GPU, id=f"cuda-{family}") for family in FAMILIES)]  # fmt: skip
HALF = (torch.bfloat16, torch.float16)
SPREAD = 1.25
"""Two ways to compute the same in one type round in other places: the errors of both are alike, not equal."""
NEW = 40
ROOM = Settings(cache_bytes=1 << 24, max_length=POSITIONS + 1)

Learnt = Callable[[str, torch.dtype], Path]


@pytest.fixture(scope="session")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    """The checkpoint of a family that knows its text, in a type; each is made once."""
    root = tmp_path_factory.mktemp("learnt")

    @cache
    def one(family: str, dtype: torch.dtype) -> Path:
        if not (root / family).exists():
            learn(family, root / family)
        return rounded(root / family, root / f"{family}-{dtype}", dtype)

    return one


# --- logits ---


@torch.no_grad()
def by_prompt(runner: Runner) -> Tensor:
    """Logits (positions, vocab) of the text as one prompt."""
    ids = torch.tensor(text()[:-1], device=runner._device)
    table = list(range(-(-POSITIONS // runner.cache.size)))
    batch = make_pass([(0, POSITIONS, table, POSITIONS)], runner.cache.size, runner._device)
    hidden = runner._model.forward(
        ids, torch.arange(POSITIONS, device=ids.device), runner._backend(batch, runner.cache)
    )  # fmt: skip
    return runner._model.compute_logits(hidden).float().cpu()


def by_steps(runner: Runner) -> Tensor:
    """The same, a token a pass; those behind the first are told, whatever is found."""
    known, found = text(), []
    sequence = Request(0, (known[0],), Sampling())
    sequence.blocks = list(range(-(-POSITIONS // runner.cache.size)))
    for place in range(POSITIONS):
        found.append(runner.run([Chunk(sequence, place, place + 1)]).cpu())
        sequence.ids.append(known[place + 1])
    return torch.cat(found)


def errors(found: Tensor, exact: Tensor) -> list[float]:
    """Half of all logits are less wrong than the first, all but a hundredth than the second."""
    wrong = (found - exact).abs().flatten()
    return [float(wrong.quantile(share)) for share in (0.5, 0.99)]


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize(("device", "family"), BOTH)
def test_in_half_precision_tokens_are_those_of_transformers_and_logits_as_near(
    device: str, family: str, dtype: torch.dtype, learnt: Learnt
) -> None:
    """As near to what float32 makes of the same weights as Transformers' own are, in prompts and step by step."""
    folder = learnt(family, dtype)
    theirs = of_transformers(folder, dtype, device)
    exact = of_transformers(folder, torch.float32, "cpu")
    runner = engine_on(folder, dtype, ROOM._replace(device=device)).runner
    for ours in (by_prompt(runner), by_steps(runner)):
        assert len(ours) == POSITIONS >= 256
        assert (ours.argmax(-1) == theirs.argmax(-1)).double().mean() >= 0.99
        for own, other in zip(errors(ours, exact), errors(theirs, exact), strict=True):
            assert 0 < own <= SPREAD * other


@pytest.mark.parametrize(("device", "family"), BOTH)
def test_in_single_precision_logits_are_those_of_transformers(device: str, family: str, learnt: Learnt) -> None:
    folder = learnt(family, torch.float32)
    theirs = of_transformers(folder, torch.float32, device)
    runner = engine_on(folder, torch.float32, ROOM._replace(device=device)).runner
    for ours in (by_prompt(runner), by_steps(runner)):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


# --- whole generations ---


def beginnings(lengths: Sequence[int] = (PAGE + 4, 20, PAGE + 40, 3, 250)) -> list[list[int]]:
    """Of the text: two have a block of a GPU's cache in common, and another goes on into its second one."""
    return [text()[:length] for length in lengths]


def generated(engine: Engine, asked: Sequence[Sequence[int]]) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in asked]
    for tokens in run(engine, [(prompt, Sampling(max_tokens=NEW, ignore_eos=True)) for prompt in asked]):
        engine.scheduler.check_integrity()
        for token in tokens:
            assert token.choice is not None
            found[token.number].append(token.choice.token)
    assert engine.scheduler.pool.available == engine.scheduler.pool.count
    return found


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize(("device", "family"), BOTH)
def test_batched_alone_chunked_cached_and_preempted_are_the_same(
    device: str, family: str, dtype: torch.dtype, learnt: Learnt
) -> None:
    folder, asked = learnt(family, dtype), beginnings()
    settings = ROOM._replace(device=device, block_size=PAGE)
    expected = learnt_of(asked, NEW)
    engine = engine_on(folder, dtype, settings)
    assert generated(engine, asked) == expected, "batched"
    before = engine.scheduler.pool.reused
    assert generated(engine, asked) == expected, "from a cache that has seen them"
    assert engine.scheduler.pool.reused >= before + 2 * PAGE
    assert [generated(engine, [prompt])[0] for prompt in asked] == expected, "alone"
    assert generated(engine_on(folder, dtype, settings._replace(pass_tokens=64)), asked) == expected, "in chunks"
    one = bytes_per_block(engine.runner.cache.heads, PAGE, dtype)
    narrow, growing = engine_on(folder, dtype, settings._replace(cache_bytes=5 * one)), beginnings((240, 246, 250))
    assert generated(narrow, growing) == learnt_of(growing, NEW), "preempted"
    assert narrow.scheduler.preemptions > 0


@GPU
@pytest.mark.parametrize("family", ["llama", "mixtral", "gpt2", "bloom", "llama-dynamic"])
def test_in_single_precision_a_gpu_generates_what_transformers_does_on_a_cpu(family: str, made: Made) -> None:
    folder, expected = made(family)
    settings = Settings("cuda", block_size=4, cache_bytes=1 << 22, max_length=64)
    engine = engine_of(folder, settings)
    assert engine.runner.steps is None, "nothing is recorded where attention waits for the host"
    assert tokens_of(engine, prompts()) == expected, "batched"
    assert tokens_of(engine, prompts()) == expected, "from a cache that has seen them"
    assert tokens_of(engine_of(folder, settings._replace(pass_tokens=5)), prompts()) == expected, "in chunks"
    one = bytes_per_block(engine.runner.cache.heads, 4, torch.float32)
    narrow = engine_of(folder, settings._replace(cache_bytes=20 * one))
    assert tokens_of(narrow, prompts()) == expected
    assert narrow.scheduler.preemptions > 0


# --- graphs ---


def watched(of: Steps) -> list[int]:
    """Have every pass that is replayed computed once more as it comes, to the same bits; how many were in each."""
    inner, counts = of.run, list[int]()

    def run(ids: Sequence[int], positions: Sequence[int], parts: Sequence[Part]) -> Tensor:
        form = of.form(parts)
        replayed = form in of.recorded
        logits = inner(ids, positions, parts).clone()
        if replayed:
            assert torch.equal(of.compute(form)[: len(parts)], logits)
            counts.append(len(parts))
        return logits

    of.run = run  # type: ignore[method-assign]
    return counts


@GPU
@pytest.mark.parametrize("family", FAMILIES)
def test_a_graph_computes_what_it_recorded_and_generates_what_goes_without(
    family: str, learnt: Learnt, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "NEAR", 64)
    if family == "mixtral" and torch.cuda.get_device_capability() < (9, 0):
        pytest.skip("the experts' kernel is for newer GPUs, and what stands in for it on others waits for the host")
    folder, asked = learnt(family, torch.bfloat16), [*beginnings(), *beginnings((9, 100))]
    settings = ROOM._replace(device="cuda", sequences=6)
    plain, engine = (
        engine_on(folder, torch.bfloat16, settings._replace(cuda_graphs=wanted)) for wanted in (False, True)
    )
    assert plain.runner.steps is None
    assert plain.runner.cache.blocks == plain.scheduler.pool.count
    assert engine.runner.steps is not None
    assert engine.runner._backend is Varlen
    counts = watched(engine.runner.steps)
    expected = learnt_of(asked, NEW)
    for first, count in ((3, 1), (0, 1), (0, 2), (0, 3), (0, 5), (0, 6), (0, 7)):
        which = slice(first, first + count)
        assert generated(engine, asked[which]) == generated(plain, asked[which]) == expected[which]
    assert caplog.messages == [], "all could be recorded"
    assert {form.size for form in engine.runner.steps.recorded} == set(ladder(6))
    assert {form.reach for form in engine.runner.steps.recorded} == {64, 256, POSITIONS + 1}
    assert {1, 2, 3, 5, 6} <= set(counts)


@GPU
def test_what_waits_for_the_gpu_is_not_recorded_and_says_so(
    learnt: Learnt, caplog: pytest.LogCaptureFixture
) -> None:
    """And does no harm: what runs afterwards, and what is recorded of others afterwards, is as it was."""
    folder = learnt("llama", torch.bfloat16)
    settings = ROOM._replace(device="cuda")
    engine = engine_on(folder, torch.bfloat16, settings)
    model = engine.runner._model
    inner = model.compute_logits

    def waiting(hidden: Tensor) -> Tensor:
        assert hidden.sum().item() == hidden.sum().item()
        return inner(hidden)

    model.compute_logits = waiting  # type: ignore[method-assign]
    asked = beginnings()
    assert generated(engine, asked) == learnt_of(asked, NEW)
    assert engine.runner.steps is not None and engine.runner.steps.recorded == ()
    (told,) = caplog.messages
    assert told.startswith("passes of ")
    assert "without a CUDA graph" in told
    other = engine_on(folder, torch.bfloat16, settings)
    assert generated(other, asked) == learnt_of(asked, NEW)
    assert other.runner.steps is not None and other.runner.steps.recorded


# --- several GPUs ---


def learnt_on(group: ProcessGroup, folder: str) -> tuple[list[list[int]], tuple[Form, ...]]:
    """For `launch`: one rank's tokens, and what it recorded."""
    settings = ROOM._replace(device=group.device)
    engine = engine_on(Path(folder), torch.bfloat16, settings, group.size, group.rank, group)
    found = generated(engine, beginnings())
    recorded = engine.runner.steps.recorded if engine.runner.steps else ()
    engine.runner.close()
    return found, recorded


@GPU
@pytest.mark.parametrize("family", ["llama", "mixtral"])
def test_two_gpus_generate_what_one_does_with_graphs_on_both(family: str, learnt: Learnt) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    found = launch(2, learnt_on, str(learnt(family, torch.bfloat16)), device="cuda")
    assert [tokens for tokens, _ in found] == [learnt_of(beginnings(), NEW)] * 2
    assert found[0][1] == found[1][1] != ()


# --- memory ---

CROWD = 1 << 20
"""Sequences whose caches would take more than any GPU has."""


@GPU
def test_the_cache_takes_its_share_of_what_is_free(learnt: Learnt) -> None:
    before = free_bytes("cuda")
    settings = Settings("cuda", max_length=POSITIONS + 1, sequences=CROWD, cuda_graphs=False)
    engine = engine_on(learnt("llama", torch.bfloat16), torch.bfloat16, settings)
    taken = engine.scheduler.pool.count * bytes_per_block(engine.runner.cache.heads, PAGE, torch.bfloat16)
    assert 0.9 * SHARE * before < taken <= SHARE * before
    assert before - taken - free_bytes("cuda") < 1 << 30, "and little else is taken"


@GPU
def test_a_cache_larger_than_the_gpu_is_one_line_and_harms_nobody(learnt: Learnt) -> None:
    folder = learnt("llama", torch.bfloat16)
    engine = engine_on(folder, torch.bfloat16, ROOM._replace(device="cuda"))
    free = torch.cuda.mem_get_info()[1]
    settings = Settings("cuda", max_length=POSITIONS + 1, sequences=CROWD, cache_bytes=2 * free)
    with pytest.raises(MemoryError) as raised:
        engine_on(folder, torch.bfloat16, settings)
    said = str(raised.value)
    assert said.startswith("no memory for the cache of rank 0: ")
    assert "free on cuda" in said
    assert "\n" not in said
    assert generated(engine, beginnings()) == learnt_of(beginnings(), NEW)


@GPU
def test_a_fallback_is_chosen_where_the_paged_kernel_cannot(learnt: Learnt) -> None:
    settings = ROOM._replace(device="cuda")
    assert engine_on(learnt("llama", torch.float32), torch.float32, settings).runner._backend is PagedSdpa
    assert engine_on(learnt("llama", torch.bfloat16), torch.bfloat16, settings).runner._backend is Varlen
