"""The numbers of a model, each once: as config.json has them, as the rows derive them, or as the tensors show them.

What config.json says stands as it is; what follows from shapes alone is marked `≈`, and where the two disagree the
tensors' value is marked `✗`, since it is what is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mappings.findings import Finding
from mappings.sizes import ConfigError
from tracer.checkpoint.formats import GGUF
from tracer.infer.canonical import canonical, family_named, spelled_in, text_config
from tracer.infer.families import LLAMA_SPELLING
from tracer.infer.fields import Field
from tracer.infer.parallel.rows import field_of
from tui.model.config.fields import config_of, meant, source
from tui.model.line import GLYPHS, Role, Span, Target
from tui.model.overview.inference import Inference
from tui.model.subject import Subject

AXES: Mapping[str, str] = {
    "hidden": "hidden", "heads": "head", "kv_heads": "kv", "head_dim": "dim", "ffn": "ffn", "vocab": "vocab",
    "experts": "expert", "moe_ffn": "moe_ffn",
}  # fmt: skip
"""Canonical name -> the axis of the rows that is as long."""


@dataclass(frozen=True)
class Value:
    """One number."""

    value: Any
    role: Role = "number"
    told: str = ""
    """What says so, where it is not config.json."""
    field: str = ""
    """As the config spells it, with dots; also where it does not have it."""

    @property
    def text(self) -> str:
        """With its mark: `≈128`."""
        shown = f"{self.value:,}" if type(self.value) is int else str(self.value)
        return GLYPHS.get(self.role, "") + shown

    @property
    def span(self) -> Span:
        return Span(self.text, self.role, Target("field", self.field) if self.field else None)


class Values:
    """All of them, by the canonical names of `tracer.infer.canonical`."""

    def __init__(self, subject: Subject, inference: Inference | None) -> None:
        self.subject = subject
        self.config = config_of(subject)
        self.text = text_config(self.config)
        self.said = canonical(self.config)
        self.inference = inference or Inference()
        self.seen = seen_fields(self.inference)
        self.conflicts = conflicts(subject, self.inference)

    def get(self, name: str) -> Value | None:
        """None where nothing says anything of it, or nothing was looked at yet."""
        spelled = self._spelled(name)
        field = meant(self.config, spelled)
        said, seen = self.said.get(name), self.seen.get(spelled)
        if wrong := self.conflicts.get(field):
            return self._wrong(wrong, said, field)
        if said is not None:
            return Value(said, told="", field=field)
        derived = self._by_rows(name)
        if derived is not None:
            return derived
        if seen is None or seen.value is None:
            return None
        role: Role = "number" if self._is_key(seen) else "inferred"
        return Value(seen.value, role, f"{seen.confidence}: {seen.evidence}", field)

    def _is_key(self, seen: Field) -> bool:
        """Whether a GGUF file says it itself, under a key that no config.json has."""
        checkpoint = self.subject.checkpoint
        own = checkpoint is not None and checkpoint.format is GGUF
        return own and seen.confidence == "certain" and " (" not in seen.evidence

    def _wrong(self, wrong: Finding, said: Any, field: str) -> Value | None:
        seen = wrong.evidence.get("value", wrong.evidence.get("tensors"))
        where = source(self.subject)
        told = f"{where} says {_quoted(said)}" if said is not None else f"{where} has no {field}"
        return Value(said if seen is None else seen, "bad", told, field)

    def _spelled(self, name: str) -> str:
        """What the config of this model calls it."""
        known = self.inference.found.known if self.inference.found else None
        family = known.family if known else family_named(self.text)
        return spelled_in(self.text, name) or family.spelled(name) or LLAMA_SPELLING.get(name, name)

    def _by_rows(self, name: str) -> Value | None:
        prepared, axis = self.subject.prepared, AXES.get(name)
        if prepared is None or axis is None:
            return None
        binding = prepared.plan.binding
        if axis not in binding.arch.axes and axis not in binding.arch.factors:
            return None
        told = field_of(binding, axis)
        if any(meant(self.config, word) in self.conflicts for word in told.split()):
            return None
        try:
            return Value(binding.axes.size(axis), told=f"= {told}")
        except (ConfigError, KeyError):
            return None

    def atom(self, name: str) -> int | None:
        """A product that shapes show, as it is in the equations."""
        known = self.inference.found.known if self.inference.found else None
        return known.atom(name) if known else None


def _quoted(said: object) -> str:
    """A number in quotes is a string, and looks like the number without them."""
    return f"{said!r}, a string" if isinstance(said, str) and said.strip().isdigit() else str(said)


def seen_fields(inference: Inference) -> dict[str, Field]:
    """What the tensors say, by the names of the config's fields; of made-up ones it would be the config's own word."""
    if inference.found is None or inference.made_up:
        return {}
    return {field.name: field for field in inference.found.fields}


def conflicts(subject: Subject, inference: Inference) -> dict[str, Finding]:
    """Dotted field -> what is said against it: by the diagnosis, and until that is there by the shapes alone."""
    config, found = config_of(subject), dict[str, Finding]()
    for finding in _said_against(subject, inference):
        name = finding.evidence.get("field")
        if isinstance(name, str) and finding.severity != "info":
            found.setdefault(meant(config, name), finding)
    return found


def _said_against(subject: Subject, inference: Inference) -> Iterator[Finding]:
    codes = ("config.conflict", "config.invalid", "config.missing-field", "arch.mismatch")
    yield from (subject.findings[number].finding for number in subject.index.with_codes(codes))
    if subject.stage != "examined" and inference.found and not inference.made_up:
        yield from (finding for finding in inference.found.findings if finding.code in codes)
