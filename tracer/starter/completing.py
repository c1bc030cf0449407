"""Everything that an architecture's rows do not claim, written into a draft."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from math import prod

from mappings.axes import spell
from mappings.bind import BoundRow, bias_dims
from mappings.params import Part
from mappings.rows import Tie
from tracer.starter.adopting import adopt
from tracer.starter.base import Base
from tracer.starter.biases import rebias
from tracer.starter.blankpage import blank_page
from tracer.starter.borrowing import borrow
from tracer.starter.dividing import divide
from tracer.starter.draft import Draft, axes_of
from tracer.starter.kinds import Kind, Template, Unspellable, new_domains
from tracer.starter.leftover import Beside, place
from tracer.starter.material import Material
from tracer.starter.pairing import Paired, paired
from tracer.starter.reading import vocabulary
from tracer.starter.whole import held_whole

_DERIVED = {"inv_freq": "recomputed from rope_theta", "mask": "a mask or a table of positions, not a weight"}


def unclaimed(
    base: Base, templates: Iterable[Template], domains: dict[str, Sequence[int]]
) -> tuple[list[Kind], list[tuple[str, str]]]:  # fmt: skip
    """The kinds that the base does not claim, and what no pattern can name. `domains` gains those that are needed."""
    domains |= base.binding.domains
    if "expert" in base.arch.axes:
        domains.setdefault("expert", range(base.binding.axes.size("expert")))
    found: list[Kind] = []
    refused = []
    for template in templates:
        if template.group.template in base.claimed:
            continue
        try:
            found += template.kinds(domains)
        except Unspellable as why:
            refused.append((template.group.template, str(why)))
    return found, refused


def complete(
    draft: Draft, base: Base, templates: Sequence[Template], material: Material, removing: bool
) -> None:  # fmt: skip
    """Write what is missing. `removing`: rows of the base without tensors do not hold here, and are removed."""
    towers = {group.template for own in material.towers.values() for group in own} - base.claimed
    for tower, own in material.towers.items():
        count = sum(len(group.indices) for group in own if group.template in towers)
        if count:
            draft.todo.append((f"{tower}.**", f"{count} tensors of a tower that is no decoder of text"))
    domains: dict[str, Sequence[int]] = {}
    kinds, refused = unclaimed(base, [t for t in templates if t.group.template not in towers], domains)
    draft.todo += refused
    kinds = held_whole(draft, _skipped(draft, kinds, material), base)
    found = paired(kinds, [*(o for o in base.open if id(o) not in draft.settled), *base.partial])
    if removing:
        found = _without_halves(found, base)
    left = _adopted(draft, kinds, found, base, domains)
    filled = {id(pair.opening) for pair in found.pairs}
    if removing:
        empty = {id(opening.row) for opening in base.open if id(opening) not in filled}
        draft.assumed += [told for row in base.binding.rows for told in _fused(draft, row, empty)]
    left = rebias(draft, left, base, filled, removing)
    if removing:
        _remove(draft, base)
    left = borrow(draft, left, base, material.config, material.inferred, material.registered)
    _place(draft, left, base, material)
    draft.domains = _used(draft, new_domains({*base.binding.domains, "expert"}, domains))


def _skipped(draft: Draft, kinds: Iterable[Kind], material: Material) -> list[Kind]:
    """Skips for what the engine computes itself, and for what was proven to be zeros."""
    rest = []
    for kind in kinds:
        if kind.role in _DERIVED:
            draft.skips.append((kind.name, _DERIVED[kind.role]))
        elif material.zeros and all(name in material.zeros for name in kind.names()):
            draft.skips.append((kind.name, "every element is zero"))
        else:
            rest.append(kind)
    return rest


def _adopted(
    draft: Draft, kinds: Sequence[Kind], found: Paired, base: Base, domains: dict[str, Sequence[int]]
) -> list[Kind]:  # fmt: skip
    """Write rows for what has another name; the rest. `domains` gains those that divided rows need."""
    refused = {id(kind) for kind in adopt(draft, [pair for pair in found.pairs if not pair.opening.lacking])}
    divided = [pair for pair in found.pairs if pair.opening.lacking]
    refused |= {id(kind) for kind in divide(draft, divided, base, domains)}
    for kind, openings in found.unsure:
        places = " or ".join(opening.name for opening in openings)
        draft.assumed.append(f"{kind.name} may be {places}: it gets a parameter of its own")
    done = {id(pair.kind) for pair in found.pairs} - refused
    return [kind for kind in kinds if id(kind) not in done]


def _without_halves(found: Paired, base: Base) -> Paired:
    """Without tensors that would fill one part of a parameter whose others have none here: they are something else."""
    filled = {id(pair.opening) for pair in found.pairs}
    lame = {id(opening.row.leaf) for opening in base.open if id(opening) not in filled}
    return Paired([pair for pair in found.pairs if id(pair.opening.row.leaf) not in lame], found.unsure)


def _fused(draft: Draft, row: BoundRow, empty: Set[int]) -> list[str]:
    """Parts that lie side by side on disk lie there in the order of the base: no shape tells them apart."""
    if len(row.parts) < 2 or row.leaf.leaf != "weight" or id(row) in empty:
        return []
    parts = ", ".join(part.name for part in row.parts)
    return [f'{parts} are one tensor, taken to lie in it as in {row.row.name} of {draft.like}, "{spell(row.told)}"']


def _remove(draft: Draft, base: Base) -> None:
    """Rows of the base to which nothing goes, here or by the rows of the draft."""
    open_rows = {id(opening.row) for opening in base.open}
    filled = {row.row.name for row in base.binding.rows if row.count() and id(row) not in open_rows}
    filled |= {row.name for row in draft.rows} | {name for name, _ in draft.removes}
    ties = [entry for entry in base.arch.entries if isinstance(entry, Tie)]
    for row in dict.fromkeys(opening.row.row for opening in base.open if id(opening) not in draft.settled):
        tie = next((tie for tie in ties if tie.param.name == row.slot.param.name), None)
        if row.name in filled or row.slot.param.name in {tie.to.name for tie in ties}:
            continue
        if tie is not None and tie.when not in base.binding.config.fields:
            draft.flags[tie.when] = True
            draft.assumed.append(f"no {row.name} is stored: it is taken to be tied ({tie.when})")
        else:
            draft.removes.append((row.name, "no such tensors here"))


def _place(draft: Draft, kinds: Sequence[Kind], base: Base, material: Material) -> None:
    """Parameters for what is plain; the rest is left to the reader."""
    good, bad = [], dict[str, str]()
    for kind in kinds:
        why = _unfit(kind, material.quantised)
        if why:
            bad.setdefault(kind.group.template, why)
        else:
            good.append(kind)
    spare = blank_page(draft.architecture, material.config, material.known, base.arch.layers)
    words = vocabulary(base.binding, spare, material.config)
    draft.todo += place(draft, good, words, _beside(base))
    draft.todo += bad.items()
    held = {*base.arch.axes, *base.arch.factors} if base.registered else set[str]()
    used = _in_use(draft, spare.factors) - held
    if "expert" in used and "expert" not in spare.axes:
        draft.axes["expert"] = str(1 + max(kind.last("expert") for kind in good))
    draft.axes |= {axis: text for axis, text in {**spare.axes, **words.added}.items() if axis in used}
    draft.factors |= {axis: atoms for axis, atoms in spare.factors.items() if axis in used}


def _unfit(kind: Kind, quantised: Set[tuple[str, str]]) -> str:
    """Why no parameter can be written for these; empty where one can."""
    if kind.group.place in quantised and kind.leaf != "bias":
        return f"{kind.leaf} of a quantised weight: there are no leaf layouts for it"
    shapes = sorted({shape for shape, _ in kind.group.shapes})
    if len(shapes) > 1:
        return f"it has the shapes {', '.join(map(str, shapes[:4]))}"
    if shapes and not shapes[0]:
        return "it is a number without axes, which no layout can spell"
    return "it has no elements" if shapes and not prod(shapes[0]) else ""


def _beside(base: Base) -> Beside:
    cuts: dict[str, list[str]] = {}
    biases: dict[str, Part] = {}
    for row in (bound.row for bound in base.binding.rows if bound.leaf.leaf == "weight"):
        home = row.name.rpartition(".")[0]
        cuts.setdefault(home, []).extend(p.cut.axis for p in row.slot.parts if p.cut and p.cut.kind == "split")
        if len(row.slot.parts) == 1:
            (part,) = row.slot.parts
            dims = bias_dims(part.dims)
            cut = part.cut if part.cut and any(part.cut.axis in dim for dim in dims) else None
            biases[f"{row.name}.bias"] = Part(part.name, dims, cut)
    return Beside({home: " ".join(dict.fromkeys(axes)) for home, axes in cuts.items()}, biases)


def _in_use(draft: Draft, factors: Mapping[str, Sequence[str]]) -> set[str]:
    """Axes that the new parameters and the names of the new rows have, with what they are made of."""
    used = {axis for param in draft.params for text in param.parts.values() for axis in axes_of(text)}
    used |= {hole.partition(":")[0] for row in draft.rows for hole in _holes(row.name)}
    used |= {axis for row in draft.rows if row.layout for axis in axes_of(row.layout)}
    used |= {atom for axis in used & set(factors) for atom in factors[axis]}
    return used | ({"kv"} if "group" in used else set())


def _holes(name: str) -> list[str]:
    return [segment[1:-1] for segment in name.split(".") if segment.startswith("{")]


def _used(draft: Draft, domains: Mapping[str, str]) -> dict[str, str]:
    """The domains that a name of the file has."""
    names = [*(row.name for row in draft.rows), *(param.name for param in draft.params)]
    holes = {hole for name in [*names, *(name for name, _ in draft.skips)] for hole in _holes(name)}
    return {hole: text for hole, text in domains.items() if hole in holes}
