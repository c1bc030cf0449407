"""The ids by which a model ends a text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FIELD = "eos_token_id"
GENERATION = "generation_config.json"
CONFIG = "config.json"
TYPED = "--hf-overrides"


def eos_ids(folder: Path, config: Mapping[str, Any] | None = None, overrides: Mapping[str, Any] = {}) -> frozenset[int]:
    """Those of `overrides`, else of generation_config.json, else of config.json; empty where none names any.

    `config`: the fields of config.json, where they are known already or lie elsewhere, as in a GGUF file;
    `overrides`: those that the user typed. Raises ValueError for a file that is not a JSON object, and for a field that
    is neither an id nor a list of ids.
    """
    found = _ids(overrides, TYPED)
    if found is None:
        found = _ids(_fields(folder / GENERATION), GENERATION)
    if found is None:
        found = _ids(_fields(folder / CONFIG) if config is None else config, CONFIG)
    return found or frozenset()


def _fields(path: Path) -> Mapping[str, Any]:
    """What a JSON file says; nothing if there is none."""
    if not path.is_file():
        return {}
    try:
        fields = json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError(f"{path}: JSON nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{path}: expected a JSON object, found {_shown(fields)}")
    return fields


def _ids(fields: Mapping[str, Any], file: str) -> frozenset[int] | None:
    """None where the field is absent or null."""
    value = fields.get(FIELD)
    if value is None:
        return None
    ids = value if isinstance(value, list) else [value]
    if not all(isinstance(item, int) and not isinstance(item, bool) and item >= 0 for item in ids):
        raise ValueError(f"{file}: {FIELD} is {_shown(value)}, expected a token id or a list of token ids")
    return frozenset(ids)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."
