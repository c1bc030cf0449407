"""`tracer diff` as a whole process, on headers alone: DeepSeek-V3's 90,000 tensors in 163 files against themselves.

    python -m tests.bench.diff

Prints the seconds of processor time against the limit, and exits with 1 if it is missed. The best of a few runs, since
others may disturb one.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from fixtures import header_set

ROUNDS = 5
MODEL = "deepseek-v3"
LIMIT = 2.0
"""Seconds for both sides, with Python's own start."""


def seconds(a: Path, b: Path) -> float:
    """Of processor time, of this process' child and the system for it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "tracer", "diff", str(a), str(b), "--exit-code", "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        sides = Path(name, "a"), Path(name, "b")
        for side in sides:
            side.mkdir()
            tensors = header_set.write(side, MODEL)
        best = min(seconds(*sides) for _ in range(ROUNDS))
    missed = best > LIMIT
    told = f"{best:.2f} s of processor time, {best / LIMIT:.2f} of its limit of {LIMIT} s"
    print(f"{MODEL} twice, {len(tensors):,} tensors a side: {told}{'  MISSED' if missed else ''}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
