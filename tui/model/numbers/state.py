"""How far the reading of one tensor is: not asked for, to be confirmed, under way, done, stopped, or not possible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from tracer.checkpoint.tensor_info import TensorInfo

if TYPE_CHECKING:
    from mappings.findings import Finding
    from tracer.diff.compared import Distance
    from tui.model.numbers.look import Look

Stage: TypeAlias = Literal["idle", "asks", "reads", "done", "stopped", "cannot"]


@dataclass(frozen=True)
class Values:
    """Of the tensor that is looked at, and of the one beside it in another checkpoint, if there is one."""

    info: TensorInfo | None = None
    stage: Stage = "idle"
    done: int = 0
    """Bytes read."""
    total: int = 0
    """Bytes that are to be read, of both."""
    why: str = ""
    """What stands against it."""
    finding: Finding | None = None
    """The same, where it says that what was examined is no longer there."""
    look: Look | None = None
    codes: str = ""
    """What its numbers are, where they are not those of a weight."""
    beside: Look | None = None
    other: str = ""
    """The other checkpoint's title; or why its tensor is not beside this one."""
    apart: Distance | str = ""
    """How far the two are from each other, or why that is not known."""
