"""Copies by way of two buffers give what copies give, however late they arrive, and are told of when they have."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from engine.loading import staging as module
from engine.loading.build import build
from engine.loading.loader import Loader
from engine.loading.recorder import NullRecorder
from engine.loading.sources import MappedWeights
from engine.loading.staging import APART, CudaWire, Staging, pieces
from tests.engine.checkpoints import reference, save
from tests.mappings.laws import law
from tracer.checkpoint.weights import map_file
from tracer.prepare import Prepared, Request, prepare


@st.composite
def views(draw: st.DrawFn) -> Tensor:
    """Some elements of a tensor, in any order of dimensions; each has a number of its own."""
    sizes = draw(st.lists(st.integers(0, 7), max_size=4))
    numbers = torch.arange(torch.Size(sizes).numel()).view(sizes)
    for dim in range(len(sizes)):
        start, step = draw(st.integers(0, 2)), draw(st.integers(1, 3))
        numbers = numbers[(slice(None),) * dim + (slice(start, None, step),)]
    return numbers.permute(draw(st.permutations(range(len(sizes)))))


@law
@given(views(), st.integers(1, 40))
def test_pieces_cover_every_element_exactly_once(src: Tensor, most: int) -> None:
    dst, writes = torch.full_like(src, -1), []
    for to, of in pieces(dst, src, most):
        assert 0 < to.numel() == of.numel() <= most
        assert (to == -1).all(), "nobody has written here"
        to.copy_(of)
        writes.append(of.numel())
    assert torch.equal(dst, src)
    assert sum(writes) == src.numel()


@law
@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 600))
def test_there_are_no_more_pieces_than_rows_ask_for(rows: int, columns: int, most: int) -> None:
    count = len(list(pieces(torch.empty(rows, columns), torch.empty(rows, columns), most)))
    together = max(1, most // columns)
    assert count == -(-rows // together) * (1 if columns <= most else -(-columns // most))


class Late:
    """A wire on which nothing goes until somebody waits for it."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], object]] = deque()
        self.sent = self.arrived = self.waits = 0

    def buffer(self, nbytes: int) -> Tensor:
        return torch.full((nbytes,), 255, dtype=torch.uint8)

    def send(self, dst: Tensor, staged: Tensor) -> None:
        assert staged.is_contiguous()
        assert (dst.dtype, dst.shape) == (staged.dtype, staged.shape)
        self.waiting.append(partial(dst.copy_, staged))
        self.sent += 1

    def mark(self) -> Callable[[], None]:
        upto = self.sent

        def wait() -> None:
            self.waits += 1
            while self.arrived < upto:
                self.waiting.popleft()()
                self.arrived += 1

        return wait


def plainly(staged: Tensor, src: Tensor) -> None:
    staged.copy_(src)


TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int8, torch.float8_e4m3fn)


@st.composite
def copies(draw: st.DrawFn) -> list[tuple[Tensor, Tensor]]:
    """Destinations that are views of something larger, and sources of the same or another type."""
    found = []
    for seed in range(draw(st.integers(1, 12))):
        noise = torch.Generator().manual_seed(seed)
        rows, columns = draw(st.integers(0, 40)), draw(st.integers(1, 60))
        to, of = draw(st.sampled_from(TYPES)), draw(st.sampled_from(TYPES))
        dst = torch.zeros(rows, columns + 3).to(to)[:, 2 : columns + 2]
        wide = torch.randn(columns, rows, generator=noise).to(of).t() if draw(st.booleans()) else None
        found.append((dst, torch.randn(columns, generator=noise).to(of) if wide is None else wide))
    return found


@law
@given(copies(), st.sampled_from([APART, 2 * APART, 3 * APART, 1 << 14]))
def test_what_arrives_late_is_what_a_copy_gives(asked: list[tuple[Tensor, Tensor]], room: int) -> None:
    """No buffer is filled anew before all that was sent from it has arrived; a CPU's rounding is kept."""
    staging = Staging(Late(), room)
    for dst, src in asked:
        staging.copy(dst, src, plainly)
    staging.settle()
    for dst, src in asked:
        assert torch.equal(dst.double(), torch.empty_like(dst).copy_(src).double())


def test_a_piece_is_brought_while_others_are_on_their_way() -> None:
    wire, on_their_way = Late(), []
    staging = Staging(wire, 4 * APART)

    def fill(staged: Tensor, src: Tensor) -> None:
        on_their_way.append(len(wire.waiting))
        staged.copy_(src)

    staging.copy(torch.empty(40 * APART, dtype=torch.uint8), torch.ones(40 * APART, dtype=torch.uint8), fill)
    assert on_their_way == [0] + [1] * 9, "that of the other buffer, and no more"
    before = wire.waits
    for _ in range(8):
        staging.copy(torch.empty(9), torch.ones(9), fill)
    assert on_their_way[10:] == [1, 2, 3, 4, 4, 5, 6, 7], "short ones share a buffer"
    assert wire.waits == before + 2


# --- loads ---


class Suspicious(NullRecorder):
    """Looks whether what it is told of is there."""

    def __init__(self) -> None:
        self.copies = 0

    def copied(self, src: Tensor, dst: Tensor, row: str, shard: str | int | None, op: str | None) -> None:
        assert op is not None or torch.equal(self.seen(dst), src.to(dst.dtype).expand(dst.shape)), f"{row} is not there"
        self.copies += 1

    def seen(self, dst: Tensor) -> Tensor:
        return dst


def filled(prepared: Prepared, rank: int, wire: Late | None) -> tuple[dict[str, Tensor], Suspicious]:
    """A rank's parameters; with a wire, as if they were on a GPU."""
    params = build(prepared.plan, rank).params
    for param in params.values():
        param.data.fill_(torch.nan)
    source, recorder = MappedWeights(prepared.folder, prepared.infos, map_file), Suspicious()
    if wire is not None:
        source._staging = Staging(wire, 2 * APART)
    Loader(prepared.plan, rank, source, recorder).load(params)
    return params, recorder


@pytest.mark.parametrize(("family", "dtype"), [("llama", None), ("gpt2", None), ("mixtral", "bfloat16")])
def test_a_load_by_wire_fills_what_a_load_does_and_tells_when_it_is_there(
    family: str, dtype: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it tells after every copy: transposed, cut over ranks, of another type, a tensor in pieces."""
    save(family, reference(family), tmp_path)
    prepared = prepare(Request(str(tmp_path), 2, dtype=dtype))
    monkeypatch.setattr("engine.loading.loader.TELL_SECONDS", 0.0)
    for rank in range(2):
        wire = Late()
        (expected, plain), (found, told) = filled(prepared, rank, None), filled(prepared, rank, wire)
        assert told.copies == plain.copies > 0
        assert wire.sent == wire.arrived > plain.copies
        for name, param in expected.items():
            assert param.isfinite().all()
            assert torch.equal(found[name], param), name


# --- where memory cannot be pinned ---


class Unpinned(Late):
    """A wire to a GPU from a system that pins nothing."""

    buffer = CudaWire.buffer


def test_where_no_memory_can_be_pinned_a_load_goes_without_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is host memory that lacks, and none that a larger tp would save."""
    plain = torch.empty

    def empty(*sizes: Any, pin_memory: bool = False, **options: Any) -> Tensor:
        if pin_memory:
            raise RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA")
        return plain(*sizes, **options)

    save("llama", reference("llama"), tmp_path)
    prepared = prepare(Request(str(tmp_path), 1))
    expected, _ = filled(prepared, 0, None)
    module._tell.cache_clear()
    monkeypatch.setattr(torch, "empty", empty)
    for _ in range(2):
        wire = Unpinned()
        found, _ = filled(prepared, 0, wire)
        assert wire.sent == wire.arrived > 0
        for name, param in expected.items():
            assert torch.equal(found[name], param), name
    assert caplog.messages == ["copies to the GPU go without pinned memory: CUDA error: out of memory"]
