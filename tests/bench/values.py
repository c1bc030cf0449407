"""What reading every value costs, against what reading the same bytes and folding min and max with numpy takes.

Both in one process, by turns; the least time of each counts, of the wall clock and of the processor. Once from the
disk: before each run the file is dropped from the page cache, and the peer is whichever is fastest. Once from a warm
cache, which no checkpoint of hundreds of gigabytes has: there the peer maps the file and takes a tensor at a time,
BF16 as F32, by a shift of the bits or by ml_dtypes, and a second, sterner one reads pieces that stay in the
processor's cache through one buffer. The limit holds for all types from the disk, and for BF16 when warm too.
The exit status is 1 if a limit is missed.
"""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from fixtures.hostile import framed
from tracer.checkpoint.folder import open_checkpoint
from tracer.values import scan

MEGABYTE = 1 << 20
TENSOR = 32 * MEGABYTE
TENSORS = 12
ROUNDS = 5
NUMPY: dict[str, Any] = {
    "BF16": ml_dtypes.bfloat16, "F16": np.float16, "F32": np.float32, "F8_E4M3": ml_dtypes.float8_e4m3fn,
}  # fmt: skip
LIMIT = 1.5
MOST_MEMORY = 150
PEAK = """
import sys
from pathlib import Path
from tracer.checkpoint.folder import open_checkpoint
from tracer.values import examine
examine(open_checkpoint(Path(sys.argv[1])))
# What getrusage tells includes the process that this one was forked from.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
missed: list[str] = []


def write(folder: Path, dtype: str, tensors: int = TENSORS) -> Path:
    """So many matrices of normal numbers, none like another."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    width = np.dtype(NUMPY[dtype]).itemsize
    shape = [4096, TENSOR // width // 4096]
    names = [f"model.layers.{n}.mlp.up_proj.weight" for n in range(tensors)]
    entries = {
        name: {"dtype": dtype, "shape": shape, "data_offsets": [n * TENSOR, (n + 1) * TENSOR]}
        for n, name in enumerate(names)
    }
    head = json.dumps(entries).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(framed(head + b" " * (-len(head) % 8)))
        numbers = (rng.standard_normal(TENSOR // width, dtype=np.float32) * 0.02).astype(NUMPY[dtype])
        for n in range(tensors):
            file.write(np.roll(numbers, 4099 * n).tobytes())
    (folder / "config.json").write_text("{}")
    return folder


Fold = Callable[[Any, str], None]


def by_ml_dtypes(raw: Any, dtype: str) -> None:
    numbers = np.frombuffer(raw, NUMPY[dtype]).astype(np.float32, copy=False)
    numbers.min(), numbers.max()


def by_shift(raw: Any, dtype: str) -> None:
    numbers = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
    numbers.min(), numbers.max()


def tensor_by_tensor(path: Path, dtype: str, fold: Fold) -> None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for start in range(len(mapped) - TENSORS * TENSOR, len(mapped), TENSOR):
            held = memoryview(mapped)[start : start + TENSOR]
            fold(held, dtype)
            held.release()


def piece_by_piece(path: Path, dtype: str, fold: Fold) -> None:
    buffer = memoryview(bytearray(MEGABYTE))
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for start in range(size - TENSORS * TENSOR, size, MEGABYTE):
            os.preadv(file.fileno(), [buffer], start)
            fold(buffer, dtype)


def runs(folder: Path, dtype: str) -> dict[str, Callable[[], object]]:
    """Ours and the peers."""
    path = folder / "model.safetensors"
    checkpoint = open_checkpoint(folder)
    found: dict[str, Callable[[], object]] = {
        "ours": lambda: list(scan(checkpoint)),
        "tensors, ml_dtypes": lambda: tensor_by_tensor(path, dtype, by_ml_dtypes),
        "pieces, ml_dtypes": lambda: piece_by_piece(path, dtype, by_ml_dtypes),
    }
    if dtype == "BF16":
        found["tensors, shift"] = lambda: tensor_by_tensor(path, dtype, by_shift)
    return found


def least(works: dict[str, Callable[[], object]], before: Callable[[], None]) -> dict[str, tuple[float, float]]:
    """The least seconds of each, of the wall clock and of the processor."""
    took = dict.fromkeys(works, (float("inf"), float("inf")))
    for _ in range(ROUNDS):
        for name, work in works.items():
            before()
            begin, began = time.perf_counter(), time.process_time()
            work()
            wall, cpu = time.perf_counter() - begin, time.process_time() - began
            took[name] = min(took[name][0], wall), min(took[name][1], cpu)
    return took


def evict(path: Path) -> None:
    """From the page cache; what is not on the disk yet is written first."""
    with path.open("rb") as file:
        os.fdatasync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def told(dtype: str, where: str, took: dict[str, tuple[float, float]]) -> None:
    nbytes = TENSORS * TENSOR
    for name, (wall, cpu) in took.items():
        rate = f"{nbytes / wall / 1e9:.2f} GB/s"
        print(f"{dtype}, {where}: {name}: {rate}, {cpu / nbytes * 1e9:.2f} ns of the processor a byte")


def compare(folder: Path, dtype: str) -> None:
    """From the disk, and from a warm cache."""
    works = runs(folder, dtype)
    cold = least(works, lambda: evict(folder / "model.safetensors"))
    told(dtype, "from the disk", cold)
    peer = min(cold.keys() - {"ours"}, key=lambda name: cold[name][0])
    hold(f"{dtype}: time from the disk against the peer ({peer})", cold["ours"][0] / cold[peer][0], LIMIT, "x")
    warm = least(works, lambda: None)
    told(dtype, "warm", warm)
    peer = min((name for name in warm if name.startswith("tensors")), key=lambda name: warm[name][0])
    limit = LIMIT if dtype == "BF16" else None
    hold(f"{dtype}: time when warm against the peer ({peer})", warm["ours"][0] / warm[peer][0], limit, "x")
    hold(f"{dtype}: time against pieces in the cache", warm["ours"][0] / warm["pieces, ml_dtypes"][0], None, "x")


def hold(what: str, found: float, limit: float | None, unit: str) -> None:
    """Print one figure, and remember it if it is over its limit."""
    told = "" if limit is None else f" (limit {limit:g} {unit}){'' if found <= limit else '  MISSED'}"
    print(f"{what}: {found:.2f} {unit}{told}", flush=True)
    if limit is not None and found > limit:
        missed.append(what)


def peak(folder: Path) -> float:
    """Megabytes that a process of its own takes at most."""
    told = subprocess.run([sys.executable, "-c", PEAK, str(folder)], check=True, capture_output=True, text=True)
    return int(told.stdout) * 1024 / MEGABYTE


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        for dtype in NUMPY:
            compare(write(Path(scratch) / dtype, dtype), dtype)
        small, large = write(Path(scratch) / "small", "BF16", 2), Path(scratch) / "BF16"
        hold(f"peak memory, {2 * TENSOR // MEGABYTE} MB of weights", peak(small), MOST_MEMORY, "MB")
        hold(f"peak memory, {TENSORS * TENSOR // MEGABYTE} MB of weights", peak(large), MOST_MEMORY, "MB")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
