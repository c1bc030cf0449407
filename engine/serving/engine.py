"""One rank's engine: requests in, tokens and text out, a pass at a time.

Every rank of a tensor-parallel group runs the same one on the same requests: logits are the same on all of them, and
so is every decision made of them. Only rank 0's output is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from engine.layers.rope import Rope
from engine.sampling.params import Sampling
from engine.sampling.sampler import Choice, Sampler
from engine.serving.runner import Runner
from engine.serving.scheduler import Scheduler
from engine.serving.sequence import Sequence as Request
from engine.text import TextStream, Tokenizer


class Token(NamedTuple):
    """One more token of a request."""

    number: int
    choice: Choice
    text: str
    """What has become final by it; empty without a tokenizer, or while a character is incomplete."""
    finish: str | None
    """Why the request ends with it, `stop` or `length`; None if it goes on."""


class Engine:
    """Serves requests by continuous batching."""

    def __init__(
        self, runner: Runner, scheduler: Scheduler, vocabulary: int, tokenizer: Tokenizer | None,
        rope: Rope | None = None,
    ) -> None:  # fmt: skip
        """`rope`: the rotary settings of a model whose keys depend on how long their sequence was."""
        self.scheduler = scheduler
        self.runner = runner
        self._sampler = Sampler()
        self._vocabulary = vocabulary
        self._tokenizer = tokenizer
        self._rope = rope
        self._streams: dict[int, TextStream] = {}
        self._requests: dict[int, Request] = {}
        self._arrived = 0

    def check(self, prompt: Sequence[int], sampling: Sampling) -> None:
        """Raises ValueError for a request that cannot be served."""
        sampling.check()
        self.scheduler.check(len(prompt))
        for place, token in enumerate(prompt):
            if not 0 <= token < self._vocabulary:
                raise ValueError(f"id {token} at place {place} of the prompt: expected 0 to {self._vocabulary - 1}")
        if sampling.stop and self._tokenizer is None:
            raise ValueError("stop strings need a tokenizer, and there is none: give stop ids")

    def add(self, prompt: Sequence[int], sampling: Sampling) -> int:
        """Queue a request; its number. Raises ValueError for one that cannot be served, and serves the others on."""
        self.check(prompt, sampling)
        salt = self._rope.regime(len(prompt)) if self._rope else 0
        request = Request(self._arrived, tuple(prompt), sampling, salt)
        self.scheduler.add(request)
        self._requests[request.number] = request
        if self._tokenizer is not None:
            self._streams[request.number] = TextStream(self._tokenizer, prompt, sampling.stop)
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
        """Run one pass. Raises ValueError where the model's logits are not finite."""
        chunks = self.scheduler.step()
        logits = self.runner.run(chunks)
        ends = [chunk.sequence for chunk in chunks if chunk.sampled]
        choices = self._sampler.sample(logits, [r.sampling for r in ends], [len(r.generated) for r in ends])
        self.scheduler.update(chunks, [choice.token for choice in choices])
        self._turn(ends)
        return list(self._told(ends, choices))

    def _turn(self, requests: Sequence[Request]) -> None:
        """Compute anew what has just grown too long for the keys it has."""
        if self._rope is None or self._rope.turning is None:
            return
        for request in requests:
            if request.finish is None and request.length == self._rope.turning + 1:
                self.scheduler.restart(request, self._rope.regime(request.length))

    def _told(self, requests: list[Request], choices: list[Choice]) -> Iterator[Token]:
        for request, choice in zip(requests, choices, strict=True):
            text = self._text(request, choice.token)
            yield Token(request.number, choice, text, request.finish)
            if request.finish:
                self._forget(request.number)

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
