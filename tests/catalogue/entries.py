"""All cases of the catalogue, in its order."""

from __future__ import annotations

from tests.catalogue import (
    adapters,
    configs,
    damaged,
    experts,
    file_sets,
    fusing,
    heads,
    meanings,
    missing_rows,
    next_token,
    others,
    parallel,
    pickles,
    prefixes,
    quantisation,
    shapes,
    trainers,
)

A_TO_G = [
    *missing_rows.CASES, *prefixes.CASES, *fusing.CASES, *shapes.CASES, *parallel.CASES, *quantisation.CASES,
    *experts.CASES,
]  # fmt: skip
H_TO_R = [
    *file_sets.CASES, *damaged.CASES, *meanings.CASES, *heads.CASES, *adapters.CASES, *trainers.CASES,
    *next_token.CASES, *configs.CASES, *pickles.CASES, *others.CASES,
]  # fmt: skip
