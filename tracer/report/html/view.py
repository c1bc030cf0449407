"""What a page says, as plain data: all texts, nothing escaped, nothing of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from mappings.findings import Severity

State: TypeAlias = Literal["ok", "finding", "not-checked"]
Kind: TypeAlias = Literal["held", "shared", "scattered", "gap", "pad"]
"""Of a block: one rank holds it, several do, one holds pieces of it, none does, no tensor fills it."""
Compared: TypeAlias = Literal["agrees", "conflict", "differs", "inferred", "not compared"]
"""Of a field: `differs` where the tensors say otherwise, and that may be so."""


class Chip(NamedTuple):
    """A count of the verdict: `2 errors`, `8 checks ok`."""

    kind: Severity | Literal["ok", "not-checked"]
    told: str


class Fact(NamedTuple):
    """One line of the summary."""

    name: str
    told: str


class Checked(NamedTuple):
    """How one check ended."""

    name: str
    state: State
    told: str
    """What was looked at, or why it was not."""


class Found(NamedTuple):
    """One finding."""

    number: int
    severity: Severity
    code: str
    subject: str
    rank: int | None
    message: str
    fix: str | None
    evidence: Sequence[tuple[str, str]]
    markdown: str
    leads: bool
    """Whether the path table has its subject."""


class More(NamedTuple):
    """Findings of one code that the page leaves out."""

    code: str
    number: int


class Slice(NamedTuple):
    """What one rank, or all of them alike, take of a tensor."""

    who: str
    source: str
    """Empty where nothing is read."""
    target: str
    everyone: bool = False


class Path(NamedTuple):
    """One line of the table: tensors that share a row and their slices."""

    shard: str
    tensor: str
    row: str
    slices: Sequence[Slice]


class Block(NamedTuple):
    """A rectangle of a row: where it begins and how wide it is, in units of the drawing."""

    x: float
    width: float
    part: int
    kind: Kind
    label: str
    """Empty where there is no room for it."""
    told: str
    beside: bool = False
    """Whether the label stands behind the block, which is too narrow for it."""
    stripes: Sequence[tuple[float, float]] = ()
    """Where it takes turns with other blocks: the beginning and the width of each of its turns."""
    turn: int = 0
    """Its place in each round; later ones are drawn lower, so that they can be told apart without colours."""

    @property
    def boxes(self) -> Sequence[tuple[float, float]]:
        """What is drawn of it."""
        return self.stripes or [(self.x, self.width)]


class Row(NamedTuple):
    """The whole parameter, or what one rank holds of it."""

    label: str
    blocks: Sequence[Block]


class Expert(NamedTuple):
    """A cell of a grid."""

    x: int
    y: int
    number: int
    state: str
    """`whole`, `partly`, `missing`, `twice`."""
    chosen: bool
    """Whether it is the one whose slices are drawn."""
    told: str


class Grid(NamedTuple):
    """All experts of a parameter, as some ranks have them."""

    who: str
    cells: Sequence[Expert]
    told: str
    """How many are as they should be, and which are not."""
    height: int


class Picture(NamedTuple):
    """The slice map of one parameter."""

    of: str
    rows: Sequence[Row]
    notes: Sequence[str]
    """What the picture alone would not tell."""
    grids: Sequence[Grid] = ()


@dataclass(frozen=True)
class Param:
    """A parameter with all that leads into it."""

    name: str
    told: str
    paths: Sequence[Path]
    fills: Sequence[str] = ()
    picture: Picture | None = None
    """Of a member that stands for most of them; None where every rank holds all of one part."""
    others: Sequence[Picture] = ()
    """Of members that differ from it."""


class Left(NamedTuple):
    """Tensors that lead nowhere, for one reason."""

    why: str
    total: int
    names: Sequence[str]
    more: int


class Setting(NamedTuple):
    """A field of config.json beside what the tensors say of it."""

    name: str
    said: str | None
    seen: str | None
    state: Compared
    sure: str
    evidence: str
    source: str


@dataclass(frozen=True)
class Config:
    """The fields, and what is in conflict."""

    source: str = ""
    settings: Sequence[Setting] = ()
    found: Sequence[Found] = ()
    unchecked: str = ""
    """Why fields were not held against tensors."""

    @property
    def compared(self) -> bool:
        """Whether tensors say anything of the fields."""
        return any(setting.evidence for setting in self.settings)


@dataclass(frozen=True)
class Page:
    """All of it, from top to bottom."""

    title: str
    verdict: Sequence[Chip]
    facts: Sequence[Fact] = ()
    checks: Sequence[Checked] = ()
    found: Sequence[Found] = ()
    more: Sequence[More] = ()
    placed: str = ""
    """Whether the placements were observed or planned, or why there are none."""
    params: Sequence[Param] = ()
    tied: Sequence[tuple[str, str]] = ()
    left: Sequence[Left] = ()
    cut: str = ""
    """What of the table is not on the page."""
    config: Config = field(default_factory=Config)

    @property
    def findings(self) -> int:
        """How many there are, with those that the page leaves out."""
        return len(self.found) + sum(more.number for more in self.more)
