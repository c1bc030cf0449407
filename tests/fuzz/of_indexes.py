"""Two shards, an index and a config.json, one of them damaged; the second opinion reads them the plain way.

It is Python's own JSON reader, and what the safetensors library lists of each shard: an index is true where every
file that it names is in the folder, can be read, and holds what it is said to hold.
"""

from __future__ import annotations

import json
import random
import re
import stat
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from fixtures.small_checkpoint import FIRST, INDEX, SECOND, sound
from tests.fuzz import json_damage, of_safetensors
from tests.fuzz.case import Blob, Case
from tests.fuzz.damage import ANYWHERE, BYTES, PARTS, several
from tests.fuzz.ours import OF_THE_MODEL, Errors, Wrong

CONFIG = "config.json"
STRICTER = {
    "shards.duplicate-tensor": "in more than one file",
    "index.invalid": "occurs twice|expected printable names|expected a file inside|nested too deeply|at most 255 bytes"
    "|more digits than",
    "": "values would take more than",
    **of_safetensors.STRICTER,
}
"""What is an error to us where the plain reading finds none. One name in two files, or two values for one key, since
which of them counts depends on the reader; names that nobody can print, and paths that leave the folder even if they
lead back, since an index must not be a way to other files; and what would take too much memory or too deep a stack."""


@cache
def whole() -> dict[str, bytes]:
    """The sound checkpoint, by file."""
    with tempfile.TemporaryDirectory() as folder:
        sound(Path(folder))
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def make(rng: random.Random) -> Case:
    """Mostly the index; sometimes what it is about."""
    files = dict(whole())
    chance = rng.random()
    if chance < 0.65:
        files[INDEX] = json_damage.damaged(rng, files[INDEX])
    elif chance < 0.8:
        files[CONFIG] = json_damage.damaged(rng, files[CONFIG])
    else:
        shard = rng.choice([FIRST, SECOND])
        files[shard] = several(rng, files[shard], rng.choice([BYTES, PARTS, ANYWHERE]))
    return Case({name.encode(): Blob(content) for name, content in files.items()})


def judge(case: Case, path: Path, ours: Errors) -> str:
    """Whether the plain reading finds what ours finds."""
    fault = _fault(path)
    if fault is not None:
        if not ours:
            raise Wrong(f"we call it healthy: {fault}")
        return "refused by both"
    for code, message in ours.items():
        if not code.startswith(OF_THE_MODEL) and not re.search(STRICTER.get(code, "(?!)"), message):
            raise Wrong(f"an error that the plain reading does not see: {code}: {message}")
    return "refused by us alone" if ours else "read by both"


def _fault(folder: Path) -> str | None:
    """The first thing that is wrong with it, to whoever just reads; None where nothing is."""
    config, index = _object(folder / CONFIG), _object(folder / INDEX)
    if config is None or index is None:
        return "config.json or the index is no JSON object"
    homes = index.get("weight_map")
    if not isinstance(homes, dict) or not homes:
        return "weight_map is no object, or empty"
    held: dict[str, dict[str, Any] | None] = {}
    for tensor, home in homes.items():
        if not isinstance(home, str):
            return f"{tensor!r} is in {home!r}"
        if home not in held:
            held[home] = _held(folder / home) if _is_name(home) else None
        if tensor not in (held[home] or {}):
            return f"{home!r} does not hold {tensor!r}"
    return None


def _object(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes().decode())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_name(home: str) -> bool:
    return "\x00" not in home and home.isprintable()


def _held(path: Path) -> dict[str, Any] | None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
    except OSError:
        return None
    return of_safetensors.library(path)
