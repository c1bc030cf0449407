"""Drives the engine's `LLM` and turns what it raises into this package's errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol

from mappings.sizes import ConfigError
from tracer.agreement import Terms, terms
from tracer.checkpoint.stamp import Stamp
from tracer.errors import InputError, TraceLoadError, UsageError
from tracer.execute.alike import stamps_of
from tracer.execute.asked import Asked
from tracer.execute.device import pick_device
from tracer.execute.opening import opener
from tracer.execute.refusing import refuse_prompts
from tracer.execute.several import Order, Part, lead

if TYPE_CHECKING:
    from engine.crew.following import Follower
    from engine.crew.meeting import Crew
    from engine.llm import LLM, Completion
    from engine.processes.failed import RankFailed
    from engine.serving.engine import Token
    from tracer.prepare import Prepared

REFUSALS = ("ValueError", "Refused", "Different", "MemoryError", "ConfigError", "InputError", "UsageError")
"""What a rank raises where it is not it that is wrong, but what it was asked for."""


class EngineFailed(TraceLoadError):
    """The engine could not go on."""


class Listener(Protocol):
    """Who hears of a generation while it goes on; what it raises ends that."""

    def warn(self, message: str) -> None:
        """Something is not as a user would have it, and it goes on all the same."""

    def passed(self, llm: LLM, tokens: list[Token]) -> None:
        """Of each pass, what it brought."""

    def finished(self, llm: LLM, completion: Completion) -> None:
        """Of each completion, after its last token."""


def generated(prepared: Prepared, asked: Asked, listener: Listener, crew: Crew | None = None) -> list[Completion]:
    """Load and serve. With a crew only rank 0 is here, and the others are where torchrun started them.

    Raises UsageError and InputError for what cannot be served, EngineFailed where the engine or a rank of it failed.
    """
    from engine.crew.leading import Leader
    from engine.crew.link import Lost
    from engine.processes.failed import RankFailed
    from engine.serving.refusal import Refused

    try:
        why_ids = refuse_prompts(prepared, asked.prompts.given, asked.wishes.checked())
        if why_ids:
            listener.warn(f"ids are all that can be printed: {why_ids}")
        device, agreed = pick_device(asked.request.device, asked.request.tp, crew, "tracer"), terms(prepared)
        own = partial(_serve, asked, agreed, stamps_of(prepared), device, listener)
        if crew is None:
            return own()
        order = {"device": device, "agreed": agreed, "asked": asked.terms()}
        found: list[Completion] = lead(crew, Leader(crew), order, own)
        return found
    except ConfigError as error:
        finding = prepared.configured.reworded(error.finding)
        raise InputError(finding.message, subject=finding.subject) from error
    except Refused as refused:
        place, reason = refused.place, refused.reason
        raise UsageError(str(refused) if place is None else asked.prompts.blame(place, reason)) from refused
    except (ValueError, MemoryError) as error:
        raise UsageError(str(error) or _brief(error)) from error
    except RankFailed as failed:
        raise _said(failed, named=crew is not None and failed.rank != 0) from failed
    except Lost as error:
        raise EngineFailed(str(error)) from error
    except RuntimeError as error:  # torch has hardly any other
        raise EngineFailed(_brief(error)) from error


def generate_part(asked: Asked) -> Part:
    """Another rank's part: the same, and nobody listens."""
    return Part(partial(_follow, asked), asked.request.device)


def _follow(asked: Asked, follower: Follower, order: Order, rank: int) -> None:
    asked.check(order["asked"])
    _serve(asked, order["agreed"], {}, order["device"], None, follower.check)


def _serve(
    asked: Asked, agreed: Terms, stamps: Mapping[str, Stamp], device: str, listener: Listener | None,
    watch: Callable[[], None] | None = None,
) -> list[Completion]:  # fmt: skip
    from engine.llm import LLM
    from engine.serving.serve import Settings

    request, settings = asked.request, Settings(device, **asked.wishes.settings)
    prompts, sampling = asked.prompts.given, asked.wishes.checked()
    with LLM(opener(request, agreed, stamps), request.tp, settings, watch) as llm:
        if listener is None:
            return llm.generate(prompts, sampling)
        return llm.generate(prompts, sampling, partial(listener.passed, llm), partial(listener.finished, llm))


def _brief(error: Exception) -> str:
    """As of a rank in a process of its own: kind and first line."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _said(failed: RankFailed, named: bool) -> TraceLoadError:
    """A refusal by a rank is one here too; `named`: the rank is told, as only it may have seen what is wrong."""
    if failed.kind not in REFUSALS:
        return EngineFailed(str(failed))
    message = failed.message.removeprefix(f"{failed.kind}: ")
    where = f"rank {failed.rank}: " if named and not message.startswith("rank ") else ""
    return InputError(where + message, code=failed.labels.get("code"), subject=failed.labels.get("subject"))
