"""How a field of config.json stands to what the tensors say of it: one rule for all pages that show both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tracer.infer.fields import Field

Standing = Literal["agrees", "conflict", "differs", "fits", "inferred", "not compared"]
"""agrees    the tensors say the same, without having been asked
conflict  a finding is against it
differs   the tensors say otherwise, and that may be so
fits      the config's own value, of which the tensors fix no more than a product
inferred  the config says nothing of it, the tensors do"""

SURE = ("certain", "likely")
MADE_UP = "there are no tensors, names and shapes come from the config itself"
"""Why nothing is compared where tensors stand for those that are not here."""


def standing(said: object, seen: Field | None, wrong: bool = False) -> Standing:
    """`said` is None where config.json says nothing; `seen` is what the tensors say, None where that is nothing."""
    if wrong:
        return "conflict"
    if seen is None or seen.value is None:
        return "not compared"
    if said is None:
        return "inferred"
    if seen.taken:
        return "fits"
    if seen.witness == "" or seen.confidence not in SURE:  # neither its own word nor practice is a second one
        return "not compared"
    return "agrees" if _same(said, seen.value) else "differs"


def _same(said: object, seen: object) -> bool:
    """Whether a field says what was seen; of a quantisation not all can be."""
    if isinstance(said, Mapping) and isinstance(seen, Mapping):
        return bool(seen) and all(key in said and said[key] == value for key, value in seen.items())
    return said == seen
