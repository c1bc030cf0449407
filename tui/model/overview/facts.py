"""The facts of a model, a line or two each: what it is, how large, in what it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracer.report.words import count, plural, size
from tui.model.line import GLYPHS, Line, Role, Span, Target
from tui.model.overview.inference import Inference
from tui.model.overview.unread import unread
from tui.model.overview.values import Value, Values
from tui.model.subject import Subject

LATER = Span("… not looked at yet", "unsure")
_NUMBERS = (
    ("layers", "layers"), ("hidden", "hidden"), ("heads", "heads"), ("kv_heads", "KV heads"), ("head_dim", "head dim"),
    ("ffn", "mlp"), ("experts", "experts"), ("active", "a token visits"), ("moe_ffn", "expert mlp"),
    ("shared", "shared experts"), ("q_rank", "q rank"), ("kv_rank", "latent"), ("state", "state"),
    ("vocab", "vocabulary"),
)  # fmt: skip
"""Canonical field -> what it is called here."""
_LATENT_LACKS = ("kv_heads", "head_dim")


@dataclass(frozen=True)
class Fact:
    """One of them."""

    label: str
    shown: Line
    told: str = ""
    """What says so, or more of it."""
    role: Role = "dim"


def facts(values: Values, inference: Inference | None) -> Iterator[Fact]:
    """In the order in which one asks."""
    yield from _architecture(values)
    if inference is None and not values.config:
        yield Fact("layers …", (LATER,))
    latent = values.get("kv_rank") is not None
    for name, label in _NUMBERS:
        value = values.get(name)
        if value is not None and value.value != 0 and not (latent and name in _LATENT_LACKS):
            yield Fact(label, (value.span,), value.told, "bad" if value.role == "bad" else "dim")
    yield from _size(values, inference)
    yield from _storage(values)
    yield from _tie(values)
    yield from _quantisation(values, inference)
    if values.subject.made_up:
        yield Fact("made up", (Span("; ".join(values.subject.made_up), "warn"),), _real(values.subject))


def _real(subject: Subject) -> str:
    """What is not made up, where that is as much as a header has."""
    bytes_only = all(each == "the bytes" for each in subject.made_up)
    return "names, shapes and data types are those of the files" if bytes_only else "nothing of this came from a file"


def _architecture(values: Values) -> Iterator[Fact]:
    subject, named = values.subject, values.text.get("architectures")
    said = ", ".join(map(str, named)) if isinstance(named, list) else ""
    seen = values.seen.get("architectures")
    if wrong := values.conflicts.get("architectures"):
        yield Fact("architecture", (Span(f"{GLYPHS['bad']} {said or 'none'}", "bad"),), wrong.message, "bad")
    elif said or (subject.prepared and subject.prepared.run.architecture):
        shown = said or (subject.prepared.run.architecture if subject.prepared else "")
        yield Fact("architecture", (Span(shown, "name"),), _rows(values))
    elif seen is not None and isinstance(seen.value, list):
        shown = ", ".join(map(str, seen.value))
        yield Fact("architecture", (Span(f"≈ {shown}", "inferred"),), f"{seen.confidence}: {seen.evidence}")
    elif values.inference.found:
        yield Fact("architecture", (Span("not known", "unsure"),), values.inference.found.told)


def _rows(values: Values) -> str:
    subject = values.subject
    if subject.prepared is None:
        if subject.refused is not None:
            return f"no plan: {subject.refused.message}"
        return "" if subject.stage == "examined" else "whether there are rows for it was not looked at yet"
    binding = subject.prepared.plan.binding
    dialect = f" ({binding.arch.dialect} dialect)" if binding.arch.dialect else ""
    return f"{plural(len(binding.rows), 'mapping row')}{dialect}"


# --- how large ---


def _size(values: Values, inference: Inference | None) -> Iterator[Fact]:
    subject = values.subject
    if inference is None:
        yield Fact("parameters", (LATER,))
    elif held := inference.parameters:
        active = f", {count(held.active)} of them for each token" if held.active else ""
        told = "counted unpacked" if held.unpacked else f"{held.total:,} elements"
        more = ", more than the headers here tell" if held.surmised else ""
        more += f", without {held.without}" if held.without else ""
        shown = _sized(count(held.total), held.unpacked or held.surmised or bool(held.without))
        yield Fact("parameters", (shown, Span(active)), told + more)
    if subject.tensors:
        unknown = subject.unknown
        held_in = Span(f" in {plural(len(subject.tensors) - unknown, 'tensor')}")
        told = f"{subject.nbytes:,}" + (f", and {unknown:,} of unknown size" if unknown else "")
        told += f", without {left}" if (left := unread(subject)) else ""
        yield Fact("bytes", (_sized(size(subject.nbytes), _surmised(subject)), held_in), told)


def _sized(shown: str, surmised: bool) -> Span:
    return Span(f"{GLYPHS['inferred']} {shown}", "inferred") if surmised else Span(shown, "number")


def _surmised(subject: Subject) -> bool:
    """Whether the bytes of some tensors are what the rows say, and no header."""
    return sum(subject.stored.files.values()) < subject.nbytes


def _storage(values: Values) -> Iterator[Fact]:
    subject = values.subject
    weights, files = subject.stored.dtypes, subject.stored.files
    if weights:
        shares = (f"{dtype} {_share(nbytes, subject.nbytes)}" for dtype, nbytes in weights.most_common())
        told = " · ".join(shares)
        yield Fact("stored as", (_sized(told, True) if _surmised(subject) else Span(told),))
    if files:
        largest, nbytes = files.most_common(1)[0]
        more = f", the largest {size(nbytes)}" if len(files) > 1 else ""
        name = largest if len(files) == 1 else f"{len(files):,} files"
        yield Fact("files", (Span(name, "name", Target("file", largest)), Span(more)))
    if values.inference.adapter is None:
        yield from _absent(values)


def _absent(values: Values) -> Iterator[Fact]:
    checkpoint = values.subject.checkpoint
    if checkpoint is None:
        return
    if checkpoint.pointer_sizes:
        pointers = plural(len(checkpoint.pointer_sizes), "Git-LFS pointer")
        shown = f"{pointers} to {size(sum(checkpoint.pointer_sizes.values()))}"
        yield Fact("not here", (Span(shown, "warn"),), "git lfs pull fetches them; nothing in them was read")
    elif checkpoint.state == "index-only" and checkpoint.index is not None:
        shown = f"{plural(len(checkpoint.index.files()), 'file')} that {checkpoint.index.file} names"
        yield Fact("not here", (Span(shown, "warn"),), "nothing in them was read")
    elif checkpoint.state == "config-only" and _without_files(values):
        yield Fact("not here", (Span("any file of weights", "warn"),), "only what config.json says can be shown")


def _without_files(values: Values) -> bool:
    """Files that are here and damaged are not absent; which it is, the examination says."""
    subject = values.subject
    return any(check.absent for check in subject.checks) or subject.prepared is not None


def _share(part: int, whole: int) -> str:
    if not whole or part == whole:
        return "100%"
    return f"{part / whole:.1%}" if part / whole >= 0.001 else "<0.1%"


# --- what is special ---


def _tie(values: Values) -> Iterator[Fact]:
    tie = values.get("tie")
    if tie is not None and type(tie.value) is bool:
        shown = "tied to the embedding" if tie.value else "its own"
        mark = f"{GLYPHS[tie.role]} " if tie.role in GLYPHS else ""
        role: Role = tie.role if tie.role in GLYPHS else "plain"
        beside = _stored_heads(values) if tie.value else ""
        yield Fact("head", (Span(f"{mark}{shown}", role, tie.span.target),), beside or tie.told)


def _stored_heads(values: Values) -> str:
    """What lies in the files although an engine that ties reads the embedding in its place."""
    names = values.inference.found.names if values.inference.found else None
    heads = [group.template for group in names.of("head", "weight") if not group.stack] if names else []
    return f"{heads[0]} is stored all the same: engines that tie do not read it" if heads else ""


def _quantisation(values: Values, inference: Inference | None) -> Iterator[Fact]:
    told = values.config.get("quantization_config", values.config.get("quantization"))
    known = inference.found.known if inference and inference.found and not inference.made_up else None
    if isinstance(told, dict):
        seen = f"the tensors: {known.quantised_by}" if known and known.quantised_by else ""
        yield Fact("quantised", (Span(_scheme(told), target=Target("field", "quantization_config")),), seen)
    elif known and known.quantisation:
        yield Fact("quantised", (Span(f"≈ {_scheme(known.quantisation)}", "inferred"),), known.quantised_by)


def _scheme(told: Value | object) -> str:
    if not isinstance(told, dict):
        return str(told)
    method = told.get("quant_method") or told.get("mode") or "in a scheme that is not named"
    more = [f"{told['bits']} bits"] if type(told.get("bits")) is int else []
    if type(group := told.get("group_size")) is int:
        more.append("one group a row" if group < 0 else f"groups of {group}")
    if block := told.get("weight_block_size"):
        more.append(f"blocks of {' x '.join(map(str, block)) if isinstance(block, list) else block}")
    return ", ".join([str(method), *more])
