"""What a load brings to a GPU is what it brings to memory, bit by bit, in pieces of any size."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.loading import sources
from engine.loading.build import build
from engine.loading.loader import Loader
from engine.loading.sources import MappedWeights
from engine.loading.staging import APART, ROOM, Staging
from tests.engine.checkpoints import config_of, reference, save
from tests.engine.test_staging import Suspicious
from tracer.checkpoint.weights import map_file
from tracer.prepare import Prepared, Request, prepare

pytestmark = pytest.mark.gpu


class Watching(Suspicious):
    """Looks from a stream of its own, so that nothing waits for copies on its behalf."""

    def __init__(self) -> None:
        super().__init__()
        self._stream = torch.cuda.Stream()

    def seen(self, dst: Tensor) -> Tensor:
        with torch.cuda.stream(self._stream):
            return dst.cpu()


def filled(prepared: Prepared, rank: int, device: str) -> dict[str, Tensor]:
    params = build(prepared.plan, rank, device).params
    for param in params.values():
        param.data.fill_(torch.nan)
    recorder = Watching() if device == "cuda" else Suspicious()
    Loader(prepared.plan, rank, MappedWeights(prepared.folder, prepared.infos, map_file), recorder).load(params)
    assert recorder.copies > 0
    return params


@pytest.mark.parametrize("room", [2 * APART, ROOM])
@pytest.mark.parametrize("dtype", [None, "bfloat16"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral", "mixtral-stacked"])
def test_a_load_on_a_gpu_is_a_load_in_memory(
    family: str, dtype: str | None, room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transposed, stacked, cut over ranks, and rounded to another type; told at once, or all at the end."""
    monkeypatch.setattr(sources, "Staging", partial(Staging, room=room))
    monkeypatch.setattr("engine.loading.loader.TELL_SECONDS", 0.0 if room < ROOM else 3600.0)
    save(family, reference(family), tmp_path)
    prepared = prepare(Request(str(tmp_path), 2, dtype=dtype))
    for rank in range(2):
        expected, found = filled(prepared, rank, "cpu"), filled(prepared, rank, "cuda")
        for name, param in found.items():
            assert param.is_cuda
            assert torch.equal(param.cpu(), expected[name]), name


def test_tensors_larger_than_both_buffers_arrive_whole(tmp_path: Path) -> None:
    """Long runs and, of a second rank, columns, each of which is a piece of many rows."""
    config = config_of("llama") | {"hidden_size": 4096, "intermediate_size": 20000, "num_hidden_layers": 1}
    (tmp_path / "config.json").write_text(json.dumps(config | {"torch_dtype": "bfloat16"}))
    shapes = {t.name: tuple(t.shape) for t in prepare(Request(str(tmp_path), plan_only=True)).infos}
    assert max(torch.Size(shape).numel() * 2 for shape in shapes.values()) > 2 * 2 * ROOM
    noise = torch.Generator().manual_seed(0)
    tensors = {name: torch.randn(shape, generator=noise).bfloat16() for name, shape in shapes.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    prepared = prepare(Request(str(tmp_path), 2))
    expected, found = filled(prepared, 1, "cpu"), filled(prepared, 1, "cuda")
    for name, param in found.items():
        assert torch.equal(param.cpu(), expected[name]), name
