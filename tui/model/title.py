"""The left of the top line: what is open, and with how many ranks it is looked at."""

from __future__ import annotations

from pathlib import Path

from mappings.names import runs
from tui.model.columns import cut, wide
from tui.model.line import Line, Span
from tui.model.subject import Subject

_LEAST = 12
"""Cells of the name that stay, whatever else there is."""


def title(where: str | None, subject: Subject | None, tp: int, rank: int, width: int) -> Line:
    """The name gives way, the ranks do not."""
    named = subject.title if subject else where or "the embedded default"
    cuts = _cuts(subject, tp, rank)
    room = max(width - wide(cuts) - 1, _LEAST)
    return Span(f" {cut(Path(named).name or named, room)}", "strong"), Span(cuts)


def _cuts(subject: Subject | None, tp: int, rank: int) -> str:
    if subject is None or (subject.prepared is None and subject.store is None):
        return ""
    return f"{_how(subject, tp, rank)}  tp {tp}  rank {rank}"


def _how(subject: Subject, tp: int, rank: int) -> str:
    """Of a trace, whether what is shown was observed, and whether it is in it at all."""
    if subject.store is None:
        return ""
    run = subject.store.run
    if run.tp != tp:
        return "  planned"
    ranks = f"rank{'s' if len(run.ranks) > 1 else ''} {runs(run.ranks)}"
    of = f" of {ranks} only" if 0 < len(run.ranks) < run.tp else ""
    if rank not in run.ranks and subject.stage != "headers":  # until then no rank is chosen
        return f"  planned, trace{of}"
    return f"  trace{of}" if run.observed else f"  trace{of}, planned"
