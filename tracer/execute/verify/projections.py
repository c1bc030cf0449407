"""Tensors whose products can be compared one by one, however the parameters here are put together.

Where Transformers has a module for a tensor, that module's output is the tensor times its input (Conv1D's transposed).
Here the tensor may be some rows of a parameter, and its product is those columns of the parameter's output: which, the
plan says. A state behind them can hide them: with small weights every key is as good as another, and what attention
gives is the mean of all values, whatever the queries are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mappings.plan import LoadPlan, Step
from mappings.views import Box, Range

LEAF = ".weight"


class Projection(NamedTuple):
    """One tensor's product, on rank 0."""

    ours: str
    """The module that multiplies with it here, among others."""
    theirs: str
    """The module that is named as the tensor is."""
    own: slice
    """Columns of the output here."""
    other: slice
    """The same of the output there."""


def projections(plan: LoadPlan) -> Iterator[Projection]:
    """Of all matrices of which rank 0 has whole rows, in file order."""
    for step in plan.steps(0):
        name, shape = plan.tensors[step.tensor].name, plan.tensors[step.tensor].shape
        if len(shape) == 2 and name.endswith(LEAF) and step.param.endswith(LEAF):
            for box in plan.boxes(step):
                yield from _projection(name, shape, step, box)


def _projection(name: str, shape: tuple[int, ...], step: Step, box: Box) -> Iterator[Projection]:
    rows, inputs = box.perm or (0, 1)
    if len(box.dst) == 2 and box.src[inputs] == (0, shape[inputs], 1):
        ours, theirs = step.param.removesuffix(LEAF), name.removesuffix(LEAF)
        yield Projection(ours, theirs, _slice(box.dst[0]), _slice(box.src[rows]))


def _slice(found: Range) -> slice:
    return slice(*found)
