"""One entry of the catalogue rebuilt: a checkpoint, the words that a user saw, and the verdict that is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from tracer.complaints import read_error
from tracer.diagnose.diagnosis import Diagnosis, diagnose

Silent: TypeAlias = Literal["same", "nothing", "unasked"]
UNWRITTEN = ("A6",)
"""Entries whose changes are told and cannot be carried out; the README says why."""


class Writable(Protocol):
    """A checkpoint that is not on disk yet."""

    def write(self, folder: Path, seed: int | None = None) -> Path: ...


Make = Callable[[], Writable]


@dataclass(frozen=True)
class Case:
    """A checkpoint and an error, and what comes first of it."""

    entry: str
    variant: str
    make: Make
    said: str
    """As the user saw it; names and numbers adapted to the sizes here only where they must be."""
    code: str
    subject: str
    words: tuple[str, ...] = ()
    """What the sentence, or its fix, has to say."""
    tp: int = 1
    alone: Silent = "nothing"
    """Without the words: the same cause, since the files show it; or nothing wrong, since they are whole."""
    sound: Make | None = None
    """A checkpoint of which the same words are no evidence for this cause."""
    seed: int | None = None
    """Whether weights get numbers; else they are holes."""
    severity: str = "error"
    before: Make | None = None
    """The undamaged checkpoint, where the verdict comes with changes: the repaired copy has to be it."""
    still: bool = False
    """Whether the damaged one computes the same here, since only another reader stumbles over it."""
    like: tuple[str, str] | None = None
    """The class that it is computed as, and its model_type, where config.json names one that exists nowhere."""
    aside: tuple[str, ...] = ()
    """What the names begin with that the class has no place for, before the damage as after it."""
    unread: tuple[str, ...] = ()
    """Fields of config.json that the reader who complains does not know."""

    @property
    def id(self) -> str:
        return f"{self.entry}-{self.variant}"

    @property
    def is_mended(self) -> bool:
        """Whether the verdict comes with changes: then there is an undamaged one, or no copy can be written."""
        return self.before is not None or self.entry in UNWRITTEN


def asked(make: Make, folder: Path, said: str, tp: int = 1, seed: int | None = None) -> Diagnosis:
    """What `tracer diagnose` says of it."""
    return diagnose(str(make().write(folder, seed)), read_error(said), tp)
