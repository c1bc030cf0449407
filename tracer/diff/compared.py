"""What a comparison of two checkpoints comes to: one record a pair, and the pairs that there are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

from tracer.diff.fields import Field
from tracer.diff.pairing import Pairing
from tracer.diff.pointers import FilePair
from tracer.diff.sides import Side
from tracer.diff.weights import Weight

Relation: TypeAlias = Literal["equal", "cast", "transposed", "rotary", "reordered", "scaled", "moved", "differs"]
"""How the numbers of a pair relate: byte for byte or number for number; exactly, once one side is rounded to the
other's dtype; one turned; rows in the other rotary order; the same rows in another order; a multiple; those of another
tensor of A; none of these."""


@dataclass(frozen=True, slots=True)
class Distance:
    """How far B's numbers are from A's. Elements that are NaN on both sides are equal and left out."""

    elements: int
    differing: int
    largest: float
    """max |a - b|."""
    relative: float
    """|a - b| / |a|, Frobenius; infinite where A is all zeros and B is not."""
    cosine: float
    """NaN where one side is all zeros."""
    scale: float
    """The factor c for which c * a is nearest to b."""
    unscaled: float
    """|c * a - b| / |b|."""
    nan_a: int = 0
    """NaN in A where B has a number."""
    nan_b: int = 0
    infinite_a: int = 0
    """Infinite in A where B has a finite number."""
    infinite_b: int = 0

    @property
    def zero_in(self) -> str:
        """`A` or `B`, whose numbers are all zero where the other's are not; empty elsewhere."""
        if any(self.lonely) or not self.differing or not math.isnan(self.cosine):
            return ""
        return "A" if math.isnan(self.scale) else "B"

    @property
    def lonely(self) -> tuple[int, int, int, int]:
        """What is no number on one side and one on the other: NaN in A, in B, infinite in A, in B."""
        return self.nan_a, self.nan_b, self.infinite_a, self.infinite_b


@dataclass(frozen=True, slots=True)
class Rank:
    """What the singular values of B - A say."""

    rank: int | None
    """None where it is no lower than what was looked for."""
    looked_for: int
    explained: float
    """Share of |B - A| squared within that rank."""
    sampled: bool = False


@dataclass(frozen=True, slots=True)
class Valued:
    """The values of one pair, compared."""

    relation: Relation
    distance: Distance | None = None
    """None where every byte is equal."""
    detail: str = ""
    """`BF16` it was rounded to, `32 heads`, `0.5`; `by digest` or `by pointer` of what was not read; A's
    name of what moved."""
    rounded: str = ""
    """`A` or `B`: whose numbers are the other's, rounded."""
    rank: Rank | None = None


@dataclass(slots=True)
class Pair:
    """One weight of A, and what it is in B."""

    a: tuple[Weight, ...]
    b: tuple[Weight, ...]
    how: str
    """`name`, `rename`, `rows`, or `fused` / `stacked` where one side has several."""
    axis: int = 0
    turned: bool = False
    valued: Valued | None = None
    unchecked: str = ""
    """Why its values were not compared, or not all of what could be; empty where they were."""
    alike: bool = False
    """Whether two weights have one shape and are kept in one way, so that neither need be looked at again."""

    @property
    def subject(self) -> str:
        """The name to search for."""
        return self.a[0].name

    @property
    def shaped(self) -> bool:
        """Whether the shapes of all are known."""
        if self.alike:
            return self.a[0].shape is not None
        return all(weight.shape is not None for weight in (*self.a, *self.b))

    @property
    def resized(self) -> bool:
        if self.alike or len(self.a) > 1 or len(self.b) > 1:
            return False
        return self.shaped and self.a[0].shape != self.b[0].shape

    @property
    def retyped(self) -> bool:
        if self.alike:
            return False
        if len(self.a) == len(self.b) == 1:
            return self.a[0].kind != self.b[0].kind and bool(self.a[0].kind and self.b[0].kind)
        return {weight.kind for weight in self.a} != {weight.kind for weight in self.b}

    @property
    def low_rank(self) -> int:
        """The rank of the change; 0 where it has no low one, or was not looked at."""
        return (self.valued.rank.rank or 0) if self.valued and self.valued.rank else 0

    @property
    def zero_in(self) -> str:
        """The side whose numbers are all zero where the other's are not; empty elsewhere."""
        return self.valued.distance.zero_in if self.valued and self.valued.distance else ""

    @property
    def quantised(self) -> bool:
        """Whether one side is quantised in another way than the other."""
        unlike = not self.alike and (self.retyped or self.a[0].scheme != self.b[0].scheme)
        return unlike and any(weight.scheme for weight in (*self.a, *self.b))


@dataclass(frozen=True, slots=True)
class Tie:
    """A head that one side alone stores, against the embedding of its own side."""

    side: str
    head: str
    embedding: str
    differing: int | None
    """Elements; None where they could not be compared."""
    detail: str = ""
    """Elements in all, or why they could not be compared."""

    def __str__(self) -> str:
        if self.differing is None:
            return f"{self.head} of {self.side} could not be compared with {self.embedding}: {self.detail}"
        if not self.differing:
            return f"{self.head} of {self.side} equals its {self.embedding}, as if they were tied"
        many = f"{self.differing:,} of {self.detail}"
        return f"{self.head} of {self.side} is not its {self.embedding}: {many} elements differ"


@dataclass
class Comparison:
    """Two checkpoints, compared as far as it was asked for."""

    a: Side
    b: Side
    pairing: Pairing
    pairs: list[Pair]
    with_values: bool
    fields: Sequence[Field] = ()
    """All that differ in config.json."""
    ranks_left: int = 0
    """Matrices that differ and whose rank was not looked at."""
    ties: list[Tie] = field(default_factory=list)
    """Of heads that one side lacks, where values were read."""
    files: list[FilePair] = field(default_factory=list)
    """Of which one at least is a Git-LFS pointer."""

    @cached_property
    def shaped(self) -> int:
        """Pairs whose shapes are known."""
        return sum(pair.shaped for pair in self.pairs)

    @cached_property
    def config(self) -> dict[str, tuple[Any, Any]]:
        """Both values of each outermost field of config.json in which what can change a load differs."""
        both = (self.a.checkpoint.config or {}, self.b.checkpoint.config or {})
        names = dict.fromkeys(each.path.partition(".")[0] for each in self.weighty_fields)
        return {name: (both[0].get(name), both[1].get(name)) for name in names}

    @property
    def weighty_fields(self) -> list[Field]:
        """Fields of config.json that differ and may change what is loaded."""
        return [each for each in self.fields if not each.idle]

    @property
    def config_lost(self) -> str:
        """`A` or `B`, a folder that has no config.json where another has one; empty elsewhere."""
        lacking = [side.letter for side in (self.a, self.b) if side.checkpoint.config is None]
        return lacking[0] if len(lacking) == 1 and self.a.is_folder and self.b.is_folder else ""

    @property
    def idle_fields(self) -> list[Field]:
        return [each for each in self.fields if each.idle]

    def valued(self, *relations: Relation) -> list[Pair]:
        return [pair for pair in self.pairs if pair.valued and pair.valued.relation in relations]

    @property
    def compared(self) -> list[Pair]:
        return [pair for pair in self.pairs if pair.valued]

    @property
    def differing(self) -> list[Pair]:
        """Pairs whose numbers are not the same."""
        return [pair for pair in self.compared if pair.valued and pair.valued.relation != "equal"]

    @property
    def same(self) -> bool:
        """Whether nothing that was looked at differs; in which files tensors lie is no difference."""
        return self.same_but_for_config and not self.weighty_fields and not self.config_lost

    @property
    def same_but_for_config(self) -> bool:
        """The same of files and tensors alone."""
        if any(pair.equal is False for pair in self.files):
            return False
        pairing = self.pairing
        laid_out = not (pairing.renamed or pairing.by_rows or pairing.fusions or pairing.only_a or pairing.only_b)
        kept = not any(pair.resized or pair.retyped for pair in self.pairs)
        return laid_out and kept and not self.differing

    @property
    def complete(self) -> bool:
        """Whether all that was asked for could be compared: names, shapes, and values where they are wanted."""
        if self.with_values:
            return len(self.compared) == len(self.pairs) and all(pair.equal is not None for pair in self.files)
        headless = self.a.headless or self.b.headless
        return not headless or all((file := self.file_of(pair)) and file.equal for pair in self.pairs)

    def file_of(self, pair: Pair) -> FilePair | None:
        """The two files that hold one tensor of both sides, where one of them is a pointer."""
        name = pair.subject
        if pair.how != "name" or name not in self.a.homes or name not in self.b.homes:
            return None
        return self._files.get((self.a.homes[name], self.b.homes[name]))

    @cached_property
    def _files(self) -> dict[tuple[str, str], FilePair]:
        return {(file.a, file.b): file for file in self.files}


class _Alike:
    """Whether two weights have one shape and are kept in one way."""

    def __init__(self) -> None:
        self._schemes: dict[tuple[int, int], bool] = {}

    def __call__(self, a: Weight, b: Weight) -> bool:
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        # Thousands of weights share a scheme.
        key = id(a.scheme), id(b.scheme)
        if key not in self._schemes:
            self._schemes[key] = a.scheme == b.scheme
        return self._schemes[key]


def pairs_of(pairing: Pairing) -> list[Pair]:
    """Every pair and every fusion."""
    renamed = len(pairing.pairs) - pairing.same_name - pairing.by_row_pairs
    hows: Iterable[str] = (
        ["name"] * pairing.same_name + ["rows"] * pairing.by_row_pairs + ["rename"] * renamed
    )  # fmt: skip
    alike = _Alike()
    found = [Pair((a,), (b,), how, alike=alike(a, b)) for (a, b), how in zip(pairing.pairs, hows, strict=True)]
    found += [Pair((a,), (b,), "name" if a.name == b.name else "rename") for a, b in pairing.beside]
    for fusion in pairing.fusions:
        how = "stacked" if fusion.stacked else "fused"
        found.append(Pair(fusion.of("A"), fusion.of("B"), how, fusion.axis, fusion.turned))
    return found
