"""The checkpoint of any family, made once for the tests of a file."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.engine.checkpoints import build

Checkpoint = Callable[[str], Path]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    root = tmp_path_factory.mktemp("checkpoints")

    @cache
    def made(family: str) -> Path:
        build(family, root / family)
        return root / family

    return made
