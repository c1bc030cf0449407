"""What this package raises on purpose.

    TraceLoadError
    ├── UsageError      the command line asks for something that cannot be done
    └── InputError      a file or a folder cannot be read, or is not what it says it is
    Refused             a readable checkpoint that cannot even be planned; carries the finding that says why

The first two end a command with exit status 2 and their one line on stderr, the last with its finding and 1.
ConfigError and MappingFileError of the mappings and RankFailed of the engine become one of these, or a finding, where
they cross into this package. Anything else that escapes is our bug.
"""

from __future__ import annotations

from collections.abc import Sequence

from mappings.findings import Finding


class TraceLoadError(Exception):
    """Something a user can cause, said in one line."""


class UsageError(TraceLoadError):
    """Arguments that contradict each other or name what does not exist."""


class InputError(TraceLoadError):
    """Unreadable or damaged input; the message names file, byte or field, and what was expected and found."""

    def __init__(self, message: str, *, code: str | None = None, subject: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        """A code of `findings.md`, where one fits."""
        self.subject = subject
        """The file or the tensor that is wrong."""

    def finding(self) -> Finding | None:
        """The same statement as a finding, for commands that go on; None where no code fits."""
        if self.code is None:
            return None
        return Finding(self.code, "error", self.subject or "", str(self))


class Refused(Exception):
    """The checkpoint cannot even be planned: one finding says why."""

    def __init__(self, finding: Finding, others: Sequence[Finding] = ()) -> None:
        super().__init__(finding.message)
        self.finding = finding
        self.others = others
        """What else is wrong with it, and would be if it could."""
