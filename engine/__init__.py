"""A small serving engine whose loader executes the mappings and tells what it did.

`LLM`, what it takes, gives and raises are here by name, and imported when they are asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.llm import LLM, Completion
    from engine.opened import CannotOpen
    from engine.processes.failed import RankFailed, Unguarded
    from engine.sampling.params import Sampling
    from engine.serving.refusal import Refused
    from engine.serving.serve import Settings

__all__ = [
    "LLM",
    "CannotOpen",
    "Completion",
    "RankFailed",
    "Refused",
    "Sampling",
    "Settings",
    "Unguarded",
]

_HOMES = {
    "LLM": "llm", "Completion": "llm", "Sampling": "sampling.params", "Settings": "serving.serve",
    "CannotOpen": "opened", "RankFailed": "processes.failed", "Refused": "serving.refusal",
    "Unguarded": "processes.failed",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    return getattr(import_module(f"engine.{_HOMES[name]}"), name)
