"""Drives the engine's `LLM` and turns what it raises into this package's errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tracer.errors import TraceLoadError, UsageError
from tracer.execute.device import pick_device
from tracer.execute.opening import opener, stamps_of

if TYPE_CHECKING:
    from engine.llm import Completion
    from tracer.prepare import Prepared


class EngineFailed(TraceLoadError):
    """The engine could not go on."""


def generated(
    prepared: Prepared, prompts: Sequence[str | list[int]], sampling: Mapping[str, Any], settings: Mapping[str, Any],
    told: Callable[[Any, Any], object],
) -> list[Completion]:  # fmt: skip
    """Load and serve. Raises UsageError for what cannot be served, EngineFailed for a rank that failed."""
    from engine.llm import LLM
    from engine.processes.failed import RankFailed
    from engine.sampling.params import Sampling
    from engine.serving.serve import Settings

    request = prepared.request
    device = pick_device(request.device, request.tp)
    try:
        wanted = Sampling(**sampling)
        wanted.check()
        with LLM(opener(request, stamps_of(prepared)), request.tp, Settings(device, **settings)) as llm:
            return llm.generate(prompts, wanted, partial(told, llm))
    except (ValueError, MemoryError) as error:
        raise UsageError(str(error)) from error
    except RankFailed as failed:
        if failed.kind in ("ValueError", "MemoryError", "InputError", "UsageError"):
            raise UsageError(failed.message.removeprefix(f"{failed.kind}: ")) from failed
        raise EngineFailed(str(failed)) from failed


