"""Ids to text, one id at a time: only what no later id can change, at a cost that does not grow with the text.

The pieces together equal what the tokenizer makes of all ids at once. Two ways, by what the tokenizer's decoder does:
tokens that are bytes are decoded as UTF-8; anything else is decoded by the library, a few ids at a time.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Sequence
from typing import Protocol

from engine.text.tokenizer import Tokenizer

CONTEXT = 4
"""Ids before a piece that are decoded with it. Decoders treat the first token of all unlike the rest, a character of
UTF-8 has at most four bytes, and no decoder looks further back."""
UNKNOWN = "\ufffd"
"""What incomplete and invalid bytes are decoded to."""


class Decoding(Protocol):
    """Text in the making."""

    def feed(self, token_id: int) -> str:
        """The text that has become final by one more id; often none."""

    def rest(self) -> str:
        """What would come after it, if no further id came."""

    def waiting(self) -> int:
        """How many ids have text that is not final."""


def start(tokenizer: Tokenizer, prompt: Sequence[int]) -> Decoding:
    """A decoding that has been fed the prompt, of which only the end matters."""
    whole_bytes = tokenizer.decoders in (("ByteLevel",), ("ByteLevel", "Fuse"))
    decoding: Decoding = Utf8(tokenizer) if whole_bytes else Windows(tokenizer)
    for token_id in _tail(tokenizer, prompt):
        decoding.feed(token_id)
    return decoding


def _tail(tokenizer: Tokenizer, prompt: Sequence[int]) -> list[int]:
    """The ids at the end that decide how text goes on: single bytes, and `CONTEXT` more before them."""
    tail: list[int] = []
    settled = 0
    for token_id in reversed(prompt):
        token = tokenizer.token(token_id)
        if token is None:
            continue
        tail.append(token_id)
        settled += settled > 0 or not _is_byte(token)
        if settled == CONTEXT:
            break
    return tail[::-1]


def _byte_values() -> dict[str, int]:
    """Byte-level vocabularies spell bytes as letters (GPT-2): printable Latin-1 as it is, the others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


BYTE_VALUES = _byte_values()


class Utf8:
    """Of tokens that are spelled-out bytes. An added token with any other letter in it stands for itself."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = getincrementaldecoder("utf-8")("replace")

    def feed(self, token_id: int) -> str:
        token = self._tokenizer.token(token_id) or ""
        try:
            content = bytes(map(BYTE_VALUES.__getitem__, token))
        except KeyError:
            content = token.encode()
        return self._decoder.decode(content)

    def rest(self) -> str:
        incomplete, _ = self._decoder.getstate()
        return incomplete.decode("utf-8", "replace")

    def waiting(self) -> int:
        return bool(self.rest())


class Windows:
    """Of any other tokens, by the library: what a few ids and those before them give, less what those before give.

    A run of single bytes (`<0xE2>`) is kept back until it ends: one byte that does not fit makes all of it invalid.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._bytes = "ByteFallback" in tokenizer.decoders
        self._cuts_characters = "ByteLevel" in tokenizer.decoders
        self._context: list[int] = []
        self._known = ""
        """The text of the context."""
        self._held: list[int] = []

    def feed(self, token_id: int) -> str:
        token = self._tokenizer.token(token_id)
        if token is None:
            return ""
        self._held.append(token_id)
        if self._bytes and _is_byte(token):
            return ""
        piece = self.rest()
        if self._cuts_characters and piece.endswith(UNKNOWN):
            return ""
        self._context = (self._context + self._held)[-CONTEXT:]
        self._known = self._tokenizer.decode(self._context)
        self._held.clear()
        return piece

    def rest(self) -> str:
        return self._tokenizer.decode(self._context + self._held)[len(self._known) :] if self._held else ""

    def waiting(self) -> int:
        return len(self._held)


def _is_byte(token: str) -> bool:
    return len(token) == 6 and token.startswith("<0x") and token.endswith(">")
