"""Which tensors of a checkpoint a name in an error stands for: engines strip, fuse and rewrite before they complain."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from mappings.architectures import BUILT_IN
from mappings.names import blank, collapse

_MORE = {"in_proj_qkvz": ("in_proj_qkv", "in_proj_z"), "in_proj_ba": ("in_proj_b", "in_proj_a")}
"""Of Qwen3-Next, which has no rows yet."""
EXPERTS = {"w13": ("gate_proj", "up_proj", "w1", "w3"), "w2": ("down_proj", "w2")}
"""Engines' parameters for all experts of a layer (`experts.w13_weight_scale`), and modules of one expert."""
_MOST = 8
"""Names of one complaint that are looked for; the others are of the same kinds."""


@cache
def fused_parts() -> Mapping[str, tuple[str, ...]]:
    """Module of an engine -> modules of checkpoints that it is made of, as all rows have it: `qkv_proj` -> q, k, v."""
    found: dict[str, dict[str, None]] = {}
    for arch in BUILT_IN:
        for row in arch.rows:
            param, own = row.slot.param.name.rpartition(".")[2], row.name.rpartition(".")[2]
            if len(row.slot.param.parts) > 1 and own != param and row.name.startswith("model."):
                found.setdefault(param, {})[own] = None
    return {module: tuple(parts) for module, parts in found.items()} | _MORE


@dataclass(frozen=True)
class Place:
    """Where a name was found."""

    said: str
    names: tuple[str, ...]
    """The tensors themselves: one, or one for each part of a fused module."""
    kin: tuple[str, ...]
    """All of the same templates, in other layers and experts too."""
    stripped: str = ""
    """What the checkpoint has in front and the error has not."""
    added: str = ""
    """What the error has in front and the checkpoint has not."""
    fused: str = ""
    """The module that the engine makes of several."""

    @property
    def subject(self) -> str:
        """The templates in one line, folded over layers where they are all of one kind."""
        return collapse(self.kin)[0][0]


def place_of(said: str, names: Sequence[str]) -> Place | None:
    """Where the tensor of this name is; None where no tensor can be meant."""
    for spelled, fused in _spellings(said):
        found = [place for part in spelled if (place := _located(part, names))]
        if len(found) == len(spelled) or (found and fused):
            own = tuple(name for name, _, _ in found)
            _, stripped, added = found[0]
            return Place(said, own, _kin(own, names), stripped, added, fused)
    return None


def _spellings(said: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """As it is; and each part of what may have been fused."""
    yield (said,), ""
    segments = said.split(".")
    for at, segment in enumerate(segments):
        home, _, leaf = segment.partition("_")
        if leaf and home in EXPERTS and segments[at - 1] == "experts":
            of_first = [".".join((*segments[:at], "0", part, leaf)) for part in EXPERTS[home]]
            yield tuple(of_first), home
        if segment in fused_parts():
            yield (
                tuple(".".join((*segments[:at], part, *segments[at + 1 :])) for part in fused_parts()[segment]),
                segment,
            )


def is_here(said: str, known: Collection[str]) -> bool:
    """Whether a tensor has this very name, or all parts of a fused one have theirs."""
    return any(any(part in known for part in spelled) for spelled, _ in _spellings(said))


def _located(said: str, names: Sequence[str]) -> tuple[str, str, str] | None:
    """The tensor, what was stripped from its name, and what was put in front."""
    known = set(names)
    if said in known:
        return said, "", ""
    longer = min((name for name in names if name.endswith(f".{said}")), key=len, default=None)
    if longer is not None:
        return longer, longer[: -len(said)], ""
    segments = said.split(".")
    for at in range(1, len(segments) - 1):
        rest = ".".join(segments[at:])
        if rest in known:
            return rest, "", f"{'.'.join(segments[:at])}."
    return None


def _kin(own: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    templates = {blank(name)[0] for name in own}
    return tuple(name for name in names if blank(name)[0] in templates)


def places(said: Sequence[str], names: Sequence[str]) -> list[Place]:
    """Of the first names of a complaint, those that can be meant."""
    return [place for each in said[:_MOST] if (place := place_of(each, names))]
