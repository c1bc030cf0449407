"""The command `load`: what it loads, what it does without, and what it finds wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests import placements, small_qwen2, vllm_traces
from tests.tracer.printed import run
from tracer.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_qwen2.write(tmp_path_factory.mktemp("qwen2"))


def config_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return content


def test_a_real_checkpoint_is_loaded_by_real_processes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, folder, "--tp", "2", "--device", "cpu")
    assert status == 0
    assert "ran on 2 processes (gloo, cpu)" in out
    assert "names ok, slots ok, axes ok, sizes ok, ranks ok, bytes ok" in out
    assert "fake" not in out


# --- without the bytes ---


@pytest.mark.parametrize(("ranks", "rank"), [("4", None), ("2", "1")])
def test_dummy_reads_headers_only(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], ranks: str, rank: str | None
) -> None:
    """The data section is cut off from a copy that keeps its length: nothing reads it."""
    sparse = tmp_path / "model"
    sparse.mkdir()
    (sparse / "config.json").write_bytes((folder / "config.json").read_bytes())
    whole = (folder / "model.safetensors").read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    with (sparse / "model.safetensors").open("wb") as file:
        file.write(whole[:header])
        file.truncate(len(whole))
    option = ["--rank", rank] if rank else []
    status, out, _ = run(capsys, sparse, "--tp", ranks, "--load-format", "dummy", *option)
    assert status == 0
    assert "sizes ok" in out
    assert "fake: the bytes" in out
    assert ("reads not checked (only ranks [1] of 2 were traced)" in out) == (rank is not None)


def test_an_index_without_shards_gives_names_and_the_rows_give_shapes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = list(vllm_traces.trace("Qwen2ForCausalLM", 1)["checkpoint"])
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "model-00001-of-00001.safetensors")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    status, out, _ = run(capsys, tmp_path, "--tp", "2", "--load-format", "dummy")
    assert status == 0
    assert "fake: shapes and data types (from the rows); the bytes" in out
    assert "names ok, slots ok" in out
    assert "sizes, bytes not checked" in out
    assert "audit ok" in out


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([], "no file of weights is here; add --load-format dummy or --plan"),
        (["model.safetensors.incomplete"], "found unfinished downloads: model.safetensors.incomplete"),
        (["ckpt/model.safetensors"], "but in its sub-folders: ckpt"),
    ],
)
def test_a_load_without_weights_is_no_load(
    folder: Path, files: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Asked to load, and nothing to load: a skeleton on the meta device would be no answer."""
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    status, out, err = run(capsys, tmp_path, "--tp", "2")
    assert (status, out) == (2, "")
    assert says in err


def test_a_config_alone_is_enough_for_a_dummy_load(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    status, out, _ = run(capsys, tmp_path, "--tp", "2", "--load-format", "dummy")
    assert status == 0
    assert "fake: names, shapes and data types (from config.json); the bytes" in out
    assert "names, slots, sizes, bytes not checked" in out


def test_plan_stops_before_anything_is_executed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, folder, "--tp", "2", "--plan", "--json", "-")
    records = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert records[0]["observed"] is False
    assert any(record["kind"] == "move" for record in records)


@pytest.mark.parametrize("change", [{"rope_scaling": {"type": "odd"}}, {"hidden_act": "odd"}])
def test_a_config_that_the_modules_refuse_is_traced_through_a_skeleton(
    folder: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any]
) -> None:
    status, out, _ = run(capsys, folder, "--load-format", "dummy", "--hf-overrides", json.dumps(change))
    assert status == 0
    assert "refuse this config" in out
    assert "it cannot generate" in out


# --- with what the user gives ---


def test_rows_of_the_users_own_make_an_unknown_name_known(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "model"
    mine.mkdir()
    trace = vllm_traces.trace("Qwen2ForCausalLM", 1)
    shapes = {n.replace("q_proj", "query"): tuple(s) for n, s in trace["checkpoint"].items()}
    placements.write_checkpoint(mine, trace["config"], placements.number(shapes))
    status, out, _ = run(capsys, mine, "--tp", "2", "--load-format", "dummy")
    assert status == 1
    assert "tensor.unmapped" in out
    assert "param.unfilled" in out
    rows = tmp_path / "rows.toml"
    rows.write_text(
        'architecture = "Qwen2ForCausalLM"\n[[row]]\nname = "model.layers.{layer}.self_attn.query"\n'
        'param = "model.layers.{layer}.self_attn.qkv_proj"\nparts = ["q"]\n'
        '[[remove]]\nname = "model.layers.{layer}.self_attn.q_proj"\n'
    )
    saved = tmp_path / "t.db"
    status, out, _ = run(
        capsys, mine, "--tp", "2", "--load-format", "dummy", "--mapping", rows, "--save", saved
    )  # fmt: skip
    assert status == 0, out
    assert "model.layers.{0, 1}.self_attn.query.weight" in out
    assert main(["audit", str(saved)]) == 0


def test_overrides_and_another_config_take_the_place_of_config_json(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(capsys, folder, "--plan", "--hf-overrides", '{"num_key_value_heads": 4}')
    assert status == 1
    assert "shape.mismatch" in out
    (tmp_path / "config.json").write_text(json.dumps(config_of(folder) | {"vocab_size": 201}))
    status, out, _ = run(capsys, folder, "--plan", "--hf-config-path", tmp_path)
    assert status == 1
    assert f"vocab_size = 200 in {tmp_path / 'config.json'} would fit, it says 201" in out


# --- what is wrong ---


def test_three_ranks_list_every_violated_divisibility_and_the_legal_sizes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(capsys, folder, "--tp", "3")
    assert status == 1
    wrong = [line for line in out.splitlines() if line.startswith("ERROR  tp.indivisible")]
    assert {line.split("cannot cut ")[1].split(" ")[0].rstrip(":") for line in wrong} == {"vocab", "head", "kv"}
    assert "legal sizes up to 128: 1, 2, 4" in out


@pytest.mark.parametrize("dtype", ["F8_E4M3", "BOOL", "I32"])
def test_values_that_nobody_can_interpret_are_not_loaded_as_if_they_were_weights(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], dtype: str
) -> None:
    sizes = {"F8_E4M3": 1, "BOOL": 1, "I32": 4}
    header: dict[str, Any] = {}
    end = 0
    for name, shape in vllm_traces.trace("Qwen2ForCausalLM", 1)["checkpoint"].items():
        kind = dtype if name.endswith("0.self_attn.q_proj.weight") else "F32"
        stop = end + math.prod(shape) * sizes.get(kind, 4)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, stop]}
        end = stop
    text = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    status, out, _ = run(capsys, tmp_path, "--plan")
    assert status == 1
    assert "ERROR  quant.missing" in out


@pytest.mark.parametrize(("change", "code", "said"), [
    ({"architectures": ["QwenForCausalLM"]}, "arch.unknown", "Qwen2ForCausalLM"),
    ({"architectures": None, "model_type": None}, "config.missing-field", "architectures"),
    ({"hidden_size": None}, "config.missing-field", "hidden_size"),
    ({"hidden_size": "128"}, "config.invalid", "hidden_size"),
    ({"num_hidden_layers": 0}, "config.invalid", "num_hidden_layers"),
    ({"num_attention_heads": 3}, "config.conflict", "num_attention_heads"),
    ({"num_hidden_layers": 10**9}, "config.invalid", "at most 100000"),
    ({"torch_dtype": "foo"}, "config.invalid", "torch_dtype"),
    ({"architectures": ["\ud800\x1bX"]}, "arch.unknown", "\\ud800\\x1bX"),
])  # fmt: skip
def test_a_config_that_does_not_say_enough_is_one_finding(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], code: str, said: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config_of(folder) | change))
    status, out, err = run(capsys, tmp_path, "--plan")
    assert status == 1
    assert err == ""
    assert out.startswith(f"ERROR  {code}")
    assert said in out
