"""Which failures are of the recording and which of what was to be recorded. Of CUDA there is only its outside here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.serving.graphs import WAITED, Graphs
from engine.serving.steps import Unrecordable, first_cause


class Outside:
    """Of torch.cuda what records; what is computed runs on the CPU."""

    def __init__(self) -> None:
        self.mode = 0
        self.modes: list[int] = []
        """In which one each computation was."""
        self.broken_off = False

    @contextmanager
    def graph(self, *_: object, **__: object) -> Iterator[None]:
        try:
            yield
        except RuntimeError:
            self.broken_off = True
            raise RuntimeError("operation failed due to a previous error") from None

    def set_mode(self, mode: int | str) -> None:
        self.mode = mode if isinstance(mode, int) else ("default", "warn", "error").index(mode)


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    found, stream = Outside(), object()
    doubles: dict[str, Any] = {
        "Stream": lambda *_: stream, "graph_pool_handle": object, "CUDAGraph": object, "graph": found.graph,
        "stream": lambda _: nullcontext(), "get_sync_debug_mode": lambda: found.mode,
        "set_sync_debug_mode": found.set_mode,
    }  # fmt: skip
    for name, double in doubles.items():
        monkeypatch.setattr(torch.cuda, name, double)
    return found


def computing(outside: Outside, *errors: Exception | None) -> Callable[[], Tensor]:
    """What fails so the first time, the second time, ..."""
    left = list(errors)

    def compute() -> Tensor:
        outside.modes.append(outside.mode)
        error = left.pop(0) if left else None
        if error is not None:
            raise error
        return torch.ones(3)

    return compute


def test_waiting_is_refused_where_it_is_tried_and_allowed_where_it_is_recorded(outside: Outside) -> None:
    Graphs("cpu")(computing(outside))
    assert (outside.modes, outside.mode) == ([2, 0], 0)


def test_what_waits_is_not_recorded_and_says_so(outside: Outside) -> None:
    with pytest.raises(Unrecordable) as caught:
        Graphs("cpu")(computing(outside, RuntimeError(f"{WAITED}\nwith a stack")))
    assert first_cause(caught.value) == WAITED
    assert (outside.modes, outside.mode) == ([2], 0)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("gone"), ValueError("x")])
def test_what_fails_before_it_is_recorded_fails_as_it_does_without(error: Exception, outside: Outside) -> None:
    with pytest.raises(type(error)) as caught:
        Graphs("cpu")(computing(outside, error))
    assert caught.value is error
    assert (outside.modes, outside.mode) == ([2], 0)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("not permitted")])
def test_whatever_fails_while_it_is_recorded_is_the_recording(error: Any, outside: Outside) -> None:
    with pytest.raises(Unrecordable) as caught:
        Graphs("cpu")(computing(outside, None, error))
    assert outside.broken_off
    assert first_cause(caught.value) == str(error)
