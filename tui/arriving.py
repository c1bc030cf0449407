"""What is done beside the screen, in threads, and what becomes of it: opening, studying, reading values, comparing."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING

from textual import work
from textual.worker import get_current_worker

from tracer.failure import EXPECTED, in_one_line
from tui.model.arrival import Arrival, arrival
from tui.model.browsing import Browsing
from tui.model.follow.waiting import followed
from tui.model.opening import open_subject
from tui.model.subject import Subject
from tui.window import Window

if TYPE_CHECKING:
    from tracer.checkpoint.folder import Checkpoint
    from tracer.checkpoint.tensor_info import TensorInfo
    from tui.model.comparing import Comparing
    from tui.model.follow.progress import Progress
    from tui.model.numbers.state import Values
    from tui.model.overview.inference import Inference

PATIENCE = 0.2
"""Seconds that drawing is waited for, as nothing is drawn any more when the browser is being closed."""


class Arriving(Window):
    """A window whose contents come from threads."""

    def __init__(self, browsing: Browsing) -> None:
        super().__init__(browsing)
        self.kept: Callable[[], object] = lambda: None
        """Called whenever much was made that stays."""

    def on_unmount(self) -> None:
        self.browsing.values.stop()
        subject = self.browsing.subject
        if subject is not None and subject.store is not None:
            subject.store.close()

    def _tell(self, told: Callable[..., object], *what: object) -> None:
        """From a thread to the one that draws, which may have ended: nobody waits for it, as that would be for ever."""
        with suppress(RuntimeError):
            self.call_later(told, *what)

    # --- a checkpoint, or a trace ---

    @work(thread=True, exclusive=True, group="open")
    def _open(self) -> None:
        worker, where = get_current_worker(), self.browsing.where
        try:
            if self._followed(where, lambda: worker.is_cancelled):
                open_subject(where, self.browsing.tp, self._hand_over)
        except EXPECTED as error:
            self._tell(self._fail, in_one_line(error))

    def _followed(self, where: str | None, stopped: Callable[[], bool]) -> bool:
        """Whether there is something to be opened; of a load that failed and left nothing its last words stay."""
        progress: Progress | None = None
        for progress in followed(where, stopped):
            self._tell(self._progressed, progress)
        return not stopped() and (progress is None or where is None or os.path.lexists(where))

    def _hand_over(self, subject: Subject) -> None:
        """Go on when it was drawn: what is done here would make drawing wait."""
        drawn = Event()
        arrived = arrival(subject, self.browsing.tp, self.browsing.last)
        self.kept()
        self._tell(self._arrived, arrived)
        self._tell(self.call_after_refresh, drawn.set)
        drawn.wait(PATIENCE)

    def _arrived(self, what: Arrival) -> None:
        subject = what.subject
        self.browsing.arrived(what)
        self._draw()
        self.names.show(self.browsing.names(), self.browsing.focused_row)
        if subject.stage == "examined":
            if self.browsing.focus is not None and not self.browsing.touched:
                self._uncover(self.sheet)  # where one pane has room, it is that with the answer
            self._study(subject)

    def _progressed(self, progress: Progress) -> None:
        self.browsing.progress = progress
        self._draw_top()
        self._draw_page()

    @work(thread=True, exclusive=True, group="study")
    def _study(self, subject: Subject) -> None:
        """What shapes say, which takes longer than to show what is there."""
        from tui.model.overview.inference import Inference, study

        try:
            found = study(subject)
        except EXPECTED as error:
            found = Inference(why_not=in_one_line(error))
        self.kept()
        self._tell(self._studied, subject, found)

    def _studied(self, subject: Subject, found: Inference) -> None:
        if self.browsing.studied(subject, found) and self.browsing.page in ("overview", "config"):
            self._draw_page()

    # --- values ---

    @work(thread=True, group="values")
    def _read_values(self, checkpoint: Checkpoint, info: TensorInfo) -> None:
        self.browsing.values.read(checkpoint, info, lambda state: self._tell(self._values_changed, state))

    def _values_changed(self, state: Values) -> None:
        if self.browsing.values.heard(state):
            if self.browsing.judge(state):
                self._draw()
                self.names.show(self.browsing.names(), self.browsing.focused_row)
            elif self.browsing.page == "values":
                self._draw_page()
            self.refresh_bindings()

    # --- another beside it ---

    @work(thread=True, exclusive=True, group="compare")
    def _compare(self, subject: Subject, asked: Comparing) -> None:
        from tui.model.comparing import beside

        try:
            done = replace(asked, found=beside(subject, asked.other))
        except EXPECTED as error:
            done = replace(asked, why=in_one_line(error))
        self._tell(self._compared, asked, done)

    def _compared(self, asked: Comparing, done: Comparing) -> None:
        """Unless another was asked for since: a thread goes on to its end."""
        if self.browsing.comparing is asked:
            self.browsing.comparing = done
            self.browsing.values.other = done.found.checkpoint if done.found else None
            self.browsing.values.twins = done.found.twins if done.found else {}
            self._draw_page()
