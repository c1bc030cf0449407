"""How far two states are from each other, and how far they may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracer.execute.verify.points import LOGITS
from tracer.execute.verify.states import Spot, States

if TYPE_CHECKING:
    from torch import Tensor

EXACT = 1e-4
"""In float32. A sum of a few thousand terms, in whichever order, is off by some 1e-6 of its size, and eighty layers one
after the other bring that to 1e-5; whatever is wrong with a tensor brings 1e-2 and more."""
FACTOR = 2.0
"""In half precision: times what rounding does to the reference itself. Two ways of rounding the same computation err
alike, not equally: 0.69 to 1.25 times as much, over 21 small models of 8 families at tp 1 and 2, at every landmark."""
MOST = 0.75
"""In half precision, of which tokens the distance counts: where experts are chosen by scores that nearly tie, rounding
has single tokens take other ones, here or there, and nothing is wrong with it."""


@dataclass(frozen=True)
class Tolerance:
    """Distances to a reference in float32, and what is allowed of them."""

    exact: States
    narrow: States | None

    def distance(self, spot: Spot, found: Tensor, expected: Tensor) -> float:
        """Of the token that is furthest; in half precision, of the token at `MOST` of them in order.

        Logits: the largest difference, relative to the spread (standard deviation) of all logits of the reference.
        Other states: the length of the difference relative to that of the token's state, since a few values of a state
        may be a thousand times as large as the others, and say nothing of them.
        """
        import torch

        ours, theirs = found.double().flatten(1), expected.double().flatten(1)
        if spot[0] == LOGITS:
            by_token = (ours - theirs).abs().amax(1) / theirs.std().clamp_min(1e-30)
        else:
            by_token = (ours - theirs).norm(dim=1) / theirs.norm(dim=1).clamp_min(1e-30)
        return float(by_token.max() if self.narrow is None else torch.quantile(by_token, MOST))

    def allowed(self, spot: Spot) -> float:
        """In half precision it is measured, and at least one unit of the type."""
        import torch

        if self.narrow is None:
            return EXACT
        narrow = self.narrow.values[spot]
        own = self.distance(spot, narrow, self.exact.values[spot])
        return max(FACTOR * own, float(torch.finfo(narrow.dtype).eps))

    def comparable(self, spot: Spot, found: Tensor) -> bool:
        """Whether the reference has this state, in this shape."""
        expected = self.exact.values.get(spot)
        return expected is not None and expected.shape == found.shape and found.ndim > 1
