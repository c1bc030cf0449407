"""The tokenizer beside a model against its embedding; `tokenizers` itself is the second opinion on what a file has."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models

from tests.tracer.doctor.test_peers import GEMMA2, gemma2
from tests.tracer.doctor.told import Told, write_json, write_safetensors
from tracer.checkpoint.files import LocalFiles
from tracer.doctor.vocabulary import vocabulary_of

ROWS = gemma2()["model.embed_tokens.weight"][0]


def words(count: int) -> dict[str, int]:
    return {f"w{number}": number for number in range(count)}


def tokenizer(vocab: dict[str, int], added: list[str] | None = None) -> dict[str, Any]:
    own = Tokenizer(models.WordLevel(vocab, unk_token=next(iter(vocab))))
    own.add_tokens([AddedToken(token) for token in added or []])
    found: dict[str, Any] = json.loads(own.to_str())
    return found


def model(folder: Path, files: dict[str, Any], config: dict[str, Any] | None = None) -> Told:
    folder.mkdir(exist_ok=True)
    write_json(folder / "config.json", GEMMA2 | (config or {}))
    write_safetensors(folder / "model.safetensors", {name: ("BF16", shape) for name, shape in gemma2().items()})
    for name, content in files.items():
        write_json(folder / name, content)
    return Told(folder)


@pytest.mark.parametrize("kind", ["BPE", "Unigram", "WordPiece", "WordLevel"])
@settings(max_examples=20, deadline=None)
@given(
    pieces=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), min_size=1, unique=True),
    added=st.lists(st.sampled_from(["<a>", '"vocab": {', "\\", "<image>"]), unique=True),
)
@example(pieces=['"', "\\", '\\"', "}", "\u2028", '"vocab"'], added=[])
def test_ids_are_those_that_tokenizers_has(
    kind: str, pieces: list[str], added: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, ids = tmp_path_factory.mktemp("t"), {piece: number for number, piece in enumerate(pieces)}
    own = Tokenizer({
        "BPE": lambda: models.BPE(ids, []), "Unigram": lambda: models.Unigram([(piece, -1.5) for piece in pieces], 0),
        "WordPiece": lambda: models.WordPiece(ids, unk_token=pieces[0]),
        "WordLevel": lambda: models.WordLevel(ids, unk_token=pieces[0]),
    }[kind]())  # fmt: skip
    own.add_tokens(added)
    own.save(str(folder / "tokenizer.json"), pretty=bool(len(pieces) % 2))
    found = vocabulary_of(LocalFiles(folder))
    assert found is not None
    assert (found.unread, found.largest) == ("", len(pieces) - 1)
    assert found.ids == max(own.get_vocab(with_added_tokens=True).values()) + 1


@pytest.mark.parametrize("less", [0, 3])
def test_as_many_ids_as_rows_or_fewer_are_in_order(less: int, tmp_path: Path) -> None:
    told = model(tmp_path, {"tokenizer.json": tokenizer(words(ROWS - less))})
    assert told.codes("error", "warning") == set()
    assert f"the {ROWS - less:,} ids of the tokenizer have rows" in told.check("config").told


EXTRA = tokenizer(words(ROWS), ["<tool>"])


@pytest.mark.parametrize(("files", "config", "severity", "says"), [
    ({"tokenizer.json": tokenizer(words(ROWS + 2))}, {}, "error", f"ids {ROWS} to {ROWS + 1} too, which have none"),
    ({"tokenizer.json": EXTRA}, {}, "warning", "<tool> has none, and the first text that holds it"),
    ({"tokenizer.json": EXTRA}, {"pad_token_id": ROWS}, "error", "<tool>, which every engine uses, has none"),
    ({"tokenizer.json": EXTRA, "generation_config.json": {"eos_token_id": [1, ROWS]}}, {}, "error", "<tool>, which"),
    ({"tokenizer.json": EXTRA, "tokenizer_config.json": {"pad_token": {"content": "<tool>"}}}, {}, "error", "<tool>"),
    ({"tokenizer.json": tokenizer(words(ROWS), ["<image_soft_token>"])}, {}, "info", "only a model with towers"),
    ({"added_tokens.json": {"[PAD]": ROWS}, "tokenizer_config.json": {"pad_token": "[PAD]"}}, {}, "error", "[PAD]"),
])  # fmt: skip
def test_a_token_without_a_row_is_told_by_who_comes_upon_it(
    files: dict[str, Any], config: dict[str, Any], severity: str, says: str, tmp_path: Path
) -> None:
    told = model(tmp_path, files, config)
    finding = told["config.conflict"]
    assert (finding.severity, finding.subject) == (severity, "tokenizer.json")
    assert f"model.embed_tokens.weight has {ROWS} rows" in finding.message
    assert says in finding.message
    assert told.status == (severity == "error")


@pytest.mark.parametrize(("content", "reason"), [
    ('{"model": {"type": "BPE"}}', "has no vocabulary"),
    ('{"model": {"vocab": {"a": "b"}}}', "byte 21: expected a token of the vocabulary or its end"),
    ('{"added_tokens": [{"id": 1,, "model": {"vocab": {"a": 0}}}', "its added tokens cannot be read"),
])  # fmt: skip
def test_what_is_no_tokenizer_is_not_checked(content: str, reason: str, tmp_path: Path) -> None:
    model(tmp_path, {})
    (tmp_path / "tokenizer.json").write_text(content)
    told = Told(tmp_path)
    assert "config.conflict" not in told.codes()
    assert reason in told.check("config").unchecked


def test_two_embeddings_of_different_sizes_are_not_compared(tmp_path: Path) -> None:
    model(tmp_path, {"tokenizer.json": EXTRA})
    shapes = gemma2() | {"other.embed_tokens.weight": (ROWS + 8, 16)}
    write_safetensors(tmp_path / "model.safetensors", {name: ("BF16", shape) for name, shape in shapes.items()})
    told = Told(tmp_path)
    assert "tokenizer: which tensor is the embedding of its words is not known" in told.check("config").unchecked


def test_a_large_vocabulary_takes_no_memory(tmp_path: Path) -> None:
    vocab = ",".join(f'"w{number}{"x" * 100}":{number}' for number in range(100_000))
    (tmp_path / "tokenizer.json").write_text(f'{{"added_tokens":[],"model":{{"type":"BPE","vocab":{{{vocab}}}}}}}')
    tracemalloc.start()
    try:
        found = vocabulary_of(LocalFiles(tmp_path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found is not None
    assert found.ids == 100_000
    assert peak < 10**6 < len(vocab)
