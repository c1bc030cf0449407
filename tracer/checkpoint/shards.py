"""Numbered shards: `model-00002-of-00005.safetensors` and the like, and which of a series are missing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from mappings.findings import Finding
from tracer.checkpoint.consistency import some

_NUMBERED = re.compile(
    r"(?P<stem>.*?)-?(?<![0-9])(?P<number>[0-9]{1,18})-of-(?P<count>[0-9]{1,18})(?P<suffix>\.\w+)"
)
"""Longer runs of digits number nothing, and Python makes no number of the longest."""
_MOST_SHARDS = 100_000
"""A count in a file name is no reason to make a list of that length."""


def series_of(file: str) -> str | None:
    """What all shards of a file's series have in common; None if the file is not numbered."""
    found = _NUMBERED.fullmatch(file)
    return f"{found['stem']}-of-{found['count']}{found['suffix']}" if found else None


def siblings(file: str) -> list[str]:
    """All names of a file's series, its own among them; only its own if it is not numbered."""
    found = _NUMBERED.fullmatch(file)
    if not found or int(found["count"]) > _MOST_SHARDS:
        return [file]
    before, after = file[: found.start("number")], file[found.end("number") :]
    width = len(found["number"])
    return [f"{before}{number:0{width}d}{after}" for number in range(1, int(found["count"]) + 1)]


def gaps(files: Iterable[str]) -> list[Finding]:
    """Numbered series that lack a member, one finding a series."""
    series: dict[tuple[str, int, str], dict[int, str]] = defaultdict(dict)
    for file in files:
        found = _NUMBERED.fullmatch(file)
        if found:
            series[found["stem"], int(found["count"]), found["suffix"]][int(found["number"])] = file
    findings = [_gap(*key, members) for key, members in series.items()]
    return [finding for finding in findings if finding is not None]


def _gap(stem: str, count: int, suffix: str, members: dict[int, str]) -> Finding | None:
    first = 0 if 0 in members else 1
    if count > _MOST_SHARDS or len(members) >= count:
        return None
    missing = [number for number in range(first, first + count) if number not in members]
    width = len(_NUMBERED.fullmatch(next(iter(members.values())))["number"])  # type: ignore[index]
    names = [f"{stem}-{number:0{width}d}-of-{count:0{width}d}{suffix}" for number in missing]
    return Finding(
        "shards.gap",
        "error",
        names[0],
        f"{len(missing)} of {count} numbered files missing: {some(names)}",
        {"missing": names, "present": len(members)},
        "download the missing files",
    )
