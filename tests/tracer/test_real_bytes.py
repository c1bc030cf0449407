"""The bytes: what lies in the parameters after a load is what the moves of the trace say, and what vLLM has there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.loading.build import build
from engine.loading.loader import Loader
from engine.loading.sources import MappedWeights
from tests import placements, vllm_traces
from tracer.checkpoint.weights import map_file
from tracer.events import Move
from tracer.observe import Observer
from tracer.prepare import Prepared, Request, prepare
from tracer.recorder import Note, ViewRecorder
from tracer.store import Store

CASES = [(key, tp) for key in placements.checkpoints() for tp in vllm_traces.TP_SIZES]


@pytest.mark.parametrize(("key", "tp"), CASES)
def test_loaded_values_are_those_of_vllm_and_moves_applied_to_zeros_reproduce_them(
    key: str, tp: int, tmp_path: Path
) -> None:
    trace = vllm_traces.trace(key, tp)
    numbered = placements.number({n: tuple(s) for n, s in trace["checkpoint"].items()})
    folder = placements.write_checkpoint(tmp_path, trace["config"], numbered)
    prepared = prepare(Request(str(folder), tp))
    stored = {name: placements.value_of(name, ids) for name, ids in numbered.items()}
    for rank in range(tp):
        params, moves = load(prepared, rank)
        theirs = placements.observed_by_vllm(trace, rank, numbered)
        shapes = {name: tuple(param.shape) for name, param in params.items()}
        replayed = placements.apply_moves(moves, shapes, stored, np.float32)
        ops = {move.param: move.op for move in moves}
        for name, param in params.items():
            found = param.numpy()
            wanted = np.where(theirs[name] == 0, np.float32(0), placements.value_of(_tensor(name), theirs[name]))
            if ops.get(name) == "neg_exp":
                wanted, replayed[name] = -np.exp(wanted), -np.exp(replayed[name])
            np.testing.assert_allclose(found, wanted, rtol=1e-6, err_msg=f"{name} on rank {rank}")
            np.testing.assert_allclose(found, replayed[name], rtol=1e-6, err_msg=f"{name} on rank {rank}")


def _tensor(param: str) -> str:
    """The name that decides how ids are stored."""
    return "A_log" if param.endswith(".A") else param


def load(prepared: Prepared, rank: int) -> tuple[dict[str, torch.Tensor], list[Move]]:
    """One rank with real bytes, in this process. Parameters start as NaN, so that an unwritten element shows."""
    notes: list[Note] = []
    params = build(prepared.plan, rank).params
    tied = prepared.plan.tied()
    for param in params.values():
        param.data.fill_(float("nan"))
    source = MappedWeights(prepared.folder, prepared.infos, map_file)
    Loader(prepared.plan, rank, source, ViewRecorder(notes.append)).load(params)
    store = Store.new()
    tensors = {t.name: tuple(t.shape) for t in prepared.infos}
    Observer(store, rank, tensors, frozenset()).add(notes)
    return {n: p.detach() for n, p in params.items() if n not in tied}, list(store.moves(rank))


