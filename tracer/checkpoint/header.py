"""What one weight file says of itself, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mappings.findings import Finding
from mappings.span import Span
from tracer.checkpoint.stamp import Stamp
from tracer.checkpoint.tensor_info import TensorInfo


@dataclass(frozen=True, slots=True)
class Header:
    """The tensors of one file, verified against its size."""

    tensors: list[TensorInfo]
    """In the order in which they lie in the file."""
    metadata: dict[str, str]
    spans: list[Span]
    """Everything in the file that is accounted for, headers and padding included, and an empty one where it ends."""
    findings: list[Finding] = field(default_factory=list)
    """What is odd but can be read."""
    config: dict[str, Any] | None = None
    """The file's own description of its model, in the terms of a config.json, where it has one (GGUF)."""
    stamp: Stamp | None = None
    """Of the very file that was read, taken before it was; None where it is not on this machine."""
