"""How it is told that a rank failed, and how long others have to fail of the same cause."""

from __future__ import annotations

from collections.abc import Mapping

GRACE = 1.0
"""Seconds to wait, after one rank has failed, for the one whose failure came first: peers fail of it."""
POLL = 0.1
"""Seconds between two calls of a launcher's `watch`."""


class PeersLost(RuntimeError):
    """A collective did not come to its end, as when another rank has failed: seldom the cause, mostly its consequence.

    The backends raise nothing of their own, but RuntimeError.
    """


class Unguarded(RuntimeError):
    """A script starts ranks whenever it is imported, and ranks import it: it would never come to an end."""


class RankFailed(Exception):
    """A rank raised, or died without a word; all others have been ended."""

    def __init__(
        self, rank: int, message: str, traceback_text: str = "", kind: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(f"rank {rank}: {message}")
        self.rank = rank
        self.message = message
        self.traceback_text = traceback_text
        self.kind = kind
        """The class of the exception; empty where the rank died without a word."""
        self.labels = dict(labels or {})
        """The exception's `code` and `subject`, where it has any: a refusal stays one on its way here."""
