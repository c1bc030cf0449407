"""Passes that are padded and replayed compute what others compute, and rows of nobody's touch what is nobody's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine.attention.choice import Backend
from engine.attention.paged import PagedSdpa
from engine.attention.varlen import Varlen
from engine.cache.tensors import KVCache
from engine.models.contract import CausalLM
from engine.parallel import ALONE, Group
from engine.sampling.params import Sampling
from engine.serving import steps
from engine.serving.runner import Runner, survey
from engine.serving.scheduler import Chunk
from engine.serving.sequence import Sequence as Request
from engine.serving.serve import Settings
from engine.serving.steps import Bounds, Record, Replay, Steps, Unrecordable, first_cause, ladder
from tests.engine.checkpoints import VOCABULARY, load, reference, save
from tests.engine.paged_kernel import NEEDS_PAGED, replaced
from tests.engine.test_generation import Made, engine_of, made, prompts, tokens_of
from tests.mappings.laws import law
from tests.threads import one_thread

__all__ = ["made", "one_thread"]
SIZE, LENGTH, MOST = 4, 40, 6
FAMILIES = ("llama", "llama-dynamic", "mistral", "mixtral-window", "gpt2", "bloom")


@law
@given(st.integers(1, 9000))
def test_each_number_of_sequences_has_a_size_and_none_is_padded_to_twice_its_own(most: int) -> None:
    sizes = ladder(most)
    assert list(sizes) == sorted(set(sizes))
    assert sizes[-1] == most
    for count in {1, *range(2, most, 7), most}:
        assert count <= next(size for size in sizes if size >= count) < 2 * count
    assert ladder(most, 1024, 4) == (*(size for size in (1024, 4096) if size < most), most)


# --- a few sequences, of which each pass computes some ---


def anew(compute: Callable[[], Tensor]) -> Replay:
    """No recording: what is replayed is computed once more."""
    return compute


class Tape(TorchDispatchMode):
    """Records as CUDA does: operations, and tensors by their addresses. Whatever Python made of a tensor's numbers is
    as it was then, and to ask for one is forbidden.
    """  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten.item.default, torch.ops.aten._local_scalar_dense.default):
            raise RuntimeError("not permitted while it is recorded")
        out = func(*args, **(kwargs or {}))
        self.done.append((func, args, kwargs or {}, out))
        return out

    def play(self) -> None:
        for func, args, kwargs, out in self.done:
            for old, new in zip(tree_leaves(out), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():  # else a view, or changed in place
                    old.copy_(new)


def taped(compute: Callable[[], Tensor]) -> Replay:
    try:
        with Tape() as tape:
            out = compute()
    except RuntimeError as error:
        raise Unrecordable(str(error)) from error

    def replay() -> Tensor:
        tape.play()
        return out

    return replay


def dense(
    q: Tensor, k: Tensor, v: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int, *, scale: float,
    window_size: tuple[int, int], enable_gqa: bool, seqused_k: Tensor, block_table: Tensor, num_splits: int | None,
) -> Tensor:  # fmt: skip
    """PyTorch's paged kernel for single queries, without asking a tensor for a number; not read is what is not used."""
    assert (max_q, len(cu_seq_q)) == (1, len(q) + 1)
    assert k.shape[1] * block_table.shape[1] >= max_k
    place = torch.arange(block_table.shape[1] * k.shape[1])
    used = (place < seqused_k[:, None]) & (place < max_k)
    if window_size[0] >= 0:
        used &= place >= seqused_k[:, None] - 1 - window_size[0]
    keys, values = (
        torch.where(used[..., None, None], x[block_table.long()].flatten(1, 2), 0).repeat_interleave(
            q.shape[1] // k.shape[2], 2
        )
        for x in (k, v)
    )
    scores = torch.einsum("shd,skhd->shk", q, keys) * scale
    return torch.einsum("shk,skhd->shd", scores.masked_fill(~used[:, None], -torch.inf).softmax(-1), values)


def blank(model: CausalLM, blocks: int) -> KVCache:
    """A cache in which whoever reads what nobody wrote finds NaN."""
    found = survey(model, "cpu")
    cache = KVCache(list(found.heads.values()), blocks, SIZE, found.dtype)
    for layer in found.heads:
        for pages in cache.pages(layer):
            pages.fill_(torch.nan)
    return cache


class Company:
    """Sequences of different lengths on scattered blocks, in a cache of their own, behind one model."""

    def __init__(
        self, model: CausalLM, record: Record | None, backend: Backend = PagedSdpa, group: Group = ALONE
    ) -> None:  # fmt: skip
        draw, each = torch.Generator().manual_seed(4), LENGTH // SIZE
        order = torch.randperm(MOST * each, generator=draw).tolist()
        self.sequences = [
            Request(number, tuple(torch.randint(3, VOCABULARY, (3 + 5 * number,), generator=draw).tolist()), Sampling())
            for number in range(MOST)
        ]
        for number, sequence in enumerate(self.sequences):
            sequence.blocks = order[number * each : (number + 1) * each]
        self.nobody = MOST * each
        self.cache = blank(model, self.nobody + 1)
        self.runner = Runner(model, self.cache)
        if record is not None:
            bounds = Bounds(MOST, LENGTH, self.nobody)
            self.runner.steps = Steps(model, self.cache, backend, bounds, record, group=group)
        self.told = self.advance(range(MOST))

    @property
    def recorded(self) -> list[int]:
        """Of how many sequences are the passes that are replayed."""
        assert self.runner.steps is not None
        return [form.size for form in self.runner.steps.recorded]

    def advance(self, which: Sequence[int]) -> Tensor:
        """A pass of these; its logits, by which each gets one more id."""
        chosen = [self.sequences[number] for number in which]
        chunks = [Chunk(each, each.computed, each.length) for each in chosen]
        logits = self.runner.run(chunks)
        for sequence, token in zip(chosen, logits.argmax(-1).tolist(), strict=True):
            sequence.computed = sequence.length
            sequence.ids.append(token)
        return logits

    def pages(self) -> list[Tensor]:
        return [pages for heads in self.cache.heads for pages in self.cache.pages(heads.layer)]


SCHEDULE = [[2], [0, 1, 2], [4, 1, 3], [5], [0, 1, 2, 3, 4], [5, 0], [3, 2, 5, 0], [2, 1], [1, 0, 5, 4, 2], range(MOST)]
"""Who takes part in a pass: each size comes more than once, and other sequences come in other places."""


def agree(ours: Company, plain: Company, schedule: Sequence[Sequence[int]] = tuple(SCHEDULE)) -> None:
    for which in schedule:
        torch.testing.assert_close(ours.advance(which), plain.advance(which), rtol=1e-4, atol=1e-5)
    assert [sequence.ids for sequence in ours.sequences] == [sequence.ids for sequence in plain.sequences]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], CausalLM]:
    root = tmp_path_factory.mktemp("steps")

    def one(family: str) -> CausalLM:
        if not (root / family).exists():
            save(family, reference(family), root / family)
        return load(root / family, 1)

    return one


Models = Callable[[str], CausalLM]


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_changes_nothing_for_any_number_of_sequences(family: str, models: Models) -> None:
    model = models(family)
    ours, plain = Company(model, anew), Company(model, None)
    agree(ours, plain)
    assert set(ours.recorded) == set(ladder(MOST))


def test_padding_writes_to_one_place_of_a_block_that_is_nobodys_and_to_no_other(models: Models) -> None:
    model = models("llama")
    ours, plain = Company(model, anew), Company(model, None)
    agree(ours, plain)
    for own, expected in zip(ours.pages(), plain.pages(), strict=True):
        torch.testing.assert_close(own[: ours.nobody], expected[: ours.nobody], rtol=1e-4, atol=1e-5, equal_nan=True)
        assert own[ours.nobody, 0].isfinite().all()
        assert own[ours.nobody, 1:].isnan().all()
        assert expected[ours.nobody].isnan().all()


@NEEDS_PAGED
@pytest.mark.parametrize("family", ["llama", "mistral", "qwen3"])
def test_a_tape_of_a_size_replays_other_sequences_at_other_places(family: str, models: Models) -> None:
    """All that differs from pass to pass is in the buffers: nothing else does a recording see."""
    model = models(family)
    with replaced(dense):
        agree(Company(model, taped, Varlen), Company(model, None))


@NEEDS_PAGED
def test_short_sequences_are_not_computed_as_if_they_were_as_long_as_they_may_be(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "NEAR", 8)
    model = models("llama")
    with replaced(dense):
        ours = Company(model, taped, Varlen)
        agree(ours, Company(model, None), [[0], [0, 1], [0], [1], [5], [0, 5], [5], [0], [0], [0], [0], [0]])
    assert ours.runner.steps is not None
    assert ours.runner.steps.recorded == ((1, 8), (2, 32), (1, 32))


@NEEDS_PAGED
def test_a_tape_tells_what_python_had_a_hand_in(models: Models) -> None:
    """A kernel that plans by the lengths that it finds replays those of the first pass, and gives something else."""

    def planned(*args: Any, **options: Any) -> Tensor:
        return dense(*args, **options | {"seqused_k": torch.tensor(options["seqused_k"].tolist())})

    model = models("llama")
    with replaced(planned), pytest.raises(AssertionError, match="not close"):
        agree(Company(model, taped, Varlen), Company(model, None))


def test_passes_with_longer_chunks_or_more_sequences_are_no_steps(models: Models) -> None:
    model = models("llama")
    company = Company(model, anew)
    assert company.recorded == [], "prompts"
    found = company.runner.steps
    assert found is not None
    one, two = (3, 4, [0], 3), (3, 5, [0, 1], 3)
    assert found.suits([one] * MOST)
    assert not found.suits([one] * (MOST + 1))
    assert not found.suits([one, two])


@NEEDS_PAGED
def test_a_model_that_asks_for_a_number_is_not_recorded(models: Models, caplog: pytest.LogCaptureFixture) -> None:
    model = models("llama")
    inner = model.compute_logits

    def curious(hidden: Tensor) -> Tensor:
        return inner(hidden) if hidden.sum().item() < 1e9 else hidden

    model.compute_logits = curious  # type: ignore[method-assign]
    with replaced(dense):
        ours = Company(model, taped, Varlen)
        agree(ours, Company(model, None))
    assert ours.recorded == []
    assert caplog.messages == ["passes of 1 tokens run without a CUDA graph: not permitted while it is recorded"]


# --- where it cannot be recorded ---


def failing(at: int) -> Record:
    """Records this many sizes, then fails as CUDA does: of one thing, and then of having failed."""
    calls: list[int] = []

    def record(compute: Callable[[], Tensor]) -> Replay:
        calls.append(1)
        if len(calls) > at:
            try:
                raise RuntimeError("operation not permitted\nCompile with TORCH_USE_CUDA_DSA")
            finally:
                raise Unrecordable("operation failed due to a previous error")
        return compute

    return record


@pytest.mark.parametrize("at", [0, 2])
def test_what_cannot_be_recorded_runs_as_before_and_says_so_once(
    at: int, models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    model = models("mixtral")
    with caplog.at_level(logging.WARNING):
        ours = Company(model, failing(at))
        agree(ours, Company(model, None))
    assert ours.recorded == [1, 4][:at], "those that could be are replayed"
    size = {0: 1, 2: 6}[at]
    assert caplog.messages == [f"passes of {size} tokens run without a CUDA graph: operation not permitted"]


def test_no_rank_replays_what_another_could_not_record(models: Models, caplog: pytest.LogCaptureFixture) -> None:
    class Peer:
        """All but the third size are recorded on the other rank."""

        size = 2
        asked = 0

        def all_reduce(self, x: Tensor) -> Tensor:
            return x

        def all_gather(self, x: Tensor) -> Tensor:
            self.asked += 1
            return torch.cat([x, torch.full_like(x, self.asked != 3)])

    model, peer = models("llama"), Peer()
    ours = Company(model, anew, group=peer)
    agree(ours, Company(model, None))
    assert (ours.recorded, peer.asked) == ([1, 4], 3)
    assert caplog.messages == [], "that is the other's to tell"


def test_a_pass_that_fails_while_it_is_tried_is_no_failure_to_record(
    models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends as any pass without memory does; those that come after it go on, and are not recorded."""

    def without_memory(compute: Callable[[], Tensor]) -> Replay:
        raise torch.OutOfMemoryError("CUDA out of memory")

    model = models("llama")
    ours = Company(model, without_memory)
    with pytest.raises(torch.OutOfMemoryError):
        ours.advance(SCHEDULE[0])
    agree(ours, Company(model, None))
    assert ours.recorded == []
    assert caplog.messages == []


def test_the_first_cause_is_one_line() -> None:
    assert first_cause(RuntimeError("a\nb")) == "a"
    assert first_cause(RuntimeError()) == "RuntimeError"


# --- whole generations ---


@pytest.mark.parametrize("family", ["llama", "mixtral-window"])
def test_a_generation_in_steps_is_what_transformers_generates(family: str, made: Made) -> None:
    """Sequences join and leave, prompts come in chunks, and blocks run out, so that steps are of any company."""
    folder, expected = made(family)
    for settings in (Settings(cache_bytes=1 << 22), Settings(cache_bytes=20 * 1536, pass_tokens=5)):
        engine = engine_of(folder, settings._replace(block_size=SIZE, max_length=64))
        model, blocks = engine.runner._model, engine.scheduler.pool.count
        engine.runner = Runner(model, blank(model, blocks + 1))
        bounds = Bounds(settings.sequences, engine.scheduler.longest, blocks)
        engine.runner.steps = Steps(model, engine.runner.cache, PagedSdpa, bounds, anew)
        assert tokens_of(engine, prompts()) == expected
        assert engine.runner.steps.recorded
        assert (engine.scheduler.preemptions > 0) == (settings.pass_tokens == 5)


def test_on_a_cpu_no_block_is_kept_for_nobody(made: Made, tmp_path: Path) -> None:
    engine = engine_of(made("llama")[0], Settings(block_size=SIZE, cache_bytes=1 << 20))
    assert engine.runner.steps is None
    assert engine.runner.cache.blocks == engine.scheduler.pool.count
