"""Config fields that an architecture's rows ask for and that a config spells otherwise, or does not have at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mappings.rows import Architecture
from mappings.sizes import ConfigError, axes_of, config_of, domains_of
from tracer.infer.canonical import ALIASES, text_config
from tracer.infer.families import LLAMA_SPELLING

_ROUNDS = 24
"""Fields of the largest table, and some."""


def fitted(
    arch: Architecture, config: Mapping[str, Any], inferred: Mapping[str, Any], spelled_alike: bool = False
) -> tuple[Architecture, dict[str, Any]]:  # fmt: skip
    """The architecture with flags for the fields that config lacks, and those flags.

    A field that the config has under another name refers to it; one of a nested object, or one that only the tensors
    tell, is a number. A config that is `spelled_alike` is not looked through for other names. Raises ConfigError
    where a size cannot be told at all.
    """
    asked = [] if spelled_alike else _asked(arch, config)
    flags = {field: value for field in asked if (value := _elsewhere(field, config)) is not None}
    own = replace(arch, flags={**arch.flags, **flags}, requires={})
    for _ in range(_ROUNDS):
        try:
            _evaluate(own, config)
            return own, flags
        except ConfigError as error:
            field = error.finding.evidence.get("field")
            if error.finding.code != "config.missing-field" or field is None or field not in inferred:
                raise
            flags[field] = inferred[field]
            own = replace(own, flags={**own.flags, field: inferred[field]})
    raise AssertionError("more fields than any table has")


def _evaluate(arch: Architecture, config: Mapping[str, Any]) -> None:
    read = config_of(arch, config)
    axes = axes_of(arch, read)
    domains_of(arch, read)
    params = [param for param in arch.params if param.when is None or read.flag(param.when)]
    for axis in {axis for param in params for part in param.parts for dim in part.dims for axis in dim}:
        axes.size(axis)


def _asked(arch: Architecture, config: Mapping[str, Any]) -> list[str]:
    """The config fields that sizes and the layers are told by: of alternatives those up to one that holds."""
    found = [arch.layers]
    for text in arch.axes.values():
        for alternative in text.split("|"):
            words = [word for word in alternative.split() if word.isidentifier() and word != "ceil"]
            found += words
            if all(config.get(word) is not None or _elsewhere(word, config) is not None for word in words):
                break
    return list(dict.fromkeys(found))


def _elsewhere(field: str, config: Mapping[str, Any]) -> Any:
    """What stands for a field that the config has not at its top; None where it has it, or nothing does."""
    if config.get(field) is not None:
        return None
    text = text_config(config)
    if type(text.get(field)) is int:
        return text[field]
    canonical = next((name for name, spelled in LLAMA_SPELLING.items() if spelled == field), None)
    names = ALIASES.get(canonical or "", ()) or next((a for a in ALIASES.values() if field in a), ())
    other = next((name for name in names if type(text.get(name)) is int), None)
    if other is None:
        return None
    return f"@{other}" if config.get(other) == text[other] else text[other]


def named_for(value: int, config: Mapping[str, Any], avoid: frozenset[str] = frozenset()) -> str | None:
    """The one field at the top of a config that has this value; None where none has, or several have."""
    found = [key for key, own in config.items() if type(own) is int and own == value and key not in avoid]
    sized = [key for key in found if not key.endswith(_NO_SIZES) and key.isidentifier()]
    return sized[0] if len(sized) == 1 else None


_NO_SIZES = ("_token_id", "_id", "version", "_theta", "_seed", "max_position_embeddings", "_window", "_length")
"""Endings of fields whose numbers are no extents."""
