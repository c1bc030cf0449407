"""How many heads there are: shapes know heads x head_dim, and rarely the two apart.

Exact where a tensor is as wide as a head (norms of queries and keys) or as long as there are heads (sinks), and for
latent attention, whose four products have one solution. Elsewhere a published geometry of the same widths decides, and
without one the field's practice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tracer.infer.fields import Confidence
from tracer.infer.names import Structure

PRACTICE = (128, 64, 256, 96, 80, 112, 192, 160, 100, 72, 32, 16, 8, 4)
"""Widths of a head, the commonest first."""
_SMALL = 2048
"""Below this hidden size, heads of 64 are the commonest."""


class Heads(NamedTuple):
    """What is said of attention's heads."""

    heads: int
    kv_heads: int
    dim: int
    evidence: str
    confidence: Confidence


class Latent(NamedTuple):
    """Multi-head latent attention."""

    heads: int
    nope: int
    rope: int
    v_dim: int


def latent(atoms: Mapping[str, int]) -> Latent | None:
    """heads x (nope + rope), heads x (nope + v), heads x v and rope have one solution (arXiv 2405.04434, section 2.1).

    >>> latent({"qb": 16 * 192, "kvb": 16 * 256, "vo": 16 * 128, "rope": 64})
    Latent(heads=16, nope=128, rope=64, v_dim=128)
    """
    rope = atoms.get("rope")
    heads = atoms.get("heads")
    if rope is None or not all(name in atoms for name in ("qb", "vo")):
        return None
    if heads is None and "kvb" in atoms:
        heads, rest = divmod(atoms["qb"] - atoms["kvb"] + atoms["vo"], rope)
        heads = 0 if rest else heads
    if not heads or heads < 0 or atoms["qb"] % heads or atoms["vo"] % heads:
        return None
    return Latent(heads, atoms["qb"] // heads - rope, rope, atoms["vo"] // heads)


def heads_of(names: Structure, atoms: Mapping[str, int], published: Mapping[str, Any] | None) -> Heads | None:
    """The split of the query and key widths; None where those are not known."""
    q = atoms.get("q")
    if not q:
        return None
    kv = atoms.get("kv", q)
    exact = _exact(names, atoms, q, kv)
    if exact is not None:
        return exact
    if published and published.get("dim") and _divides(published["dim"], q, kv):
        told = f"{products(q, kv)}; the published geometry of these widths has heads of {published['dim']}"
        return _split(q, kv, published["dim"], told, "likely")
    half = atoms.get("half")
    if half and names.has("inv_freq") and _divides(dim := turned_part(names) * half, q, kv):
        told = f"inv_freq ({half},) turns {2 * half} of the {dim} dimensions of each head; {products(q, kv)}"
        return _split(q, kv, dim, told, "likely")
    return _by_practice(q, kv, atoms.get("hidden", q))


def turned_part(names: Structure) -> int:
    """Dimensions of a head over the frequencies stored: 2, but ChatGLM turns only half of them."""
    return 4 if "rotary_pos_emb.inv_freq" in names.modules else 2


def products(q: int, kv: int) -> str:
    return f"heads x head_dim = {q}" + (f", KV heads x head_dim = {kv}" if kv != q else "")


def _exact(names: Structure, atoms: Mapping[str, int], q: int, kv: int) -> Heads | None:
    dim, heads = atoms.get("dim"), atoms.get("heads")
    if dim and names.has("q_norm") and _divides(dim, q, kv):
        norm = next((group.told for group in names.of("q_norm")), "q_norm")
        return _split(q, kv, dim, f"{norm} is as wide as a head; {products(q, kv)}", "certain")
    if heads and names.has("sinks") and q % heads == 0 and _divides(q // heads, q, kv):
        told = f"one scalar a head: {heads}; {products(q, kv)}"
        return _split(q, kv, q // heads, told, "certain")
    return None


def _by_practice(q: int, kv: int, hidden: int) -> Heads | None:
    order = PRACTICE if hidden >= _SMALL else (64, *PRACTICE)
    # One KV head is rarer than many: the width of the keys is a head's only where nothing smaller is usual.
    fitting = list(dict.fromkeys(dim for dim in order if _divides(dim, q, kv)))
    if not fitting:
        return None
    others = [f"{q // dim} of {dim}" for dim in fitting[1:4]]
    also = f"; {', '.join(others)} would fit as well" if others else ""
    told = f"{products(q, kv)}; heads of {fitting[0]} are the field's practice{also}"
    return _split(q, kv, fitting[0], told, "guess")


def _divides(dim: int, q: int, kv: int) -> bool:
    return dim > 0 and q % dim == 0 and kv % dim == 0 and (q // dim) % max(1, kv // dim) == 0


def _split(q: int, kv: int, dim: int, told: str, confidence: Confidence) -> Heads:
    return Heads(q // dim, kv // dim, dim, told, confidence)
