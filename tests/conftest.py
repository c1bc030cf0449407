"""What all tests share: GPU tests are skipped where there is no GPU, and say so."""

from __future__ import annotations

import gc

import pytest

gc.set_threshold(50_000, 20, 50)
"""Torch, Transformers and what tests share are a million objects, which would be gone through every few tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
