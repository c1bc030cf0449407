"""Which of the mappings in a checkpoint is the state dict.

The mapping that holds tensors under string keys, nearest to the root: the root itself in a plain state dict, the value
of "state_dict" or "model" in what a trainer saves. Where several are equally near (a trainer's callbacks keep tensors
too), the one under the first of `_USUAL` is taken; where none has such a key, the file is refused rather than guessed
at. Everything else is counted and left alone.
"""

from __future__ import annotations

from typing import NamedTuple

from tracer.checkpoint.pytorch.refusal import Refusal, shown
from tracer.checkpoint.pytorch.values import Oddity, Pairs, Tensor, Value

_USUAL = ("state_dict", "model_state_dict", "model", "module")
_DEEPEST = 4
"""Mappings inside each other; nobody wraps a state dict more often."""


class StateDict(NamedTuple):
    """The tensors by name, and what lay beside them."""

    key: str
    """Where it is, keys joined by dots; empty for the whole of the file."""
    tensors: dict[str, Tensor | Oddity]
    others: int
    """Values that are no tensors, in the same mapping and in those around it; a mapping counts as one."""


class _Place(NamedTuple):
    keys: tuple[str, ...]
    mapping: Pairs


def find_state_dict(root: Value) -> StateDict:
    """The tensors of a checkpoint. Raises Refusal if there is no mapping of them, or no telling which."""
    level, seen, others = [_Place((), root)] if isinstance(root, Pairs) else [], {id(root)}, 0
    for _ in range(_DEEPEST):
        found = [place for place in level if _has_tensors(place.mapping)]
        if found:
            return _taken(_choose(found), others + len(level) - 1)
        others += sum(len(place.mapping) for place in level)
        level = [below for place in level for below in _below(place, seen)]
        others -= len(level)
    raise Refusal("file.wrong-format", f"expected a mapping of names to tensors, found {_described(root)}")


def _has_tensors(mapping: Pairs) -> bool:
    return any(isinstance(value, Tensor | Oddity) and isinstance(key, str) for key, value in mapping)


def _below(place: _Place, seen: set[int]) -> list[_Place]:
    """The mappings inside, each once: a file may refer to one as often as it likes, and to itself."""
    found = []
    for key, value in place.mapping:
        if isinstance(value, Pairs) and isinstance(key, str) and id(value) not in seen:
            seen.add(id(value))
            found.append(_Place((*place.keys, key), value))
    return found


def _choose(found: list[_Place]) -> _Place:
    if len(found) == 1:
        return found[0]
    for key in _USUAL:
        for place in found:
            if place.keys[-1] == key:
                return place
    names = ", ".join(shown(".".join(place.keys)) for place in found[:3])
    raise Refusal(
        "file.wrong-format",
        f"{len(found)} mappings hold tensors ({names}{' ...' if len(found) > 3 else ''}) and none is called"
        f" {', '.join(_USUAL[:-1])} or {_USUAL[-1]}: which one is the model cannot be told",
    )


def _taken(place: _Place, others: int) -> StateDict:
    tensors: dict[str, Tensor | Oddity] = {}
    for key, value in place.mapping:
        if not isinstance(value, Tensor | Oddity) or not isinstance(key, str):
            others += 1
        elif key in tensors:
            message = f"the name {shown(key)} occurs twice; one of its tensors would be lost"
            raise Refusal("header.duplicate-name", message, key)
        else:
            tensors[key] = value
    return StateDict(".".join(place.keys), tensors, others)


def _described(root: Value) -> str:
    if isinstance(root, Tensor | Oddity):
        return "a single tensor without a name"
    return f"{shown(root)} without tensors in it" if isinstance(root, Pairs) else shown(root)
