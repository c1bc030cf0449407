"""A repository on the Hub is opened as a folder is, by its headers alone; what is refused is one line, and `q` waits
for no answer."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.hub_server import Answer, HubServer
from tests.several import free_port
from tests.tracer.checkpoint.hub.conftest import hub
from tests.tui import subjects
from tests.tui.model.pages import text
from tests.tui.seen import Seen
from tests.tui.terminal import BROWSE, Terminal
from tracer.errors import InputError
from tui.app import Browser
from tui.model.browsing import Browsing
from tui.model.line import Target
from tui.model.opening import open_subject
from tui.model.subject import Subject

__all__ = ["hub"]
SLOW = 20.0
"""Seconds that the server takes for an answer."""
WITHIN = 2.0
"""Seconds from `q` to the end."""
SHARD = "model.safetensors"
GATED = Answer("/resolve/", 403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."})


def placed(hub: HubServer, kind: str) -> str:
    """One of the small checkpoints as a repository; its commit, as it is shown."""
    return hub.add("org/model", subjects.folder(kind))[:8]


def header_end(path: Path) -> int:
    with path.open("rb") as file:
        return 8 + int.from_bytes(file.read(8), "little")


def paths(subject: Subject, name: str) -> str:
    """The path of a tensor, as its page has it."""
    browsing = Browsing(subject.where, 1)
    browsing.arrived(subject)
    browsing.go(Target("tensor", name))
    return text(browsing.shown(), 120)


# --- what is there ---


@pytest.mark.parametrize("kind", ["clean", "broken"])
def test_a_repository_has_the_names_paths_and_findings_of_its_folder(hub: HubServer, kind: str) -> None:
    commit, folder = placed(hub, kind), subjects.folder(kind)
    seen: list[Subject] = []
    remote, local = open_subject("org/model", 1, seen.append), open_subject(str(folder), 1, lambda _: None)
    assert [each.stage for each in seen] == ["headers", "plan", "examined"] and remote.title == f"org/model@{commit}"
    assert [(info.name, info.offset, info.nbytes) for info in remote.tensors] == [
        (info.name, info.offset, info.nbytes) for info in local.tensors
    ]
    assert {told.finding.code for told in remote.findings} == {told.finding.code for told in local.findings}
    assert bool(remote.findings) == (kind == "broken")
    name = "model.layers.1.self_attn.k_proj.weight"
    assert paths(remote, name) == paths(local, name) and SHARD in paths(remote, name)


def test_of_its_files_no_byte_of_a_tensor_is_asked_for(hub: HubServer) -> None:
    placed(hub, "clean")
    open_subject("org/model", 1, lambda _: None)
    end = header_end(subjects.folder("clean") / SHARD)
    served = hub.served(SHARD)
    assert served[0] == (0, 8) and max(stop for _, stop in served) == end
    assert end < (subjects.folder("clean") / SHARD).stat().st_size


def test_in_the_browser_it_is_named_with_its_commit_and_begins_with_what_is_wrong(hub: HubServer) -> None:
    commit = placed(hub, "broken")

    async def look() -> None:
        browser = Browser("org/model")
        async with browser.run_test(size=(120, 30)) as pilot:
            seen = Seen(pilot)
            await seen.until("✗ error  tensor.unmapped")
            assert f"model@{commit}" in seen.top and "2 errors" in seen.top
            await seen.press("slash")
            await seen.type("k_proj 1")
            await seen.press("enter")
            assert seen.lines("page")[0].startswith("model.layers.1.self_attn.k_proj.weight")

    asyncio.run(look())


# --- what is refused ---


@pytest.mark.parametrize(("answers", "said"), [
    ([GATED], "the repository is gated"), ([], "no such repository"), ([Answer("/api/models", 503)], "fails with 503"),
])  # fmt: skip
def test_what_the_hub_refuses_is_one_line(
    answers: list[Answer], said: str, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_not-a-real-token")
    if answers:
        placed(hub, "clean")
    hub.answers += answers
    with pytest.raises(InputError) as refused:
        open_subject("org/model", 1, lambda _: None)
    assert "\n" not in str(refused.value) and said in str(refused.value)
    assert "not-a-real-token" not in str(refused.value)


def test_a_hub_that_is_not_there_ends_the_browser_with_one_line_and_status_2(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with Terminal([*BROWSE, "org/model"], HF_ENDPOINT=nowhere, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="0") as terminal:
        assert terminal.ended() == 2
        (line,) = terminal.told
        assert line.startswith("tracer: ") and "org/model" in line and terminal.as_before


# --- what is slow ---


@pytest.mark.parametrize("slow", ["listing", "storage"])
def test_while_it_waits_it_says_so_and_a_key_ends_it_at_once(slow: str, hub: HubServer, tmp_path: Path) -> None:
    placed(hub, "clean")
    if slow == "listing":
        hub.answers.append(Answer("/api/models", 200, delay=SLOW))
    else:
        hub.delay = SLOW
    host = {"listing": "hub", "storage": "storage"}[slow]
    home = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    with Terminal([*BROWSE, "org/model"], **home) as terminal:
        terminal.until("reading headers")
        end = time.monotonic() + SLOW
        while host not in [request.host for request in hub.requests]:
            assert time.monotonic() < end
            terminal.until("reading headers")
            time.sleep(0.01)
        began = time.monotonic()
        terminal.type(b"q")
        assert (terminal.ended(), terminal.told) == (0, [])
        assert time.monotonic() - began < WITHIN
        assert terminal.as_before
