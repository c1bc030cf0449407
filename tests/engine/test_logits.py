"""The oracle is Transformers: a checkpoint loaded through a plan must give every token the same logits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from engine.processes.launch import launch
from tests.engine.checkpoints import FAMILIES, FOUR_WAYS, TOKENS, VOCABULARY, build, logits_of, logits_on

ALLOWED = 1e-5
"""Largest difference of a logit in float32; their standard deviation is about 1."""

Reference = Callable[[str], tuple[Path, torch.Tensor]]


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """A family's checkpoint and the logits of Transformers, made once."""
    root = tmp_path_factory.mktemp("checkpoints")

    @cache
    def made(family: str) -> tuple[Path, torch.Tensor]:
        return root / family, build(family, root / family)

    return made


@pytest.mark.parametrize("family", FAMILIES)
def test_one_rank_says_what_transformers_says(family: str, reference: Reference) -> None:
    folder, expected = reference(family)
    found = logits_of(folder)
    assert found.shape == (TOKENS, VOCABULARY)
    assert (found - expected).abs().max() < ALLOWED


@pytest.mark.parametrize(("tp", "families"), [(2, tuple(FAMILIES)), (4, FOUR_WAYS)])
def test_every_rank_says_what_transformers_says(
    tp: int, families: tuple[str, ...], reference: Reference
) -> None:  # fmt: skip
    """Real processes; all families in one launch, as starting processes is what takes long."""
    expected = {family: reference(family) for family in families}
    root = expected[families[0]][0].parent
    for rank, found in enumerate(launch(tp, logits_on, root, families)):
        errors = {name: (found[name] - expected[name][1]).abs().max().item() for name in families}
        assert {name: error for name, error in errors.items() if not error < ALLOWED} == {}, f"rank {rank}"
