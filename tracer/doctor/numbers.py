"""config.json's own numbers against names, for architectures without rows: layers, experts, tied heads, towers.

What is said here needs no knowledge of the architecture, so little is an error: only what every loader would miss.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from mappings.findings import Finding
from mappings.schemes import DECLARED_IN
from tracer.checkpoint.consistency import some

_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "depth", "num_blocks")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_TEXT = ("text_config", "language_config", "llm_config", "thinker_config", "decoder", "text_model")
STACKS = {"layers", "layer", "h", "blocks", "block", "blk", "resblocks"}
_HEADS = {"lm_head", "output_layer", "embed_out"}
_WRAPPED = "language_model"
_TOWERS = ("vision", "visual", "image", "audio", "speech")
_NO_PARTS = {"generation_config", *DECLARED_IN}
_EXTRA = ("num_nextn_predict_layers", "mtp_num_hidden_layers")
_UNEVEN = ("block_configs", "layers_block_type", "no_op_layers")
"""Fields of models whose layers need not all hold tensors."""
_MOST_PARTS = 100
"""Of a config are looked at."""
_DEEPEST = 64
"""Segments of a name; each is a prefix of its own, so that one long name could take all memory."""
_SPANS = 20
"""More are not told in a line."""


@dataclass
class Stack:
    """Numbered modules under one prefix: `model.layers.{n}`."""

    prefix: str
    numbers: set[int] = field(default_factory=set)
    tensors: int = 0

    def has(self, count: int) -> bool:
        """Whether its numbers are those below `count`, and no others."""
        return len(self.numbers) == count and max(self.numbers) == count - 1


@dataclass
class Counted:
    """What the names say without knowing what they mean."""

    stacks: dict[str, Stack] = field(default_factory=dict)
    experts: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """`model.layers.3.mlp.experts` -> the numbers below it."""
    heads: list[str] = field(default_factory=list)
    segments: set[str] = field(default_factory=set)


def count(names: Sequence[str]) -> Counted:
    """One pass over all names."""
    found = Counted()
    for name in names:
        segments = name.split(".")
        found.segments.update(segments)
        if segments[-1] in ("weight", "scales", "qweight") and _HEADS.intersection(segments[-2:-1]):
            found.heads.append(name)
        _number(found, segments)
    return found


def _number(found: Counted, segments: list[str]) -> None:
    for at in range(1, min(len(segments), _DEEPEST)):
        if not (segments[at].isdecimal() and len(segments[at]) < 7):
            continue
        above = segments[at - 1]
        if above in STACKS:
            prefix = ".".join(segments[:at])
            stack = found.stacks.setdefault(prefix, Stack(prefix))
            stack.numbers.add(int(segments[at]))
            stack.tensors += 1
        elif above == "experts":
            found.experts[".".join(segments[:at])].add(int(segments[at]))


def examine_numbers(config: Mapping[str, Any], names: Sequence[str], shares: bool) -> tuple[list[Finding], str]:
    """Findings, and what was compared; `shares` says whether two names may be one storage, as in pickles."""
    found = count(names)
    told: list[str] = []
    findings = [
        *_layers(config, found, told), *_sections(config, found), *_experts(config, found, told),
        *_tie(config, found, shares), *_wrapping(config, found), *_extra_layers(config, found),
    ]  # fmt: skip
    return findings, "; ".join(told)


def sections(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The config itself, under an empty name, and the configs of parts inside it."""
    yield "", config
    parts = ((name, value) for name, value in config.items() if isinstance(value, dict))
    yield from islice(parts, _MOST_PARTS)


def text_of(config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The part that describes the decoder."""
    for name in _TEXT:
        inner = config.get(name)
        if isinstance(inner, dict) and _number_of(inner, _LAYERS):
            return f"{name}.", inner
    return "", config


def _number_of(config: Mapping[str, Any], fields: Sequence[str]) -> tuple[str, int] | None:
    for name in fields:
        value = config.get(name)
        if type(value) is int and 0 < value < 100_000:
            return name, value
    return None


def _layers(config: Mapping[str, Any], found: Counted, told: list[str]) -> Iterator[Finding]:
    """The decoder's layers; of an encoder and a decoder that differ, those of each."""
    where, text = text_of(config)
    said = _number_of(text, _LAYERS)
    if said is None or not found.stacks:
        return
    stacks = list(found.stacks.values())
    # A tower may have as many layers as the decoder should have.
    decoders = [stack for stack in stacks if not any(word in stack.prefix for word in _TOWERS)] if where else []
    if _is_fitting(said, where, decoders or stacks, told):
        return
    sides = _sides(where, text, stacks)
    for name, wanted, own in sides:
        if not _is_fitting((name, wanted), where, own, told):
            yield from _differing(where, name, wanted, max(own, key=lambda stack: stack.tensors))
    if not sides and not any(field in text for field in _UNEVEN):
        yield from _without_towers(config, where, said, stacks)


def _is_fitting(said: tuple[str, int], where: str, stacks: Sequence[Stack], told: list[str]) -> bool:
    name, wanted = said
    fitting = next((stack for stack in stacks if stack.has(wanted)), None)
    if fitting is not None:
        told.append(f"{where}{name} {wanted} is {fitting.prefix}.{{0..{wanted - 1}}}")
    return fitting is not None


def _sides(where: str, text: Mapping[str, Any], stacks: Sequence[Stack]) -> list[tuple[str, int, list[Stack]]]:
    """Field, number and stacks of an encoder and a decoder that the config counts apart, as BART's and Whisper's do."""
    found = []
    # The config of a decoder that goes with an encoder of another kind counts an encoder that is not there.
    for side in ("decoder",) if where == "decoder." else ("decoder", "encoder"):
        said = _number_of(text, (f"{side}_layers",))
        own = [stack for stack in stacks if side in stack.prefix.split(".")]
        if said and own:
            found.append((*said, own))
    return found


def _without_towers(
    config: Mapping[str, Any], where: str, said: tuple[str, int], stacks: list[Stack]
) -> Iterator[Finding]:
    """The largest stack that is no tower's, against the number of layers."""
    name, wanted = said
    rest = sorted(stacks, key=lambda stack: stack.tensors)
    for section, inner in sections(config):
        count = _number_of(inner, _LAYERS) if section and f"{section}." != where else None
        tower = next((stack for stack in rest if count and stack.has(count[1])), None)
        if tower is not None:
            rest.remove(tower)
    if rest:
        yield from _differing(where, name, wanted, rest[-1])
        return
    yield Finding(
        "layers.missing", "warning", f"{where}{name}",
        f"config.json: {where}{name} is {wanted}, but no tensor is of such a layer: only towers are stored"
        f" ({some([stack.prefix for stack in stacks])})", {"field": name, "config": wanted},
        "look for the decoder's files, or load it from where the model card says",
    )  # fmt: skip


def _differing(where: str, name: str, wanted: int, stack: Stack) -> Iterator[Finding]:
    expected = set(range(wanted))
    missing = sorted(expected - stack.numbers)
    if missing and len(stack.numbers) < wanted:
        yield Finding(
            "layers.missing", "error", stack.prefix,
            f"config.json: {where}{name} is {wanted}, but {stack.prefix} has {len(stack.numbers)} layers: none of"
            f" {_ranges(missing)}", {"field": name, "config": wanted, "missing": missing},
            f"look for the missing layers, or set {name} to {len(stack.numbers)} if they were pruned",
        )  # fmt: skip
    elif more := sorted(stack.numbers - expected):
        yield Finding(
            "layers.extra", "info", stack.prefix,
            f"layer {_ranges(more)} of {stack.prefix} is in the files, config.json says"
            f" {wanted} layers (0 to {wanted - 1}): {where}{name} is {wanted}, {stack.prefix} has {_ranges(more)}"
            " beside them",
            {"field": name, "config": wanted, "extra": more},
        )  # fmt: skip


def _ranges(numbers: Sequence[int]) -> str:
    """`2..9, 14`; the first of very many."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    more = f" and {len(spans) - _SPANS} more" if len(spans) > _SPANS else ""
    return ", ".join(str(a) if a == b else f"{a}..{b}" for a, b in spans[:_SPANS]) + more


def _sections(config: Mapping[str, Any], found: Counted) -> Iterator[Finding]:
    """Towers: engines often drop a tower's last layer, so a difference is worth knowing and no more."""
    text = text_of(config)[0].rstrip(".")
    counts = {len(stack.numbers) for stack in found.stacks.values()}
    for name, section in sections(config):
        said = _number_of(section, _LAYERS)
        if not name or name == text or said is None or said[1] in counts or not name.endswith("_config"):
            continue
        near = min(found.stacks.values(), key=lambda s: abs(len(s.numbers) - said[1]), default=None)
        if near is not None and abs(len(near.numbers) - said[1]) <= 2:
            yield Finding(
                "config.conflict", "info", f"{name}.{said[0]}",
                f"config.json: {name}.{said[0]} is {said[1]}, {near.prefix} has {len(near.numbers)} layers",
                {"field": f"{name}.{said[0]}", "config": said[1], "found": len(near.numbers)},
            )  # fmt: skip


def _experts(config: Mapping[str, Any], found: Counted, told: list[str]) -> Iterator[Finding]:
    where, text = text_of(config)
    said = _number_of(text, _EXPERTS)
    if said is None or not found.experts:
        return
    name, wanted = said
    expected = set(range(wanted))
    lacking = {module: own for module, own in found.experts.items() if own < expected}
    more = [module for module, own in found.experts.items() if max(own) >= wanted]
    if lacking:
        module, own = next(iter(lacking.items()))
        yield Finding(
            "experts.missing", "error", module,
            f"config.json: {where}{name} is {wanted}, but {len(lacking)} of {len(found.experts)} layers with experts"
            f" lack some: {module} has none of {_ranges(sorted(expected - own))}",
            {"field": name, "config": wanted, "modules": list(lacking)},
            f"look for the missing experts, or set {name} if they were pruned",
        )  # fmt: skip
    if more:
        yield Finding(
            "config.conflict", "error", more[0],
            f"config.json: {where}{name} is {wanted}, but {len(more)} layers have more experts, the first"
            f" {max(found.experts[more[0]]) + 1} ({more[0]})",
            {"field": name, "config": wanted, "modules": more}, f"set {name} to the number that is stored",
        )  # fmt: skip
    if not lacking and not more:
        told.append(f"{where}{name} {wanted} in each of {len(found.experts)} layers")


def _tie(config: Mapping[str, Any], found: Counted, shares: bool) -> Iterator[Finding]:
    """A head that is stored although the config says that it is the embedding; pickles keep both names of one."""
    said = [(name, section.get("tie_word_embeddings")) for name, section in sections(config)]
    stated = [(name, value) for name, value in said if type(value) is bool]
    if shares or not found.heads or not stated or any(not value for _, value in stated):
        return
    where = f"{stated[0][0]}." if stated[0][0] else ""
    yield Finding(
        "tie.conflict", "warning", found.heads[0],
        f"config.json: {where}tie_word_embeddings is true, but {some(found.heads)} is stored: a loader that ties reads"
        " the embedding in its place", {"field": f"{where}tie_word_embeddings", "tensors": found.heads},
        "set tie_word_embeddings to false if the head was trained, or remove it from the files",
    )  # fmt: skip


def _wrapping(config: Mapping[str, Any], found: Counted) -> Iterator[Finding]:
    """A decoder's config for names that lie one module deeper, as those of a model with towers do."""
    inner = [name for name, _ in sections(config) if name in _TEXT or name.endswith("_config")]
    if set(inner) - _NO_PARTS or _WRAPPED not in found.segments:
        return
    kind = str(config.get("model_type", ""))
    yield Finding(
        "config.conflict", "warning", "config.json",
        f"config.json describes a decoder alone ({kind or 'no model_type'}: no text_config, no tower), but the names"
        f" lie under {_WRAPPED}, as in a model with towers: loaders choose their names by the config",
        {"model_type": kind}, f"remove {_WRAPPED} from the names, or take the config of the whole model",
    )  # fmt: skip


def _extra_layers(config: Mapping[str, Any], found: Counted) -> Iterator[Finding]:
    """Layers that predict further tokens: promised, and nowhere."""
    _, text = text_of(config)
    said = _number_of(text, _EXTRA)
    plain = _number_of(text, _LAYERS)
    if said is None or plain is None:
        return
    beyond = any(max(stack.numbers) >= plain[1] for stack in found.stacks.values())
    if not beyond and not any(segment.startswith(("mtp", "nextn")) for segment in found.segments):
        yield Finding(
            "layers.missing", "info", said[0],
            f"config.json: {said[0]} is {said[1]}, but no tensor is of such a layer: nothing can be predicted ahead",
            {"field": said[0], "config": said[1]},
        )  # fmt: skip
