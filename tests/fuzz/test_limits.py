"""The bounds hold where they should and only there, and what ends a process is told of the case that did it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import campaign, worker
from tests.fuzz.case import Blob, Case, Special
from tests.fuzz.kinds import KINDS
from tests.fuzz.limits import bounded

ROOT = Path(__file__).parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds to a limit of the address space")


BOUNDED = """
from tests.fuzz.limits import bounded
with bounded(50_000_000):
    assert len(bytearray(10_000_000)) == 10_000_000
    try:
        bytearray(80_000_000)
        raise SystemExit("it was there")
    except MemoryError:
        pass
assert len(bytearray(80_000_000)) == 80_000_000
"""


@linux
def test_memory_is_bounded_within_and_not_after() -> None:
    """In a process of its own: where others have freed much, its room is taken again, which needs no new address."""
    command = [sys.executable, "-c", BOUNDED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@linux
def test_the_bound_of_one_file_holds_for_its_read_and_its_values(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.truncate(3 << 30)
    with bounded(), path.open("rb") as file, pytest.raises(MemoryError):
        file.read()


HANGS = """
from tests.fuzz.limits import within_time
within_time(60)
within_time(0.1)
def in_c_code(): sum(range(10**12))
in_c_code()
"""


def test_what_hangs_in_c_code_is_ended_and_its_stack_told() -> None:
    command = [sys.executable, "-c", HANGS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode not in (0, 1)
    assert "line 5 in in_c_code" in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_case_is_the_same_each_time_and_survives_being_kept(kind: str) -> None:
    """Else nothing that is found could be found again."""
    cases = [worker.made(kind, 1, number) for number in range(60)]
    assert cases == [worker.made(kind, 1, number) for number in range(60)]
    assert cases == [Case.from_json(case.to_json()) for case in cases]
    assert len({case.to_json() for case in cases}) > 40


def test_a_case_is_written_whole_and_the_folder_emptied_before(tmp_path: Path) -> None:
    case = Case({b"a\n\xff": Blob(b"x", 5), b"b/c": Special("link", "nowhere"), b"d": Special("pipe")}, "d")
    assert case.write(tmp_path / "case") == tmp_path / "case" / "d"
    assert Case({b"e": Blob(b"")}, "").write(tmp_path / "case") == tmp_path / "case"
    assert [path.name for path in (tmp_path / "case").iterdir()] == ["e"]


DIES = """
import os, sys
from pathlib import Path
kind, seed, first, last, folder = sys.argv[1:]
Path(folder, "at").write_bytes((7).to_bytes(8, "little"))
if int(first) <= 7:
    print("a stack", file=sys.stderr)
    os.abort()
Path(folder, "report").write_text('{"outcomes": {"read by both": %d}, "codes": {}}' % (int(last) - int(first)))
"""


def test_a_case_that_ends_the_process_is_kept_and_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "PROCESS", [sys.executable, "-c", DIES])
    tally = campaign.campaign("gguf", 1, 0, 20)
    assert tally.outcomes == {"wrong": 1, "read by both": 12}
    ((case, what),) = tally.wrong.items()
    assert case == worker.made("gguf", 1, 7).to_json()
    assert "a stack" in what
    (path,) = campaign.keep("gguf", tally, tmp_path / "found")
    assert Case.from_json(path.read_text()) == worker.made("gguf", 1, 7)


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"gguf", "pytorch", "diagnoses"}))
def test_an_opinion_that_is_wrong_is_told(kind: str, tmp_path: Path) -> None:
    """Whatever is broken is not called healthy, and what is sound is not refused: both are noticed, in many cases."""
    healthy = refused = 0
    for number in range(40):
        case = worker.made(kind, 2, number)
        path = case.write(tmp_path / "case")
        healthy += _noticed(kind, case, path, {})
        refused += _noticed(kind, case, path, {"header.hole": "there is none"})
    assert healthy > 5
    assert refused > 5


def _noticed(kind: str, case: Case, path: Path, said: dict[str, str]) -> bool:
    try:
        KINDS[kind].judge(case, path, said)
    except AssertionError:
        return True
    return False
