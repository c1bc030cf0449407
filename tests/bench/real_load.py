"""A real load of more than 2 GB of bf16 from the page cache: time, bytes read, strided slices, memory.

Claims. At tp 1 at most the time of the plain loop `param.copy_(f.get_tensor(name))` of the safetensors library over
the same file. At tp 2 each rank reads at most 1.02 times its own bytes, strided (row-parallel) slices take at most
1.5 times as long a byte as contiguous ones, and resident memory peaks at most 300 MB above the rank's parameters,
mapped pages of the file not counted.

The time is that of opening, every step and its note in the trace, and closing; not that of headers, plan and
allocation. All destinations have been written before, as the first touch of fresh memory costs more than the copy.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from engine.loading.build import build
from engine.loading.loader import Copy, Loader, WeightSource
from engine.loading.recorder import NullRecorder
from engine.loading.sources import AHEAD, MappedWeights
from engine.processes.launch import launch
from tracer.checkpoint.weights import map_file
from tracer.prepare import Prepared, Request, prepare
from tracer.recorder import Spool, ViewRecorder

ROUNDS = 16
MOST_NOISE = 0.05
"""What the measure may be off by, of the plain loop: a machine too busy to measure on shows no claim."""
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,
    "intermediate_size": 14336, "num_hidden_layers": 4, "vocab_size": 32000, "torch_dtype": "bfloat16",
}  # fmt: skip
FILE = "model.safetensors"
Tensors = Mapping[str, torch.Tensor]


def write_checkpoint(folder: Path) -> None:
    """Llama-3-8B's shapes, four layers of them and a smaller vocabulary: 2.27 GB of random bits."""
    (folder / "config.json").write_text(json.dumps(CONFIG))
    shapes = {t.name: tuple(t.shape) for t in prepare(Request(str(folder), plan_only=True)).infos}
    bits = {n: torch.randint(-(2**15), 2**15, shape, dtype=torch.int16) for n, shape in shapes.items()}
    save_file({n: b.view(torch.bfloat16) for n, b in bits.items()}, folder / FILE)


def plain_loop(file: Path, params: Tensors) -> None:
    """What the claim is measured against."""
    with safe_open(file, framework="pt") as f:
        for name in f.keys():  # noqa: SIM118 - no mapping: it has no iterator in older releases
            params[name].copy_(f.get_tensor(name))


def load(prepared: Prepared, rank: int, params: Tensors, notes: Path, loader: type[Loader] = Loader) -> Loader:
    """What a rank's process does once its parameters are there."""
    with Spool(notes) as spool:
        source = MappedWeights(prepared.folder, prepared.infos, map_file)
        used = loader(prepared.plan, rank, source, ViewRecorder(spool, spool.flush))
        used.load(params)
        return used


class Memory(WeightSource):
    """The checkpoint as if it were in this process's memory already: what then is left is the physical limit."""

    def __init__(self, prepared: Prepared, tensors: Tensors) -> None:
        self._tensors = [tensors[info.name] for info in prepared.infos]
        self.ahead = AHEAD

    def tensor(self, position: int) -> torch.Tensor:
        return self._tensors[position]


class Timed(Loader):
    """Adds up bytes and seconds of its copies, of contiguous sources and of strided ones."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.nbytes = {True: 0, False: 0}
        self.seconds = {True: 0.0, False: 0.0}

    def perform(self, copy: Copy) -> None:
        start = time.perf_counter()
        super().perform(copy)
        self.seconds[copy.src.is_contiguous()] += time.perf_counter() - start
        self.nbytes[copy.src.is_contiguous()] += copy.src.nbytes


class Counted(Timed):
    """Also counts the bytes of views that were copied without a call that reads: those that went through the map."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.through_map = 0

    def perform(self, copy: Copy) -> None:
        before = bytes_read()
        super().perform(copy)
        read = bytes_read() - before  # a few hundred of them are those of asking
        self.through_map += copy.src.nbytes if read < copy.src.nbytes else 0


class Rank(NamedTuple):
    """What one of two ranks measured of itself, in bytes and bytes a second."""

    own: int
    read: int
    through_map: int
    params: int
    before: int
    peak: int
    contiguous: float
    strided: float


def measure_rank(group: Any, folder: str) -> Rank:
    """The first load as in a run, watched from before the headers are read; then warm ones for the speed."""
    prepared = prepare(Request(folder, 2))
    with Watch() as watch, tempfile.TemporaryDirectory() as notes:
        params = build(prepared.plan, group.rank).params
        read = bytes_read()
        first = load(prepared, group.rank, params, Path(notes) / "first", Counted)
        read = bytes_read() - read
        speeds: dict[bool, list[float]] = {True: [], False: []}
        for round_ in range(ROUNDS):
            timed = load(prepared, group.rank, params, Path(notes) / str(round_), Timed)
            assert isinstance(timed, Timed)
            for kind, found in speeds.items():
                found.append(timed.nbytes[kind] / timed.seconds[kind])
    assert isinstance(first, Counted)
    own = sum(first.nbytes.values())
    size = sum(p.nbytes for p in {id(p): p for p in params.values()}.values())
    contiguous, other = (statistics.median(speeds[kind]) for kind in (True, False))
    return Rank(own, read, first.through_map, size, watch.before, watch.peak, contiguous, other)


def bytes_read() -> int:
    """What this process has asked of files by read calls so far; the kernel counts it."""
    return _field(Path("/proc/self/io"), "rchar")


def anonymous() -> int:
    """Resident memory of this process that is no page of a file."""
    return _field(Path("/proc/self/status"), "RssAnon") * 1024


def _field(path: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+)", path.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


class Watch:
    """The peak of anonymous memory, looked at every few milliseconds."""

    def __enter__(self) -> Watch:
        self.before = self.peak = anonymous()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._stop.wait(0.005):
            self.peak = max(self.peak, anonymous())

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.peak = max(self.peak, anonymous())


def turned(names: list[str], by: int) -> list[str]:
    """The same in another order: each comes first, second and so on as often as the others."""
    by %= len(names)
    return names[by:] + names[:by]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(folder: Path) -> bool:
    """tp 1 against the plain loop, and both against copies between parts of memory; in alternation."""
    prepared = prepare(Request(str(folder)))
    ours = build(prepared.plan, 0).params
    plain = {t.name: torch.zeros(tuple(t.shape), dtype=torch.bfloat16) for t in prepared.infos}
    # A new file each time, as in a run: ext4 writes a file that was cut to nothing to its disk when it is closed.
    notes = (folder / f"notes{number}" for number in count())
    works: dict[str, Callable[[], object]] = {
        "plain loop": lambda: plain_loop(folder / FILE, plain),
        "this loader": lambda: load(prepared, 0, ours, next(notes)),
        "plain again": lambda: plain_loop(folder / FILE, plain),
        "memory copy": lambda: Loader(prepared.plan, 0, Memory(prepared, plain), NullRecorder()).load(ours),
    }
    for work in works.values():
        work()
    took: dict[str, list[float]] = {name: [] for name in works}
    for round_ in range(ROUNDS):
        for name in turned(list(works), round_):  # whoever comes after whom matters by a hundredth
            took[name].append(seconds(works[name]))
    size = sum(t.nbytes for t in prepared.infos) / 1e9
    print(f"tp 1: {size:.2f} GB, {len(prepared.infos)} tensors, {torch.get_num_threads()} threads, {ROUNDS} rounds")
    ratios = {}
    for name, found in took.items():
        middle = statistics.median(found)
        ratios[name] = statistics.median(a / b for a, b in zip(found, took["plain loop"], strict=True))
        print(f"  {name}  median {middle * 1e3:7.1f} ms  best {min(found) * 1e3:7.1f} ms  {size / middle:5.1f} GB/s"
              f"  median ratio to the plain loop {ratios[name]:.3f}")  # fmt: skip
    noise = abs(ratios["plain again"] - 1)
    allowed = min(noise, MOST_NOISE)
    return verdict(f"time {ratios['this loader']:.3f} of the plain loop (claim: at most 1; noise of the measure"
                   f" {noise:.3f}, allowed {allowed:.3f})",
                   ratios["this loader"] <= 1 + allowed)  # fmt: skip


def verdict(text: str, holds: bool) -> bool:
    print(f"  {'ok  ' if holds else 'MISS'} {text}")
    return holds


def judge(rank: int, found: Rank) -> list[bool]:
    """The claims for one of two ranks."""
    print(f"tp 2, rank {rank}: parameters of {found.params / 1e6:.0f} MB, contiguous {found.contiguous / 1e9:.1f} GB/s,"
          f" strided {found.strided / 1e9:.1f} GB/s")  # fmt: skip
    total, slower = found.read + found.through_map, found.contiguous / found.strided
    above = found.peak - found.params
    return [
        verdict(f"bytes {total / found.own:.4f} of its own: {found.read / 1e6:.1f} MB by read calls, as the kernel"
                f" counts, {found.through_map / 1e6:.1f} MB through the map, as its views say (claim: at most 1.02)",
                total <= 1.02 * found.own),
        verdict(f"strided {slower:.2f} times as slow as contiguous (claim: at most 1.5)", slower <= 1.5),
        verdict(f"memory {above / 1e6:.0f} MB above the parameters at the peak, {found.before / 1e6:.0f} MB of it"
                " before they are allocated, torch and the plan (claim: at most 300)", above <= 300e6),
    ]  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_checkpoint(folder)
        held = [judge(rank, found) for rank, found in enumerate(launch(2, measure_rank, name))]
        all_hold = compare(folder) and all(all(each) for each in held)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    sys.exit(0 if all_hold else 1)


if __name__ == "__main__":
    main()
