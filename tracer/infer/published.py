"""Published geometries, in the vocabulary of `canonical.py`: what widths that fit are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from fixtures import fingerprints
from fixtures.geometries import geometry, names
from tracer.infer.canonical import atoms_of, canonical
from tracer.infer.families import NAMED


class Published(NamedTuple):
    """One geometry."""

    name: str
    config: Mapping[str, Any]
    fields: Mapping[str, Any]
    """Canonical."""
    atoms: Mapping[str, int]


@cache
def published() -> tuple[Published, ...]:
    """All of them."""
    found = []
    for name, config in _configs().items():
        fields = canonical(config)
        found.append(Published(name, config, fields, atoms_of(fields)))
    return tuple(found)


def _configs() -> dict[str, dict[str, Any]]:
    """The geometries that are kept whole, then those of which the numbers are."""
    whole = {name: geometry(name) for name in names()}
    return whole | {row.name: _config(row) for row in fingerprints.table()}


def _config(row: fingerprints.Published) -> dict[str, Any]:
    family = NAMED.get(row.architecture)
    return {**row.fields, "architectures": [row.architecture], "model_type": family.model_type if family else
            row.architecture.removesuffix("ForCausalLM").lower()}  # fmt: skip


def alike(layers: int | None, atoms: Mapping[str, int], model_type: str) -> Published | None:
    """The geometry with these widths and this depth; of several the one with the vocabulary, then the family."""
    wanted = ("hidden", "q", "kv", "ffn", "moe_ffn")
    if "hidden" not in atoms:
        return None
    found = [
        each for each in published()
        if each.fields.get("layers") == layers and atoms.get("hidden") == each.atoms.get("hidden")
        and all(each.atoms[name] == atoms[name] for name in wanted if name in atoms and name in each.atoms)
    ]  # fmt: skip
    return max(found, key=lambda each: _likeness(each, atoms, model_type), default=None)


def _likeness(each: Published, atoms: Mapping[str, int], model_type: str) -> tuple[bool, bool]:
    """Widths are shared by families; a vocabulary rarely is."""
    return each.atoms.get("vocab") == atoms.get("vocab"), each.config.get("model_type") == model_type


@cache
def vocabularies() -> tuple[int, ...]:
    """Sizes of published vocabularies."""
    return tuple(sorted({each.fields["vocab"] for each in published() if type(each.fields.get("vocab")) is int}))


def architecture_of(name: str) -> str:
    """The class of a geometry; empty for one that is not known."""
    return next((str(each.config["architectures"][0]) for each in published() if each.name == name), "")
