"""Text that comes a piece at a time against the library `tokenizers` decoding everything at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from tokenizers import pre_tokenizers

from engine.text import TextStream, Tokenizer
from engine.text.decoding import BYTE_VALUES, Utf8, Windows, start
from tests.engine.streamed import beyond_the_prompt, streamed
from tests.engine.vocabularies import (
    TEXTS,
    byte_fallback_bpe,
    byte_fallback_unigram,
    byte_level,
    every_kind,
    metaspace,
    size_of,
    tokenizer_of,
)


class TestAStream:
    @every_kind
    @given(text=TEXTS, cut=st.integers(0, 40))
    @settings(max_examples=60, deadline=None)
    def test_gives_what_decoding_at_once_gives(self, kind: Callable[[], Library], text: str, cut: int) -> None:
        tokenizer = tokenizer_of(kind)
        ids = tokenizer.encode(text)
        prompt, rest = ids[:cut], ids[cut:]
        assert "".join(streamed(tokenizer, prompt, rest)) == beyond_the_prompt(tokenizer, prompt, rest)

    @every_kind
    @given(data=st.data(), cut=st.integers(0, 12))
    @settings(max_examples=60, deadline=None)
    def test_gives_it_for_any_ids_that_a_model_may_come_up_with(
        self, kind: Callable[[], Library], data: st.DataObject, cut: int
    ) -> None:
        """Invalid bytes, characters that never end, special tokens within them, ids that mean nothing."""
        tokenizer = tokenizer_of(kind)
        some = data.draw(st.lists(st.integers(0, size_of(kind) + 3), min_size=1, max_size=8))
        ids = data.draw(st.lists(st.sampled_from(some) | st.integers(0, size_of(kind) + 3), max_size=25))
        prompt, rest = ids[:cut], ids[cut:]
        assert "".join(streamed(tokenizer, prompt, rest)) == beyond_the_prompt(tokenizer, prompt, rest)

    @given(st.binary(max_size=40), st.integers(0, 40))
    @example(b"\xed\xa0\x80\xf0\x9f\x98", 3)
    @example(b"\xf0\x9f\x98\xf0\x9f\x98\x80", 2)
    @settings(deadline=None)
    def test_gives_it_for_any_bytes(self, content: bytes, cut: int) -> None:
        spelled = {byte: letter for letter, byte in BYTE_VALUES.items()}
        for kind, spelling in ((byte_level, spelled.__getitem__), (byte_fallback_bpe, "<0x{:02X}>".format)):
            library = kind()
            ids = [number for byte in content if (number := library.token_to_id(spelling(byte))) is not None]
            assert len(ids) == len(content)
            prompt, rest = ids[:cut], ids[cut:]
            tokenizer = tokenizer_of(kind)
            assert "".join(streamed(tokenizer, prompt, rest)) == beyond_the_prompt(tokenizer, prompt, rest)

    @every_kind
    def test_gives_all_that_is_final_at_once(self, kind: Callable[[], Library]) -> None:
        """Of words that the vocabulary has, no piece is kept back."""
        tokenizer = tokenizer_of(kind)
        prompt, ids = tokenizer.encode("the dog"), tokenizer.encode("the cat sat on the mat")
        stream = TextStream(tokenizer, prompt)
        text = ""
        for count, token_id in enumerate(ids, 1):
            text += stream.feed(token_id)
            assert text == beyond_the_prompt(tokenizer, prompt, ids[:count])
        assert stream.finish() == ""

    @pytest.mark.parametrize("kind", [byte_level, byte_fallback_bpe, byte_fallback_unigram])
    def test_never_gives_half_a_character(self, kind: Callable[[], Library]) -> None:
        tokenizer = tokenizer_of(kind)
        ids = tokenizer.encode("x😀日 👩‍👧x")
        assert len(ids) > len("x😀日 👩‍👧x")
        pieces = streamed(tokenizer, [], ids)
        assert "\ufffd" not in "".join(pieces)
        assert "" in pieces[:-1]

    def test_gives_a_half_character_at_the_end_as_decoding_does(self) -> None:
        tokenizer = tokenizer_of(byte_level)
        pieces = streamed(tokenizer, [], tokenizer.encode("a🙈")[:-1])
        assert pieces[-1] == "\ufffd"
        assert "".join(pieces) == "a\ufffd"

    @pytest.mark.parametrize("kind", [byte_level, byte_fallback_bpe, byte_fallback_unigram, metaspace])
    def test_begins_with_the_blank_between_prompt_and_answer(self, kind: Callable[[], Library]) -> None:
        tokenizer = tokenizer_of(kind)
        ids = tokenizer.encode("the cat")
        cut = len(tokenizer.encode("the"))
        assert "".join(streamed(tokenizer, ids[:cut], ids[cut:])) == " cat"

    def test_does_not_tell_a_line_break_of_the_prompt_again(self) -> None:
        """Which is a single byte there, and might yet turn out to be invalid."""
        tokenizer = tokenizer_of(byte_fallback_bpe)
        ids = tokenizer.encode("the\ncat")
        cut = ids.index(tokenizer.encode("\n")[-1]) + 1
        assert tokenizer.decode(ids[:cut]) == "the\n"
        assert "".join(streamed(tokenizer, ids[:cut], ids[cut:])) == "cat"

    @every_kind
    def test_costs_no_more_in_a_long_text(self, kind: Callable[[], Library]) -> None:
        """Counted in ids that are looked at, which unlike seconds are the same every time."""

        class Counting(Tokenizer):
            looked_at = 0

            def decode(self, ids: Any) -> str:
                self.looked_at += len(ids)
                return super().decode(ids)

            def token(self, token_id: int) -> str | None:
                self.looked_at += 1
                return super().token(token_id)

        tokenizer = Counting(kind(), Path("tokenizer.json"))
        ids = tokenizer.encode("the cat sat 😀 日 on\nthe mat " * 20)
        costs = []
        for length in (10 * len(ids), 20 * len(ids)):
            tokenizer.looked_at = 0
            stream = TextStream(tokenizer, ids * (length // len(ids)), ["never there"])
            begun = tokenizer.looked_at
            for token_id in ids:
                stream.feed(token_id)
            costs.append((begun, tokenizer.looked_at - begun))
        assert costs[0] == costs[1]
        assert costs[0][0] < 100
        assert costs[0][1] < 40 * len(ids)

    def test_costs_no_more_in_a_long_run_of_bytes(self) -> None:
        tokenizer = tokenizer_of(byte_fallback_bpe)
        byte = tokenizer.encode("\n")[-1]
        decoding = start(tokenizer, [])
        assert isinstance(decoding, Windows)
        assert [decoding.feed(byte) for _ in range(1000)] == [""] * 1000
        stream = TextStream(tokenizer, [], ["x"])
        assert "".join(map(stream.feed, [byte] * 1000)) + stream.finish() == "\n" * 1000

    def test_bytes_are_decoded_without_the_library(self) -> None:
        assert isinstance(start(tokenizer_of(byte_level), []), Utf8)
        assert BYTE_VALUES.keys() == set(pre_tokenizers.ByteLevel.alphabet())
