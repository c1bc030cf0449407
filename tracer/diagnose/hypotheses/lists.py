"""What config.json says is not quantised, and which modules that means.

Quantisers spell it in their own names, whole or in parts, with wildcards or as regular expressions; engines compare it
with theirs. Fields: compressed-tensors and ModelOpt (`ignore`), AutoAWQ and Transformers (`modules_to_not_convert`),
bitsandbytes (`llm_int8_skip_modules`), TensorRT (`exclude_modules`), DeepSeek-like FP8 (`ignored_layers`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FIELDS = ("ignore", "modules_to_not_convert", "llm_int8_skip_modules", "exclude_modules", "ignored_layers")
OVERRIDES = ("dynamic", "extra_config")
"""Fields of GPTQModel and AutoRound that give modules bits of their own: what is left out is then not one list."""
_MOST = 20_000
_LONGEST = 500
_META = "[](){}|?+*^\\"


@dataclass(frozen=True)
class Ignored:
    """The list of one declaration."""

    field: str
    entries: tuple[str, ...]

    def covering(self, module: str) -> str | None:
        """The entry that means this module in the widest reading of any loader."""
        return next((entry for entry in self.entries if means(entry, module)), None)

    def naming(self, module: str) -> str | None:
        """The entry that names this module, whole segments of it."""
        return next((entry for entry in self.entries if means(entry, module, strict=True)), None)


def ignored_of(scheme: Mapping[str, Any]) -> Ignored | None:
    """The list of a declaration, empty where there is a field without one; None where it is decided elsewhere."""
    if any(scheme.get(field) for field in OVERRIDES):
        return None
    for field in FIELDS:
        found = scheme.get(field)
        if isinstance(found, list):
            return Ignored(field, tuple(str(each) for each in found[:_MOST] if isinstance(each, str)))
    return Ignored(next((field for field in FIELDS if field in scheme), FIELDS[0]), ())


def means(entry: str, module: str, *, strict: bool = False) -> bool:
    """Whether an entry of a list stands for a module; an expression that is not understood stands for none."""
    if not entry or len(entry) > _LONGEST or len(module) > _LONGEST:
        return False
    if entry.startswith("re:"):
        return _fits(entry[3:].replace("\\d+", ".*").replace("\\d*", ".*").replace("\\.", "\0"), module)
    if "*" in entry:
        return _sequence(list(entry.split("*")), module, end=True)
    path = entry.strip(".")
    whole = f".{path}." in f".{module}."
    return whole if strict else whole or path in module


def _fits(expression: str, module: str) -> bool:
    """`.*`, `^`, `$` and plain characters, matched from the start; what else there is was not understood."""
    end = expression.endswith("$")
    pieces = expression.removesuffix("$").removeprefix("^").split(".*")
    plain = [piece.replace(".", "\1").replace("\0", ".") for piece in pieces]
    if any(set(piece) & set(_META) for piece in plain):
        return False
    return _sequence([piece.replace("\1", ".") for piece in plain], module, end=end)


def _sequence(pieces: list[str], text: str, *, end: bool) -> bool:
    """Whether the pieces follow each other in the text, the first at its start."""
    if not text.startswith(pieces[0]):
        return False
    at = len(pieces[0])
    for piece in pieces[1:]:
        found = text.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return not end or (not pieces[-1] and len(pieces) > 1) or (text.endswith(pieces[-1]) and at <= len(text))
