"""value.reference: tensors that are not the reference's of their name, while their peers are.

A fine-tune differs a little everywhere. A tensor that was swapped, scaled, put into another order or taken from another
model differs as a whole, and most of the others do not. What is told has a cosine below 0.5 with its counterpart, or
is its multiple; half of all tensors and more have one of 0.9 and more, or are found elsewhere in the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import median

from mappings.findings import Finding
from mappings.names import blank, collapse
from tracer.meaning.against.places import Kind, Place, by_kind, places
from tracer.meaning.against.tensors import STRANGE, Likeness, likenesses
from tracer.meaning.material import Material
from tracer.meaning.meant import Meant, fine, found, measured, not_checked
from tracer.repair.changes import Change, Rename, Transform

NAME = "reference"
_STATISTIC = "cosine with the reference's tensor of the same name"
_HARMLESS: tuple[Kind, ...] = ("permuted", "blank", "added")
"""Rows of an MLP may lie in any order, an adapter may be merged; what is zero is found by those who look for zeros."""
_UNKNOWN: tuple[Kind, ...] = ("foreign", "permuted", "added")
_SAMPLE = 3
_KINDS = 4
"""Kinds of tensors that are spelt out on a line; the evidence has all names."""


class Compared:
    """What holding every tensor against the reference came to; other tests ask it who is to blame."""

    def __init__(self, material: Material, reference: Material) -> None:
        self.material, self.reference = material, reference
        self.looked, self.without = likenesses(material, reference)
        unlike = [each for each in self.looked if each.is_apart]
        found = places(material, reference, unlike) if unlike else []
        self.places = [
            each for each in found if each.kind not in _UNKNOWN or (each.of.is_strange and not each.of.is_vector)
        ]
        placed = {each.name for each in self.places}
        self.between = [each for each in self.looked if not each.is_same and each.name not in placed]
        alien = sum(each.kind in _UNKNOWN for each in self.places) + len(self.between)
        self.is_relative = bool(self.looked) and 2 * alien < len(self.looked)

    @property
    def is_same(self) -> bool:
        """Whether the tensors are the reference's to the bit, but for what is told of a few."""
        return self.is_relative and sum(each.is_equal for each in self.looked) * 2 > len(self.looked)

    @property
    def sound(self) -> frozenset[str]:
        placed = {each.name for each in self.places}
        return frozenset(each.name for each in self.looked if each.is_same and each.name not in placed)

    def ended(self, explained: frozenset[str]) -> list[Meant]:
        """One for each kind of damage; `explained` are tensors that other tests have told of."""
        if not self.looked:
            return [
                _limited("no tensor could be compared with the reference: another format, or other names and shapes")
            ]
        told = _told(self.looked, self.without)
        if not self.is_relative:
            return [_limited(f"this is not a relative of the reference ({told})")]
        left = [each for each in self.places if each.name not in explained and each.kind not in _HARMLESS]
        unlike = list(self.between)
        unlike += [each.of for each in self.places if each.kind in ("permuted", "added") and each.name not in explained]
        unchecked = f"{_spelled(each.name for each in unlike)}: only partly like the reference's" if unlike else ""
        limit = f"{len(unlike)} tensors are only partly like the reference's" if unlike else ""
        deeper = _depth(self.material) != _depth(self.reference)
        ended = [
            _worded(kind, held, told, self) for kind, held in by_kind(left).items() if not (deeper and kind == "moved")
        ]
        return ended or [fine(NAME, told, unchecked, limit)]


def _depth(material: Material) -> int:
    return material.size("layers")


def _limited(reason: str) -> Meant:
    return not_checked(NAME, reason, f"not held against the reference: {reason}")


def _told(looked: Sequence[Likeness], without: int) -> str:
    same = sum(each.is_same for each in looked)
    cosines = [each.cosine for each in looked if not each.is_vector]
    middle = f", the middle cosine {median(cosines):.3f}" if cosines else ""
    rest = f"; {without} have no counterpart of their shape" if without else ""
    return f"{same} of {len(looked)} tensors are the reference's{middle}{rest}"


def _spelled(names: Iterable[str]) -> str:
    texts = [text for text, _ in collapse(list(names))]
    more = f" and {len(texts) - _KINDS} more" if len(texts) > _KINDS else ""
    return ", ".join(texts[:_KINDS]) + more


def _worded(kind: Kind, held: Sequence[Place], told: str, compared: Compared) -> Meant:
    message, fix, changes = _WORDS[kind](held, compared)
    worst = min(each.of.cosine for each in held)
    evidence = measured(
        _STATISTIC, worst, STRANGE, len(compared.looked), "tensors", kind=kind,
        names=[each.name for each in held[:100]],
        tensors=len(held), where={each.name: each.where for each in held[:100] if each.where},
    )  # fmt: skip
    code = {"order": "value.rope-order", "transposed": "value.transposed", "offset": "value.norm-offset"}
    named = "" if kind == "moved" else f"{_spelled(each.name for each in held)}: "
    finding = Finding(
        code.get(kind, "value.reference"), "error", held[0].name, f"{named}{message}; {told}", evidence, fix
    )
    plain = all(each.of.mine.is_plain for each in held)
    return found(NAME, told, finding, *(changes if plain else ()))


_Words = tuple[str, str, tuple[Change, ...]]


def _moved(held: Sequence[Place], compared: Compared) -> _Words:
    names = {each.name: each.where for each in held}
    if set(names) == set(names.values()):
        return _pairs(names, "and", "have changed places"), "swap the names back", (Rename(names),)
    return _pairs(names, "is", "of the reference"), "take these tensors from the reference", ()


def _pairs(names: Mapping[str, str], between: str, what: str) -> str:
    """By kind of tensor: a few of them, the two of a swap once; of whole layers the numbers."""
    if len({blank(own)[0] for own in names}) > 1 and all(blank(a)[0] == blank(b)[0] for a, b in names.items()):
        layers = sorted({(blank(own)[1], blank(other)[1]) for own, other in names.items()})
        told = [f"{_at(a)} {between} {_at(b)}" for a, b in layers if between != "and" or a < b or (b, a) not in layers]
        return f"layers {', '.join(told[:_SAMPLE])} {what}"
    kinds: dict[tuple[str, str], list[str]] = {}
    for own, other in names.items():
        pair = (blank(own)[0], blank(other)[0])
        back = (pair[1], pair[0])
        if between != "and" or pair[0] == pair[1] or back not in kinds:
            kinds.setdefault(pair, []).append(own)
    told = [f"{_spelled(own)} {between} {_other(names, own, *pair)}" for pair, own in kinds.items()]
    more = f" and {len(told) - _SAMPLE} more" if len(told) > _SAMPLE else ""
    return f"{', '.join(told[:_SAMPLE])}{more} {what}"


def _other(names: Mapping[str, str], own: Sequence[str], template: str, other: str) -> str:
    """The last names that tell the two apart, or the whole."""
    if len(own) == 1 or template == other:
        return _spelled(names[name] for name in own)
    return ".".join(other.split(".")[-2:])


def _at(indices: tuple[int, ...]) -> str:
    return ".".join(map(str, indices))


def _order(held: Sequence[Place], compared: Compared) -> _Words:
    ways: dict[tuple[str, ...], list[Place]] = {}
    for each in held:
        ways.setdefault(tuple(map(str, each.steps)), []).append(each)
    told = " and ".join(", then ".join(way) for way in ways)
    return (
        "the rows are in another order than the reference's", f"reorder the rows {told}",
        tuple(_transforms(ways.values(), compared)),
    )  # fmt: skip


def _transforms(ways: Iterable[Sequence[Place]], compared: Compared) -> Iterator[Change]:
    biases = {
        part.name.removesuffix(".bias"): part.name
        for role in ("q", "k") for part in compared.material.of(role, "bias").values()
    }  # fmt: skip
    for held in ways:
        names = [each.name for each in held]
        names += [biases[stem] for name in names if (stem := name.removesuffix(".weight")) in biases]
        yield from (Transform(tuple(names), step.op, step.heads) for step in held[0].steps)


def _transposed(held: Sequence[Place], compared: Compared) -> _Words:
    return "square, and transposed", "transpose them", (Transform(tuple(each.name for each in held), "transpose"),)


def _offset(held: Sequence[Place], compared: Compared) -> _Words:
    amounts = sorted({each.amount for each in held})
    changes = [
        Transform(tuple(each.name for each in held if each.amount == amount), "add", amount=-amount)
        for amount in amounts
    ]
    told = " and ".join(f"{amount:+g}" for amount in amounts)
    return f"differ from the reference's by {told}", "; ".join(f"add {-a:g} to each" for a in amounts), tuple(changes)


def _scaled(held: Sequence[Place], compared: Compared) -> _Words:
    least, most = min(each.amount for each in held), max(each.amount for each in held)
    factor = f"{least:.4g}" if most / least < 1.01 else f"{least:.4g} to {most:.4g}"
    return f"{factor} times the reference's", f"divide each by {factor}", ()


def _mixed(held: Sequence[Place], compared: Compared) -> _Words:
    return (
        "the rows are those of several tensors of the reference, as a fused one gives them that was cut by another"
        " layout",
        "cut the fused tensor again, by the layout of its heads", (),
    )  # fmt: skip


def _foreign(held: Sequence[Place], compared: Compared) -> _Words:
    return (
        f"not the reference's, and nowhere in it (cosines below {STRANGE:g})",
        "take these tensors from the checkpoint that they belong to: a shard of another one may be among the files", (),
    )  # fmt: skip


_WORDS: Mapping[Kind, Callable[[Sequence[Place], Compared], _Words]] = {
    "moved": _moved, "order": _order, "transposed": _transposed, "offset": _offset, "scaled": _scaled,
    "mixed": _mixed, "foreign": _foreign,
}  # fmt: skip
