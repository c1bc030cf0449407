"""All signatures, the most usual first: what shapes leave open, practice decides."""

from __future__ import annotations

from tracer.infer.shapes import decoders, encoders, mixtures, plain_decoders, state_spaces
from tracer.infer.shapes.signature import Family

FAMILIES: tuple[Family, ...] = (
    *decoders.FAMILIES, *plain_decoders.FAMILIES, *mixtures.FAMILIES, *state_spaces.FAMILIES, *encoders.FAMILIES,
)  # fmt: skip
"""A model that is stored in several ways is several entries of one name."""


def of_architecture(architecture: str) -> list[Family]:
    """The signatures of an architecture, by its name in config.json."""
    return [family for family in FAMILIES if architecture in family.architectures]
