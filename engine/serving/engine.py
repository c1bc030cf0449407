"""One rank's engine: requests in, tokens and text out, a pass at a time.

Every rank of a tensor-parallel group runs the same one on the same requests. Logits are the same bits on all of them,
as each is computed by one rank and given to all; so are the likeliest ids, and which requests end with an error. Ids
that are drawn need not be: processors add up probabilities in different ways. All ranks take those of rank 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from torch import Tensor

from engine.layers.rope import Rope
from engine.parallel import ALONE, Group
from engine.sampling.params import Sampling
from engine.sampling.sampler import Choice, NotFinite, Sampler
from engine.serving.refusal import check_prompt
from engine.serving.runner import Runner
from engine.serving.scheduler import Scheduler
from engine.serving.sequence import Sequence as Request
from engine.text import TextStream, Tokenizer


class Token(NamedTuple):
    """One more token of a request, or why there is none."""

    number: int
    choice: Choice | None
    """None where the request ends with an error."""
    text: str
    """What has become final by it; empty without a tokenizer, or while a character is incomplete."""
    finish: str | None
    """Why the request ends with it, `stop`, `length` or `error`; None if it goes on."""
    error: str = ""
    """What is wrong: the position of the last id that was computed, and what came of it."""


class Engine:
    """Serves requests by continuous batching."""

    def __init__(
        self, runner: Runner, scheduler: Scheduler, vocabulary: int, tokenizer: Tokenizer | None,
        rope: Rope | None = None, group: Group = ALONE,
    ) -> None:  # fmt: skip
        """`rope`: the rotary settings of a model whose keys depend on how long their sequence was; `group`: the ranks
        that serve the same.
        """  # fmt: skip
        self.scheduler = scheduler
        self.runner = runner
        self._sampler = Sampler(group)
        self._vocabulary = vocabulary
        self._tokenizer = tokenizer
        self._rope = rope
        self._streams: dict[int, TextStream] = {}
        self._requests: dict[int, Request] = {}
        self._arrived = 0

    def check(self, prompt: Sequence[int], sampling: Sampling) -> None:
        """Raises ValueError for a request that cannot be served."""
        longest = self.scheduler.limits.length
        check_prompt(prompt, sampling, self._vocabulary, longest, self._tokenizer is not None)
        self.scheduler.check(len(prompt))

    def add(self, prompt: Sequence[int], sampling: Sampling) -> int:
        """Queue a request; its number. Raises ValueError for one that cannot be served, and serves the others on."""
        self.check(prompt, sampling)
        salt = self._rope.regime(len(prompt)) if self._rope else 0
        request = Request(self._arrived, tuple(prompt), sampling, salt)
        stream = None if self._tokenizer is None else TextStream(self._tokenizer, prompt, sampling.stop)
        self.scheduler.add(request)
        self._requests[request.number] = request
        if stream is not None:
            self._streams[request.number] = stream
        self._arrived += 1
        return request.number

    def abort(self, numbers: Iterable[int]) -> None:
        """End requests; nothing happens to those that have ended."""
        for number in numbers:
            if number in self._requests:
                self.scheduler.abort(self._requests[number])
                self._forget(number)

    def _forget(self, number: int) -> None:
        del self._requests[number]
        self._streams.pop(number, None)

    @property
    def busy(self) -> bool:
        """Whether a request is not finished."""
        return self.scheduler.busy

    def step(self) -> list[Token]:
        """Run one pass. A request whose logits are not finite ends by it, and the others go on."""
        chunks = self.scheduler.step()
        logits = self.runner.run(chunks)
        ends = [chunk.sequence for chunk in chunks if chunk.sampled]
        outcomes = self._outcomes(logits, ends)
        for request, outcome in zip(ends, outcomes, strict=True):
            if isinstance(outcome, str):
                self.scheduler.finish(request, "error")
        sound = [chunk for chunk in chunks if chunk.sequence.finish is None]
        self.scheduler.update(sound, [outcome.token for outcome in outcomes if isinstance(outcome, Choice)])
        self._turn(ends)
        return list(self._told(ends, outcomes))

    def _outcomes(self, logits: Tensor, requests: Sequence[Request]) -> list[Choice | str]:
        """Of each request its next token, or what is wrong with its logits. Alike on every rank, as the logits are."""
        try:
            return [*self._drawn(logits, requests)]
        except NotFinite as error:
            found = error.found
        rows = [row for row in range(len(requests)) if row not in found]
        drawn = iter(self._drawn(logits[rows], [requests[row] for row in rows]))
        return [
            f"position {request.length - 1}: {found[row]}" if row in found else next(drawn)
            for row, request in enumerate(requests)
        ]

    def _drawn(self, logits: Tensor, requests: Sequence[Request]) -> list[Choice]:
        return self._sampler.sample(logits, [r.sampling for r in requests], [len(r.generated) for r in requests])

    def _turn(self, requests: Sequence[Request]) -> None:
        """Compute anew what has just grown too long for the keys it has."""
        if self._rope is None or self._rope.turning is None:
            return
        for request in requests:
            if request.finish is None and request.length == self._rope.turning + 1:
                self.scheduler.restart(request, self._rope.regime(request.length))

    def _told(self, requests: list[Request], outcomes: list[Choice | str]) -> Iterator[Token]:
        for request, outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, str):
                yield Token(request.number, None, self._rest(request), request.finish, outcome)
            else:
                text = self._text(request, outcome.token)
                yield Token(request.number, outcome, text, request.finish)
            if request.finish:
                self._forget(request.number)

    def _rest(self, request: Request) -> str:
        """What was held back of the text of a request that ends without another token."""
        stream = self._streams.get(request.number)
        return "" if stream is None else stream.finish()

    def _text(self, request: Request, token: int) -> str:
        """What is final by one more token; a stop string ends the request."""
        stream = self._streams.get(request.number)
        if stream is None:
            return ""
        text = "" if request.finish == "stop" and token in self.scheduler.eos else stream.feed(token)
        if request.finish:
            text += stream.finish()
        if stream.stopped is not None:
            self.scheduler.finish(request, "stop")
        return text
