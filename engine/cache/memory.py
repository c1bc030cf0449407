"""How much memory is free where the cache will be."""

from __future__ import annotations

import re
from pathlib import Path

import torch


def free_bytes(device: str) -> int:
    """Bytes that can still be allocated on a device; on a CPU what Linux calls available."""
    if device != "cpu":
        return int(torch.cuda.mem_get_info(device)[0])
    found = re.search(r"^MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    if found is None:
        raise OSError("/proc/meminfo does not say MemAvailable")
    return int(found[1]) << 10
