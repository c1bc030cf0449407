"""Lines of a file of any size in little memory, those that say nothing passed over without being decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO

BLOCK = 1 << 20
LONGEST = 1 << 18
"""Bytes of a line that are kept: a list of some four thousand names."""


def tell(
    file: BinaryIO, needles: Sequence[bytes], hear: Callable[[int, str], None], attentive: Callable[[], bool],
    progress: Callable[[int], None] | None = None, block: int = BLOCK,
) -> int:  # fmt: skip
    """Call `hear` with the number (from 1) and text of each line that contains a needle, and of each line while
    `attentive`. Returns the number of lines.

    :param progress: called with the bytes read so far
    :param block: bytes that are read at once
    """
    number, rest, done = 0, b"", 0
    while read := file.read(block):
        done += len(read)
        head, newline, tail = read.rpartition(b"\n")
        if newline:
            number = _tell_block(rest + head, number, needles, hear, attentive)
            rest = tail[:LONGEST]
        elif len(rest) < LONGEST:
            rest = (rest + tail)[:LONGEST]
        if progress is not None:
            progress(done)
    return _tell_block(rest, number, needles, hear, attentive) if rest else number


def _tell_block(
    block: bytes, number: int, needles: Sequence[bytes], hear: Callable[[int, str], None], attentive: Callable[[], bool]
) -> int:  # fmt: skip
    here = [needle for needle in needles if needle in block]
    if not here and not attentive():
        return number + block.count(b"\n") + 1
    for line in block.split(b"\n"):
        number += 1
        if attentive() or any(needle in line for needle in here):
            hear(number, line[:LONGEST].decode("utf-8", "replace").rstrip("\r"))
    return number
