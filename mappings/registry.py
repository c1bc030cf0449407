"""Which architecture a checkpoint is: by the name in config.json, and among dialects by the names in its header."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any, NamedTuple

from mappings.architectures import BUILT_IN
from mappings.bind import Binder, Binding
from mappings.claims import Claims
from mappings.findings import Finding
from mappings.names import blank
from mappings.rows import Architecture
from mappings.sizes import ConfigError

ENTRY_POINTS = "trace_load.architectures"
"""Packages add architectures under this entry-point group; each entry is an `Architecture` or a list of them."""


class Choice(NamedTuple):
    """The dialect whose names fit best, bound; and what spoke against the others."""

    binding: Binding
    lost: dict[str, str]


def installed() -> list[Architecture]:
    """The built-in architectures and those of other packages."""
    return [*BUILT_IN, *_brought(tuple(sys.path))]


@lru_cache(maxsize=1)
def _brought(path: tuple[str, ...]) -> tuple[Architecture, ...]:
    """By the packages on a path: to look through all that is installed takes longer than most plans."""
    found: list[Architecture] = []
    for point in entry_points(group=ENTRY_POINTS):
        loaded = point.load()
        found += loaded if isinstance(loaded, list | tuple) else [loaded]
    return tuple(found)


def declared(config: Mapping[str, Any]) -> str:
    """The architecture that config.json names. Raises ConfigError."""
    value = config.get("architectures")
    if isinstance(value, list) and value and isinstance(value[0], str):
        return value[0]
    message = f"config.json: architectures is {value!r}, expected a list with one name"
    code = "config.missing-field" if value is None else "config.invalid"
    raise ConfigError(Finding(code, "error", "architectures", message, {"found": repr(value)}))


def candidates(config: Mapping[str, Any], extra: Sequence[Architecture] = ()) -> list[Architecture]:
    """The dialects that config.json may mean. Raises ConfigError where there is none (`arch.unknown`, `config.*`)."""
    known = [*extra, *installed()]
    name = declared(config)
    found = [arch for arch in known if name in (arch.name, *arch.also)]
    found = [arch for arch in found if arch in extra] or found
    if not found:
        raise ConfigError(_unknown(name, known))
    described = [arch for arch in found if all(config.get(k) == v for k, v in arch.requires.items())]
    if not described:
        raise ConfigError(_not_this_kind(found[0], config))
    return described


def choose(
    config: Mapping[str, Any], names: Collection[str] | None, tp: int, dtype: str, extra: Sequence[Architecture] = ()
) -> Choice:  # fmt: skip
    """Bind the architecture of a checkpoint. `names` are those of its header, None where there is none.

    Raises ConfigError (`arch.unknown`, `config.*`).
    """
    described = candidates(config, extra)
    templates = None if names is None else {blank(n)[0] for n in names}
    bound = [Binder(arch, config, tp, templates, dtype).bind() for arch in described]
    scores = {b.arch.id: _score(b, templates or set()) for b in bound}
    best = max(bound, key=lambda b: scores[b.arch.id])
    total = len(templates or ())
    # A dialect that claims no name at all was never in question.
    lost = {i: f"claims {n} of {total} name templates" for i, n in scores.items() if n and i != best.arch.id}
    return Choice(best, lost)


def _score(binding: Binding, templates: Collection[str]) -> int:
    claims = Claims(binding)
    return sum(bool(claims.owners(template)) for template in templates)


def _unknown(name: str, known: Sequence[Architecture]) -> Finding:
    names = list(dict.fromkeys(arch.name for arch in known))
    near = nearest(name, names)
    offered = f"; nearest: {', '.join(near)}" if near else ""
    return Finding(
        "arch.unknown", "error", name, f"no rows for architecture {name}{offered}",
        {"nearest": near, "known": names}, fix="describe it with --mapping FILE (see `tracer mappings`)",
    )  # fmt: skip


def nearest(name: str, names: Sequence[str]) -> list[str]:
    """By the whole name, or by what is left without the ending that most share: GGUF says `qwen3moe`."""
    by_stem = {known.lower().removesuffix("forcausallm"): known for known in names}
    stems = get_close_matches(name.lower().removesuffix("forcausallm"), by_stem, n=3, cutoff=0.6)
    near = get_close_matches(name, names, n=3, cutoff=0.5) or [by_stem[stem] for stem in stems]
    return near or get_close_matches(name, names, n=3, cutoff=0.1)


def _not_this_kind(arch: Architecture, config: Mapping[str, Any]) -> Finding:
    wanted = ", ".join(f"{k} = {v!r} (found {config.get(k)!r})" for k, v in arch.requires.items())
    return Finding(
        "arch.unknown", "error", arch.name, f"the rows for {arch.name} describe only checkpoints with {wanted}",
        {"requires": dict(arch.requires)},
    )  # fmt: skip
