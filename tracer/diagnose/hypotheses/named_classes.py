"""The class that config.json names: none, or one that is another's name with a slip of the pen."""

from __future__ import annotations

from collections.abc import Iterator

from mappings.findings import Finding
from tracer.complaints.complaint import Complaint
from tracer.diagnose.case import Case
from tracer.diagnose.hypothesis import Hypothesis
from tracer.infer.families import NAMED
from tracer.repair.changes import SetField


def propose(case: Case) -> Iterator[Hypothesis]:
    """Only where an engine says that it found no class, or that it does not know this one."""
    config = case.original.config
    own = config.get("architectures")
    declared = own[0] if isinstance(own, list) and own and isinstance(own[0], str) else ""
    kind = config.get("model_type")
    for said in case.complained("no-architecture"):
        if not declared and not said.fields:
            known = [name for name, family in NAMED.items() if kind is not None and family.model_type == kind]
            yield _none(said, str(kind), known[0] if len(known) == 1 else None)
        elif declared in said.fields and declared not in NAMED:
            meant = next((name for name in (*NAMED, *_listed(said)) if name.lower() == declared.lower()), None)
            if meant is not None and meant != declared:
                yield _slip(said, declared, meant)


def _listed(said: Complaint) -> list[str]:
    """Those that the engine itself names as known."""
    return [word.strip("'\"[]() ") for word in said.text.partition("upported architectures")[2].split(",")]


def _none(said: Complaint, kind: str, name: str | None) -> Hypothesis:
    told = "config.json names no class (architectures), by which this engine chooses the model"
    if name is None:
        finding = Finding("config.missing-field", "error", "architectures", told, {"field": "architectures"},
                          "set architectures to the class of the model")  # fmt: skip
        return Hypothesis(finding, evident=True, answers=(said,))
    finding = Finding("config.missing-field", "error", "architectures", f"{told}; model_type {kind} is that of {name}",
                      {"field": "architectures", "value": [name]}, f'set architectures to ["{name}"]')  # fmt: skip
    return Hypothesis(finding, (SetField("architectures", [name]),), evident=True, answers=(said,))


def _slip(said: Complaint, declared: str, name: str) -> Hypothesis:
    finding = Finding(
        "arch.unknown", "error", "architectures",
        f"config.json says {declared}, and no class is called so: {name} differs in its capital letters alone",
        {"field": "architectures", "found": declared, "tensors": name}, f'set architectures to ["{name}"]',
    )  # fmt: skip
    return Hypothesis(finding, (SetField("architectures", [name]),), evident=True, answers=(said,))
