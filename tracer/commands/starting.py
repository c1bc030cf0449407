"""`tracer mappings new MODEL`: rows for an architecture that has none, and a summary of what they leave."""

from __future__ import annotations

import argparse
from pathlib import Path

from mappings.sizes import ConfigError
from mappings.userfile import MappingFileError
from tracer.collection import uncollected
from tracer.commands.output import Printer
from tracer.errors import InputError, Refused, UsageError
from tracer.outputs import check_output, write_lines
from tracer.prepare.config import config_of
from tracer.prepare.model import open_model
from tracer.prepare.request import Request
from tracer.report import jsonl
from tracer.starter import Starter, starter
from tracer.starter.summary import records, summary


@uncollected()
def write(args: argparse.Namespace) -> int:
    """Write the file, say what it does, and return the exit status: 1 where something is left to do."""
    if args.model is None:
        raise UsageError("new: expected a MODEL behind it")
    for option, file in (("--json", args.json), ("--output", args.output)):
        if file and file != "-":
            check_output(option, Path(file), [args.model])
    request = Request(args.model, plan_only=True, revision=args.revision)
    found = _started(request)
    if args.output:
        write_lines(Path(args.output), iter(found.text.splitlines()))
    if args.json:
        jsonl.write(records(found), args.json)
    _print(found, args)
    return 0 if found.loads and not found.draft.todo else 1


def _started(request: Request) -> Starter:
    """Raises InputError for a checkpoint for which no rows can be written."""
    checkpoint = open_model(request)
    assert checkpoint is not None, "MODEL is required"
    if not checkpoint.names:
        raise InputError(f"{request.model}: no names of tensors are here, for which rows could be written")
    try:
        return starter(checkpoint, config_of(request, checkpoint).config)
    except MappingFileError as error:
        raise InputError(f"{request.model}: no rows can be written for it: {error}") from error
    except (Refused, ConfigError) as error:
        told = f"; {error.finding.fix}" if error.finding.fix else ""
        raise InputError(f"{error}{told}", code=error.finding.code, subject=error.finding.subject) from error


def _print(found: Starter, args: argparse.Namespace) -> None:
    """With --output the summary; without it the file, its summary as comments."""
    printer = Printer(args)
    if args.output:
        printer.lines([*summary(found), f"written to {args.output}: trace-load {args.model} --mapping {args.output}"])
    else:
        printer.lines([*found.text.splitlines(), *(f"# {line}" for line in summary(found))])
