"""Where a text contains one of some strings, found while it grows."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Of several, the one counts that is complete first, and the longest of those that end at the same place.

    So it does not matter in what pieces a text comes.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        assert all(strings), "an empty string is in every text"
        self._strings = sorted(strings, key=len, reverse=True)

    def first(self, text: str) -> tuple[int, str] | None:
        """Where it begins, and which; None if there is none."""
        found = [(place, stop) for stop in self._strings if (place := text.find(stop)) >= 0]
        return min(found, key=lambda hit: hit[0] + len(hit[1]), default=None)

    def doubtful(self, text: str) -> int:
        """How many letters at the end may become one of them, without being one yet."""
        return max((_overlap(text, stop) for stop in self._strings), default=0)


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that `stop` begins with, `stop` itself left out."""
    longest = min(len(text), len(stop) - 1)
    return next((length for length in range(longest, 0, -1) if text.endswith(stop[:length])), 0)
