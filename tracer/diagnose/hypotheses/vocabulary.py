"""The four numbers of a vocabulary, side by side: rows of the embedding, rows of the head, config.json, tokenizer."""

from __future__ import annotations

from dataclasses import dataclass

from mappings.params import VOCABULARY_MULTIPLE
from mappings.shards import padded
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diagnose.hypotheses.asked_ranks import ranks_of
from tracer.diagnose.hypotheses.question import Question
from tracer.diagnose.hypothesis import Hypothesis

_EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "token_embd", "embed_in", "tok_embeddings", "embeddings")
_HEADS = ("lm_head", "output", "embed_out", "head")


@dataclass(frozen=True)
class Vocabulary:
    """What is known of them; 0 where it is not."""

    embedding: TensorInfo
    head: TensorInfo | None
    config: int

    def table(self, tokenizer: int = 0) -> str:
        head = f"{self.head.shape[0]}" if self.head else "none, tied or absent"
        last = f", tokenizer {tokenizer}" if tokenizer else ""
        return f"embedding {self.embedding.shape[0]} rows, head {head}, config vocab_size {self.config}{last}"


def vocabulary_of(question: Question) -> Vocabulary | None:
    """None where no embedding is known."""
    matrices = [t for t in question.state.tensors if len(t.shape) == 2 and t.name.endswith(".weight")]
    named = {t.name.removesuffix(".weight").rpartition(".")[2]: t for t in reversed(matrices) if "vis" not in t.name}
    embedding = next((named[name] for name in _EMBEDDINGS if name in named), None)
    said = question.config.get("vocab_size")
    if embedding is None:
        return None
    head = next((named[name] for name in _HEADS if name in named), None)
    return Vocabulary(embedding, head, said if type(said) is int else 0)


def explain(question: Question) -> Hypothesis | None:
    """Two numbers that should be equal, one of them of the vocabulary."""
    complaint = question.complaint
    if complaint.kind != "shape" and not _of_words(question):
        return None
    found = vocabulary_of(question)
    if found is None:
        return None
    numbers = [*(shape[0] for shape in complaint.shapes if shape), *complaint.numbers]
    explains = (_odd_one, _padding, _by_design, _tokenizer)
    return next((answer for explain in explains if (answer := explain(question, found, numbers))), None)


def _of_words(question: Question) -> bool:
    text = question.complaint.text.lower()
    return "vocab" in text and ("size" in text or "lm_head" in text)


def _padding(question: Question, found: Vocabulary, numbers: list[int]) -> Hypothesis | None:
    """A share of the table as it is, against a share of it padded."""
    rows = found.embedding.shape[0]
    whole = padded(rows)
    asked = ranks_of(question.case)
    for tp in (asked, 2, 4, 8, 16):
        if tp < 2 or rows == whole or rows % tp or whole % tp or {rows // tp, whole // tp} - set(numbers):
            continue
        room, last = whole // tp, rows - (tp - 1) * (whole // tp)
        return question.answer(
            "vocab.padded", found.embedding.name,
            f"the vocabulary of {rows} is no multiple of {VOCABULARY_MULTIPLE} and is padded to {whole} for {tp} ranks:"
            f" each has room for {room} rows, the last holds rows {(tp - 1) * room} to {rows - 1} and {room - last} of"
            f" padding; the engine has allocated {rows // tp}, an even share of the unpadded {rows}, so the"
            " allocation is"
            " wrong and not the file",
            {"rows": rows, "padded": whole, "tp": tp, "room": room},
            "use tp 1, or a version of the engine that allocates the padded table for this format",
        )  # fmt: skip
    return None


def _odd_one(question: Question, found: Vocabulary, numbers: list[int]) -> Hypothesis | None:
    """Of a known architecture: config and one table agree, and the other was resized alone."""
    if found.head is None or question.state.plan is None:
        return None
    rows, head = found.embedding.shape[0], found.head.shape[0]
    if rows == head or found.config not in (rows, head) or not {rows, head} & set(numbers):
        return None
    odd, other = (found.head, found.embedding) if found.config == rows else (found.embedding, found.head)
    return question.answer(
        "vocab.padded", odd.name,
        f"{found.table()}: {other.name} and config.json agree at {found.config}, and {odd.name} alone has"
        f" {odd.shape[0]} rows ({odd.shape[0] - found.config:+}): one table was resized and the other was not",
        {"embedding": rows, "head": head, "config": found.config},
        f"resize both tables together, to {odd.shape[0]} rows or back to {found.config}",
    )  # fmt: skip


def _by_design(question: Question, found: Vocabulary, numbers: list[int]) -> Hypothesis | None:
    """An embedding with a few rows more than the head, whose number config.json says."""
    if found.head is None:
        return None
    rows, head = found.embedding.shape[0], found.head.shape[0]
    if (
        not 0 < rows - head <= _INPUT_ONLY
        or found.config not in (head, 0)
        or (numbers and not {rows, head} & set(numbers))
    ):
        return None
    return question.answer(
        "vocab.padded", found.embedding.name,
        f"{found.table()}: the {rows - head} rows that only the embedding has are tokens of the input (of images or the"
        " like), which can never be generated; as it should be for such models: neither pad nor tie",
        {"embedding": rows, "head": head, "config": found.config}, "leave both as they are", severity="info",
    )  # fmt: skip


_INPUT_ONLY = 64


def _tokenizer(question: Question, found: Vocabulary, numbers: list[int]) -> Hypothesis | None:
    """All of the checkpoint agrees, and a third number was asked for."""
    rows = found.embedding.shape[0]
    head = found.head.shape[0] if found.head else rows
    if not rows == head == found.config or rows not in numbers:
        return None
    other = next((number for number in numbers if 0 < number != rows and number > rows // 2), None)
    if other is None or other > rows:
        return None
    return question.answer(
        "vocab.padded", found.embedding.name,
        f"{found.table(other)}: config, embedding and head agree at {rows}, and {other} is the tokenizer's; the"
        f" {rows - other} rows more are padding that the tokenizer never produces; do not shrink the table to it",
        {"embedding": rows, "head": head, "config": found.config, "tokenizer": other},
        f"leave vocab_size at {rows}, and do not resize the embeddings to len(tokenizer)", severity="info",
    )  # fmt: skip
