"""What differs, folded over layers and experts: a line a template and kind of difference, nothing lost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mappings.names import Indices, blank, fold
from tracer.diff.compared import Comparison, Pair, Valued
from tracer.diff.phrases import middle, number, percent
from tracer.diff.weights import Weight

SCREEN = 30
"""Lines without --all."""


@dataclass(slots=True)
class Line:
    """One template and what its tensors have in common."""

    template: str
    indices: list[Indices] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)

    @property
    def name(self) -> str:
        return fold(self.template, self.indices) if self.indices[0] else self.template


def lines(comparison: Comparison, whole: bool) -> Iterator[str]:
    """The table; with `whole` every line of it, and one a tensor."""
    found = rows(comparison, whole)
    shown = found if whole else found[:SCREEN]
    widths = [max((len(row[column]) for row in shown), default=0) for column in range(2)]
    for name, count, told in shown:
        yield f"  {name:<{widths[0]}}  {count:>{widths[1]}}  {told}".rstrip()
    if len(shown) < len(found):
        yield f"  ({len(found) - len(shown)} more lines; --all shows them)"


def rows(comparison: Comparison, whole: bool) -> list[tuple[str, str, str]]:
    """Its lines in three cells: names, how many, and what is to be said of them."""
    return [*_pairs(comparison, whole), *_one_sided(comparison, whole)]


def _pairs(comparison: Comparison, whole: bool) -> Iterator[tuple[str, str, str]]:
    groups: dict[tuple[str, ...], Line] = {}
    for pair in comparison.pairs:
        told = _told(pair)
        if not told or (pair.how == "rename" and told[1:] in ((), ("equal",)) and not whole):
            continue  # the edit of names has said it
        template, indices = (pair.subject, ()) if whole else blank(pair.subject)
        line = groups.setdefault((template, *told), Line(template))
        line.indices.append(indices)
        line.pairs.append(pair)
    for (_, *parts), line in groups.items():
        yield line.name, f"x{len(line.pairs)}", ", ".join([*parts, *_figures(line.pairs)])


def _told(pair: Pair) -> tuple[str, ...]:
    """What is to be said of a pair, but for figures; empty where nothing differs."""
    if pair.alike and pair.how == "name" and pair.valued is None and not pair.unchecked:
        return ()
    said = []
    if len(pair.a) > 1 or len(pair.b) > 1:
        said.append(_fusion(pair))
    elif pair.how != "name":
        said.append(f"is {blank(pair.b[0].name)[0]}")
    if pair.resized:
        said.append(f"{pair.a[0].shape} -> {pair.b[0].shape}")
    if pair.retyped:
        said.append(f"{_kinds(pair.a)} -> {_kinds(pair.b)}")
    if pair.valued and pair.valued.relation != "equal":
        said.append(_relation(pair.valued))
    elif said and pair.valued:
        said.append("equal as far as both have it" if pair.resized else "equal")
    if pair.unchecked:
        said.append(f"not checked: {pair.unchecked}")
    return tuple(said)


def _fusion(pair: Pair) -> str:
    one, other = (pair.a, pair.b) if len(pair.a) == 1 else (pair.b, pair.a)
    where = "one tensor in A" if len(pair.a) == 1 else "one tensor in B"
    others = list(dict.fromkeys(blank(weight.name)[0] for weight in other))
    named = blank(one[0].name)[0] if len(pair.b) == 1 else ", ".join(others[:4])
    return f"{where}, {len(other)} in {'B' if len(pair.a) == 1 else 'A'}: {named}"


def _kinds(weights: Sequence[Weight]) -> str:
    return ", ".join(sorted({weight.kind for weight in weights}))


def _relation(valued: Valued) -> str:
    match valued.relation:
        case "cast":
            return f"{valued.rounded} is rounded to {valued.detail}"
        case "rotary":
            return f"rotary order of {valued.detail}"
        case "scaled":
            return f"B is {valued.detail} times A"
        case "moved":
            return "equal to another tensor of A"
        case "differs" if valued.rank is not None and valued.rank.rank:
            return f"differs by rank {valued.rank.rank}{' (sampled)' if valued.rank.sampled else ''}"
        case other:
            return other


def _figures(pairs: Sequence[Pair]) -> Iterator[str]:
    """The range of each distance over a template."""
    found = [pair.valued.distance for pair in pairs if pair.valued and pair.valued.distance]
    found = [distance for distance in found if distance.differing or distance.nan_a or distance.nan_b]
    if not found:
        return
    errors = [distance.relative for distance in found]
    yield f"relative {percent(middle(errors))}" + (f" (max {percent(max(errors))})" if len(found) > 1 else "")
    yield f"max |a - b| {number(max(distance.largest for distance in found))}"
    cosines = [distance.cosine for distance in found if not math.isnan(distance.cosine)]
    if cosines:
        yield f"cosine {min(cosines):.4f}"
    for side, count in Counter(distance.zero_in for distance in found if distance.zero_in).items():
        yield f"zero in {side}" + (f": {count}" if count < len(found) else "")
    for side, count in (("A", sum(d.nan_a for d in found)), ("B", sum(d.nan_b for d in found))):
        if count:
            yield f"NaN only in {side}: {count:,}"


def _one_sided(comparison: Comparison, whole: bool) -> Iterator[tuple[str, str, str]]:
    for side, weights in (("A", comparison.pairing.only_a), ("B", comparison.pairing.only_b)):
        groups: dict[tuple[str, str], Line] = {}
        for weight in weights:
            template, indices = (weight.name, ()) if whole else blank(weight.name)
            kept = f"{weight.kind} {weight.shape}" if weight.shape is not None else ""
            groups.setdefault((template, kept), Line(template)).indices.append(indices)
        for (_, kept), line in groups.items():
            yield line.name, f"x{len(line.indices)}", f"only in {side}  {kept}".rstrip()
