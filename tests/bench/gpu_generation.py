"""Decoding on a GPU: Llama-3-8B's geometry in bf16, random weights, at batch 1 and 64, with CUDA graphs and without.

Claim. At batch 1, with graphs, a pass reads its weights and keys at 0.75 or more of the bandwidth that the GPU shows in
the same run: the better of a copy within its memory, both ways counted, and of a matrix-vector product. The rest is
reported.

The time of a pass is that from token to token, with scheduling, sampling and the wait for the GPU.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn import functional as F

from engine.cache.tensors import bytes_per_block
from engine.dtypes import TORCH
from engine.loading.loader import WeightSource
from engine.opened import Opened
from engine.sampling.params import Sampling
from engine.serving.engine import Engine
from engine.serving.serve import Settings, make_engine, run
from tracer.prepare import Prepared, Request, prepare

GEOMETRY = "llama-3-8b"
CLAIM = 0.75
BATCHES = 1, 64
PROMPT = 128
WARM, PASSES = 16, 128
"""Passes of a round with all sequences in them: before, and while it is measured."""
ROUNDS = 3
CACHE = 7 << 30
"""Bytes: two blocks a sequence and one to spare."""
PROBE = 1 << 30
"""Bytes that the bandwidth is measured on; no cache of a GPU holds a tenth of them."""
NEEDED = (16 << 30) + CACHE + 4 * PROBE
"""Bytes: the parameters too, and what a pass makes."""


class Noise(WeightSource):
    """Small random numbers, made on the GPU, in the place of a checkpoint."""

    def __init__(self, prepared: Prepared) -> None:
        self._infos = prepared.infos
        self._draw = torch.Generator("cuda").manual_seed(0)

    def tensor(self, position: int) -> torch.Tensor:
        info = self._infos[position]
        made = torch.empty(tuple(info.shape), dtype=TORCH[info.dtype], device="cuda")
        return made.normal_(0, 0.02, generator=self._draw)


def make(prepared: Prepared, folder: Path) -> Engine:
    """`folder` is empty: there is no tokenizer."""
    settings = Settings("cuda", cache_bytes=CACHE, sequences=max(BATCHES))
    return make_engine(Opened(prepared.plan, Noise(prepared), folder), settings)


class Traffic(NamedTuple):
    """Bytes that a pass cannot but read."""

    weights: int
    """All parameters but the table of embeddings, of which it reads a row a sequence; the head is not tied to it."""
    key: int
    """A token's keys and values."""

    def of(self, batch: int) -> int:
        """Of a pass in the middle of the measured ones."""
        return self.weights + batch * self.key * (PROMPT + WARM + PASSES // 2)


def traffic(prepared: Prepared, engine: Engine) -> Traffic:
    sizes = {name: prod(leaf.form(0).shape) * TORCH[leaf.dtype].itemsize for name, leaf in prepared.plan.params()}
    assert not prepared.plan.tied()
    cache = engine.runner.cache
    weights = sum(size for name, size in sizes.items() if "embed_tokens" not in name)
    return Traffic(weights, bytes_per_block(cache.heads, 1, cache.dtype))


def bandwidth() -> dict[str, float]:
    """Bytes a second, of each way to measure it."""
    width = 8192
    matrix = torch.randn(PROBE // 2 // width, width, device="cuda", dtype=torch.bfloat16)
    vector, other = torch.randn(1, width, device="cuda", dtype=torch.bfloat16), torch.empty_like(matrix)
    return {
        "copy": 2 * matrix.nbytes / on_gpu(partial(other.copy_, matrix)),
        "matrix-vector product": matrix.nbytes / on_gpu(partial(F.linear, vector, matrix)),
    }


def on_gpu(work: Callable[[], object], times: int = 20) -> float:
    """Seconds, by the GPU's own clock."""
    work()
    found = []
    for _ in range(times):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        work()
        end.record()
        end.synchronize()
        found.append(float(begin.elapsed_time(end)) / 1e3)
    return statistics.median(found)


def seconds_a_pass(engine: Engine, batch: int) -> float:
    """Of passes in which each of `batch` sequences goes on by a token."""
    draw = torch.Generator().manual_seed(batch)
    prompts = torch.randint(0, 100_000, (batch, PROMPT), generator=draw).tolist()
    # Long prompts are let in over several passes, so that the first have some tokens when the last has none.
    asked = Sampling(max_tokens=WARM + PASSES + 16, ignore_eos=True)
    stamps = []
    for tokens in run(engine, [(prompt, asked) for prompt in prompts]):
        if len(tokens) == batch:
            stamps.append(time.perf_counter())
    full = [after - before for before, after in pairwise(stamps)][WARM : WARM + PASSES]
    assert len(full) == PASSES, "too few passes had all sequences in them"
    return statistics.mean(full)


def measure(engine: Engine) -> dict[tuple[int, bool], float]:
    """Seconds a pass, by batch and whether with graphs; in alternation, the median of the rounds."""
    steps = engine.runner.steps
    took: dict[tuple[int, bool], list[float]] = {(batch, graphs): [] for batch in BATCHES for graphs in (True, False)}
    for _ in range(ROUNDS):
        for (batch, graphs), found in took.items():
            engine.runner.steps = steps if graphs else None
            found.append(seconds_a_pass(engine, batch))
    engine.runner.steps = steps
    return {key: statistics.median(found) for key, found in took.items()}


def report(prepared: Prepared, engine: Engine) -> bool:
    """Whether the claim holds."""
    limits = bandwidth()
    limit = max(limits.values())
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}: "
          + ", ".join(f"{name} {found / 1e9:.0f} GB/s" for name, found in limits.items()))  # fmt: skip
    reads, took = traffic(prepared, engine), measure(engine)
    print(f"{GEOMETRY}, bf16: {reads.weights / 1e9:.2f} GB of weights a pass, {reads.key / 1e3:.0f} kB a key,"
          f" attention by {engine.runner._backend.__name__}")  # fmt: skip
    for (batch, graphs), found in took.items():
        print(f"  batch {batch:2} {'with' if graphs else 'without'} graphs  {found * 1e3:7.3f} ms a pass"
              f"  {batch / found:8.1f} tokens/s  {reads.of(batch) / found / limit:.2f} of the bandwidth")  # fmt: skip
    recorded = sorted({form.size for form in engine.runner.steps.recorded}) if engine.runner.steps else []
    share = reads.of(1) / took[1, True] / limit
    return all([
        verdict(f"graphs of {', '.join(map(str, recorded)) or 'no'} sequences (claim: of 1 and 64)",
                set(BATCHES) <= set(recorded)),
        verdict(f"batch 1 at {share:.2f} of the bandwidth (claim: at least {CLAIM})", share >= CLAIM),
    ])  # fmt: skip


def verdict(text: str, holds: bool) -> bool:
    print(f"  {'ok  ' if holds else 'MISS'} {text}")
    return holds


def why_not() -> str:
    """Why nothing can be measured here, empty where it can."""
    if not torch.cuda.is_available():
        return "no CUDA device"
    free = torch.cuda.mem_get_info()[0]
    return f"{free / 1e9:.0f} GB are free on the GPU, {NEEDED / 1e9:.0f} are needed" if free < NEEDED else ""


def main() -> None:
    reason = why_not()
    if reason:
        print(f"not run: {reason}; nothing was measured, and no claim is made")
        return
    prepared = prepare(Request(geometry=GEOMETRY, load_format="dummy", dtype="bfloat16"))
    with tempfile.TemporaryDirectory() as folder:
        holds = report(prepared, make(prepared, Path(folder)))
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
