"""What may go wrong with what a user gives, and the one line that it is told in."""

from __future__ import annotations

import sqlite3

from tracer.errors import InputError, TraceLoadError

EXPECTED = (TraceLoadError, sqlite3.Error, OSError)
"""Anything else is a fault of this program."""


def in_one_line(error: Exception) -> str:
    """One of `EXPECTED` as it is told."""
    if isinstance(error, sqlite3.Error):
        return f"the trace store cannot be read or written: {error}"
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename or 'output'}"
    return f"{error} [{error.code}]" if isinstance(error, InputError) and error.code else str(error)
