"""Names that one edit would turn into those that rows expect: a prefix, a wrapper, an old spelling, a dialect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mappings.bind import Binder, Binding
from mappings.findings import Finding
from mappings.names import HOLE, blank, is_index
from mappings.registry import candidates
from mappings.sizes import ConfigError
from mappings.synth import synthesise
from tracer.checkpoint.formats import GGUF
from tracer.diagnose.case import Case
from tracer.diagnose.hypothesis import Hypothesis, Wording
from tracer.diagnose.state import State
from tracer.diagnose.trial import Trial
from tracer.doctor.numbers import STACKS
from tracer.doctor.trainers import WRAPPERS, unwrapped
from tracer.infer.canonical import canonical
from tracer.renames import Rewrite, rewrites
from tracer.repair.changes import Rename

_SHOWN = frozenset({
    "tensor.unmapped", "param.unfilled", "layers.missing", "layers.extra", "experts.missing", "name.rewrite",
    "arch.mismatch", "config.conflict", "config.missing-field",
})  # fmt: skip
"""What wrong names look like."""
_FEWEST = 3
"""Layers of a stack; of fewer it is not said that they are counted from 1."""


def propose(case: Case) -> Iterator[Hypothesis]:
    """The best edit for each dialect that config.json may mean, alone and with the next best ones behind it."""
    state = case.state
    yield from _counted_from_one(state)
    if not state.codes & _SHOWN or not state.names:
        return
    yield from _wrapped_alone(state)
    if any(set(name.split(".")) & set(WRAPPERS) for name in state.names):
        yield from _of_edit("strip " + _wrappers(state.names), {n: unwrapped(n) for n in state.names})
    yield from _renumbered(state.names)
    for binding in bindings(state):
        wanted = {each.name: tuple(each.shape) for each in synthesise(binding)}
        found = rewrites(state.names, wanted, state.shapes, wanted)
        if not found:
            found = rewrites(state.names, wanted)
        for end in range(1, len(found) + 1):
            left = [name for name in state.names if name not in wanted]
            yield from _of_edit(_spelled(found[:end]), _applied(left, found[:end]))


def _counted_from_one(state: State) -> Iterator[Hypothesis]:
    """The layers of a class without rows, as many as config.json says, from 1 on: no published class counts so."""
    count = canonical(state.config).get("layers")
    if state.plan is not None or state.config.get("auto_map") or type(count) is not int or count < _FEWEST:
        return
    for stack, found in _stacks(state.names).items():
        if stack.rstrip(".").rpartition(".")[2] in STACKS and len(found) == count == max(found) and min(found) == 1:
            renamed = {name: _moved(name, stack, 1) for name in state.names if name.startswith(stack)}
            told = f"number the layers of {stack.rstrip('.')} from 0, and not from 1"
            yield Hypothesis(_worded(told, renamed), (Rename(renamed),), evident=True)


def _stacks(names: Sequence[str]) -> dict[str, set[int]]:
    """What precedes the first number of each name -> the numbers."""
    stacks: dict[str, set[int]] = {}
    for name in names:
        template, indices = blank(name)
        if indices:
            stacks.setdefault(template.partition(HOLE)[0], set()).add(indices[0])
    return stacks


def _renumbered(names: Sequence[str]) -> Iterator[Hypothesis]:
    """Stacks whose numbers have no hole and begin past 0, each from 0 on."""
    for stack, found in _stacks(names).items():
        first = min(found)
        if first and len(found) > 1 and max(found) - first == len(found) - 1:
            told = f"number the layers of {stack.rstrip('.')} from 0, and not from {first}"
            yield from _of_edit(told, {n: _moved(n, stack, first) for n in names if n.startswith(stack)})


def _moved(name: str, stack: str, by: int) -> str:
    number, dot, rest = name.removeprefix(stack).partition(".")
    return f"{stack}{int(number) - by}{dot}{rest}" if is_index(number) else name


def _wrapped_alone(state: State) -> Iterator[Hypothesis]:
    """DistributedDataParallel's `module.` in front of all names: no loader strips it, rows known or not.

    Only code that comes with a checkpoint may call its outermost module so itself.
    """
    renamed = {name: name.removeprefix("module.") for name in state.names}
    if state.plan is not None or state.config.get("auto_map") or not state.config.get("architectures"):
        return
    if all(name.startswith("module.") for name in state.names):
        yield Hypothesis(_worded("strip `module.`", renamed), (Rename(renamed),), evident=True)


def bindings(state: State) -> Iterator[Binding]:
    """The dialects of the architecture that config.json names, bound, as far as they can be."""
    prepared = state.prepared
    config = prepared.configured.config if prepared else state.config
    dtype = prepared.run.dtype if prepared and prepared.run.dtype else "BF16"
    try:
        known = candidates(config)
    except ConfigError:
        return
    templates = {blank(name)[0] for name in state.names}
    for arch in known:
        if (arch.dialect or "").startswith("gguf") and state.checkpoint.format is not GGUF:
            continue  # no loader wants llama.cpp's names in another container
        try:
            yield Binder(arch, config, 1, templates, dtype).bind()
        except ConfigError:
            continue


def _wrappers(names: Sequence[str]) -> str:
    inside = {segment for name in names for segment in name.split(".")} & set(WRAPPERS)
    return " and ".join(f"`{each}.`" for each in WRAPPERS if each in inside)


def _spelled(found: Sequence[Rewrite]) -> str:
    return " and ".join(str(each.edit) for each in found)


def _applied(names: Sequence[str], found: Sequence[Rewrite]) -> dict[str, str]:
    """Each name by the first edit that maps it; what no edit maps, by the first that touches it."""
    mapped = {name: new for rewrite in found for name, new in rewrite.pairs.items()}
    made: dict[str, str] = {}
    for name in names:
        new = mapped.get(name)
        if new is None:
            new = next((edited for each in found if (edited := each.edit.apply(name)) not in (None, name)), None)
        if new is not None:
            made[name] = new
    return made


def _of_edit(edit: str, names: Mapping[str, str]) -> Iterator[Hypothesis]:
    changed = {old: new for old, new in names.items() if old != new}
    if changed and all(changed.values()):
        yield Hypothesis(_worded(edit, changed), (Rename(changed),))


def _worded(edit: str, changed: Mapping[str, str]) -> Wording:
    def worded(trial: Trial) -> Finding | None:
        after = trial.after.names
        collisions = len(after) - len(set(after))
        if collisions or 2 * trial.after.burden[0] > trial.before.burden[0]:
            return None  # names that one edit does not mend for the most part have another cause
        mapped = _mapped(trial, set(changed.values()))
        first, new = next(iter(changed.items()))
        counted = f"{mapped} of {len(changed)} map, {collisions} collisions"
        return Finding(
            "name.rewrite", "error", first, f"{edit}: {counted}; `{first}` is then `{new}`",
            {"edit": edit, "mapped": mapped, "of": len(changed), "collisions": collisions, "total": len(after)},
            f"{edit} in the names ({counted})",
        )  # fmt: skip

    return worded


def _mapped(trial: Trial, new: set[str]) -> int:
    """How many of the edited names somebody claims; all, where nobody knows which are right."""
    plan = trial.after.plan
    if plan is None:
        return len(new)
    pairs = zip(plan.tensors, plan.claims, strict=True)
    return sum(claim.owner is not None for tensor, claim in pairs if tensor.name in new)
