"""`architectures` of config.json -> the class that computes it, imported when it is asked for and not before.

`register` adds a class of one's own. A package adds some with entry points, the architecture's name before the equals
sign and the class behind it, and nothing of it is imported until a model of that name is loaded:

    [project.entry-points."trace_load.models"]
    MyForCausalLM = "my_package.models:MyForCausalLM"
"""

from __future__ import annotations

from functools import reduce
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args

from mappings import registry as rows

if TYPE_CHECKING:
    from torch import nn

    from engine.models.contract import Model

Kind: TypeAlias = Literal["generation", "pooling"]
"""What a model is for. `engine.models.contract` says what each kind must have."""

ENTRY_POINTS: dict[Kind, str] = {"generation": "trace_load.models", "pooling": "trace_load.models.pooling"}
"""The entry-point group of each kind."""


class Entry(NamedTuple):
    """One architecture."""

    where: str | type[nn.Module]
    """`"module:Class"`, or the class itself."""
    kind: Kind = "generation"


class ModelError(Exception):
    """A model that was registered and cannot be used; names it, and what is wrong with it."""


MODELS: dict[str, Entry] = {
    "LlamaForCausalLM": Entry("engine.models.llama:LlamaForCausalLM"),
    "MistralForCausalLM": Entry("engine.models.llama:MistralForCausalLM"),
    "Qwen2ForCausalLM": Entry("engine.models.llama:Qwen2ForCausalLM"),
    "Qwen3ForCausalLM": Entry("engine.models.llama:Qwen3ForCausalLM"),
    "Phi3ForCausalLM": Entry("engine.models.llama:Phi3ForCausalLM"),
    "MixtralForCausalLM": Entry("engine.models.mixtral:MixtralForCausalLM"),
    "GPT2LMHeadModel": Entry("engine.models.gpt2:GPT2LMHeadModel"),
    "BloomForCausalLM": Entry("engine.models.bloom:BloomForCausalLM"),
}
"""Our own, and whatever was registered."""


def register(name: str, entry: str | type[nn.Module], kind: Kind = "generation") -> None:
    """Add an architecture, or replace one. Raises ValueError for a text that is not `module:Class`, or another kind."""
    if kind not in get_args(Kind):
        raise ValueError(f"{name}: kind is {kind!r}, expected one of {', '.join(get_args(Kind))}")
    if isinstance(entry, str) and not all(entry.partition(":")):
        raise ValueError(f"{name}: {entry!r} is not of the form 'module:Class'")
    MODELS[name] = Entry(entry, kind)


def known() -> dict[str, Entry]:
    """Every architecture by name. Packages add to what is registered here, and replace nothing."""
    return _installed() | MODELS


def _installed() -> dict[str, Entry]:
    """What the entry points of other packages say; none of it is imported."""
    return {
        point.name: Entry(f"{point.module}:{point.attr}", kind)
        for kind, group in ENTRY_POINTS.items() for point in entry_points(group=group)
    }  # fmt: skip


def find(name: str) -> Entry | None:
    """The entry of an architecture, None when there is none. Imports nothing."""
    return MODELS.get(name) or _installed().get(name)


def nearest(name: str) -> list[str]:
    """The known names that are most like one that is not, at most three."""
    return rows.nearest(name, list(known()))


def resolve(name: str) -> type[Model] | None:
    """The class for an architecture, None when there is none.

    Raises ModelError when it cannot be imported, or lacks a member of its kind's contract.
    """
    entry = find(name)
    return None if entry is None else _checked(name, entry)


def _checked(name: str, entry: Entry) -> type[Model]:
    from engine.models.contract import missing

    found = _imported(name, entry.where) if isinstance(entry.where, str) else entry.where
    lacks = missing(found, entry.kind)
    if lacks:
        where = entry.where if isinstance(entry.where, str) else entry.where.__qualname__
        raise ModelError(
            f"{name}: {where} lacks {', '.join(lacks)}, which a model for {entry.kind} has (engine/models/contract.py)"
        )
    return found  # type: ignore[return-value]  # in all but name


def _imported(name: str, where: str) -> object:
    module, _, attributes = where.partition(":")
    try:
        return reduce(getattr, attributes.split("."), import_module(module))
    except Exception as error:
        raise ModelError(f"{name}: {where} cannot be imported: {type(error).__name__}: {error}") from error
