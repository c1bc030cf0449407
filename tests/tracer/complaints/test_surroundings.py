"""What fails around a checkpoint is told as that, and what a process says as it ends is no complaint."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tracer.complaints.logs import SHUTDOWN, said_by, told, traceback
from tracer.complaints import read_error
from tracer.complaints.of_surroundings import matter

AT_THE_END = [
    "Exception ignored in atexit callback: <function _MultiProcessing.cleanup at 0x7f>",
    "KeyError: '/psm_21467_6'",
    *traceback("KeyError: '/mp-x83k_2a'", ['File "/usr/lib/python3.12/multiprocessing/resource_tracker.py", line 239, '
                                           "in main", "    cache[rtype].remove(name)"]),
]  # fmt: skip
MATTERS = {
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.15 GiB of"
    " which 1.20 GiB is free.": "out of memory (asked 2.00 GiB, 1.20 GiB free)",
    "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 448.00 MiB (GPU 1; 23.69 GiB total capacity; "
    "22.41 GiB already allocated; 120.94 MiB free)": "out of memory (asked 448.00 MiB, 120.94 MiB free)",
    "ValueError: To serve at least one request with the models's max seq len (131072), (16.00 GiB KV cache is needed, "
    "which is larger than the available KV cache memory (3.20 GiB)":
        "the KV cache does not fit (asked 16.00 GiB, 3.20 GiB free)",
    "torch.distributed.DistBackendError: NCCL error in: ../NCCLUtils.hpp:268, unhandled system error, NCCL version "
    "2.21.5": "NCCL, by which ranks talk to each other",
    "OSError: [Errno 28] No space left on device": "the disk is full",
    "huggingface_hub.errors.GatedRepoError: 403 Client Error. Cannot access gated repo for url https://hf.co/a/b.":
        "no right to read the repository on the Hub (https://hf.co/a/b)",
    "ModuleNotFoundError: No module named 'flash_attn'": "a Python module is missing (flash_attn)",
    "OSError: Can't load tokenizer for '/models/x'.": "the tokenizer, which has no weights",
    "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded":
        "the network",
}  # fmt: skip


def test_what_a_process_misses_as_it_ends_is_no_complaint(tmp_path: Path) -> None:
    assert told(tmp_path, AT_THE_END).complaints == ()
    [complaint] = told(tmp_path, [*traceback("KeyError: 'layers.0.mlp.w13_bias'"), *SHUTDOWN, *AT_THE_END]).complaints
    assert complaint.names == ("layers.0.mlp.w13_bias",)


@pytest.mark.parametrize("said", MATTERS)
def test_it_is_said_what_has_failed_and_how_much_was_asked(said: str, tmp_path: Path) -> None:
    for found in (read_error(said), told(tmp_path, [*traceback(said), *SHUTDOWN, *AT_THE_END])):
        assert [(each.kind, matter(each)) for each in found.complaints] == [("other", MATTERS[said])]


def test_the_rank_is_told(tmp_path: Path) -> None:
    prefix = "(EngineCore_DP0 pid=9) (Worker_TP3 pid=103) ERROR 11-20 10:11:12 [multiproc_executor.py:585] "
    [complaint] = told(tmp_path, said_by(prefix, traceback("torch.OutOfMemoryError: CUDA out of memory."))).complaints
    assert matter(complaint) == "out of memory on rank 3"


@pytest.mark.parametrize("said", ["KeyError: 'layers.0.mlp.w13_bias'", "AssertionError: 12 is not divisible by 8",
                                  "RuntimeError: something else altogether"])  # fmt: skip
def test_what_may_be_of_a_checkpoint_is_not_put_aside(said: str) -> None:
    assert [matter(each) for each in read_error(said).complaints] == [""]
