"""What a user is told of a broken folder or a slip on the command line: one line, its status, and nothing left over."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from fixtures.broken_folders import BROKEN
from fixtures.small_checkpoint import CONFIG, FIRST, INDEX, SECOND, shard_of, sound, tensors, write_json
from tracer import store
from tracer.cli import main, trace_load

NOBODY = 65534


class Told(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str

    def findings(self, code: str) -> list[str]:
        """The lines of a code, each with its fix."""
        lines = [*self.out.splitlines(), ""]
        fixed = [f"{line} {below.strip()}" if "fix: " in below else line for line, below in pairwise(lines)]
        return [line for line in fixed if f"  {code}  " in line]

    def refusal(self) -> str:
        """The one line of a command that could not do anything."""
        assert self.status == 2
        assert self.err.count("\n") == 1
        assert self.err.endswith("\n")
        assert self.err[:-1].isprintable()
        assert "Traceback" not in self.err
        return self.err[:-1]


Run = Callable[..., Told]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*argv: str | Path) -> Told:
        try:
            status = trace_load([str(arg) for arg in argv])
        except SystemExit as error:
            status = int(str(error.code))
        captured = capsys.readouterr()
        return Told(status, captured.out, captured.err)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    sound(made)
    return made


@pytest.fixture
def results(tmp_path: Path) -> Path:
    made = tmp_path / "results"
    made.mkdir()
    return made


# --- folders ---


def test_the_folder_that_is_broken_was_sound(folder: Path, run: Run) -> None:
    told = run(folder, "--plan")
    assert told.status == 0
    assert told.err == ""
    assert "names ok, slots ok, axes ok, sizes ok, ranks ok, bytes ok" in told.out


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_told_in_one_line(name: str, folder: Path, results: Path, run: Run) -> None:
    case = BROKEN[name]
    case.break_it(folder)
    told = run(folder, "--plan", "--save", results / "t.db", "--json", results / "t.jsonl")
    assert told.status == case.status
    if case.status == 2:
        line = told.refusal()
        assert (f"[{case.code}]" if case.code else "[") in line or case.code is None
        assert list(results.iterdir()) == []
    else:
        assert told.err == ""
        (line,) = told.findings(case.code or "")
        assert line.startswith("ERROR  ")
        assert {file.name for file in results.iterdir()} <= {"t.db", "t.jsonl"}
    assert line.isprintable()
    assert len(line) < 6000
    assert not [words for words in case.says if words not in line], line


def test_every_code_of_the_cases_is_documented() -> None:
    table = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert {case.code for case in BROKEN.values() if case.code and f"`{case.code}`" not in table} == set()


@pytest.mark.parametrize("name", ["missing_folder", "shard_is_cut_off", "tensor_name_with_escapes", "config_is_a_pipe"])
def test_a_real_process_says_the_same(name: str, folder: Path) -> None:
    case = BROKEN[name]
    case.break_it(folder)
    argv = [sys.executable, "-m", "tracer", "load", str(folder), "--plan"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    told = Told(done.returncode, done.stdout, done.stderr)
    assert told.status == case.status
    line = told.refusal() if case.status == 2 else "".join(told.findings(case.code or ""))
    assert all(words in line for words in case.says)
    assert "\x1b" not in done.stdout + done.stderr


def test_escapes_in_a_name_reach_no_terminal(
    folder: Path, results: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not from the table, not from a single path, not from JSON, not from an audit."""
    BROKEN["tensor_name_with_escapes"].break_it(folder)
    shown = [
        run(folder, "--plan", "--all", "--save", results / "t.db"), run(folder, "--plan", "--tensor", "*ERROR*"),
        run(folder, "--plan", "--json", "-"), run(folder, "--plan", "--tensor", "\x1b[31m"),
    ]  # fmt: skip
    assert main(["audit", str(results / "t.db")]) == 1
    text = "".join(told.out + told.err for told in shown) + capsys.readouterr().out
    assert "\\u001b" in text
    assert "\\x1b" in text
    assert not {"\x1b", "\x07"} & set(text)


@pytest.mark.parametrize("name", [b"model\n\x1b[31m.safetensors", "mod\u202eel.safetensors".encode()])
def test_file_names_are_spelled_out(folder: Path, name: bytes, run: Run) -> None:
    _only_file(folder, name)
    told = run(folder, "--plan", "--tensor", "lm_head.weight")
    assert told.status == 0
    assert "\\n\\x1b[31m" in told.out or "\\u202e" in told.out
    assert all(line.isprintable() for line in told.out.splitlines())


def test_a_file_name_that_is_no_text_is_refused(folder: Path, results: Path, run: Run) -> None:
    """It could not be written into a trace."""
    _only_file(folder, b"model\xff.safetensors")
    line = run(folder, "--plan", "--save", results / "t.db").refusal()
    assert "model\\udcff.safetensors: expected a name in UTF-8; rename the file" in line
    assert list(results.iterdir()) == []
    os.rename(os.fsencode(folder) + b"/model\xff.safetensors", folder / "model.safetensors")
    (Path(os.fsdecode(os.fsencode(folder) + b"/log\xff.txt"))).touch()
    assert run(folder, "--plan").status == 0


def _only_file(folder: Path, name: bytes) -> None:
    for file in (FIRST, SECOND, INDEX):
        (folder / file).unlink()
    Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_bytes(shard_of(tensors()))


def test_a_folder_of_many_files_is_listed_once(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    scan, listed = os.scandir, list[object]()

    def counted(path: str) -> Iterator[os.DirEntry[str]]:
        listed.append(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", counted)
    assert run(folder, "--plan").status == 0
    assert len(listed) == 1


# --- what may not be read ---


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder in which this process has no more rights than the modes say, even where it belongs to root."""
    place = Path(tempfile.mkdtemp(prefix="trace-load-"))
    root = os.geteuid() == 0
    if root:
        os.chown(place, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield place
    finally:
        if root:
            os.seteuid(0)
        for path in (place, *place.iterdir()):
            path.chmod(0o700)
        shutil.rmtree(place)


@pytest.mark.parametrize(("closed", "mode", "said"), [
    ("", 0o000, "cannot be read: Permission denied"),
    ("", 0o400, "Permission denied"),
    ("config.json", 0o000, "config.json: cannot be opened: Permission denied"),
    (INDEX, 0o000, f"{INDEX}: cannot be opened: Permission denied"),
    (SECOND, 0o200, f"{SECOND}: cannot be opened: Permission denied"),
])  # fmt: skip
def test_what_may_not_be_read_is_named(as_nobody: Path, closed: str, mode: int, said: str, run: Run) -> None:
    folder = as_nobody / "model"
    folder.mkdir()
    sound(folder)
    (folder / closed).chmod(mode)
    try:
        assert said in run(folder, "--plan").refusal()
    finally:
        (folder / closed).chmod(0o700)


@pytest.mark.parametrize("option", ["--save", "--json"])
@pytest.mark.parametrize("there", [False, True], ids=["new", "old"])
def test_a_folder_that_may_not_be_written_is_named(as_nobody: Path, option: str, there: bool, run: Run) -> None:
    kept = as_nobody / "kept"
    kept.mkdir()
    target = kept / "t.db"
    if there:
        run("--plan", "--fixture", "gpt2", "--save", target)
        target.chmod(0o400)
    before = sorted(path.name for path in kept.iterdir())
    kept.chmod(0o500)
    told = run("--plan", "--fixture", "gpt2", option, target)
    kept.chmod(0o700)
    assert f"cannot write {target}" in told.refusal().replace(f"{option} ", "")
    assert sorted(path.name for path in kept.iterdir()) == before


# --- the command line ---


@pytest.mark.parametrize(("argv", "said"), [
    (["--tp", "0"], "--tp 0: expected at least 1 and at most 4096"),
    (["--tp", "-1"], "--tp -1: expected at least 1"),
    (["--tp", "1000000000"], "--tp 1000000000: expected at least 1 and at most 4096"),
    (["--tp", "9" * 30], "at most 4096"),
    (["--tp", "9" * 5000], "--tp"),
    (["--tp", "two"], "argument --tp: invalid int value: 'two'"),
    (["--tp", "1.5"], "argument --tp: invalid int value: '1.5'"),
    (["--tp", ""], "argument --tp: invalid int value: ''"),
    (["--rank", "-1"], "--rank -1: expected 0 to 0 with --tp 1"),
    (["--tp", "2", "--rank", "2"], "--rank 2: expected 0 to 1 with --tp 2"),
    (["--rank", "x"], "argument --rank: invalid int value: 'x'"),
    (["--fixture", "gpt-3"], "argument --fixture: invalid choice: 'gpt-3' (choose from 'bloom-176b'"),
    (["--tensor", "nothing*"], "--tensor nothing* matches none of 148 names"),
    (["--tensor", "h.0.attn.weight"], "nearest: h.0.attn.c_proj.weight, h.0.attn.c_attn.weight"),
    (["--tensor", "c_attn"], "a glob must match the whole name: '*c_attn*' matches 24"),
    (["--tensor", "[", "--tp", "4"], "--tensor [ matches none"),
    (["--param", "transformer.h.3.attn.attn.weight"], "nearest: transformer.h.0.attn.c_attn.weight"),
    (["--param", "x" * 10_000], "matches none of 149 names"),
    (["--hf-overrides", "{"], "--hf-overrides: expected a JSON object, found '{'"),
    (["--hf-overrides", "{'n_head': 4}"], "--hf-overrides: expected a JSON object"),
    (["--hf-overrides", "[" * 100_000], "--hf-overrides: expected a JSON object"),
    (["--hf-overrides", "3"], "--hf-overrides: expected a JSON object, found int"),
    (["--hf-config-path", "/dev/zero"], "/dev/zero: expected a regular file, found a device"),
    (["--hf-config-path", "/no/where"], "/no/where: cannot be opened: No such file or directory"),
    (["--mapping", "/dev/zero"], "/dev/zero: expected a regular file, found a device"),
    (["--mapping", "/dev"], "/dev: expected a regular file, found a folder"),
    (["--mapping", "/no/where"], "/no/where: cannot be opened: No such file or directory"),
    (["--save", "/no/where/t.db"], "cannot write --save /no/where/t.db: there is no folder /no/where"),
    (["--save", "/dev"], "cannot write --save /dev: it is no plain file"),
    (["--save", "/dev/null"], "cannot write --save /dev/null: it is no plain file"),
    *((["--" + option, ""], f"--{option} is empty, expected a value") for option in (
        "json", "tensor", "param", "mapping", "hf-config-path", "hf-overrides", "dtype", "device")),
])  # fmt: skip
def test_a_slip_on_the_command_line_is_one_line(argv: list[str], said: str, run: Run) -> None:
    fixture = [] if "--fixture" in argv else ["--fixture", "gpt2"]
    told = run(*fixture, "--plan", *argv)
    assert said in told.refusal()
    assert told.out == ""
    assert len(told.err) < 6000


@pytest.mark.parametrize("option", ["--save", "--json"])
def test_a_glob_that_matches_nothing_is_said_before_the_load(option: str, results: Path, run: Run) -> None:
    told = run("--fixture", "gpt2", "--load-format", "dummy", option, results / "t", "--tensor", "nothing*")
    assert "matches none of 148 names" in told.refusal()
    assert list(results.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"notes\n", b"SQLite format 3\0 and no more"])
def test_a_file_that_is_no_trace_is_not_overwritten_unless_empty(content: bytes, results: Path, run: Run) -> None:
    target = results / "t.db"
    target.write_bytes(content)
    told = run("--fixture", "gpt2", "--plan", "--save", target)
    if content.startswith(b"notes"):
        assert "the file is no trace store; remove it or choose another name" in told.refusal()
        assert target.read_bytes() == content
    else:
        assert told.status == 0
        assert store.Store.open(target).count("tensor") == 148
    assert [file.name for file in results.iterdir()] == ["t.db"]


@pytest.mark.parametrize(("content", "said"), [
    (b"= 3", "not TOML"),
    (b"x = " + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
    (b"x = " + b"9" * 5000, "more digits than any size"),
    (b"\xff", "expected UTF-8, byte 0 is not"),
    (b"", "architecture is None, expected a text"),
    (b"architecture = 3", "architecture is 3, expected a text"),
    (b'architecture = "GPT2LMHeadModel"\n[[row]]\nname = 3\nparam = "x"', "[[row]]: name is 3, expected a text"),
    (b'architecture = "A"\nlike = "GPT3LMHeadModel"', "like is 'GPT3LMHeadModel'"),
])  # fmt: skip
def test_a_broken_file_of_rows_is_one_line(content: bytes, said: str, tmp_path: Path, run: Run) -> None:
    rows = tmp_path / "rows.toml"
    rows.write_bytes(content)
    line = run("--fixture", "gpt2", "--plan", "--mapping", rows).refusal()
    assert str(rows) in line
    assert said in line


def test_another_config_is_judged_like_the_folders_own(tmp_path: Path, run: Run) -> None:
    (tmp_path / "config.json").write_bytes(b"\xef\xbb\xbf{}")
    for given in (tmp_path, tmp_path / "config.json"):
        line = run("--plan", "--hf-config-path", given).refusal()
        assert f"{tmp_path / 'config.json'}: expected UTF-8, found a byte order mark" in line
    write_json(tmp_path / "config.json", CONFIG)
    assert run("--plan", "--hf-config-path", tmp_path).status == 0
    assert json.loads((tmp_path / "config.json").read_text()) == CONFIG
    assert stat.S_ISREG((tmp_path / "config.json").stat().st_mode)


@pytest.mark.parametrize(("argv", "said"), [
    (["audit", "/no/where"], "/no/where: cannot be opened: No such file or directory"),
    (["audit", "/dev"], "/dev: expected a regular file, found a folder"),
    (["audit", "/dev/zero"], "/dev/zero: expected a regular file, found a device"),
    (["audit", "/dev/null", "--json", ""], "--json is empty, expected a value"),
    (["mappings", "Llama"], "no rows for Llama; nearest: LlamaForCausalLM"),
    (["mappings", ""], "ARCH is empty, expected a value"),
    (["mappings", "LlamaForCausalLM", "--json", "/no/where"], "cannot write /no/where: No such file or directory"),
])  # fmt: skip
def test_the_other_commands_are_as_plain(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = Told(main(argv), *capsys.readouterr())
    assert said in told.refusal()
    assert told.out == ""
