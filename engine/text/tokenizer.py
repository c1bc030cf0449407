"""A model's own tokenizer, read from tokenizer.json by the library `tokenizers`; no code of the folder is run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Library

FILE = "tokenizer.json"
POINTER = b"version https://git-lfs.github.com/spec/"
"""What the file that Git keeps in place of a large one begins with."""
OTHERS = (
    (("tokenizer.model",), "SentencePiece"),
    (("vocab.json", "merges.txt"), "byte-pair encoding in two files"),
    (("vocab.txt",), "WordPiece"),
    (("tekken.json",), "Mistral's Tekken"),
    (("tiktoken.model",), "tiktoken"),
    (("qwen.tiktoken",), "tiktoken"),
)
"""Files from which a tokenizer.json can be made, and what they are."""


class Tokenizer:
    """Text to ids and back."""

    def __init__(self, library: Library, path: Path) -> None:
        library.no_truncation()  # some files ask for both, meant for training
        library.no_padding()
        self._library = library
        self._path = path
        self._special = {token.content for token in library.get_added_tokens_decoder().values() if token.special}
        self.decoders: tuple[str, ...] = tuple(_kinds(library.decoder))
        """The kinds of the steps that make text of tokens, in their order; empty: tokens are joined by blanks."""

    @classmethod
    def open(cls, folder: Path) -> tuple[Tokenizer | None, str]:
        """The tokenizer of a model's folder; or None and, in a sentence, why there is none.

        Raises ValueError for a file that is damaged or not downloaded, in one line that names it.
        """
        path = folder / FILE
        if not path.is_file():
            return None, why_not(folder)
        _check_downloaded(path)
        try:
            from tokenizers import Tokenizer as Library
        except ImportError:
            return None, f"{path} is read by the library tokenizers, which is not installed: pip install tokenizers"
        with _blamed(path):
            return cls(Library.from_file(str(path)), path), ""

    @classmethod
    def if_sound(cls, folder: Path) -> tuple[Tokenizer | None, str]:
        """As `open`, for whoever can do without: a file that is damaged or not downloaded is none, and why is said."""
        try:
            return cls.open(folder)
        except ValueError as error:
            return None, str(error)

    def encode(self, text: str) -> list[int]:
        """Ids, with the special tokens that the file puts around a text.

        Raises ValueError for what is no text (half of a surrogate pair), and for text that the file has no ids for.
        """
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ValueError("expected text, found half of a surrogate pair, which stands for no character")
        with _blamed(self._path):
            return self._library.encode(text).ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, without special tokens; an id that the tokenizer does not know has none."""
        with _blamed(self._path):
            return self._library.decode(ids, skip_special_tokens=True)

    def token(self, token_id: int) -> str | None:
        """How the vocabulary spells it; None for special tokens and unknown ids, which have no text."""
        token = self._library.id_to_token(token_id)
        return None if token in self._special else token


def why_not(folder: Path) -> str:
    """Why a folder without tokenizer.json gives no tokenizer, in a sentence to be printed."""
    for files, kind in OTHERS:
        if all((folder / file).is_file() for file in files):
            return (
                f"{folder} has no {FILE}, only {' and '.join(files)} ({kind});"
                " AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) of Transformers writes one"
            )
    return f"{folder} has no {FILE}"


def _kinds(decoder: Any) -> Iterator[str]:
    """The types of a decoder's steps, sequences taken apart."""
    if decoder is not None:
        yield from _steps(json.loads(decoder.__getstate__()))


def _steps(decoder: dict[str, Any]) -> Iterator[str]:
    if decoder["type"] != "Sequence":
        yield decoder["type"]
    for step in decoder.get("decoders", ()):
        yield from _steps(step)


def _check_downloaded(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise ValueError(f"{path} is a Git-LFS pointer, not the file: run git lfs pull")


@contextmanager
def _blamed(path: Path) -> Iterator[None]:
    """What the library raises, as a ValueError of one line. Its panics are no Exceptions, but BaseExceptions."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} is damaged or of an unknown kind: {reason[:300]}") from error
