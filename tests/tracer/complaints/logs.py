"""Logs as the engines write them, with what the world around them puts before each line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tracer.complaints import Told, read_log

MISSING = "layers.0.mlp.gate_up_proj.weight_scale"
LOADER = (
    'File "/opt/venv/lib/python3.12/site-packages/vllm/model_executor/models/llama.py", line 415, in load_weights',
    "    param = params_dict[name]",
    "            ~~~~~~~~~~~^^^^^^",
)


def traceback(final: str, frames: Sequence[str] = LOADER) -> list[str]:
    """A traceback of Python."""
    return ["Traceback (most recent call last):", *(f"  {frame}" for frame in frames), *final.split("\n")]


def said_by(prefix: str, lines: Iterable[str]) -> list[str]:
    """Each line with a logger's prefix."""
    return [prefix + line for line in lines]


def interleaved(*speakers: Sequence[str]) -> list[str]:
    """A line of each in turn, as processes that share a terminal write them."""
    longest = max(map(len, speakers))
    return [lines[place] for place in range(longest) for lines in speakers if place < len(lines)]


SHUTDOWN = [
    "(EngineCore_0 pid=100) ERROR 11-20 10:11:14 [core.py:390] EngineCore failed to start.",
    *said_by("(EngineCore_0 pid=100) ERROR 11-20 10:11:14 [core.py:390] ", traceback(
        "RuntimeError: WorkerProc initialization failed due to an exception in a background process. "
        "See stack trace for root cause.", ['File "/opt/vllm/v1/executor/multiproc_executor.py", line 9, in __init__',
                                           "    self.wait()"])),
    "[rank0]:[W1120 10:11:15.000000001 ProcessGroupNCCL.cpp:1496] Warning: destroy_process_group() was not called",
    *said_by("(APIServer pid=1) ", traceback(
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
        ['File "/opt/vllm/v1/engine/core_client.py", line 5, in __init__', "    wait()"])),
    "/usr/lib/python3.12/multiprocessing/resource_tracker.py:279: UserWarning: resource_tracker: There appear to be 1 "
    "leaked shared_memory objects to clean up at shutdown",
    "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.",
    "BrokenPipeError: [Errno 32] Broken pipe",
]  # fmt: skip
STARTED = (
    "INFO 11-20 10:10:00 [core.py:58] Initializing a V1 LLM engine (v0.11.0) with config: model='acme/Foo-7B', "
    "speculative_config=None, tokenizer='acme/Foo-7B', dtype=torch.bfloat16, max_seq_len=4096, load_format=auto, "
    "tensor_parallel_size=8, pipeline_parallel_size=1, quantization=fp8, kv_cache_dtype=fp8_e4m3, seed=0"
)
PROGRESS = "\rLoading safetensors checkpoint shards:  25% Completed | 1/4 [00:01<00:03,  1.02s/it]" * 4


def worker(rank: int, final: str = f"KeyError: '{MISSING}'") -> list[str]:
    """What a worker of vLLM writes as it fails, since 0.8."""
    prefix = f"(VllmWorker rank={rank} pid={200 + rank}) ERROR 11-20 10:11:12 [multiproc_executor.py:585] "
    return [f"{prefix}WorkerProc failed to start.", *said_by(prefix, traceback(final))]


def vllm_of_eight() -> list[str]:
    """Eight ranks that fail alike, one through the other, and what follows."""
    return [STARTED, PROGRESS, *interleaved(*(worker(rank) for rank in range(8))), *SHUTDOWN]


def told(folder: Path, lines: Iterable[str], end: str = "\n") -> Told:
    """What is read from a log of these lines."""
    path = folder / "server.log"
    path.write_bytes("".join(line + end for line in lines).encode("utf-8", "surrogateescape"))
    return read_log(path)


AROUND: dict[str, Callable[[str], str]] = {
    "nothing": lambda line: line,
    "docker compose": lambda line: f"vllm-1  | {line}",
    "docker logs -t": lambda line: f"2025-11-20T10:11:12.123456789Z {line}",
    "kubectl logs --prefix": lambda line: f"[pod/vllm-7d9f-abc12/server] {line}",
    "the container runtime": lambda line: f"2025-11-20T10:11:12.123456789+00:00 stderr F {line}",
    "the journal": lambda line: f"Nov 20 10:11:12 gpu-node-3 vllm[4321]: {line}",
    "colours": lambda line: f"\x1b[1;36m{line}\x1b[0;0m",
    "torchrun --tee": lambda line: f"[default0]:{line}",
    "a timestamp of a shell": lambda line: f"[2025-11-20 10:11:12] {line}",
    "NUL bytes": lambda line: line.replace(" ", " \x00", 1),
    "bytes that are no UTF-8": lambda line: f"{line} \udcff\udcfe" if line.startswith("INFO") else line,
}
"""What stands around each line, by who puts it there."""
