"""What the engine is given of a checkpoint: somebody else opens it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

from engine.loading.loader import WeightSource
from mappings.plan import LoadPlan


class CannotOpen(ValueError):
    """A checkpoint that is not there, cannot be read or is not sound; one line says which and why."""


class Opened(NamedTuple):
    """A checkpoint, planned for a number of ranks and ready to be read."""

    plan: LoadPlan
    source: WeightSource
    folder: Path
    """Where a tokenizer and generation_config.json may lie."""
    overrides: Mapping[str, Any] = {}
    """The fields of the config that were typed for this run, and that generation_config.json does not outdo."""


Opener: TypeAlias = Callable[[], Opened]
"""Called by every rank in its own process, so it must be importable, or a partial of something that is."""
GROUP = "trace_load.openers"
"""The entry points that open a checkpoint by its name: `open(model, tp) -> Opened`."""


def opener(model: str, tp: int) -> Opener:
    """What opens a checkpoint by its name, whatever its format; the engine itself knows none.

    Raises LookupError where none is installed. What it gives raises CannotOpen.
    """
    for point in entry_points(group=GROUP):
        return partial(cast("Callable[[str, int], Opened]", point.load()), model, tp)
    raise LookupError(f"nothing is installed that opens a checkpoint (entry points of {GROUP})")
