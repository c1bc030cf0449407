"""GGUF files of the corpus, built again from what a `gguf.json` has of them.

The keys are the published ones; of a long array only the length was collected, and its entries are made up. The list
of tensors is as published where it was collected. Of two files it follows from the names that llama.cpp gives the
architecture and from the counts of each type, which must agree; elsewhere it is unknown, and the file has keys only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fixtures.gguf import Stored, Typed, write_sparse

_NUMBERED = {"4": "u32", "5": "i32", "6": "f32", "7": "bool", "8": "str"}
_ARRAY = re.compile(r"arr\[(\w+),(\d+)\]")
_MADE_UP: dict[str, object] = {"str": "x", "bool": False, "f32": 0.0}


def write(path: Path, told: Mapping[str, Any]) -> None:
    """The file that a `gguf.json` describes: a real header, and a hole for its data."""
    values = {key: _value(key, found) for key, found in told["kv"].items() if not key.startswith("GGUF.")}
    write_sparse(path, values, list(_collected(told) if "tensors" in told else _derived(told)))


def _value(key: str, found: Any) -> Typed:
    if not isinstance(found, dict):
        return Typed("u16" if key in ("split.no", "split.count") else "i32", found)
    kind, value = str(found["type"]), found["value"]
    if kind == "9":
        return _array(_NUMBERED[str(value["array_of"])], value["len"])
    if array := _ARRAY.fullmatch(kind):
        return _array(array[1], int(array[2]))
    return _scalar(_NUMBERED.get(kind, kind), value)


def _array(kind: str, length: int) -> Typed:
    return Typed(f"[{kind}]", [_MADE_UP.get(kind, 0)] * length)


def _scalar(kind: str, value: Any) -> Typed:
    """The loader's log has every value as text."""
    if kind == "str":
        return Typed(kind, value)
    if kind == "bool":
        return Typed(kind, value in (True, "true"))
    return Typed(kind, float(value) if kind == "f32" else int(value))


def _collected(told: Mapping[str, Any]) -> Iterator[Stored]:
    """The dump pads shapes to four dimensions, innermost first."""
    for tensor in told["tensors"]:
        dims = list(tensor["shape"])
        while len(dims) > 1 and dims[-1] == 1:
            dims.pop()
        yield Stored(tensor["name"], tensor["type"], tuple(reversed(dims)))


def _derived(told: Mapping[str, Any]) -> list[Stored]:
    """What llama.cpp's converter and quantiser make of a plain decoder of that size, if the counts say so too."""
    counts = Counter({dtype.upper(): count for dtype, count in told.get("type_counts", {}).items()})
    arch = told["kv"]["general.architecture"]["value"]
    if arch not in ("llama", "qwen3") or not counts:
        return []
    shapes = dict(_shapes(arch, told["kv"]))
    main = counts.most_common(1)[0][0]
    early = tuple(f"blk.{layer}.ffn_down.weight" for layer in range(counts["Q4_1"]))
    special = dict.fromkeys(early, "Q4_1") | ({"output.weight": "Q6_K"} if counts["Q6_K"] else {})
    found = [
        Stored(name, "F32" if len(shape) == 1 else special.get(name, main), shape) for name, shape in shapes.items()
    ]  # fmt: skip
    assert Counter(tensor.dtype for tensor in found) == counts
    return found


def _shapes(arch: str, values: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, layers, ffn, heads, kv = (
        int(values[f"{arch}.{key}"]["value"])
        for key in ("embedding_length", "block_count", "feed_forward_length", "attention.head_count",
                    "attention.head_count_kv")
    )  # fmt: skip
    dim = int(values[f"{arch}.attention.key_length"]["value"]) if arch == "qwen3" else hidden // heads
    vocab = int(_ARRAY.fullmatch(values["tokenizer.ggml.tokens"]["type"])[2])  # type: ignore[index]
    yield from (("token_embd.weight", (vocab, hidden)), ("output_norm.weight", (hidden,)))
    yield "output.weight", (vocab, hidden)
    modules: dict[str, tuple[int, ...]] = {
        "attn_norm": (hidden,), "attn_q": (heads * dim, hidden), "attn_k": (kv * dim, hidden),
        "attn_v": (kv * dim, hidden), "attn_output": (hidden, heads * dim), "ffn_norm": (hidden,),
        "ffn_gate": (ffn, hidden), "ffn_up": (ffn, hidden), "ffn_down": (hidden, ffn),
    }  # fmt: skip
    modules |= {"attn_q_norm": (dim,), "attn_k_norm": (dim,)} if arch == "qwen3" else {}
    for layer in range(layers):
        yield from ((f"blk.{layer}.{module}.weight", shape) for module, shape in modules.items())
