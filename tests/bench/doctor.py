"""`tracer doctor` as a whole process, on headers alone: a model of 500 tensors, and DeepSeek-V3's 90,000 in 163 files.

    python -m tests.bench.doctor

Prints each figure as a ratio of its limit; the exit status is 1 if one is missed. The best of a few runs, since others
may disturb one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fixtures import header_set

ROUNDS = 5
LARGE, SMALL = "deepseek-v3", "bloom-176b"
LIMITS = {LARGE: 2.0, SMALL: 0.5}
"""Seconds, with Python's own start."""
SHARDS = {LARGE: header_set.DEFAULT_SHARDS, SMALL: 4}
SCALES = {LARGE: 1.0, SMALL: 0.59}
"""The second has 500 tensors then."""


def seconds(folder: Path) -> float:
    begin = time.monotonic()
    command = [sys.executable, "-m", "tracer", "doctor", str(folder), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def measure(model: str, folder: Path) -> bool:
    """Whether the limit holds."""
    tensors = header_set.write(folder, model, SCALES[model], SHARDS[model])
    best = min(seconds(folder) for _ in range(ROUNDS))
    ratio = best / LIMITS[model]
    missed = "" if ratio <= 1 else "  MISSED"
    print(f"{model}, {len(tensors):,} tensors: {best:.2f} s, {ratio:.2f} of its limit of {LIMITS[model]} s{missed}")
    return ratio <= 1


def main() -> int:
    held = []
    for model in LIMITS:
        with tempfile.TemporaryDirectory() as name:
            held.append(measure(model, Path(name)))
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
