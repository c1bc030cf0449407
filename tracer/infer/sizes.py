"""Atoms where no header is here: a published geometry, or the field's practice, whose bytes are those of the files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf
from typing import NamedTuple

from tracer.infer.derive import Known, experts_of, layers_of
from tracer.infer.equations import Solved
from tracer.infer.fields import Confidence
from tracer.infer.loads import Load, Reading, Scale
from tracer.infer.polynomials import Packing
from tracer.infer.practice import Budget, by_practice, cost, swapped
from tracer.infer.published import Published, published, vocabularies
from tracer.infer.resolve import Fit, resolve
from tracer.infer.scales import BOUNDS, with_habits

_DTYPES = {1: "F8_E4M3", 2: "BF16", 4: "F32"}
_FILES = 3
"""Sizes that must be known for a geometry that nobody published: one file and its total are one equation."""
_SPARE = 2
"""By so many more files than unknowns must a geometry of another family come out."""
_ADDED = 512
"""Words that were added to a published vocabulary."""


class Answer(NamedTuple):
    """A way in which the sizes come out."""

    fit: Fit
    reading: Reading
    packing: Packing
    origin: Published | None
    cost: float
    """How much must be believed for it; the least is the answer."""


def weighed(here: Sequence[Scale], known: Known) -> Known:
    """The same, with the atoms that sizes tell."""
    answers = [answer for scale in here for answer in _published_answers(scale, known)]
    if not any(answer.cost < _CHEAP for answer in answers):
        budget = Budget(TRIES)
        answers += [answer for scale in here for answer in _unpublished(scale, known, budget)]
    answers.sort(key=lambda answer: answer.cost)
    return _taken(known, answers) if answers else known


_CHEAP, _CLOSE, _DEAR = 6, 4, 50
"""Costs: below which nothing else need be tried; by which a rival may be dearer; above which it is a guess."""
_READINGS = 6
_SWAPPED = 22
"""Cost of an answer whose heads are worth a second look."""
TRIES = 6_000
"""Geometries that are tried in all before it is given up."""


def _unpublished(scale: Scale, known: Known, budget: Budget) -> Iterator[Answer]:
    atoms = dict(known.solved.atoms)
    count, _ = experts_of(known.names)
    if count:
        atoms["experts"] = count
    for fit, reading, price in by_practice(scale, atoms, list(scale.readings())[:_READINGS], budget):
        yield Answer(fit, reading, scale.packing, None, price)
        if price < _SWAPPED:
            # With norms or sinks of each head, all heads are rarely as wide as the model: no split is the usual one.
            most = _CLOSE if scale.names.has("q_norm", "sinks") else inf
            for each in swapped(scale.loads(reading), fit):
                dearer = min(most, cost(each.atoms) - cost(fit.atoms))
                yield Answer(each, reading, scale.packing, None, price + dearer)


def _published_answers(scale: Scale, known: Known) -> Iterator[Answer]:
    here, _, _ = layers_of(known.names)
    experts, _ = experts_of(known.names)
    candidates = [each for each in published() if _possible(each, known, len(here), experts)]
    for reading in scale.readings():
        loads = scale.loads(reading)
        exact = any(load.low > -inf for load in loads)
        for each in candidates:
            if not exact and (reading.oddities or not _same_kind(each, known)):
                continue
            fit = _fit(each, known, loads)
            if fit is not None and (fit.exact or _same_kind(each, known)):
                yield Answer(fit, reading, scale.packing, each, _cost(fit, reading, each, known))


def _same_kind(each: Published, known: Known) -> bool:
    """Whether a geometry is of the family that the names show."""
    return each.config.get("model_type") == known.family.model_type


def _possible(each: Published, known: Known, layers: int, experts: int | None) -> bool:
    told = each.fields.get("experts")
    routed = known.names.has("router")
    same = each.fields.get("layers") == layers and (experts is None or told == experts) and bool(told) == routed
    atoms = known.solved.atoms
    shared = (name for name in atoms if name in each.atoms and name != "vocab")
    return same and all(each.atoms[name] == atoms[name] for name in shared)


def _fit(each: Published, known: Known, loads: Sequence[Load]) -> Fit | None:
    atoms = {name: value for name, value in each.atoms.items() if name != "vocab"} | known.solved.atoms
    if experts_of(known.names)[0]:
        atoms["experts"] = experts_of(known.names)[0] or 0
    found = [fit for fit in with_habits(loads, atoms) if "vocab" in fit.atoms]
    if found:
        return min(found, key=lambda fit: len(fit.misfits))
    return resolve(loads, {**atoms, "vocab": each.atoms.get("vocab", 0)}, BOUNDS)


def _cost(fit: Fit, reading: Reading, each: Published, known: Known) -> float:
    vocab, usual = fit.atoms.get("vocab", 0), each.atoms.get("vocab", 0)
    other = each.config.get("model_type") != known.family.model_type
    apart = 0 if vocab == usual else 3 if 0 < vocab - usual <= 1024 else 14 if vocab % 64 == 0 else 25
    weak = 30 if fit.spare < -1 or not fit.agreeing else 0
    return 6 * reading.oddities + apart + 2 * other + 5 * len(fit.misfits) + weak


def _taken(known: Known, answers: Sequence[Answer]) -> Known:
    """The likeliest answer; what the others say differently is kept beside it."""
    best = answers[0]
    rivals = [a for a in answers[1:] if a.cost <= best.cost + _CLOSE and _widths(a) != _widths(best)]
    also = {
        atom: sorted({rival.fit.atoms[atom] for rival in rivals if rival.fit.atoms.get(atom, value) != value})
        for atom, value in _widths(best).items()
    }
    least = 0 if best.origin is None or _same_kind(best.origin, known) else _SPARE
    proved = best.fit.exact and best.fit.spare >= least and best.cost < _DEAR and _is_credible(best)
    limit: Confidence = "likely" if proved and not rivals else "guess"
    origin = f" ({best.origin.name})" if best.origin else ""
    solved = Solved(dict(best.fit.atoms), {atom: f"{atom} = {v}" for atom, v in best.fit.atoms.items()})
    dtype = known.dtype or _DTYPES[best.reading.width]
    fields = {**best.origin.fields, "dim": best.origin.atoms.get("dim", 0)} if best.origin else None
    quantisation = known.quantisation and {**known.quantisation, **_bits(known, best.packing)}
    return replace(
        known, quantisation=quantisation, solved=solved, limit=limit, source=f"{_said(best)}{origin}", dtype=dtype,
        published=fields,
        published_name=best.origin.name if best.origin else "", also={k: v for k, v in also.items() if v},
    )  # fmt: skip


def _is_credible(best: Answer) -> bool:
    """Whether the vocabulary, which is solved for, is a tokenizer's, or has a few words more.

    With any other, another geometry may have as many bytes: with this one too, files of a model that nobody published.
    """
    vocab = best.fit.atoms.get("vocab")
    known = vocab is None or any(0 <= vocab - size <= _ADDED for size in vocabularies())
    ffn = best.fit.atoms.get("ffn", 0)
    if ffn % 32 and (best.origin is None or best.origin.atoms.get("ffn") != ffn):
        return False
    return known and (best.origin is not None or (best.fit.exact >= _FILES and not best.fit.misfits))


def _widths(answer: Answer) -> dict[str, int]:
    """What fields are made of."""
    return {atom: value for atom, value in answer.fit.atoms.items() if atom not in ("half", "mask", "lin_v", "dim")}


def _bits(known: Known, packing: Packing) -> dict[str, int]:
    """What the sizes say of a scheme whose names do not."""
    if known.quantisation.get("quant_method", "mlx") not in ("gptq", "awq", "mlx"):
        return {}
    return {"bits": packing.bits, "group_size": packing.group or -1}


def _said(best: Answer) -> str:
    files = best.fit.agreeing
    odd = f", {len(best.fit.misfits)} disagree" if best.fit.misfits else ""
    return f"the bytes of {files} {'files and totals' if files > 1 else 'total'} come out{odd}"
