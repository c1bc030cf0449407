"""An existing config.json against the sizes of files.

A config whose own numbers come out to the byte is right; of one that does not, the field is looked for that would make
it come out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mappings.findings import Finding, Unchecked
from tracer.checkpoint.dtypes import BITS, from_config
from tracer.infer.canonical import atoms_of, canonical, text_config
from tracer.infer.conflicts import FIELD, conflict
from tracer.infer.derive import Known
from tracer.infer.loads import Load, Reading, Scale
from tracer.infer.polynomials import put_in, unknowns
from tracer.infer.resolve import Fit, resolve
from tracer.infer.scales import BOUNDS, HABITS, with_habits
from tracer.report.words import plural

_TOTAL = "total_size"
_NEAR = 1024
"""Tokens that are added to a vocabulary, or rows that pad it."""
_WIDTHS = (128, 64, 256, 96, 80, 192)
_MOST_HEADS = 1024
"""More are no number of heads: their divisors are not tried."""
_FREE = frozenset({"mask", "added", "classes"})
"""Atoms that no field of a config tells."""


def of_sizes(
    scales: list[Scale], known: Known, config: Mapping[str, Any]
) -> tuple[list[Finding], list[Unchecked]]:  # fmt: skip
    """Whether the config's own numbers come out; if not, with which other value of one field they would."""
    said = canonical(config)
    atoms = atoms_of(said)
    if not scales or "hidden" not in atoms:
        reason = "neither sizes nor a total are known" if not scales else "config.json lacks the sizes to weigh with"
        return [], [Unchecked("config against sizes", reason)]
    ways = [(reading, loads) for scale in scales for reading in scale.readings() if (loads := _exact(scale, reading))]
    if not ways:
        return [], [Unchecked("config against sizes", "every file holds tensors whose size nobody knows")]
    misfits: dict[Reading, Fit] = {}
    for reading, loads in ways:
        fit = _comes_out(loads, atoms)
        if fit is not None and not fit.misfits:
            return list(_width(reading, known, config)), []
        if fit is not None:
            misfits[reading] = fit
    for repair in (_near_vocabulary, _other_keys, _other_heads, _other_width, _any_vocabulary):
        for reading, loads in ways:
            found = repair(loads, atoms)
            least = len(misfits[reading].misfits) if reading in misfits else len(loads)
            if found is not None and len(found.misfits) < least:
                return [_repaired(found, known, atoms, said, config)], []
    for reading, loads in ways:
        if reading in misfits and (other := _other_total(loads, atoms)):
            stale = _files_tell_vocabulary(loads, misfits[reading])
            told = _stale_total(scales[0], loads, misfits[reading], other) if stale else None
            return [told or _repaired(other, known, atoms, said, config)], []
    odd = Unchecked("config against sizes", "the sizes come out with no single change of config.json")
    return [], [] if misfits else [odd]


def _exact(scale: Scale, reading: Reading) -> list[Load]:
    return [load for load in scale.loads(reading) if load.low != -float("inf")]


def _comes_out(loads: list[Load], atoms: Mapping[str, int]) -> Fit | None:
    """The fit of all loads that disagrees with fewest, if nothing had to be made up for it but what no field tells."""
    allowed = {*atoms, *_FREE, *(name for habit in HABITS for name in habit)}
    found = [fit for fit in with_habits(loads, atoms) if fit.exact and set(fit.atoms) <= allowed]
    return min(found, key=lambda fit: len(fit.misfits), default=None)


def _without(loads: list[Load], atoms: Mapping[str, int], atom: str) -> Fit | None:
    """Everything comes out, with another value of one atom."""
    if atom not in atoms:
        return None
    fit = resolve(loads, {name: value for name, value in atoms.items() if name != atom}, BOUNDS)
    return fit if fit is not None and not fit.open and fit.exact and fit.atoms.get(atom, 0) != atoms[atom] else None


def _near_vocabulary(loads: list[Load], atoms: Mapping[str, int]) -> Fit | None:
    fit = _without(loads, atoms, "vocab")
    return fit if fit is not None and abs(fit.atoms.get("vocab", 0) - atoms["vocab"]) <= _NEAR else None


def _other_total(loads: list[Load], atoms: Mapping[str, int]) -> Fit | None:
    """Files that come out, and a total that does with another vocabulary: two uploads in one folder."""
    return _near_vocabulary([load for load in loads if load.of == _TOTAL], atoms)


def _files_tell_vocabulary(loads: list[Load], fit: Fit) -> bool:
    """Whether a file that holds words comes out with the config's vocabulary."""
    return any(
        load.of != _TOTAL and load.of not in fit.misfits and "vocab" in unknowns(load.polynomial) for load in loads
    )  # fmt: skip


def _stale_total(scale: Scale, loads: list[Load], fit: Fit, other: Fit) -> Finding:
    """The files outrank the total that somebody wrote beside them."""
    expected = next(put_in(load.polynomial, fit.atoms).get((), 0) for load in loads if load.of == _TOTAL)
    files = [load.of for load in loads if load.of != _TOTAL]
    agreeing = sum(file not in fit.misfits for file in files)
    return Finding(
        "index.total-size", "warning", scale.index,
        f"metadata.total_size is {scale.total}, which vocab_size = {other.atoms['vocab']} would give; config.json's "
        f"{fit.atoms['vocab']} gives {expected}, and {agreeing} of {plural(len(files), 'file')} come out with it",
        {"total_size": scale.total, "expected": expected},
        "correct metadata.total_size; no loader needs it, but disk and memory checks read it",
    )  # fmt: skip


def _any_vocabulary(loads: list[Load], atoms: Mapping[str, int]) -> Fit | None:
    fit = _without(loads, atoms, "vocab")
    return fit if fit is not None and fit.spare > 0 else None


def _other_keys(loads: list[Load], atoms: Mapping[str, int]) -> Fit | None:
    fit = _without(loads, atoms, "kv")
    if fit is None or "kv" not in fit.atoms:
        return None
    kv = fit.atoms["kv"]
    return fit if kv % max(1, atoms.get("dim", 1)) == 0 and atoms.get("q", 0) % kv == 0 else None


def _other_heads(loads: list[Load], atoms: Mapping[str, int]) -> Fit | None:
    """Another width of a head, and with it another number of KV heads: the one is read off the other."""
    heads = atoms.get("heads", 0)
    for dim in _WIDTHS if 0 < heads <= _MOST_HEADS else ():
        for kv in (n for n in range(1, heads + 1) if heads % n == 0):
            own = {"q": heads * dim, "kv": kv * dim, "dim": dim, "half": dim // 2}
            fit = _comes_out(loads, {**atoms, **own})
            if fit is not None:
                return fit
    return None


def _other_width(loads: list[Load], atoms: Mapping[str, int]) -> Fit | None:
    for atom in ("ffn", "moe_ffn", "shared_ffn"):
        fit = _without(loads, atoms, atom)
        if fit is not None and fit.atoms.get(atom, 1) % 32 == 0:
            return fit
    return None


def _repaired(
    fit: Fit, known: Known, atoms: Mapping[str, int], said: Mapping[str, Any], config: Mapping[str, Any]
) -> Finding:  # fmt: skip
    """One finding for whatever changed together; where sizes leave only guesses, none of them is told to be set."""
    order = ("vocab", "kv", "q", "ffn", "moe_ffn", "shared_ffn")
    atom = next((name for name in order if name in atoms and fit.atoms.get(name) != atoms[name]), "hidden")
    field, value = FIELD.get(atom, atom), fit.atoms.get(atom, 0)
    if atom in ("kv", "q"):
        value //= max(1, fit.atoms.get("dim", 1))
    agree = "agrees" if fit.agreeing == 1 else "agree"
    told = f"{plural(fit.agreeing, 'known size')} {agree}" + (f", {len(fit.misfits)} not" if fit.misfits else "")
    if atom == "kv" and fit.atoms.get("dim") != atoms.get("dim"):
        told += f", with heads of {fit.atoms['dim']} instead of {atoms['dim']}"
    found = conflict(config, field, said.get(field, said.get("heads") if atom == "kv" else atoms[atom]), value, told)
    return replace(found, severity="warning", fix=None) if known.limit == "guess" else found


def _width(reading: Reading, known: Known, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Bytes an element, where config.json states a data type and nothing is quantised."""
    text = text_config(config)
    stated = text.get("torch_dtype") or text.get("dtype")
    told = from_config(stated) if isinstance(stated, str) else None
    if told and not known.quantisation and BITS[told] // 8 != reading.width:
        yield Finding(
            "config.conflict", "warning", "torch_dtype",
            f"config.json says torch_dtype = {stated}, the sizes come out with {reading.width} bytes an element",
            {"field": "torch_dtype", "found": stated, "bytes": reading.width}, "correct torch_dtype",
        )  # fmt: skip
