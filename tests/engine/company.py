"""Requests, a scheduler and a model that is pretended, and what must hold in every step of serving them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32

from engine.cache.blocks import BlockPool
from engine.sampling.params import Sampling
from engine.serving.scheduler import Chunk, Limits, Scheduler
from engine.serving.sequence import Finish, Sequence

VOCABULARY = 5
EOS = 4


class Request(NamedTuple):
    """What a user does."""

    prompt: tuple[int, ...]
    sampling: Sampling
    salt: int = 0
    arrives: int = 0
    """Before this step."""
    leaves: int | None = None
    """In this step, if it still runs or waits: between `step` and `update`, or after both."""
    in_flight: bool = False
    reason: Finish = "abort"


class Setup(NamedTuple):
    """What the requests meet with."""

    blocks: int = 100
    size: int = 4
    tokens: int = 100
    sequences: int = 100
    length: int = 100
    caching: bool = True

    def scheduler(self) -> Scheduler:
        pool = BlockPool(self.blocks, self.size, self.caching)
        return Scheduler(pool, Limits(self.tokens, self.sequences, self.length), frozenset({EOS}))

    @property
    def longest(self) -> int:
        """What a sequence may have: the model's length, or one more than the cache holds."""
        return min(self.length, self.blocks * self.size + 1)


def mixed(state: int, token: int) -> int:
    """A number that depends on a token and on all before it, as keys and values do."""
    return crc32(b"%d,%d" % (state, token))


def alone(request: Request, longest: int) -> tuple[list[int], Finish]:
    """What a request generates without scheduler and cache, and why it ends."""
    state, generated, sampling = request.salt, list[int](), request.sampling
    for token in request.prompt:
        state = mixed(state, token)
    while True:
        generated.append(state % VOCABULARY)
        if generated[-1] in sampling.stop_ids or (generated[-1] == EOS and not sampling.ignore_eos):
            return generated, "stop"
        if len(generated) == sampling.max_tokens or len(request.prompt) + len(generated) == longest:
            return generated, "length"
        state = mixed(state, generated[-1])


class PretendModel:
    """A cache, and a model that knows nothing but what it finds there: each state is made of the cell before it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.cells: dict[tuple[int, int], tuple[int, int]] = {}
        """(block, offset) -> (id, state)."""
        self.computed = 0

    def cell(self, sequence: Sequence, position: int) -> tuple[int, int]:
        return sequence.blocks[position // self.size], position % self.size

    def run(self, chunks: list[Chunk]) -> list[int]:
        """The next ids, after all have looked at what was there before the pass."""
        states = [self.look_back(chunk) for chunk in chunks]
        written = Counter[tuple[int, int]]()
        drawn = []
        for chunk, state in zip(chunks, states, strict=True):
            for position in range(chunk.start, chunk.stop):
                state = mixed(state, chunk.sequence.ids[position])
                cell = self.cell(chunk.sequence, position)
                self.cells[cell] = chunk.sequence.ids[position], state
                written[cell] += 1
            if chunk.sampled:
                drawn.append(state % VOCABULARY)
        assert not written or max(written.values()) == 1, "two sequences write to one cell"
        self.computed += sum(written.values())
        return drawn

    def look_back(self, chunk: Chunk) -> int:
        sequence, state = chunk.sequence, chunk.sequence.salt
        for position in range(chunk.start):
            state = mixed(state, sequence.ids[position])
            assert self.cells[self.cell(sequence, position)] == (sequence.ids[position], state)
        return state


class Service:
    """A scheduler and a pretended model, and what must hold in every step."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.scheduler = setup.scheduler()
        self.model = PretendModel(setup.size)
        self.live: dict[int, Sequence] = {}
        self.started: list[int] = []
        """Numbers in the order of their first chunks."""

    def add(self, number: int, request: Request) -> Sequence:
        sequence = Sequence(number, request.prompt, request.sampling, request.salt)
        self.scheduler.add(sequence)
        self.live[number] = sequence
        return sequence

    def step(self, leaving: Iterable[tuple[Sequence, Request]] = ()) -> None:
        company = list(leaving)
        chunks = self.scheduler.step()
        self.examine(chunks)
        drawn = self.model.run(chunks)
        self.leave(pair for pair in company if pair[1].in_flight)
        going = [chunk.sequence for chunk in chunks if chunk.sequence.finish is None]
        self.scheduler.update(chunks, drawn)
        ended = [sequence for sequence in going if sequence.finish is not None]
        assert all(sequence.finish in ("stop", "length") and sequence.number in self.live for sequence in ended)
        self.leave(pair for pair in company if not pair[1].in_flight)
        self.live = {number: sequence for number, sequence in self.live.items() if sequence.finish is None}
        self.scheduler.check_integrity()
        self.scheduler.pool.check_integrity(self.live.values())

    def leave(self, pairs: Iterable[tuple[Sequence, Request]]) -> None:
        for sequence, request in pairs:
            if sequence.finish is None:
                self.scheduler.finish(sequence, request.reason)
                assert not sequence.blocks

    def examine(self, chunks: list[Chunk]) -> None:
        assert bool(chunks) == bool(self.live), "there is work while there is anybody"
        widths = [stop - start for _, start, stop in chunks]
        assert all(width > 0 for width in widths)
        assert sum(widths) <= self.setup.tokens
        assert len(chunks) <= self.setup.sequences
        assert all(chunk.start == chunk.sequence.computed for chunk in chunks)
        assert [chunk.sequence.number for chunk in chunks] == list(self.live)[: len(chunks)], "the oldest, in order"
        assert all(chunk.sampled for chunk in chunks[:-1]), "only the last is cut"
        self.started += [chunk.sequence.number for chunk in chunks if chunk.sequence.number not in self.started]
        if sum(widths) < self.setup.tokens and len(chunks) < min(self.setup.sequences, len(self.live)):
            self.examine_the_left_out(list(self.live.values())[len(chunks)], len(chunks))

    def examine_the_left_out(self, first: Sequence, before: int) -> None:
        """A pass with room left leaves the next one out only for want of blocks."""
        pool = self.scheduler.pool
        held = sum(sequence.number in self.scheduler.running for sequence in self.live.values())
        spare = held if first.number in self.scheduler.waiting else 0
        assert held - before in (0, 1)
        missing = -(-first.length // self.setup.size) - len(first.blocks)
        assert self.setup.caching or pool.available < missing + spare

    @property
    def capacity_is_whole(self) -> bool:
        return self.scheduler.pool.available == self.setup.blocks


def serve(setup: Setup, requests: list[Request]) -> tuple[Service, list[Sequence]]:
    """All of them to their ends, each when it arrives."""
    service, sequences = Service(setup), list[Sequence]()
    coming = sorted(requests, key=lambda request: request.arrives)
    step = 0
    while len(sequences) < len(coming) or service.live:
        while len(sequences) < len(coming) and coming[len(sequences)].arrives <= step:
            sequences.append(service.add(len(sequences), coming[len(sequences)]))
        pairs = list(zip(sequences, coming, strict=False))
        service.step(pair for pair in pairs if pair[1].leaves == step)
        step += 1
    assert not service.scheduler.busy
    assert service.capacity_is_whole
    for sequence, request in zip(sequences, coming, strict=True):
        examine_the_output(sequence, request, setup)
    return service, sequences


def examine_the_output(sequence: Sequence, request: Request, setup: Setup) -> None:
    expected, reason = alone(request, setup.longest)
    assert tuple(sequence.ids) == request.prompt + tuple(sequence.generated)
    if sequence.finish == reason and sequence.generated == expected:
        return
    assert sequence.finish == request.reason, "only who leaves ends otherwise than alone"
    assert request.leaves is not None
    assert sequence.generated == expected[: len(sequence.generated)]
