"""How many tokens a sequence may have: what config.json says, stretched as it says, and no more than have a place."""

from __future__ import annotations

from engine.layers.rope import scaled
from mappings.bind import Binding

FIELDS = ("max_position_embeddings", "n_positions", "max_sequence_length")
"""What config.json calls the length that a model was trained for, or made for afterwards."""
POSITION = "position"
"""What rows call the axis of a table of positions."""
ENDLESS = 1 << 30
"""Where nothing says, as for ALiBi: no end but the cache's."""


def longest(binding: Binding, wanted: int | None = None) -> int:
    """As many as are wanted, or as the model was made for.

    Rotary embeddings and ALiBi compute any position, however little a model makes of it, so more may be wanted.
    Raises ValueError where the model looks positions up and there are fewer, ConfigError where one of FIELDS, or what
    config.json says of stretching, is not what it must be.
    """
    table = _table(binding)
    if wanted is None:
        return table or _stated(binding)
    if table is not None and wanted > table:
        field = binding.arch.axes[POSITION]
        raise ValueError(
            f"max_length {wanted}: expected at most {table}: config.json says {field}: {table}, and beyond these the"
            " model has no positions"
        )
    return wanted


def _table(binding: Binding) -> int | None:
    """How many positions are learned; None for a model that computes them."""
    learned = any(POSITION in dim for leaf in binding.leaves for dim in leaf.layout)
    return binding.axes.size(POSITION) if learned else None


def _stated(binding: Binding) -> int:
    """Raises ConfigError."""
    config, rope = binding.config, scaled(binding.config)
    if rope is not None and rope.longest:
        return rope.reach
    return next((size for name in FIELDS if (size := config.size(name))), ENDLESS)
