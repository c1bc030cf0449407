"""A LoRA adapter, examined as what it is: which base, which ranks, which modules, and whether its pairs are complete.

Source: the names and the config that PEFT writes, `base_model.model.PATH.lora_A.weight` (r, in) and `lora_B` (out, r).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mappings.findings import Finding, Unchecked
from tracer.checkpoint import adapters
from tracer.checkpoint.consistency import some
from tracer.checkpoint.files import Files
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.formats import of_file
from tracer.checkpoint.headers import read_header
from tracer.checkpoint.json_object import read_object
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.doctor.damage import told
from tracer.errors import InputError

FILES = ("adapter_model.safetensors", "adapter_model.bin")
_PREFIX = "base_model.model."
_SIDES = {"lora_A": "A", "lora_B": "B", "lora_embedding_A": "A", "lora_embedding_B": "B"}
_OTHERS = {"lora_magnitude_vector", "lora_bias"}
_ALL = "all-linear"
_LONGEST_EXPRESSION = 4096
"""Characters; to compile a long one may take minutes."""


class Pair(NamedTuple):
    """The two factors of one module, as far as they are there."""

    a: TensorInfo | None
    b: TensorInfo | None
    embedding: bool

    @property
    def rank(self) -> int | None:
        """Of the first factor, or of the second where there is no first."""
        if self.a is not None:
            return self.a.shape[0] if self.a.shape else None
        return self.b.shape[1] if self.b is not None and len(self.b.shape) > 1 else None


class Adapter(NamedTuple):
    """What was found of an adapter."""

    told: str
    findings: list[Finding]
    unchecked: list[Unchecked]


def examine_adapter(files: Files) -> Adapter | None:
    """None where there is none, or its config cannot be read."""
    if files.one_file or not files.has(adapters.CONFIG):
        return None
    try:
        config = read_object(files, adapters.CONFIG, "config.invalid")
    except InputError:
        return None
    file = next((name for name in FILES if files.has(name)), None)
    base, kind = config.get("base_model_name_or_path"), str(config.get("peft_type", "PEFT"))[:40]
    note = Finding(
        "adapter.not-a-model", "info", adapters.CONFIG,
        f"a {kind} adapter to {base!a}, no model by itself: load that model with it, or merge the two",
        {"base": base, "peft_type": kind},
    )  # fmt: skip
    if file is None:
        missing = Unchecked("adapter", f"none of {', '.join(FILES)} is here")
        return Adapter(_described(config), [note], [missing])
    try:
        if (size := files.pointer_size(file)) is not None:
            return Adapter(_described(config), [note], [Unchecked(file, f"a Git-LFS pointer to {size} bytes")])
        format = of_file(file)
        assert format is not None
        tensors = read_header(files, format, file).tensors
    except InputError as error:
        return Adapter(_described(config), [told(error, file, "file.truncated"), note], [])
    return Adapter(_described(config, tensors), [*examine_tensors(config, tensors, file), note], _not_run(config))


def adapter_of(files: Files) -> Checkpoint | None:
    """Its tensors as those of a checkpoint, to read their values; None where no header of it can be read."""
    file = None if files.one_file else next((name for name in FILES if files.has(name)), None)
    format = of_file(file) if file else None
    if file is None or format is None:
        return None
    try:
        if files.pointer_size(file) is not None:
            return None
        header = read_header(files, format, file)
    except InputError:
        return None
    stamps = {file: header.stamp} if header.stamp else {}
    names = [tensor.name for tensor in header.tensors]
    return Checkpoint(files, None, format, tensors=list(header.tensors), names=names, stamps=stamps)


def _not_run(config: Mapping[str, Any]) -> list[Unchecked]:
    targets = config.get("target_modules")
    if not isinstance(targets, str) or targets == _ALL:
        return []
    return [Unchecked("target_modules", "an expression, which is not run: no module was compared with it")]


def _described(config: Mapping[str, Any], tensors: Sequence[TensorInfo] = ()) -> str:
    targets = config.get("target_modules")
    aimed = some([str(target) for target in targets]) if isinstance(targets, list) else str(targets)[:60]
    pairs = f", {len(pairs_of(tensors))} pairs in {len(tensors)} tensors" if tensors else ""
    return f"rank {config.get('r')} on {aimed}{pairs}"


def pairs_of(tensors: Sequence[TensorInfo]) -> dict[str, Pair]:
    """Module -> its factors; modules without `base_model.model.`."""
    found: dict[str, Pair] = {}
    for tensor in tensors:
        module, side, embedding = _parsed(tensor.name)
        if side:
            pair = found.get(module, Pair(None, None, embedding))
            found[module] = pair._replace(a=tensor) if side == "A" else pair._replace(b=tensor)
    return found


def _parsed(name: str) -> tuple[str, str, bool]:
    """The module, `A` or `B`, and whether it is an embedding's; the side is empty for other tensors."""
    segments = name.removeprefix(_PREFIX).split(".")
    for at, segment in enumerate(segments):
        if segment in _SIDES:
            return ".".join(segments[:at]), _SIDES[segment], "embedding" in segment
    return name, "", False


def examine_tensors(config: Mapping[str, Any], tensors: Sequence[TensorInfo], file: str) -> Iterator[Finding]:
    """Defects of the tensors, and of the config against them."""
    pairs = pairs_of(tensors)
    is_lora = str(config.get("peft_type", "LORA")).upper() == "LORA"
    if not pairs and is_lora:
        yield Finding(
            "adapter.no-overlap", "error", file,
            f"{file} has {len(tensors)} tensors and none of them is a factor (lora_A, lora_B): nothing is adapted",
            {"tensors": [tensor.name for tensor in tensors[:20]]}, "save the adapter again",
        )  # fmt: skip
        return
    yield from _halves(pairs, file)
    yield from _shapes(pairs)
    if is_lora:  # others adapt modules without pairs, or with ranks that training chose
        pairs = _of_modules(config, pairs)
        yield from _ranks(config, pairs)
        yield from _targets(config, pairs)
    yield from _saved(config, tensors)


def _of_modules(config: Mapping[str, Any], pairs: Mapping[str, Pair]) -> dict[str, Pair]:
    """Without those of bare parameters (`target_parameters`): stacked experts have `r` for each, under other names."""
    parameters = config.get("target_parameters")
    if not isinstance(parameters, list):
        return dict(pairs)
    holders = _Targets([str(parameter).rpartition(".")[0] for parameter in parameters])
    return {module: pair for module, pair in pairs.items() if not holders.of(_bare(module))}


def _bare(module: str) -> str:
    """A module that several parameters are adapted of is wrapped once for each."""
    return ".".join(segment for segment in module.split(".") if segment != "base_layer")


class _Targets:
    """The modules that a list names by the ends of their names."""

    def __init__(self, targets: Sequence[str]) -> None:
        self._targets = set(targets) - {""}
        self._lengths = sorted({target.count(".") + 1 for target in self._targets})

    def of(self, module: str) -> list[str]:
        """Those that mean a module."""
        segments = module.split(".")
        ends = (".".join(segments[-length:]) for length in self._lengths if length <= len(segments))
        return [end for end in ends if end in self._targets]


def _halves(pairs: Mapping[str, Pair], file: str) -> Iterator[Finding]:
    for side, lost in (("lora_A", [m for m, p in pairs.items() if p.a is None]),
                       ("lora_B", [m for m, p in pairs.items() if p.b is None])):  # fmt: skip
        if lost:
            yield Finding(
                "param.unfilled", "error", lost[0],
                f"{len(lost)} of {len(pairs)} modules have no {side} in {file}: {some(lost)}; half a pair adapts"
                " nothing", {"modules": lost}, "save the adapter again",
            )  # fmt: skip


def _shapes(pairs: Mapping[str, Pair]) -> Iterator[Finding]:
    wrong = [module for module, pair in pairs.items() if pair.a and pair.b and not _fit(pair.a, pair.b)]
    if wrong:
        pair = pairs[wrong[0]]
        assert pair.a is not None
        assert pair.b is not None
        yield Finding(
            "shape.mismatch", "error", wrong[0],
            f"{len(wrong)} pairs do not fit: of {wrong[0]}, A is {list(pair.a.shape)} and B {list(pair.b.shape)};"
            " expected (r, in) and (out, r)", {"modules": wrong}, "save the adapter again",
        )  # fmt: skip


def _fit(a: TensorInfo, b: TensorInfo) -> bool:
    return len(a.shape) == len(b.shape) and len(a.shape) > 1 and a.shape[0] == b.shape[1]


def _ranks(config: Mapping[str, Any], pairs: Mapping[str, Pair]) -> Iterator[Finding]:
    """Against `r`, and `rank_pattern` where that has another for a module."""
    said, patterns = config.get("r"), config.get("rank_pattern")
    if type(said) is not int or (isinstance(patterns, dict) and patterns):
        return
    ranks = Counter(pair.rank for pair in pairs.values() if pair.rank is not None)
    others = {rank: count for rank, count in ranks.items() if rank != said}
    if others:
        found = ", ".join(f"{rank} in {count} modules" for rank, count in sorted(others.items()))
        yield Finding(
            "config.conflict", "error", "r", f"{adapters.CONFIG}: r is {said}, but the factors have rank {found}",
            {"r": said, "found": {str(rank): count for rank, count in ranks.items()}},
            f"set r to {max(ranks, key=lambda rank: ranks[rank])}" if len(ranks) == 1 else "set rank_pattern",
        )  # fmt: skip


def _targets(config: Mapping[str, Any], pairs: Mapping[str, Pair]) -> Iterator[Finding]:
    targets = config.get("target_modules")
    if isinstance(targets, str) and targets != _ALL:
        yield from _expression(targets, pairs)
    if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
        return
    known = _Targets(targets)
    means = {module: known.of(module) for module in pairs}
    met = {target for found in means.values() for target in found}
    unmet = [target for target in targets if target not in met]
    stray = [module for module, found in means.items() if not found]
    if unmet:
        yield Finding(
            "config.conflict", "warning", "target_modules",
            f"{adapters.CONFIG}: target_modules names {some(unmet)}, for which there are no factors",
            {"targets": unmet}, "remove them, or save the adapter again",
        )  # fmt: skip
    if stray:
        yield Finding(
            "config.conflict", "error", stray[0],
            f"{len(stray)} modules have factors and are none of target_modules: {some(stray)}; they are not loaded",
            {"modules": stray}, "add them to target_modules",
        )  # fmt: skip


def _expression(expression: str, pairs: Mapping[str, Pair]) -> Iterator[Finding]:
    """A regular expression from a stranger's file is not run; that it is one at all is looked at."""
    if len(expression) > _LONGEST_EXPRESSION:
        return
    try:
        re.compile(expression)
    except (re.error, RecursionError, OverflowError):
        yield Finding(
            "config.invalid", "error", "target_modules",
            f"{adapters.CONFIG}: target_modules is {expression[:80]!a}, which is no regular expression", {},
        )  # fmt: skip


def _saved(config: Mapping[str, Any], tensors: Sequence[TensorInfo]) -> Iterator[Finding]:
    """`modules_to_save` are whole modules; PEFT itself names more than a model has, one of them must be there."""
    wanted = config.get("modules_to_save")
    if not isinstance(wanted, list) or not wanted:
        return
    whole = {segment for tensor in tensors for segment in tensor.name.split(".") if not _parsed(tensor.name)[1]}
    if not whole.intersection(map(str, wanted)):
        yield Finding(
            "param.unfilled", "error", str(wanted[0]),
            f"{adapters.CONFIG}: modules_to_save names {some([str(name) for name in wanted])}, and none of them is"
            " stored", {"modules": wanted}, "save the adapter again",
        )  # fmt: skip
