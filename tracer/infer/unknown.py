"""What no shape tells: said to be unknown, with what bounds it, or offered from a published geometry and marked so."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.infer.derive import Known
from tracer.infer.fields import Field

_NOTHING: tuple[tuple[str, str], ...] = (
    ("theta", "a wavelength leaves no trace in shapes; a stored inv_freq has it in its values"),
    ("eps", "a constant of the norms"),
    ("act", "a function, not a tensor"),
    ("active", "how many of the experts a token visits is the router's choice"),
    ("positions", "rotary positions have no table"),
)


def completed(found: Sequence[Field], known: Known) -> list[Field]:
    """The fields, and those that stay unknown."""
    names = {field.name for field in found}
    offered = known.published or {}
    more = [
        Field(name, None, _told(why, offered.get(canonical), known.published_name), "unknown")
        for canonical, why in _NOTHING
        if (name := known.family.spelled(canonical)) and name not in names
        and (canonical != "active" or known.names.has("router"))
    ]  # fmt: skip
    return [*found, *more]


def _told(why: str, offered: object, name: str) -> str:
    """What bounds it, and what a published model of the same widths has, which need not be this one's."""
    return why if offered is None else f"{why}; {name}, whose widths these are, has {offered}"
