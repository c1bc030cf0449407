"""The order in which a mapping file comes about: what it is like, what has another name, what is new, what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from mappings.bind import Binder
from mappings.registry import declared
from mappings.rows import Architecture
from tracer.infer.canonical import spelled_in, text_config
from tracer.infer.logical import modules
from tracer.infer.names import Group, grouped, structure
from tracer.infer.packing import scheme_of
from tracer.starter.base import Base, base_of, bases, wrapped
from tracer.starter.blankpage import blank_page
from tracer.starter.completing import complete, unclaimed
from tracer.starter.draft import Draft
from tracer.starter.kinds import Template, template_of
from tracer.starter.material import Material
from tracer.starter.pairing import paired
from tracer.starter.three import name_three

_NEAR = 0.5
"""Share of the kinds of names that an architecture has to place to be what an unknown one is like."""


def composed(material: Material) -> Draft:
    """The file. Raises ConfigError where config.json names no class, or the sizes of a known one cannot be told."""
    groups = grouped(material.names, material.tensors)
    material.towers = structure(groups).towers
    name_three(groups.values())
    found = modules(groups.values())
    material.quantised = frozenset(module for module, leaves in found.items() if scheme_of(leaves))
    templates = [template_of(group) for group in groups.values()]
    name = declared(material.config)
    own = [arch for arch in material.registered if name in (arch.name, *arch.also)]
    every = bases(groups, material.config, material.inferred, material.registered)
    fits = _whole(every, material, groups, name)
    if not fits and own:
        every = bases(groups, material.config, material.inferred, own, by_name=True)
    base = fits[0] if fits else _nearest(every, material, groups, templates, name, own)
    if base is None:
        for arch in own:
            base_of(arch, groups, material.config, material.inferred, by_name=True)
        return _from_nothing(material, groups, templates, name)
    why = _why(name, [fit.arch.id for fit in fits], base.arch.id, own)
    draft = Draft(name, None if base.arch.id == name else base.arch.id, why, flags=dict(base.flags))
    registered = next(arch for arch in material.registered if arch.id == base.arch.id)
    if base.arch.prefixes != registered.prefixes:
        draft.prefixes = base.arch.prefixes
    complete(draft, base, templates, material, removing=not own)
    return draft


def _why(name: str, fits: Sequence[str], base: str, own: Sequence[Architecture]) -> str:
    """What the file begins with."""
    if any(arch.id == base for arch in own):
        return f"Rows beside those of {base}."
    known = f"{name} has no rows for all of these tensors" if own else f"No rows are known for {name}"
    if not fits:
        return f"{known}; most of their names and shapes are those of {base}."
    others = f" ({', '.join(fits[1:])} would do as well)" if fits[1:] else ""
    return f"{known}; every one has its place in those of {base}{others}."


def _whole(known: Sequence[Base], material: Material, groups: Mapping[str, Group], name: str) -> list[Base]:
    """Of those the ones that have a place for every tensor and whose every place is filled, the likeliest first."""
    fits = [base for base in known if groups and len(base.claimed) == len(groups) and not base.open]
    return sorted(fits, key=lambda base: _kinship(base.arch, name, material.config), reverse=True)


def _kinship(arch: Architecture, name: str, config: Mapping[str, Any]) -> tuple[bool, bool, bool, float]:
    """Whether it is that class, or its model type, or its name is in that of the class; and how like the names are."""
    stem = arch.name.lower().removesuffix("forcausallm").removesuffix("lmheadmodel")
    model_type = str(config.get("model_type", "")).replace("_", "").lower()
    likeness = SequenceMatcher(None, name.lower(), arch.name.lower(), autojunk=False).ratio()
    return name in (arch.name, *arch.also), stem == model_type, stem in name.lower(), likeness


def _shapes_fit(base: Base, groups: Mapping[str, Group]) -> bool:
    wanted = {p + row.pattern.template: row.shape for row in base.binding.rows for p in base.arch.prefixes}
    return all(shape == wanted.get(template, shape) for template, group in groups.items() for shape, _ in group.shapes)


def _nearest(
    known: Sequence[Base], material: Material, groups: Mapping[str, Group], templates: Sequence[Template], name: str,
    own: Sequence[Architecture],
) -> Base | None:  # fmt: skip
    """The dialect of that name, else the architecture, that places most: for an unknown one half of what there is."""
    best: tuple[tuple[float, object], Base] | None = None
    for base in known:
        trial = base if own else wrapped(base, groups, material.config, material.inferred)
        kinds, _ = unclaimed(trial, templates, {})
        pairs = paired(kinds, trial.open).pairs
        places = len(trial.claimed) + len(pairs)
        rank = places - 0.5 * (len(trial.open) - len(pairs)), _kinship(trial.arch, name, material.config)
        if (own or places > _NEAR * len(groups)) and (best is None or rank > best[0]):
            best = rank, trial
    return best[1] if best else None


def _from_nothing(
    material: Material, groups: Mapping[str, Group], templates: Sequence[Template], name: str
) -> Draft:  # fmt: skip
    """Every parameter new."""
    text = text_config(material.config)
    layers = spelled_in(text, "layers") or "num_hidden_layers"
    arch = blank_page(name, material.config, material.known, layers)
    flags = _layers(layers, material, groups)
    arch = Architecture(name, arch.axes, (), arch.factors, flags, layers=layers)
    binding = Binder(arch, material.config, 1, set(groups)).bind()
    base = Base(arch, binding, flags, [], frozenset(), registered=False)
    why = f"No rows are known for {name}, and it is like no architecture that has some: every parameter is new."
    draft = Draft(name, None, why, None if layers == "num_hidden_layers" else layers, flags=dict(flags))
    complete(draft, base, templates, material, removing=False)
    return draft


def _layers(field_name: str, material: Material, groups: Mapping[str, Group]) -> dict[str, Any]:
    """The number of layers where the config does not have it at its top."""
    if type(material.config.get(field_name)) is int:
        return {}
    counted = max((i[0] + 1 for group in groups.values() for i in group.indices if i and group.stack), default=1)
    told = text_config(material.config).get(field_name)
    return {field_name: told if type(told) is int and told > 0 else counted}
