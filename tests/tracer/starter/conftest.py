"""No row file is written here without a forward pass through it, or without the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.threads import one_thread
from tests.tracer.starter.written import Ledger, ledger
from tracer.starter import Starter

__all__ = ["one_thread"]


@pytest.fixture(autouse=True)
def answered_for(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """Whatever writes a row file, by a call or by a command, makes a `Starter` of it."""
    ledger.open_for(request.node.name, request.function.__doc__)

    def recorded(*args: Any, **kwargs: Any) -> Starter:
        return ledger.written(Starter(*args, **kwargs))

    monkeypatch.setattr("tracer.starter.Starter", recorded)
    yield ledger
    assert not (left := ledger.open()), f"{len(left)} row files without a forward pass, the first: {left[0]}"
