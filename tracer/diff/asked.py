"""The questions that a comparison of checkpoints asks, each ended as ok, as findings, or as not checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mappings.findings import Finding
from tracer.checks import Check
from tracer.diff import naming
from tracer.diff.compared import Comparison, Pair
from tracer.diff.fields import listed
from tracer.diff.sides import Side
from tracer.diff.weights import Weight
from tracer.report.words import plural

_FEW = 4
_MOST_FIELDS = 20
"""Of config.json on a line; records have all."""


def checks(comparison: Comparison) -> list[Check]:
    """What is wrong with each side comes first: it is the cause of what differs, if anything is."""
    return [
        *_side(comparison.a), *_side(comparison.b), *_pointers(comparison), _names(comparison), _shapes(comparison),
        _placement(comparison), _config(comparison), _values(comparison), *_ranks(comparison),
    ]  # fmt: skip


def _side(side: Side) -> Iterator[Check]:
    """What its files and headers say against it; only errors, as the rest is for `tracer doctor`."""
    told = f"{side.letter} {side.given}"
    errors = tuple(
        replace(finding, message=f"{side.letter}: {finding.message}")
        for finding in side.checkpoint.findings if finding.severity == "error"
    )  # fmt: skip
    if errors or side.headless:
        yield Check(f"files of {side.letter}", told, errors, side.headless)
    for item in side.checkpoint.unchecked:
        if not side.headless or item.name != "headers":
            yield Check(f"{item.name} of {side.letter}", told, (), item.reason)


def _pointers(comparison: Comparison) -> Iterator[Check]:
    """Files of which a clone has only the pointers."""
    files = comparison.files
    if not files:
        return
    counts = Counter(file.equal for file in files)
    told = f"{plural(len(files), 'file')} with a pointer: {counts[True]} equal by size and SHA-256, {counts[False]} not"
    left = [f"{file.a}: {file.why}" for file in files if file.equal is not True]
    lost = "tensors of another file are not told apart: " if counts[False] else ""
    more = f"; and {len(left) - _FEW} more" if len(left) > _FEW else ""
    yield Check("files by pointers", told, (), f"{lost}{'; '.join(left[:_FEW])}{more}" if left else "")


def _names(comparison: Comparison) -> Check:
    pairing = comparison.pairing
    found = [_rewrite(comparison, place) for place in range(len(pairing.renamed))]
    for whole_of, code in (("B", "fused.already-fused"), ("A", "fused.split")):
        fused = [fusion for fusion in pairing.fusions if fusion.whole_of == whole_of]
        if fused:
            told = "; ".join(text for text in naming.fused(comparison) if f"one tensor in {whole_of}" in text)
            found.append(Finding(code, "info", fused[0].whole.name, told, {"tensors": len(fused)}))
    agreed = f"{pairing.matched_a} of {len(comparison.a.weights)} of A are {pairing.matched_b} of B"
    return Check("names", agreed, tuple(found))


def _rewrite(comparison: Comparison, place: int) -> Finding:
    renamed = comparison.pairing.renamed[place]
    rewrite = renamed.rewrite
    message = f"{rewrite.edit} in names of {renamed.of}: {rewrite.mapped} of {rewrite.total} then agree, 0 collisions"
    first = next(iter(rewrite.pairs))
    evidence = {"edit": str(rewrite.edit), "mapped": rewrite.mapped, "total": rewrite.total, "collisions": 0,
                "example": [first, rewrite.pairs[first]]}  # fmt: skip
    return Finding("name.rewrite", "info", first, message, evidence)


def _shapes(comparison: Comparison) -> Check:
    known = comparison.shaped
    twins = sum(_in_a_twin(comparison, pair) for pair in comparison.pairs) if comparison.files else 0
    unknown = len(comparison.pairs) - known - twins
    why = f"shapes of {plural(unknown, 'tensor')} are not known from headers" if unknown else ""
    more = f", {twins} the same in files of equal digests" if twins else ""
    return Check("shapes and dtypes", f"{known} pairs looked at{more}", (), why)


def _in_a_twin(comparison: Comparison, pair: Pair) -> bool:
    """Whether shapes that no header tells are alike all the same."""
    file = comparison.file_of(pair)
    return not pair.shaped and file is not None and bool(file.equal)


def _placement(comparison: Comparison) -> Check:
    """Which file holds what; a difference that no reader of weights sees."""
    files = [len(set(side.homes.values())) for side in (comparison.a, comparison.b)]
    homes = comparison.a.homes, comparison.b.homes
    # Of one home map for both, only tensors of other names can lie elsewhere.
    pairs = [pair for pair in comparison.pairs if not _namesakes(pair)] if homes[0] == homes[1] else comparison.pairs
    moved = sum(_home(homes[0], pair.a) != _home(homes[1], pair.b) for pair in pairs)
    many = plural(files[0], "file")
    told = f"{many} in A, {files[1]} in B; {moved} of {len(comparison.pairs)} in a file of another name"
    return Check("placement in files", told if moved else f"{many}, each tensor in one of the same name")


def _namesakes(pair: Pair) -> bool:
    """Whether both sides have the same tensors by name: one weight in the same leaves."""
    return pair.alike and pair.how == "name" and pair.a[0].members.keys() == pair.b[0].members.keys()


def _home(homes: Mapping[str, str], weights: Sequence[Weight]) -> set[str]:
    """The files in which some weights lie."""
    found = {homes.get(info.name, "") for weight in weights for info in weight.members.values()}
    return found | {homes.get(weight.name, "") for weight in weights if not weight.members}


def _config(comparison: Comparison) -> Check:
    lacking = [side.letter for side in (comparison.a, comparison.b) if side.checkpoint.config is None]
    if lacking:
        return Check("config.json", "", (), f"{' and '.join(lacking)} {'have' if len(lacking) > 1 else 'has'} none")
    mixed = comparison.a.has_metadata != comparison.b.has_metadata
    whole = "no field of GGUF's metadata differs" if mixed else "the same"
    return Check("config.json", _fields(comparison) or whole)


def _fields(comparison: Comparison) -> str:
    """Each field that differs with both values; those that change nothing that is loaded apart."""
    differing, idle = comparison.weighty_fields, comparison.idle_fields
    verb = "differs" if len(differing) == 1 else "differ"
    told = [f"{plural(len(differing), 'field')} {verb}: {listed(differing, _MOST_FIELDS)}"] if differing else []
    if idle:
        told.append(f"{'also' if told else 'differs only in'} what changes nothing that is loaded: "
                    f"{listed(idle, _MOST_FIELDS)}")  # fmt: skip
    return "; ".join(told)


def _values(comparison: Comparison) -> Check:
    if not comparison.with_values:
        return Check("values", "", (), "--values was not given")
    found = tuple(_nonfinite(pair) for pair in comparison.pairs if _broken(pair))
    reasons = Counter(pair.unchecked for pair in comparison.pairs if pair.unchecked)
    left = sum(reasons.values())
    why = "; ".join(f"{count} of {len(comparison.pairs)}: {reason}" for reason, count in reasons.most_common(4))
    if len(reasons) > 4:
        why += f"; and {left - sum(count for _, count in reasons.most_common(4))} for {len(reasons) - 4} other reasons"
    equal = len(comparison.valued("equal"))
    return Check("values", f"{len(comparison.compared)} compared, {equal} equal", found, why)


def _broken(pair: Pair) -> bool:
    distance = pair.valued.distance if pair.valued else None
    return distance is not None and any(distance.lonely)


def _nonfinite(pair: Pair) -> Finding:
    """NaN or infinity on one side only is no matter of training: that side is broken."""
    assert pair.valued is not None and pair.valued.distance is not None
    distance = pair.valued.distance
    nan_a, nan_b, infinite_a, infinite_b = distance.lonely
    sides = (("A", "B", nan_a, infinite_a), ("B", "A", nan_b, infinite_b))
    told = [f"{' and '.join(_counted(nan, infinite))} in {side} where {other} has numbers"
            for side, other, nan, infinite in sides if nan or infinite]  # fmt: skip
    subject = (pair.b if nan_b or infinite_b else pair.a)[0].name
    evidence = {"a": nan_a, "b": nan_b, "infinite_a": infinite_a, "infinite_b": infinite_b}
    return Finding("value.nonfinite", "error", subject, f"{subject}: {', '.join(told)}", evidence)


def _counted(nan: int, infinite: int) -> Iterator[str]:
    if nan:
        yield f"{nan:,} NaN"
    if infinite:
        yield f"{infinite:,} infinit{'y' if infinite == 1 else 'ies'}"


def _ranks(comparison: Comparison) -> Iterator[Check]:
    looked = sum(bool(pair.valued and pair.valued.rank) for pair in comparison.pairs)
    if not looked and not comparison.ranks_left:
        return
    left = comparison.ranks_left
    why = f"{left} of {looked + left} matrices, of kinds whose first have no low rank; --all looks at all"
    yield Check("rank of changes", f"{looked} looked at", (), why if left else "")
