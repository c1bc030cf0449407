"""The largest id that a tokenizer makes, read without building the tokenizer.

Sources: the format of `tokenizer.json` (huggingface/tokenizers: BPE, WordPiece and WordLevel have token -> id, Unigram
a list), and what Transformers writes beside it. A vocabulary is walked through entry by entry where the file lies; of
everything but the added tokens nothing is kept.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tracer.checkpoint.files import Files
from tracer.checkpoint.json_object import read_object
from tracer.errors import InputError

FILE, ADDED, CONFIG = "tokenizer.json", "added_tokens.json", "tokenizer_config.json"
_LARGEST = 256 << 20
"""Bytes of a tokenizer.json that are looked at; those of 260,000 tokens have 35 million."""
_ROOMS = (1 << 14, 1 << 18, 1 << 23)
"""Bytes in which the end of the list of added tokens is looked for; it is parsed."""
_STRING = rb'"(?:[^"\\]|\\.)*+"'
_WHERE = re.compile(rb'"vocab"\s*:\s*([{\[])\s*')
_ADDED = re.compile(rb'"added_tokens"\s*:\s*(?=\[)')
_ENTRY = re.compile(_STRING + rb"\s*:\s*(\d{1,12})\s*(?:,\s*|(?=\}))", re.DOTALL)
_PIECE = re.compile(rb"\[\s*" + _STRING + rb"\s*,\s*[-+.\deE]{1,40}\s*\]\s*(?:,\s*|(?=\]))", re.DOTALL)


@dataclass
class Vocabulary:
    """The ids of a tokenizer."""

    largest: int = -1
    """Of the tokens that its model makes of any text; -1 where that is not known."""
    added: dict[int, str] = field(default_factory=dict)
    """Tokens beside the model's."""
    unread: str = ""
    """Why some of it is not known."""

    @property
    def ids(self) -> int:
        """As many as there are up to the largest of all."""
        return max(self.largest, *self.added, -1) + 1


def vocabulary_of(files: Files) -> Vocabulary | None:
    """Of the tokenizer beside a model on this machine; None where there is none, or only a kind that is not read."""
    if files.folder is None or files.one_file or not (files.has(FILE) or files.has(ADDED)):
        return None
    found = Vocabulary()
    try:
        if files.has(FILE):
            _of_file(files, found)
        if files.has(ADDED):
            found.added |= {number: token for token, number in read_object(files, ADDED, "config.invalid").items()
                            if type(number) is int and number >= 0}  # fmt: skip
    except InputError as error:
        found.unread = str(error)
    return found


def _of_file(files: Files, found: Vocabulary) -> None:
    with files.open(FILE) as opened:
        size = opened.seek(0, 2)
        if not 0 < size <= _LARGEST:
            raise InputError(f"{FILE} has {size} bytes, at most {_LARGEST} are looked at", subject=FILE)
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found.largest = _largest(content)
            found.added |= dict(_added(content))


def _largest(content: mmap.mmap) -> int:
    """Raises InputError for a vocabulary that goes on in another way than those of `tokenizers` do."""
    begin = _WHERE.search(content)
    if begin is None:
        raise InputError(f"{FILE} has no vocabulary", subject=FILE)
    listed, at, largest, count = begin[1] == b"[", begin.end(), -1, 0
    for match in (_PIECE if listed else _ENTRY).finditer(content, at):
        if match.start() != at:
            break
        at, count = match.end(), count + 1
        if not listed:
            largest = max(largest, int(match[1]))
    if content[at : at + 1] != (b"]" if listed else b"}"):
        raise InputError(f"{FILE}: byte {at}: expected a token of the vocabulary or its end", subject=FILE)
    return count - 1 if listed else largest


def _added(content: mmap.mmap) -> Iterator[tuple[int, str]]:
    """Raises InputError where the list is not one."""
    begin = _ADDED.search(content)
    if begin is None:
        return
    for token in _list_at(content, begin.end()):
        number = token.get("id") if isinstance(token, dict) else None
        if type(number) is int and number >= 0:
            yield number, str(token.get("content"))


def _list_at(content: mmap.mmap, begin: int) -> list[Any]:
    """The JSON list that begins there, read in pieces that grow. Raises InputError."""
    for room in _ROOMS:
        try:
            listed, _ = json.JSONDecoder().raw_decode(content[begin : begin + room].decode(errors="replace"))
        except (ValueError, RecursionError):
            continue
        return list(listed)
    raise InputError(f"{FILE}: its added tokens cannot be read", subject=FILE)


def used(files: Files, config: Mapping[str, Any]) -> tuple[set[int], set[str]]:
    """Ids and tokens that engines use of their own: to begin, to end, to pad."""
    ids, tokens = set[int](), set[str]()
    for own in (config, _object(files, "generation_config.json")):
        for name, value in own.items():
            if name.endswith("_token_id"):
                ids |= {each for each in (value if isinstance(value, list) else [value]) if type(each) is int}
    for name, value in _object(files, CONFIG).items():
        if name in _SPECIAL:
            said = value.get("content") if isinstance(value, dict) else value
            tokens |= {said} if isinstance(said, str) else set()
    return ids, tokens


_SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


def _object(files: Files, file: str) -> Mapping[str, Any]:
    try:
        return read_object(files, file, "config.invalid") if files.has(file) else {}
    except InputError:
        return {}
