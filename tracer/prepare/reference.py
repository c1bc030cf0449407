"""`--reference`: what the user wants a load compared with."""

from __future__ import annotations

from pathlib import Path

from tracer.errors import UsageError

TRANSFORMERS = "transformers"


def check_reference(text: str) -> None:
    """Raises UsageError for what is neither `transformers` nor `transformers=DIR` with a DIR that is here."""
    name, equals, folder = text.partition("=")
    if name != TRANSFORMERS or (equals and not folder):
        raise UsageError(f"--reference {text}: expected {TRANSFORMERS}, or {TRANSFORMERS}=DIR")
    if equals and not Path(folder).exists():
        raise UsageError(f"--reference {text}: no such file or folder: {folder}")
