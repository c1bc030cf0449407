"""Our opinion of a path, as `tracer doctor` has it: whatever else happens than an answer is a defect."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from tests.fuzz.limits import bounded
from tracer import cli
from tracer.checkpoint.header import Header
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.checks import Check, findings, records
from tracer.commands.output import LONGEST_LINE, printable
from tracer.doctor import examine
from tracer.errors import InputError, UsageError
from tracer.report import checks

OF_THE_MODEL = (
    "config.", "arch.", "shape.", "layers.", "tensor.", "param.", "tp.", "vocab.", "tie.", "quant.", "trainer.",
)  # fmt: skip
"""Errors of what tensors mean together, or to a config.json; who reads a file alone has no opinion of that."""
_CODE = re.compile(r"[a-z]+(\.[a-z-]+)+")
_LONGEST = 2_000_000
"""Characters of a line before it is cut for printing: a name may have a megabyte, and no more than three are told."""


class Wrong(AssertionError):
    """A case that we judge wrongly, or that breaks us."""


Errors = dict[str, str]
"""Code -> the first message with it; the code is empty for what has none. Empty: we call it healthy."""


def answer(path: Path) -> Errors:
    """Our opinion, found within bounded memory. Raises Wrong for one that is not fit to be printed."""
    with bounded():
        try:
            made = examine(str(path)).checks
            check_lines([*checks.lines(made), *records(made)])
        except (InputError, UsageError) as error:
            check_lines([str(error)])
            return {getattr(error, "code", None) or "": str(error)}
    return _errors(made)


def read_by_us(path: Path, read: Callable[[BinaryIO, int, str, str], Header], ours: Errors) -> list[TensorInfo] | None:
    """The tensors of a file; None where we refuse it. Raises Wrong where we call healthy what we cannot read."""
    try:
        with path.open("rb") as file:
            return read(file, path.stat().st_size, path.name, path.name).tensors
    except InputError:
        if not ours:
            raise Wrong("we call healthy what we cannot read") from None
        return None


def _errors(made: Iterable[Check]) -> Errors:
    found = findings(made)
    if strange := [finding.code for finding in found if not _CODE.fullmatch(finding.code)]:
        raise Wrong(f"{strange[0]!r} is no code")
    return {finding.code: finding.message for finding in reversed(found) if finding.severity == "error"}


def check_lines(lines: Iterable[str]) -> None:
    """What is printed: lines of one line each, however the names in them are spelt, and of bounded length."""
    for line in lines:
        shown = printable(line)
        if not shown.isprintable() or not shown or len(shown) > LONGEST_LINE + 40:
            raise Wrong(f"a line that cannot be printed: {line[:300]!r}")
        if len(line) > _LONGEST:
            raise Wrong(f"a line of {len(line)} characters: {line[:300]!r}")


def check_command(path: Path, expected: Errors) -> None:
    """`tracer doctor` itself says the same: status 0 of the healthy, else 1, or 2 and one line on stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main(["doctor", str(path)])
    told = err.getvalue().splitlines()
    if (status == 0) == bool(expected) or status not in (0, 1, 2):
        raise Wrong(f"the command ends with {status}, expected {sorted(expected)}")
    if len(told) != (status == 2) or "Traceback" in err.getvalue():
        raise Wrong(f"the command ends with {status} and says on stderr: {err.getvalue()[:1000]}")
    check_lines([*told, *out.getvalue().splitlines()])
