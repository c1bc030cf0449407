"""Parameters for tensors that no architecture knows: fused as vLLM does where names make it plain, else whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from mappings.axes import Layout, parse, spell
from mappings.params import Part
from tracer.infer.names import Shape
from tracer.starter.draft import Cuts, Draft, NewParam, NewRow, axes_of, cuts_of
from tracer.starter.kinds import Kind
from tracer.starter.practice import CUT, FUSIONS, LAYOUTS, ON_DISK, QUANTISED, Fusion
from tracer.starter.reading import Vocabulary, told


class Module(NamedTuple):
    """A module with the leaves of it that are to be placed."""

    name: str
    role: str
    leaves: dict[str, Kind]

    @property
    def weight(self) -> Kind:
        return self.leaves.get("weight") or next(iter(self.leaves.values()))


class Beside(NamedTuple):
    """What the rows of the base say of tensors that stand beside theirs."""

    cuts: Mapping[str, str]
    """Module -> the axes along which the parameters in it are cut."""
    biases: Mapping[str, Part]
    """Name of a bias -> what it consists of, if its weight has one."""


def place(
    draft: Draft, kinds: Sequence[Kind], words: Vocabulary, beside: Beside
) -> list[tuple[str, str]]:  # fmt: skip
    """Write parameters and rows for tensors; what is left, and why."""
    kinds = [kind for kind in kinds if not _lone_bias(draft, kind, words, beside)]
    modules = _modules(kinds)
    for fusion in FUSIONS:
        for together in _fusible(modules, fusion):
            if _fuse(draft, fusion, together, words):
                for module in together.values():
                    del modules[module.name]
    left = []
    for module in modules.values():
        if _split(draft, module, words):
            continue
        if module.weight.shape is None and (not _usual(module) or _by_role(module, words) is None):
            why = "its shape is not here, and its name does not tell its layout"
            left += [(kind.group.template, why) for kind in module.leaves.values()]
        else:
            _alone(draft, module, words, beside)
    return list(dict.fromkeys(left))


def _lone_bias(draft: Draft, kind: Kind, words: Vocabulary, beside: Beside) -> bool:
    """Write a bias that only some parts of a fused parameter have: laid out and cut as its weight is."""
    part = beside.biases.get(kind.name)
    if part is None or not words.fits(part.dims, kind.shape):
        return False
    param = NewParam(kind.name, {"": spell(part.dims)}, style="plain", cuts=cuts_of([part]))
    draft.params.append(replace(param, why=f"the bias of {kind.module} alone, laid out as its weight is; {param.cuts}"))
    draft.rows.append(NewRow(kind.name, kind.name))
    return True


def _split(draft: Draft, module: Module, words: Vocabulary) -> bool:
    """Write a parameter of several parts for a module in which they are fused on disk, one after the other."""
    fused = ON_DISK.get(module.role)
    if fused is None or not _usual(module):
        return False
    if any(words.extent((axis,)) is None for text in fused.values() for axis in axes_of(text)):
        return False
    wanted: Shape = sum(words.extent(parse(t)[0]) or 0 for t in fused.values()), words.extent(("hidden",)) or 0
    layout = {wanted: "part, hidden", wanted[::-1]: "hidden, part"}.get(module.weight.shape or wanted)
    if layout is None:
        return False
    parts = ", ".join(fused)
    told = f'{parts} are taken to lie one after the other, "{layout}"; by head they would have this shape too'
    first = "q" if "q" in fused else "gate"
    draft.params.append(NewParam(
        module.name, fused, bias="bias" in module.leaves, quantised=True, why=told, cuts=_cut(first, fused)
    ))  # fmt: skip
    draft.rows.append(NewRow(module.name, module.name, (), layout))
    draft.assumed.append(f"{module.weight.name}: {told}")
    return True


def _modules(kinds: Sequence[Kind]) -> dict[str, Module]:
    found: dict[str, Module] = {}
    for kind in kinds:
        found.setdefault(kind.module, Module(kind.module, kind.role, {})).leaves[kind.leaf] = kind
    return found


def _fusible(modules: Mapping[str, Module], fusion: Fusion) -> list[dict[str, Module]]:
    """Complete sets of siblings, each with the same leaves at the same positions."""
    by_home: dict[str, dict[str, Module]] = {}
    for module in modules.values():
        if module.role in fusion.roles:
            by_home.setdefault(module.name.rpartition(".")[0], {})[fusion.roles[module.role]] = module
    return [own for own in by_home.values() if len(own) == len(fusion.roles) and _together(list(own.values()))]


def _together(modules: Sequence[Module]) -> bool:
    leaves = {frozenset(module.leaves) for module in modules}
    places = {module.weight.positions for module in modules}
    return leaves <= {frozenset({"weight"}), frozenset({"weight", "bias"})} and len(leaves) == len(places) == 1


def _fuse(draft: Draft, fusion: Fusion, modules: Mapping[str, Module], words: Vocabulary) -> bool:
    layouts = {part: _by_role(module, words) for part, module in modules.items()}
    if any(layout is None for layout in layouts.values()):
        return False
    first = next(iter(modules.values()))
    home = first.name.rpartition(".")[0]
    name = f"{home.removesuffix('.{expert}')}.{fusion.name}"
    named = {part: modules[part] for part in fusion.roles.values()}
    spelled = {part: spell(layouts[part] or ()) for part in named}
    outer = "expert, " if fusion.expert and "{expert}" in first.name else ""
    parts = {part: f"{outer}{text}" for part, text in spelled.items()}
    stacked = fusion.expert and len(parts) > 1
    draft.params.append(NewParam(
        name, parts, layout="expert, part, hidden" if stacked else None, bias="bias" in first.leaves,
        style="stacked" if fusion.expert else None, quantised=True,
        why=f"{', '.join(m.name.rpartition('.')[2] for m in named.values())} as vLLM keeps them",
        cuts=_cut(first.role, parts),
    ))  # fmt: skip
    for part, module in named.items():
        draft.rows.append(NewRow(module.name, name, (part,) if len(parts) > 1 else ()))
    return True


def _by_role(module: Module, words: Vocabulary) -> Layout | None:
    shape = module.weight.shape
    for text in LAYOUTS.get(module.role, ()):
        if words.fits(parse(text), shape):
            return parse(text)
    return None


def _cut(role: str, parts: Mapping[str, str]) -> Cuts:
    """What is cut of these parts, as far as they mention it."""
    mentioned = {axis for text in parts.values() for axis in axes_of(text)}
    return Cuts(*(" ".join(axis for axis in axes.split() if axis in mentioned) for axes in CUT.get(role, Cuts())))


def _alone(draft: Draft, module: Module, words: Vocabulary, beside: Beside) -> None:
    """A parameter for one module: with its leaves where they are the usual two, else one for each tensor."""
    layout = _by_role(module, words)
    if _usual(module) and (layout is not None or _same_bias(module)):
        _write(draft, module, module.weight, layout, words, beside, module.name, None, "bias" in module.leaves)
        return
    for kind in module.leaves.values():
        _write(draft, module, kind, None, words, beside, kind.name, "plain", False)


def _usual(module: Module) -> bool:
    return set(module.leaves) <= {"weight", "bias"} and "weight" in module.leaves


def _same_bias(module: Module) -> bool:
    """A bias has its weight's outer extents; where it has others, it is a parameter of its own."""
    weight, bias = module.weight.shape, module.leaves.get("bias")
    return bias is None or weight is None or bias.shape == (weight if len(weight) == 1 else weight[:-1])


def _write(
    draft: Draft, module: Module, kind: Kind, layout: Layout | None, words: Vocabulary, beside: Beside,
    name: str, style: str | None, bias: bool,
) -> None:  # fmt: skip
    readings = [layout] if layout is not None else words.readings(kind.shape or ())
    text = {"": spell(readings[0])}
    cuts = _cut(module.role, text) if layout is not None else _as_beside(module.name, readings, beside.cuts)
    quantised = any(cuts) and module.role in QUANTISED and style is None
    param = NewParam(name, text, bias=bias, style=style, quantised=quantised, cuts=cuts)
    shape = list(kind.shape or ())
    why = f"{module.role} by its name" if layout is not None else f"{shape} is {told(readings[:1])} by its size"
    if len(readings) > 1:
        others = f"{told(readings[1:])} {'fits' if len(readings) == 2 else 'fit'} as well"
        why += f"; {others}, {'the cut depends on it' if any(cuts) else 'whole on each rank it is placed alike'}"
        draft.assumed.append(f"{kind.name} {shape} is read as {told(readings[:1])}; {others}")
    draft.params.append(replace(param, why=f"{why}; {param.cuts}"))
    draft.rows.append(NewRow(name, name))


def _as_beside(name: str, readings: Sequence[Layout], cut: Mapping[str, str]) -> Cuts:
    """Cut as the parameters of the same module are, where every reading of the shape has the axis that is cut."""
    home = name
    while "." in home:
        home = home.rpartition(".")[0]
        for axis in cut.get(home, "").split():
            if all(any(axis in dim for dim in reading) for reading in readings):
                return Cuts(axis)
    return Cuts()
