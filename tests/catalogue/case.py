"""One entry of the catalogue rebuilt: a checkpoint, the words that a user saw, and the verdict that is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from tracer.complaints import read_error
from tracer.diagnose.diagnosis import Diagnosis, diagnose

Silent: TypeAlias = Literal["same", "nothing", "unasked"]


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

    @property
    def id(self) -> str:
        return f"{self.entry}-{self.variant}"


def asked(make: Make, folder: Path, said: str, tp: int = 1, seed: int | None = None) -> Diagnosis:
    """What `tracer diagnose` says of it."""
    return diagnose(str(make().write(folder, seed)), read_error(said), tp)
