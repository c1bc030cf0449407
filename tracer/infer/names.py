"""Names to structure: which stack of layers is the text decoder, what stands beside it, what each tensor is for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from mappings.names import HOLE, Indices, blank
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.infer.roles import NEXT_TOKEN, OUTSIDE, ROLES, SENSES, TOWERS, WRAPPERS, split

Shape = tuple[int, ...]
_OUTSIDE = {**ROLES, **OUTSIDE}
_DEEPEST = max(path.count(".") + 1 for path in _OUTSIDE)
"""Components of the longest path in the table: nobody's names are compared any deeper."""


@dataclass(slots=True)
class Group:
    """All tensors of one template: `model.layers.{}.self_attn.q_proj.weight`."""

    template: str
    indices: list[Indices] = field(default_factory=list)
    """The numbers in the name of each."""
    shapes: Counter[tuple[Shape, str]] = field(default_factory=Counter)
    """Shape and data type of those whose header was read."""
    stack: str = ""
    """What precedes the number of the layer; empty outside of layers."""
    module: str = ""
    """What follows it, or the wrappers, without the leaf."""
    leaf: str = ""
    role: str = ""
    """Of `roles.ROLES`; empty where the table has no such module."""

    @property
    def shape(self) -> Shape | None:
        """The shape of most of them."""
        return self.shapes.most_common(1)[0][0][0] if self.shapes else None

    @property
    def dtype(self) -> str | None:
        return self.shapes.most_common(1)[0][0][1] if self.shapes else None

    @property
    def layers(self) -> list[int]:
        """Which layers have it."""
        return sorted({i[0] for i in self.indices if i})

    @property
    def place(self) -> tuple[str, str]:
        """Stack and module; outside of layers what stands before the module, as an encoder's embedding of positions and
        a decoder's are two.
        """  # fmt: skip
        return self.stack or self.template[: self.template.rfind(self.module)], self.module

    @property
    def told(self) -> str:
        """Name and shape, for evidence."""
        return f"{self.template} {self.shape}" if self.shape is not None else self.template


@dataclass
class Structure:
    """The names of a checkpoint, sorted."""

    groups: list[Group]
    """Of the text model: its stack of layers, and what belongs to it outside."""
    stack: str
    towers: dict[str, list[Group]] = field(default_factory=dict)
    """What is not the text decoder, by the component that begins it."""
    drafts: list[Group] = field(default_factory=list)
    """Layers that draft tokens after the next."""
    strange: list[Group] = field(default_factory=list)
    """What the table of roles does not have."""
    others: dict[str, list[Group]] = field(default_factory=dict)
    """Other stacks of text layers, as an encoder's."""
    home: bool = False
    """Whether an embedding of words stands right beside the stack."""

    def of(self, role: str, leaf: str | None = None) -> list[Group]:
        """The groups of a role, those of one leaf only if that is asked for."""
        return [group for group in self.groups if group.role == role and leaf in (None, group.leaf)]

    def has(self, *roles: str) -> bool:
        return any(group.role in roles for group in self.groups)

    @property
    def modules(self) -> set[str]:
        """The paths in use."""
        return {group.module for group in self.groups}

    @property
    def doubt(self) -> str:
        """Why another architecture than is known here may have made these names; empty where nothing says so."""
        strange = next((group.module for group in self.strange if group.stack and group.stack == self.stack), "")
        if strange:
            return f"of {strange}, which is in its layers, nothing is known"
        return f"{next(iter(self.others))} is another stack of layers" if self.others else ""


def grouped(names: Iterable[str], tensors: Sequence[TensorInfo]) -> dict[str, Group]:
    """Template -> its tensors, with the shapes that are known."""
    found: dict[str, Group] = {}
    for name in names:
        template, indices = blank(name)
        group = found.get(template)
        if group is None:
            group = found[template] = Group(template)
        group.indices.append(indices)
    for tensor in tensors:
        found[blank(tensor.name)[0]].shapes[tensor.shape, tensor.dtype] += 1
    return found


def structure(groups: Mapping[str, Group]) -> Structure:
    """Sort templates into the text decoder, towers and the rest."""
    towers: dict[str, list[Group]] = defaultdict(list)
    stacks: dict[str, list[Group]] = defaultdict(list)
    outside: list[Group] = []
    drafts: list[Group] = []
    wrappers = WRAPPERS | {group.template.split(".")[0] for group in groups.values() if f".{HOLE}." in group.template}
    for group in groups.values():
        segments = group.template.split(".")
        first = segments.index(HOLE) if HOLE in segments else len(segments)
        tower = next((s for s in segments[:first] if _is_tower(s)), None)
        if tower is not None:
            towers[tower].append(group)
        elif any(s in NEXT_TOKEN for s in segments[:first]):
            _place(group, segments, first, wrappers)
            drafts.append(group)
        else:
            _place(group, segments, first, wrappers)
            (stacks[group.stack] if group.stack else outside).append(group)
    homes = {_home(group.template, group.module) for group in outside if group.role == "embed"}
    stack = max(stacks, key=lambda name: (name.rpartition(".")[0] in homes, _weight(stacks[name])), default="")
    found = _assembled(stack, stacks, outside, dict(towers), drafts)
    found.home = stack.rpartition(".")[0] in homes
    return found


def _is_tower(segment: str) -> bool:
    return segment in TOWERS or not SENSES.isdisjoint(segment.split("_"))


def _home(template: str, module: str) -> str:
    """What precedes a module: of an embedding, what precedes the layers of the same decoder too."""
    return template[: template.rindex(module)].rstrip(".")


def _place(group: Group, segments: list[str], first: int, wrappers: Set[str]) -> None:
    """Say what a group is for, by what follows the number of its layer, or its wrappers."""
    if first < len(segments) - 1:
        group.stack = ".".join(segments[:first])
        group.module, group.leaf = split(".".join(segments[first + 1 :]))
        group.role = ROLES.get(group.module, "")
        return
    module, group.leaf = split(group.template)
    path = module.split(".")
    for start in range(max(0, len(path) - _DEEPEST), len(path)):
        candidate = ".".join(path[start:])
        if candidate in _OUTSIDE and all(part in wrappers for part in path[:start]):
            group.module, group.role = candidate, _OUTSIDE[candidate]
            return
    group.module = module


def _weight(groups: Sequence[Group]) -> int:
    """How much of a decoder a stack is: tensors whose role is known."""
    return sum(len(group.indices) for group in groups if group.role)


def _assembled(
    stack: str, stacks: Mapping[str, list[Group]], outside: Sequence[Group], towers: dict[str, list[Group]],
    drafts: list[Group],
) -> Structure:  # fmt: skip
    mine = list(stacks.get(stack, ()))
    for group in mine:
        if group.module == "linear" and len(group.layers) > 1:
            group.role = ""  # MixFormer numbers its one head; in several layers (Zamba) it is none
    rivals = {name: groups for name, groups in stacks.items() if name != stack and _is_text(groups)}
    head = stack.split(".", maxsplit=1)[0]
    theirs = {name.split(".")[0] for name in rivals} - {head}
    rest: list[Group] = [g for name, groups in stacks.items() if name != stack and name not in rivals for g in groups]
    for group in outside:
        top = group.template.split(".")[0]
        if group.role and top in theirs:
            next(groups for name, groups in rivals.items() if name.split(".")[0] == top).append(group)
        else:
            (mine if group.role else rest).append(group)
    known = [group for group in mine if group.role]
    return Structure(known, stack, towers, drafts, [*(g for g in mine if not g.role), *rest], rivals)


def _is_text(groups: Sequence[Group]) -> bool:
    return sum(group.role in ("q", "qkv", "out", "up", "down") for group in groups) >= 3
