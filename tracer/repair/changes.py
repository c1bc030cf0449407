"""What would mend a checkpoint, as data: said by a diagnosis, carried out on a copy, and printed in both places.

Changes come in stages, such as those of one cause and those of a cause that was found behind it. Each names tensors as
they are before its stage, whatever other changes of the stage do with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Op: TypeAlias = Literal["transpose", "half-to-interleaved", "interleaved-to-half", "add"]
REORDERED: Mapping[Op, str] = {
    "half-to-interleaved": "from halves to pairs", "interleaved-to-half": "from pairs to halves",
}  # fmt: skip
"""What a reordering of rows is called where it is printed."""


@dataclass(frozen=True, slots=True)
class Rename:
    """Tensors under other names; two that take each other's are swapped."""

    names: Mapping[str, str]
    """Name as it is -> name as it should be."""


@dataclass(frozen=True, slots=True)
class SetField:
    """One field of config.json, dots going into objects (`text_config.num_key_value_heads`)."""

    field: str
    value: Any
    """As JSON has it."""


@dataclass(frozen=True, slots=True)
class RemoveField:
    """A field that config.json would be right without."""

    field: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Tensors that no loader needs."""

    names: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Transform:
    """Other values in the same place.

    `half-to-interleaved` and back reorder the rows of each head (`heads` of them): rows i and i + d/2 become 2i and
    2i + 1. `transpose` exchanges the last two axes. `add` adds `amount` to every element, computed in float32 and
    rounded once to the stored type. Several of one tensor are done in the order given.
    """

    names: tuple[str, ...]
    op: Op
    heads: int = 1
    amount: float = 0.0


@dataclass(frozen=True, slots=True)
class Cut:
    """One tensor becomes several: for each new name a range of one axis, all of them in order (`axis` from 0)."""

    name: str
    axis: int
    parts: Mapping[str, tuple[int, int]]
    """New name -> [start, stop) along the axis."""
    drop_axis: bool = False
    """Whether each part is one step of the axis, and loses it: stacked experts."""


@dataclass(frozen=True, slots=True)
class Join:
    """Several tensors become one, end to end along `axis`, or as steps of a new axis."""

    names: tuple[str, ...]
    into: str
    axis: int
    new_axis: bool = False


@dataclass(frozen=True, slots=True)
class RewriteIndex:
    """The index as the headers have it: nothing else is changed."""

    why: str = ""
    files: tuple[str, ...] = field(default=())
    """The files that are the model; empty: those that were read."""


Change: TypeAlias = Rename | SetField | RemoveField | Drop | Transform | Cut | Join | RewriteIndex
