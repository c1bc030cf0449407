"""`tracer browse`: a checkpoint or a trace on the screen."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module, util

from tracer.collection import uncollected
from tracer.commands.output import refuse_empty
from tracer.errors import UsageError

DESCRIPTION = """Browse a checkpoint or a trace in the terminal: names, paths, slices, values, findings.

MODEL is what it is elsewhere: a folder, a file, an id on the Hub, or nothing for the embedded default. TRACE is a saved
trace (--save, --json). Headers only: tensors are read when their values are asked for. Press ? for the keys."""
EPILOG = "Exit status: 0 after quitting, 2 bad usage or unreadable input; 130 after SIGINT, 143 after SIGTERM."


def options(parser: argparse.ArgumentParser) -> None:
    """The options of `tracer browse`."""
    parser.add_argument("what", metavar="MODEL|TRACE", nargs="?", help="nothing: the embedded default, Llama-3-8B")
    parser.add_argument("--tp", type=int, default=1, metavar="N", help="tensor-parallel ranks to begin with (1)")
    parser.add_argument("--keys", metavar="FILE", help="a key map of one's own (TOML; tracer browse --help-keys)")
    parser.add_argument("--help-keys", action="store_true", help="print the key map as TOML, and stop")
    parser.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Show it until it is closed; the exit status."""
    refuse_empty(args)
    if util.find_spec("textual") is None:
        raise UsageError("textual is not installed (pip install 'trace-load[tui]')")
    os.environ.setdefault("TEXTUAL_FPS", "240")  # at its own 60 the second frame after a key is 17 ms late
    # The tracer knows of no screen: the browser reads the tracer, and only this line leads there.
    with uncollected():
        browser = import_module("tui.command")
    if not (args.help_keys or _shown()):
        raise UsageError("browse needs a terminal; `tracer diagnose` and `trace-load --html` say the same without one")
    status: int = browser.browse(args)
    return status


def _shown() -> bool:
    """Whether there is a terminal, or a browser in its place: `textual serve` names the driver that speaks to it."""
    return "TEXTUAL_DRIVER" in os.environ or all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
