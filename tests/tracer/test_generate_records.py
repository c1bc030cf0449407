"""`tracer generate --json`: each record is out when its prompt has ended, and stays, whatever comes after it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests import faulty_generation
from tests.several import LIMIT, ROOT, finish, start, wait_for
from tests.threads import one_thread
from tests.tracer.test_generate_errors import Command, command, sound
from tests.tracer.test_generate_failing import fails, interrupted

__all__ = ["command", "one_thread", "sound"]
ONE_AFTER_ANOTHER = ("--max-tokens", "2", "--ignore-eos", "--max-sequences", "1", "--cache-gib", "0.001")
"""The first has ended after two passes; what fails does so after three."""


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_records_come_as_prompts_end_and_say_which_they_are_of(sound: Path, command: Command) -> None:
    """The first goes on to the end of the model's length, the second has hardly begun there."""
    long, short = ",".join(["5"] * 20), ",".join(["5"] * 62)
    asked = ("--prompt-ids", long, "--prompt-ids", short, "--max-tokens", "30", "--ignore-eos", "--cache-gib", "0.001")
    status, out, err = command(sound, *asked, "--json", "-", "--quiet")
    assert (status, err) == (0, "")
    assert [(found["index"], len(found["token_ids"])) for found in records(out)] == [(1, 2), (0, 30)]


def test_what_had_ended_before_ctrl_c_is_in_the_file_and_on_stdout(
    sound: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (sound, "w5", "w6", *ONE_AFTER_ANOTHER)
    _, whole, _ = command(*asked, "--json", "-", "--quiet")
    first = whole.splitlines(keepends=True)[0]
    (tmp_path / "folder").mkdir()
    file = tmp_path / "folder" / "out.jsonl"
    file.write_text("of another run\n")
    for target in (str(file), "-"):
        with monkeypatch.context() as patch:
            fails(patch, tmp_path, interrupted)
            status, out, err = command(*asked, "--json", target, "--quiet")
        assert (status, err) == (130, "tracer: interrupted\n")
        assert (out if target == "-" else file.read_text()) == first
    assert [path.name for path in file.parent.iterdir()] == ["out.jsonl"]


def test_a_process_that_is_killed_has_left_what_had_ended(sound: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    process = start(
        ["-m", "tests.faulty_generation", "generate", sound, "--tp", "2", "--device", "cpu", "w5", "w6",
         *ONE_AFTER_ANOTHER, "--json", file],
        {"FAULT": "WAITS", "FAULTY_RANK": "1", "HALF_WAY": str(tmp_path / "half-way")},
    )  # fmt: skip
    wait_for(tmp_path / "half-way")
    assert [found["index"] for found in records(_grown(file))] == [0]
    process.kill()
    assert finish(process).status == -signal.SIGKILL
    assert [found["index"] for found in records(file.read_text())] == [0]


def _grown(file: Path) -> str:
    """What a reader finds in it while the command goes on."""
    deadline = time.monotonic() + LIMIT
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return file.read_text()


def test_until_the_first_record_the_old_file_stays(
    sound: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "out.jsonl"
    file.write_text("of another run\n")
    with monkeypatch.context() as patch:
        fails(patch, tmp_path / "elsewhere", faulty_generation.raises)
        (tmp_path / "elsewhere").mkdir()
        assert command(sound, "w5", "--max-tokens", "9", "--ignore-eos", "--json", file, "--quiet")[0] == 1
    assert command(sound, "w5", "--top-p", "2", "--json", file)[0] == 2
    assert file.read_text() == "of another run\n"


@pytest.mark.parametrize("room", [100, 1_000])
def test_a_disk_that_fills_up_keeps_whole_records_only(room: int, tmp_path: Path) -> None:
    """With room for none, what was there stays."""
    file = tmp_path / "out.jsonl"
    file.write_text("of another run\n")
    ended = subprocess.run(
        [sys.executable, "-c", ON_A_SMALL_DISK, file, str(room)], capture_output=True,
        text=True, check=False, timeout=LIMIT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ended.stdout == f"cannot write {file}: File too large\n", ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    if room == 100:
        assert file.read_text() == "of another run\n"
    else:
        found = records(file.read_text())
        assert [record["index"] for record in found] == list(range(len(found)))
        assert 1 < len(found) < 10


ON_A_SMALL_DISK = """
import resource, sys
from engine import Completion
from tracer.commands.records import Records
from tracer.errors import UsageError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    with Records(sys.argv[1]) as records:
        for index in range(10):
            records.write(Completion(index, [5, 6], [7, 8], "text"))
except UsageError as error:
    print(error)
"""


def test_a_reader_that_has_seen_enough_ends_the_command(sound: Path) -> None:
    """`| head -1`: no more is generated, and it is no failure."""
    process = start(["-m", "tracer", "generate", sound, *["w5"] * 40, *ONE_AFTER_ANOTHER, "--json", "-", "--quiet"])
    assert process.stdout is not None and process.stderr is not None
    assert json.loads(process.stdout.readline())["index"] == 0
    process.stdout.close()
    assert (process.wait(LIMIT), process.stderr.read()) == (0, "")
    process.stderr.close()
