"""`tracer infer`: architecture and config fields from names, shapes and sizes."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from mappings.sizes import ConfigError
from tracer.checkpoint.dtypes import BITS
from tracer.checkpoint.folder import Checkpoint
from tracer.checks import Check, failed, findings, records
from tracer.collection import uncollected
from tracer.commands.output import Printer, output_options, printable, refuse_empty
from tracer.errors import InputError
from tracer.infer import Inferred, infer, writing
from tracer.infer.fields import ORDER
from tracer.outputs import check_output
from tracer.prepare.model import open_model
from tracer.prepare.request import Request
from tracer.report import jsonl, verdict

DESCRIPTION = """Say what architecture the tensors describe, and each field of config.json with what tells it.

config.json is not believed: fields come from names, shapes and, where only pointers or an index are here, from sizes;
what they do not tell is said to be unknown. Where there is a config.json, every disagreement is a finding, and it
decides only between values that fit the tensors equally well."""
EPILOG = "Exit status: 0 nothing wrong, 1 at least one error, 2 bad usage or unreadable input."

_NARROWEST = 20
"""Columns; into fewer nothing is fitted."""
_INDENT = " " * 6


def options(parser: argparse.ArgumentParser) -> None:
    """The options of `tracer infer`."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a folder, a file, or org/name on the Hub")
    add("--revision", metavar="REV", help="branch, tag or commit of a repository on the Hub")
    add("--shapes", action="store_true", help="also what shapes alone say, names removed")
    add("--parallel", action="store_true", help="also the legal --tp, --pp and expert-parallel sizes, and memory")
    add("--write-config", metavar="DIR", help="write what is known as DIR/config.json; never over one that is there")
    output_options(parser)


@uncollected()
def run(args: argparse.Namespace) -> int:
    """Infer, print, and return the exit status."""
    refuse_empty(args, "model")
    if args.json and args.json != "-":
        check_output("--json", Path(args.json), [args.model])
    if args.write_config:
        writing.check(Path(args.write_config))
    printer = Printer(args)
    checkpoint = open_model(Request(args.model, plan_only=True, revision=args.revision))
    assert checkpoint is not None, "MODEL is required"
    _refuse_adapter(checkpoint, args.model)
    found = infer(checkpoint)
    checks = _checks(checkpoint, found)
    more = [*_shapes(checkpoint, args), *_parallel(checkpoint, found, args)]
    if args.json:
        jsonl.write(_records(found, checks, more), args.json)
    printer.lines(_fitted([_verdict(found)]))
    printer.lines(verdict.findings(findings(checks)))
    printer.lines(_fitted(_lines(found, checks)))
    printer.lines(_fitted(line for _, lines in more for line in lines))
    if args.write_config:
        printer.lines([writing.write(found, Path(args.write_config))])
    return 1 if failed(checks) else 0


def _refuse_adapter(checkpoint: Checkpoint, model: str) -> None:
    """Raise InputError for LoRA matrices under a model's name: of the model that they change they say too little."""
    if checkpoint.names and all(".lora_" in name for name in checkpoint.names):
        raise InputError(
            f"{model}: expected a model, found {len(checkpoint.names)} LoRA matrices and nothing else: an adapter; "
            "load the model that it belongs to, or merge the two",
            code="adapter.not-a-model",
        )  # fmt: skip


def _checks(checkpoint: Checkpoint, found: Inferred) -> list[Check]:
    """What the config says against the tensors, and what keeps tensors from saying anything."""
    unreadable = tuple(finding for finding in checkpoint.findings if finding.severity == "error")
    reasons = "; ".join(item.reason for item in found.unchecked)
    if checkpoint.config is None:
        reasons = "there is no config.json"
    checks = [Check("config", found.told, tuple(found.findings), reasons)]
    return checks + ([Check("files", "", unreadable)] if unreadable else [])


def _lines(found: Inferred, checks: list[Check]) -> Iterator[str]:
    """Fields from the surest to the unknown, what was not checked."""
    width = max((len(field.name) for field in found.fields), default=0)
    for confidence in ORDER:
        for field in found.fields:
            if field.confidence == confidence:
                value = "-" if field.value is None else json.dumps(field.value)
                yield f"{field.name:<{width}}  {value}  {confidence}: {field.evidence}"
    strange = [group.template for group in found.names.strange] if found.names else []
    if strange:
        yield f"of {len(strange)} kinds of tensors nothing is known: {', '.join(strange[:4])}"
    for check in checks:
        if check.unchecked:
            yield f"not checked: {check.name} ({check.unchecked})"


def _fitted(lines: Iterable[str]) -> Iterator[str]:
    """Lines no longer than the terminal is wide; as they are where stdout is none."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for line in lines:
        whole = printable(line)
        if columns <= _NARROWEST or len(whole) <= columns:
            yield whole
        else:
            yield from textwrap.wrap(whole, columns, subsequent_indent=_INDENT, break_on_hyphens=False)


def _verdict(found: Inferred) -> str:
    counts = [(sum(f.confidence == each for f in found.fields), each) for each in ORDER]
    told = ", ".join(f"{count} {each}" for count, each in counts if count)
    named = next((f for f in found.fields if f.name == "architectures" and f.value), None)
    name = named.value[0] if named else "no architecture"
    if named and named.confidence == "guess":
        told = f"the class is a guess; {told}"
    return f"{name}: {told or 'nothing is known'} ({found.told})" if found.told else f"{name}: nothing is known"


def _records(found: Inferred, checks: list[Check], more: list[tuple[dict[str, object], list[str]]]) -> Iterator[str]:
    """Findings and checks, the fields, then what else was asked for."""
    yield from records(checks)
    yield from (field.to_json() for field in found.fields)
    yield from (json.dumps(record) for record, _ in more)


def _shapes(checkpoint: Checkpoint, args: argparse.Namespace) -> Iterator[tuple[dict[str, object], list[str]]]:
    if not args.shapes:
        return
    from tracer.infer.shapes import nearest

    guess = nearest((tensor.shape, tensor.dtype) for tensor in checkpoint.tensors)
    best = guess.best
    record: dict[str, object] = {"kind": "shapes", "tensors": guess.tensors, "family": best.family if best else None}
    if best:
        record |= {"architectures": list(best.architectures), "score": best.score, "widths": dict(best.widths)}
        record |= {"published": [match.name for match in best.published]}
    yield record, list(guess.lines())


def _parallel(
    checkpoint: Checkpoint, found: Inferred, args: argparse.Namespace
) -> Iterator[tuple[dict[str, object], list[str]]]:  # fmt: skip
    if not args.parallel:
        return
    from mappings.registry import choose
    from tracer.doctor.quantisation import declared
    from tracer.infer.parallel import estimated, groups_of, sizes

    config = found.config()
    scheme, _ = declared(checkpoint.config or config, checkpoint.files)
    groups = list(groups_of(checkpoint.tensors, scheme or {}))
    try:
        dtype = next((d for d in ("BF16", "F16", "F32") if any(t.dtype == d for t in checkpoint.tensors)), "BF16")
        packed = sum(tensor.nbytes for tensor in checkpoint.tensors) if config.get("quantization_config") else None
        result = sizes(choose(config, checkpoint.names or None, 1, dtype).binding, packed, groups)
    except ConfigError:
        tensors = [(tensor.shape, tensor.nbytes) for tensor in checkpoint.tensors if tensor.dtype in BITS]
        result = estimated(config, tensors, groups=groups)
    result = replace(result, guesses=_guesses(found))
    record: dict[str, object] = {"kind": "parallel", "tp": list(result.tp), "layers": result.layers}
    record |= {"guesses": list(result.guesses)}
    record |= {"obstacles": [asdict(obstacle) for obstacle in result.obstacles]}
    yield record, list(result.lines())


def _guesses(found: Inferred) -> tuple[str, ...]:
    """The numbers among the fields that are guesses."""
    return tuple(
        f"{field.name} = {field.value}" for field in found.fields
        if field.confidence == "guess" and type(field.value) is int
    )  # fmt: skip
