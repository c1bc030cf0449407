"""What one side keeps in one tensor and the other in several: q, k and v, gate and up, experts; found by shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from mappings.names import blank, is_index
from tracer.diff.weights import Shape, Weight

_ORDER = ("q", "query", "k", "key", "v", "value", "gate", "w1", "up", "w3")
"""The order in which parts usually lie: tried first, as shapes cannot tell parts of one size apart."""
_MOST_PARTS = 4
_MOST_SIBLINGS = 7


@dataclass(frozen=True, slots=True)
class Fusion:
    """One tensor of a side and its parts on the other."""

    whole_of: str
    """`A` or `B`."""
    whole: Weight
    parts: tuple[Weight, ...]
    axis: int
    """Along which the parts lie beside each other."""
    stacked: bool = False
    """Whether the parts are the experts of a layer."""
    turned: bool = False
    """Whether each part lies transposed in the whole."""

    def of(self, letter: str) -> tuple[Weight, ...]:
        """Its weights on one side."""
        return (self.whole,) if letter == self.whole_of else self.parts

    @property
    def kind(self) -> str:
        """`q_proj, k_proj, v_proj`, or what experts are stacked of."""
        if self.stacked:
            return "experts"
        return ", ".join(_own_part(part.name, [p.name for p in self.parts]) for part in self.parts)


def fusions(a: Mapping[str, Weight], b: Mapping[str, Weight]) -> list[Fusion]:
    """Of weights that have no partner; names as they are comparable. Each weight is in one fusion at most."""
    found: list[Fusion] = []
    for whole_of, wholes, parts in (("B", b, a), ("A", a, b)):
        used = {weight.name for fusion in found for weight in (fusion.whole, *fusion.parts)}
        free = {name: weight for name, weight in wholes.items() if weight.name not in used}
        rest = {name: weight for name, weight in parts.items() if weight.name not in used}
        found += _side_by_side(whole_of, free, rest)
        used |= {weight.name for fusion in found for weight in (fusion.whole, *fusion.parts)}
        found += _experts(whole_of, free, rest, used)
    return found


# --- parts of one module ---


def _side_by_side(whole_of: str, wholes: Mapping[str, Weight], parts: Mapping[str, Weight]) -> Iterator[Fusion]:
    siblings: dict[tuple[str, str], list[str]] = {}
    for name in parts:
        siblings.setdefault(_parent(name), []).append(name)
    chosen: dict[tuple[str, Shape | None], tuple[tuple[str, ...], int] | None] = {}
    used: set[str] = set()
    for name, whole in wholes.items():
        names = [sibling for sibling in siblings.get(_parent(name), []) if sibling not in used]
        template = blank(name)[0], whole.shape
        if template not in chosen:
            chosen[template] = _choose(whole, {own: parts[own] for own in names})
        choice = chosen[template]
        if choice is None:
            continue
        ends, axis = choice
        own = [f"{name.rsplit('.', 2)[0]}.{end}" if "." in name else end for end in ends]
        if all(part in parts and part not in used for part in own):
            used.update(own)
            yield Fusion(whole_of, whole, tuple(parts[part] for part in own), axis)


def _parent(name: str) -> tuple[str, str]:
    """The module around a module, and the leaf: `...self_attn` and `weight`."""
    segments = name.split(".")
    return ".".join(segments[:-2]), segments[-1]


def _choose(whole: Weight, siblings: Mapping[str, Weight]) -> tuple[tuple[str, ...], int] | None:
    """Which siblings make up the whole, in the usual order, and along which dimension."""
    if whole.shape is None or not whole.shape:
        return None
    ordered = sorted(siblings, key=_usual)[:_MOST_SIBLINGS]
    for axis in range(min(2, len(whole.shape))):
        fitting = [name for name in ordered if _rest(siblings[name].shape, axis) == _rest(whole.shape, axis)]
        for count in range(2, _MOST_PARTS + 1):
            for names in _in_order(fitting, count):
                if sum((siblings[name].shape or ())[axis] for name in names) == whole.shape[axis]:
                    return tuple(".".join(name.split(".")[-2:]) for name in names), axis
    return None


def _in_order(names: Sequence[str], count: int) -> Iterable[tuple[str, ...]]:
    return sorted(permutations(names, count), key=lambda chosen: [names.index(name) for name in chosen])


def _usual(name: str) -> tuple[int, str]:
    module = name.split(".")[-2] if "." in name else name
    first = next((place for place, start in enumerate(_ORDER) if module.startswith(start)), len(_ORDER))
    return first, name


def _rest(shape: Shape | None, axis: int) -> Shape | None:
    if shape is None or len(shape) <= axis:
        return None
    return (*shape[:axis], *shape[axis + 1 :], len(shape))


# --- experts ---


def _experts(
    whole_of: str, wholes: Mapping[str, Weight], parts: Mapping[str, Weight], used: set[str]
) -> Iterator[Fusion]:  # fmt: skip
    """A tensor whose first dimension counts experts, against one tensor an expert."""
    groups: dict[str, dict[str, dict[int, str]]] = {}
    for name, weight in parts.items():
        found = None if weight.name in used else _numbered(name)
        if found:
            groups.setdefault(found[0], {}).setdefault(found[2], {})[found[1]] = name
    for name, whole in wholes.items():
        if whole.name in used or whole.shape is None or len(whole.shape) != 3:
            continue
        for stem, suffixes in groups.items():
            if name.startswith(f"{stem}.") or stem.startswith(f"{name.removesuffix('.weight').rpartition('.')[0]}."):
                fusion = _stack(whole_of, whole, suffixes, parts, name)
                if fusion and not used & {part.name for part in fusion.parts}:
                    used.update(part.name for part in (fusion.whole, *fusion.parts))
                    yield fusion
                    break


def _numbered(name: str) -> tuple[str, int, str] | None:
    """The stem before the last number, the number, and what follows."""
    segments = name.split(".")
    for place in range(len(segments) - 1, 0, -1):
        if is_index(segments[place]):
            return ".".join(segments[:place]), int(segments[place]), ".".join(segments[place + 1 :])
    return None


def _stack(
    whole_of: str, whole: Weight, suffixes: Mapping[str, Mapping[int, str]], parts: Mapping[str, Weight], name: str
) -> Fusion | None:  # fmt: skip
    assert whole.shape is not None
    experts, rows, columns = whole.shape
    complete = {s: own for s, own in suffixes.items() if sorted(own) == list(range(experts))}
    shapes = {s: {parts[own[i]].shape for i in own} for s, own in complete.items()}
    namesakes = [s for s in complete if _shares(name, s)]
    for turned, (out, inner) in ((False, (rows, columns)), (True, (columns, rows))):
        single = [s for s in namesakes or complete if shapes[s] == {(out, inner)}]
        halves = [s for s in sorted(complete, key=_usual) if out % 2 == 0 and shapes[s] == {(out // 2, inner)}]
        chosen = single[:1] if single else halves[:2] if len(halves) > 1 and not namesakes else []
        if chosen:
            own = tuple(parts[complete[s][i]] for i in range(experts) for s in chosen)
            return Fusion(whole_of, whole, own, 0, True, turned)
    return None


def _shares(name: str, suffix: str) -> bool:
    """Whether a stacked tensor is called as the experts' module is: `down_proj`."""
    return suffix.partition(".")[0] in name.split(".")


def _own_part(name: str, names: Sequence[str]) -> str:
    """The segment in which names differ."""
    segments = name.split(".")
    for place, segment in enumerate(segments):
        if len({other.split(".")[place] for other in names if len(other.split(".")) > place}) > 1:
            return segment
    return segments[-1]
