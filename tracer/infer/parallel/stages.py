"""Layers over the stages of a pipeline, as vLLM cuts them (`get_pp_indices`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PP_SHOWN = (2, 4, 8)


@dataclass(frozen=True)
class Stages:
    """One way to cut the layers."""

    pp: int
    layers: tuple[int, ...]
    """How many each stage has."""
    weights: tuple[int, ...]
    """Bytes of each stage, all its ranks together."""

    @property
    def balance(self) -> float:
        """The mean stage against the fullest: 1 where all are equal."""
        return sum(self.weights) / len(self.weights) / max(self.weights) if max(self.weights, default=0) else 1.0

    def line(self) -> str:
        how = "evenly" if len(set(self.layers)) == 1 else "unevenly"
        fullest = self.weights.index(max(self.weights)) + 1
        return (
            f"pp {self.pp}: {' + '.join(map(str, self.layers))} layers, {how}; the fullest is stage {fullest}, "
            f"{max(self.weights) / 1e9:.2f} GB of weights; balance {self.balance:.0%}"
        )


def split(layers: int, pp: int) -> tuple[int, ...]:
    """Layers of each stage. What does not divide goes one by one to the stages before the last, which has the head.

    >>> split(61, 4)
    (15, 15, 16, 15)

    Raises ValueError where a stage would have no layer.
    """
    if not 0 < pp <= layers:
        raise ValueError(f"{layers} layers on {pp} stages: a stage would have no layer")
    each, more = divmod(layers, pp)
    return tuple(each + (pp - 1 - more <= stage < pp - 1) for stage in range(pp))


def cut(by_layer: Sequence[int], before: int, after: int, pp: int) -> Stages:
    """The stages of a model from the bytes of each layer, of what the first stage has and what the last has."""
    layers = split(len(by_layer), pp)
    weights, start = [], 0
    for count in layers:
        weights.append(sum(by_layer[start : start + count]))
        start += count
    weights[0] += before
    weights[-1] += after
    return Stages(pp, layers, tuple(weights))
