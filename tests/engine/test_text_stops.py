"""Stop strings: where they end a text, however that is cut into ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library

from engine.text import TextStream, Tokenizer
from tests.engine.streamed import beyond_the_prompt, streamed
from tests.engine.vocabularies import (
    TEXTS,
    blanks,
    byte_fallback_bpe,
    byte_fallback_unigram,
    byte_level,
    tokenizer_of,
    word_piece,
)


class TestAStopString:
    @pytest.mark.parametrize("kind", [byte_level, byte_fallback_bpe, byte_fallback_unigram, word_piece, blanks])
    @given(text=TEXTS, cut=st.integers(0, 10), data=st.data())
    @settings(max_examples=60, deadline=None)
    def test_ends_the_text_before_it(
        self, kind: Callable[[], Library], text: str, cut: int, data: st.DataObject
    ) -> None:
        """Strings out of the text itself and others; what is given never has one, and is all there is without one."""
        tokenizer = tokenizer_of(kind)
        ids = tokenizer.encode(text)
        prompt, rest = ids[:cut], ids[cut:]
        whole = beyond_the_prompt(tokenizer, prompt, rest)
        places = st.integers(0, max(0, len(whole) - 1))
        parts = st.builds(lambda place, length: whole[place : place + length], places, st.integers(1, 5))
        wanted = st.lists((parts | st.sampled_from(["the", " c", "😀", "\n\n", "zz"])).filter(_is_clean), max_size=3)
        stops = tuple(data.draw(wanted))
        stream = TextStream(tokenizer, prompt, stops)
        given_text, fed = "", 0
        while fed < len(rest) and stream.stopped is None:
            given_text += stream.feed(rest[fed])
            fed += 1
        given_text += stream.finish()
        text_so_far = beyond_the_prompt(tokenizer, prompt, rest[:fed])
        assert not any(stop in given_text for stop in stops)
        if stream.stopped is None:
            assert given_text == whole
        else:
            assert stream.stopped in stops
            assert text_so_far.startswith(given_text + stream.stopped)
            before = beyond_the_prompt(tokenizer, prompt, rest[: fed - 1])
            assert "\ufffd" in before or not any(stop in before for stop in stops), "it was found late"

    def test_is_kept_back_while_it_may_come_and_given_when_it_does_not(self) -> None:
        tokenizer = tokenizer_of(byte_level)
        stream = TextStream(tokenizer, [], ["abx", "bc"])
        pieces = [stream.feed(token_id) for letter in "aabaab" for token_id in tokenizer.encode(letter)]
        assert pieces == ["", "a", "", "ab", "a", ""]
        assert (stream.finish(), stream.stopped) == ("ab", None)

    def test_that_is_complete_first_counts_however_the_text_is_cut(self) -> None:
        tokenizer = tokenizer_of(byte_level)
        library = byte_level()
        library.add_tokens(["xabcdx"])
        whole = Tokenizer(library, Path("tokenizer.json"))
        for own, ids in (
            (tokenizer, [i for letter in "xabcdx" for i in tokenizer.encode(letter)]), (whole, whole.encode("xabcdx"))
        ):  # fmt: skip
            stream = TextStream(own, [], ["c", "bc", "abcd"])
            assert "".join(map(stream.feed, ids)) + stream.finish() == "xa"
            assert stream.stopped == "bc"

    def test_ends_the_text_for_good(self) -> None:
        tokenizer = tokenizer_of(byte_level)
        stream = TextStream(tokenizer, [], ["b"])
        assert [stream.feed(i) for letter in "abc" for i in tokenizer.encode(letter)] == ["a", "", ""]
        assert (stream.stopped, stream.finish()) == ("b", "")

    @pytest.mark.parametrize("stop", ["\n", "\n\n", "日"])
    def test_of_single_bytes_is_found_by_its_last_byte(self, stop: str) -> None:
        """Not by the token after it: a line break is a byte in Llama 2's vocabulary."""
        tokenizer = tokenizer_of(byte_fallback_bpe)
        ids = tokenizer.encode(f"the cat{stop}")
        stream = TextStream(tokenizer, [], [stop])
        told = [(stream.feed(token_id), stream.stopped)[1] for token_id in ids]
        assert told == [None] * (len(ids) - 1) + [stop]

    def test_in_the_prompt_is_none(self) -> None:
        tokenizer = tokenizer_of(byte_fallback_bpe)
        prompt = tokenizer.encode("the\n")
        for answer in (" cat", "日"):
            ids = tokenizer.encode(f"the\n{answer}")[len(prompt) :]
            assert "".join(streamed(tokenizer, prompt, ids, ("\n", "e"))) == answer

    @pytest.mark.parametrize("kind", [byte_level, byte_fallback_bpe])
    def test_is_not_what_half_a_character_looks_like(self, kind: Callable[[], Library]) -> None:
        tokenizer = tokenizer_of(kind)
        assert "".join(streamed(tokenizer, [], tokenizer.encode("a🙈b"), ("\ufffd",))) == "a🙈b"

    def test_may_be_in_what_finish_gives(self) -> None:
        tokenizer = tokenizer_of(byte_fallback_bpe)
        stream = TextStream(tokenizer, [], ["\n\u65e5"])
        ids = tokenizer.encode("a" + "\n" * 90 + "日")
        assert "".join(map(stream.feed, ids)) == "a"
        assert (stream.finish(), stream.stopped) == ("\n" * 89, "\n日")


def _is_clean(stop: str) -> bool:
    return bool(stop) and "\ufffd" not in stop
