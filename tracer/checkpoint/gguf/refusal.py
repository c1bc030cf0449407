"""A reason why a file is refused, without the file, which only the caller knows."""

from __future__ import annotations


class Refusal(Exception):
    """What is wrong, its finding code, and the tensor it is about, if one."""

    def __init__(self, code: str, message: str, subject: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.subject = subject


def shown(value: object) -> str:
    """A value of unknown size, short enough for one line."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
