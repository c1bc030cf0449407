"""Who computes what in the next pass.

Sequences join and leave from pass to pass (Orca, Yu et al., OSDI 2022), and a long prompt is computed in chunks beside
the others' next tokens (Sarathi-Serve, Agrawal et al., arXiv 2403.02310). All goes by order of arrival: those that run
are older than all that wait, so whoever is put back for want of blocks is the youngest, and is the next to be let in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from engine.cache.blocks import BlockPool
from engine.serving.refusal import check_length
from engine.serving.sequence import Finish, Sequence


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one pass, and of one sequence. Raises ValueError for one that lets nothing run."""

    tokens: int
    """The most ids computed in a pass."""
    sequences: int
    """The most sequences that run at once."""
    length: int
    """The longest sequence, what is generated included: the model's."""

    def __post_init__(self) -> None:
        for name, least in (("tokens", 1), ("sequences", 1), ("length", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"limits: {name}: expected at least {least}, found {getattr(self, name)}")


class Chunk(NamedTuple):
    """Compute `sequence.ids[start:stop]` in this pass; all before are in the cache, and blocks are there for these."""

    sequence: Sequence
    start: int
    stop: int

    @property
    def sampled(self) -> bool:
        """Whether the next id is to be drawn after the last of these. Until `update` has appended it."""
        return self.stop == self.sequence.length


class Scheduler:
    """step, compute, update, step, ...; in between, sequences may be added, finished and aborted at any time.

    While there is any, a step has work: the oldest that runs can always go on, for it gets the blocks of all others.
    """

    def __init__(self, pool: BlockPool, limits: Limits, eos: AbstractSet[int] = frozenset()) -> None:
        """`eos`: the ids by which the model ends a text."""
        self.pool = pool
        self.limits = limits
        self.eos = eos
        self.longest = min(limits.length, pool.capacity + 1)
        """Ids at which a sequence ends with "length". The last of them is not computed, hence the one above the
        cache's capacity. It does not depend on the company, so that a sequence ends alike in any."""
        self.running: dict[int, Sequence] = {}
        """By number, in order of arrival. All but the last, and any that was restarted, have one id left to compute."""
        self.waiting: OrderedDict[int, Sequence] = OrderedDict()
        """By number, in order of arrival; all are younger than those that run."""
        self.preemptions = 0
        self._newest = -1

    @property
    def busy(self) -> bool:
        """Whether any sequence has not ended."""
        return bool(self.running or self.waiting)

    def check(self, prompt: int) -> None:
        """Raises ValueError where a prompt of so many ids could never be served."""
        check_length(prompt, self.limits.length)
        if prompt > self.pool.capacity:
            raise ValueError(
                f"prompt of {prompt} ids: needs {self.pool.blocks_for(prompt)} blocks of {self.pool.size}, "
                f"the cache has {self.pool.count}"
            )

    def add(self, sequence: Sequence) -> None:
        """Let it wait. Raises ValueError, and changes nothing, where it cannot be served."""
        sequence.sampling.check()
        self.check(sequence.length)
        assert sequence.number > self._newest, f"sequence {sequence.number} is added after {self._newest}"
        self._newest = sequence.number
        self.waiting[sequence.number] = sequence

    def step(self) -> list[Chunk]:
        """The work of the next pass, in order of arrival; none only where nobody is left."""
        chunks: list[Chunk] = []
        budget = self.limits.tokens
        for sequence in list(self.running.values()):
            # Each was let in beside all before it with at least one id; only one that was restarted takes more.
            if not budget or not self._has_room(sequence):
                break
            chunks.append(_chunk(sequence, budget))
            budget -= chunks[-1].stop - chunks[-1].start
        while budget and (admitted := self._admit()) is not None:
            chunks.append(_chunk(admitted, budget))
            budget -= chunks[-1].stop - chunks[-1].start
        return chunks

    def update(self, chunks: Iterable[Chunk], tokens: Iterable[int]) -> None:
        """Note that a step's chunks are computed; `tokens` are the ids drawn, one for each that is `sampled`.

        What was ended since the step is passed over.
        """
        drawn = iter(tokens)
        for chunk in chunks:
            token = next(drawn) if chunk.sampled else None
            if chunk.sequence.finish is None:
                self._note(chunk, token)
        assert next(drawn, None) is None, "more ids were drawn than asked for"

    def finish(self, sequence: Sequence, reason: Finish) -> None:
        """End it and free its blocks at once.

        One that has ended already takes a new reason, since a text that stops it may be found in the very id that
        made it too long; but it cannot be aborted any more.
        """
        if sequence.finish is None:
            if self.running.pop(sequence.number, None) is None:
                del self.waiting[sequence.number]
            self.pool.free(sequence)
        elif reason == "abort":
            return
        sequence.finish = reason

    def abort(self, sequence: Sequence) -> None:
        """End it, wherever it is; nothing happens to one that has ended."""
        self.finish(sequence, "abort")

    def restart(self, sequence: Sequence, salt: int) -> None:
        """Compute it anew from its first id on, under another salt: what the cache holds of it is no longer true.

        It keeps its turn, at the cost of younger ones where its blocks are shared and there are too few others.
        """
        sequence.salt, sequence.told = salt, sequence.length
        sequence.keys.clear()
        if sequence.number not in self.running:
            return
        self.pool.free(sequence)
        while sequence.number in self.running and not self.pool.begin(sequence):
            self._preempt()

    def check_integrity(self) -> None:
        """Raises AssertionError where blocks, tables and the order of arrival do not agree."""
        order = [*self.running.values(), *self.waiting.values()]
        assert [*self.running, *self.waiting] == sorted(sequence.number for sequence in order)
        assert all(sequence.finish is None and sequence.computed < sequence.length for sequence in order)
        assert not any(sequence.blocks or sequence.computed for sequence in self.waiting.values())
        self.pool.check_integrity(order)

    def _has_room(self, sequence: Sequence) -> bool:
        """See that a running one has blocks for its ids, at the cost of younger ones; False where it has to sit out."""
        while sequence.number in self.running:
            if self.pool.grow(sequence):
                return True
            if next(reversed(self.running)) == sequence.number:
                return False  # nobody older needs its blocks yet: it keeps them and waits for others to end
            self._preempt()
        return False

    def _preempt(self) -> None:
        """Put the youngest back; what it has published may still be there when it begins again."""
        number, sequence = self.running.popitem()
        self.pool.free(sequence)
        self.waiting[number] = sequence
        self.waiting.move_to_end(number, last=False)
        self.preemptions += 1

    def _admit(self) -> Sequence | None:
        """Let the first of those that wait run; None where there is none or no room for it.

        A block is left for each that runs already: else most that are let in are soon put back, their work lost.
        """
        if not self.waiting or len(self.running) >= self.limits.sequences:
            return None
        number = next(iter(self.waiting))
        sequence = self.waiting[number]
        if not self.pool.begin(sequence, spare=len(self.running)):
            return None
        del self.waiting[number]
        self.running[number] = sequence
        return sequence

    def _note(self, chunk: Chunk, token: int | None) -> None:
        sequence = chunk.sequence
        assert chunk.start == sequence.computed, f"sequence {sequence.number} is not where this chunk begins"
        sequence.computed = chunk.stop
        self.pool.publish(sequence, chunk.start)
        if token is None:
            return
        sequence.ids.append(token)
        reason = self._end(sequence)
        if reason is not None:
            self.finish(sequence, reason)

    def _end(self, sequence: Sequence) -> Finish | None:
        """Whether the last id ends it."""
        sampling, last = sequence.sampling, sequence.ids[-1]
        if last in sampling.stop_ids or (last in self.eos and not sampling.ignore_eos):
            return "stop"
        generated = sequence.length - len(sequence.prompt)
        return "length" if generated >= sampling.max_tokens or sequence.length >= self.longest else None


def _chunk(sequence: Sequence, budget: int) -> Chunk:
    return Chunk(sequence, sequence.computed, min(sequence.length, sequence.computed + budget))
