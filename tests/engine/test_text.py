"""Text to ids and back, whole and in pieces, against the library `tokenizers` decoding everything at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Library

from engine.text import TextStream, Tokenizer, eos_ids
from engine.text.decoding import BYTE_VALUES, Utf8, Windows, start
from engine.text.tokenizer import why_not

CORPUS = [
    "the cat sat on the mat, and the dog did not. Don't say 'hello world'!", "naïve café, Ελλάδα, 你好世界, 日本語",
    "😀😀 👩‍👩‍👧 🇩🇪 e\u0301 o\u0308", "def f(x):\n\treturn x + 1\n\n", "a\ufffdb ##s <0x0A> ▁ Ġ",
]  # fmt: skip
SPECIAL = ["<s>", "</s>"]


def byte_level() -> Library:
    """As GPT-2, Llama 3 and Qwen have it."""
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    library.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, special_tokens=SPECIAL)
    )
    library.add_tokens([AddedToken("<tool call>"), AddedToken("ü"), AddedToken("新 term")])
    return library


def _pieces_of_sentencepiece() -> list[str]:
    pieces = [*SPECIAL, "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    letters = sorted({letter for text in CORPUS[:2] for letter in text if letter not in " 日"})
    return [*pieces, "▁", *letters, "▁t", "he", "▁the", "▁▁", "at", "▁c"]


def byte_fallback_bpe() -> Library:
    """As Llama 2, Mistral 7B and Gemma have it: letters that the vocabulary lacks are spelled in bytes."""
    vocab = {piece: number for number, piece in enumerate(_pieces_of_sentencepiece())}
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("▁", "▁"), ("a", "t"), ("▁", "c")]
    library = Library(models.BPE(vocab=vocab, merges=merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    library.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    library.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    library.add_special_tokens(list(SPECIAL))
    return library


def byte_fallback_unigram() -> Library:
    """The same vocabulary, cut by probability, and with the decoder of T5."""
    pieces = [(piece, -float(number % 7) - 1) for number, piece in enumerate(_pieces_of_sentencepiece())]
    library = Library(models.Unigram(pieces, unk_id=2, byte_fallback=True))
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    library.decoder = decoders.Sequence([decoders.Metaspace(), decoders.ByteFallback(), decoders.Fuse()])
    library.add_special_tokens(list(SPECIAL))
    return library


def metaspace() -> Library:
    library = byte_fallback_unigram()
    library.decoder = decoders.Metaspace()
    return library


def word_piece() -> Library:
    """As BERT has it."""
    library = Library(models.WordPiece(unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece()
    library.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]", "[CLS]", *SPECIAL])
    )
    return library


def word_ends() -> Library:
    """As CLIP and the first GPT have it."""
    library = Library(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.decoder = decoders.BPEDecoder()
    library.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=250, special_tokens=["<unk>", *SPECIAL], end_of_word_suffix="</w>")
    )
    return library


def blanks() -> Library:
    """Without a decoder: tokens are words, joined by blanks."""
    words = sorted({word for text in CORPUS for word in text.split()})
    library = Library(models.WordLevel({word: number for number, word in enumerate([*words, "[UNK]"])}, "[UNK]"))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    library.add_special_tokens(list(SPECIAL))
    return library


def replacing() -> Library:
    """Bytes, and another step that looks at what they make."""
    library = byte_level()
    library.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Replace("e", "3")])
    return library


KINDS: tuple[Callable[[], Library], ...] = (
    byte_level, byte_fallback_bpe, byte_fallback_unigram, metaspace, word_piece, word_ends, blanks, replacing
)  # fmt: skip
every_kind = pytest.mark.parametrize("kind", KINDS)


@cache
def tokenizer_of(kind: Callable[[], Library]) -> Tokenizer:
    return Tokenizer(kind(), Path("tokenizer.json"))


@cache
def size_of(kind: Callable[[], Library]) -> int:
    return kind().get_vocab_size()


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


LETTERS = "the cat sat.,'\n éü你好日😀🙈👩\u200d👧🇩🇪\u0301\u0308\ufffd▁Ġ#<>0xA"
WRITING = st.text(st.sampled_from(LETTERS)) | st.text(max_size=30)
PIECES = st.sampled_from([*SPECIAL, "<tool call>", "新 term", " the", "hello", "\n\n", "😀😀", "e\u0301", "<0x0A>", ""])
TEXTS = st.lists(WRITING | PIECES, max_size=5).map("".join)


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


class TestATokenizer:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        library = byte_level()
        library.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
        library.enable_truncation(3)
        library.enable_padding(length=20)
        library.save(str(tmp_path / "tokenizer.json"))
        return tmp_path

    def opened(self, folder: Path) -> Tokenizer:
        tokenizer, why = Tokenizer.open(folder)
        assert tokenizer is not None
        assert why == ""
        return tokenizer

    def test_adds_the_special_tokens_of_its_file(self, folder: Path) -> None:
        tokenizer = self.opened(folder)
        assert tokenizer.encode("the cat")[0] == 0
        assert tokenizer.encode("") == [0]

    def test_neither_cuts_a_prompt_nor_pads_it(self, folder: Path) -> None:
        tokenizer = self.opened(folder)
        text = "the cat sat on the mat, and the dog did not"
        assert tokenizer.decode(tokenizer.encode(text)) == text

    @given(TEXTS)
    @settings(deadline=None)
    def test_decodes_what_it_encodes(self, text: str) -> None:
        tokenizer = tokenizer_of(byte_level)
        plain = text.replace("<s>", "").replace("</s>", "").replace("ü", "u")
        assert tokenizer.decode(tokenizer.encode(plain)) == plain

    def test_agrees_with_transformers(self, folder: Path) -> None:
        from transformers import PreTrainedTokenizerFast

        theirs = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
        ours = self.opened(folder)
        for text in CORPUS:
            assert ours.encode(text) == theirs(text)["input_ids"]
            assert ours.decode(ours.encode(text)) == theirs.decode(
                theirs(text)["input_ids"], skip_special_tokens=True, clean_up_tokenization_spaces=False
            )

    def test_refuses_what_is_no_text(self, folder: Path) -> None:
        with pytest.raises(ValueError, match="half of a surrogate pair"):
            self.opened(folder).encode("a\udcffb")

    def test_special_and_unknown_ids_have_no_text(self, folder: Path) -> None:
        tokenizer = self.opened(folder)
        assert tokenizer.decode([0, 5000, *tokenizer.encode("cat"), 1]) == "cat"
        assert (tokenizer.token(0), tokenizer.token(5000)) == (None, None)

    def test_is_none_without_its_file(self, tmp_path: Path) -> None:
        assert Tokenizer.open(tmp_path) == (None, f"{tmp_path} has no tokenizer.json")

    @pytest.mark.parametrize("files", [["tokenizer.model"], ["vocab.json", "merges.txt"], ["vocab.txt"]])
    def test_says_what_else_there_is(self, tmp_path: Path, files: list[str]) -> None:
        for file in files:
            (tmp_path / file).touch()
        tokenizer, why = Tokenizer.open(tmp_path)
        assert tokenizer is None
        assert why == why_not(tmp_path)
        assert all(file in why for file in files)
        assert "save_pretrained" in why

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "EOF"), (b"{", "EOF"), (b"[]", "sequence"), (b"{}", "Model missing"), (b"\xff\xfe{}", "UTF-8"),
            (b'{"version": "9"}', "version"), (b"\n\n\x00\n", "line 3"),
            (b'{"version": "1.0", "model": {"type": "Sorcery"}}', "ModelUntagged"),
        ],
    )  # fmt: skip
    def test_that_is_damaged_is_one_line_with_its_file(self, tmp_path: Path, content: bytes, told: str) -> None:
        (tmp_path / "tokenizer.json").write_bytes(content)
        with pytest.raises(ValueError, match=told) as caught:
            Tokenizer.open(tmp_path)
        assert str(caught.value).startswith(str(tmp_path / "tokenizer.json"))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
    def test_that_is_cut_off_is_damaged(self, folder: Path, share: float) -> None:
        path = folder / "tokenizer.json"
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ValueError, match="is damaged"):
            Tokenizer.open(folder)

    def test_a_panic_of_the_library_is_an_error_like_any_other(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Of an id that the post-processor names and does not have."""
        path = folder / "tokenizer.json"
        content = json.loads(path.read_bytes())
        content["post_processor"]["special_tokens"] = {}
        path.write_text(json.dumps(content), encoding="utf-8")
        tokenizer = self.opened(folder)
        with pytest.raises(ValueError, match=r"tokenizer\.json is damaged"):
            tokenizer.encode("the cat")
        capfd.readouterr()


class TestEndIds:
    def save(self, folder: Path, **files: object) -> Path:
        for name, fields in files.items():
            (folder / f"{name}.json").write_text(json.dumps(fields), encoding="utf-8")
        return folder

    @pytest.mark.parametrize(("value", "ids"), [(2, {2}), ([2, 7], {2, 7}), (0, {0}), ([], set())])
    def test_are_one_or_several(self, tmp_path: Path, value: object, ids: set[int]) -> None:
        assert eos_ids(self.save(tmp_path, config={"eos_token_id": value})) == ids

    def test_of_the_generation_config_come_first(self, tmp_path: Path) -> None:
        folder = self.save(tmp_path, config={"eos_token_id": 2}, generation_config={"eos_token_id": [5]})
        assert eos_ids(folder) == {5}

    @pytest.mark.parametrize("generation", [{}, {"eos_token_id": None}])
    def test_of_the_config_count_where_that_names_none(self, tmp_path: Path, generation: object) -> None:
        assert eos_ids(self.save(tmp_path, config={"eos_token_id": 2}, generation_config=generation)) == {2}
        assert eos_ids(tmp_path, {"eos_token_id": 3}) == {3}

    def test_are_none_where_nothing_names_them(self, tmp_path: Path) -> None:
        assert eos_ids(tmp_path) == set()

    @pytest.mark.parametrize("value", ["</s>", True, [1, None], -1, 2.0, {"a": 1}])
    def test_of_another_kind_are_refused(self, tmp_path: Path, value: object) -> None:
        folder = self.save(tmp_path, generation_config={"eos_token_id": value})
        with pytest.raises(ValueError, match=r"^generation_config.json: eos_token_id is .*, expected a token id or a"):
            eos_ids(folder)

    @pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b"[" * 100_000])
    def test_in_a_damaged_file_are_an_error_with_its_name(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "generation_config.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"generation_config\.json: "):
            eos_ids(tmp_path)
