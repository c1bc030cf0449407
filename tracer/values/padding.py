"""vocab.padded, as the values show it: rows of zeros at the end of a table of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mappings.findings import Finding
from tracer.report.words import plural
from tracer.values.roles import is_vocabulary, is_weight
from tracer.values.statistics import Statistics


def padding(scanned: Sequence[Statistics], config: Mapping[str, Any]) -> Iterator[Finding]:
    """Worth knowing: no token that the tokenizer makes should have one of these rows."""
    for each in scanned:
        if not is_vocabulary(each) or not is_weight(each) or each.all_zero or not each.shape[0]:
            continue
        rows = each.zeroes.trailing // (each.nbytes // each.shape[0])
        if rows:
            yield _finding(each, rows, config.get("vocab_size"))


def _finding(found: Statistics, rows: int, vocabulary: object) -> Finding:
    said = f"; config.json says vocab_size {vocabulary}" if vocabulary is not None else ""
    message = f"{found.name}: the last {plural(rows, 'row')} of {found.shape[0]:,} are zero: padding{said}"
    evidence = {"rows": found.shape[0], "zero_rows": rows, "vocab_size": vocabulary}
    return Finding("vocab.padded", "info", found.name, message, evidence)
