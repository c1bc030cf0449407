"""Which files of a folder make up the model, and which are another copy of it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from mappings.findings import Finding
from tracer.checkpoint.consistency import some

SUFFIX = ".safetensors"
_NUMBERED = re.compile(r"(?P<stem>.*?)-?(?P<number>\d+)-of-(?P<count>\d+)\.safetensors")
_OTHER_FORMATS = ("pytorch_model*.bin", "consolidated*.pth", "*.gguf", "*.h5", "*.msgpack")
_OTHER_FOLDERS = ("original", "metal")
"""Where publishers keep the same weights in the format of another program."""
_MOST_SHARDS = 100_000
"""A count in a file name is no reason to make a list of that length."""


def safetensors_files(folder: Path) -> list[str]:
    """The folder's safetensors files in natural order: 2 before 10."""
    return sorted((path.name for path in folder.iterdir() if path.name.endswith(SUFFIX)), key=_natural)


def without_second_copy(files: Sequence[str]) -> list[str]:
    """Without `consolidated*`, the same model under Meta's names, unless there is nothing else."""
    others = [file for file in files if not file.startswith("consolidated")]
    return others or list(files)


def gaps(files: Iterable[str]) -> list[Finding]:
    """Numbered series that lack a member, one finding a series."""
    series: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    for file in files:
        found = _NUMBERED.fullmatch(file)
        if found:
            series[found["stem"], int(found["count"])][int(found["number"])] = file
    findings = [_gap(stem, count, members) for (stem, count), members in series.items()]
    return [finding for finding in findings if finding is not None]


def second_copy(folder: Path, chosen: Sequence[str]) -> Finding | None:
    """The other copies of the model that the folder holds beside the chosen files."""
    ignored = [file for file in safetensors_files(folder) if file.startswith("consolidated")]
    ignored += [path.name for pattern in _OTHER_FORMATS for path in sorted(folder.glob(pattern))]
    ignored += [f"{name}/" for name in _OTHER_FOLDERS if (folder / name).is_dir()]
    ignored = [file for file in ignored if file not in chosen]
    if not ignored or not chosen:
        return None
    return Finding(
        "shards.second-copy",
        "info",
        ignored[0],
        f"the folder holds the model more than once; read: {some(chosen)}; ignored: {', '.join(ignored)}",
        {"read": list(chosen), "ignored": ignored},
    )


def _natural(file: str) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", file)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _gap(stem: str, count: int, members: dict[int, str]) -> Finding | None:
    first = 0 if 0 in members else 1
    if count > _MOST_SHARDS or len(members) >= count:
        return None
    missing = [number for number in range(first, first + count) if number not in members]
    width = len(_NUMBERED.fullmatch(next(iter(members.values())))["number"])  # type: ignore[index]
    names = [f"{stem}-{number:0{width}d}-of-{count:0{width}d}{SUFFIX}" for number in missing]
    return Finding(
        "shards.gap",
        "error",
        names[0],
        f"{len(missing)} of {count} numbered files missing: {some(names)}",
        {"missing": names, "present": len(members)},
        "download the missing files",
    )
