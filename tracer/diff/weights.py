"""A weight as the model means it: one tensor, or the several that a quantisation scheme keeps in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

from tracer.checkpoint.tensor_info import TensorInfo

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a quantised weight is kept."""

    name: str
    """As people call it: `GPTQ`, `FP8`, `bitsandbytes NF4`."""
    bits: int
    group: str = ""
    """What shares a scale: `group 128`, `128 x 128 blocks`, `one scale a row`."""
    settings: Mapping[str, Any] | None = None
    """What its decoder has to know beside the tensors."""
    unread: str = ""
    """Why it cannot be dequantised; empty where it can."""
    told: str = field(init=False)
    """`GPTQ 4 bit, group 128`; most names end in their bits anyway."""

    def __post_init__(self) -> None:
        bits = "" if self.name[-1].isdigit() or self.name.startswith(("GGUF", "FP8")) else f" {self.bits} bit"
        object.__setattr__(self, "told", ", ".join(text for text in (f"{self.name}{bits}", self.group) if text))

    def __str__(self) -> str:
        return self.told

    def __hash__(self) -> int:
        return hash((self.name, self.bits, self.group))


@dataclass(frozen=True, slots=True)
class Weight:
    """One weight of one side. `members` are its tensors by leaf: `weight`, or `qweight`, `qzeros`, `scales`."""

    name: str
    shape: Shape | None
    """Of the numbers it stands for; None where only its bytes would tell."""
    dtype: str
    """Safetensors spelling; of a quantised weight that of what is packed."""
    members: Mapping[str, TensorInfo]
    scheme: Scheme | None = None
    beside: Mapping[str, TensorInfo] = field(default_factory=dict)
    """Tensors of its module that say nothing of its numbers: scales of what goes in."""

    @property
    def info(self) -> TensorInfo:
        """The tensor with most bytes."""
        return next(iter(self.members.values()))

    @property
    def nbytes(self) -> int:
        return sum(info.nbytes for info in self.members.values())

    @property
    def elements(self) -> int | None:
        return None if self.shape is None else prod(self.shape)

    @property
    def kind(self) -> str:
        """What it is kept as, for people: the scheme, or the dtype."""
        return self.scheme.told if self.scheme else self.dtype


def plain(info: TensorInfo) -> Weight:
    return Weight(info.name, info.shape, info.dtype, {"": info})
