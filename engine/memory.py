"""How much memory is free on a device, and what is said where there is none."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

ROOT = Path("/")
V2 = "memory.max", "memory.high"
"""Limits of a control group: beyond the first its processes are killed, beyond the second they are held up."""
V1 = ("memory.limit_in_bytes",)


def free_bytes(device: str, root: Path = ROOT) -> int:
    """Bytes that can still be allocated on a device; on a CPU as the system says, and the limits of control groups.

    `root` is where `proc` and `sys` are. Raises OSError where the system says nothing at all.
    """
    if device != "cpu":
        torch.cuda.empty_cache()  # what this process has freed is kept for it, and not counted as free
        return int(torch.cuda.mem_get_info(device)[0])
    return min([_of_system(root), *_within_limits(root)])


def _of_system(root: Path) -> int:
    """What Linux calls available; elsewhere the pages that are free, or, where nobody counts these, all there are."""
    found = re.search(r"^MemAvailable:\s*(\d+) kB", _read(root / "proc" / "meminfo"), re.MULTILINE)
    if found is not None:
        return int(found[1]) << 10
    for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        if name in os.sysconf_names:
            return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    raise OSError("the system does not say how much memory is free")


def _within_limits(root: Path) -> Iterator[int]:
    """What is left to each control group that this process is in, as any around it may have the lowest limit."""
    mounted = root / "sys" / "fs" / "cgroup"
    for line in _read(root / "proc" / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            yield from _left(mounted, path, V2, "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            yield from _left(mounted / "memory", path, V1, "memory.usage_in_bytes", "total_inactive_file")


def _left(top: Path, path: str, limits: tuple[str, ...], usage: str, cached: str) -> Iterator[int]:
    """Bytes, for each limit from the group up. Within a container the groups around it are not to be seen: then `path`
    leads nowhere, and what is seen as the topmost is the container's own.
    """  # fmt: skip
    inside = [part for part in path.split("/") if part not in ("", ".", "..")]
    for depth in range(len(inside), -1, -1):
        group = top.joinpath(*inside[:depth])
        used, stat = _number(_read(group / usage)), _read(group / "memory.stat")
        found = re.search(rf"^{cached} (\d+)$", stat, re.MULTILINE)
        dropped = int(found[1]) if found else 0  # pages of files go before anybody is killed
        for name in limits:
            limit = _number(_read(group / name))
            if limit is not None and used is not None:
                yield max(0, limit - max(0, used - dropped))


def _number(text: str) -> int | None:
    """None also for `max`."""
    return int(text) if text.strip().isdecimal() else None


def _read(path: Path) -> str:
    """Empty where there is no such file, or none that may be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@contextmanager
def allocating(what: str, remedy: str, device: str | None = None) -> Iterator[None]:
    """Raises MemoryError, in one line with what was asked for, where an allocator of torch has no more to give.

    On a GPU that is torch.OutOfMemoryError; of pinned memory, and on a CPU, a RuntimeError like any other.
    """
    try:
        yield
    except RuntimeError as error:
        if not _out_of_memory(error):
            raise
        raise MemoryError(f"no memory for {what}{_told_free(device)}; {remedy}") from error


def _out_of_memory(error: RuntimeError) -> bool:
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in text or "out of memory" in text


def _told_free(device: str | None) -> str:
    if device is None:
        return ""
    try:
        return f", {free_bytes(device):,} are free on {device}"
    except (OSError, RuntimeError):  # a device that has failed may not answer
        return f" on {device}"
