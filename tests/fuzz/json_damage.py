"""Damage to a JSON document of any form: an index, a config.json."""

from __future__ import annotations

import json
import random
import re
from copy import deepcopy
from typing import Any

from tests.fuzz.damage import ANYWHERE, BYTES, several

FILES = [
    "", ".", "..", "/", "/etc/passwd", "../model.safetensors", "a/../../b", "C:\\x", "\\\\host\\share", "a\\b", "\x00",
    "a\nb", "\u202e", "\ud800", "x" * 300, "/".join("a" * 200), "config.json", "nowhere",
    "model.safetensors.index.json", "./model-00001-of-00002.safetensors", "sub/model-00001-of-00002.safetensors",
    "MODEL-00001-OF-00002.SAFETENSORS", "model-00001-of-00002.safetensors ",
    "model-00003-of-00002.safetensors", "con", "~", "$HOME", "%00", "a:b", "-rf",
    "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
]  # fmt: skip
"""What an index may name as a file; the last two exist."""
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 0.5, 2**31, 2**63, 2**64, -(2**63), 10**72, 10**400, 1e300, float("inf"), float("nan"),
    "", "8", "x" * 5000, "\x00", "\ud800", [], {}, [[]], [None], {"a": None}, {"": ""}, [1, 2], "LlamaForCausalLM",
]  # fmt: skip


def damaged(rng: random.Random, content: bytes) -> bytes:
    """The document with one to three changes, of its bytes or of what it says; one in twenty has none."""
    if rng.random() < 0.05:
        return content
    if rng.random() < 0.3:
        return several(rng, content, rng.choice([BYTES, ANYWHERE]))
    document = json.loads(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        _change(rng, document)
    text = json.dumps(document, indent=rng.choice([None, None, 2]), ensure_ascii=rng.random() < 0.5)
    raw = text.encode("utf-8", "surrogatepass")
    return rng.choice([_twice, _with_a_bomb])(rng, raw) if rng.random() < 0.15 else raw


def _change(rng: random.Random, document: Any) -> None:
    """One value, one key or one file replaced, dropped, added or nested."""
    holder = rng.choice(_holders(document))
    if not holder:
        return
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    key = rng.choice(keys)
    match rng.randrange(8):
        case 0:
            del holder[key]
        case 1 | 2:
            holder[key] = deepcopy(rng.choice(VALUES))
        case 3 | 4:
            holder[key] = rng.choice(FILES)
        case 5:
            holder[key] = deepcopy(holder[rng.choice(keys)])
        case 6:
            holder[key] = _nested(holder[key], rng.choice([1, 3, 50, 97, 98, 99, 150]))
        case _ if isinstance(holder, dict):
            names = [f"{key}x", "", "\n", "\x1b[2J", "weight_map", "metadata", "x" * 70_000]
            holder[rng.choice(names)] = deepcopy(holder[key])


def _with_a_bomb(rng: random.Random, raw: bytes) -> bytes:
    """A value that is small to write and long to read."""
    many = rng.choice([900, 5000, 100_000])
    bombs = [b"[" * many + b"]" * many, b'{"a":' * many + b"0" + b"}" * many, b"9" * many, b"-" * many, b"[" * many,
             b'"' + b"\\u0000" * many + b'"', b"[" + b"[]," * many + b"0]", b"1e" + b"9" * many]  # fmt: skip
    return raw.replace(b"{", b'{"bomb": ' + rng.choice(bombs) + b", ", 1)


def _nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def _holders(value: Any) -> list[Any]:
    """Everything in it that holds something, itself first."""
    found, level = [value], [value]
    while level:
        inner = [list(item.values()) if isinstance(item, dict) else item for item in level]
        level = [child for children in inner for child in children if isinstance(child, dict | list)]
        found += level
    return found


def _twice(rng: random.Random, raw: bytes) -> bytes:
    """A key once more, with the value of another."""
    pairs = re.findall(rb'"[^"\\]*": *(?:"[^"\\]*"|[0-9]+)', raw)
    if len(pairs) < 2:
        return raw
    key, value = rng.choice(pairs), rng.choice(pairs)
    again = key.partition(b":")[0] + b":" + value.partition(b":")[2]
    return raw.replace(key, again + b"," + key, 1)
