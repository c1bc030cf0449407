"""`tracer` and `trace-load` (which is `tracer load`): parse, dispatch, turn what went wrong into one line.

Exit status: 0 nothing wrong, 1 at least one finding of severity error, 2 bad usage or unreadable input; 130 after
Ctrl-C and 143 after SIGTERM. Under torchrun all processes of one command exit with that of rank 0.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from tracer import early
from tracer.commands.output import printable
from tracer.commands.parser import Paragraphs, Parser
from tracer.errors import UsageError
from tracer.failure import EXPECTED, in_one_line
from tracer.interrupts import Terminated, exit_status, terminable

if TYPE_CHECKING:
    from tracer.execute import Crew

DESCRIPTION = "Forensics for LLM checkpoints: where every tensor goes, proved and observed."
COMMANDS = "load", "doctor", "diagnose", "infer", "diff", "audit", "mappings", "generate", "browse"
"""Each a module of `tracer.commands`."""


def trace_load(argv: Sequence[str] | None = None) -> int:
    """The console script `trace-load`."""
    try:
        load = module_of("load")
    except KeyboardInterrupt as stop:
        return _told("trace-load", stop)
    parser = Parser("trace-load", description=load.DESCRIPTION, epilog=load.EPILOG, formatter_class=Paragraphs)
    load.options(parser)
    return _run(parser, load, argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The console script `tracer`."""
    parser = Parser("tracer", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for name in _wanted(sys.argv[1:] if argv is None else argv):
        try:
            module = module_of(name)
        except KeyboardInterrupt as stop:
            return _told(parser.prog, stop)
        sub = commands.add_parser(
            name, help=module.DESCRIPTION.splitlines()[0], description=module.DESCRIPTION, epilog=module.EPILOG,
            formatter_class=Paragraphs,
        )  # fmt: skip
        module.options(sub)
        sub.gathers = getattr(module, "GATHERS", None)
        sub.set_defaults(module=module)
    return _run(parser, None, argv)


def module_of(name: str) -> ModuleType:
    """The module of one of `COMMANDS`."""
    return import_module(f"tracer.commands.{name}")


def _wanted(argv: Sequence[str]) -> Sequence[str]:
    """The command that is asked for: importing the others takes as long as a header-only one of them. All for help."""
    return argv[:1] if argv and argv[0] in COMMANDS else COMMANDS


def _run(parser: Parser, module: ModuleType | None, argv: Sequence[str] | None) -> int:
    _have_stderr()
    # Nothing of torchrun is imported without it, for that takes longer than many a command.
    return (_run_of_a_crew if os.environ.get("RANK") else _run_by_itself)(parser, module, argv)


def _run_by_itself(parser: Parser, module: ModuleType | None, argv: Sequence[str] | None) -> int:
    try:
        args = parser.parse_args(argv)
    except OSError as error:  # --help could not be printed
        return _told(parser.prog, error)
    return _guarded(parser.prog, args.debug, lambda: _alone(module or args.module, args))


def _run_of_a_crew(parser: Parser, module: ModuleType | None, argv: Sequence[str] | None) -> int:
    from tracer import torchrun

    try:
        place = torchrun.world()
    except UsageError as error:
        parser.error(str(error))
    if place is None:
        return _run_by_itself(parser, module, argv)
    try:
        args = torchrun.parsed(place, lambda: parser.parse_args(argv))
    except OSError as error:
        return _told(parser.prog, error)
    asked: ModuleType = module or args.module
    if asked not in torchrun.SHARED:
        if place.rank:
            torchrun.silence()  # what needs no crew is done by each, and need be said only once
        return _guarded(parser.prog, args.debug, lambda: _alone(asked, args))

    def command_itself(crew: Crew) -> int:
        torchrun.check(place, args)
        with torchrun.absence_told(crew):
            return _alone(asked, args, crew)

    def lead(crew: Crew) -> int:
        return _guarded(parser.prog, args.debug, lambda: command_itself(crew))

    return _guarded(parser.prog, args.debug, lambda: torchrun.together(place, asked, args, lead))


def _alone(command: ModuleType, args: argparse.Namespace, *more: Crew) -> int:
    """Run a command to its end, which is that all it printed was taken."""
    with terminable():
        status = int(command.run(args, *more))
        sys.stdout.flush()
        return status


def _guarded(prog: str, debug: bool, work: Callable[[], int]) -> int:
    """What `work` returns, or the status for what it raised; with `debug` errors are let through."""
    try:
        return work()
    except (KeyboardInterrupt, BrokenPipeError) as stop:
        return _told(prog, stop)
    except RuntimeError as error:
        if not isinstance(error.__cause__, KeyboardInterrupt):  # which Python puts so in the making of a class
            raise
        return _told(prog, error.__cause__)
    except EXPECTED as error:
        if debug:
            raise
        return _told(prog, error)


def _told(prog: str, error: BaseException) -> int:
    """Say in one line what went wrong; the exit status."""
    if isinstance(error, BrokenPipeError):
        _abandon_output()  # the reader (head, less) has seen enough
        return 0
    if isinstance(error, OSError):
        _try_output()
    print(printable(f"{prog}: {_line(error)}"), file=sys.stderr)
    return exit_status(error) if isinstance(error, KeyboardInterrupt) else 2


def _line(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        what = "terminated" if isinstance(error, Terminated) else "interrupted"
        return "; ".join([what, *getattr(error, "__notes__", [])])
    assert isinstance(error, EXPECTED)
    return in_one_line(error)


def _have_stderr() -> None:
    """Where it is closed, nobody is to hear: else `print` would take stdout instead, and the next file that is opened
    would be what libraries complain into.
    """  # fmt: skip
    if sys.stderr is not None:
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.fstat(2)
    except OSError:  # not taken yet; ranks are to find it so too
        os.dup2(null, 2)
    os.set_inheritable(null, True)
    sys.stderr = os.fdopen(null, "w")


def _try_output() -> None:
    """Let out what was printed before; if that is what failed, try no more."""
    try:
        sys.stdout.flush()
    except OSError:
        _abandon_output()


def _abandon_output() -> None:
    """Python would try once more at exit, and complain."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


early.over()
if __name__ == "__main__":
    sys.exit(main())
