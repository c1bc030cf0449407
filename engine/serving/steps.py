"""Passes in which every sequence goes on by one token, in a form that can be recorded once and replayed.

Such a pass is some hundred kernels, each of which a GPU computes in less time than Python takes to start it. All of
them recorded are started at once, but compute with the same shapes at the same addresses every time. So what differs
from pass to pass lies in buffers that stay, and a pass is padded to one of a few sizes with sequences of nobody's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from engine.attention.batch import Part, Pass, make_pass, send
from engine.attention.choice import Backend
from engine.cache.tensors import KVCache
from engine.models.contract import CausalLM
from engine.parallel import ALONE, Group, from_all

Replay: TypeAlias = Callable[[], Tensor]
"""Does what was recorded, anew, and gives the tensor that it is written to: the same one every time."""
NEAR = 1024
"""Keys: shorter sequences are not told apart, and longer ones by factors of 4. A sequence that a kernel expects to be
far longer than it is keeps a few threads busy where many are waiting."""
Record: TypeAlias = Callable[[Callable[[], Tensor]], Replay]
"""Records what a function does on the device. Raises Unrecordable; what the function raises by itself is raised too."""
LOG = logging.getLogger(__name__)


class Unrecordable(RuntimeError):
    """The function has done what it does, or would, on each rank: only the recording has failed."""


class Bounds(NamedTuple):
    """Of the passes that are recorded."""

    sequences: int
    """The most in a pass."""
    length: int
    """The most keys of a sequence."""
    nobody: int
    """A block that is never given to a sequence: where padding has its keys."""


class Form(NamedTuple):
    """Passes that are alike to a recording."""

    size: int
    """Sequences, with padding."""
    reach: int
    """The most keys of one: by it the kernel plans among how many threads it divides them."""


def ladder(most: int, first: int = 1, factor: int = 2) -> tuple[int, ...]:
    """Sizes that are each `factor` times the one before, and `most`: what lies between is rounded up."""
    return (first, *ladder(most, first * factor, factor)) if first < most else (most,)


class Steps:
    """Pads passes and computes them: each form first as it comes, then from a recording."""

    def __init__(
        self, model: CausalLM, cache: KVCache, backend: Backend, bounds: Bounds, record: Record,
        device: str | torch.device = "cpu", group: Group = ALONE,
    ) -> None:  # fmt: skip
        self._model = model
        self._cache = cache
        self._backend = backend
        self._bounds = bounds
        self._record: Record | None = record
        self._group = group
        self._sizes = ladder(bounds.sequences)
        self._reaches = ladder(bounds.length, NEAR, 4)
        self._replays: dict[Form, Replay] = {}
        make = partial(torch.zeros, bounds.sequences, dtype=torch.int64, device=device)
        self._ids, self._positions, self._slots, self._origins = make(), make(), make(), make()
        self._starts = torch.arange(bounds.sequences + 1, dtype=torch.int32, device=device)
        self._lengths = torch.ones(bounds.sequences, dtype=torch.int32, device=device)
        width = -(-bounds.length // cache.size)
        self._tables = torch.full((bounds.sequences, width), bounds.nobody, dtype=torch.int32, device=device)

    @property
    def recorded(self) -> tuple[Form, ...]:
        """What is replayed."""
        return tuple(self._replays)

    def suits(self, parts: Sequence[Part]) -> bool:
        """Whether each sequence goes on by one token, and the pass is recorded or can still be."""
        if len(parts) > self._bounds.sequences or any(stop - start > 1 for start, stop, _, _ in parts):
            return False
        return self._record is not None or self.form(parts) in self._replays

    def run(self, ids: Sequence[int], positions: Sequence[int], parts: Sequence[Part]) -> Tensor:
        """Logits (sequences, vocab) in the model's type, of the id and the position of each; true until the next run.

        The first of a form is computed as it comes: whatever is made on first use is there when it is recorded.
        """
        form = self.form(parts)
        self._fill(ids, positions, parts, form.size)
        if form in self._replays:
            return self._replays[form]()[: len(parts)]
        logits = self.compute(form)
        self._keep(form)
        return logits[: len(parts)]

    def form(self, parts: Sequence[Part]) -> Form:
        """What such a pass is padded to."""
        longest = max(stop for _, stop, _, _ in parts)
        return Form(_at_least(len(parts), self._sizes), _at_least(longest, self._reaches))

    def compute(self, form: Form) -> Tensor:
        """Logits (size, vocab) of what the buffers say: all that is recorded."""
        size = form.size
        batch = Pass(
            self._starts[: size + 1], self._lengths[:size], self._tables[:size], self._slots[:size],
            self._origins[:size], 1, form.reach,
        )  # fmt: skip
        attention = self._backend(batch, self._cache)
        return self._model.compute_logits(self._model.forward(self._ids[:size], self._positions[:size], attention))

    def _fill(self, ids: Sequence[int], positions: Sequence[int], parts: Sequence[Part], size: int) -> None:
        """Rows of padding are at the beginning of a sequence; all write the same to the same place.

        What earlier passes left to the right of the tables is beyond every sequence's length.
        """
        padding = [0] * (size - len(parts))
        nobody: Part = (0, 1, [self._bounds.nobody], 1)
        batch = make_pass([*parts, *(nobody for _ in padding)], self._cache.size, self._ids.device)
        sent = send([*ids, *padding, *positions, *padding], self._ids.device).split(size)
        buffers = self._ids, self._positions, self._lengths, self._slots, self._origins
        for buffer, now in zip(buffers, (*sent, batch.lengths, batch.slots, batch.origins), strict=True):
            buffer[:size].copy_(now)
        self._tables[:size, : batch.tables.shape[1]].copy_(batch.tables)

    def _keep(self, form: Form) -> None:
        """Record it. Where one rank cannot, none does, and no further form is tried; nor after any other failure."""
        assert self._record is not None, "suits() has not been asked"
        record, self._record = self._record, None
        replay = self._attempt(record, form)
        everywhere = all(made for (made,) in from_all([replay is not None], self._group, self._ids.device))
        if replay is not None and everywhere:
            self._replays[form], self._record = replay, record

    def _attempt(self, record: Record, form: Form) -> Replay | None:
        """What cannot be recorded is told in one line by the rank that finds it: all goes on as before, only slower.

        Any other failure is one of the pass, as the ranks may be at different collectives by then.
        """
        try:
            return record(partial(self.compute, form))
        except Unrecordable as error:
            LOG.warning("passes of %d tokens run without a CUDA graph: %s", form.size, first_cause(error))
            return None


def _at_least(number: int, sizes: Sequence[int]) -> int:
    return next(size for size in sizes if size >= number)


def first_cause(error: BaseException) -> str:
    """One line of what was raised first: a recording that is broken off fails once more, of having been broken off."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error).strip().partition("\n")[0] or type(error).__name__
