"""Fields of config.json that moved, that others call otherwise, and names of models that somebody misspelt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from mappings.findings import Finding, Severity
from tracer.checkpoint.formats import GGUF
from tracer.complaints.complaint import Complaint
from tracer.diagnose.case import Case
from tracer.diagnose.hypothesis import Hypothesis
from tracer.infer.canonical import ALIASES, text_config
from tracer.infer.families import BY_MODEL_TYPE
from tracer.repair.changes import SetField

_ROPE = "rope_theta"
_BELOW = ("rope_parameters", "rope_scaling")
_DEFAULT = 10_000
"""What engines take where they find no base."""
_MORE: Mapping[str, tuple[str, ...]] = {
    "positions": ("model_max_length", "max_sequence_length", "n_ctx", "seq_length", "max_seq_length", "context_length"),
}
"""Spellings that engines and converters ask for, beside those that configs have."""
_LIKE = 0.8
"""Of the letters that two names have in common, so many are a slip and no other name."""
_LETTERS = re.compile(r"[^a-z0-9]")
_NO_DIGITS = re.compile(r"\D")


def propose(case: Case) -> Iterator[Hypothesis]:
    yield from _bases(case)
    for complaint in case.complained("no-field", "no-architecture", "no-parameter", "attribute", "other"):
        found = _moved(case, complaint) or _spelled_otherwise(case, complaint) or _misspelt(case, complaint)
        if found is not None:
            yield found


# --- the rotary base ---


def _bases(case: Case) -> Iterator[Hypothesis]:
    """Two of them that do not agree: which one counts depends on the reader."""
    text = text_config(case.original.config)
    top, (path, below) = text.get(_ROPE), _nested(text)
    if not _number(top) or below is None or top == below:
        return
    said = tuple(case.complained("garbage"))
    severity: Severity = "error" if said else "warning"
    told = (
        f"config.json has two bases that do not agree, {_ROPE} = {top:,.10g} at the top and {path} = {below:,.10g}:"
        " readers of Transformers 5 take the nested one, older ones the other, and the wrong one turns output into"
        " nonsense as prompts grow"
    )
    finding = Finding("config.conflict", severity, _ROPE, told, {"found": top, "nested": below, "field": _ROPE},
                      "set both to the base that the model was trained with (its model card has it)")  # fmt: skip
    yield Hypothesis(finding, evident=True, answers=said)


def _nested(text: Mapping[str, Any]) -> tuple[str, float | None]:
    for key in _BELOW:
        held = text.get(key)
        if isinstance(held, dict) and _number(held.get(_ROPE)):
            return f"{key}.{_ROPE}", held[_ROPE]
    return "", None


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _moved(case: Case, said: Complaint) -> Hypothesis | None:
    """Asked for at the top, written below."""
    text = text_config(case.original.config)
    path, below = _nested(text)
    if _ROPE not in _asked(said) or below is None or _ROPE in text:
        return None
    told = (
        f"config.json has no {_ROPE} at the top level, where this reader looks for it; it has {path} = {below:,.10g},"
        f" as Transformers 5 writes it: readers older than that fail, or fall back to {_DEFAULT:,}"
    )
    finding = Finding("config.missing-field", "error", _ROPE, told, {"field": _ROPE, "value": below},
                      f"set {_ROPE} to {_json(below)} beside the nested one, or use a newer version")  # fmt: skip
    return Hypothesis(finding, (SetField(_ROPE, below),), evident=True, answers=(said,))


# --- one field under several names ---


def _spelled_otherwise(case: Case, said: Complaint) -> Hypothesis | None:
    text = text_config(case.original.config)
    if case.original.checkpoint.format is GGUF:
        return None  # it has keys of its own, and no config.json that anybody could complete
    if any(text.get(field) is not None for field in _asked(said)):
        return None  # one of several spellings that it takes is there
    for field in _asked(said):
        names = next((each for each in _spellings() if field in each), ())
        other = next((name for name in names if text.get(name) is not None), None)
        if other is None:
            continue
        told = (
            f"config.json has no {field}, which this reader asks for; the equivalent field {other} ="
            f" {_json(text[other])} is there, and the checkpoint is whole"
        )
        finding = Finding("config.missing-field", "error", field, told, {"field": field, "value": text[other]},
                          f"set {field} to {_json(text[other])}, or use a reader that knows {other}")  # fmt: skip
        return Hypothesis(finding, (SetField(field, text[other]),), evident=True, answers=(said,))
    return None


def _asked(said: Complaint) -> tuple[str, ...]:
    """Fields, and what may be one: a key without dots."""
    return tuple(each for each in (*said.fields, *said.names) if "." not in each)


def _spellings() -> Iterator[tuple[str, ...]]:
    for name, spelled in ALIASES.items():
        yield (*spelled, *_MORE.get(name, ()))


def _json(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value)


# --- a model's name with a slip of the pen ---


def _misspelt(case: Case, said: Complaint) -> Hypothesis | None:
    config = case.original.config
    own = {str(part.get("model_type")) for part in (config, text_config(config)) if part.get("model_type")}
    for word in _asked(said):
        if word in BY_MODEL_TYPE:
            continue
        if word in own:
            known = _of_class(config)
            if said.kind == "no-architecture" and any(_is_slip(word, each) for each in known):
                return _own_slip(said, word, known[0])
        elif near := next((each for each in sorted(own) if _is_slip(word, each)), None):
            return _their_slip(said, word, near)
    return None


def _is_slip(word: str, meant: str) -> bool:
    """Other letters in a few places; another number is another model, and a longer name a part of one."""
    one, other = (_LETTERS.sub("", each.lower()) for each in (word, meant))
    if one == other or one.startswith(other) or other.startswith(one):
        return False
    return _NO_DIGITS.sub("", one) == _NO_DIGITS.sub("", other) and bool(get_close_matches(one, [other], 1, _LIKE))


def _of_class(config: Mapping[str, Any]) -> list[str]:
    """Model types that config.json's own classes stand for: `qwen3` for Qwen3ForCausalLM."""
    classes = [each for each in config.get("architectures") or () if isinstance(each, str)]
    stems = [name.partition("For")[0].lower() for name in classes]
    known = {_LETTERS.sub("", each): each for each in BY_MODEL_TYPE}
    return [known.get(_LETTERS.sub("", stem), stem) for stem in stems]


def _own_slip(said: Complaint, word: str, known: str) -> Hypothesis:
    told = (
        f"config.json says model_type = {word}, which nobody knows; the nearest is {known}, the one of its class: one"
        " letter or two are wrong"
    )
    finding = Finding("arch.unknown", "error", "model_type", told, {"found": word, "nearest": known},
                      f"set model_type to {known}")  # fmt: skip
    return Hypothesis(finding, (SetField("model_type", known),), evident=True, answers=(said,))


def _their_slip(said: Complaint, word: str, own: str) -> Hypothesis:
    told = (
        f"`{word}` is misspelt in the reader: the checkpoint's model_type is {own}, which is right, so that no rule of"
        f" the reader was chosen for it and names stay as they are; the closest key that it has is `{word}`"
    )
    finding = Finding("arch.unknown", "error", word, told, {"found": word, "nearest": own},
                      f"correct `{word}` to {own} in the reader's table, or use a version in which it is")  # fmt: skip
    return Hypothesis(finding, evident=True, answers=(said,))
