"""What engines compute for themselves or replace after loading: no checkpoint has it, none can be wrong in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing

from mappings.findings import Finding
from tracer.complaints.complaint import Complaint
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.whereabouts import place_of
from tracer.diagnose.hypothesis import Hypothesis
from tracer.errors import InputError

_COMPUTED = (
    "cos_sin_cache",
    "inv_freq",
    "freqs_cis",
    "cos_cached",
    "sin_cached",
    "rope_freqs",
    "attn_mask",
    "causal_mask",
)
"""Tables that follow from config.json."""
_COMPARED = re.compile(r"equal|mismatch|differ|compar|updat|sync|check", re.IGNORECASE)
_WORD = re.compile(r"\w+")
_LOADER = "weight_loader"


def propose(case: Case) -> Iterator[Hypothesis]:
    for complaint in case.complaints:
        found = _replaced(complaint) or _derived(case, complaint)
        if found is not None:
            yield found
    if any("inv_freq" in name for each in case.complaints for name in each.names):
        yield from _testimony(case)


def _derived(case: Case, said: Complaint) -> Hypothesis | None:
    """A comparison of weights that came upon a table."""
    words = " ".join((said.text, *said.names))
    table = next((each for each in _COMPUTED if each in _WORD.findall(words)), None)
    if table is None or said.kind not in ("other", "unexpected", "no-parameter", "no-tensor", "shape"):
        return None
    if said.kind != "other" and not _COMPARED.search(words):
        return None
    if any(place_of(name, case.original.names) for name in said.names if table in name):
        return None
    told = (
        f"{table} is a buffer that every process has computed for itself from config.json, and not a weight: none of"
        f" {len(case.original.names):,} tensors here has that name, the checkpoint is whole, and a comparison of"
        " loaded or synchronised weights has to leave it out"
    )
    finding = Finding("tensor.derived", "info", table, told, {"table": table},
                      "compare stored tensors only, not derived ones and aliases")  # fmt: skip
    return Hypothesis(finding, evident=True, answers=(said,))


def _replaced(said: Complaint) -> Hypothesis | None:
    """`weight_loader` is an attribute that a parameter has until the engine puts another in its place."""
    if said.kind != "attribute" or _LOADER not in said.names:
        return None
    kind = next((field for field in said.fields), "Parameter")
    told = (
        f"a {kind} without {_LOADER} was replaced after the first load: what the engine does to weights then (packing,"
        " quantising, transposing) puts a new object in the parameter's place, which no loader knows; a reload into it"
        " cannot work, and the checkpoint is whole"
    )
    finding = Finding("param.unfilled", "error", _LOADER, told, {"attribute": _LOADER},
                      "use a version of the engine that keeps the loader (or restores the first layout) on reload, or"
                      " start it anew")  # fmt: skip
    return Hypothesis(finding, evident=True, answers=(said,))


def _testimony(case: Case) -> Iterator[Hypothesis]:
    """Frequencies that are stored say with which base the model was computed."""
    state = case.original
    if not state.config or not any(name.endswith("inv_freq") for name in state.names):
        return
    from tracer.diff.values.rows import Unreadable
    from tracer.meaning.material import Material
    from tracer.meaning.rope_theta import examine

    try:
        with closing(Material(state.checkpoint, state.config)) as material:
            meant = examine(material)
    except (Unreadable, InputError):
        return
    said = tuple(each for each in case.complaints if any("inv_freq" in name for name in each.names))
    for finding in meant.check.findings:
        yield Hypothesis(finding, meant.changes, evident=True, answers=said)
