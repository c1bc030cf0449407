"""The command line: what it imports and closes, and what is refused in one line with exit status 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import small_qwen2
from tests.tracer.printed import run
from tracer.cli import main, trace_load
from tracer.store import Store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_qwen2.write(tmp_path_factory.mktemp("qwen2"))


@pytest.mark.parametrize("command", [
    "from tracer.cli import trace_load; trace_load(['{}', '--tp', '2', '--plan'])",
    "from tracer.cli import main; main(['mappings', 'LlamaForCausalLM'])",
    "from tracer.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
])  # fmt: skip
def test_headers_plan_and_proofs_import_no_torch(folder: Path, command: str) -> None:
    code = command.replace("{}", str(folder)) + "\nimport sys; assert not {'torch', 'textual'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_commands_close_the_stores_that_they_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[Store] = []
    initialise = Store.__init__

    def remember(self: Store, *args: object) -> None:
        initialise(self, *args)  # type: ignore[arg-type]
        opened.append(self)

    monkeypatch.setattr(Store, "__init__", remember)
    saved = tmp_path / "t.db"
    assert trace_load(["--plan", "--save", str(saved)]) == 0
    assert main(["audit", str(saved)]) == 0
    assert len(opened) == 2
    for store in opened:
        with pytest.raises(Exception, match="closed database"):
            store.count("move")


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


@pytest.mark.parametrize(("argv", "said"), [
    (["--tp", "0"], "--tp 0: expected at least 1"), (["--tp", "-2"], "--tp -2: expected at least 1"),
    (["--tp", "2", "--rank", "-1"], "--rank -1: expected 0 to 1"),
    (["--tp", "2", "--rank", "2"], "--rank 2: expected 0 to 1"),
])  # fmt: skip
def test_ranks_that_do_not_exist_are_one_line(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trace_load([*argv, "--plan"]) == 2
    err = capsys.readouterr().err
    assert (err.count("\n"), said in err) == (1, True)
