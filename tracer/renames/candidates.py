"""Which edits are worth trying: what sets apart names that end alike, and the wrappers that programs put around."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TypeAlias

from mappings.names import is_index
from tracer.renames.edit import Edit, Where

Shape: TypeAlias = tuple[int, ...]

WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "base_layer")
"""Segments of DataParallel, torch.compile, FSDP, activation checkpointing and PEFT: anywhere, more than once."""
OLD_SPELLINGS = (("gamma", "weight"), ("beta", "bias"))
"""LayerNorm's parameters in checkpoints converted from TensorFlow, as BERT was."""
_KEPT = 2
"""Segments at the end that an edit leaves alone, a module and its leaf: another module is another tensor."""
_MOST = 40
_PARTNERS = 60
"""Names of the other side that one name is held against; more end alike only in names that no model has."""


def candidates(
    names: Sequence[str], others: Sequence[str], shapes: Mapping[str, Shape], other_shapes: Mapping[str, Shape]
) -> list[Edit]:  # fmt: skip
    """Edits of `names` that would give some of `others`, those that most pairs speak for first.

    One name of each kind on either side is enough. Shapes, where both are known, rule out pairs.
    """
    by_end: dict[str, list[str]] = {}
    for other in others:
        by_end.setdefault(other.rpartition(".")[2], []).append(other)
    votes: Counter[Edit] = Counter()
    for name in names:
        own = shapes.get(name)
        partners = (
            other for other in by_end.get(name.rpartition(".")[2], ())
            if own is None or other_shapes.get(other, own) == own
        )  # fmt: skip
        votes.update({edit for other in islice(partners, _PARTNERS) for edit in _between(name, other)})
    return [*_known(names), *(edit for edit, _ in votes.most_common(_MOST))]


def _known(names: Sequence[str]) -> list[Edit]:
    segments = {segment for name in names for segment in name.split(".")}
    found = [Edit("every", ((wrapper, ""),)) for wrapper in WRAPPERS if wrapper in segments]
    for pairs in (OLD_SPELLINGS, tuple((new, old) for old, new in OLD_SPELLINGS)):
        if {old for old, _ in pairs} & segments:
            found.append(Edit("first", pairs))
    return found


def _between(name: str, other: str) -> list[Edit]:
    """The shortest edits that turn one name into the other: what is between the segments that they share."""
    own, wanted = name.split("."), other.split(".")
    end = _shared(own[::-1], wanted[::-1])
    if end < min(_KEPT, len(own), len(wanted)):
        return []
    start = min(_shared(own, wanted), len(own) - end, len(wanted) - end)
    old, new = own[start : len(own) - end], wanted[start : len(wanted) - end]
    if _numbers(old) and _numbers(old) == _numbers(new):
        parts = _around_numbers(old, new)
        return [Edit("all", parts)] if parts and all(one for one, _ in parts) else []
    found = [_edit("start", own[: len(own) - end], wanted[: len(wanted) - end])]
    if start:
        found.append(_edit("first", old, new))
    return [edit for edit in found if edit is not None]


def _numbers(segments: Sequence[str]) -> list[str]:
    """Layers and experts, which both sides count alike and no edit may name."""
    return [segment for segment in segments if is_index(segment)]


def _around_numbers(old: Sequence[str], new: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """What becomes of what before, between and after the numbers that both have."""
    runs = zip(_split(old), _split(new), strict=True)
    return tuple(dict.fromkeys((one, other) for one, other in runs if one != other))


def _split(segments: Sequence[str]) -> list[str]:
    found: list[list[str]] = [[]]
    for segment in segments:
        if is_index(segment):
            found.append([])
        else:
            found[-1].append(segment)
    return [".".join(run) for run in found]


def _shared(own: Sequence[str], wanted: Sequence[str]) -> int:
    count = 0
    for one, other in zip(own, wanted, strict=False):
        if one != other:
            break
        count += 1
    return count


def _edit(where: Where, old: Sequence[str], new: Sequence[str]) -> Edit | None:
    numbered = (_numbers(new) and old) or (_numbers(old) and new)  # layer 28 of one is not layer 0 of another
    if old == new or (where != "start" and not old) or numbered:
        return None  # where something is to be put in between, the other side's names say what to take out
    return Edit(where, ((".".join(old), ".".join(new)),))
