"""Ctrl-C while a slow server is waited for: the command ends, whatever requests are under way."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.hub_server import Answer, HubServer
from tests.several import finish, start
from tests.tracer.checkpoint.hub.conftest import write_model

SLOW = 20.0
"""Seconds that the server takes for an answer."""
WITHIN = 2.0
"""Seconds from Ctrl-C to the end of the command."""


@pytest.mark.parametrize("slow", ["listing", "storage"])
@pytest.mark.parametrize(("number", "status", "said"), [
    (signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"),
])  # fmt: skip
def test_requests_under_way_are_not_waited_for(
    slow: str, number: signal.Signals, status: int, said: str, hub: HubServer, tmp_path: Path
) -> None:
    hub.add("org/model", write_model(tmp_path, 6))
    if slow == "listing":
        hub.answers.append(Answer("/api/models", 200, delay=SLOW))
    else:
        hub.delay = SLOW
    host = {"listing": "hub", "storage": "storage"}[slow]
    command = ["-m", "tracer", "load", "org/model", "--plan"]
    process = start(command, {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"})
    while host not in [request.host for request in hub.requests]:
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.2)
    began = time.monotonic()
    os.kill(process.pid, number)
    ended = finish(process)
    assert time.monotonic() - began < WITHIN
    assert ended == (status, "", f"tracer: {said}\n")
