"""From the wish to see values to what was seen: what is asked first, how far the reading is, how it is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Event
from typing import TYPE_CHECKING

from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import TraceLoadError
from tui.model.numbers.state import Values

if TYPE_CHECKING:
    from tui.model.numbers.look import Look

EVERY = 0.1
"""Seconds between two words of how far it is."""


@dataclass
class Asking:
    """One tensor at a time; asking for another stops the one before."""

    state: Values = field(default_factory=Values)
    other: Checkpoint | None = None
    """Another checkpoint, whose tensor of the same name is shown beside."""
    _stop: Event = field(default_factory=Event)

    def of(self, info: TensorInfo | None) -> Values:
        """How it stands with a tensor."""
        return self.state if self.state.info is info else Values(info)

    def wish(self, checkpoint: Checkpoint | None, info: TensorInfo) -> bool:
        """Whether it may be read now; if not, the state says what stands against it or what is to be confirmed."""
        from tui.model.numbers.look import FREE, hindrance

        before = self.of(info)
        self.stop()
        why = hindrance(checkpoint, info)
        if why:
            self.state = Values(info, "cannot", why=why)
        elif info.nbytes > FREE and before.stage != "asks":
            self.state = Values(info, "asks")
        else:
            self.state = Values(info, "reads")
            return True
        return False

    def stop(self) -> None:
        """Whoever reads ends at the next piece."""
        self._stop.set()
        if self.state.stage in ("reads", "asks"):
            self.state = replace(self.state, stage="stopped" if self.state.stage == "reads" else "idle")

    def read(self, checkpoint: Checkpoint, info: TensorInfo, changed: Callable[[Values], None]) -> None:
        """Read it, in a thread of its own; `changed` hears now and then how far it is, and at the end."""
        from tui.model.numbers.look import Stopped, look

        stop = self._stop = Event()
        said = time.monotonic()

        def told(done: int, total: int) -> None:
            nonlocal said
            if time.monotonic() - said > EVERY and not stop.is_set():
                said = time.monotonic()
                changed(Values(info, "reads", done))

        try:
            seen = look(checkpoint, info, told, stop.is_set)
            beside, other = self._beside(info, stop)
        except Stopped:
            return
        except (TraceLoadError, OSError, ValueError) as error:
            changed(Values(info, "cannot", why=str(error)))
            return
        changed(Values(info, "done", info.nbytes, look=seen, beside=beside, other=other))

    def _beside(self, info: TensorInfo, stop: Event) -> tuple[Look | None, str]:
        """The tensor of the same name in the other checkpoint, and what the other is called."""
        from tui.model.numbers.look import hindrance, look

        if self.other is None:
            return None, ""
        title = self.other.files.title
        own = next((tensor for tensor in self.other.tensors if tensor.name == info.name), None)
        why = f"no tensor of this name in {title}" if own is None else hindrance(self.other, own)
        if own is None or why:
            return None, why
        return look(self.other, own, lambda done, total: None, stop.is_set), title
