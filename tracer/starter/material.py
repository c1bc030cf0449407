"""What a mapping file is written for: names, shapes, a config, and what was inferred of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mappings.architectures import BUILT_IN
from mappings.rows import Architecture
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.infer.derive import Known
from tracer.infer.names import Group


@dataclass
class Material:
    """What a file is written for."""

    names: Sequence[str]
    tensors: Sequence[TensorInfo]
    config: Mapping[str, Any]
    known: Known | None = None
    inferred: Mapping[str, Any] = field(default_factory=dict)
    registered: Sequence[Architecture] = BUILT_IN
    zeros: frozenset[str] = frozenset()
    """Names of tensors of which it was proven that all elements are zero."""
    quantised: frozenset[tuple[str, str]] = frozenset()
    """Stack and module of what is not stored as plain numbers."""
    towers: Mapping[str, Sequence[Group]] = field(default_factory=dict)
    """What is no decoder of text, by the component that begins it."""
