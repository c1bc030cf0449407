"""A generated text as it comes: what is final, up to a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from engine.text.decoding import UNKNOWN, start
from engine.text.stops import StopStrings
from engine.text.tokenizer import Tokenizer

AHEAD = 64
"""Ids whose text is not final that are searched for a stop string all the same; each is decoded with every next one."""


class TextStream:
    """Is fed the ids of one sequence after its prompt, gives their text.

    The pieces together are what decoding prompt and ids at once gives beyond the prompt's own text: a word after a
    prompt begins with its blank. No piece ends within a character, and none holds what may become part of a stop
    string. `stopped` tells which one came; the text ends before it.
    """

    def __init__(self, tokenizer: Tokenizer, prompt_ids: Sequence[int], stop: Sequence[str] = ()) -> None:
        self.stopped: str | None = None
        self._decoding = start(tokenizer, prompt_ids)
        self._given = self._decoding.rest()
        """The end of the prompt's text that ids after it may still change: told again only where they do."""
        self._stops = StopStrings(stop) if stop else None
        self._held = ""

    def feed(self, token_id: int) -> str:
        """The text that has become final; nothing after a stop string."""
        if self.stopped is not None:
            return ""
        self._held += self._new(self._decoding.feed(token_id))
        if self._stops is None:
            piece, self._held = self._held, ""
            return piece
        return self._searched(self._stops, self._ahead())

    def finish(self) -> str:
        """The rest, when no further id comes. What it holds may have a stop string too."""
        if self.stopped is not None:
            return ""
        text = self._held + self._new(self._decoding.rest())
        hit = self._stops.first(text) if self._stops else None
        self._held = ""
        if hit is None:
            return text
        place, self.stopped = hit
        return text[:place]

    def _new(self, piece: str) -> str:
        """Less what the prompt's text had of it."""
        if self._given and piece:
            piece, self._given = _beyond(self._given, piece), ""
        return piece

    def _ahead(self) -> str:
        """Text that will stand if no further id comes, as is the case when a stop string is in it.

        Vocabularies with single bytes often spell a line break as one, and end its text with the next token only.
        """
        if not 0 < self._decoding.waiting() <= AHEAD:
            return ""
        text = _beyond(self._given, self._decoding.rest())
        return "" if UNKNOWN in text else text

    def _searched(self, stops: StopStrings, ahead: str) -> str:
        hit = stops.first(self._held + ahead)
        if hit is not None:
            place, self.stopped = hit
            return (self._held + ahead)[:place]
        final = len(self._held) - stops.doubtful(self._held)
        piece, self._held = self._held[:final], self._held[final:]
        return piece


def _beyond(known: str, text: str) -> str:
    """`text` from the first letter on in which it differs from `known`."""
    same = next((place for place, (old, new) in enumerate(zip(known, text, strict=False)) if old != new), len(known))
    return text[same:]
