"""The transforms that rows may name are those that the engine can do."""

from __future__ import annotations

import torch

from engine.loading.loader import TRANSFORMS
from mappings.transforms import TRANSFORMS as NAMED


def test_every_named_transform_has_a_function_and_no_other() -> None:
    assert set(TRANSFORMS) == set(NAMED)


def test_neg_exp_is_what_it_says() -> None:
    x = torch.tensor([0.0, 1.0])
    torch.testing.assert_close(TRANSFORMS["neg_exp"](x), torch.tensor([-1.0, -torch.e]))
