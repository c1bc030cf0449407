"""A log, line by line: who speaks, which traceback a line belongs to, and what it complains of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from tracer.complaints.complaint import Complaint, Told
from tracer.complaints.gathering import Gathering
from tracer.complaints.missing_key import judged
from tracer.complaints.noise import is_noise, is_of_shutdown
from tracer.complaints.of_python import KEY, LONE_KEY
from tracer.complaints.pattern import Pattern
from tracer.complaints.prefixes import Said, plain, without_prefixes
from tracer.complaints.quoting import continues_list, unfinished_list
from tracer.complaints.settings import Settings
from tracer.complaints.tracebacks import BEGINS, Frame, Traceback, exception
from tracer.complaints.wordings import ECHO, ECHO_NEEDLE, QUOTES_A_REQUEST, by_people, wordings

_UNDERSTOOD, _NOT_UNDERSTOOD, _WARNING = range(3)
_ERROR_TYPE = re.compile(r"(?:[A-Za-z_]\w*\.)*(?:[A-Z]\w*)?(?:Error|Exception|Failure)$")
_RAISED = re.compile(r"(?:[A-Za-z_]\w{0,60}\.){0,8}[A-Z]\w{0,60}(?:Error|Exception): ")
_BOX = ("│", "╭", "╰", "❱")
"""What rich draws around a traceback, which quotes code before and after the line that failed."""
_JOINED_LIMIT = 1 << 18
"""Characters of a list that goes over lines."""
_SPEAKERS = 256
"""Processes that are told apart; more of them speak as one without a prefix."""


class Listener:
    """Hears lines in order; bounded in what it keeps, whatever the lines are."""

    def __init__(self, *, pasted: bool) -> None:
        self._gathering = Gathering()
        self._settings = Settings()
        self._speakers: dict[str, _Speaker] = {}
        self._last = self._speaker("")
        self._wordings = wordings(pasted=pasted)
        self._pasted = pasted
        self._busy: set[str] = set()

    @property
    def attentive(self) -> bool:
        """Whether the next lines matter whatever they say: somebody is in the middle of something."""
        return bool(self._busy)

    def hear(self, number: int, line: str) -> None:
        """One line of the log, without its end."""
        text = plain(line)
        if "\\" in text and "Error" in text:  # a traceback in a line of JSON
            text = text.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"').replace("\\'", "'")
        if "\r" not in text and "\n" not in text:
            self._hear(number, without_prefixes(text))
            return
        for part in re.split(r"[\r\n]+", text):
            self._hear(number, without_prefixes(part))

    def hear_a_person(self, text: str) -> None:
        """Words about an output, or a shortened error."""
        for pattern, complaint in by_people().read(text):
            self._take(pattern, complaint, self._last, 0, Said(complaint.text, "", None, False), ())

    def told(self, lines: int) -> Told:
        """What was said in all of it."""
        for speaker in list(self._speakers.values()):
            self._finish(speaker)
        complaints, over = self._gathering.complaints(), self._gathering.passed_over
        program = self._settings.program or next((each.program for each in complaints if each.program), "")
        return Told(complaints, program, self._settings.version, self._settings.found, lines, over)

    def _hear(self, number: int, said: Said) -> None:
        text = said.text
        if text.lstrip()[:1] in _BOX:
            return
        speaker = self._who(said)
        if speaker.pending:
            if continues_list(text) and len(speaker.pending) < _JOINED_LIMIT:
                speaker.pending += " " + text.strip()
                if not unfinished_list(speaker.pending):
                    self._finish(speaker)
                return
            self._finish(speaker)
        at = text.find(BEGINS)
        if at >= 0:
            self._complaints(speaker, number, said._replace(text=text[:at]), ())
            speaker.traceback.begin()
        elif not speaker.traceback.open and not speaker.traceback.resumes(text):
            self._plain_line(speaker, number, said)
        elif not speaker.traceback.takes(text):
            self._exception(speaker, number, said)
        self._note(speaker)

    def _who(self, said: Said) -> _Speaker:
        """Lines without a prefix go on with what was being said: loggers put it before the first line only."""
        if said.speaker:
            self._last = self._speaker(said.speaker)
            if said.rank is not None:
                self._last.rank = said.rank
        elif not (self._last.traceback.open or self._last.pending):
            self._last = self._speaker("")
        return self._last

    def _speaker(self, name: str) -> _Speaker:
        if name not in self._speakers and len(self._speakers) >= _SPEAKERS:
            name = ""
        return self._speakers.setdefault(name, _Speaker(name))

    def _note(self, speaker: _Speaker) -> None:
        if speaker.traceback.open or speaker.pending:
            self._busy.add(speaker.name)
        else:
            self._busy.discard(speaker.name)

    def _plain_line(self, speaker: _Speaker, number: int, said: Said) -> None:
        self._settings.read(said.text)
        found = self._complaints(speaker, number, said, ())
        if not found and (self._pasted or said.error):
            self._not_understood(speaker, number, said)

    def _exception(self, speaker: _Speaker, number: int, said: Said) -> None:
        frames = speaker.traceback.frames
        self._settings.seen_in(frames)
        if self._complaints(speaker, number, said, frames):
            return
        found = exception(said.text)
        # A bare assertion says what its line of code says.
        code = frames[-1].code if found and not found[1] and frames else ""
        if code and self._complaints(speaker, number, said._replace(text=code), frames):
            return
        if code and said.text.strip() == "AssertionError" and "load" in frames[-1].function:
            bare = Complaint("shape", said.text.strip(), self._settings.program, rank=speaker.rank, line=number,
                             times=said.times)  # fmt: skip
            self._gathering.add(bare, severity=_UNDERSTOOD)  # loaders assert nothing but sizes
            return
        self._not_understood(speaker, number, said)

    def _not_understood(self, speaker: _Speaker, number: int, said: Said) -> None:
        found = exception(said.text.strip())
        if found and _ERROR_TYPE.match(found[0]) and not is_noise(said.text):
            complaint = Complaint("other", said.text.strip(), rank=speaker.rank, line=number, times=said.times)
            self._gathering.add(complaint, severity=_NOT_UNDERSTOOD)

    def _complaints(self, speaker: _Speaker, number: int, said: Said, frames: Sequence[Frame]) -> bool:
        """Take in what a line complains of; whether it does."""
        if is_of_shutdown(said.text):
            return False
        if unfinished_list(said.text) and self._wordings.possible(said.text):
            speaker.pending, speaker.pended = said.text, (number, said, tuple(frames))
            return True
        if not self._pasted and any(words in said.text for words in QUOTES_A_REQUEST):
            return False
        found = self._wordings.read(said.text)
        for pattern, complaint in found:
            self._take(pattern, complaint, speaker, number, said, frames)
        return bool(found) or self._repeated(speaker, number, said)

    def _repeated(self, speaker: _Speaker, number: int, said: Said) -> bool:
        """What another process said and this one repeats: taken in where the other was not heard."""
        echo = ECHO.search(said.text) if ECHO_NEEDLE in said.text else None
        if echo is None:
            return False
        for pattern, complaint in wordings(pasted=True).read(echo["one"] or echo["other"]):
            self._take(pattern, complaint, speaker, number, said, (), echo=True)
        return True

    def _take(
        self, pattern: Pattern, complaint: Complaint, speaker: _Speaker, number: int, said: Said,
        frames: Sequence[Frame], *, echo: bool = False,
    ) -> None:  # fmt: skip
        if pattern in (KEY, LONE_KEY):
            complaint = judged(complaint, frames)
        complaint = replace(
            complaint, text=said.text.strip(), rank=speaker.rank, line=number, times=said.times,
            program=complaint.program or self._settings.program,
        )  # fmt: skip
        severity = _NOT_UNDERSTOOD if complaint.kind == "other" else _UNDERSTOOD
        self._gathering.add(
            complaint,
            severity=_WARNING if pattern.warning and not (frames or _RAISED.match(said.text)) else severity,
            gathered=pattern.says if pattern.gathers else None,
            echo=echo,
        )

    def _finish(self, speaker: _Speaker) -> None:
        """A list that went over several lines is at its end."""
        if not speaker.pending or speaker.pended is None:
            return
        number, said, frames = speaker.pended
        text, speaker.pending, speaker.pended = speaker.pending, "", None
        found = self._wordings.read(text)
        for pattern, complaint in found:
            self._take(pattern, complaint, speaker, number, said, frames)
        if not found:
            self._not_understood(speaker, number, said)
        self._note(speaker)


class _Speaker:
    """One process, as far as prefixes tell them apart."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rank: int | None = None
        self.traceback = Traceback()
        self.pending = ""
        """A list of names that goes on in the next line."""
        self.pended: tuple[int, Said, tuple[Frame, ...]] | None = None
