"""The tensors of GGUF files of which a loader's log has only the keys and how many tensors there are of each type.

Names and shapes follow from the architecture and the keys; the types are dealt out. Sources: what llama.cpp's
`convert_hf_to_gguf.py` writes for each architecture, and Transformers' modelling of the models (for GLM-4-0414 its
`glm4`: fused gate and up, a norm before and behind both halves of a layer). Nothing is made of an architecture that is
not here, of a file whose counts say otherwise, or of types that have no size here.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from itertools import product
from math import prod
from typing import Any

from fixtures.gguf import NUMBERS, Stored
from mappings.ggml import BITS_A_WEIGHT, BLOCKS

Shapes = dict[str, tuple[int, ...]]
_LENGTH = re.compile(r"arr\[\w+,(\d+)\]")
_ROUTER = ".ffn_gate_inp."
_SPELLED = {name.upper(): name for name in NUMBERS}
"""A loader writes types in lower case but for the K."""


class Keys:
    """The numbers that a file says of its architecture."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.arch = str(values["general.architecture"]["value"])

    def __getitem__(self, key: str) -> int:
        return int(self._values[f"{self.arch}.{key}"]["value"])

    def get(self, key: str, default: int) -> int:
        return self[key] if f"{self.arch}.{key}" in self._values else default

    @property
    def vocab(self) -> int:
        length = _LENGTH.fullmatch(self._values["tokenizer.ggml.tokens"]["type"])
        assert length is not None
        return int(length[1])

    @property
    def hidden(self) -> int:
        return self["embedding_length"]


def derived(told: Mapping[str, Any]) -> list[Stored]:
    """All tensors of the model that a `gguf.json` counts; none where their names or types are unknown."""
    counts = Counter({_SPELLED.get(dtype.upper(), ""): count for dtype, count in told.get("type_counts", {}).items()})
    layouts = _LAYOUTS.get(told["kv"]["general.architecture"]["value"], ())
    for layout in layouts if "" not in counts else ():
        shapes = layout(Keys(told["kv"]))
        plain = {name for name, shape in shapes.items() if len(shape) == 1 or _ROUTER in name}
        if len(shapes) == counts.total() and len(plain) == counts["F32"]:
            packed = {name: shape for name, shape in shapes.items() if name not in plain}
            rest = _printed(told) - 4 * sum(prod(shapes[name]) for name in plain)
            types = _dealt(packed, counts - Counter({"F32": counts["F32"]}), rest)
            return [Stored(name, types.get(name, "F32"), shape) for name, shape in shapes.items()]
    return []


def _printed(told: Mapping[str, Any]) -> float:
    """Bytes of all tensors, as llama.cpp printed them (`314.197 GiB (4.016 BPW)`)."""
    amount, unit = told["print_meta"]["size"].split()[:2]
    return float(amount) * {"GiB": 2**30, "MiB": 2**20}[unit]


# --- types ---


def _dealt(shapes: Shapes, counts: Counter[str], total: float) -> dict[str, str]:
    """A type for each matrix: as many of each as are counted, and as near to the bytes of all as swapping comes.

    The output gets the most bits, as llama.cpp gives it; rows that are no whole number of large blocks get small ones.
    """
    types = sorted(counts.elements(), key=lambda dtype: BITS_A_WEIGHT[dtype])
    found: dict[str, str] = {}
    output = "output.weight" if "output.weight" in shapes else "token_embd.weight"
    for name in sorted(shapes, key=lambda name: (-_block(shapes[name]), name == output, -prod(shapes[name]))):
        fitting = [dtype for dtype in types if shapes[name][-1] % BLOCKS.get(dtype, 1) == 0]
        found[name] = fitting[-1] if name == output else fitting[0]
        types.remove(found[name])
    _swap(found, shapes, {output}, total)
    return found


def _block(shape: tuple[int, ...]) -> int:
    """Larger the fewer types fit."""
    return 0 if shape[-1] % 256 == 0 else 1


def _swap(types: dict[str, str], shapes: Shapes, fixed: set[str], total: float) -> None:
    """Give larger matrices more bits for those of smaller ones, the greatest gain that fits first."""
    alike: dict[tuple[int, int, str], list[str]] = defaultdict(list)
    for name, dtype in types.items():
        if name not in fixed:
            alike[prod(shapes[name]), _block(shapes[name]), dtype].append(name)
    lacking = total - sum(Stored(name, dtype, shapes[name]).nbytes for name, dtype in types.items())
    gains = {
        (large, small): (large[0] - small[0]) * (BITS_A_WEIGHT[small[2]] - BITS_A_WEIGHT[large[2]]) / 8
        for large, small in product(alike, repeat=2) if large[1] == small[1]
    }  # fmt: skip
    for (large, small), gain in sorted(gains.items(), key=lambda each: -each[1]):
        while gain > 0 and gain <= lacking and alike[large] and alike[small]:
            one, other = alike[large].pop(), alike[small].pop()
            types[one], types[other] = types[other], types[one]
            lacking -= gain


# --- names and shapes ---


def _decoder(keys: Keys, modules: Callable[[Keys, int], Shapes], tied: bool = False) -> Shapes:
    """Layers between an embedding and an output."""
    found: Shapes = {"token_embd.weight": (keys.vocab, keys.hidden), "output_norm.weight": (keys.hidden,)}
    found |= {} if tied else {"output.weight": (keys.vocab, keys.hidden)}
    for layer in range(keys["block_count"]):
        for module, shape in modules(keys, layer).items():
            leaf = "bias" if module == "exp_probs_b" else "weight"
            found[f"blk.{layer}.{module}.{leaf}"] = shape
    return found


def _attention(keys: Keys) -> Shapes:
    heads, kv = keys["attention.head_count"], keys["attention.head_count_kv"]
    dim = keys.get("attention.key_length", keys.hidden // heads)
    return {
        "attn_norm": (keys.hidden,), "attn_q": (heads * dim, keys.hidden), "attn_k": (kv * dim, keys.hidden),
        "attn_v": (kv * dim, keys.hidden), "attn_output": (keys.hidden, heads * dim),
    }  # fmt: skip


def _head_norms(keys: Keys) -> Shapes:
    dim = keys["attention.key_length"]
    return {"attn_q_norm": (dim,), "attn_k_norm": (dim,)}


def _gated(keys: Keys, width: int, suffix: str = "", experts: tuple[int, ...] = ()) -> Shapes:
    return {
        f"ffn_gate{suffix}": (*experts, width, keys.hidden), f"ffn_up{suffix}": (*experts, width, keys.hidden),
        f"ffn_down{suffix}": (*experts, keys.hidden, width),
    }  # fmt: skip


def _dense(keys: Keys) -> Shapes:
    return {"ffn_norm": (keys.hidden,)} | _gated(keys, keys["feed_forward_length"])


def _experts(keys: Keys) -> Shapes:
    count = keys["expert_count"]
    routed = _gated(keys, keys["expert_feed_forward_length"], "_exps", (count,))
    return {"ffn_norm": (keys.hidden,), "ffn_gate_inp": (count, keys.hidden)} | routed


def _llama(keys: Keys) -> Shapes:
    return _decoder(keys, lambda keys, _: _attention(keys) | _dense(keys))


def _qwen3(keys: Keys) -> Shapes:
    return _decoder(keys, lambda keys, _: _attention(keys) | _head_norms(keys) | _dense(keys))


def _qwen3_moe(keys: Keys) -> Shapes:
    return _decoder(keys, lambda keys, _: _attention(keys) | _head_norms(keys) | _experts(keys))


def _outer_norms(keys: Keys) -> Shapes:
    return {"post_attention_norm": (keys.hidden,), "post_ffw_norm": (keys.hidden,)}


def _gemma3(keys: Keys) -> Shapes:
    def modules(keys: Keys, _: int) -> Shapes:
        return _attention(keys) | _head_norms(keys) | _outer_norms(keys) | _dense(keys)

    return _decoder(keys, modules, tied=True)


def _glm4(keys: Keys) -> Shapes:
    """GLM-4-0414: gate and up are one matrix, `ffn_up`."""

    def modules(keys: Keys, _: int) -> Shapes:
        width = keys["feed_forward_length"]
        fused: Shapes = {"ffn_norm": (keys.hidden,), "ffn_up": (2 * width, keys.hidden)}
        return _attention(keys) | _outer_norms(keys) | fused | {"ffn_down": (keys.hidden, width)}

    return _decoder(keys, modules)


def _deepseek(absorbed: bool, corrected: bool) -> Callable[[Keys], Shapes]:
    """DeepSeek-V2 and V3; `absorbed` has the halves of `attn_kv_b` once more (MLA), `corrected` the router's bias."""

    def modules(keys: Keys, layer: int) -> Shapes:
        attention = _latent(keys, absorbed)
        if layer < keys["leading_dense_block_count"]:
            return attention | _dense(keys)
        shared = keys["expert_shared_count"] * keys["expert_feed_forward_length"]
        bias: Shapes = {"exp_probs_b": (keys["expert_count"],)} if corrected else {}
        return attention | _experts(keys) | bias | _gated(keys, shared, "_shexp")

    return lambda keys: _decoder(keys, modules)


def _latent(keys: Keys, absorbed: bool) -> Shapes:
    heads, rank, rope = keys["attention.head_count"], keys["attention.kv_lora_rank"], keys["rope.dimension_count"]
    width, value = keys["attention.key_length"], keys["attention.value_length"]
    nope, queries = width - rope, keys.get("attention.q_lora_rank", 0)
    low: Shapes = {
        "attn_q_a": (queries, keys.hidden), "attn_q_a_norm": (queries,), "attn_q_b": (heads * width, queries),
    }  # fmt: skip
    halves: Shapes = {"attn_k_b": (heads * rank, nope), "attn_v_b": (heads * value, rank)}
    return {
        "attn_norm": (keys.hidden,), **(low if queries else {"attn_q": (heads * width, keys.hidden)}),
        "attn_kv_a_mqa": (rank + rope, keys.hidden), "attn_kv_a_norm": (rank,),
        "attn_kv_b": (heads * (nope + value), rank), **(halves if absorbed else {}),
        "attn_output": (keys.hidden, heads * value),
    }  # fmt: skip


_LAYOUTS: Mapping[str, tuple[Callable[[Keys], Shapes], ...]] = {
    "llama": (_llama,), "qwen3": (_qwen3,), "qwen3moe": (_qwen3_moe,), "gemma3": (_gemma3,), "glm4": (_glm4,),
    "chatglm": (_glm4,),  # the label that the first converters gave GLM-4-0414
    "deepseek2": tuple(_deepseek(absorbed, corrected) for absorbed, corrected in product((False, True), repeat=2)),
}  # fmt: skip
"""The counts tell which of several it is."""
