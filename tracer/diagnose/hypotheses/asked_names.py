"""Names without rows: what the words ask for, or have twice, against the names that are here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mappings.findings import Finding
from mappings.names import blank
from tracer.complaints.complaint import Complaint
from tracer.diagnose.case import Case
from tracer.diagnose.hypothesis import Hypothesis
from tracer.renames import Edit
from tracer.renames.candidates import candidates
from tracer.repair.changes import Rename

_MOST = 0.5
"""Of all names: an edit that touches fewer is no wrapper around the model."""


def propose(case: Case) -> Iterator[Hypothesis]:
    """Only where no rows say what the names should be, and somebody complains of one."""
    if case.state.plan is not None or not case.state.names:
        return
    for complaint in case.complained("no-tensor", "no-parameter", "unexpected"):
        asked = _wanted if complaint.kind == "no-tensor" else _doubled
        edit = asked(case.state.names, complaint)
        changed = {} if edit is None else _changed(edit, case.state.names)
        if edit is not None and len(changed) > _MOST * len(case.state.names):
            yield Hypothesis(
                _finding(edit, changed, complaint), (Rename(changed),), evident=True, answers=(complaint,)
            )  # fmt: skip


def _doubled(names: Sequence[str], complaint: Complaint) -> Edit | None:
    """`model.model.embed_tokens`: components too many, as a script puts them there that does so twice."""
    for said in complaint.names:
        first = said.partition(".")[0]
        times = max((_repeats(name, first) for name in names), default=0)
        if _repeats(said, first) > 1 and times > 1:
            return Edit("start", ((".".join([first] * (times - 1)), ""),))
    return None


def _repeats(name: str, first: str) -> int:
    """How often a name begins with a component."""
    segments = name.split(".")
    return next((place for place, segment in enumerate(segments) if segment != first), len(segments))


def _wanted(names: Sequence[str], complaint: Complaint) -> Edit | None:
    """The edit that gives a name which the engine asks for, of one that is here and ends alike.

    Only names in layers: a head or an embedding may lie elsewhere than all the rest.
    """
    here = set(names)
    for wanted in (name for name in complaint.names if blank(name)[1]):
        end = "." + ".".join(wanted.split(".")[-2:])
        near = [name for name in names if name.endswith(end) and name != wanted]
        edits = [] if wanted in here else [each for each in candidates(near, [wanted], {}, {}) if each.where == "start"]
        reached = [each for each in edits if any(each.apply(name) == wanted for name in near)]
        if reached:
            return max(reached, key=lambda each: len(_changed(each, names)))
    return None


def _changed(edit: Edit, names: Sequence[str]) -> Mapping[str, str]:
    """Each name that the edit touches, as it is then; nothing where two become one."""
    found = {name: new for name in names if (new := edit.apply(name)) is not None and new != name}
    untouched = set(names) - found.keys()
    return found if len(set(found.values())) == len(found) and not untouched & set(found.values()) else {}


def _finding(edit: Edit, changed: Mapping[str, str], complaint: Complaint) -> Finding:
    first, new = next(iter(changed.items()))
    return Finding(
        "name.rewrite", "error", first,
        f"{edit}: it changes {len(changed)} names alike, with 0 collisions, and `{first}` is then `{new}`; no rows say"
        f" what the others should be, and `{complaint.names[0]}` is what was complained of",
        {"edit": str(edit), "of": len(changed), "collisions": 0}, f"{edit} in the names",
    )  # fmt: skip
