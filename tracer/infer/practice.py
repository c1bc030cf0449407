"""Geometries that nobody published: the field's practice, tried against the sizes of files.

Hidden sizes are multiples of 64, heads 64 to 256 wide, feed-forwards of round sizes, vocabularies as published
tokenizers have them. What is tried must come out to the byte; what is more usual costs less.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product as combinations
from math import inf
from typing import NamedTuple

from tracer.infer.heads import PRACTICE, turned_part
from tracer.infer.loads import Load, Reading, Scale
from tracer.infer.names import Structure
from tracer.infer.polynomials import Monomial, Number, put_in, unknowns
from tracer.infer.published import vocabularies
from tracer.infer.resolve import Fit, resolve
from tracer.infer.scales import BOUNDS

_GROUPS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64)
"""Query heads that share a KV head."""
_RATIOS = (Fraction(1, 2), Fraction(3, 4), Fraction(5, 4), Fraction(4, 3), Fraction(3, 2), Fraction(2), Fraction(4))
"""Width of all heads over the hidden size, where they differ."""
_MOST_LOADS = 8
_USUAL = 14
"""Cost of an answer besides which no odd reading of the bytes need be tried."""
_ENOUGH = 200
"""Answers; more than that is no answer."""
_EXPERTS = (8, 16, 32, 40, 48, 60, 64, 72, 96, 128, 160, 256, 384, 512)


@dataclass
class Budget:
    """How many geometries may still be tried: what takes longer is given up, not guessed at."""

    left: int

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0


class Tried(NamedTuple):
    """A geometry whose bytes come out, and how unusual it is."""

    fit: Fit
    reading: Reading
    cost: float


def by_practice(
    scale: Scale, known: Mapping[str, int], readings: Sequence[Reading], budget: Budget
) -> Iterator[Tried]:  # fmt: skip
    """Geometries with which all loads agree."""
    for reading in readings:
        loads = scale.loads(reading)
        exact = [load for load in loads if load.low > -inf]
        if not exact:
            continue
        few = _distinct(exact)
        found = list(_search(scale.names, few, exact, known, budget))
        tried = [Tried(fit, reading, 10 + 6 * reading.oddities + cost(fit.atoms)) for fit in found[:_ENOUGH]]
        yield from tried
        if any(each.cost < _USUAL for each in tried):
            return


def _distinct(loads: Sequence[Load]) -> list[Load]:
    """Loads of different contents, the most different ones first, and the total."""
    by_content: dict[tuple[tuple[Monomial, Number], ...], Load] = {}
    for load in loads:
        by_content.setdefault(tuple(sorted(load.polynomial.items())), load)
    found = sorted(by_content.values(), key=lambda load: (load.of != "total_size", len(load.polynomial)))
    return [*found[: _MOST_LOADS // 2], *found[max(_MOST_LOADS // 2, len(found) - _MOST_LOADS // 2) :]]


def _search(
    names: Structure, few: Sequence[Load], all_loads: Sequence[Load], known: Mapping[str, int],
    budget: Budget,
) -> Iterator[Fit]:  # fmt: skip
    heaviest = max(few, key=lambda load: load.high)
    for ratios in ((Fraction(1),), _RATIOS):
        found = 0
        for hidden in hidden_sizes(names, heaviest, known):
            inside = {**known, "hidden": hidden}
            put = [Load(load.of, put_in(load.polynomial, inside), load.low, load.high) for load in few]
            for attention in attentions(names, hidden, ratios):
                if budget.left <= 0 or _hopeless(put, attention):
                    return
                for fit in _rest(names, put, {**inside, **attention}, budget):
                    checked = resolve(all_loads, fit.atoms, {})
                    if checked is not None and not checked.open:
                        found += 1
                        yield checked._replace(spare=fit.spare)
        if found:
            return


def _hopeless(loads: Sequence[Load], attention: Mapping[str, int]) -> bool:
    """Whether far more is unknown than loads can say."""
    open_ = {atom for load in loads for atom in unknowns(load.polynomial)} - set(attention)
    return len(open_ - {"vocab", "mask", "experts", "positions", "types"}) > len(loads)


def hidden_sizes(names: Structure, load: Load, known: Mapping[str, int]) -> Iterator[int]:
    """Those with which the heaviest load can come out at all."""
    if "hidden" in known:
        yield known["hidden"]
        return
    whole = load.low == load.high and all("hidden" in monomial for monomial in load.polynomial)
    for hidden in range(64, 20480 + 1, 64):
        if whole and load.low % hidden:
            continue
        least = _at(load, hidden, low=True, known=known)
        most = _at(load, hidden, low=False, known=known)
        if least <= load.high and most >= load.low:
            yield hidden


def _at(load: Load, hidden: int, low: bool, known: Mapping[str, int]) -> Number:
    """The bytes of a load with everything as small, or as large, as it is made."""
    atoms: dict[str, int] = {}
    for atom in unknowns(load.polynomial):
        own = _RANGE.get(atom, (1, 4))
        atoms[atom] = known.get(atom) or int(own[0] * hidden if low else own[1] * hidden)
    atoms |= {"hidden": hidden, "vocab": known.get("vocab", 1000 if low else 300_000)}
    for atom, least, most in (("experts", 2, 512), ("mask", 1, 1 << 24), ("positions", 16, 1 << 15), ("types", 1, 8)):
        if atom not in known:
            atoms[atom] = least if low else most
    return put_in(load.polynomial, atoms).get((), 0)


_RANGE: Mapping[str, tuple[float, float]] = {
    "q": (0.5, 4), "kv": (0.01, 4), "ffn": (0.5, 8), "moe_ffn": (0.05, 4), "shared_ffn": (0.05, 8), "q_rank": (0.1, 1),
    "kv_rank": (0.05, 0.5), "rope": (0.005, 0.1), "qb": (0.5, 8), "kvb": (0.5, 8), "vo": (0.5, 4), "lin_v": (0.5, 4),
    "lin_k": (0.25, 2), "dim": (0.01, 0.5), "half": (0.005, 0.2), "heads": (0.001, 0.05),
}  # fmt: skip


def attentions(names: Structure, hidden: int, ratios: Sequence[Fraction]) -> Iterator[dict[str, int]]:
    """The widths of attention at this hidden size, as the field has them."""
    if names.has("kv_a"):
        yield from _latents(names, hidden)
        return
    gated = names.has("lin_heads")
    turned = turned_part(names)
    for ratio in ratios:
        q = hidden * ratio
        if q.denominator != 1:
            continue
        for dim, kv in _keys(names, int(q)):
            own = {"q": int(q), "kv": kv, "half": dim // turned}
            if names.has("q_norm"):
                own["dim"] = dim
            if names.has("sinks"):
                own["heads"] = int(q) // dim
            if names.has("out_gate"):
                own["lin_v"] = int(q)
            yield from _deltas(own) if gated else (own,)


def _keys(names: Structure, q: int) -> Iterator[tuple[int, int]]:
    """Width of a head and of all keys, each width of keys once unless the head's is among the tensors."""
    separate = names.has("k")
    seen: set[tuple[int, int]] = set()
    for dim in PRACTICE[:9]:
        heads, rest = divmod(q, dim)
        if rest or not heads:
            continue
        for group in _GROUPS:
            if heads % group == 0 and (group == 1 or separate or names.has("qkv")):
                kv = heads // group * dim
                key = (dim if names.has("q_norm", "inv_freq", "sinks") else 0, kv)
                if key not in seen:
                    seen.add(key)
                    yield dim, kv


def swapped(loads: Sequence[Load], fit: Fit) -> Iterator[Fit]:
    """The same with other heads: a file that holds whole layers has q + kv in it, and not the two apart."""
    q, kv = fit.atoms.get("q", 0), fit.atoms.get("kv", 0)
    exact = [load for load in loads if load.low > -inf]
    tried = {kv}
    for dim, group in combinations(PRACTICE[:5] if q and kv and "qb" not in fit.atoms else (), _GROUPS):
        heads, rest = divmod(q + kv, dim * (group + 1))
        own = {"q": heads * group * dim, "kv": heads * dim}
        if rest or own["kv"] in tried or ("dim" in fit.atoms and fit.atoms["dim"] != dim):
            continue
        tried.add(own["kv"])
        other = resolve(exact, {**fit.atoms, **own}, {})
        if other is not None and not other.open and len(other.misfits) <= len(fit.misfits):
            yield other._replace(spare=fit.spare)


def _latents(names: Structure, hidden: int) -> Iterator[dict[str, int]]:
    """DeepSeek's ranks, and those of the few others."""
    two, one = ((1536, 512), (768, 256), (1024, 256), (2048, 512), (1024, 512)), ((0, 512), (0, 256))
    ranks = two if names.has("q_a") else one
    for (q_rank, kv_rank), (nope, rope, v_dim) in combinations(ranks, ((128, 64, 128), (64, 64, 128), (64, 32, 64))):
        for heads in (8, 16, 32, 40, 48, 64, 96, 128):
            own = {"kv_rank": kv_rank, "rope": rope, "nope": nope, "v_dim": v_dim, "heads": heads}
            own |= {"qb": heads * (nope + rope), "kvb": heads * (nope + v_dim), "vo": heads * v_dim}
            yield own | ({"q_rank": q_rank} if q_rank else {})


def _deltas(own: dict[str, int]) -> Iterator[dict[str, int]]:
    """Qwen3-Next: heads of 128, two or more value heads for each of the keys'."""
    for heads, keys in ((32, 16), (16, 16), (48, 16), (64, 16)):
        yield own | {"lin_heads": heads, "lin_dim": 128, "lin_v": 128 * heads, "lin_k": 128 * keys, "conv": 4}


def _rest(names: Structure, loads: Sequence[Load], atoms: dict[str, int], budget: Budget) -> Iterator[Fit]:
    """What is left: the feed-forwards and the tables."""
    for more in _experts(names, atoms):
        if not budget.take():
            return
        put = [Load(load.of, put_in(load.polynomial, more), load.low, load.high) for load in loads]
        open_ = {atom for load in put for atom in unknowns(load.polynomial)}
        fit = resolve(put, more, BOUNDS)
        if fit is not None and not fit.open:
            if _round(fit.atoms):
                yield fit
        elif len(put) < 3 and (len(open_) > len(put) or fit is not None):
            yield from _with_habits(put, more, open_, budget)


def _experts(names: Structure, atoms: dict[str, int]) -> Iterator[dict[str, int]]:
    """Experts that names do not count, and shared ones, which are as wide as some of the others together."""
    if "experts" in atoms or not names.has("router"):
        yield atoms
    else:
        yield from (atoms | {"experts": count} for count in _EXPERTS)


def _with_habits(loads: Sequence[Load], atoms: dict[str, int], open_: set[str], budget: Budget) -> Iterator[Fit]:
    """One unknown too many: the tokenizers that are about, or a feed-forward of four times the hidden size."""
    ways = [{"vocab": vocab} for vocab in vocabularies()] if "vocab" in open_ else []
    ways += [{"ffn": ffn} for ffn in _usual_widths(atoms["hidden"])] if "ffn" in open_ else []
    for way in ways:
        if not budget.take():
            return
        fit = resolve(loads, {**atoms, **way}, BOUNDS)
        if fit is not None and not fit.open and _round(fit.atoms):
            yield fit


def _usual_widths(hidden: int) -> tuple[int, ...]:
    """Of a feed-forward: four times the hidden size; 8/3 of it, rounded up to 256; 3.5 times."""
    return 4 * hidden, -(-8 * hidden // 3 // 256) * 256, 7 * hidden // 2


def _round(atoms: Mapping[str, int]) -> bool:
    """Feed-forwards are multiples of 32 at least."""
    return all(atoms.get(name, 0) % 32 == 0 for name in ("ffn", "moe_ffn", "shared_ffn"))


def cost(atoms: Mapping[str, int]) -> float:
    """How unusual a geometry is."""
    hidden, q, kv = atoms["hidden"], atoms.get("q", 0), atoms.get("kv", 0)
    total = 0.0 if hidden % 256 == 0 else 1.0 if hidden % 128 == 0 else 3.0
    total += 0 if q in (0, hidden) else 4
    total += _vocabulary(atoms.get("vocab", 0)) + _feed_forward(atoms.get("ffn", 0), hidden)
    total += 0 if not atoms.get("moe_ffn") else 0 if atoms["moe_ffn"] % 128 == 0 else 4
    total += {0: 0, 64: 0, 32: 0.5}.get(atoms.get("half", 0), 1)
    if q and kv and q != kv:
        heads = q // kv
        total += 1 if heads in (2, 4, 5, 6, 7, 8, 16) else 4
    return total


def _vocabulary(vocab: int) -> float:
    known = vocabularies()
    if vocab in known:
        return 0
    nearest = max((size for size in known if size <= vocab), default=0)
    if vocab - nearest <= 16:
        return 3
    return 5 if vocab % 64 == 0 else 12


def _feed_forward(ffn: int, hidden: int) -> float:
    """Four times the hidden size; or 8/3 of it, rounded up to 256; or any round number."""
    if not ffn or ffn in _usual_widths(hidden):
        return 0
    outside = 0 if hidden <= ffn <= 8 * hidden else 10
    return outside + (2 if ffn % 256 == 0 else 4 if ffn % 128 == 0 else 6 if ffn % 64 == 0 else 9)
