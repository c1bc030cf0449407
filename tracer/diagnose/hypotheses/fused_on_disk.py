"""Projections that lie in one tensor on disk where the rows of the class have one for each: cut as the engine has them.

Only modules that keep their parts one after the other (Llama's `qkv_proj` and `gate_up_proj` in engines, Phi-3's,
Baichuan's `W_pack`): where parts take turns head by head, no shape says how.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from mappings.bind import Binding, BoundRow
from mappings.findings import Finding
from mappings.names import Indices, blank, collapse
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.architecture import is_of_another_type
from tracer.diagnose.hypothesis import Hypothesis, Wording
from tracer.diagnose.state import State
from tracer.diagnose.trial import Trial
from tracer.repair.changes import Cut

_IN_RUNS = {"qkv_proj": ("qkv_proj", "W_pack"), "gate_up_proj": ("gate_up_proj",)}
"""Module of the engine -> what it is called where its parts lie one after the other."""


def propose(case: Case) -> Iterator[Hypothesis]:
    """All fused tensors of one kind of module together, and of all kinds."""
    state = case.state
    if state.plan is None or not {"tensor.unmapped", "param.unfilled"} <= state.codes:
        return
    cuts = list(_cuts(state, state.plan.binding))
    if not cuts or is_of_another_type(state):
        return
    by_module = {key: list(held) for key, held in groupby(sorted(cuts, key=_module), _module)}
    if len(by_module) > 1:
        yield Hypothesis(_worded(state, cuts), tuple(cuts))
    for held in by_module.values():
        yield Hypothesis(_worded(state, held), tuple(held))


def _module(cut: Cut) -> str:
    return cut.name.rpartition(".")[0].rpartition(".")[2]


def _cuts(state: State, binding: Binding) -> Iterator[Cut]:
    """Of each tensor that holds what the rows have in several, and is as large as these together."""
    held = state.shapes
    modules = {name.rpartition(".")[0].rpartition(".")[2] for name in held}
    for rows in _by_leaf(binding):
        if not modules.intersection(_IN_RUNS.get(rows[0].leaf.param.name.rpartition(".")[2], ())):
            continue
        for indices in rows[0].instances():
            parts = _parts(rows, indices, binding.arch.prefixes[0])
            engine = rows[0].param_name(rows[0].param_indices(indices))
            stored = next((name for name in _spelled(engine, list(parts)) if name in held), None)
            total = sum(shape[0] for shape in parts.values())
            if stored and not parts.keys() & held.keys() and _fits(state.shapes[stored], parts, total):
                yield Cut(stored, 0, _ranges(parts))


def _by_leaf(binding: Binding) -> Iterator[list[BoundRow]]:
    """Rows of parameters that are made of several tensors, the parts in the order in which the engine has them."""
    found: dict[int, list[BoundRow]] = {}
    for row in binding.rows:
        found.setdefault(id(row.leaf), []).append(row)
    for rows in found.values():
        order = [part.name for part in rows[0].leaf.parts]
        same = all(row.pattern.axes == rows[0].pattern.axes for row in rows) and all(
            len(row.parts) == 1 for row in rows
        )
        if len(rows) == len(order) > 1 and same:
            yield sorted(rows, key=lambda row: order.index(row.parts[0].name))


def _parts(rows: Sequence[BoundRow], indices: Indices, prefix: str) -> dict[str, tuple[int, ...]]:
    return {prefix + row.pattern.name(indices): tuple(row.shape) for row in rows}


def _spelled(engine: str, parts: Sequence[str]) -> Iterator[str]:
    """Beside the parts, by the engine's name of the module or another's."""
    module, _, leaf = engine.rpartition(".")
    parent = parts[0].rpartition(".")[0].rpartition(".")[0]
    names = _IN_RUNS.get(module.rpartition(".")[2], ())
    return (f"{parent}.{name}.{leaf}" for name in names)


def _fits(shape: tuple[int, ...], parts: Mapping[str, tuple[int, ...]], total: int) -> bool:
    return all(part and shape == (total, *part[1:]) for part in parts.values())


def _ranges(parts: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, int]]:
    found, start = {}, 0
    for name, shape in parts.items():
        found[name] = (start, start + shape[0])
        start += shape[0]
    return found


def _worded(state: State, cuts: Sequence[Cut]) -> Wording:
    def worded(trial: Trial) -> Finding | None:
        if trial.loses:
            return None
        claimed, total = trial.claimed
        first = cuts[0]
        rows = ", ".join(f"{stop - start:,} rows of {_last(name)}" for name, (start, stop) in first.parts.items())
        modules = " and ".join(dict.fromkeys(map(_module, cuts)))
        names = ", ".join(text for text, _ in collapse([cut.name for cut in cuts]))
        cut = f"cut them and {claimed} of {total} tensors are claimed"
        fits = "" if any(each.severity == "error" for each in trial.after.findings) else " and fit"
        return Finding(
            "fused.already-fused", "error", first.name,
            f"{names}: {modules} {'is' if ' and ' not in modules else 'are'} fused on disk, {len(cuts)} tensors, where"
            f" {_class(state)} has a tensor for each part: `{blank(first.name)[0]}` has {rows}; {cut}{fits}",
            {"tensors": len(cuts), "names": [cut.name for cut in cuts[:64]], "parts": list(first.parts)},
            f"{cut}{fits}, or load it with an engine whose rows have {modules} whole",
        )  # fmt: skip

    return worded


def _last(name: str) -> str:
    return name.rpartition(".")[0].rpartition(".")[2]


def _class(state: State) -> str:
    return state.plan.binding.arch.name if state.plan else "the class"
