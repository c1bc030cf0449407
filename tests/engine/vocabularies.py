"""Small tokenizers of every kind that models have, trained on the spot, and texts for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Library

from engine.text import Tokenizer

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


LETTERS = "the cat sat.,'\n éü你好日😀🙈👩\u200d👧🇩🇪\u0301\u0308\ufffd▁Ġ#<>0xA"
WRITING = st.text(st.sampled_from(LETTERS)) | st.text(max_size=30)
PIECES = st.sampled_from([*SPECIAL, "<tool call>", "新 term", " the", "hello", "\n\n", "😀😀", "e\u0301", "<0x0A>", ""])
TEXTS = st.lists(WRITING | PIECES, max_size=5).map("".join)
