"""What `trace-load` prints, and its exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracer.cli import trace_load


def run(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    try:
        status = trace_load([str(a) for a in argv])
    except SystemExit as error:
        status = int(str(error.code))
    captured = capsys.readouterr()
    return status, captured.out, captured.err
