"""One field of a config.json, as it was found out: its value, what says so, and how sure that is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

Confidence = Literal["certain", "likely", "guess", "unknown"]
"""certain  the tensors leave no other value
likely   the tensors leave a few, and practice or a published geometry one of them
guess    the tensors leave many; this one is the field's practice
unknown  no tensor says anything about it"""

ORDER: tuple[Confidence, ...] = ("certain", "likely", "guess", "unknown")


TAKEN = "config.json says so"
"""How the evidence of such a field begins."""


@dataclass(frozen=True, slots=True)
class Field:
    """`num_attention_heads = 32`, from `q_proj (4096, 4096) = heads x head_dim, hidden`."""

    name: str
    """As the config.json of this architecture spells it."""
    value: Any
    """None where it is unknown."""
    evidence: str
    """Which tensors, with their shapes or counts; or what bounds a value that is unknown."""
    confidence: Confidence
    witness: str | None = None
    """Of what a GGUF file says in place of a config.json: the tensors that say the same, empty where none does."""

    @property
    def taken(self) -> bool:
        """Whether it is config.json's own value, of which the shapes fix no more than a product."""
        return self.evidence.startswith(TAKEN)

    def to_json(self) -> str:
        """One record of `--json`."""
        record = {"kind": "field", "name": self.name, "value": self.value}
        return json.dumps(record | {"evidence": self.evidence, "confidence": self.confidence})


def weaker(*confidences: Confidence) -> Confidence:
    """What follows from several values is as sure as the least sure of them."""
    return max(confidences, key=ORDER.index, default="certain")
