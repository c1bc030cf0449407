"""From the wish to see values to what was seen: what is asked first, how far the reading is, how it is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from threading import Event
from typing import TYPE_CHECKING

from mappings.findings import Finding
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import InputError, TraceLoadError
from tui.model.numbers.state import Values

if TYPE_CHECKING:
    from tracer.diff.compared import Distance
    from tui.model.numbers.look import Look

EVERY = 0.1
"""Seconds between two words of how far it is."""


@dataclass
class Asking:
    """One tensor at a time; asking for another stops the one before."""

    state: Values = field(default_factory=Values)
    other: Checkpoint | None = None
    """Another checkpoint, whose tensor is shown beside."""
    twins: Mapping[str, TensorInfo] = field(default_factory=dict)
    """Which of its tensors is which of ours, as the comparison has found; what is not in it has the same name."""
    read_whole: set[str] = field(default_factory=set)
    """The names of those that were read to the end."""
    _stop: Event = field(default_factory=Event)

    def of(self, info: TensorInfo | None) -> Values:
        """How it stands with a tensor."""
        return self.state if self.state.info == info else Values(info)

    def wish(self, checkpoint: Checkpoint | None, info: TensorInfo) -> bool:
        """Whether it may be read now; if not, the state says what stands against it or what is to be confirmed."""
        from tui.model.numbers.look import FREE, hindrance

        before = self.of(info)
        self.stop()
        why, twin = hindrance(checkpoint, info), self._twin(info)
        total = info.nbytes + (twin.nbytes if twin else 0)
        if why:
            self.state = Values(info, "cannot", why=why)
        elif total > FREE and before.stage != "asks":
            self.state = Values(info, "asks", total=total)
        else:
            self._stop, self.state = Event(), Values(info, "reads", total=total)
            return True
        return False

    def stop(self) -> None:
        """Whoever reads ends at the next piece."""
        self._stop.set()
        if self.state.stage in ("reads", "asks"):
            self.state = replace(self.state, stage="stopped" if self.state.stage == "reads" else "idle")

    def read(self, checkpoint: Checkpoint, info: TensorInfo, changed: Callable[[Values], object]) -> None:
        """Read what was wished, in a thread of its own; `changed` hears now and then how far it is, and at the end."""
        from tui.model.numbers.codes import codes
        from tui.model.numbers.look import Stopped, look

        stop, begun = self._stop, self.state
        if begun.stage != "reads" or begun.info != info:  # something else was wished before this thread began
            return
        said = time.monotonic()

        def told(done: int) -> None:
            nonlocal said
            if time.monotonic() - said > EVERY and not stop.is_set():
                said = time.monotonic()
                changed(replace(begun, done=done))

        try:
            seen = look(checkpoint, info, lambda done, total: told(done), stop.is_set)
            beside, other = self._beside(info, told, stop)
            distance = self._apart(checkpoint, info, beside, stop)
        except Stopped:
            return
        except (TraceLoadError, OSError, ValueError) as error:
            changed(Values(info, "cannot", why=str(error), finding=_gone(info, error)))
            return
        done = replace(begun, stage="done", done=begun.total, look=seen, codes=codes(info, checkpoint.tensors))
        changed(replace(done, beside=beside, other=other, apart=distance))

    def heard(self, state: Values) -> bool:
        """Take over what a reading thread says, unless nobody waits for it any more."""
        wanted = self.state.stage == "reads" and self.state.info == state.info
        self.state = state if wanted else self.state
        if wanted and state.stage == "done" and state.info is not None:
            self.read_whole.add(state.info.name)
        return wanted

    def _twin(self, info: TensorInfo) -> TensorInfo | None:
        """The tensor of the other checkpoint that is this one there, by whatever name."""
        if self.other is None or info.name in self.twins:
            return self.twins.get(info.name)
        return next((own for own in self.other.tensors if own.name == info.name), None)

    def _apart(self, checkpoint: Checkpoint, info: TensorInfo, beside: Look | None, stop: Event) -> Distance | str:
        from tui.model.numbers.apart import apart

        if self.other is None or beside is None:
            return ""
        try:
            return apart((checkpoint, info), (self.other, beside.info), stop.is_set)
        except (TraceLoadError, OSError, ValueError) as error:
            return str(error)

    def _beside(self, info: TensorInfo, told: Callable[[int], None], stop: Event) -> tuple[Look | None, str]:
        """What is seen of its twin and what the other checkpoint is called, or why it is not seen."""
        from tui.model.numbers.look import hindrance, look

        if self.other is None:
            return None, ""
        own, title = self._twin(info), self.other.files.title
        why = f"no tensor of this name in {title}" if own is None else hindrance(self.other, own)
        if own is None or why:
            return None, why
        try:
            return look(self.other, own, lambda done, total: told(info.nbytes + done), stop.is_set), title
        except (TraceLoadError, OSError, ValueError) as error:
            return None, str(error)


def _gone(info: TensorInfo, error: Exception) -> Finding | None:
    """Whether a file that could be read when it was examined cannot be read now, or is another one."""
    if not isinstance(error, InputError):
        return None
    return error.finding() or Finding("file.changed", "error", info.file or info.name, str(error))
