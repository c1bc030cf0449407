"""Real loads on GPUs, one process each, over NCCL. Skipped where there is no CUDA device."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import placements, vllm_traces
from tests.tracer.test_against_vllm import compare
from tracer.session import Request, run

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("key", ["LlamaForCausalLM-bias", "GPT2LMHeadModel", "GptOssForCausalLM"])
def test_a_load_on_gpus_is_what_vllm_does(key: str, tmp_path: Path) -> None:
    import torch

    tp = max(size for size in vllm_traces.TP_SIZES if size <= torch.cuda.device_count())
    trace = vllm_traces.trace(key, tp)
    numbered = placements.number({n: tuple(s) for n, s in trace["checkpoint"].items()})
    folder = placements.write_checkpoint(tmp_path, trace["config"], numbered)
    result = run(Request(str(folder), tp, device="cuda"))
    assert result.where == f"{tp} process{'es' if tp > 1 else ''} (nccl, cuda)"
    assert result.audit is not None
    assert result.audit.ok
    compare(key, tp, result.store, numbered)
