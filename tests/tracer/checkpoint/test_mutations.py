"""Real safetensors files, damaged in thousands of ways: whatever the library refuses, we refuse with a reason.

The second opinion is `safetensors.deserialize` on the same bytes (and `safe_open` where only the header is real).
What it accepts we accept too, with the same names, dtypes, shapes and bytes; where we are stricter is listed.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, deserialize, safe_open
from safetensors.torch import save

from fixtures.geometries import geometry
from fixtures.hostile import HOSTILE, framed
from mappings.registry import choose
from mappings.synth import synthesise
from tests.fuzz.damage import BYTES
from tests.fuzz.header_damage import JSON, Pairs, spelt
from tracer.checkpoint.dtypes import nbytes
from tracer.checkpoint.safetensors import open_header, parse_header
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import InputError

SEED = 3
"""Printed with every failure: `damaged(file, SEED, level, case)` makes the same bytes again."""
CASES = 1000
"""Of each file and level."""
SECONDS = 2.0
"""Far more than any case needs; a case that takes longer has found something superlinear."""

STRICTER = {
    "header.duplicate-name": r"occurs twice in one object; one of them would be lost",
    "header.invalid": r"expected exactly the fields|expected '\{', found|more elements than 64 bits can count",
}
"""What we refuse and the library does not: it lets the last of two names win, overlooks fields that it does not know
and blanks before the object, and counts up to 2**64 elements where a dimension of zero makes them none."""


# --- the files ---


def several_dtypes() -> bytes:
    kinds = [torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.int64, torch.uint8, torch.bool]
    values = torch.arange(1, 25)
    tensors = {f"model.layers.{at}.weight": values.to(kind).reshape(2, 3, 4) for at, kind in enumerate(kinds)}
    tensors |= {"scalar": torch.tensor(7.0), "nothing": torch.zeros(0, 5), "nämé": torch.ones(3)}
    return bytes(save(tensors, {"format": "pt", "note": 'a "quoted" \\ line\n'}))


def one_tensor() -> bytes:
    return bytes(save({"a": torch.arange(2.0)}))


def packed() -> bytes:
    """Types of less than a byte, which torch cannot write."""
    spans = [("a", "F4", [6]), ("b", "F6_E2M3", [2, 2]), ("c", "F8_E8M0", [3]), ("d", "C64", [1])]
    return framed(_header(spans), bytes(range(17)))


def of_a_model(shrink: int = 64) -> bytes:
    """The 290 names of Qwen2-0.5B, in tensors that are small enough to be written."""
    spans = [(n, d, [-(-size // shrink) for size in shape]) for n, d, shape in _qwen2()]
    header = _header(spans)
    data = sum(nbytes(dtype, _elements(shape)) for _, dtype, shape in spans)
    return framed(header, random.Random(0).randbytes(data))


def _qwen2() -> list[tuple[str, str, list[int]]]:
    binding = choose(geometry("qwen2-0.5b"), None, 1, "BF16").binding
    return [(tensor.name, tensor.dtype, list(tensor.shape)) for tensor in synthesise(binding)]


def _header(spans: list[tuple[str, str, list[int]]]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, dtype, shape in spans:
        start, end = end, end + nbytes(dtype, _elements(shape))
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def _elements(shape: list[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


FILES: dict[str, Callable[[], bytes]] = {
    made.__name__: made for made in (one_tensor, several_dtypes, packed, of_a_model)
}  # fmt: skip


# --- one case ---


def damaged(content: bytes, level: str, case: int) -> bytes:
    """The file with one to three changes, always the same for the same case."""
    rng = random.Random(f"{SEED} {level} {case}")
    changes = rng.choice([1, 1, 1, 2, 3])
    if level == "bytes":
        for _ in range(changes):
            content = rng.choice(BYTES)(rng, content) or b"\x00"
        return content
    start = 8 + int.from_bytes(content[:8], "little")
    header: Pairs = list(json.loads(content[8:start]).items())
    for _ in range(changes):
        if header:
            rng.choice(JSON)(rng, header)
    return framed(spelt(header) + b" " * rng.choice([0, 0, 7]), content[start:])


def library(content: bytes) -> dict[str, tuple[str, list[int], bytes]] | None:
    """What the library reads; None where it refuses."""
    try:
        found = deserialize(content)
    except (SafetensorError, OverflowError):
        return None
    return {name: (told["dtype"], told["shape"], bytes(told["data"])) for name, told in found}


def ours(content: bytes) -> list[TensorInfo] | InputError:
    try:
        return parse_header(content, len(content), "model.safetensors").tensors
    except InputError as error:
        return error


def held(content: bytes, info: TensorInfo) -> bytes:
    assert info.offset is not None
    return content[info.offset : info.offset + info.nbytes]


def check_refusal(error: InputError) -> None:
    """One line that begins with the file, and a code of the right area."""
    message = str(error)
    assert message.startswith("model.safetensors: ")
    assert message.isprintable()
    assert len(message) < 500
    assert re.fullmatch(r"(file|header)\.[a-z-]+", error.code or "")
    assert error.subject


def compare(content: bytes) -> str:
    """Both opinions on the same bytes. Returns our code, or `same`."""
    expected, found = library(content), ours(content)
    if isinstance(found, InputError):
        check_refusal(found)
        assert found.code
        if expected is not None:
            assert re.search(STRICTER.get(found.code, "(?!)"), str(found)), f"refused without need: {found}"
            return f"stricter {found.code}"
        return found.code
    assert expected is not None, "accepted what the library refuses"
    assert {info.name: (info.dtype, list(info.shape), held(content, info)) for info in found} == expected
    assert len(found) == len(expected)
    return "same"


# --- the tests ---


@pytest.mark.parametrize("level", ["bytes", "json"])
@pytest.mark.parametrize("file", FILES)
def test_both_readers_agree_on_damaged_files(file: str, level: str) -> None:
    assert compare(FILES[file]()) == "same"
    assert outcomes_of(file, level).total() == CASES


@cache
def outcomes_of(file: str, level: str) -> Counter[str]:
    """What both make of every case, each of them in time."""
    content, found = FILES[file](), Counter[str]()
    for case in range(CASES):
        changed = damaged(content, level, case)
        began = time.perf_counter()
        try:
            found[compare(changed)] += 1
        except BaseException as error:
            error.add_note(f"damaged({file}(), {level!r}, {case}) with SEED = {SEED}: {changed[:300]!r}")
            raise
        assert time.perf_counter() - began < SECONDS, (file, level, case)
    return found


def test_the_damage_is_of_every_kind() -> None:
    """Else the agreement above would be one of files that are all refused in the same way, or not at all."""
    outcomes = sum((outcomes_of(*each) for each in itertools.product(FILES, ("bytes", "json"))), Counter[str]())
    assert outcomes["same"] > sum(outcomes.values()) / 20
    codes = {"file.truncated", "file.trailing-bytes", *(f"header.{kind}" for kind in (
        "invalid", "too-large", "duplicate-name", "overlap", "hole", "size-mismatch", "out-of-bounds"))}  # fmt: skip
    assert codes <= outcomes.keys()
    assert {f"stricter {code}" for code in STRICTER} <= outcomes.keys()


def test_headers_of_files_that_are_never_written(tmp_path: Path) -> None:
    """A gigabyte of holes behind a real header: only the header is read, and both readers still agree."""
    spans = _qwen2()
    header, path = _header(spans), tmp_path / "model.safetensors"
    data = sum(nbytes(kind, _elements(shape)) for _, kind, shape in spans)
    for case in range(150):
        changed = damaged(framed(header), "json", case) if case else framed(header)
        with path.open("wb") as file:
            file.write(changed)
            file.truncate(len(changed) + data)
        assert _refuses_library(path) <= _refuses(path), f"json {case} with SEED = {SEED}"


def _refuses(path: Path) -> bool:
    try:
        open_header(path)
    except InputError:
        return True
    return False


def _refuses_library(path: Path) -> bool:
    try:
        with safe_open(path, "np"):
            return False
    except (SafetensorError, OverflowError):
        return True


@pytest.mark.parametrize("name", ["nesting_bomb", "number_bomb", "absurd_length", "product_overflows"])
def test_a_bomb_costs_what_its_bytes_cost(name: str) -> None:
    content = HOSTILE[name].make()
    tracemalloc.start()
    try:
        assert isinstance(ours(content), InputError)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000 + 30 * len(content)
