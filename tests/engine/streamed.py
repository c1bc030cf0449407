"""The text of ids in pieces, and by decoding everything at once."""

from __future__ import annotations

from engine.text import TextStream, Tokenizer


def streamed(tokenizer: Tokenizer, prompt: list[int], ids: list[int], stop: tuple[str, ...] = ()) -> list[str]:
    stream = TextStream(tokenizer, prompt, stop)
    return [*map(stream.feed, ids), stream.finish()]


def beyond_the_prompt(tokenizer: Tokenizer, prompt: list[int], ids: list[int]) -> str:
    """What decoding everything at once gives after what it shares with the prompt's own text."""
    known, whole = tokenizer.decode(prompt), tokenizer.decode(prompt + ids)
    same = 0
    while same < min(len(known), len(whole)) and known[same] == whole[same]:
        same += 1
    return whole[same:]
