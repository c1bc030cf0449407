"""What is printed of a load: the table, one tensor in full, errors only, and JSON Lines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests import placements, small_qwen2, vllm_traces
from tests.tracer.printed import run

LLAMA3_QKV = (
    "model.layers.{0..31}.self_attn.qkv_proj.weight  (6144, 4096) = 32 query heads + 2 x 8 KV heads,"
    " (3072, 4096) per rank  x32"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_qwen2.write(tmp_path_factory.mktemp("qwen2"))


def columns(text: str, start: str) -> list[str]:
    """The cells of the one table line that starts so."""
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return [cell for cell in line.split("  ") if cell]


def test_the_default_is_llama_3_8b_and_its_table_tells_the_whole_path(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "--tp", "2", "--load-format", "dummy")
    assert status == 0
    assert err == ""
    assert LLAMA3_QKV in out
    cells = [c.strip() for c in columns(out, "  k ")]
    assert cells[0] == "k"
    assert cells[1] == "model.layers.{0..31}.self_attn.k_proj.weight"
    assert cells[2].startswith("llama.py:")
    assert cells[2].endswith('"kv.dim, hidden"')
    assert cells[3:] == ["[0:512] -> [2048:2560]", "[512:1024] -> [2048:2560]"]
    assert len([line for line in out.splitlines() if line.startswith("audit")]) == 1
    assert "582 observed moves equal the plan" in out
    assert "fake: " in out


def test_the_rows_that_the_table_names_are_where_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "--plan")[1]
    file, _, number = columns(out, "  k ")[2].strip().split(" ")[0].partition(":")
    text = (Path(__file__).parents[2] / "mappings" / "architectures" / file).read_text().splitlines()
    assert 'Row("model.layers.{layer}.self_attn.k_proj"' in text[int(number) - 1]


def test_all_does_not_collapse_layers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, folder, "--plan", "--all")
    assert "model.layers.0.self_attn.k_proj.bias" in out
    assert "model.layers.1.self_attn.k_proj.bias" in out


def test_fills_of_later_ranks_are_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, folder, "--tp", "4", "--plan")
    assert "fill  vocab padded to a multiple of 64  rank 3 [8:64] = 0" in out


def test_a_tensor_and_a_parameter_can_be_shown_in_full(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, folder, "--tp", "4", "--load-format", "dummy", "--tensor", "*.1.self_attn.k_proj.*")
    tensors = [line.split()[0] for line in out.splitlines() if not line.startswith(" ")]
    assert sorted(tensors) == ["model.layers.1.self_attn.k_proj.bias", "model.layers.1.self_attn.k_proj.weight"]
    hops = [line.split()[0] for line in out.splitlines() if line.startswith(" ")]
    assert hops == ["file", "row", "param", "rank", "rank", "rank", "rank"] * 2
    assert "rank 3 [32:64] -> [32:64]  (16,384 bytes in 1 run)" in out
    _, out, _ = run(capsys, folder, "--tp", "4", "--plan", "--param", "*.0.mlp.gate_up_proj.weight")
    assert [line.split("shard ")[1] for line in out.splitlines() if "shard" in line] == ["gate", "up"]


def test_the_bytes_of_a_slice_are_those_that_a_rank_needs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The span that is named holds exactly the values that the tensor has."""
    _, out, _ = run(capsys, folder, "--tp", "2", "--plan", "--tensor", "model.layers.0.self_attn.o_proj.weight")
    start, stop = (int(n.replace(",", "")) for n in out.split("bytes ")[1].split("\n")[0].split(" to "))
    values = np.frombuffer((folder / "model.safetensors").read_bytes()[start:stop], dtype=np.float32)
    trace = vllm_traces.trace("Qwen2ForCausalLM", 1)
    numbered = placements.number({n: tuple(s) for n, s in trace["checkpoint"].items()})
    np.testing.assert_array_equal(values, numbered["model.layers.0.self_attn.o_proj.weight"].ravel())
    assert "rank 1 [:, 64:128] -> all  (32,768 bytes in 128 runs)" in out


def test_a_path_that_cannot_be_shown_because_of_an_error_shows_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--fixture", "gpt2", "--tp", "5", "--plan", "--param", "*")
    assert status == 1
    assert out.startswith("ERROR  tp.indivisible")


def test_quiet_prints_errors_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, folder, "--plan", "--quiet") == (0, "", "")
    status, out, _ = run(capsys, folder, "--plan", "--quiet", "--tp", "3")
    assert status == 1
    assert all(line.startswith("ERROR") for line in out.splitlines())


def test_json_to_stdout_is_only_json_and_to_a_file_is_complete(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run(capsys, folder, "--plan", "--json", "-")
    assert all(json.loads(line)["kind"] for line in out.splitlines())
    _, report, _ = run(capsys, folder, "--plan", "--json", tmp_path / "t.jsonl")
    assert "proofs: " in report
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert (kinds[0], kinds[-1]) == ("run", "end")
    assert [file.name for file in tmp_path.iterdir()] == ["t.jsonl"]


def test_json_says_what_was_not_checked_and_never_nan(capsys: pytest.CaptureFixture[str]) -> None:
    overrides = '{"time_step_limit": [0.0, Infinity]}'
    _, out, _ = run(capsys, "--plan", "--json", "-", "--hf-overrides", overrides)
    records = [json.loads(line, parse_constant=pytest.fail) for line in out.splitlines()]
    unchecked = {r["name"] for r in records if r["kind"] == "check" and r["state"] == "not-checked"}
    assert unchecked == {"names", "slots", "sizes", "bytes", "audit"}
