"""One process's traceback as its lines come: which frames it has, and which line is the exception."""

from __future__ import annotations

import re
from collections import deque
from typing import NamedTuple

BEGINS = "Traceback (most recent call last)"
_FRAME = re.compile(r"File \"(?P<path>[^\"\n]{1,1000})\", line \d{1,9}(?:, in (?P<function>[^\n]{1,300}))?")
_FRAMES = 12
"""Frames kept: the innermost, where what was looked for stands."""
_EXCEPTION = re.compile(r"(?P<type>[A-Za-z_][\w.]{0,200})(?:: ?(?P<message>.*))?$", re.DOTALL)
_BETWEEN = ("During handling of the above", "The above exception was the direct")
_PATIENCE = 300
"""Lines without a frame after which a traceback is taken to have been cut off."""


class Frame(NamedTuple):
    """One line of code on the way to an error."""

    path: str
    function: str
    code: str = ""


class Traceback:
    """The traceback that a process is in the middle of, if it is."""

    def __init__(self) -> None:
        self.open = False
        self._frames: deque[Frame] = deque(maxlen=_FRAMES)
        self._quiet = 0

    @property
    def frames(self) -> tuple[Frame, ...]:
        """Innermost last."""
        return tuple(self._frames)

    def begin(self) -> None:
        self.open = True
        self._frames.clear()
        self._quiet = 0

    def resumes(self, text: str) -> bool:
        """Whether a line shows that one is under way whose beginning was not pasted; it begins with this line."""
        if not text.lstrip().startswith('File "') or _FRAME.search(text) is None:
            return False
        self.begin()
        return True

    def takes(self, text: str) -> bool:
        """Whether a line belongs to the traceback; the exception itself, which ends it, does not."""
        frame = _FRAME.search(text) if 'File "' in text else None
        if frame:
            self._frames.append(Frame(frame["path"], (frame["function"] or "").strip()))
            self._quiet = 0
            return True
        self._quiet += 1
        if text[:1].isspace() or not text or self._quiet > _PATIENCE:
            self._reads_code(text.strip())
            self.open = self._quiet <= _PATIENCE
            return True
        if text.startswith(_BETWEEN):
            return True
        self.open = False
        return False

    def _reads_code(self, text: str) -> None:
        if self._frames and not self._frames[-1].code:
            self._frames[-1] = self._frames[-1]._replace(code=text[:400])


def exception(text: str) -> tuple[str, str] | None:
    """Type and message of the line that ends a traceback."""
    match = _EXCEPTION.match(text)
    return (match["type"], match["message"] or "") if match else None
