"""What either format of PyTorch's files comes down to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mappings.span import Span
from tracer.checkpoint.pytorch.opcodes import Outcome
from tracer.checkpoint.pytorch.tensors import Place


@dataclass(frozen=True, slots=True)
class Contents:
    """The pickle of a file, the places of its storages, and all that the file consists of."""

    format: str
    pickle: Outcome
    places: Mapping[str, Place]
    spans: list[Span]
    big_endian: bool = False
