"""The command from end to end, as a user starts it: what it prints, what the server served, what was imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fixtures.header_set import write
from tests.hub_server import HubServer

HEAVY = "import sys, atexit; atexit.register(lambda: print(sorted({NAMES} & set(sys.modules)), file=sys.stderr));"
NAMES = {"huggingface_hub", "httpx", "httpx2", "requests", "torch"}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Llama-3-8B in 8 shards: 16 GB, none of which is on the disk."""
    folder = tmp_path_factory.mktemp("llama")
    write(folder, "llama-3-8b", shards=8)
    return folder


def trace_load(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`trace-load` in a process of its own, which says on stderr which of the heavy packages it had loaded."""
    program = HEAVY.format(NAMES=NAMES) + "from tracer.cli import trace_load; sys.exit(trace_load(sys.argv[1:]))"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    settings = {"HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "*"}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], env=inherited | settings | environment, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip


def records(text: str) -> list[dict[str, Any]]:
    """The trace, less what differs from run to run, and the model's name."""
    found = [json.loads(record) for record in text.splitlines()]
    return [{k: v for k, v in record.items() if k != "model"} for record in found if record["kind"] != "end"]


@pytest.mark.parametrize("arguments", [["--plan"], ["--load-format", "dummy"]])
def test_the_trace_of_a_repository_is_that_of_the_folder(llama: Path, tmp_path: Path, arguments: list[str]) -> None:
    with HubServer() as hub:
        hub.add("org/llama", llama)
        asked = ("--tp", "2", *arguments, "--json", "-")
        remote = trace_load(tmp_path, "org/llama", *asked, HF_ENDPOINT=hub.endpoint)
        local = trace_load(tmp_path, str(llama), *asked)
    assert (remote.returncode, local.returncode) == (0, 0)
    assert records(remote.stdout) == records(local.stdout)
    assert "'torch'" not in remote.stderr or "--plan" not in arguments
    for path in llama.glob("*.safetensors"):
        with path.open("rb") as file:
            end = 8 + int.from_bytes(file.read(8), "little")
        assert hub.served(path.name) == [(0, 8), (8, end)]


def test_a_local_run_does_not_import_the_library(llama: Path, tmp_path: Path) -> None:
    assert trace_load(tmp_path, str(llama), "--plan").stderr.splitlines() == ["[]"]
    assert trace_load(tmp_path, "--help").stderr.splitlines() == ["[]"]


def test_without_a_network_one_line_soon(tmp_path: Path) -> None:
    started = time.monotonic()
    failed = trace_load(tmp_path, "org/llama", "--plan", HF_ENDPOINT="http://127.0.0.1:9")
    assert time.monotonic() - started < 10
    assert (failed.returncode, failed.stdout) == (2, "")
    assert [line.partition(" http")[0] for line in failed.stderr.splitlines()[:-1]] == [
        "trace-load: org/llama: no such folder here, and no connection to"
    ]


def test_offline_mode_of_the_environment(tmp_path: Path) -> None:
    failed = trace_load(tmp_path, "org/llama", "--plan", HF_HUB_OFFLINE="1")
    assert failed.stderr.startswith("trace-load: org/llama: HF_HUB_OFFLINE is set and nothing of it is in the cache")


def test_a_refusal_has_no_traceback_and_the_token_is_not_in_it(tmp_path: Path) -> None:
    with HubServer() as hub:
        failed = trace_load(tmp_path, "org/llama", "--plan", HF_ENDPOINT=hub.endpoint, HF_TOKEN="hf_secret")
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 2
    assert "no such repository" in failed.stderr
    assert "hf_secret" not in failed.stderr
    assert {request.token for request in hub.requests} == {"Bearer hf_secret"}
