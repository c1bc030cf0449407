"""What differs between two config.json: every field, nested ones too, and whether it can change what is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

IDLE = frozenset(
    ("_name_or_path", "_commit_hash", "transformers_version", "finetuning_task", "use_cache", "output_attentions",
     "output_hidden_states", "return_dict")
)  # fmt: skip
"""Fields of transformers' PretrainedConfig that say where a file came from, or what a call returns unless told."""
_ABSENT = object()
_OTHER_NAMES = {"torch_dtype": "dtype"}
"""Transformers 4.56 renamed it; both are read."""
_SINGLE = 2.0**-24
"""How far off a number is, relatively, that was rounded to single precision."""
_LONGEST = 60
"""Characters of a value on a line."""
_FEW = 4


@dataclass(frozen=True, slots=True)
class Field:
    """One field that is not the same on both sides."""

    path: str
    """`rope_scaling.factor`."""
    a: Any
    b: Any
    absent: str = ""
    """`A` or `B`, which does not have it; its value is then None."""

    @property
    def idle(self) -> bool:
        """Whether what is loaded is the same with either value."""
        name = self.path.rpartition(".")[2]
        return name in IDLE or (name in _OTHER_NAMES and self.a == self.b)

    @property
    def lost_in_metadata(self) -> bool:
        """Whether it differs only as GGUF keeps no such field, or keeps its number in single precision.

        It keeps no dtype: its tensors tell.
        """
        if self.absent or _known(self.path) == "dtype":
            return True
        return isinstance(self.a, float) and isinstance(self.b, float) and isclose(self.a, self.b, rel_tol=_SINGLE)

    def __str__(self) -> str:
        if self.a == self.b and not self.absent:
            return f"{self.path} is called {_OTHER_NAMES[self.path.rpartition('.')[2]]} on one side"
        a, b = ("absent" if self.absent == side else _short(value) for side, value in (("A", self.a), ("B", self.b)))
        return f"{self.path}: {a} -> {b}"


def _short(value: Any) -> str:
    """As a person writes it: text without its quotes, unless they are all there is to see."""
    told = value if isinstance(value, str) and value.isprintable() and value else json.dumps(value)
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST - 3]}..."


def differences(a: Mapping[str, Any], b: Mapping[str, Any], within: str = "") -> Iterator[Field]:
    """In A's order. An absent field is not null: it stands for the default of the class, which may be anything."""
    spelled = {_OTHER_NAMES.get(name, name): name for name in b}
    names = [*a, *(name for name in b if name not in a and _known(name) not in map(_known, a))]
    for name in names:
        called = name if name in b else spelled.get(_known(name), name)
        one, other = a.get(name, _ABSENT), b.get(called, _ABSENT)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from differences(one, other, f"{within}{name}.")
        elif one is _ABSENT:
            yield Field(within + name, None, other, "A")
        elif other is _ABSENT:
            yield Field(within + name, one, None, "B")
        elif not _same(one, other):
            yield Field(within + name, one, other)
        elif called != name:
            yield Field(within + next(each for each in (name, called) if each in _OTHER_NAMES), one, other)


def _known(name: str) -> str:
    return _OTHER_NAMES.get(name, name)


def _same(one: Any, other: Any) -> bool:
    """As JSON has it: 1 is 1.0, and neither is true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def listed(fields: Sequence[Field], most: int = _FEW) -> str:
    """The first few with both values, and how many more there are."""
    more = f" and {len(fields) - most} more" if len(fields) > most else ""
    return ", ".join(map(str, fields[:most])) + more
