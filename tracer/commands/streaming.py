"""Completions on their way to the terminal: text as it comes, and how fast it comes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tracer.commands.output import printable, steerable

if TYPE_CHECKING:
    from tracer.execute import LLM, Completion, Prompts, Token

EVERY = 0.5
"""Seconds between two progress lines."""
COLUMN = 16
"""Letters that an id and its spelling take at least, where log-probabilities are told."""


class Stream:
    """Hears of a generation. A lone prompt's text is printed as it comes, others' in the order of prompts.

    At the end of a `with` it says how much there was; where an exception ends that, it ends the lines it has begun, and
    prints what had ended and waited for others.
    """

    def __init__(self, prompts: Prompts, shown: bool, quiet: bool, keep: Callable[[Completion], object]) -> None:
        """`keep` is given each completion as soon as it has ended."""
        count = len(prompts.given)
        self._prompts = prompts
        self._shown = shown
        self._quiet = quiet
        self._keep = keep
        self._live = steerable(sys.stderr) and not quiet and (count > 1 or not sys.stdout.isatty())
        self._texts = [""] * count
        self._logprobs: dict[int, list[str]] = {}
        """Of those that have ended, and are not out yet, the lines below them."""
        self._with_ids: set[int] = set()
        """Those of whose ids one has come, where ids are all there is."""
        self._printed = 0
        """Prompts whose completions are out, as have all before them."""
        self._running = count
        self._begun = False
        """Whether text is out that no line break has followed."""
        self._count = 0
        self._began = self._next = time.monotonic()

    def warn(self, message: str) -> None:
        """Say in a line what is not as it should be."""
        if not self._quiet:
            print(printable(f"tracer: warning: {message}"), file=sys.stderr, flush=True)

    def passed(self, llm: LLM, tokens: list[Token]) -> None:
        """Print what is to be printed by now."""
        if self._count == 0:
            self._began = time.monotonic()  # loading is over
        for token in tokens:
            self._texts[token.number] += safe(token.text)
            if llm.tokenizer is None and token.choice is not None:
                blank = " " if token.number in self._with_ids else ""
                self._texts[token.number] += f"{blank}{token.choice.token}"
                self._with_ids.add(token.number)
        self._count += sum(token.choice is not None for token in tokens)
        self._running -= sum(bool(token.finish) for token in tokens)
        if self._shown and len(self._texts) == 1:
            self._show_more()
        if self._live and time.monotonic() > self._next:
            self._next = time.monotonic() + EVERY
            print(f"\r{self._speed()}, {self._running} running\033[K", end="", file=sys.stderr, flush=True)

    def finished(self, llm: LLM, completion: Completion) -> None:
        """Keep it, and print it if it is its turn, with all that have waited for it."""
        self._keep(completion)
        self._logprobs[completion.index] = list(logprob_lines(llm, completion))
        if not self._shown:
            return
        if len(self._texts) == 1:
            self._begun = False
            print("", flush=True)
            self._show_below(0)
            return
        while self._printed in self._logprobs:
            self._show_whole(self._printed)
            self._printed += 1

    def _show_more(self) -> None:
        """Of a lone prompt."""
        self._begun = self._begun or self._texts[0] != ""
        print(self._texts[0], end="", flush=True)
        self._texts[0] = ""

    def _show_whole(self, number: int) -> None:
        self._clear()
        print(f"[{number}] {self._texts[number]}", flush=True)
        self._show_below(number)

    def _show_below(self, number: int) -> None:
        for line in self._logprobs.pop(number):
            print(line, flush=True)

    def _speed(self) -> str:
        seconds = time.monotonic() - self._began
        # The first pass is over when it is heard of: what it brought took no time that was seen.
        rate = f", {self._count / seconds:.1f} tokens/s" if seconds > 0.05 else ""
        return f"{self._count} tokens{rate}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._clear()
            if not self._quiet:
                print(f"tracer: {self._speed()}", file=sys.stderr, flush=True)
            return
        with suppress(OSError):  # it may be what ended the stream
            self._clear()
            if self._begun:
                print(flush=True)
            for number in sorted(self._logprobs) if self._shown else ():
                self._show_whole(number)

    def _clear(self) -> None:
        if self._live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def tell_errors(self, completions: Sequence[Completion], verification: str) -> bool:
        """Say which prompts ended with an error, and why; whether there are any.

        `verification` is the command that computes with the same load, though not with these prompts.
        """
        wrong = [(found.index, found.error) for found in completions if found.error is not None]
        for number, error in wrong:
            name = self._prompts.name(number) or f"prompt {number}"
            print(printable(f"tracer: {name}: {error}"), file=sys.stderr)
        if wrong:
            told = f"{verification} may show where it begins; it computes with ids of its own"
            print(f"tracer: {told}", file=sys.stderr, flush=True)
        return bool(wrong)


def logprob_lines(llm: LLM, completion: Completion) -> Iterator[str]:
    """A line a token: its log-probability, id and spelling, and then those of the most likely."""
    if completion.logprobs is None or completion.top_logprobs is None:
        return
    for token, logprob, top in zip(completion.token_ids, completion.logprobs, completion.top_logprobs, strict=True):
        yield "".join(_logprob(llm, *one) for one in [(token, logprob), *top]).rstrip()


def _logprob(llm: LLM, token: int, logprob: float) -> str:
    spelled = llm.tokenizer.token(token) if llm.tokenizer is not None else None
    return f"{logprob:10.4f}  " + f"{token} {printable(spelled or '')} ".ljust(COLUMN)


def safe(text: str) -> str:
    """What a model writes may hold anything: control characters but line breaks and tabs are spelled out."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
