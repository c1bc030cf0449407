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
MOST = 0.75, 2.0
"""In half precision: which share of the tokens, and how many times what rounding does to the reference itself. Two ways
of rounding the same computation err alike, not equally: the token at three quarters of them by 0.69 to 1.22 times as
much, over 21 small models of 8 families in both types at tp 1 and 2, at every landmark behind the embeddings."""
ALL = 1.0, 4.0
"""The same of the worst token, whose luck counts more: there it was 0.33 to 2.30 times as much. What is wrong with a
token is a hundred times as much. It holds of experts too, since both sides send a token to the same ones."""
COARSE = 0.3
"""Of the logits' spread, at three quarters of the tokens: where rounding has more allowed, what is wrong with an expert
does not stand out any more. Of 45 small models 37 are allowed 0.04 to 0.15, those of all families among them; the other
8 have weights so large that rounding multiplies, are allowed 0.31 to 0.89, and hid 7 of 16 faults of one expert.
"""


@dataclass(frozen=True)
class Tolerance:
    """Distances to a reference in float32, and what is allowed of them."""

    exact: States
    narrow: States | None
    """The reference in half precision, where that is what we compute in."""

    def measure(self, spot: Spot, found: Tensor, columns: slice = slice(None)) -> tuple[float, float]:
        """How far it is from those columns of the reference, and may be: of the token that is furthest.

        In half precision what is allowed is measured, at least one unit of the type, and of the shares of tokens that
        are looked at that one counts that says most against it.
        """
        ours = self._by_token(spot, found, columns)
        if self.narrow is None:
            return float(ours.max()), EXACT
        told = [(float(ours.quantile(share)), allowed) for share, allowed in self._allowed(spot, columns).items()]
        return max(told, key=lambda pair: pair[0] / pair[1])

    @property
    def coarse(self) -> float | None:
        """What is allowed of most tokens' logits, if that is so much that agreeing says little."""
        allowed = self._allowed((LOGITS, "output"), slice(None))[MOST[0]] if self.narrow else 0.0
        return allowed if allowed > COARSE else None

    def _allowed(self, spot: Spot, columns: slice) -> dict[float, float]:
        """By the share of tokens, in half precision."""
        import torch

        assert self.narrow is not None
        narrow = self.narrow.values[spot].flatten(1)[:, columns]
        theirs, least = self._by_token(spot, narrow, columns), float(torch.finfo(narrow.dtype).eps)
        return {share: max(factor * float(theirs.quantile(share)), least) for share, factor in (MOST, ALL)}

    def _by_token(self, spot: Spot, found: Tensor, columns: slice) -> Tensor:
        """(tokens,). Logits: the largest difference, relative to the spread (standard deviation) of all logits of the
        reference. Other states: the length of the difference relative to that of the token's state, since a few values
        of a state may be a thousand times as large as the others, and say nothing of them.
        """  # fmt: skip
        ours, theirs = found.double().flatten(1), self.exact.values[spot].double().flatten(1)[:, columns]
        if spot[0] == LOGITS:
            return (ours - theirs).abs().amax(1) / theirs.std().clamp_min(1e-30)
        lengths: Tensor = (ours - theirs).norm(dim=1) / theirs.norm(dim=1).clamp_min(1e-30)
        return lengths

    def comparable(self, spot: Spot, found: Tensor) -> bool:
        """Whether the reference has this state, in this shape."""
        expected = self.exact.values.get(spot)
        return expected is not None and expected.shape == found.shape and found.ndim > 1
