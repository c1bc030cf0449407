"""What the largest index costs that is read at all: less than 200 MB, of the whole process, Python itself included."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what a process took at most is told by Linux alone")
MOST = 200_000_000
SECONDS = 60
DOCTOR = """
import sys
from tracer.cli import main
status = main(["doctor", sys.argv[1]])
# What getrusage tells includes the process that this one was forked from.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
sys.exit(status)
"""


def packed(number: int) -> str:
    return f"model.layers.{number // 1000}.mlp.experts.{number % 1000}.gate_proj.weight_packed"


def layers(number: int) -> str:
    """Of which each would be a layer of its own."""
    return f"layers.{number}.w"


@pytest.mark.parametrize(("count", "name"), [(250_000, packed), (370_000, layers)])
def test_an_index_of_hundreds_of_thousands_is_examined_within_200_megabytes(
    count: int, name: Callable[[int], str], tmp_path: Path
) -> None:
    """As many entries as are read; a second opening beside the first, or a record of each layer, takes more."""
    homes = {name(number): f"m-{number % 62}.safetensors" for number in range(count)}
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": homes}))
    done = subprocess.run(
        [sys.executable, "-c", DOCTOR, str(tmp_path)], check=False, capture_output=True, text=True, timeout=SECONDS
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "config.missing-field" in done.stdout
    assert 50_000_000 < int(done.stderr) * 1024 < MOST
