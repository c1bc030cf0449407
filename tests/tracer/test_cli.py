"""The commands as a user runs them: what is printed, where, and the exit status."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import placements, vllm_traces
from tracer.cli import main, trace_load

LLAMA3_QKV = (
    "model.layers.{0..31}.self_attn.qkv_proj.weight  (6144, 4096) = 32 query heads + 2 x 8 KV heads,"
    " (3072, 4096) per rank  x32"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real checkpoint: Qwen2 with biases, untied."""
    trace = vllm_traces.trace("Qwen2ForCausalLM", 1)
    numbered = placements.number({n: tuple(s) for n, s in trace["checkpoint"].items()})
    return placements.write_checkpoint(tmp_path_factory.mktemp("qwen2"), trace["config"], numbered)


def config_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return content


def run(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str, str]:
    try:
        status = trace_load([str(a) for a in argv])
    except SystemExit as error:
        status = int(str(error.code))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


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


def test_a_real_checkpoint_is_loaded_by_real_processes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, folder, "--tp", "2", "--device", "cpu")
    assert status == 0
    assert "ran on 2 processes (gloo, cpu)" in out
    assert "names ok, slots ok, axes ok, sizes ok, ranks ok, bytes ok" in out
    assert "fake" not in out


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


@pytest.mark.parametrize("command", [
    "from tracer.cli import trace_load; trace_load(['{}', '--tp', '2', '--plan'])",
    "from tracer.cli import main; main(['mappings', 'LlamaForCausalLM'])",
    "from tracer.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
])  # fmt: skip
def test_headers_plan_and_proofs_import_no_torch(folder: Path, command: str) -> None:
    code = command.replace("{}", str(folder)) + "\nimport sys; assert not {'torch', 'textual'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_three_ranks_list_every_violated_divisibility_and_the_legal_sizes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(capsys, folder, "--tp", "3")
    assert status == 1
    wrong = [line for line in out.splitlines() if line.startswith("ERROR  tp.indivisible")]
    assert {line.split("cannot cut ")[1].split(" ")[0].rstrip(":") for line in wrong} == {"vocab", "head", "kv"}
    assert "legal sizes up to 128: 1, 2, 4" in out


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


def test_all_does_not_collapse_layers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, folder, "--plan", "--all")
    assert "model.layers.0.self_attn.k_proj.bias" in out
    assert "model.layers.1.self_attn.k_proj.bias" in out


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


@pytest.mark.parametrize("form", ["--save", "--json"])
def test_a_saved_trace_is_audited_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    run(capsys, folder, "--tp", "2", "--load-format", "dummy", form, tmp_path / "t")
    assert main(["audit", str(tmp_path / "t")]) == 0
    assert "observed moves equal the plan" in capsys.readouterr().out


def test_an_audit_finds_what_was_changed_in_a_trace(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "t.jsonl"
    run(capsys, folder, "--tp", "2", "--load-format", "dummy", "--json", trace)
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    dropped = next(k for k, r in enumerate(lines) if r["kind"] == "move" and r["shard"] == "v")
    trace.write_text("\n".join(json.dumps(r) for k, r in enumerate(lines) if k != dropped))
    assert main(["audit", str(trace)]) == 1
    out = capsys.readouterr().out
    assert "audit.unwritten" in out
    assert lines[dropped]["param"] in out


def test_a_plan_is_not_audited_as_if_it_had_happened(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, folder, "--plan", "--json", tmp_path / "t")
    assert main(["audit", str(tmp_path / "t")]) == 0
    out = capsys.readouterr().out
    assert "not checked (the trace is a plan" in out
    assert "ok" not in out


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


def test_a_path_that_cannot_be_shown_because_of_an_error_shows_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--fixture", "gpt2", "--tp", "5", "--plan", "--param", "*")
    assert status == 1
    assert out.startswith("ERROR  tp.indivisible")


@pytest.mark.parametrize("change", [{"rope_scaling": {"type": "odd"}}, {"hidden_act": "odd"}])
def test_a_config_that_the_modules_refuse_is_traced_through_a_skeleton(
    folder: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any]
) -> None:
    status, out, _ = run(capsys, folder, "--load-format", "dummy", "--hf-overrides", json.dumps(change))
    assert status == 0
    assert "refuse this config" in out
    assert "it cannot generate" in out


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


def test_fills_of_later_ranks_are_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, folder, "--tp", "4", "--plan")
    assert "fill  vocab padded to a multiple of 64  rank 3 [8:64] = 0" in out


def test_json_says_what_was_not_checked_and_never_nan(capsys: pytest.CaptureFixture[str]) -> None:
    overrides = '{"time_step_limit": [0.0, Infinity]}'
    _, out, _ = run(capsys, "--plan", "--json", "-", "--hf-overrides", overrides)
    records = [json.loads(line, parse_constant=pytest.fail) for line in out.splitlines()]
    unchecked = {r["name"] for r in records if r["kind"] == "check" and r["state"] == "not-checked"}
    assert unchecked == {"names", "slots", "sizes", "bytes", "audit"}


def test_quiet_prints_errors_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, folder, "--plan", "--quiet") == (0, "", "")
    status, out, _ = run(capsys, folder, "--plan", "--quiet", "--tp", "3")
    assert status == 1
    assert all(line.startswith("ERROR") for line in out.splitlines())


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


@pytest.mark.parametrize(("argv", "said"), [
    (["--tp", "0"], "--tp 0: expected at least 1"),
    (["--tp", "2", "--rank", "2"], "--rank 2: expected 0 to 1"),
    (["--rank", "-1"], "--rank -1"),
    (["--tp", "two"], "invalid int value: 'two'"),
    (["/nowhere/model"], "no such file or folder"),
    (["--plan", "--tensor", "nothing*"], "matches none of 291 names"),
    (["--plan", "--hf-overrides", "{"], "expected a JSON object"),
    (["--plan", "--hf-overrides", "[]"], "expected a JSON object, found list"),
    (["--plan", "--hf-config-path", "/nowhere"], "cannot be opened"),
    (["--plan", "--mapping", "/nowhere.toml"], "cannot be opened"),
    (["--plan", "--dtype", "float33"], "expected float32, float16 or bfloat16"),
    (["--plan", "--save", "/nowhere/t.db"], "cannot write"),
    (["--plan", "--json", "/nowhere/t.jsonl"], "cannot write"),
    (["--fixture", "llama-9"], "invalid choice"),
    (["--nonsense"], "unrecognized arguments"),
    (["--tp", "1000000000"], "at most 4096"),
    (["--device", "banana", "--load-format", "dummy"], "expected cpu or cuda"),
    (["--dtype", "int8", "--plan"], "expected float32, float16 or bfloat16"),
    (["--load-format", "safetensors"], "has no safetensors files here"),
    (["/nowhere", "--fixture", "gpt2"], "is for a run without MODEL"),
])  # fmt: skip
def test_bad_usage_is_one_line_on_stderr_and_exit_2(
    capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    status, _, err = run(capsys, *argv)
    assert status == 2
    assert said in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(("content", "said"), [
    (b"", "expected"), (b"nonsense\n", "line 1"), (b'{"kind": "tensor"}\n', "line 1"), (b"\xff\xfe\n", "JSON Lines"),
    (b"SQLite format 3\0 and no more", "trace store"),
])  # fmt: skip
def test_what_is_no_trace_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    (tmp_path / "t").write_bytes(content)
    assert main(["audit", str(tmp_path / "t")]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_mappings_lists_every_architecture_and_the_rows_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    from mappings.architectures import BUILT_IN

    assert main(["mappings"]) == 0
    listed = capsys.readouterr().out
    assert [line.split()[0] for line in listed.splitlines()] == [arch.id for arch in BUILT_IN]
    assert main(["mappings", "BloomForCausalLM"]) == 0
    assert '"head.part, hidden"' in capsys.readouterr().out
    assert main(["mappings", "BlomForCausalLM"]) == 2
    assert "nearest: BloomForCausalLM" in capsys.readouterr().err
