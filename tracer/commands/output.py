"""Options and behaviour that all commands share: where data goes, how it looks."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from typing import TextIO

from tracer.errors import UsageError

LONGEST_LINE = 4_000
"""Far beyond what is said of any real model."""
COLOURS = {"ERROR": "31;1", "warning": "33", "info": "2", "audit ok": "32", "verify ok": "32", "reference ok": "32"}


def output_options(parser: argparse.ArgumentParser) -> None:
    """--json, --quiet, --no-color, --debug."""
    add = parser.add_argument
    add("--json", metavar="FILE", help="write the records as JSON Lines; - for stdout instead of the report")
    add("--quiet", action="store_true", help="print findings of severity error only")
    add("--no-color", action="store_true", help="no colours (also with NO_COLOR set)")
    add("--debug", action="store_true", help="tracebacks instead of one-line errors")


def refuse_empty(args: argparse.Namespace, *positional: str) -> None:
    """A variable of the shell that is not set would quietly ask for something else. Raises UsageError."""
    for name, value in vars(args).items():
        if value == "":
            spelled = name.upper() if name in positional else f"--{name.replace('_', '-')}"
            raise UsageError(f"{spelled} is empty, expected a value")


def printable(line: str) -> str:
    """Names come from strangers' files: what is no printable character is spelled out, what has no end is cut."""
    if len(line) > LONGEST_LINE:
        line = f"{line[:LONGEST_LINE]}... ({len(line):,} characters)"
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def steerable(stream: TextIO) -> bool:
    """Whether it is a terminal that takes colours and moves of the cursor; TERM names those that take none."""
    return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


class Printer:
    """Lines to stdout, the first word coloured on a terminal. Raises UsageError where stdout is closed."""

    def __init__(self, args: argparse.Namespace) -> None:
        if sys.stdout is None:  # the next file to be opened would take its place, and whatever libraries print
            raise UsageError("stdout is closed, expected somewhere to write: /dev/null where nothing is to be seen")
        self.silent = args.json == "-"
        self.quiet = args.quiet
        self.colour = steerable(sys.stdout) and not args.no_color and not os.environ.get("NO_COLOR")

    def lines(self, lines: Iterable[str]) -> None:
        """Print what is wanted."""
        if self.silent:
            return
        for line in lines:
            if not self.quiet or line.startswith("ERROR"):
                print(self._coloured(printable(line)))

    def _coloured(self, line: str) -> str:
        if self.colour:
            for word, code in COLOURS.items():
                if line.startswith(word):
                    return f"\033[{code}m{word}\033[0m{line[len(word) :]}"
        return line
