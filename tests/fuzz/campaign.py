"""Runs cases in a process of their own, so that one that crashes or hangs it is told, kept and passed over."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.worker import Tally, made, run

FOUND = Path(__file__).parent / "found"
"""Cases that were once judged wrongly, each tried again by every run of the tests."""
PROCESS = [sys.executable, "-m", "tests.fuzz.campaign"]
_TOLD = 8
"""Bytes of the file in which the process notes which case it is at."""


def campaign(kind: str, seed: int, first: int, last: int) -> Tally:
    """The cases from `first` up to, not including, `last`."""
    total = Tally()
    with tempfile.TemporaryDirectory() as name:
        while first < last:
            tally, died_at = _child(kind, seed, first, last, Path(name))
            _add(total, tally)
            first = last if died_at is None else died_at + 1
    return total


def _child(kind: str, seed: int, first: int, last: int, folder: Path) -> tuple[Tally, int | None]:
    """What one process came to; and the case that ended it, where it did not come to its end."""
    at, report = folder / "at", folder / "report"
    arguments = [*PROCESS, kind, str(seed), str(first), str(last), str(folder)]
    paths = {"PYTHONPATH": os.pathsep.join(path for path in [os.getcwd(), *sys.path] if path)}
    report.unlink(missing_ok=True)
    done = subprocess.run(arguments, env={**os.environ, **paths}, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        told = json.loads(report.read_text(encoding="utf-8"))
        return Tally(**told | {"outcomes": Counter(told["outcomes"]), "codes": Counter(told["codes"])}), None
    died_at = int.from_bytes(at.read_bytes(), "little") if at.exists() else last
    if died_at >= last:
        raise RuntimeError(f"the cases could not be run: {done.stderr[-3000:]}")
    how = f"the process ended with {done.returncode}:\n{done.stderr[-3000:]}"
    # Those before it were judged, and are not counted.
    return Tally(Counter({"wrong": 1}), wrong={made(kind, seed, died_at).to_json(): how}), died_at


def _add(total: Tally, tally: Tally) -> None:
    total.outcomes += tally.outcomes
    total.codes += tally.codes
    total.slowest = max(total.slowest, tally.slowest)
    total.grown = max(total.grown, tally.grown)
    total.wrong |= tally.wrong


def keep(kind: str, tally: Tally, folder: Path = FOUND) -> Iterator[Path]:
    """Write each case that was judged wrongly, as it will be tried again, and what was wrong."""
    folder.mkdir(exist_ok=True)
    for case, what in tally.wrong.items():
        path = folder / f"{kind}-{hashlib.sha256(case.encode()).hexdigest()[:12]}.json"
        path.write_text(case, encoding="utf-8")
        path.with_suffix(".txt").write_text(what, encoding="utf-8")
        yield path


def report(kind: str, tally: Tally) -> str:
    """`gguf: 3,000 cases, 1,582 refused by us ...; slowest 0.07 s; grown by 3 MB`."""
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in tally.outcomes.most_common())
    cost = f"slowest {tally.slowest:.2f} s, grown by {tally.grown / 1e6:.0f} MB"
    return f"{kind}: {tally.cases:,} cases: {outcomes}; {len(tally.codes)} codes; {cost}"


def _main(kind: str, seed: str, first: str, last: str, folder: str) -> None:
    """The process itself."""
    with (Path(folder) / "at").open("wb", buffering=0) as at:

        def tell(number: int) -> None:
            at.seek(0)
            at.write(number.to_bytes(_TOLD, "little"))

        tally = run(kind, int(seed), range(int(first), int(last)), Path(folder) / "case", tell)
    (Path(folder) / "report").write_text(json.dumps(vars(tally)), encoding="utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])
