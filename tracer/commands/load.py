"""`trace-load`: the main job."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from fixtures.geometries import DEFAULT, names
from mappings.findings import in_order
from tracer import session
from tracer.collection import uncollected
from tracer.commands.output import Printer, output_options, refuse_empty
from tracer.errors import UsageError
from tracer.events import to_json
from tracer.outputs import check_distinct, check_output, check_store
from tracer.report import jsonl, verdict
from tracer.report.detail import Detail
from tracer.report.table import SHOWN_RANKS, PathTable

if TYPE_CHECKING:
    from tracer.execute import Crew, Part

DESCRIPTION = """Trace a load: where every tensor goes on each tensor-parallel rank, proved and observed.

The checkpoint's headers and config.json make a plan, six proofs examine it, the loader executes it on every rank,
and what its copies really did is compared with the plan, element by element."""
EPILOG = """MODEL is a folder with config.json and files of weights, one such file, or a repository on the Hugging Face
Hub, of which nothing but config.json, index and headers is fetched: to read its tensors, download it first. Without
MODEL the embedded Llama-3-8B geometry is traced. Exit status: 0 nothing wrong, 1 at least one error, 2 bad usage or
input.

On several machines: torchrun --nproc-per-node N --nnodes M ... -m tracer load MODEL --tp N*M. Each process traces its
own rank, rank 0 prints and writes for all and does alone what needs no processes (--plan, dummy); all exit with its
status. Ctrl-C and SIGTERM end everything with status 130 and 143, write no --json and no --html, and leave in --save,
where the load had begun, what was observed until then, marked as cut short."""


def options(parser: argparse.ArgumentParser) -> None:
    """The options of `trace-load`."""
    add = parser.add_argument
    add("model", nargs="?", metavar="MODEL",
        help="a checkpoint folder, one file of weights, or a repository on the Hub (org/name)")  # fmt: skip
    add("--revision", metavar="R", help="branch, tag or commit of a repository on the Hub (default: its main branch)")
    add("--tp", type=int, default=1, metavar="N", help="tensor-parallel size (default 1)")
    add("--load-format", choices=["auto", "safetensors", "pt", "gguf", "dummy"], default="auto",
        help="safetensors, pt, gguf: files of this format only, where a folder has several (auto takes the first of"
        " these that is here); dummy: run the loader on the meta device, no tensor bytes are read")  # fmt: skip
    add("--plan", action="store_true", help="stop after headers, plan and proofs; nothing is executed, no torch")
    add("--rank", type=int, metavar="R", help="trace one rank only")
    add("--tensor", metavar="GLOB", help="show the full paths of these checkpoint tensors only")
    add("--param", metavar="GLOB", help="show the full paths into these parameters only")
    add("--all", action="store_true", help="one line a tensor: do not collapse layers and experts")
    add("--save", metavar="FILE", type=Path, help="save the trace store (SQLite)")
    add("--html", metavar="FILE", help="write the report as one page that needs no network, for a browser")
    add("--mapping", metavar="FILE", help="extra mapping rows (TOML; see `tracer mappings --help`)")
    add("--fixture", choices=names(), metavar="NAME", help="without MODEL: the embedded geometry to trace; one of "
        + ", ".join(names()))  # fmt: skip
    add("--hf-config-path", metavar="DIR", help="take config.json from here")
    add("--hf-overrides", metavar="JSON", help="an object laid over config.json")
    add("--dtype", metavar="TYPE", help="data type of the parameters (default: as config.json says)")
    add("--device", metavar="DEVICE", help="cpu or cuda (default: cuda where there are enough GPUs)")
    add("--verify", action="store_true", help="after the load, compute with it: a fixed prompt of 32 ids goes through"
        " the model on every rank, logits must be finite and equal")  # fmt: skip
    add("--reference", metavar="transformers[=DIR]", help="--verify, and the same ids through the model that"
        " transformers has of these files, or of those in DIR: logits are compared, and the first layer that departs is"
        " named")  # fmt: skip
    output_options(parser)


def request(args: argparse.Namespace) -> session.Request:
    """What the options ask for, as plain values."""
    return session.Request(
        args.model, args.tp, args.load_format, args.rank, args.plan, args.fixture or DEFAULT, args.mapping,
        args.hf_config_path, args.hf_overrides, args.dtype, args.device, args.revision,
        args.verify, args.reference,
    )  # fmt: skip


def part(args: argparse.Namespace) -> Part:
    """What another rank than 0 does of it under torchrun."""
    from tracer import execute

    return execute.load_part(request(args))


@uncollected()
def run(args: argparse.Namespace, crew: Crew | None = None) -> int:
    """Load, print, and return the exit status; `crew` are the other processes that torchrun started."""
    printer = Printer(args)
    _check_options(args)
    try:
        result = session.run(request(args), args.save, told=_told(args), crew=crew)
    except session.Refused as refused:
        return _refused(args, printer, refused)
    with closing(result.store):
        text = [] if printer.silent else list(report(result, args))
        if args.json:
            jsonl.write(jsonl.records(result.store), args.json)
        if args.html:
            from tracer.report.html import render

            render.write(result, args.html)
        printer.lines(text)
        if result.failure:
            print(f"trace-load: {result.failure}", file=sys.stderr)
        return 1 if result.failed else 0


def _check_options(args: argparse.Namespace) -> None:
    """Options that contradict each other, and outputs that would destroy something. Raises UsageError."""
    refuse_empty(args, "model")
    if args.model and args.fixture:
        raise UsageError(f"--fixture {args.fixture} is for a run without MODEL, {args.model} was given")
    inputs = (args.model, args.hf_config_path, args.mapping)
    if args.html == "-":
        raise UsageError("--html -: expected the name of a file")
    outputs = [("--save", args.save), ("--json", args.json if args.json != "-" else None), ("--html", args.html)]
    wanted = [(option, Path(target)) for option, target in outputs if target]
    for option, target in wanted:
        check_output(option, target, inputs)
    if args.save:
        check_store(args.save)
    for (earlier, one), (later, other) in combinations(wanted, 2):
        check_distinct(later, other, earlier, one)


def _told(args: argparse.Namespace) -> session.Told:
    """What of a plan will be looked at: all of it in a file, full paths of some, else what the table shows."""
    if args.save or args.json or (args.html and (args.tensor or args.param)):
        return session.Told(tensor=args.tensor, param=args.param, everything=True)
    if args.tensor or args.param:
        return session.Told(tensor=args.tensor, param=args.param)
    return session.Told(ranks=SHOWN_RANKS)


def _refused(args: argparse.Namespace, printer: Printer, refused: session.Refused) -> int:
    found = in_order([refused.finding, *refused.others])
    if args.json:
        jsonl.write(map(to_json, found), args.json)
    if args.html:
        from tracer.report.html import render

        render.write_refused(request(args), refused, args.html)
    printer.lines(verdict.findings(found))
    return 1


def paths(result: session.Result, args: argparse.Namespace) -> Iterator[str]:
    """Only what --tensor and --param ask for, and errors."""
    found = [f for f in result.findings if f.severity == "error"]
    if result.store.count("param"):
        detail = Detail(result)
        if args.tensor:
            yield from detail.of_tensors(args.tensor)
        if args.param:
            yield from detail.of_params(args.param)
    yield from verdict.verified(result)
    yield from verdict.findings(found)


def report(result: session.Result, args: argparse.Namespace) -> Iterator[str]:
    """Everything that is printed, line by line."""
    if args.tensor or args.param:
        yield from paths(result, args)
        return
    yield from verdict.heading(result)
    yield ""
    if result.store.count("param"):
        yield from PathTable(result, whole=args.all).lines()
        yield ""
    yield verdict.proofs(result)
    yield verdict.audit_line(result)
    yield from verdict.verified(result)
    if result.prepared.weighed:
        yield f"weighed: {result.prepared.weighed}"
    yield from verdict.unchecked(result.prepared.unchecked)
    yield from verdict.findings(result.findings)
