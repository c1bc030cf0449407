"""How much one name is like another: what both are for, the words that they share, and where a norm stands.

Spellings are those of the state dicts that `infer.roles` lists; words are compared after the synonyms below.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import lru_cache

from mappings.names import is_index
from tracer.infer.roles import LEAVES
from tracer.renames.candidates import OLD_SPELLINGS

_WORDS = re.compile(r"w[123]\b|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SYNONYMS = {
    "query": "q", "queries": "q", "wq": "q", "key": "k", "keys": "k", "wk": "k", "value": "v", "values": "v",
    "wv": "v", "wo": "o", "output": "o", "out": "o", "attention": "attn", "ffn": "mlp", "ff": "mlp", "fc": "mlp",
    "feedforward": "mlp", "ln": "norm", "layernorm": "norm", "rmsnorm": "norm", "embeddings": "embed",
    "embedding": "embed", "embd": "embed", "wte": "embed", "tok": "tokens", "token": "tokens", "word": "tokens",
    "projection": "proj", "lin": "proj", "linear": "proj", "pre": "input", "expand": "up", "contract": "down",
    "router": "gate", "blocks": "layers", "h": "layers", "block": "layers", "layer": "layers", "unembed": "head",
    "classifier": "head", "final": "f", "w1": "gate", "w2": "down", "w3": "up",
}  # fmt: skip
_SILENT = frozenset({
    "model", "transformer", "module", "backbone", "decoder", "base", "language", "text", "self", "layers", "proj",
})  # fmt: skip
"""Words that most names of a checkpoint have."""
_FIRST, _SECOND = frozenset({"input", "attn", "1"}), frozenset({"post", "mlp", "2", "o"})
"""What norms before attention, and those after it, are called."""

PLAIN_LEAVES = {**dict(OLD_SPELLINGS), "kernel": "weight", "embedding": "weight", "": "weight"}
"""What other programs call a leaf: TensorFlow's LayerNorm and Dense."""


def leaf_of(leaf: str) -> str:
    """`gamma` -> `weight`."""
    return PLAIN_LEAVES.get(leaf, leaf)


@lru_cache(maxsize=1 << 14)
def words(name: str) -> frozenset[str]:
    """The words of a name that say something, in one spelling."""
    segments = [s for s in name.split(".") if not is_index(s) and not s.startswith("{") and s not in LEAVES]
    found = (_SYNONYMS.get(word.lower(), word.lower()) for s in segments for word in _WORDS.findall(s))
    return frozenset(found) - _SILENT


def likeness(own: str, own_role: str, other: str, other_role: str) -> float:
    """Above zero where the names speak for one another; well below where they are for different things."""
    score = 0.0
    if own_role and other_role:
        score = 3.0 if own_role == other_role else -2.0
    mine, theirs = words(own), words(other)
    if mine or theirs:
        score += 2.0 * len(mine & theirs) / len(mine | theirs)
    score += SequenceMatcher(None, _end(own), _end(other), autojunk=False).ratio()
    return score + _places(mine, theirs)


def _places(mine: Iterable[str], theirs: Iterable[str]) -> float:
    """Whether two norms stand on the same side of attention."""
    one, other = _place(frozenset(mine)), _place(frozenset(theirs))
    if not one or not other:
        return 0.0
    return 1.0 if one == other else -2.0


def _place(found: frozenset[str]) -> str:
    if "norm" not in found and "1" not in found and "2" not in found:
        return ""
    if found & {"post", "2"}:
        return "second"
    if found & _FIRST:
        return "first"
    return "second" if found & _SECOND else ""


def _end(name: str) -> str:
    """The last two components of a module that say something."""
    kept = [s for s in name.split(".") if not is_index(s) and not s.startswith("{") and s not in LEAVES]
    return ".".join(kept[-2:]).lower()
