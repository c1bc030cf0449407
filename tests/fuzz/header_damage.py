"""Damage to what a safetensors header says; the frame is made to fit again, so that readers get as far as the lie."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from tracer.checkpoint.dtypes import BITS

Pairs = list[tuple[str, Any]]
"""A JSON object that may hold a key twice."""
HeaderDamage = Callable[[random.Random, Pairs], None]

NUMBERS: list[Any] = [
    0, 1, -1, 2, 3, 2**31, 2**53 + 1, 2**63, 2**64, 10**400, 1.0, 0.5, 1e300, float("nan"), True, None, "8", [], [1],
]  # fmt: skip


def number(rng: random.Random, header: Pairs) -> None:
    """Another number in a shape or an offset; by one, in half of the cases."""
    values = _entry(rng, header)[rng.choice(["shape", "data_offsets"])] or [0]
    at = rng.randrange(len(values))
    near = rng.random() < 0.5 and isinstance(values[at], int)
    values[at] = values[at] + rng.choice([-1, 1]) if near else rng.choice(NUMBERS)


def field(rng: random.Random, header: Pairs) -> None:
    """A field gone, misspelt, doubled up or of another kind."""
    found = _entry(rng, header)
    name = rng.choice(list(found))
    value = found.pop(name)
    kept: dict[str, Any] = rng.choice([{}, {name.upper(): value}, {name: value, "stride": [1]}, {name: [value]}])
    # A copy, since what is in the table must not be damaged by the next change.
    found.update(kept | rng.choice([{}, {name: deepcopy(rng.choice(NUMBERS))}]))


def dtype(rng: random.Random, header: Pairs) -> None:
    _entry(rng, header)["dtype"] = rng.choice([*BITS, "F128", "f32", "", None, 3])


def swap_offsets(rng: random.Random, header: Pairs) -> None:
    one, other = _entry(rng, header), _entry(rng, header)
    one["data_offsets"], other["data_offsets"] = other["data_offsets"], one["data_offsets"]


def drop(rng: random.Random, header: Pairs) -> None:
    del header[rng.randrange(len(header))]


def double(rng: random.Random, header: Pairs) -> None:
    """An entry once more, under its own name or another one."""
    name, value = rng.choice(header)
    header.insert(rng.randrange(len(header) + 1), (rng.choice([name, name + "x", "", "__metadata__"]), value))


def rename(rng: random.Random, header: Pairs) -> None:
    at = rng.randrange(len(header))
    others = [name for name, _ in header]
    header[at] = (rng.choice([*others, "", "\x00", "\ud800", "x" * 70_000, "\u202e", "__metadata__"]), header[at][1])


def shuffle(rng: random.Random, header: Pairs) -> None:
    """Legal: the order of the entries says nothing."""
    rng.shuffle(header)


def nest(rng: random.Random, header: Pairs) -> None:
    at = rng.randrange(len(header))
    value = header[at][1]
    for _ in range(rng.choice([1, 2, 100, 127, 128, 200])):
        value = rng.choice([[value], {"a": value}])
    header[at] = (header[at][0], value)


def reshape(rng: random.Random, header: Pairs) -> None:
    """Legal: as many elements in other dimensions; with a zero or a large dimension, mostly not."""
    _entry(rng, header)["shape"] += rng.choice([[1], [1, 1], [0], [2**60], [2**60, 0], [2**64, 0]])


JSON: list[HeaderDamage] = [number, field, dtype, swap_offsets, drop, double, rename, shuffle, nest, reshape]


# --- spans that lie to each other, and names nobody can print ---

NAMES = [
    "", " ", "\n", "a\nb", "\x00", "\x1b[31mred", "\x7f", "\u0085", "\u2028", "\u202eexe", "\ufeff", "\U0001f600" * 9,
    "e\u0301", "\ud800", "\udfff", "..", "../x", "/", "%s%n", "{}", "{0}", "a.0.b", "model.layers.99999999999999999.x",
    "__metadata__ ", "__METADATA__", "a" * 300, "model." * 500, "\u0661", "\x80", "['a']", "<script>", "layers.-1.w",
]  # fmt: skip
"""For a tensor, of which any is legal that can be encoded."""

METADATA: list[Any] = [
    None, [], {}, "pt", 3, {"format": 3}, {"format": None}, {"format": ["pt"]}, {"a": {"b": "c"}}, {"": ""},
    {"format": "pt" * 50_000}, {"\ud800": "x"}, {"x": "\udc00"}, {"x": "\x00\n\x1b[2J"}, [["format", "pt"]], True,
    {"total_size": "9" * 5000}, {str(n): "x" for n in range(2000)},
]  # fmt: skip


def overlap(rng: random.Random, header: Pairs) -> None:
    """One span moved onto, into or away from its neighbour, its length kept."""
    found = _entry(rng, header)["data_offsets"]
    step = rng.choice([1, -1, 8, -8, 2**20, found[-1] if found and isinstance(found[-1], int) else 4])
    found[:] = [value + step if type(value) is int else value for value in found]


def hole(rng: random.Random, header: Pairs) -> None:
    """All spans from one on, a little later: bytes that belong to nobody."""
    step, start = rng.choice([1, 4, 4096]), _first(_entry(rng, header))
    for _, value in header:
        if isinstance(value, dict) and _is_entry(value) and _first(value) >= start:
            value["data_offsets"] = [at + step if type(at) is int else at for at in value["data_offsets"]]


def empty_spans(rng: random.Random, header: Pairs) -> None:
    """A tensor of no elements: legal where its place is an edge between others, and nowhere else."""
    spans = [at for _, value in header if isinstance(value, dict) and _is_entry(value) for at in value["data_offsets"]]
    at = rng.choice([*spans, 0, 2**63]) if rng.random() < 0.7 else rng.randrange(2**20)
    at = at if type(at) is int else 0
    shape = rng.choice([[0], [0, 5], [2**40, 0], [0, 2**63], [5, 0, 0]])
    header.append((f"empty.{rng.randrange(3)}", {"dtype": "F16", "shape": shape, "data_offsets": [at, at]}))


def reverse_offsets(rng: random.Random, header: Pairs) -> None:
    _entry(rng, header)["data_offsets"].reverse()


def overflow(rng: random.Random, header: Pairs) -> None:
    """Shapes whose product is right once more after 64 bits, or 32, or in a float."""
    found = _entry(rng, header)
    shapes = [[2**32, 2**32], [2**63, 2], [2**32 + 1, 2**32 - 1, 1, 2], [2**64 - 1], [2**62, 4, 0], [3, 2**64 // 3],
              [2**31] * 40, [1] * 5000, [2] * 64, [2**61, 8], [2**60], [2**57], [2**58]]  # fmt: skip
    found["shape"] = rng.choice(shapes) + rng.choice([[], found["shape"] if isinstance(found["shape"], list) else []])


def merge_shapes(rng: random.Random, header: Pairs) -> None:
    """Legal: a tensor as one row, or as a column."""
    found = _entry(rng, header)
    if isinstance(found["shape"], list) and all(type(size) is int and 0 <= size < 2**32 for size in found["shape"]):
        total = 1
        for size in found["shape"]:
            total *= size
        found["shape"] = rng.choice([[total], [1, total], [total, 1]])


def odd_name(rng: random.Random, header: Pairs) -> None:
    at = rng.randrange(len(header))
    header[at] = (rng.choice(NAMES), header[at][1])


def metadata(rng: random.Random, header: Pairs) -> None:
    header.insert(rng.randrange(len(header) + 1), ("__metadata__", deepcopy(rng.choice(METADATA))))


def other_type(rng: random.Random, header: Pairs) -> None:
    """Elements of another width and as many bytes: legal where it divides, and always where the width is the same."""
    found, kind = _entry(rng, header), rng.choice(list(BITS))
    shape = found["shape"]
    if isinstance(found.get("dtype"), str) and found["dtype"] in BITS and isinstance(shape, list) and shape:
        before = BITS[found["dtype"]]
        if type(shape[-1]) is int:
            shape[-1] = shape[-1] * before // BITS[kind]
    found["dtype"] = kind


MORE: list[HeaderDamage] = [
    overlap, hole, empty_spans, empty_spans, reverse_offsets, overflow, merge_shapes, merge_shapes, odd_name, odd_name,
    metadata, other_type, other_type,
]  # fmt: skip


def _first(entry: dict[str, Any]) -> float:
    found = entry["data_offsets"]
    return found[0] if found and isinstance(found[0], int) else 0


def _entry(rng: random.Random, header: Pairs) -> dict[str, Any]:
    """An entry that is still one; a spare one where earlier damage left none."""
    found = [value for _, value in header if isinstance(value, dict) and _is_entry(value)]
    return rng.choice(found) if found else {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def _is_entry(value: dict[str, Any]) -> bool:
    return isinstance(value.get("shape"), list) and isinstance(value.get("data_offsets"), list)


def spelt(header: Pairs) -> bytes:
    """As JSON, with whatever occurs twice, and with what JSON has no numbers for as Python spells it."""
    return ("{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in header) + "}").encode()
