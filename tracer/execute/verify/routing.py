"""Which experts tokens are sent to: seen where a model chooses, and there another choice can be asked for.

Here as in Transformers a router ends in `torch.topk` of its scores, (tokens, experts), whatever made them of its logits
and whatever is done with them afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Choose = Callable[["Tensor", "Tensor"], "Tensor"]
"""Scores (tokens, experts) and the numbers of the highest (tokens, k) -> those that are to be taken, (tokens, k)."""


@contextmanager
def routing(choose: Choose) -> Iterator[None]:
    """Have `choose` asked at every choice, for as long as this lasts; what is taken keeps its own scores."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Routing(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            given = kwargs or {}
            found = func(*args, **given)
            if func not in (torch.topk, torch.Tensor.topk):
                return found
            scores = args[0] if args else given["input"]
            taken = choose(scores, found.indices)
            return found if taken is found.indices else torch.return_types.topk((scores.gather(-1, taken), taken))

    with Routing():
        yield
