"""`tracer generate`: run the engine on what was loaded."""

from __future__ import annotations

import argparse
import shlex
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from tracer import generation
from tracer.collection import uncollected
from tracer.commands.output import Printer, output_options, printable, refuse_empty
from tracer.commands.prompts import prompts_of
from tracer.commands.records import Records
from tracer.commands.streaming import Stream
from tracer.errors import UsageError
from tracer.events import to_json
from tracer.execute import EngineFailed, Wishes, shown
from tracer.outputs import check_output
from tracer.prepare import Request
from tracer.report import jsonl, verdict

if TYPE_CHECKING:
    from tracer.execute import Crew, Part

LOADING = "tp", "load_format", "dtype", "device", "mapping", "hf_config_path", "hf_overrides"
"""Options that say what is loaded and where, and that trace-load has too."""
USUAL = None, "auto", 1
"""What they are where nothing is asked for."""
SAMPLING = (
    "temperature", "top_k", "top_p", "min_p", "seed", "stop", "max_tokens", "ignore_eos", "logprobs",
)  # fmt: skip
"""Options that are fields of the engine's `Sampling`."""
SERVING = "cache_gib", "pass_tokens", "max_sequences", "no_cuda_graphs"
GATHERS = "prompts"
"""The argument that may stand among options."""

DESCRIPTION = """Generate from a checkpoint with the engine that trace-load instruments.

All prompts are served together: continuous batching, a paged cache, long prompts in chunks. Text needs tokenizer.json
in the folder; without it prompts are ids, and so is what comes out."""
EPILOG = """With several prompts each completion is printed when it and all before it are complete. --json writes one
record of kind "completion" a prompt as soon as that has ended, so in the order in which they end: "index" says which
prompt it is of. What is written stays, whatever ends the command. Exit status: 0 done, 1 the checkpoint or a rank has
an error, 2 bad usage or input. A prompt whose logits are not finite ends alone, with finish_reason "error" and what is
wrong in "error": that is 1 too.

On several machines: torchrun --nproc-per-node N --nnodes M ... -m tracer generate MODEL --tp N*M, as for trace-load.
Each process computes with its own rank and needs the same prompts and options; rank 0 prints and writes for all."""


def options(parser: argparse.ArgumentParser) -> None:
    """The options of `tracer generate`."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a checkpoint folder, or one file of weights")
    add("prompts", nargs="*", metavar="PROMPT", help="text to continue")
    add("--prompt-ids", action="append", metavar="IDS", help="a prompt of token ids: 1,2,3; may be repeated")
    add("--prompts", dest="prompts_file", type=Path, metavar="FILE",
        help="a prompt a line (`-`: of stdin): text, a JSON string, or a JSON list of ids; no empty ones")  # fmt: skip
    add("--tp", type=whole, default=1, metavar="N", help="tensor-parallel size (default 1)")
    _sampling_options(parser)
    _engine_options(parser)
    output_options(parser)


def whole(text: str) -> int:
    """A whole number of a command line. Raises ArgumentTypeError, which argparse puts the option before."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, found {text!r}") from None


def number(text: str) -> float:
    """The same of any number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, found {text!r}") from None


def _sampling_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--max-tokens", type=whole, default=16, metavar="N", help="most tokens to generate (default 16)")
    add("--temperature", type=number, default=0.0, metavar="T", help="0, the default, takes the most likely token")
    add("--top-k", type=whole, default=0, metavar="K", help="draw from the K most likely (default 0: all)")
    add("--top-p", type=number, default=1.0, metavar="P",
        help="draw from the fewest that together have probability P (default 1)")  # fmt: skip
    add("--min-p", type=number, default=0.0, metavar="P",
        help="draw from those that have P times the probability of the most likely (default 0)")  # fmt: skip
    add("--seed", type=whole, metavar="S",
        help="the same seed draws the same tokens; in half precision also a matter of ranks and company"
             " (default: another each time)")  # fmt: skip
    add("--stop", action="append", metavar="TEXT", help="end before this text; may be repeated")
    add("--ignore-eos", action="store_true", help="go on after an end-of-sequence token")
    add("--logprobs", type=whole, metavar="N",
        help="give each token's log-probability, and the N most likely beside it: a line a token below the text, and"
             " in --json")  # fmt: skip


def _engine_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--load-format", choices=["auto", "safetensors", "pt", "gguf"], default="auto",
        help="files of this format only, where a folder has several")  # fmt: skip
    add("--dtype", metavar="TYPE", help="data type of the parameters (default: as config.json says)")
    add("--device", choices=["cpu", "cuda"], help="default: cuda where there are enough GPUs")
    add("--cache-gib", type=number, metavar="G", help="memory of each rank's cache (default: half of what is free)")
    add("--pass-tokens", type=whole, default=2048, metavar="N", help="most tokens in a pass (default 2048)")
    add("--max-sequences", type=whole, default=64, metavar="N", help="most sequences in a pass (default 64)")
    add("--no-cuda-graphs", action="store_true", help="run every pass of decoding kernel by kernel on a GPU")
    add("--mapping", metavar="FILE", help="extra mapping rows (TOML; see `tracer mappings --help`)")
    add("--hf-config-path", metavar="DIR", help="take config.json from here")
    add("--hf-overrides", metavar="JSON", help="an object laid over config.json")


@uncollected()
def run(args: argparse.Namespace, crew: Crew | None = None) -> int:
    """Generate, print, and return the exit status; `crew` are the other processes that torchrun started."""
    refuse_empty(args, "model")
    printer = Printer(args)
    prompts = prompts_of(args)
    if args.json and args.json != "-":
        check_output("--json", Path(args.json), [args.model, args.mapping, args.hf_config_path])
    try:
        with Records(args.json) as records, Stream(prompts, not printer.silent, args.quiet, records.write) as stream:
            completions = generation.generate(_request(args), prompts, _wishes(args), stream, crew)
    except generation.Unsound as unsound:
        if args.json:
            jsonl.write(map(to_json, unsound.findings), args.json)
        printer.lines(verdict.findings(unsound.findings))
        return 1
    except EngineFailed as failed:
        if args.debug:
            raise
        print(printable(f"tracer: {failed}"), file=sys.stderr)
        return 1
    return 1 if stream.tell_errors(completions, _verification(args)) else 0


def _verification(args: argparse.Namespace) -> str:
    """The command that verifies the load which these options asked for."""
    values = {name: getattr(args, name) for name in LOADING}
    given = [(_spelled(name), str(value)) for name, value in values.items() if value not in USUAL]
    return shlex.join(["trace-load", args.model, *chain.from_iterable(given), "--verify"])


def part(args: argparse.Namespace) -> Part:
    """What another rank than 0 does of it under torchrun. Raises UsageError, InputError."""
    return generation.part(_request(args), prompts_of(args), _wishes(args))


def _request(args: argparse.Namespace) -> Request:
    return Request(
        args.model, args.tp, args.load_format, mapping=args.mapping, config_path=args.hf_config_path,
        overrides=args.hf_overrides, dtype=args.dtype, device=args.device, generates=True,
    )  # fmt: skip


def _wishes(args: argparse.Namespace) -> Wishes:
    if args.cache_gib is not None and not 0 < args.cache_gib < 1 << 20:
        raise UsageError(f"--cache-gib {args.cache_gib:g}: expected more than 0")
    for option in ("pass_tokens", "max_sequences"):
        if getattr(args, option) < 1:
            raise UsageError(f"{_spelled(option)} {getattr(args, option)}: expected at least 1")
    if "" in (args.stop or ()):
        raise UsageError("--stop is empty, expected a text")
    return Wishes(
        {name: getattr(args, name) for name in SAMPLING} | {"stop": tuple(args.stop or ())},
        {
            "cache_bytes": None if args.cache_gib is None else int(args.cache_gib * (1 << 30)),
            "pass_tokens": args.pass_tokens, "sequences": args.max_sequences,
            "cuda_graphs": not args.no_cuda_graphs,
        },
        {_spelled(name): shown(getattr(args, name)) for name in (*SAMPLING, *SERVING)},
    )  # fmt: skip


def _spelled(name: str) -> str:
    return f"--{name.replace('_', '-')}"
