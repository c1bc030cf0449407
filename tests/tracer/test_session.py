"""One run: what a rank touches, what happens without torch, and which architecture wins."""

from __future__ import annotations

import json
import math
import mmap
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tracer import execute
from tracer.session import Refused, Request, run

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96, "num_hidden_layers": 1, "vocab_size": 65536, "torch_dtype": "float32",
}  # fmt: skip
LOAD_ONE_RANK = """
import mmap, os, sys
from pathlib import Path
from engine.loading.build import build
from engine.loading.loader import Loader
from engine.loading.recorder import NullRecorder
from engine.loading.sources import MappedWeights
from tracer.checkpoint.weights import map_file
from tracer.prepare import Request, prepare

folder, rank, keep = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
prepared = prepare(Request(str(folder), 2))
maps = {}
def open_map(path):
    maps[path] = map_file(path)
    os.truncate(path, keep)
    return maps[path]
source = MappedWeights(folder, prepared.infos, open_map)
Loader(prepared.plan, rank, source, NullRecorder()).load(build(prepared.plan, rank).params)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint whose last tensor is the vocabulary's table, 16 MB: rank 1's half lies at the end of the file."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"tie_word_embeddings": True}))
    planned = run(Request(str(tmp_path), plan_only=True))
    shapes = {t.name: t.shape for t in planned.store.tensors()}
    write_in_order(tmp_path / "model.safetensors", {n: shapes[n] for n in sorted(shapes, key=lambda n: "embed" in n)})
    return tmp_path


def write_in_order(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file with its tensors where we want them; the library's writer sorts them."""
    header: dict[str, object] = {}
    end = 0
    for name, shape in shapes.items():
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_touches_only_the_bytes_of_its_own_slices(folder: Path, rank: int) -> None:
    """The file is cut off behind rank 0's slice while it is mapped: whoever goes on fails, by the map or by a read."""
    tensors = {t.name: t for t in run(Request(str(folder), plan_only=True)).store.tensors()}
    table = tensors["model.embed_tokens.weight"]
    assert table.offset is not None
    keep = -(-(table.offset + table.nbytes // 2) // mmap.PAGESIZE) * mmap.PAGESIZE
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ONE_RANK, str(folder), str(rank), str(keep)],
        check=False, capture_output=True, text=True,
    )
    failed = done.returncode == -signal.SIGBUS or "cut short while it was read" in done.stderr
    assert failed == bool(rank), done.stderr
    assert bool(done.returncode) == failed


def test_without_torch_the_plan_is_shown_and_the_audit_is_not_called_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "torch_missing", lambda: True)
    result = run(Request(tp=2, load_format="dummy"))
    assert not result.store.run.observed
    assert result.audit is None
    assert "torch is not installed" in result.where
    assert result.store.count("move") == 582


def test_errors_in_the_proofs_keep_the_load_from_running(folder: Path) -> None:
    overrides = json.dumps({"num_hidden_layers": 2})
    result = run(Request(str(folder), 2, overrides=overrides))
    assert result.audit is None
    assert result.failed
    assert not result.store.run.observed


def test_an_unknown_architecture_is_refused_with_the_nearest_names() -> None:
    overrides = json.dumps({"architectures": ["LLamaForCausalLM"]})
    with pytest.raises(Refused) as refused:
        run(Request(load_format="dummy", overrides=overrides))
    assert refused.value.finding.code == "arch.unknown"
    assert refused.value.finding.evidence["nearest"][0] == "LlamaForCausalLM"


def test_an_architecture_without_modules_is_loaded_as_a_skeleton_and_says_so() -> None:
    small = json.dumps({"num_hidden_layers": 4})
    result = run(Request(tp=2, load_format="dummy", geometry="jamba-v0.1", overrides=small))
    assert result.why_not == "JambaForCausalLM has rows and no modules"
    assert result.audit is not None
    assert result.audit.ok
