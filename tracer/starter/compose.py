"""The order in which a mapping file comes about: what it is like, what has another name, what is new, what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from mappings.bind import Binder
from mappings.registry import declared
from mappings.rows import Architecture
from mappings.sizes import ConfigError
from tracer.infer.canonical import spelled_in, text_config
from tracer.infer.names import Group, grouped, structure
from tracer.starter.base import Base, base_of, bases, wrapped
from tracer.starter.blankpage import blank_page
from tracer.starter.completing import complete, unclaimed
from tracer.starter.draft import Draft
from tracer.starter.material import Material
from tracer.starter.pairing import paired

_NEAR = 0.5
"""Share of the kinds of names that an architecture has to place to be what an unknown one is like."""


def composed(material: Material) -> Draft:
    """The file. Raises ConfigError where config.json does not even name its class."""
    groups = grouped(material.names, material.tensors)
    material.towers = structure(groups).towers
    name = declared(material.config)
    own = [arch for arch in material.registered if name in (arch.name, *arch.also)]
    base = _whole(material, groups, name) or _nearest(material, groups, name, own)
    if base is None:
        return _from_nothing(material, groups, name)
    draft = Draft(name, None if base.arch.id == name else base.arch.id, _why(name, base, own), flags=dict(base.flags))
    registered = next(arch for arch in material.registered if arch.id == base.arch.id)
    if base.arch.prefixes != registered.prefixes:
        draft.prefixes = base.arch.prefixes
    complete(draft, base, groups, material, removing=not own)
    return draft


def _why(name: str, base: Base, own: Sequence[Architecture]) -> str:
    if any(arch.id == base.arch.id for arch in own):
        return f"Rows beside those of {base.arch.id}."
    known = f"{name} has rows here that these tensors do not fit" if own else f"no rows are known for {name}"
    return f"{known}; its names and shapes are most like {base.arch.id}."


def _whole(material: Material, groups: Mapping[str, Group], name: str) -> Base | None:
    """An architecture that has a place for every tensor and whose every place is filled."""
    fits = [base for base in bases(groups, material.config, material.inferred, material.registered)
            if len(base.claimed) == len(groups) and not base.open and _shapes_fit(base, groups)]  # fmt: skip
    return max(fits, key=lambda base: _kinship(base.arch, name, material.config), default=None)


def _kinship(arch: Architecture, name: str, config: Mapping[str, Any]) -> tuple[bool, bool, bool, float]:
    """Whether it is that class, or its model type, or its name is in that of the class; and how like the names are."""
    stem = arch.name.lower().removesuffix("forcausallm").removesuffix("lmheadmodel")
    model_type = str(config.get("model_type", "")).replace("_", "").lower()
    likeness = SequenceMatcher(None, name.lower(), arch.name.lower(), autojunk=False).ratio()
    return name in (arch.name, *arch.also), stem == model_type, stem in name.lower(), likeness


def _shapes_fit(base: Base, groups: Mapping[str, Group]) -> bool:
    wanted = {p + row.pattern.template: row.shape for row in base.binding.rows for p in base.arch.prefixes}
    return all(
        shape == wanted.get(template, shape) for template, group in groups.items() for shape, _ in group.shapes
    )


def _nearest(
    material: Material, groups: Mapping[str, Group], name: str, own: Sequence[Architecture]
) -> Base | None:  # fmt: skip
    """The architecture of that name; else the one that places most, if that is half of what there is."""
    if own:
        found = []
        for arch in own:
            try:
                found.append(base_of(arch, groups, material.config, material.inferred, by_name=True))
            except ConfigError:
                continue
        return max(found, key=lambda base: (len(base.claimed), -len(base.open)), default=None)
    best: tuple[tuple[float, object], Base] | None = None
    for base in bases(groups, material.config, material.inferred, material.registered):
        trial = wrapped(base, groups, material.config, material.inferred)
        kinds, _ = unclaimed(trial, groups, {})
        pairs = paired(kinds, trial.open).pairs
        places = len(trial.claimed) + len(pairs)
        rank = places - 0.5 * (len(trial.open) - len(pairs)), _kinship(trial.arch, name, material.config)
        if places >= _NEAR * len(groups) and (best is None or rank > best[0]):
            best = rank, trial
    return best[1] if best else None


def _from_nothing(material: Material, groups: Mapping[str, Group], name: str) -> Draft:
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
    complete(draft, base, groups, material, removing=False)
    return draft


def _layers(field_name: str, material: Material, groups: Mapping[str, Group]) -> dict[str, Any]:
    """The number of layers where the config does not have it at its top."""
    if type(material.config.get(field_name)) is int:
        return {}
    counted = max((i[0] + 1 for group in groups.values() for i in group.indices if i and group.stack), default=1)
    told = text_config(material.config).get(field_name)
    return {field_name: told if type(told) is int and told > 0 else counted}
