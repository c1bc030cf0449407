"""Completions on their way to the terminal: text as it comes, and how fast it comes."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tracer.commands.output import steerable

if TYPE_CHECKING:
    from tracer.execute import LLM, Completion, Token

EVERY = 0.5
"""Seconds between two progress lines."""


class Stream:
    """Hears of each pass's tokens. A lone prompt's text is printed as it comes, others' in the order of prompts.

    At the end of a `with` it says how much there was; where an exception ends that, it ends the lines it has begun.
    """

    def __init__(self, prompts: int, shown: bool, quiet: bool) -> None:
        self._shown = shown
        self._quiet = quiet
        self._live = steerable(sys.stderr) and not quiet and (prompts > 1 or not sys.stdout.isatty())
        self._texts = [""] * prompts
        self._ended = [False] * prompts
        self._printed = 0
        """Prompts whose completions are out."""
        self._begun = False
        """Whether text is out that no line break has followed."""
        self._count = 0
        self._began = self._next = time.monotonic()

    def __call__(self, llm: LLM, tokens: list[Token]) -> None:
        if self._count == 0:
            self._began = time.monotonic()  # loading is over
        for token in tokens:
            self._texts[token.number] += safe(token.text)
            if llm.tokenizer is None and token.choice is not None:
                self._texts[token.number] += f"{token.choice.token} "
            self._ended[token.number] = bool(token.finish)
        self._count += sum(token.choice is not None for token in tokens)
        if self._shown:
            self._show()
        if self._live and time.monotonic() > self._next:
            self._next = time.monotonic() + EVERY
            running = self._ended.count(False)
            print(f"\r{self._speed()}, {running} running\033[K", end="", file=sys.stderr, flush=True)

    def _show(self) -> None:
        if len(self._texts) == 1:
            self._begun = not self._ended[0] and (self._begun or self._texts[0] != "")
            print(self._texts[0], end="\n" if self._ended[0] else "", flush=True)
            self._texts[0] = ""
            return
        while self._printed < len(self._texts) and self._ended[self._printed]:
            self._clear()
            print(f"[{self._printed}] {self._texts[self._printed]}", flush=True)
            self._printed += 1

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

    def _clear(self) -> None:
        if self._live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def tell_errors(self, completions: Sequence[Completion], verification: str) -> bool:
        """Say which prompts ended with an error, and why; whether there are any.

        `verification` is the command that computes with the same load, though not with these prompts.
        """
        wrong = [found for found in completions if found.error is not None]
        for found in wrong:
            print(f"tracer: prompt {found.index}: {found.error}", file=sys.stderr)
        if wrong:
            told = f"{verification} may show where it begins; it computes with ids of its own"
            print(f"tracer: {told}", file=sys.stderr, flush=True)
        return bool(wrong)


def safe(text: str) -> str:
    """What a model writes may hold anything: control characters but line breaks and tabs are spelled out."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
