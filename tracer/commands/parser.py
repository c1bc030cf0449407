"""The command line's own parser: errors in a line, help as wide as the terminal, arguments among options."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn


class Paragraphs(argparse.HelpFormatter):
    """Descriptions keep their paragraphs, each wrapped as the rest of the help is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        filled = [
            textwrap.fill(
                " ".join(paragraph.split()), width, initial_indent=indent, subsequent_indent=indent,
                break_on_hyphens=False, break_long_words=False,
            )
            for paragraph in text.split("\n\n")
        ]  # fmt: skip
        return "\n\n".join(filled)


class Parser(argparse.ArgumentParser):
    """One line on stderr and exit status 2, without the usage that nobody reads."""

    gathers: str | None = None
    """The last argument, a list, where it may also stand after options: argparse before Python 3.12 takes of it only
    what follows the other arguments at once."""

    def parse_known_args(  # type: ignore[override]  # its overloads say the same
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does; what it does not know and is no option belongs to what gathers."""
        found, rest = super().parse_known_args(args, namespace)
        place = rest.index("--") if "--" in rest else len(rest)
        if self.gathers is None or any(word.startswith("-") for word in rest[:place]):
            return found, rest
        setattr(found, self.gathers, [*getattr(found, self.gathers), *rest[:place], *rest[place + 1 :]])
        return found, []

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """As argparse does, but a disk that is full is not passed over."""
        print(message, end="", file=file or sys.stderr, flush=True)
