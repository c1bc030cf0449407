"""value.duplicate: tensors with other names and the same bytes, where nothing says that they are one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mappings.findings import Finding
from mappings.names import blank
from tracer.report.words import plural
from tracer.values.roles import is_vocabulary, is_weight, spelled
from tracer.values.statistics import Statistics

_LEAST = 64
"""Bytes; fewer may well agree."""
_SHOWN = 4
_Key = tuple[str, tuple[int, ...], str]


def duplicates(scanned: Sequence[Statistics], config: Mapping[str, Any]) -> Iterator[Finding]:
    """Whole blocks that are equal in one finding; then what else is equal. Matrices of one number are not looked at.

    Tables with a row a token may be equal: tied, as the config says or leaves out. Said to be untied, it is a remark.
    """
    groups = _groups(scanned)
    tables = [group for group in groups if all(map(is_vocabulary, group))]
    others = [group for group in groups if group not in tables]
    if config.get("tie_word_embeddings") is False:
        yield from map(_untied, tables)
    whole, rest = _by_block(others, scanned)
    if whole:
        yield _blocks(whole)
    yield from map(_alone, rest)


def _groups(scanned: Sequence[Statistics]) -> list[list[Statistics]]:
    """Matrices at different places with the same dtype, shape and bytes."""
    equal: dict[_Key, dict[tuple[str, int], Statistics]] = defaultdict(dict)
    for each in scanned:
        if each.digest and each.nbytes >= _LEAST and is_weight(each) and not (each.constant or each.all_zero):
            equal[each.dtype, each.shape, each.digest].setdefault((each.file, each.offset), each)
    return [list(places.values()) for places in equal.values() if len(places) > 1]


def _untied(group: list[Statistics]) -> Finding:
    names = [each.name for each in group]
    message = f"{' and '.join(names)} are equal, byte for byte, though config.json says that they are not tied"
    return Finding("value.duplicate", "info", names[0], message, {"names": names, "digest": group[0].digest})


# --- blocks ---


def _by_block(
    groups: Sequence[list[Statistics]], scanned: Sequence[Statistics]
) -> tuple[dict[tuple[str, str], tuple[int, int]], list[list[Statistics]]]:
    """Pairs of blocks with how many tensors of theirs are equal, of how many; and the groups that are in no pair.

    A block is what comes before the one number in which two names differ. More than half of its matrices must be
    equal, and more than one: biases, masks and zero points are equal everywhere.
    """
    members: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, group in enumerate(groups):
        for each in group[1:]:
            pair = _pair(group[0].name, each.name)
            if pair:
                members[pair].append(number)
    blocks = {block for pair in members for block in pair}
    matrices, everything = _under(blocks, filter(is_weight, scanned)), _under(blocks, scanned)
    whole: dict[tuple[str, str], tuple[int, int]] = {}
    for one, other in members:
        equal, of = _compared(matrices[one], matrices[other])
        if 2 * equal > of > 1:
            whole[one, other] = _compared(everything[one], everything[other])
    covered = {number for pair in whole for number in members[pair]}
    return whole, [group for number, group in enumerate(groups) if number not in covered]


def _pair(one: str, other: str) -> tuple[str, str] | None:
    """`model.layers.7` and `model.layers.8`."""
    if blank(one)[0] != blank(other)[0]:
        return None
    parts = [one.split("."), other.split(".")]
    apart = [at for at, (a, b) in enumerate(zip(*parts, strict=True)) if a != b]
    if len(apart) != 1:
        return None
    first, second = (".".join(segments[: apart[0] + 1]) for segments in parts)
    return first, second


def _under(blocks: set[str], scanned: Iterable[Statistics]) -> dict[str, dict[str, _Key]]:
    """What each block holds, by the rest of the name."""
    held: dict[str, dict[str, _Key]] = {block: {} for block in blocks}
    for each in scanned:
        parts = each.name.split(".")
        for length in range(1, len(parts)):
            block = ".".join(parts[:length])
            if block in held:
                held[block][".".join(parts[length:])] = (each.dtype, each.shape, each.digest)
    return held


def _compared(one: Mapping[str, _Key], other: Mapping[str, _Key]) -> tuple[int, int]:
    return sum(other.get(rest) == key for rest, key in one.items()), max(len(one), len(other))


def _blocks(whole: Mapping[tuple[str, str], tuple[int, int]]) -> Finding:
    told = [
        f"{one} and {other} are equal in {'all' if equal == of else f'{equal} of'} {of} tensors"
        for (one, other), (equal, of) in whole.items()
    ]
    more = f"; and {plural(len(told) - _SHOWN, 'pair')} more" if len(told) > _SHOWN else ""
    message = f"{'; '.join(told[:_SHOWN])}{more}: copied, as merges of overlapping layers do, or written twice"
    evidence = {"pairs": [[*pair, *counts] for pair, counts in whole.items()]}
    return Finding("value.duplicate", "warning", next(iter(whole))[0], message, evidence)


def _alone(group: list[Statistics]) -> Finding:
    message = f"{spelled(group)}: {len(group)} tensors with the same {group[0].nbytes:,} bytes; one was written twice"
    evidence = {"names": [each.name for each in group], "digest": group[0].digest}
    return Finding("value.duplicate", "warning", group[0].name, message, evidence)
