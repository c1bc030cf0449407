"""The list of what is not quantised, against what is: entries that match nothing, modules that no entry covers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mappings.findings import Finding
from mappings.names import blank, collapse, runs
from tracer.complaints.complaint import Complaint
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.lists import Ignored, ignored_of
from tracer.diagnose.hypotheses.modules import FLOATS, WORDS, Module, is_side, modules_of, split
from tracer.diagnose.hypotheses.question import Question, counted, folded
from tracer.diagnose.hypothesis import Hypothesis
from tracer.diagnose.state import State
from tracer.doctor.quantisation import declared

_METHODS = ("gptq", "awq", "compressed-tensors", "modelopt", "fp8", "bitsandbytes", "quark", "nvfp4")
_NEVER = ("embed_tokens", "wte", "word_embeddings", "embeddings", "norm", "lm_head", "gate", "router")
"""Roles that are matrices, and that quantisers leave alone without saying so."""
_MOST = 200_000
"""Comparisons of entries with modules that are worth making."""


@dataclass(frozen=True)
class Reconciliation:
    """Both columns."""

    ignored: Ignored
    modules: Mapping[str, Module]

    @cached_property
    def packed(self) -> list[Module]:
        return [each for each in self.modules.values() if each.kind != "plain"]

    @cached_property
    def plain(self) -> list[Module]:
        """Matrices in a float type."""
        return [each for each in self.modules.values() if each.kind == "plain" and _is_matrix(each)]

    @cached_property
    def uncovered(self) -> list[Module]:
        """Plain, though the same module is quantised in other layers, and no entry means them.

        Towers beside a decoder, which quantisers leave alone by class, have templates of their own.
        """
        templates = {blank(each.name)[0] for each in self.packed}
        mixed = [each for each in self.plain if blank(each.name)[0] in templates and each.role not in _NEVER]
        return [each for each in mixed if self.ignored.covering(each.name) is None]

    @cached_property
    def dead(self) -> list[str]:
        """Entries that no module is meant by, though what they are part of is here."""
        parents = {each.name.rpartition(".")[0] for each in self.modules.values()} - {""}
        named = [entry for entry in self.ignored.entries if entry.rpartition(".")[0] in parents]
        return [entry for entry in named if entry not in parents and not any(
            Ignored("", (entry,)).naming(module) for module in self._below(entry.rpartition(".")[0])
        )]  # fmt: skip

    def _below(self, parent: str) -> list[str]:
        return [name for name in self.modules if name.startswith(f"{parent}.")]

    def told(self) -> str:
        """The two columns in a line."""
        covered = sum(self.ignored.covering(each.name) is not None for each in self.plain)
        return (
            f"{self.ignored.field} has {counted(len(self.ignored.entries), 'entry').replace('entrys', 'entries')};"
            f" {counted(len(self.plain), 'matrix').replace('matrixs', 'matrices')} are plain, {covered} of them covered"
        )


def _is_matrix(module: Module) -> bool:
    weight = module.leaves.get("weight")
    return weight is not None and len(weight.shape) == 2 and weight.dtype in FLOATS


def reconciliation(state: State, modules: Mapping[str, Module] | None = None) -> Reconciliation | None:
    """None where nothing is declared to be quantised, or what is left out is no list."""
    scheme, _ = declared(state.config, state.checkpoint.files)
    method = str((scheme or {}).get("quant_method", "")).lower()
    if scheme is None or method not in _METHODS:
        return None
    ignored = ignored_of(scheme)
    if ignored is None:
        return None
    found = Reconciliation(ignored, modules or modules_of(state.tensors))
    too_many = len(ignored.entries) * len(found.modules) > _MOST and not _all_whole(ignored, found.modules)
    return None if too_many or not found.packed else found


def _all_whole(ignored: Ignored, modules: Mapping[str, Any]) -> bool:
    return len(ignored.entries) * len(modules) <= 20 * _MOST


def propose(case: Case) -> Iterator[Hypothesis]:
    """What the files show without any words."""
    state = case.original
    if case.state is not state:
        return  # told in the first round already
    if not any(is_side(tensor.name) or tensor.name.endswith(".qweight") for tensor in state.tensors):
        return
    found = reconciliation(state)
    if found is None:
        return
    answers = tuple(case.complained("garbage"))
    if renamed := _renamed(found):
        yield Hypothesis(_dead(found, *renamed), evident=True, answers=answers)
    elif found.uncovered:
        named = [
            each for each in case.complained("no-parameter", "no-tensor", "unexpected") if _about(each, found.uncovered)
        ]
        yield Hypothesis(_uncovered(found, found.uncovered), evident=True, answers=(*answers, *named))


def _about(complaint: Complaint, modules: Sequence[Module]) -> bool:
    ends = {blank(".".join(each.name.split(".")[-2:]))[0] for each in modules}
    return any(blank(".".join(split(name)[0].split(".")[-2:]))[0] in ends for name in complaint.names)


def _renamed(found: Reconciliation) -> tuple[list[str], list[Module]] | None:
    """Dead entries, and plain modules at their place under another name that begins alike: in_proj_z, in_proj_qkvz."""
    parents = {entry.rpartition(".")[0] for entry in found.dead}
    words = {entry.rpartition(".")[2] for entry in found.dead}
    near = [
        each for each in found.plain
        if each.name.rpartition(".")[0] in parents and found.ignored.naming(each.name) is None
        and any(_alike(each.role, word) for word in words)
    ]  # fmt: skip
    return (found.dead, near) if found.dead and near else None


def _alike(role: str, word: str) -> bool:
    """The same first component of at least two letters: `in_proj_ba` and `in_proj_a`."""
    stem = role.rpartition("_")[0]
    return len(stem) > 2 and stem == word.rpartition("_")[0]


def _dead(found: Reconciliation, entries: list[str], modules: list[Module]) -> Finding:
    subject = collapse(each.name for each in modules)[0][0]
    packed = WORDS[found.packed[0].kind]
    roles = sorted({each.role for each in modules})
    return Finding(
        "quant.ignore-list", "error", subject,
        f"{counted(len(entries), 'entry').replace('entrys', 'entries')} of {found.ignored.field} match no module"
        f" ({folded(entries, 2)}): the tensors that they were meant for are"
        f" {folded((each.name for each in modules), 2)},"
        f" {len(modules)} modules in {_dtype(modules[0])} without scales, which the scheme would take for {packed};"
        " nothing would raise",
        {"dead": entries[:64], "modules": [each.name for each in modules][:64], "entries": len(entries),
         "count": len(modules)},
        f"rename the entries to {', '.join(roles)}",
    )  # fmt: skip


def _dtype(module: Module) -> str:
    return module.leaves["weight"].dtype


def _uncovered(found: Reconciliation, modules: Sequence[Module]) -> Finding:
    template = blank(modules[0].name)[0]
    layers = _layers([each for each in modules if blank(each.name)[0] == template])
    packed = [each for each in found.packed if blank(each.name)[0] == template]
    beside = f"layers {_layers(packed)} store {_packed_leaf(packed[0])}, layer {layers} store"
    return Finding(
        "quant.ignore-list", "error", collapse(each.name for each in modules)[0][0],
        f"{counted(len(modules), 'module')} that config.json has as quantised are stored as plain {_dtype(modules[0])}:"
        f" {folded(each.name for each in modules)}; {beside} .weight; {found.told()}, so no entry says it",
        {"modules": [each.name for each in modules], "count": len(modules), "field": found.ignored.field,
         "first": layers.partition(",")[0].partition(".")[0]},
        f"add to quantization_config.{found.ignored.field}: {_proposed(modules)}",
    )  # fmt: skip


def _packed_leaf(module: Module) -> str:
    return next((leaf for leaf in ("qweight", "weight_packed") if leaf in module.leaves), f"{WORDS[module.kind]} codes")


def _layers(modules: Sequence[Module]) -> str:
    """The first number in each name: its layer."""
    return runs(indices[0] for each in modules if (indices := blank(each.name)[1]))


def _proposed(modules: Sequence[Module]) -> str:
    names = [each.name for each in modules]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more


# --- from words ---


def explain(question: Question) -> Hypothesis | None:
    """A leaf that the engine does not have, since it takes a module for quantised, or for plain, that is not."""
    place = question.place
    if place is None or place.added or question.complaint.kind not in ("no-parameter", "attribute", "other"):
        return None
    found = reconciliation(question.state, question.modules)
    module = question.modules.get(split(place.names[0])[0])
    if found is None or module is None or module.role in _NEVER:
        return None
    if module.kind == "plain":
        return _built_quantised(question, found, module) if _is_matrix(module) else None
    return _built_plain(question, found, module)


def _built_quantised(question: Question, found: Reconciliation, module: Module) -> Hypothesis | None:
    place = question.place
    assert place is not None
    if any(each.name == module.name for each in found.uncovered):
        return question.answer(*_as_answer(_uncovered(found, found.uncovered)))
    entry = found.ignored.covering(module.name)
    what = f"{place.fused}, made of {folded(place.kin)}" if place.fused else place.subject
    path = f" after `{place.stripped}` was stripped" if place.stripped else ""
    plain = (
        f"{what} is stored plain ({_dtype(module)}, no scales), and the engine looked for it as `{place.said}`{path}"
        " in a module that it had built quantised"
    )
    if entry is None:
        told = f"{plain}; {found.told()}, and no entry covers {module.name}"
        fix = f"add {_stem(module.name)} to quantization_config.{found.ignored.field}"
    else:
        told = (
            f"{plain}, though {found.ignored.field} names it ({entry}): the path under which the engine knows the"
            f" module is not its name in the checkpoint, so that the entry missed; the checkpoint is whole"
        )
        fix = (
            f"add the engine's own name to quantization_config.{found.ignored.field} ({_own_name(place.said)}), or use"
            " a version that maps the list"
        )
    return question.answer(
        "quant.ignore-list", place.subject, told,
        {"module": module.name, "entry": entry, "stripped": place.stripped, "count": len(place.kin)}, fix,
    )  # fmt: skip


def _as_answer(finding: Finding) -> tuple[str, str, str, Mapping[str, Any], str | None]:
    return finding.code, finding.subject, finding.message, finding.evidence, finding.fix


def _stem(module: str) -> str:
    """What one entry would have to say for all of a tower."""
    return module.partition(".blocks.")[0] if ".blocks." in module else module


def _own_name(said: str) -> str:
    return split(said)[0]


_MAIN = ("weight_scale", "weight_scale_inv", "weight_scale_2", "qweight", "weight_packed", "scales", "weight")


def _built_plain(question: Question, found: Reconciliation, module: Module) -> Hypothesis | None:
    """Quantised on disk, and the engine has no place for its scales: by an entry that means it in some reading."""
    place = question.place
    assert place is not None
    if question.leaf not in _MAIN or question.leaf == "weight":
        return None
    entry = found.ignored.covering(module.name)
    near = entry or next((each for each in found.ignored.entries if _shares(each, module.name)), None)
    if near is None:
        return None
    same = [each for each in found.packed if blank(each.name)[0] == blank(module.name)[0]]
    how = (
        f"`{entry}` means it where entries are compared in parts"
        if entry
        else (f"`{near}` is about its neighbours, and compared in the engine's names it may miss or hit others")
    )
    told = (
        f"{counted(len(same), 'module')} like {module.name} are stored quantised ({WORDS[module.kind]}), and the engine"
        f" has built them plain, so that {place.said} has no place: {how}; {found.told()}, {len(found.packed)} modules"
        " are quantised"
    )
    return question.answer(
        "quant.ignore-list", place.subject, told, {"module": module.name, "entry": near, "count": len(same)},
        f"make {found.ignored.field} say whole names, in the engine's spelling where it does not map them",
    )  # fmt: skip


def _shares(entry: str, module: str) -> bool:
    """A segment of a tower that both have."""
    general = {"model", "layers", "encoder", "mlp", "self_attn", "lm_head", "attn", "re:", "blocks"}
    own = {segment for segment in module.split(".") if not segment.isdigit()} - general
    return bool(own & set(entry.replace("re:", "").replace("*", "").split(".")))
