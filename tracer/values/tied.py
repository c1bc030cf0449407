"""tie.conflict: whether a head that is stored although config.json ties it is the embedding, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mappings.findings import Finding
from tracer.checks import Check
from tracer.values.statistics import Statistics

_NAME = "values.tied"
_HEADS = ("lm_head.weight", "embed_out.weight")
_TABLES = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight")


def tied(scanned: Sequence[Statistics], config: Mapping[str, Any]) -> Iterator[Check]:
    """Ok where the two are equal, an error where they are not; nothing where there are no two."""
    if not _ties(config):
        return
    heads = [each for each in scanned if each.digest and each.name.endswith(_HEADS)]
    tables = [each for each in scanned if each.digest and each.name.endswith(_TABLES)]
    if len(heads) != 1 or len(tables) != 1:
        return
    (head,), (table,) = heads, tables
    if (head.shape, head.dtype) != (table.shape, table.dtype) or head.nbytes == 0:
        return
    evidence = {"tensors": [head.name, table.name]}
    if head.digest == table.digest:
        yield Check(_NAME, f"{head.name} and {table.name} are equal, byte for byte, as config.json says")
        return
    message = (
        f"the stored head {head.name} is not the embedding {table.name}, and config.json ties them: a loader that ties"
        " drops the head"
    )
    fix = "set tie_word_embeddings to false if the head was trained, or remove it from the files"
    found = Finding("tie.conflict", "error", head.name, message, evidence, fix)
    yield Check(_NAME, f"{head.name} and {table.name}", (found,))


def _ties(config: Mapping[str, Any]) -> bool:
    """Whether it says so anywhere, and nowhere that they are not tied."""
    parts = [config, *(part for part in config.values() if isinstance(part, dict))]
    said = [part["tie_word_embeddings"] for part in parts if "tie_word_embeddings" in part]
    return bool(said) and all(value is True for value in said)
