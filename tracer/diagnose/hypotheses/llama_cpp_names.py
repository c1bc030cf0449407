"""llama.cpp's names (`blk.0.attn_q`) in a container that is no GGUF: no loader of safetensors or pickles knows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mappings.findings import Finding
from mappings.names import blank
from mappings.rows import Architecture, Row
from tracer.checkpoint.formats import GGUF
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.names import bindings
from tracer.diagnose.hypothesis import Hypothesis, Wording
from tracer.diagnose.trial import Trial
from tracer.repair.changes import Rename

_Key = tuple[str, tuple[str, ...]]


def propose(case: Case) -> Iterator[Hypothesis]:
    """The rows of both dialects lead to the same parameters: one name for the other."""
    state = case.state
    if state.plan is None or state.checkpoint.format is GGUF:
        return
    own = state.plan.binding.arch
    if not (own.dialect or "").startswith("gguf"):
        return
    for binding in bindings(state):
        renamed = _renamed(state.names, own, binding.arch)
        if renamed:
            said = tuple(
                each for each in case.complained("no-parameter", "unexpected", "no-tensor")
                if any(name.partition(".")[0] in ("blk", "token_embd", "output_norm", "model") for name in each.names)
            )  # fmt: skip
            yield Hypothesis(_worded(renamed, len(state.names)), (Rename(renamed),), evident=True, answers=said)
            return


def _slots(arch: Architecture) -> dict[_Key, str]:
    """Parameter and parts -> the one row that leads there."""
    rows = [(_key(entry), entry.name) for entry in arch.entries if isinstance(entry, Row) and entry.style == "module"]
    keys = [key for key, _ in rows]
    return {key: name for key, name in rows if keys.count(key) == 1}


def _key(row: Row) -> _Key:
    return row.slot.param.name, tuple(part.name for part in row.slot.parts)


def _renamed(names: list[str], own: Architecture, other: Architecture) -> Mapping[str, str]:
    """Every name; nothing where one of them has no counterpart."""
    wanted = _slots(other)
    modules = {template: wanted[key] for key, template in _slots(own).items() if key in wanted}
    patterns = {blank(name.replace("{layer}", "0"))[0]: new for name, new in modules.items() if name.count("{") < 2}
    made: dict[str, str] = {}
    for name in names:
        module, _, leaf = name.rpartition(".")
        template, numbers = blank(module)
        if template not in patterns:
            return {}
        made[name] = f"{patterns[template].replace('{layer}', str(numbers[0]) if numbers else '')}.{leaf}"
    return made if len(set(made.values())) == len(made) else {}


def _worded(renamed: Mapping[str, str], total: int) -> Wording:
    def worded(trial: Trial) -> Finding:
        claimed, _ = trial.claimed
        first, new = next(iter(renamed.items()))
        counted = f"{claimed} of {total} map, 0 collisions"
        return Finding(
            "name.rewrite", "error", first,
            f"the names are llama.cpp's, and this is no GGUF file: no loader of it knows them; under those of the Hub"
            f" {counted}; `{first}` is then `{new}`; llama.cpp has the rows of q and k in pairs for some architectures"
            " (Llama's): where the numbers come from a GGUF file they must be put into halves too, which is not checked"
            " here",
            {"mapped": claimed, "of": total, "collisions": 0},
            f"rename the modules ({counted}), and look at the output",
        )  # fmt: skip

    return worded
