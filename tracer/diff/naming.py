"""The half of the verdict that headers give: whose names, shapes and dtypes are whose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from mappings.names import runs
from tracer.diff.compared import Comparison, Pair
from tracer.diff.fusing import Fusion
from tracer.diff.pairing import Renamed
from tracer.diff.phrases import layer, listed
from tracer.diff.weights import Weight
from tracer.report.words import plural

_MOSTLY = 0.8
_APART = 0.5
"""Cosine of numbers that have nothing to do with one another."""
_OTHERWISE = ("rename", "rows")
"""How a pair was found whose names differ."""
OTHER = {"A": "B", "B": "A"}


def clauses(comparison: Comparison) -> Iterator[str]:
    """One for each way in which the names do not simply agree."""
    pairing = comparison.pairing
    told = _relation(comparison)
    if pairing.by_rows:
        yield (f"{told}: {pairing.by_row_pairs} of {len(comparison.b.weights)} of B by the"
               f" rows of {pairing.by_rows}")  # fmt: skip
    if pairing.renamed:
        many = ", and ".join(_edit(comparison, renamed) for renamed in pairing.renamed)
        yield f"{told}: {many}"
    if pairing.fusions:
        yield "; ".join(fused(comparison))
    if pairing.only_a or pairing.only_b:
        yield lacking(comparison)


def _relation(comparison: Comparison) -> str:
    """What tensors with other names are to each other, as far as it was compared."""
    if _strangers(comparison):
        return "other tensors of the same shapes, whose names agree under an edit"
    mostly, renamed = _mostly(comparison), [pair for pair in comparison.pairs if pair.how in _OTHERWISE]
    if all(pair.valued for pair in renamed):
        return f"{'the same' if mostly else 'some'} tensors under other names"
    if all(pair.shaped and not pair.resized for pair in renamed):
        return f"{'the same' if mostly else 'some'} shapes under other names"
    return f"{'the same' if mostly else 'some'} names but for an edit"


def _mostly(comparison: Comparison) -> bool:
    """Whether the smaller side is found in the other but for a remainder."""
    fewest = min(len(comparison.a.weights), len(comparison.b.weights))
    return max(comparison.pairing.matched_a, comparison.pairing.matched_b) >= _MOSTLY * fewest


def _strangers(comparison: Comparison) -> bool:
    """Whether the numbers say that what is called otherwise is something else."""
    found = [pair.valued for pair in comparison.pairs if pair.how in _OTHERWISE and pair.valued]
    apart = [each for each in found if each.distance and each.relation == "differs" and each.distance.cosine < _APART]
    return 2 * len(apart) > len(found)


def _edit(comparison: Comparison, renamed: Renamed) -> str:
    """`strip `language_model.` from 729 of 729 names of B`."""
    rewrite = renamed.rewrite
    total = len((comparison.a if renamed.of == "A" else comparison.b).weights)
    word = "from" if rewrite.edit.takes_away else "in"
    return f"{rewrite.edit} {word} {rewrite.mapped} of {total} names of {renamed.of}"


def fused(comparison: Comparison) -> Iterator[str]:
    """`q_proj, k_proj, v_proj of A are one tensor in B, 32 times (96 -> 32)`."""
    kinds: Counter[tuple[str, str, bool]] = Counter()
    parts: Counter[tuple[str, str, bool]] = Counter()
    for fusion in comparison.pairing.fusions:
        key = fusion.whole_of, _called(fusion), fusion.turned
        kinds[key] += 1
        parts[key] += len(fusion.parts)
    for (whole_of, called, turned), times in kinds.items():
        how = ", each transposed" if turned else ""
        count = parts[whole_of, called, turned]
        yield f"{called} of {OTHER[whole_of]} are one tensor in {whole_of}{how}: {count} -> {times}"


def _called(fusion: Fusion) -> str:
    if not fusion.stacked:
        return fusion.kind
    names = sorted({part.name.rpartition(".")[0].rpartition(".")[2] for part in fusion.parts})
    return f"{', '.join(names)} of all experts"


def lacking(comparison: Comparison) -> str:
    """`B lacks 3 of A's 291 tensors (...) and has 12 more (...)`."""
    only_a, only_b = comparison.pairing.only_a, comparison.pairing.only_b
    total = len(comparison.a.weights)
    has = f"has {plural(len(only_b), 'tensor')} that A lacks ({_kinds(comparison, only_b)})"
    if not only_a:
        return f"B {has}"
    lacks = f"B lacks {len(only_a)} of A's {total} tensors ({_kinds(comparison, only_a)})"
    return f"{lacks} and {has}" if only_b else lacks


def _kinds(comparison: Comparison, weights: list[Weight]) -> str:
    """Whole layers where they are, else what the names begin with."""
    layers = {layer(weight.name) for weight in weights}
    paired = {layer(weight.name) for pair in comparison.pairs for weight in (*pair.a, *pair.b)}
    whole = {found for found in layers if found is not None} - paired
    if whole and None not in layers and layers == whole:
        return f"all of layer{'s' if len(whole) > 1 else ''} {runs(whole)}"
    if len(weights) <= 2:
        return listed(weight.name for weight in weights)
    heads = Counter(_head(weight.name) for weight in weights)
    return listed(f"{count} in {head}" for head, count in heads.most_common())


def _head(name: str) -> str:
    segments = name.split(".")
    end = next((place for place, segment in enumerate(segments) if segment.isdigit()), max(1, len(segments) - 1))
    return ".".join(segments[: max(1, min(end, 3))])


def dtypes(comparison: Comparison, pairs: Sequence[Pair]) -> str:
    """`F32 -> BF16 in 290 of 291`, of some of all pairs; empty where none differs."""
    changed = Counter((_kind(pair.a), _kind(pair.b)) for pair in pairs if pair.retyped)
    total = len(comparison.pairs)
    return listed(f"{one} -> {other} in {count} of {total}" for (one, other), count in changed.most_common())


def _kind(weights: tuple[Weight, ...]) -> str:
    return ", ".join(sorted({weight.kind for weight in weights}))


def shapes(comparison: Comparison) -> str:
    """`(32000, 8) -> (32016, 8) in embed_tokens`; empty where none differs."""
    changed: dict[tuple[object, object], list[str]] = {}
    for pair in comparison.pairs:
        if pair.resized:
            changed.setdefault((pair.a[0].shape, pair.b[0].shape), []).append(pair.subject)
    return listed(f"{one} -> {other} in {_some(names)}" for (one, other), names in changed.items())


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else plural(len(names), "tensor")
