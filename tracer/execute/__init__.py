"""Runs a plan on the engine and writes what it did to a store. The only package that imports the engine.

In one process on the meta device (`meta`), in one process a rank (`processes`, where `rank` is what each does), or in
those that torchrun started on any number of machines (`several`). `generated` serves prompts with what was loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracer.execute.asked import Asked, Prompts, Wishes, shown
from tracer.execute.device import pick_device, refuse_unloadable, torch_missing
from tracer.execute.generated import EngineFailed, Listener, generate_part, generated
from tracer.execute.meta import on_meta
from tracer.execute.outcome import Executed
from tracer.execute.processes import in_processes
from tracer.execute.rank import LoaderFactory
from tracer.execute.several import Part, World, abandon, dismiss, follow, join, refuse, world
from tracer.execute.sharing import load_part

if TYPE_CHECKING:
    from engine.crew.meeting import Crew
    from engine.llm import LLM, Completion
    from engine.serving.engine import Token

__all__ = [
    "LLM",
    "Asked",
    "Completion",
    "Crew",
    "EngineFailed",
    "Executed",
    "Listener",
    "LoaderFactory",
    "Part",
    "Prompts",
    "Token",
    "Wishes",
    "World",
    "abandon",
    "dismiss",
    "follow",
    "generate_part",
    "generated",
    "in_processes",
    "join",
    "load_part",
    "on_meta",
    "pick_device",
    "refuse",
    "refuse_unloadable",
    "shown",
    "torch_missing",
    "world",
]  # fmt: skip
