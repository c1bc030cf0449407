"""The one sentence: what a person would say of B, who knows A."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from mappings.names import Indices, blank, runs
from tracer.diff import fields, naming
from tracer.diff.compared import Comparison, Distance, Pair, Relation
from tracer.diff.phrases import listed, middle, module, number, percent, where
from tracer.report.words import plural

_FEW = 0.02
"""Share of tensors up to which what differs is named, and nothing is said of the whole."""
_ALIKE, _UNRELATED = 0.9, 0.5
"""Median cosine above which B was made from A, and below which it was not; no fine-tune goes as far as the latter."""
_DIGESTS = (("by digest", "reports"), ("by pointer", "pointers"))


def sentence(comparison: Comparison) -> str:
    """The verdict."""
    if not comparison.pairs:
        return "; ".join([_nothing_in_common(comparison), *_files(comparison)])
    said = [*naming.clauses(comparison), *map(str, comparison.ties), *_kept(comparison), *_values(comparison)]
    if not said:
        said = [_same(comparison)]
    return "; ".join([*said, *_not_read(comparison), *_files(comparison), *_config(comparison)])


def _nothing_in_common(comparison: Comparison) -> str:
    a, b = len(comparison.a.weights), len(comparison.b.weights)
    if not a and not b:
        return "neither A nor B has tensors whose names are known here"
    if not a or not b:
        known, unknown = "AB" if a else "BA"
        return f"the names of {unknown}'s tensors are not known here, those of {max(a, b)} in {known} are"
    return f"nothing in common: none of A's {a} names is one of B's {b}, under no single edit of names either"


def _same(comparison: Comparison) -> str:
    a, b = comparison.a, comparison.b
    tensors = plural(max(len(side.checkpoint.names) for side in (a, b)), "tensor")
    known = "" if comparison.shaped < len(comparison.pairs) else ", shapes and dtypes"
    if not comparison.with_values:
        return f"the same names{known}: {tensors}"
    if len(comparison.compared) < len(comparison.pairs):
        equal = len(comparison.valued("equal"))
        return f"the same names{known}; {equal} of {len(comparison.pairs)} tensors are equal"
    whole = not comparison.fields and (a.checkpoint.config is None) == (b.checkpoint.config is None)
    return f"the same {'checkpoint' if whole else 'tensors'}: {tensors} {_how_equal(comparison)}"


def _how_equal(comparison: Comparison) -> str:
    """Byte for byte, unless some had to be cut, joined or converted before they could be compared."""
    equal = comparison.valued("equal")
    if any(pair.resized for pair in equal):
        return "equal, as far as both have them"
    stored = Counter(pair.valued.detail for pair in equal if pair.valued and pair.valued.detail)
    if stored["by pointer"] == len(equal):
        return "equal byte for byte by the digests of the pointers"
    if stored:
        told = [f"{stored[detail]} of them by the digests of the {of}" for detail, of in _DIGESTS if stored[detail]]
        return f"equal, {' and '.join(told)}"
    return "equal" if any(pair.valued and pair.valued.distance for pair in equal) else "equal byte for byte"


def _not_read(comparison: Comparison) -> Iterator[str]:
    left = len(comparison.pairs) - len(comparison.compared)
    if not comparison.with_values:
        yield "values were not compared (--values)"
    elif left:
        yield f"{left} of {plural(len(comparison.pairs), 'tensor')} could not be compared"


def _files(comparison: Comparison) -> Iterator[str]:
    """What pointers tell of whole files, as far as it was not said of their tensors."""
    files = comparison.files
    equal = [file.a for file in files if file.equal]
    other = [file.a for file in files if file.equal is False]
    if equal and not (comparison.with_values and comparison.pairs and not other):
        yield f"by the digests of the pointers {_of_files(equal, len(files))} equal byte for byte"
    if other:
        yield f"by the pointers {_of_files(other, len(files))} not the same file in B"


def _of_files(names: Sequence[str], total: int) -> str:
    if len(names) == total and total > 1:
        return f"all {total} files are"
    return f"{names[0]} is" if len(names) == 1 else f"{len(names)} of {total} files are"


def _config(comparison: Comparison) -> Iterator[str]:
    if not comparison.same_but_for_config:
        return
    if comparison.weighty_fields:
        yield f"but config.json differs in {fields.listed(comparison.weighty_fields)}"
    elif comparison.idle_fields:
        paths = listed(each.path for each in comparison.idle_fields)
        yield f"config.json differs only in what changes nothing that is loaded ({paths})"
    if comparison.config_lost:
        yield f"but {comparison.config_lost} has no config.json"


def _kept(comparison: Comparison) -> Iterator[str]:
    """Shapes and dtypes; where values were compared, those say what became of the dtypes."""
    if shapes := naming.shapes(comparison):
        yield f"shapes differ: {shapes}"
    unread = [pair for pair in comparison.pairs if pair.valued is None]
    quantised = [pair for pair in unread if pair.quantised]
    if quantised:
        yield _quantised_by_name(comparison, quantised)
    elif dtypes := naming.dtypes(comparison, unread):
        yield f"dtypes differ: {dtypes}"


def _quantised_by_name(comparison: Comparison, quantised: Sequence[Pair]) -> str:
    one, other, kinds = _schemes(quantised)
    told = f"{kinds} in {len(quantised)} of {len(comparison.pairs)} weights"
    return f"{one} is {other} quantised, by names and shapes: {told}" if one else f"quantised differently: {told}"


def _schemes(pairs: Sequence[Pair]) -> tuple[str, str, str]:
    """Who is quantised, from whom, and how; nobody is named where both are."""
    a = Counter(str(pair.a[0].scheme) for pair in pairs if pair.a[0].scheme)
    b = Counter(str(pair.b[0].scheme) for pair in pairs if pair.b[0].scheme)
    if a and b:
        both = Counter(f"{pair.a[0].kind} -> {pair.b[0].kind}" for pair in pairs)
        return "", "", listed(text for text, _ in both.most_common())
    return ("A", "B", listed(a)) if a else ("B", "A", listed(b))


# --- values ---


def _values(comparison: Comparison) -> Iterator[str]:
    """One clause for each thing that was done; what merely differs last."""
    if not comparison.with_values:
        return
    told = [clause for clause in (say(comparison) for say in _CLAUSES) if clause]
    plain = comparison.valued("equal")
    if told or any(naming.clauses(comparison)) or any(_kept(comparison)):
        yield from told
        if plain and len(plain) == len(comparison.pairs):
            yield f"{'all ' if len(plain) > 1 else ''}{plural(len(plain), 'tensor')} {_how_equal(comparison)}"
        elif (told or any(_kept(comparison))) and (plain := [pair for pair in plain if not pair.retyped]):
            yield f"{len(plain)} of {len(comparison.pairs)} tensors equal"


def _quantised(comparison: Comparison) -> str:
    pairs = [pair for pair in comparison.differing if pair.quantised and not _exact(pair)]
    distances = _distances(pairs)
    if not distances:
        return ""
    one, other, kinds = _schemes(pairs)
    errors = [distance.relative for distance in distances]
    worst = max(pairs, key=_relative)
    error = (f"after dequantisation relative error {percent(middle(errors))} (median; max {percent(max(errors))}"
             f" in {worst.subject})")  # fmt: skip
    many = f"{kinds} in {len(pairs)} of {len(comparison.pairs)} weights"
    if middle([distance.cosine for distance in distances]) < _ALIKE:
        cosine = f"cosine {middle([d.cosine for d in distances]):.2f}"
        return f"quantised ({many}), but not from the other's numbers: {error}, {cosine}"
    return f"{one} is {other} quantised: {many}; {error}" if one else f"quantised differently: {many}; {error}"


def _exact(pair: Pair) -> bool:
    """Whether rounding is all that was lost of the numbers that one side dequantises to, if anything was."""
    return pair.valued is not None and pair.valued.relation in ("equal", "cast")


def _dequantised(comparison: Comparison) -> str:
    pairs = [pair for pair in comparison.compared if pair.quantised and _exact(pair)]
    if not pairs:
        return ""
    one, other, kinds = _schemes(pairs)
    many = f"{kinds} in {len(pairs)} of {len(comparison.pairs)} weights"
    rounded = listed(pair.valued.detail for pair in pairs if pair.valued and pair.valued.relation == "cast")
    exactly = f"equal exactly once rounded to {rounded}" if rounded else "equal exactly"
    return f"{other} is {one} dequantised: {many}; {exactly}" if one else f"the same numbers in two schemes: {many}"


def _cast(comparison: Comparison) -> str:
    pairs = [pair for pair in comparison.valued("cast") if not pair.quantised]
    if not pairs:
        return ""
    kinds = Counter((pair.valued.rounded, pair.valued.detail) for pair in pairs if pair.valued)
    ((of, dtype), _), *_ = kinds.most_common()
    # What the smaller dtype holds exactly was rounded as well, and did not change by it.
    many = plural(len(pairs) + len(_unchanged(comparison)), "tensor")
    if any(pair.quantised for pair in comparison.compared):
        return f"of the others {many} rounded to {dtype}"
    return f"{of} is {naming.OTHER[of]} rounded to {dtype}: {many} equal exactly after the cast"


def _widened(comparison: Comparison) -> str:
    pairs = [] if comparison.valued("cast") else _unchanged(comparison)
    kinds = Counter(f"{pair.b[0].kind} instead of {pair.a[0].kind}" for pair in pairs)
    told = (f"{count} of {plural(len(comparison.pairs), 'tensor')} as {kind}" for kind, count in kinds.most_common())
    return f"the same numbers, kept in B as another dtype: {listed(told)}" if pairs else ""


def _unchanged(comparison: Comparison) -> list[Pair]:
    """Pairs of the same numbers in different dtypes."""
    return [pair for pair in comparison.valued("equal") if pair.retyped and not pair.quantised]


def _reshaped(comparison: Comparison) -> str:
    """Turned, reordered and scaled ones, by what was done."""
    groups: dict[tuple[Relation, str], list[Pair]] = {}
    for pair in comparison.valued("rotary", "transposed", "reordered", "scaled"):
        if pair.valued and not (pair.quantised and pair.valued.relation != "rotary"):
            groups.setdefault((pair.valued.relation, pair.valued.detail), []).append(pair)
    return "; ".join(_group(comparison, *key, pairs) for key, pairs in groups.items())


def _moved(comparison: Comparison) -> str:
    """`layers 4..9 of B are layers 6..11 of A`, `experts in another order`; by the index that changed."""
    kinds: dict[str, list[tuple[Indices, Indices, int]]] = {}
    names: dict[str, list[str]] = {}
    for pair in comparison.valued("moved"):
        assert pair.valued is not None
        (template, b), (_, a) = blank(pair.subject), blank(pair.valued.detail)
        place = next(place for place, (one, other) in enumerate(zip(a, b, strict=True)) if one != other)
        called = template.split("{}")[place].rstrip(".").rpartition(".")[2]
        kinds.setdefault(called, []).append((a, b, place))
        names.setdefault(called, []).append(pair.subject)
    return "; ".join(
        _places(_parts(comparison, called, names[called]), called, moved) for called, moved in kinds.items()
    )


def _parts(comparison: Comparison, called: str, names: Sequence[str]) -> str:
    """`up_proj of ` where other matrices of the same layers or experts stayed; empty where all went together."""
    moved, templates = set(names), {blank(name)[0] for name in names}
    homes = {_home(name, called) for name in names}
    stayed = any(
        pair.subject not in moved and _is_matrix(pair) and _home(pair.subject, called) in homes
        for pair in comparison.compared
    )  # fmt: skip
    return f"{listed(sorted(map(module, templates)))} of " if stayed else ""


def _is_matrix(pair: Pair) -> bool:
    """Vectors are often alike in all layers, and tell of no move; a shape that is not known is a packed matrix's."""
    shape = pair.a[0].shape
    return shape is None or len(shape) > 1


def _home(name: str, called: str) -> str:
    """`model.layers.3`, which a tensor is in; empty where it is in none."""
    start, found, rest = f".{name}".partition(f".{called}.")
    return f"{start}{found}{rest.partition('.')[0]}" if found else ""


def _places(parts: str, called: str, moved: Sequence[tuple[Indices, Indices, int]]) -> str:
    ways = {(a[place], b[place]) for a, b, place in moved}
    a, b = {a for a, _ in ways}, {b for _, b in ways}
    many = f"byte for byte ({plural(len(moved), 'tensor')})"
    if a == b and len(ways) == 2:
        return f"{parts}{called} {' and '.join(map(str, sorted(a)))} changed places, {many}"
    if a == b:
        return f"{parts}{called} in another order, {many}"
    return f"{parts}{called} {runs(b)} of B are {parts}{called} {runs(a)} of A {many}"


def _group(comparison: Comparison, relation: Relation, detail: str, pairs: Sequence[Pair]) -> str:
    at = where([pair.subject for pair in pairs], (pair.subject for pair in comparison.pairs))
    many = f"{at} ({plural(len(pairs), 'tensor')})"
    if relation == "scaled":
        return f"B is {detail} times A in {many}"
    exact = not any(distance.differing for distance in _distances(pairs))
    if relation == "rotary" and any(pair.quantised for pair in pairs):
        return f"rows in the other rotary order of {detail} in {many}"
    near = "equal" if exact or relation == "reordered" else f"nearest ({percent(_median(pairs))} off)"
    done = {
        "rotary": f"after the rotary permutation of {detail}", "transposed": "after transposition",
        "reordered": "but for the order of their rows",
    }[relation]  # fmt: skip
    return f"{near} {done}: {many}"


def _low_rank(comparison: Comparison) -> str:
    pairs = [pair for pair in comparison.valued("differs") if pair.low_rank]
    if not pairs:
        return ""
    ranks = sorted({pair.low_rank for pair in pairs})
    told = f"rank {ranks[0]}" if len(ranks) == 1 else f"rank {ranks[0]} to {ranks[-1]}"
    at = where([pair.subject for pair in pairs], (pair.subject for pair in comparison.pairs))
    rest = [pair for pair in comparison.valued("differs") if pair not in pairs and not pair.quantised]
    merged = ": a merged adapter" if not rest else ""
    return f"B is A with a low-rank change of {told} in {at} ({plural(len(pairs), 'tensor')}){merged}"


def _zero(comparison: Comparison) -> str:
    """What is nothing but zeros on one side: never written, or wiped out."""
    told = []
    for side in ("A", "B"):
        pairs = [pair for pair in comparison.valued("differs") if pair.zero_in == side and not pair.quantised]
        if pairs:
            at = where([pair.subject for pair in pairs], (pair.subject for pair in comparison.pairs))
            told.append(f"{len(pairs)} of {plural(len(comparison.pairs), 'tensor')} all zero in {side}"
                        f" and not in {naming.OTHER[side]}: {at}")  # fmt: skip
    return "; ".join(told)


def _differing(comparison: Comparison) -> str:
    pairs = [
        pair for pair in comparison.valued("differs")
        if not pair.quantised and not pair.low_rank and not pair.zero_in
    ]  # fmt: skip
    if not pairs:
        return ""
    total = len(comparison.pairs)
    if len(pairs) <= max(1, _FEW * total):
        return _named(comparison, pairs)
    same = "" if naming.shapes(comparison) or any(naming.clauses(comparison)) else "the same names and shapes; "
    cosine = _cosine(pairs)
    far = f"relative distance {percent(_median(pairs))} (median)"
    if cosine < _UNRELATED:
        every = middle([d.cosine for d in _distances(pairs) if not math.isnan(d.cosine)])
        cosine = every if every < _UNRELATED else cosine
        return f"{same}{len(pairs)} of {total} tensors have other numbers (cosine {cosine:.2f}): trained apart"
    at = where([pair.subject for pair in pairs], (pair.subject for pair in comparison.pairs))
    story = f", cosine {cosine:.2f}: far from one another"
    if cosine >= _ALIKE and _median(pairs) < _UNRELATED:
        story = ": a fine-tune"
    return f"{same}{len(pairs)} of {total} tensors differ, {far}, {_spread(at, pairs, total)}{story}"


def _cosine(pairs: Sequence[Pair]) -> float:
    """The median of the matrices: vectors are near 1 in each model. NaN where one side is all zeros."""
    matrices = [pair for pair in pairs if len(pair.a[0].shape or ()) > 1]
    return middle([d.cosine for d in _distances(matrices or pairs) if not math.isnan(d.cosine)])


def _spread(at: str, pairs: Sequence[Pair], total: int) -> str:
    if len(pairs) == total:
        return "everywhere"
    return f"in {at}" if at.startswith("all ") else f"all in {at}"


def _named(comparison: Comparison, pairs: Sequence[Pair]) -> str:
    """A few tensors, each with how much of it differs."""
    told = listed(_one(pair) for pair in pairs)
    rest = len(comparison.pairs) - len(pairs)
    same = rest == sum(not pair.retyped for pair in comparison.valued("equal"))
    others = "the same checkpoint but for" if same else "differing:"
    return f"{others} {len(pairs)} of {plural(len(comparison.pairs), 'tensor')}: {told}"


def _one(pair: Pair) -> str:
    (distance,) = _distances([pair])
    nan = "".join(
        f", NaN only in {side}: {count}" for side, count in (("A", distance.nan_a), ("B", distance.nan_b)) if count
    )  # fmt: skip
    return (f"{pair.subject} differs in {distance.differing:,} of {distance.elements:,} elements"
            f" (max |a - b| {number(distance.largest)}{nan})")  # fmt: skip


def _distances(pairs: Sequence[Pair]) -> list[Distance]:
    return [pair.valued.distance for pair in pairs if pair.valued and pair.valued.distance]


def _relative(pair: Pair) -> float:
    return pair.valued.distance.relative if pair.valued and pair.valued.distance else 0.0


def _median(pairs: Sequence[Pair]) -> float:
    return middle([distance.relative for distance in _distances(pairs)])


_CLAUSES: tuple[Callable[[Comparison], str], ...] = (
    _quantised, _dequantised, _cast, _widened, _moved, _reshaped, _low_rank, _zero, _differing,
)  # fmt: skip
