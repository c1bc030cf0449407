"""The tokenizer against the embedding: each id that it makes must have a row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from mappings.findings import Finding, Severity
from tracer.checkpoint.consistency import some
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.formats import GGUF
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.doctor.chart import Chart
from tracer.doctor.vocabulary import FILE, Vocabulary, used, vocabulary_of
from tracer.infer.roles import ROLES, SENSES

_TABLES = tuple(f".{path}.weight" for path, role in ROLES.items() if role in ("embed", "embed_more"))
_MORE = tuple(f".{path}.weight" for path, role in ROLES.items() if role == "embed_more")
_WORD = re.compile(r"[a-z]+")


def examine_tokens(checkpoint: Checkpoint, chart: Chart) -> None:
    """`config.conflict` where a token has no row. More rows than tokens are padding, as most models have it.

    A GGUF file has its own tokenizer, which its reader compares.
    """
    found = None if checkpoint.format is GGUF else vocabulary_of(checkpoint.files)
    if found is None:
        return
    if not checkpoint.tensors:
        chart.unchecked("config", "tokenizer: no header is here that would tell the rows of the embedding")
        return
    if found.unread:
        chart.unchecked("config", f"tokenizer: {found.unread}")
    rows, where = _rows(checkpoint.tensors)
    if not rows:
        chart.unchecked("config", "tokenizer: which tensor is the embedding of its words is not known")
    elif found.ids > rows:
        chart.found(_beyond(found, rows, where, checkpoint))
    elif not found.unread:
        chart.told("config", f"the {found.ids:,} ids of the tokenizer have rows, of which {where} has {rows:,}")


def _rows(tensors: Sequence[TensorInfo]) -> tuple[int, str]:
    """Rows of the embedding and its name; 0 where there is none, or where several differ."""
    tables = [t for t in tensors if len(t.shape) == 2 and f".{t.name}".endswith(_TABLES) and not _is_of_a_sense(t.name)]
    more = sum(table.shape[0] for table in tables if table.name.endswith(_MORE))
    plain = [table for table in tables if not table.name.endswith(_MORE)]
    if len({table.shape[0] for table in plain}) != 1:
        return 0, ""
    return plain[0].shape[0] + more, plain[0].name


def _is_of_a_sense(name: str) -> bool:
    """Whether a word of it is of seeing or hearing."""
    return not SENSES.isdisjoint(_WORD.findall(name.lower()))


def _beyond(found: Vocabulary, rows: int, where: str, checkpoint: Checkpoint) -> Iterator[Finding]:
    """How bad it is depends on who comes upon such a token."""
    lost = {number: token for number, token in sorted(found.added.items()) if number >= rows}
    severity, what = _judged(found, rows, lost, checkpoint)
    yield Finding(
        "config.conflict", severity, FILE,
        f"the tokenizer has ids up to {found.ids - 1}, {where} has {rows} rows: {what}",
        {"ids": found.ids, "rows": rows, "tokens": list(lost.values())},
        None if severity == "info" else _FIX,
    )  # fmt: skip


_FIX = "take the tokenizer that belongs to the weights, or resize the embedding to the tokenizer"


def _judged(
    found: Vocabulary, rows: int, lost: Mapping[int, str], checkpoint: Checkpoint
) -> tuple[Severity, str]:  # fmt: skip
    """Models without towers keep the tokenizer of those with, whose tokens of images nobody uses (Gemma 3 of 1B)."""
    ids, tokens = used(checkpoint.files, checkpoint.config or {})
    wanted = [token for number, token in lost.items() if number in ids or token in tokens]
    if found.largest >= rows:
        return "error", f"text is made of ids {rows} to {found.largest} too, which have none"
    if wanted:
        return "error", f"{some(wanted)}, which every engine uses, has none"
    if all(_is_of_a_sense(token) for token in lost.values()):
        return "info", f"{some(list(lost.values()))} has none, and only a model with towers uses it"
    return "warning", f"{some(list(lost.values()))} has none, and the first text that holds it reads beyond the table"
