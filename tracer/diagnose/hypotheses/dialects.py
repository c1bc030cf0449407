"""Other names for every module (`attention.wq` for `self_attn.q_proj`): told apart by what each is for.

`tracer.infer` knows the roles of both spellings. Meta's own files have q and k in the order of pairs, which
Transformers' names do not: there a new name alone would load nonsense (Transformers' `convert_llama_weights_to_hf.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mappings.bind import Binding
from mappings.findings import Finding
from mappings.names import HOLE, Indices
from mappings.plan import Stored
from mappings.synth import synthesise
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.names import bindings
from tracer.diagnose.hypothesis import Hypothesis, Wording
from tracer.diagnose.state import State
from tracer.diagnose.trial import Trial
from tracer.infer.names import Group, grouped, structure
from tracer.repair.changes import Change, Rename, Transform

_Key = tuple[str, str, int, bool]
"""Role, leaf, how many numbers the name has, and whether it is in a layer."""
_FIRST = frozenset({
    "input_layernorm", "attention_norm", "attn_norm", "ln_1", "norm1", "norm_1", "ln1", "layernorm_before",
    "self_attn_layer_norm", "attention_layernorm",
})  # fmt: skip
_SECOND = frozenset({
    "post_attention_layernorm", "ffn_norm", "ln_2", "norm2", "norm_2", "ln2", "layernorm_after",
    "feedforward_layernorm",
})  # fmt: skip
"""The norms before attention and before the MLP: both are norms to the table of roles."""
_PAIRED = {"attention.wq": "q", "attention.wk": "k"}
"""Meta's projections whose rows lie in pairs."""


def propose(case: Case) -> Iterator[Hypothesis]:
    """One for each dialect of rows under whose names most modules have a counterpart."""
    state = case.state
    if state.plan is None or not {"tensor.unmapped", "param.unfilled"} <= state.codes:
        return
    own = _by_role(grouped(state.names, state.tensors))
    for binding in bindings(state):
        names = dict(_pairs(own, binding))
        if names:
            modules = _modules(own, names)
            paired = [module for module in modules if module in _PAIRED]
            order = _order(state) if paired else ""
            changes = _reordered(state, own) if order in ("pairs", "untrained") else ()
            yield Hypothesis(_worded(names, modules, _told(paired, order)), (Rename(names), *changes))


def _order(state: State) -> str:
    """In which order the rows of q and k lie, by their values; empty where these do not tell, `untrained` if absent."""
    from tracer.meaning.rope_order import stored_order

    return stored_order(state.checkpoint, state.config)


def _told(paired: Sequence[str], order: str) -> str:
    if not paired:
        return ""
    rows = f"; the rows of {' and '.join(paired)}"
    if order in ("pairs", "untrained"):  # numbers that say nothing leave the convention of the names
        return f"{rows} are in pairs, and are reordered too"
    if order == "halves":
        return f"{rows} are in halves already, and stay as they are"
    return f"{rows} may be in pairs, as in Meta's own files: the values do not tell, and they are not reordered"


def _by_role(groups: Mapping[str, Group]) -> dict[_Key, Group]:
    """Those of which there is only one of a kind."""
    found: dict[_Key, list[Group]] = {}
    for group in structure(groups).groups:
        found.setdefault(_key(group), []).append(group)
    return {key: held[0] for key, held in found.items() if len(held) == 1}


def _key(group: Group) -> _Key:
    role = group.role
    if group.stack and group.module in _FIRST | _SECOND:
        role = "norm before attention" if group.module in _FIRST else "norm before mlp"
    return role, group.leaf, group.template.split(".").count(HOLE), bool(group.stack)


def _pairs(own: Mapping[_Key, Group], binding: Binding) -> Iterator[tuple[str, str]]:
    """Name as it is -> name that the rows have, of modules that are called otherwise."""
    made = synthesise(binding)
    wanted = _by_role(grouped([each.name for each in made], [_described(each) for each in made]))
    for key, group in own.items():
        other = wanted.get(key)
        if other is not None and other.template != group.template:
            yield from ((_filled(group.template, each), _filled(other.template, each)) for each in group.indices)


def _described(tensor: Stored) -> TensorInfo:
    return TensorInfo(tensor.name, tensor.dtype, tuple(tensor.shape), None, None, 0)


def _filled(template: str, indices: Indices) -> str:
    numbers = iter(indices)
    return ".".join(str(next(numbers)) if segment == HOLE else segment for segment in template.split("."))


def _modules(own: Mapping[_Key, Group], names: Mapping[str, str]) -> list[str]:
    """What the modules of the layers are called, as evidence."""
    held = {group.template: group.module for group in own.values() if group.stack}
    return sorted({module for template, module in held.items() if _is_renamed(template, names)})


def _is_renamed(template: str, names: Mapping[str, str]) -> bool:
    return _filled(template, (0,) * template.split(".").count(HOLE)) in names


def _reordered(state: State, own: Mapping[_Key, Group]) -> Iterator[Change]:
    """q and k of Meta's own files: the rows of each head from pairs to halves."""
    assert state.plan is not None
    axes = state.plan.binding.axes
    for group in own.values():
        part = _PAIRED.get(group.module)
        if part is not None and group.leaf == "weight":
            heads = axes.size("head" if part == "q" else "kv")
            yield Transform(_names(group), "interleaved-to-half", heads)


def _names(group: Group) -> tuple[str, ...]:
    return tuple(_filled(group.template, each) for each in group.indices)


def _worded(names: Mapping[str, str], modules: Sequence[str], order: str) -> Wording:
    def worded(trial: Trial) -> Finding | None:
        if trial.loses or 2 * trial.after.burden[0] > trial.before.burden[0]:
            return None
        claimed, total = trial.claimed
        first, new = next(iter(names.items()))
        counted = f"{claimed} of {total} map, 0 collisions"
        return Finding(
            "name.rewrite", "error", first,
            f"the names are another dialect's ({_some(modules)}): rename each module as the rows have it: {counted};"
            f" `{first}` is then `{new}`{order}",
            {"mapped": claimed, "of": total, "collisions": 0, "modules": list(modules)},
            f"rename the modules ({counted}){order}",
        )  # fmt: skip

    return worded


def _some(modules: Iterable[str]) -> str:
    return ", ".join(list(modules)[:4])
