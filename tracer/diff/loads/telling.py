"""What two loads differ in, folded over layers, experts and ranks; and the sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mappings.names import Indices, blank, fold, runs
from mappings.views import Box, Ranges, Shape
from tracer.diff.loads.compare import Difference, LoadComparison
from tracer.diff.loads.placements import Load, Target
from tracer.diff.phrases import module
from tracer.report import words
from tracer.report.words import EXPERT, plural


class Group(NamedTuple):
    """Differences that read alike but for layers, experts and ranks."""

    what: str
    name: str
    """Folded: `model.layers.{0..31}.self_attn.k_proj.weight`."""
    called: str
    tensors: int
    ranks: str
    text: str

    def __str__(self) -> str:
        return f"{self.at}{self.name}  x{self.tensors}  {self.text}"

    @property
    def at(self) -> str:
        """`on rank 1 `, `on ranks 0..7 `; empty where no rank is meant."""
        many = "s" if not self.ranks.isdigit() else ""
        return f"on rank{many} {self.ranks} " if self.ranks else ""


def groups(comparison: LoadComparison, whole: bool = False) -> list[Group]:
    """All differences; with `whole` one a tensor and rank."""
    found: dict[tuple[str, str, str], dict[int | None, list[Indices]]] = {}
    for difference in comparison.differences:
        template, indices = (difference.subject, ()) if whole else blank(difference.subject)
        text = _text(comparison, difference, indices)
        by_rank = found.setdefault((difference.what, template, text), {})
        by_rank.setdefault(difference.rank, []).append(indices)
    told = []
    for (what, template, text), by_rank in found.items():
        same: dict[tuple[Indices, ...], list[int]] = {}
        for rank, found_at in by_rank.items():
            same.setdefault(tuple(found_at), []).extend([] if rank is None else [rank])
        for places, ranks in same.items():
            name = fold(template, places) if places[0] else template
            told.append(Group(what, name, module(template.replace("{}", "0")), len(places), runs(ranks), text))
    return told


def _text(comparison: LoadComparison, difference: Difference, indices: Indices) -> str:
    if difference.detail:
        return difference.detail
    if not difference.a or not difference.b:
        own, letter = (difference.a, "A") if difference.a else (difference.b, "B")
        return f"moved only in {letter}: {_targets(comparison, own, difference, indices)}"
    a, b = (_targets(comparison, side, difference, indices) for side in (difference.a, difference.b))
    if difference.what == "destination" and not comparison.ranks:
        return f"goes to {a} in A, to {b} in B"
    if difference.what == "destination":
        a, b = (_ends(comparison, side, indices) for side in (difference.a, difference.b))
        return f"goes to {a} in A, {b} in B"
    return f"{a} in A, {b} in B"


def _targets(
    comparison: LoadComparison, targets: Sequence[Target], difference: Difference, indices: Indices
) -> str:  # fmt: skip
    """`[0:64] -> qkv_proj [0:64]`."""
    return ", ".join(
        f"{words.side(_of([box.src for box in target.boxes], indices), _source(comparison, difference.subject))}"
        f"{_turned(target.boxes)} -> {_end(comparison, target, indices)}" for target in targets
    )  # fmt: skip


def _ends(comparison: LoadComparison, targets: Sequence[Target], indices: Indices) -> str:
    return ", ".join(_end(comparison, target, indices) for target in targets)


def _end(comparison: LoadComparison, target: Target, indices: Indices) -> str:
    shape = _shape(comparison, target.param)
    through = f" through {target.op}" if target.op else ""
    return f"{module(target.param)} {words.side(_of([box.dst for box in target.boxes], indices), shape)}{through}"


def _of(found: Sequence[Ranges], indices: Indices) -> tuple[Ranges, ...]:
    """The tensor's own expert in a range is told as that."""
    own = {(index, index + 1, 1) for index in indices[1:]}
    return tuple(tuple((EXPERT, 0, 1) if r in own else r for r in ranges) for ranges in found)


def _turned(boxes: Sequence[Box]) -> str:
    return " transposed" if any(box.perm for box in boxes) else ""


def _source(comparison: LoadComparison, tensor: str) -> Shape:
    found = comparison.a.tensors.get(tensor) or comparison.b.tensors.get(tensor)
    return found.shape if found else ()


def _shape(comparison: LoadComparison, param: str) -> Shape:
    for load in (comparison.a, comparison.b):
        for rank in load.run.ranks[:1]:
            found = _params(load, rank).get(param)
            if found is not None:
                return found
    return ()


def _params(load: Load, rank: int) -> dict[str, Shape]:
    """Shapes are only for reading ranges: those of one rank do."""
    if rank not in load.shapes:
        load.shapes[rank] = {name: param.shape for name, param in load.params(rank).items()}
    return load.shapes[rank]


def sentence(comparison: LoadComparison) -> str:
    """The verdict."""
    a, b = comparison.a, comparison.b
    if comparison.incomparable and not comparison.differences:
        return f"nothing to compare: {comparison.incomparable}"
    if not comparison.tensors and not comparison.incomparable:
        return "neither trace has a move" if not comparison.differences else "no moves, and other tensors"
    by = "" if a.run.loader == b.run.loader else f" by {a.run.loader} and {b.run.loader}"
    ranks = f"on {plural(len(comparison.ranks), 'rank')}" if comparison.ranks else "over all ranks"
    if comparison.same:
        moves = "" if a.count() == b.count() else f", in {a.count():,} moves in A and {b.count():,} in B"
        if comparison.ranks:
            return (f"the same load{by}: {plural(comparison.tensors, 'tensor')} go to the same places {ranks}, element"
                    f" by element{moves}")  # fmt: skip
        return (f"the same load{by} at another tp, {a.run.tp} and {b.run.tp}: each of"
                f" {plural(comparison.tensors, 'tensor')} goes to the same parameters, and the same elements of it"
                " are read")  # fmt: skip
    return f"{_which(comparison)}{by}: {_first(comparison)}" if comparison.differences else _in_part(comparison, by)


def _in_part(comparison: LoadComparison, by: str) -> str:
    """Where nothing differs and not all was compared; where only ranks were left out, all else is the same."""
    if len(comparison.unchecked) > bool(comparison.lonely):
        return f"not all compared{by}"
    ranks = f"rank{'s' if len(comparison.ranks) > 1 else ''} {runs(comparison.ranks)}"
    tensors = plural(comparison.tensors, "tensor")
    return f"not all compared{by}, and nothing differs in what was: {tensors} on {ranks}, element by element"


_WORDS = {
    "destination": "same source, different destination", "source": "same destination, different source",
    "only-a": "moves that B lacks", "only-b": "moves that A lacks", "otherwise": "other source and destination",
    "param": "other parameters", "pad": "other fills", "tensor": "other tensors",
}  # fmt: skip


def _which(comparison: LoadComparison) -> str:
    kinds = list(dict.fromkeys(difference.what for difference in comparison.differences))
    first = _leading(comparison)
    return _WORDS[first] + (f" (and {', '.join(_WORDS[kind] for kind in kinds if kind != first)})" if kinds[1:] else "")


def _leading(comparison: LoadComparison) -> str:
    """Of what differs, that which most tells: tensors and parameters that are not there explain their moves."""
    kinds = {difference.what for difference in comparison.differences}
    order = ("tensor", "param", "only-a", "only-b", "source", "destination", "otherwise", "pad")
    return next(kind for kind in order if kind in kinds)


def _first(comparison: LoadComparison) -> str:
    """`on rank 1 k_proj goes to [64:96] in A, [96:128] in B: 32 tensors`."""
    found = groups(comparison)
    leading = _leading(comparison)
    first = next(group for group in found if group.what == leading)
    own = first.called if first.tensors > 1 else first.name
    more = f"; {plural(len(found) - 1, 'difference')} more" if len(found) > 1 else ""
    noun = "parameter" if leading in ("param", "pad") else "tensor"
    return f"{first.at}{own} {first.text}: {plural(first.tensors, noun)}{more}"


def lines(comparison: LoadComparison, whole: bool, most: int) -> Iterator[str]:
    """The table."""
    found = groups(comparison, whole)
    for group in found if whole else found[:most]:
        yield f"  {group}"
    if not whole and len(found) > most:
        yield f"  ({len(found) - most} more lines; --all shows them)"
