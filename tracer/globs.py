"""Which names a glob of the command line means."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from fnmatch import fnmatchcase

from mappings.names import blank
from tracer.errors import UsageError


def matching(option: str, glob: str, names: Collection[str]) -> list[str]:
    """The names that a glob matches as a whole. Raises UsageError, with what comes nearest, where it matches none."""
    found = [name for name in names if fnmatchcase(name, glob)]
    if not found:
        raise UsageError(f"{option} {glob[:200]} matches none of {len(names)} names; {_offer(glob, names)}")
    return found


def _offer(glob: str, names: Collection[str]) -> str:
    """Part of a name, which is what most who get here have typed; else the nearest names, one of each kind."""
    wider = f"*{glob.strip('*')}*"
    inside = sum(fnmatchcase(name, wider) for name in names)
    if inside:
        return f"a glob must match the whole name: '{wider}' matches {inside}"
    kinds = {blank(name)[0]: name for name in reversed(list(names))}
    near = get_close_matches(glob[:200], list(kinds.values()), n=3, cutoff=0.5)
    return f"nearest: {', '.join(near)}" if near else "a glob must match the whole name"
