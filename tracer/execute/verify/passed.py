"""What one rank says of its forward pass: plain values, as it may come from another machine as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tracer.errors import InputError


class VerifyFailed(Exception):
    """The forward pass did not come to its end, on a model that was loaded."""


@dataclass(frozen=True, slots=True)
class Nonfinite:
    """The first point of a rank's pass with values that are not finite."""

    place: int
    module: str
    side: str
    inside: str
    count: int
    of: int
    """Elements there."""
    tensors: Mapping[str, int] = field(default_factory=dict)
    """Tensors of the checkpoint that feed the module, and how many of their elements here are not finite."""


@dataclass(frozen=True, slots=True)
class Departure:
    """The first point at which a rank's values should be those of rank 0 and are not."""

    place: int
    module: str
    side: str
    difference: float
    """The largest, in absolute value."""
    largest: float
    """The largest absolute value of rank 0 there."""
    allowed: float
    params: Sequence[str] = ()
    """Parameters below that every rank has whole, and that are others here than on rank 0."""


@dataclass(frozen=True, slots=True)
class Passed:
    """One rank's pass."""

    ids: Sequence[int]
    dtype: str
    """Of the hidden states, in torch's spelling."""
    nonfinite: Nonfinite | None = None
    departure: Departure | None = None

    def plain(self) -> dict[str, Any]:
        """For pickle and JSON alike."""
        return asdict(self)

    @classmethod
    def of(cls, rank: int, data: Any) -> Passed:
        """The inverse of `plain`. Raises InputError for anything else."""
        try:
            nonfinite, departure = data["nonfinite"], data["departure"]
            return cls(
                [int(token) for token in data["ids"]], str(data["dtype"]),
                Nonfinite(**nonfinite) if nonfinite else None, Departure(**departure) if departure else None,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"rank {rank}: expected what it says of its forward pass, found something else") from error
