"""What enters and leaves the modules of a model during one pass, and what is chosen, in order of time; through hooks.

The models here and those of Transformers call their modules in the same way, so one way of watching does for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tracer.execute.verify.routing import routing

if TYPE_CHECKING:
    from torch import Tensor, nn

HIDDEN = "(hidden states)"
"""In the place of a module: what `forward` returned."""
LOGITS = "(logits)"
"""In the place of a module: what `compute_logits` returned."""


class Point(NamedTuple):
    """Values at one place of a pass."""

    place: int
    """In order of time."""
    module: str
    """The module's name in the model: `model.layers.3.self_attn.o_proj`."""
    side: Literal["input", "output"]
    inside: str
    """Whose own arithmetic made it: for an output that module, for an input the innermost one that is still at work."""
    values: tuple[Tensor, ...]
    """Floating point only. Of inputs the first, which is what the module works on; masks and the like come after it."""


class Choice(NamedTuple):
    """Of the experts of a layer, those that each token is sent to."""

    place: int
    module: str
    """The innermost one that is at work."""
    scores: Tensor
    """(tokens, experts), floating point: the highest are chosen."""
    chosen: Tensor
    """(tokens, k), int64."""


See = Callable[[Point], object]
Choose = Callable[[Choice], "Tensor"]
"""What is to be taken instead, or what was chosen; (tokens, k)."""


class Watch:
    """Tells of every point while a model computes."""

    def __init__(self, see: See) -> None:
        self._see = see
        self._at_work = [""]
        self._place = 0

    def enter(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """A module is called."""
        self._tell(name, "input", self._at_work[-1], floating([*args, *kwargs.values()])[:1])
        self._at_work.append(name)

    def leave(self, name: str, output: Any) -> None:
        """A module returns."""
        while self._at_work.pop() != name:
            pass  # a module that raised, and whose caller went on
        self._tell(name, "output", name, floating(output))

    def reach(self, name: str, output: Any) -> None:
        """Something that no module has returned is there: `HIDDEN`, `LOGITS`."""
        self._tell(name, "output", self._at_work[-1], floating(output))

    def choosing(self, choose: Choose) -> Callable[[Tensor, Tensor], Tensor]:
        """For `routing`: the same with the place and the module, and without a dimension for batches."""

        def asked(scores: Tensor, chosen: Tensor) -> Tensor:
            flat = Choice(self._place, self._at_work[-1], scores.detach().flatten(0, -2), chosen.flatten(0, -2))
            self._place += 1
            taken = choose(flat)
            return chosen if taken is flat.chosen else taken.to(chosen.device).view_as(chosen)

        return asked

    def _tell(self, name: str, side: Literal["input", "output"], inside: str, values: tuple[Tensor, ...]) -> None:
        self._see(Point(self._place, name, side, inside, values))
        self._place += 1


def floating(value: Any) -> tuple[Tensor, ...]:
    """The floating point tensors in nested sequences, in order."""
    import torch

    if isinstance(value, torch.Tensor):
        return (value.detach(),) if value.is_floating_point() else ()
    return tuple(t for item in value for t in floating(item)) if isinstance(value, tuple | list) else ()


@contextmanager
def watched(model: nn.Module, see: See, choose: Choose | None = None) -> Iterator[Watch]:
    """Have `see` told of every point of every module but the model itself, and `choose` asked at every choice of
    experts, for as long as this lasts.
    """  # fmt: skip
    watch = Watch(see)
    handles = []
    for name, module in model.named_modules():
        if name:
            handles.append(module.register_forward_pre_hook(_entering(watch, name), with_kwargs=True))
            handles.append(module.register_forward_hook(_leaving(watch, name)))
    try:
        with routing(watch.choosing(choose)) if choose else nullcontext():
            yield watch
    finally:
        for handle in handles:
            handle.remove()


def _entering(watch: Watch, name: str) -> Callable[[Any, tuple[Any, ...], dict[str, Any]], None]:
    def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        watch.enter(name, args, kwargs)

    return hook


def _leaving(watch: Watch, name: str) -> Callable[[Any, Any, Any], None]:
    def hook(module: Any, args: Any, output: Any) -> None:
        watch.leave(name, output)

    return hook


def decoder_layers(model: nn.Module) -> list[str]:
    """The names of a model's decoder layers: the longest list of modules that is in no other; empty for none."""
    from torch import nn

    lists = {name: module for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    outermost = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    longest = max(outermost, key=lambda name: len(lists[name]), default=None)
    return [] if longest is None else [f"{longest}.{number}" for number in range(len(lists[longest]))]
