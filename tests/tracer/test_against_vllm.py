"""Placement equals vLLM's, element by element: planned, on the meta device, and with real bytes in real processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests import placements, vllm_traces
from tests.placements import Ids
from tracer.session import Request, Result, run
from tracer.store import Store

CASES = [(key, tp) for key in placements.checkpoints() for tp in vllm_traces.TP_SIZES]
IN_PROCESSES = [
    ("LlamaForCausalLM-bias", 2), ("GPT2LMHeadModel-hub", 2), ("BloomForCausalLM", 2), ("MixtralForCausalLM", 4),
    ("DeepseekV3ForCausalLM", 2), ("GptOssForCausalLM", 4), ("Mamba2ForCausalLM", 2), ("JambaForCausalLM", 2),
]  # fmt: skip


class Folder:
    """A checkpoint rebuilt from an observation."""

    def __init__(self, path: Path, numbered: dict[str, Ids]) -> None:
        self.path = path
        self.numbered = numbered


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Folder]:
    made: dict[str, Folder] = {}

    def make(key: str) -> Folder:
        if key not in made:
            trace = vllm_traces.trace(key, 1)
            numbered = placements.number({n: tuple(s) for n, s in trace["checkpoint"].items()})
            path = tmp_path_factory.mktemp(key)
            made[key] = Folder(placements.write_checkpoint(path, trace["config"], numbered), numbered)
        return made[key]

    return make


def compare(key: str, tp: int, store: Store, numbered: dict[str, Ids]) -> None:
    """Names, shapes, every element, padding, ties and unread tensors."""
    trace = vllm_traces.trace(key, tp)
    unread = [t.name for t in store.tensors() if t.disposition == "skipped"]
    assert sorted(unread) == sorted(trace["unconsumed"])
    assert not [t.name for t in store.tensors() if t.disposition == "unmapped"]
    for rank in range(tp):
        theirs = placements.observed_by_vllm(trace, rank, numbered)
        params = {p.name: p for p in store.params(rank)}
        tied = {p.name: p.tied_to for p in params.values() if p.tied_to}
        assert tied.items() <= trace["ranks"][rank].get("alias", {}).items()
        shapes = {p.name: p.shape for p in params.values() if not p.tied_to}
        assert shapes == {name: ids.shape for name, ids in theirs.items()}
        ours = placements.apply_moves(store.moves(rank), shapes, numbered)
        for name, ids in theirs.items():
            np.testing.assert_array_equal(ours[name], ids, err_msg=f"{name} on rank {rank}")
        filled = {name: np.zeros(shape, dtype=bool) for name, shape in shapes.items()}
        for pad in store.pads(rank):
            filled[pad.param][placements.slices(pad.dst)] = True
        for name, ids in theirs.items():
            np.testing.assert_array_equal(filled[name], ids == 0, err_msg=f"fill of {name} on rank {rank}")


def clean(result: Result) -> None:
    assert not [f for f in result.findings if f.severity != "info"]
    assert all(proof.holds for proof in result.proofs)


@pytest.mark.parametrize(("key", "tp"), CASES)
def test_the_plan_is_what_vllm_does(key: str, tp: int, rebuilt: Callable[[str], Folder]) -> None:
    folder = rebuilt(key)
    result = run(Request(str(folder.path), tp, plan_only=True))
    clean(result)
    assert not result.store.run.observed
    compare(key, tp, result.store, folder.numbered)


@pytest.mark.parametrize(("key", "tp"), CASES)
def test_a_load_on_the_meta_device_is_what_vllm_does(key: str, tp: int, rebuilt: Callable[[str], Folder]) -> None:
    folder = rebuilt(key)
    result = run(Request(str(folder.path), tp, load_format="dummy"))
    clean(result)
    assert result.store.run.observed
    assert result.audit is not None
    assert result.audit.ok
    compare(key, tp, result.store, folder.numbered)


@pytest.mark.parametrize(("key", "tp"), IN_PROCESSES)
def test_a_load_of_real_bytes_in_real_processes_is_what_vllm_does(
    key: str, tp: int, rebuilt: Callable[[str], Folder]
) -> None:
    folder = rebuilt(key)
    result = run(Request(str(folder.path), tp, device="cpu"))
    clean(result)
    assert result.where == f"{tp} processes (gloo, cpu)"
    assert result.audit is not None
    assert result.audit.ok
    compare(key, tp, result.store, folder.numbered)


@pytest.mark.parametrize("key", placements.checkpoints())
def test_parameters_that_vllm_keeps_in_float32_are_kept_in_float32(
    key: str, rebuilt: Callable[[str], Folder]
) -> None:
    result = run(Request(str(rebuilt(key).path), dtype="bfloat16", plan_only=True))
    kept = {p.name for p in result.store.params(0) if p.dtype != "BF16"}
    assert kept == set(vllm_traces.trace(key, 1)["not_bfloat16"])
