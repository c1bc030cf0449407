"""value.all-zero and value.constant: tensors that say nothing, where something should be said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from mappings.findings import Finding
from mappings.names import blank
from tracer.report.words import plural
from tracer.values.roles import grouped, is_norm, is_scale, is_weight, spelled, words, writes_back
from tracer.values.statistics import Statistics

_FIX = "download the file again, or save the model anew: nothing was written into these"

_FACTORS = frozenset({"lora_B", "lora_embedding_B"})


def everything_zero(scanned: Sequence[Statistics]) -> Finding | None:
    """A checkpoint with headers and no values: one statement, instead of one a tensor."""
    if not all(each.all_zero for each in scanned if each.nbytes) or not any(map(is_weight, scanned)):
        return None
    nbytes = sum(each.nbytes for each in scanned)
    message = f"all {plural(len(scanned), 'tensor')}, {nbytes:,} bytes, are zero: headers without a model"
    return Finding("value.all-zero", "error", scanned[0].file, message, {"tensors": len(scanned)}, _FIX)


def zeros(scanned: Sequence[Statistics], explained: set[str]) -> Iterator[Finding]:
    """Matrices and scales of nothing but zeros, the `explained` ones left out, and norms whose like are not zero."""
    found = [each for each in scanned if each.all_zero and each.name not in explained]
    whole = {each.name for held in _dead_layers(found, scanned).values() for each in held}
    silent = {} if whole else _silent_blocks(found, scanned)
    for text, held in silent.items():
        yield _silent(text, held)
    named = {each.name for held in silent.values() for each in held}
    matrices = [each for each in found if each.name not in named and (is_weight(each) or is_scale(each))]
    dead = _dead_layers(found, scanned)
    for text, held in dead.items():
        yield _dead(text, held)
    told = {each.name for held in dead.values() for each in held}
    for text, held in grouped(each for each in matrices if each.name not in told):
        message = f"{text}: {_are_zero(held)}"
        evidence = {"tensors": len(held), "names": [each.name for each in held[:20]], "file": held[0].file}
        yield Finding("value.all-zero", "error", held[0].name, message, evidence, _FIX)
    yield from _norms(found, scanned)
    yield from _factors(found, scanned)


def _dead_layers(found: Sequence[Statistics], scanned: Sequence[Statistics]) -> dict[str, list[Statistics]]:
    """Layers of which every matrix is zero, while others are not: `model.layers.2` -> its tensors."""
    layers: dict[str, list[Statistics]] = defaultdict(list)
    for each in scanned:
        number = next((at for at, part in enumerate(each.name.split(".")) if part.isdigit()), -1)
        if number > 0 and is_weight(each):
            layers[".".join(each.name.split(".")[: number + 1])].append(each)
    zero = {each.name for each in found}
    dead = {layer: held for layer, held in layers.items() if len(held) > 2 and all(each.name in zero for each in held)}
    return dead if len(dead) < len(layers) else {}


def _dead(layer: str, held: Sequence[Statistics]) -> Finding:
    names = [each.name for each in held]
    message = f"{layer} is all zero: none of its {len(held)} matrices was written"
    return Finding("value.all-zero", "error", layer, message, {"tensors": len(held), "names": names[:20]}, _FIX)


def _factors(found: Sequence[Statistics], scanned: Sequence[Statistics]) -> Iterator[Finding]:
    """The second factors of a LoRA are zeros until they are trained, so that it begins by changing nothing."""
    held = [each for each in found if not _FACTORS.isdisjoint(each.name.split("."))]
    alone = all("lora" in words(each.name) for each in scanned)  # beside a model's own weights they are buffers
    if held and alone:
        message = f"{spelled(held)}: all zero: {plural(len(held), 'pair')} of the adapter change nothing, as untrained"
        yield Finding("value.all-zero", "info", held[0].name, message, {"names": [each.name for each in held]})


def _are_zero(held: Sequence[Statistics]) -> str:
    elements = sum(each.nbytes for each in held)
    every = "all of its" if len(held) == 1 else f"in {len(held)} tensors, all"
    return f"{every} {elements:,} bytes are zero; what is multiplied with it is lost"


def _silent_blocks(found: Sequence[Statistics], scanned: Sequence[Statistics]) -> dict[str, list[Statistics]]:
    """Blocks that both of the matrices which write their output are zero in: they pass on what they are given.

    So are blocks inserted that are to be trained later (block expansion: LLaMA Pro, arXiv 2401.02415).
    """
    writers: dict[str, list[str]] = defaultdict(list)
    for each in scanned:
        block = writes_back(each.name)
        if block:
            writers[block].append(each.name)
    zero = {each.name: each for each in found}
    silent = [names for names in writers.values() if len(names) == 2 and all(name in zero for name in names)]
    if not silent or len(silent) == len(writers):
        return {}
    held = [zero[name] for names in silent for name in names]
    return {spelled(held): held}


def _silent(text: str, held: list[Statistics]) -> Finding:
    blocks = len(held) // 2
    message = f"{text}: all zero, so that {plural(blocks, 'block')} change nothing; block expansion does so on purpose"
    return Finding("value.all-zero", "warning", held[0].name, message, {"blocks": blocks, "tensors": len(held)})


def _norms(found: Sequence[Statistics], scanned: Sequence[Statistics]) -> Iterator[Finding]:
    """A norm of zeros among norms of the same name in other layers that are nowhere near it."""
    likes: dict[str, list[Statistics]] = defaultdict(list)
    for each in scanned:
        if is_norm(each):
            likes[blank(each.name)[0]].append(each)
    for text, held in grouped(each for each in found if is_norm(each)):
        others = [each for each in likes[blank(held[0].name)[0]] if not each.all_zero]
        if len(others) > len(held) and all(abs(each.mean or 0) > 0.1 for each in others):
            message = f"{text}: all zero, while the mean of the {len(others)} others is {_mean(others):.2g}"
            yield Finding("value.all-zero", "warning", held[0].name, message, {"tensors": len(held)}, _FIX)


def _mean(found: Sequence[Statistics]) -> float:
    return sum(each.mean or 0 for each in found) / len(found)


def constants(scanned: Sequence[Statistics]) -> Iterator[Finding]:
    """Matrices of one number over and over, but zero."""
    for text, held in grouped(each for each in scanned if each.constant and not each.all_zero and is_weight(each)):
        each = held[0]
        what = f"every element is {each.part.minimum}"
        message = f"{text}: {what}" if len(held) == 1 else f"{text}: {plural(len(held), 'tensor')} of one number each"
        evidence = {"tensors": len(held), "value": each.part.minimum, "names": [one.name for one in held[:20]]}
        fix = "save the model anew: these were initialised and never filled"
        yield Finding("value.constant", "warning", each.name, message, evidence, fix)
