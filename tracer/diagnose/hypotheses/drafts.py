"""Layers past the last one, which predict further tokens: stored under its number, loaded by a model of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from mappings.findings import Finding
from mappings.names import is_index, runs
from tracer.checkpoint.json_object import read_object
from tracer.complaints.complaint import Complaint
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.question import counted
from tracer.diagnose.hypothesis import Hypothesis
from tracer.errors import InputError
from tracer.infer.canonical import ALIASES, canonical, spelled_in, text_config

_DESCRIPTION = "quant_model_description.json"
"""Where Ascend's msmodelslim says of each tensor how it is stored."""


def propose(case: Case) -> Iterator[Hypothesis]:
    """For errors that name a layer from `num_hidden_layers` on."""
    state = case.original
    said = [each for each in case.complained("no-parameter", "no-tensor") if each.names]
    sizes = canonical(state.config)
    layers, drafts = sizes.get("layers"), sizes.get("drafts")
    if not said or type(layers) is not int or type(drafts) is not int or drafts < 1:
        return
    for complaint in said:
        number = next((n for name in complaint.names[:8] if (n := _layer(name)) is not None), None)
        if number is None or not layers <= number < layers + drafts:
            continue
        own = [name for name in state.names if _layer(name) == number]
        if own:
            yield _undescribed(case, complaint, own, layers) or _extra(case, complaint, own, layers, drafts)


def _layer(name: str) -> int | None:
    """Of `model.layers.61.mlp`: 61."""
    for word, number in pairwise(name.split(".")):
        if word in ("layers", "h", "blk", "blocks") and is_index(number):
            return int(number)
    return None


def _extra(case: Case, said: Complaint, own: Sequence[str], layers: int, drafts: int) -> Hypothesis:
    state = case.original
    text = text_config(state.config)
    field = spelled_in(text, "drafts") or ALIASES["drafts"][0]
    prefix = own[0].partition(f".{_layer(own[0])}.")[0] + f".{_layer(own[0])}"
    stored = len({number for name in state.names if (number := _layer(name)) is not None and number >= layers})
    told = (
        f"layer {_layer(own[0])} is none of the main model, which has {layers} layers (0 to {layers - 1}): config.json"
        f" says {field} = {drafts}, and {counted(len(own), 'tensor')} of {prefix} are that next-token layer; the"
        " checkpoint is whole"
    )
    name = said.names[0]
    if stored < drafts:
        told += (
            f": {drafts} such layers of the engine are made of {stored}, as only {stored} of them is stored, and each"
            " has to be read again for the next; a loader that takes a tensor out once it was read has none for the"
            " second"
        )
        fix = "use a version of the loader that keeps the tensors of the shared layer until the last was filled"
    elif not name.startswith(f"{prefix}."):
        told += (
            f": the rule that skips it is there, and compared `{prefix}.` with `{name.partition('.mlp')[0]}`, from"
            " which a prefix was stripped before"
        )
        fix = "use a version of the engine whose rule is asked with the whole name, or load without the draft model"
    else:
        fix = "use a version of the engine that skips the layer, or that loads it as the draft model"
    finding = Finding(
        "layers.extra", "error", prefix, told, {"layers": [_layer(own[0])], "tensors": len(own), "drafts": drafts}, fix
    )
    return Hypothesis(finding, evident=True, answers=(said,))


def _undescribed(case: Case, said: Complaint, own: Sequence[str], layers: int) -> Hypothesis | None:
    """The description of what is quantised, which ends before it."""
    files = case.original.checkpoint.files
    if not files.has(_DESCRIPTION):
        return None
    try:
        described = read_object(files, _DESCRIPTION, "config.invalid")
    except InputError:
        return None
    if any(name in described for name in own):
        return None
    listed = {number for name in described if (number := _layer(name)) is not None}
    if not listed:
        return None
    number = _layer(own[0])
    prefix = own[0].partition(f".{number}.")[0] + f".{number}"
    span = (
        f"layers {min(listed)} to {max(listed)}"
        if len(listed) == max(listed) - min(listed) + 1
        else f"layers {runs(listed)}"
    )
    told = (
        f"{_DESCRIPTION} lists {span}, and {counted(len(own), 'tensor')} of {prefix} are here: the next-token layer,"
        f" which the export left out of the description; the loader asks it for {said.names[0]}"
    )
    finding = Finding(
        "quant.missing", "error", prefix, told, {"tensors": len(own), "listed": sorted(listed)},
        "export again with that layer, or load without the draft model (no speculative decoding)",
    )  # fmt: skip
    return Hypothesis(finding, evident=True, answers=(said,))
