"""What a tensor may be for, told from the words of its name, its shape and its dtype: what may be blank, and what not.

Names are read by whole words. Where they say nothing, a tensor is taken for something that may be blank: a fault that
is missed among buffers costs less than a sound checkpoint called broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from mappings.names import Indices, blank, fold
from tracer.values.statistics import Statistics

_MATRICES = {"weight", "qweight", "kernel", "blocks", "packed", "proj", "w1", "w2", "w3", "wi", "wo"}
"""The last word of a name that holds a matrix to multiply with: `gate_up_proj_blocks`, `experts.down_proj`."""
_SCALES = {"scales", "weight_scale", "weight_scale_inv", "weight_scale_2", "absmax"}
"""Leaves that a weight is multiplied with."""
_MAY_BE_BLANK = {
    "bias", "biases", "mask", "masked", "causal", "tril", "position", "positions", "pos", "freq", "freqs", "rotary",
    "ids", "idx", "lora", "observer", "zeros", "qzeros", "norm", "layernorm", "ln", "modulation",
}  # fmt: skip
_TOKEN_TYPES = {"token", "type"}
"""RoBERTa has none, and its published checkpoints keep a table of zeros for them."""
_BOUNDS = {"min", "max", "limit", "clip", "bound"}
_MASKS = {"bias", "mask", "masked", "causal", "tril"}
_LAST = ("o_proj", "down_proj")
_VOCABULARY = {"embed", "embedding", "embeddings", "embd", "embeds", "wte", "shared", "head", "output", "decoder"}


@lru_cache(maxsize=1 << 17)
def words(name: str) -> frozenset[str]:
    """`model.layers.3.self_attn.q_proj.weight` has `self`, `attn`, `q` and seven more."""
    return frozenset(name.replace("_", ".").lower().split("."))


def leaf(name: str) -> str:
    return name.rpartition(".")[2]


def is_matrix(found: Statistics) -> bool:
    """Two dimensions or more; or packed bytes, which bitsandbytes keeps in a column."""
    wide = sum(size > 1 for size in found.shape)
    return wide >= 2 or (found.dtype == "U8" and len(found.shape) == 2 and wide == 1)


def is_weight(found: Statistics) -> bool:
    """Whether it is a matrix that a model multiplies with, as it is or packed."""
    last = leaf(found.name)
    held = words(found.name)
    known = last in ("weight", "weight_packed") or last.rpartition("_")[2] in _MATRICES
    may_be_blank = held & _MAY_BE_BLANK or held >= _TOKEN_TYPES
    return known and is_matrix(found) and found.dtype != "BOOL" and not may_be_blank


def is_scale(found: Statistics) -> bool:
    return leaf(found.name) in _SCALES and found.dtype.startswith(("F", "BF"))


def is_norm(found: Statistics) -> bool:
    """The weights of a norm: of a transformer's names, one ends in `norm`, `ln` or `ln_1` ahead of `weight`."""
    return (
        leaf(found.name) == "weight" and not is_matrix(found) and bool(words(found.name) & {"norm", "layernorm", "ln"})
    )


def is_mask(found: Statistics) -> bool:
    return bool(words(found.name) & _MASKS)


def is_bound(found: Statistics) -> bool:
    """A number that others are cut off at; without a limit it is infinite."""
    return found.count == 1 and bool(words(found.name) & _BOUNDS)


def is_vocabulary(found: Statistics) -> bool:
    """A table with one row a token, at either end of the model."""
    return len(found.shape) == 2 and bool(words(found.name) & _VOCABULARY)


def writes_back(name: str) -> str | None:
    """The block whose output this matrix is the last step of: `model.layers.3` for its o_proj and its down_proj."""
    parts = name.split(".")
    if len(parts) < 4 or parts[-1] != "weight" or parts[-2] not in _LAST:
        return None
    return ".".join(parts[:-3])


def grouped(found: Iterable[Statistics]) -> list[tuple[str, list[Statistics]]]:
    """By template, spelled with the positions that occur: `model.layers.{0..3, 7}.mlp.up_proj.weight`."""
    groups: dict[str, list[tuple[Indices, Statistics]]] = {}
    for each in found:
        template, indices = blank(each.name)
        groups.setdefault(template, []).append((indices, each))
    return [
        (fold(template, [indices for indices, _ in held]), [each for _, each in held])
        for template, held in groups.items()
    ]


def spelled(found: Sequence[Statistics], most: int = 4) -> str:
    """Templates, the first few of them."""
    texts = [text for text, _ in grouped(found)]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")
