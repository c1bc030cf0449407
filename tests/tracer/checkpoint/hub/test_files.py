"""The files of a repository: one listing, one commit, and of each file the bytes that were asked for."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from tests.hub_server import Answer, HubServer, Request
from tests.tracer.checkpoint.hub.conftest import write_model
from tracer.checkpoint.files import LocalFiles, read_all
from tracer.checkpoint.folder import open_files
from tracer.checkpoint.hub.files import HubFiles
from tracer.errors import InputError

SHARD = "model-00001-of-00003.safetensors"
LIMIT = 2**30
TOKEN = "hf_not-a-real-token"


def ranges(requests: list[Request], host: str = "storage") -> list[tuple[int, int] | None]:
    return [request.range for request in requests if request.host == host]


def test_the_listing_is_that_of_the_folder(hub: HubServer, model: Path) -> None:
    hub.add("org/model", model)
    remote, local = HubFiles("org/model"), LocalFiles(model)
    assert remote.names() == local.names()
    assert [remote.size(file) for file in remote.names()] == [local.size(file) for file in local.names()]
    assert {remote.pointer_size(file) for file in remote.names()} == {None}
    assert len(hub.requests) == 1


def test_a_checkpoint_on_the_hub_is_the_checkpoint_in_the_folder(hub: HubServer, model: Path) -> None:
    hub.add("org/model", model)
    remote, local = open_files(HubFiles("org/model")), open_files(LocalFiles(model))
    assert remote.tensors == local.tensors
    assert (remote.config, remote.state, remote.names) == (local.config, local.state, local.names)
    assert (remote.findings, remote.unchecked, remote.spans) == (local.findings, local.unchecked, local.spans)


def test_of_a_shard_its_length_and_its_header_are_served_and_not_a_byte_more(hub: HubServer, model: Path) -> None:
    hub.add("org/model", model)
    open_files(HubFiles("org/model"))
    for path in model.glob("*.safetensors"):
        end = 8 + int.from_bytes(path.read_bytes()[:8], "little")
        assert hub.served(path.name) == [(0, 8), (8, end)]


def test_a_read_is_one_request_for_exactly_its_bytes(hub: HubServer, model: Path) -> None:
    hub.add("org/model", model)
    content = (model / SHARD).read_bytes()
    with HubFiles("org/model").open(SHARD) as file:
        assert file.seek(0, io.SEEK_END) == len(content)
        file.seek(100)
        assert (file.read(7), file.read(5), file.tell()) == (content[100:107], content[107:112], 112)
        file.seek(-4, io.SEEK_END)
        assert file.read(50) == content[-4:]
        assert file.read(50) == b""
    assert ranges(hub.requests) == [(100, 106), (107, 111), (len(content) - 4, len(content) - 1)]


def test_a_small_file_is_fetched_once_however_often_it_is_opened(hub: HubServer, model: Path) -> None:
    hub.add("org/model", model)
    files = HubFiles("org/model")
    for _ in range(3):
        assert read_all(files, "config.json", LIMIT) == (model / "config.json").read_bytes()
    assert len(hub.served("config.json")) == 1


def test_a_push_in_the_middle_does_not_mix_two_versions(hub: HubServer, model: Path, tmp_path: Path) -> None:
    first = hub.add("org/model", model)
    files = HubFiles("org/model")
    (tmp_path / "config.json").write_text("{}")
    second = hub.add("org/model", tmp_path)
    assert json.loads(read_all(files, "config.json", LIMIT))["hidden_size"] == 64
    assert files.commit == first
    assert HubFiles("org/model").commit == second


def test_a_revision_is_a_branch_a_tag_or_a_commit(hub: HubServer, model: Path, tmp_path: Path) -> None:
    old = hub.add("org/model", tmp_path)
    new = hub.add("org/model", model, "refs/pr/1")
    assert [HubFiles("org/model", name).commit for name in (None, "main", "refs/pr/1", old)] == [old, old, new, old]


def test_the_token_goes_to_the_hub_and_never_to_its_storage(
    hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.add("org/model", model)
    open_files(HubFiles("org/model"))
    assert {request.token for request in hub.requests if request.host == "hub"} == {f"Bearer {TOKEN}"}
    assert {request.token for request in hub.requests if request.host == "storage"} == {None}


def test_only_the_first_read_of_a_file_asks_the_hub_where_it_is(hub: HubServer, model: Path) -> None:
    hub.add("org/model", model)
    with HubFiles("org/model").open(SHARD) as file:
        file.read(8)
        file.read(8)
    assert [request.host for request in hub.requests] == ["hub", "hub", "storage", "storage"]


def test_an_address_that_has_expired_is_asked_for_again(hub: HubServer, model: Path) -> None:
    hub.add("org/model", model)
    with HubFiles("org/model").open(SHARD) as file:
        file.read(8)
        hub.answers.append(Answer("Signature", 403, times=1))
        assert file.read(8) == (model / SHARD).read_bytes()[8:16]
    assert [request.host for request in hub.requests[-3:]] == ["storage", "hub", "storage"]


def test_what_is_in_the_cache_is_read_from_there(hub: HubServer, model: Path) -> None:
    hub.add("org/model", model)
    snapshot_download("org/model", allow_patterns=["config.json", SHARD])
    before = len(hub.requests)
    files = HubFiles("org/model")
    assert read_all(files, SHARD, LIMIT) == (model / SHARD).read_bytes()
    assert read_all(files, "config.json", LIMIT) == (model / "config.json").read_bytes()
    assert len(hub.requests) == before + 1


def test_the_cache_is_not_written(hub: HubServer, model: Path, tmp_path: Path) -> None:
    hub.add("org/model", model)
    open_files(HubFiles("org/model"))
    assert not (tmp_path / "hf").exists()


def test_a_cached_file_of_another_size_is_not_trusted(hub: HubServer, model: Path) -> None:
    hub.add("org/model", model)
    folder = Path(snapshot_download("org/model", allow_patterns=["config.json"]))
    (folder / "config.json").write_text("{}")
    assert read_all(HubFiles("org/model"), "config.json", LIMIT) == (model / "config.json").read_bytes()


def test_a_repository_that_was_renamed_is_read_under_its_new_name(hub: HubServer, model: Path) -> None:
    hub.add("org/new", model)
    hub.renamed["old/name"] = "org/new"
    files = HubFiles("old/name")
    open_files(files)
    assert [(f.code, f.severity, f.evidence["name"]) for f in files.findings] == [("hub.renamed", "info", "org/new")]
    asked_by_old_name = [request.path for request in hub.requests if "old/name" in request.path]
    assert asked_by_old_name == ["/api/models/old/name?blobs=true"]


def test_many_shards_are_opened_several_at_once(hub: HubServer, tmp_path: Path) -> None:
    shards = 20
    hub.add("org/model", write_model(tmp_path, shards))
    hub.delay = 0.05
    open_files(HubFiles("org/model"))
    assert 8 <= hub.most_at_once <= HubFiles.at_once
    assert len(ranges(hub.requests)) == 2 * shards
    assert len(hub.requests) == 3 + 3 * shards


# --- servers that do something else than they were asked ---


def test_a_server_that_ignores_ranges_is_left_before_it_sends_the_file(hub: HubServer, tmp_path: Path) -> None:
    with (tmp_path / SHARD).open("wb") as hole:
        hole.truncate(2**30)
    hub.add("org/model", tmp_path)
    hub.ignores_ranges = True
    with HubFiles("org/model").open(SHARD) as file, pytest.raises(InputError, match=r"asked for bytes 0-7/.* no range"):
        file.read(8)
    # What lay in the sockets' buffers when the connection was closed.
    assert sum(stop - start for start, stop in hub.served(SHARD)) < 2**24


def test_a_small_file_may_come_whole(hub: HubServer, model: Path) -> None:
    hub.add("org/model", model)
    hub.ignores_ranges = True
    assert read_all(HubFiles("org/model"), "config.json", LIMIT) == (model / "config.json").read_bytes()


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        ({"Content-Range": "bytes 0-8/{size}"}, b"x" * 9, "expected Content-Range 'bytes 0-7/{size}', found"),
        ({"Content-Range": "bytes 0-7/99"}, b"x" * 8, "found 'bytes 0-7/99'"),
        ({}, b"x" * 8, "found ''"),
        ({"Content-Range": "bytes 0-7/{size}"}, b"x" * 9, "expected 8 bytes from byte 0, found more"),
        ({"Content-Range": "bytes 0-7/{size}"}, b"x" * 3, "expected 8 bytes from byte 0, found 3"),
        ({"Content-Range": "bytes 0-7/{size}", "Content-Encoding": "gzip"}, b"x" * 8, "encoded as 'gzip'"),
    ],
)
def test_an_answer_that_is_not_the_range_is_refused(
    hub: HubServer, model: Path, headers: dict[str, str], body: bytes, message: str
) -> None:
    hub.add("org/model", model)
    size = (model / SHARD).stat().st_size
    filled = {name: value.format(size=size) for name, value in headers.items()}
    hub.answers.append(Answer("Signature", 206, filled, body))
    with HubFiles("org/model").open(SHARD) as file, pytest.raises(InputError) as refused:
        file.read(8)
    assert message.format(size=size) in str(refused.value)
    assert str(refused.value).startswith(f"org/model/{SHARD}: ")


def test_an_unknown_total_is_no_contradiction(hub: HubServer, model: Path) -> None:
    hub.add("org/model", model)
    hub.answers.append(Answer("Signature", 206, {"Content-Range": "bytes 0-7/*"}, b"x" * 8))
    with HubFiles("org/model").open(SHARD) as file:
        assert file.read(8) == b"x" * 8


@pytest.mark.parametrize(
    "listing",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"id": ' + b"[" * 100_000,
        b'{"id": null, "sha": "%s", "siblings": []}' % (b"0" * 40),
        b'{"id": "a/../b", "sha": "%s", "siblings": []}' % (b"0" * 40),
        b'{"id": "a/b", "sha": null, "siblings": []}',
        b'{"id": "a/b", "sha": "main", "siblings": []}',
        b'{"id": "a/b", "sha": "%s"}' % (b"0" * 40),
        b'{"id": "a/b", "sha": "%s", "siblings": [{"rfilename": "x"}]}' % (b"0" * 40),
        b'{"id": "a/b", "sha": "%s", "siblings": [{"rfilename": "x", "size": -1}]}' % (b"0" * 40),
        b'{"id": "a/b", "sha": "%s", "siblings": [{"rfilename": "x", "size": true}]}' % (b"0" * 40),
        b'{"id": "a/b", "sha": "%s", "siblings": [{"rfilename": "../x", "size": 1}]}' % (b"0" * 40),
        b'{"id": "a/b", "sha": "%s", "siblings": [{"rfilename": "/x", "size": 1}]}' % (b"0" * 40),
    ],
)
def test_a_listing_that_is_none_is_refused(hub: HubServer, listing: bytes) -> None:
    hub.answers.append(Answer("/api/models", 200, {}, listing))
    with pytest.raises(InputError, match="does not answer as a Hub does"):
        HubFiles("org/model")


def listing_of(name: str) -> bytes:
    siblings = [{"rfilename": name, "size": 1}]
    return json.dumps({"id": "org/model", "sha": "0" * 40, "siblings": siblings}).encode()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("m" * 256, "found 256 bytes between slashes"),
        ("m-" + "9" * 5000, "found 5002 bytes between slashes"),
        ("model-" + "9" * 5000 + "-of-00002.safetensors", "found 5027 bytes between slashes"),
        ("\u00e4" * 128 + ".bin", "found 260 bytes between slashes"),
        ("/".join(["f" * 200] * 21), "found 4220 bytes"),
        ("a\nb.safetensors", r"found '\n'"),
        ("a\x1b[2Jb", r"found '\x1b'"),
        ("a\u2028b", r"found '\u2028'"),
        ("a\ud800b", r"found '\ud800'"),
    ],
)
def test_a_name_that_no_file_can_have_is_refused_in_one_line(hub: HubServer, name: str, found: str) -> None:
    hub.answers.append(Answer("/api/models", 200, {}, listing_of(name)))
    with pytest.raises(InputError) as refused:
        HubFiles("org/model")
    said = str(refused.value)
    assert said.startswith(f"org/model: {hub.endpoint} lists ") and found in said
    assert said.isprintable() and len(said) < 400


@pytest.mark.parametrize("name", ["m" * 255, "\u00e4" * 127, "f/" * 1000 + "g", "\u6a21\u578b\u3000\u00a0\u200d.png"])
def test_any_other_name_is_a_name(hub: HubServer, name: str) -> None:
    hub.answers.append(Answer("/api/models", 200, {}, listing_of(name)))
    assert HubFiles("org/model").size(name) == 1
