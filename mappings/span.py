"""Where something lies in a file. By itself, as whoever reads files has no use for the proofs about them."""

from __future__ import annotations

from typing import NamedTuple


class Span(NamedTuple):
    """The bytes of one tensor, of a file's header, or (empty) its end; `tensor` says what."""

    file: str
    start: int
    stop: int
    tensor: str
