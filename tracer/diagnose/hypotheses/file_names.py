"""Files of a model under names that a loader does not look for.

Transformers opens `model.safetensors` or what `model.safetensors.index.json` names, and the same of pytorch_model.bin
(`_get_resolved_checkpoint_files`); vLLM and SGLang read every file of the kind, whatever it is called.
"""

from __future__ import annotations

from collections.abc import Iterator

from mappings.findings import Finding, Severity
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.question import counted
from tracer.diagnose.hypothesis import Hypothesis

_SOUGHT = ("model.safetensors", "pytorch_model.bin")
_SHOWN = 3


def propose(case: Case) -> Iterator[Hypothesis]:
    checkpoint = case.original.checkpoint
    here = checkpoint.files.names()
    held = sorted({tensor.file for tensor in checkpoint.tensors if tensor.file})
    said = tuple(
        each for each in case.complained("no-file")
        if set(each.files) & {*_SOUGHT, *(f"{name}.index.json" for name in _SOUGHT)}
    )  # fmt: skip
    if (case.original.codes and not said) or "shards.gap" in case.original.codes:
        return  # what is wrong with the files comes first; an index of what is left would hide that some are not here
    if case.original.patient.part:
        return  # one file of several was asked about, and not whether it is found
    if checkpoint.index is not None or not checkpoint.config or not checkpoint.config.get("architectures"):
        return
    if not held or set(here) & set(_SOUGHT) or not all(name.endswith((".safetensors", ".bin")) for name in held):
        return
    wanted = _SOUGHT[held[0].endswith(".bin")]
    shown = ", ".join(held[:_SHOWN]) + (f" and {len(held) - _SHOWN} more" if len(held) > _SHOWN else "")
    severity: Severity = "error" if said else "warning"
    if len(held) > 1:
        told = (
            f"{wanted}.index.json is not here, which says what is in which of {counted(len(held), 'file')} ({shown}):"
            " Transformers finds no model without it, while engines that read every file load them"
        )
        fix = f"fetch {wanted}.index.json, or write one from the headers"
    else:
        told = (
            f"the model is in {shown}, and Transformers looks for {wanted}: it finds no model, while engines that read"
            " every file load it"
        )
        fix = f"rename {held[0]} to {wanted}"
    subject = f"{wanted}.index.json" if len(held) > 1 else held[0]
    finding = Finding("index.missing-file", severity, subject, told, {"files": held[:256], "sought": wanted}, fix)
    yield Hypothesis(finding, evident=True, answers=said)
