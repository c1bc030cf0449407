"""Which published model has these widths: `fixtures.fingerprints`, brought to the widths that shapes show."""

from __future__ import annotations

from collections.abc import Iterator

from fixtures.fingerprints import Published, table
from tracer.infer.shapes.forward import widths_of
from tracer.infer.shapes.guess import Match
from tracer.infer.shapes.solve import Fit

_MAY_DIFFER = frozenset({"vocab"})
"""Fine-tunes add words; all else makes another model."""
_MATCHES = 4


def matches(fit: Fit) -> tuple[Match, ...]:
    """Models equal in every width that their numbers tell, the exact ones first; else those of another vocabulary."""
    found = sorted(_near(fit), key=lambda match: len(match.differs))
    exact = [match for match in found if match.exact]
    return tuple((exact or found)[:_MATCHES])


def _near(fit: Fit) -> Iterator[Match]:
    for row in table():
        if row.architecture in fit.family.architectures:
            differs = _differences(fit, row)
            if differs is not None and differs.keys() <= _MAY_DIFFER:
                yield Match(row.name, row.architecture, row.source, differs)


def _differences(fit: Fit, row: Published) -> dict[str, tuple[int, int]] | None:
    """None where the model stores other tensors: a head of its own, or none."""
    tied = row.fields.get("tie_word_embeddings")
    if tied is not None and "untied" in fit.family.tags and tied is ("untied" in fit.tags):
        return None
    there = widths_of(fit.family, row.fields)
    return {w: (size, there[w]) for w, size in fit.widths.items() if w in there and there[w] != size}


def likeliest(fit: Fit, found: tuple[Match, ...]) -> tuple[str, ...]:
    """The family's architectures, that of a published model of these widths first, or of its vocabulary."""
    order = [match.architecture for match in found if match.exact]
    if not order and "vocab" in fit.widths:
        same = [row.architecture for row in table() if row.fields.get("vocab_size") == fit.widths["vocab"]]
        order = sorted(same, key=lambda name: -same.count(name))
    known = [name for name in order if name in fit.family.architectures]
    return tuple(dict.fromkeys([*known, *fit.family.architectures]))
