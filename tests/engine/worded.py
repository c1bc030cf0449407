"""A tiny checkpoint without a tokenizer, and the same with one of a word a token; fixtures of both."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Library
from tokenizers import models, pre_tokenizers

from tests.engine.checkpoints import VOCABULARY, reference, save


def write_tokenizer(folder: Path) -> Library:
    """A word a token, with blanks between them."""
    words = ["<pad>", "<s>", "</s>", *(f"w{number}" for number in range(3, VOCABULARY))]
    library = Library(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<pad>"))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    library.add_special_tokens(words[:3])
    library.save(str(folder / "tokenizer.json"))
    return library


def write_bare(folder: Path) -> Path:
    """The checkpoint, without a tokenizer."""
    save("llama", reference("llama"), folder)
    return folder


def write_worded(bare: Path, folder: Path) -> Path:
    """A copy of it with one."""
    shutil.copytree(bare, folder)
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bare(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def folder(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_worded(bare, tmp_path_factory.mktemp("worded") / "model")
