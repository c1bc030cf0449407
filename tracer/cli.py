"""`tracer` and `trace-load` (which is `tracer load`): parse, dispatch, turn what went wrong into one line.

Exit status: 0 nothing wrong, 1 at least one finding of severity error, 2 bad usage or unreadable input.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from tracer.commands import audit, load, mappings
from tracer.commands.output import printable
from tracer.errors import InputError, TraceLoadError

DESCRIPTION = "Forensics for LLM checkpoints: where every tensor goes, proved and observed."
COMMANDS = {"load": load, "audit": audit, "mappings": mappings}


class Parser(argparse.ArgumentParser):
    """One line on stderr and exit status 2, without the usage that nobody reads."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def trace_load(argv: Sequence[str] | None = None) -> int:
    """The console script `trace-load`."""
    parser = Parser("trace-load", description=load.DESCRIPTION, epilog=load.EPILOG,
                    formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    load.options(parser)
    return _run(parser, load, argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The console script `tracer`."""
    parser = Parser("tracer", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for name, module in COMMANDS.items():
        sub = commands.add_parser(
            name, help=module.DESCRIPTION.splitlines()[0], description=module.DESCRIPTION, epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        module.options(sub)
        sub.set_defaults(module=module)
    return _run(parser, None, argv)


def _run(parser: Parser, module: ModuleType | None, argv: Sequence[str] | None) -> int:
    args = parser.parse_args(argv)
    command: ModuleType = module or args.module
    try:
        return int(command.run(args))
    except TraceLoadError as error:
        if args.debug:
            raise
        code = f" [{error.code}]" if isinstance(error, InputError) and error.code else ""
        print(printable(f"{parser.prog}: {error}{code}"), file=sys.stderr)
        return 2
    except sqlite3.Error as error:
        if args.debug:
            raise
        print(f"{parser.prog}: the trace store cannot be read or written: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (head, less) has seen enough; python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if args.debug:
            raise
        print(f"{parser.prog}: {error.strerror}: {error.filename or 'output'}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
