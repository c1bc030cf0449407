"""Generation on a CPU against Transformers' `generate`, and against what the memory and the processor allow.

A Llama of 0.44 billion random parameters: 24 layers, 1024 wide. Claims: in bfloat16, decoding makes at least 1.7 times
as many tokens a second as Transformers, for one sequence and for 8; prefill at least 1.8 times; in float32 both at
least 1.05 times; 16 requests of mixed lengths at least 2 times as many as Transformers makes of them in one batch,
padded to the longest prompt and carried on to the longest answer.

The limits are measured between the rounds: bytes a second of a matrix-vector product with a matrix larger than all
caches, operations a second of a product with 512 rows. Nothing that generates can beat them by other means than
reading fewer weights or multiplying less.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers

from engine import LLM, Sampling, Settings
from engine.layers.packed import multiply, packable, packed

ROUNDS = 7
STEPS = 24
"""Tokens decoded after the first."""
CACHE = 1 << 30
"""Bytes: more than all requests of a round need."""
VOCABULARY = 32000
CONFIG = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
    "num_key_value_heads": 8, "vocab_size": VOCABULARY, "max_position_embeddings": 4096, "tie_word_embeddings": False,
}  # fmt: skip
DECODE = {torch.bfloat16: 1.7, torch.float32: 1.05}
PREFILL = {torch.bfloat16: 1.8, torch.float32: 1.05}
MIXED = 2.0
PROMPTS = (1, 16), (1, 32), (1, 64), (1, 256), (8, 64)
"""Whose prefill is measured: how many, and how long."""

Ids = Sequence[list[int]]


class Speed(NamedTuple):
    """Seconds until the first token, and tokens a second after it."""

    prefill: float
    decode: float


def prompts(lengths: Sequence[int], noise: random.Random) -> Ids:
    return [[noise.randrange(3, VOCABULARY) for _ in range(length)] for length in lengths]


class Ours:
    """This engine."""

    def __init__(self, folder: Path) -> None:
        self._llm = LLM(folder, settings=Settings(cache_bytes=CACHE))

    def speed(self, ids: Ids, steps: int = STEPS) -> Speed:
        times = [time.perf_counter()]
        sampling = Sampling(max_tokens=steps + 1, ignore_eos=True)
        self._llm.generate(ids, sampling, told=lambda _: times.append(time.perf_counter()))
        return Speed(times[1] - times[0], len(ids) * steps / (times[-1] - times[1]) if steps else 0.0)

    def mixed(self, ids: Ids, answers: Sequence[int]) -> float:
        """Seconds for all."""
        start = time.perf_counter()
        self._llm.generate(ids, [Sampling(max_tokens=count, ignore_eos=True) for count in answers])
        return time.perf_counter() - start


class Theirs:
    """Transformers, as its documentation has it: SDPA, a growing cache, padding on the left."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self._model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
        self._model.generation_config.eos_token_id = None

    def speed(self, ids: Ids, steps: int = STEPS) -> Speed:
        first = self.seconds(ids, 1)
        return Speed(first, len(ids) * steps / (self.seconds(ids, steps + 1) - first) if steps else 0.0)

    def mixed(self, ids: Ids, answers: Sequence[int]) -> float:
        return self.seconds(ids, max(answers))

    def seconds(self, ids: Ids, tokens: int) -> float:
        longest = max(map(len, ids))
        rows = torch.tensor([[0] * (longest - len(each)) + each for each in ids])
        mask = torch.tensor([[0] * (longest - len(each)) + [1] * len(each) for each in ids])
        start = time.perf_counter()
        with torch.inference_mode():
            self._model.generate(rows, attention_mask=mask, max_new_tokens=tokens, do_sample=False, pad_token_id=0)
        return time.perf_counter() - start


class Limits:
    """What a product with a large matrix reaches, of ours or of plain PyTorch's, whichever is faster."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._weight = torch.randn(160_000, 1024).to(dtype)
        self._packed = packed(self._weight) if packable(self._weight) else None
        self._rows = torch.randn(512, 1024).to(dtype)

    def bandwidth(self) -> float:
        """Bytes a second of weights, one row."""
        return self._weight.nbytes / self._seconds(self._rows[:1])

    def arithmetic(self) -> float:
        """Multiplications and additions a second, 512 rows."""
        return 2 * self._weight.numel() * len(self._rows) / self._seconds(self._rows)

    def _seconds(self, rows: torch.Tensor) -> float:
        took = []
        for weight in (self._packed, self._weight):
            start = time.perf_counter()
            if weight is self._weight:
                torch.nn.functional.linear(rows, self._weight)
            elif weight is not None:
                multiply(rows, weight, None)
            took.append(time.perf_counter() - start)
        return min(took[self._packed is None :])


def matrices() -> int:
    """Weights that a token is multiplied with in the layers; the head comes on top, for the last token only."""
    hidden, inner, heads, kv = (CONFIG[n] for n in (
        "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"))  # fmt: skip
    return CONFIG["num_hidden_layers"] * hidden * (2 * hidden + 2 * hidden * kv // heads + 3 * inner)


def verdict(text: str, holds: bool) -> bool:
    print(f"  {'ok  ' if holds else 'MISS'} {text}", flush=True)
    return holds


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Of numbers measured in pairs."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def decoding(ours: Ours, theirs: Theirs, limits: Limits, dtype: torch.dtype, noise: random.Random) -> list[bool]:
    """One sequence and eight; the limit for one."""
    held = []
    for count in (1, 8):
        ids = prompts([32] * count, noise)
        a, b, bandwidth = [], [], []
        for _ in range(ROUNDS):
            a.append(ours.speed(ids).decode)
            bandwidth.append(limits.bandwidth())
            b.append(theirs.speed(ids).decode)
        found = ratio(a, b)
        print(f"decode, batch {count}: {statistics.median(a):.1f} and {statistics.median(b):.1f} tokens/s")
        held.append(verdict(f"{found:.2f} times Transformers (claim: {DECODE[dtype]})", found >= DECODE[dtype]))
        if count == 1:
            weights = (matrices() + VOCABULARY * CONFIG["hidden_size"]) * dtype.itemsize
            share = ratio([speed * weights for speed in a], bandwidth)
            print(f"       {share:.2f} of the limit: {weights / 1e6:.0f} MB a token,"
                  f" {statistics.median(bandwidth) / 1e9:.1f} GB/s (aim: 0.75)")  # fmt: skip
    return held


def prefill(ours: Ours, theirs: Theirs, limits: Limits, dtype: torch.dtype, noise: random.Random) -> list[bool]:
    """The claim, prompt by prompt, and how near Transformers itself is to what the processor can do."""
    held = []
    for count, length in PROMPTS:
        a, b, arithmetic = [], [], []
        for _ in range(ROUNDS):
            ids = prompts([length] * count, noise)
            a.append(ours.speed(ids, 0).prefill)
            b.append(theirs.speed(ids, 0).prefill)
            arithmetic.append(limits.arithmetic())
        found = ratio(b, a)
        work = 2 * count * (length * matrices() + VOCABULARY * CONFIG["hidden_size"])
        shares = [ratio([work / seconds for seconds in each], arithmetic) for each in (a, b)]
        own, other, most = (statistics.median(found) for found in (a, b, arithmetic))
        print(f"prefill, {count} x {length}: {own * 1e3:.1f} and {other * 1e3:.1f} ms,"
              f" {shares[0]:.2f} and {shares[1]:.2f} of {most / 1e12:.2f} TFLOP/s")  # fmt: skip
        held.append(verdict(f"{found:.2f} times Transformers (claim: {PREFILL[dtype]})", found >= PREFILL[dtype]))
    return held


def mixed(ours: Ours, theirs: Theirs, noise: random.Random) -> bool:
    """16 requests of 16 to 256 tokens that are answered with 8 to 128."""
    ids = prompts([noise.randint(16, 256) for _ in range(16)], noise)
    answers = [noise.randint(8, 128) for _ in ids]
    a, b = [], []
    for _ in range(3):
        a.append(ours.mixed(ids, answers))
        b.append(theirs.mixed(ids, answers))
    wanted = sum(answers)
    print(f"16 mixed requests, {wanted} tokens: {wanted / statistics.median(a):.0f} and"
          f" {wanted / statistics.median(b):.0f} tokens/s")  # fmt: skip
    found = ratio(b, a)
    return verdict(f"{found:.2f} times Transformers' static batch (claim: {MIXED})", found >= MIXED)


def checkpoint(folder: Path, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model: Any = transformers.LlamaForCausalLM(transformers.LlamaConfig(**CONFIG))
    model.to(dtype).save_pretrained(folder)


def compare(dtype: torch.dtype) -> bool:
    noise = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        checkpoint(Path(name), dtype)
        ours, theirs, limits = Ours(Path(name)), Theirs(Path(name), dtype), Limits(dtype)
        for each in (ours, theirs):
            each.speed(prompts([32], noise))
        print(f"== {dtype}, {torch.get_num_threads()} threads: this engine and Transformers {transformers.__version__}")
        held = decoding(ours, theirs, limits, dtype, noise) + prefill(ours, theirs, limits, dtype, noise)
        if dtype is torch.bfloat16:
            held.append(mixed(ours, theirs, noise))
    return all(held)


def main() -> None:
    held = [compare(dtype) for dtype in (torch.bfloat16, torch.float32)]
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    sys.exit(0 if all(held) else 1)


if __name__ == "__main__":
    main()
