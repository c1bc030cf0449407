"""The only seam upward: what a load tells whoever watches it, and the twin that does nothing.

The loader hands over the very views that its copies used; a recorder must not need anything else to know which
elements went where.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


class Recorder(Protocol):
    """Told of every write of one rank, in order, after it happened."""

    def stored(self, name: str, tensor: torch.Tensor) -> None:
        """The copies told of next are from this tensor of the checkpoint; `tensor` is all of it, contiguous."""

    def allocated(self, name: str, param: torch.Tensor) -> None:
        """A parameter exists on this rank. Names of one storage are told apart by order: the first owns it."""

    def copied(
        self, src: torch.Tensor, dst: torch.Tensor, row: str, shard: str | int | None, op: str | None
    ) -> None:
        """`dst.copy_(op(src))` was done; both are views, `src` of a stored tensor, `dst` of a parameter."""

    def filled(self, dst: torch.Tensor, value: float, reason: str) -> None:
        """`dst.fill_(value)` was done, on a view of a parameter."""

    def pause(self) -> None:
        """Nothing is told for a while: copies go on, and what has been told is to be safe until then."""


class NullRecorder:
    """Watches nothing."""

    def stored(self, name: str, tensor: torch.Tensor) -> None:
        pass

    def allocated(self, name: str, param: torch.Tensor) -> None:
        pass

    def copied(
        self, src: torch.Tensor, dst: torch.Tensor, row: str, shard: str | int | None, op: str | None
    ) -> None:
        pass

    def filled(self, dst: torch.Tensor, value: float, reason: str) -> None:
        pass

    def pause(self) -> None:
        pass
