"""Why a file is refused; its name is added where it is known."""

from __future__ import annotations

from tracer.checkpoint.pytorch.values import Pairs


class Refusal(Exception):
    """A reason with its finding code; `subject` is the tensor, where it is not the file."""

    def __init__(self, code: str, message: str, subject: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.subject = subject


class Truncated(Refusal):
    """The bytes end where more were needed; whoever holds only the beginning of a file reads on."""


class Malformed(Exception):
    """A value that cannot be what the pickle makes it; the machine adds the byte."""


def shown(value: object) -> str:
    """A value from the file, short enough for a message; containers are never entered, they may be bottomless."""
    if isinstance(value, list | tuple):
        kind = "mapping" if isinstance(value, Pairs) else type(value).__name__
        return f"a {kind} of {len(value)}"
    text = ascii(value[:120]) if isinstance(value, str | bytes) else repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
