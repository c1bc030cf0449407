"""MODEL: a path, a repository, or neither; and where its tensors can be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants, snapshot_download

from tests.hub_server import HubServer
from tracer import cli
from tracer.checkpoint.hub.address import is_hub_id
from tracer.prepare import Request, prepare
from tracer.session import run


def line(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which the command refuses."""
    capsys.readouterr()
    assert cli.trace_load(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.removesuffix("\n").removeprefix("trace-load: ")


# --- which it is ---


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("org/name", True), ("meta-llama/Llama-3.1-8B", True), ("a/b.c_d-e", True),
        ("name", False), ("./org/name", False), ("../name", False), ("/org/name", False), ("~/name", False),
        ("a/b/c", False), ("org/", False), ("/", False), ("", False), ("org\\name", False),
        ("org/model.safetensors", False), ("org/model.gguf", False), ("org/pytorch_model.bin", False),
        ("org/name-GGUF", True),
    ],
)  # fmt: skip
def test_an_id_has_one_slash_and_looks_like_no_path(
    model: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_hub_id(model) is expected


def test_what_is_here_is_no_id(
    hub: HubServer, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("org").mkdir()
    shutil.copytree(model, "org/name")
    assert prepare(Request("org/name", plan_only=True)).title == "org/name"
    assert hub.requests == []


@pytest.mark.parametrize(("model", "advised"), [("gpt2", True), ("./gpt2", False), ("a/b/c", False), ("m.gguf", False)])
def test_neither(capsys: pytest.CaptureFixture[str], model: str, advised: bool) -> None:
    refused = line(capsys, model, "--plan")
    assert refused.startswith(f"{model}: no such file or folder")
    assert refused.endswith("ids of the Hub have the form org/name (gpt2 is openai-community/gpt2)") is advised


def test_a_revision_is_for_a_repository(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    expected = "--revision main: expected a repository on the Hub (org/name), found"
    assert line(capsys, str(tmp_path), "--revision", "main") == f"{expected} {tmp_path}"
    assert line(capsys, "--revision", "main", "--plan") == f"{expected} no MODEL"


def test_a_repository_that_is_no_checkpoint(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "README.md").write_text("# Hello")
    commit = hub.add("org/words", tmp_path / "repo")
    for arguments in (["--plan"], []):
        refused = line(capsys, "org/words", *arguments)
        assert refused.startswith(f"org/words@{commit[:8]}: no checkpoint: expected safetensors")
        assert refused.endswith("found README.md")


# --- tensors are read from the cache or not at all ---


@pytest.mark.parametrize("arguments", [["--plan"], ["--load-format", "dummy"]])
def test_without_tensors_headers_are_enough(
    hub: HubServer, model: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    commit = hub.add("org/model", model)
    assert cli.trace_load(["org/model", "--tp", "2", *arguments]) == 0
    assert capsys.readouterr().out.startswith(f"org/model@{commit[:8]}: LlamaForCausalLM, tp 2")


def test_a_load_of_what_is_not_here_is_refused_before_a_header_is_fetched(
    hub: HubServer, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add("org/model", model)
    size = sum(path.stat().st_size for path in model.iterdir())
    refused = line(capsys, "org/model", "--tp", "2")
    assert refused == (
        f"org/model: 5 of 5 files that a load needs are on the Hub and not here ({size:,} bytes:"
        " model.safetensors.index.json, model-00001-of-00003.safetensors, model-00002-of-00003.safetensors and 2 more);"
        " add --load-format dummy or --plan, or download them: hf download org/model"
    )
    assert [request for request in hub.requests if request.host == "storage"] == []


def test_who_wants_to_generate_is_not_sent_to_options_that_generate_nothing(
    hub: HubServer, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add("org/model", model)
    assert cli.main(["generate", "org/model", "--prompt-ids", "5"]) == 2
    told = capsys.readouterr().err
    assert "5 of 5 files that a load needs are on the Hub and not here" in told
    assert told.endswith(" and 2 more); download them: hf download org/model\n")


def test_a_half_finished_download_is_not_loaded(
    hub: HubServer, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add("org/model", model)
    snapshot_download("org/model", ignore_patterns=["*00002*"])
    assert line(capsys, "org/model").startswith("org/model: 1 of 5 files that a load needs")


def test_what_was_downloaded_is_really_loaded(hub: HubServer, model: Path) -> None:
    commit = hub.add("org/model", model)
    snapshot_download("org/model")
    before = len(hub.requests)
    result = run(Request("org/model", tp=2))
    assert (result.failed, result.failure) == (False, None)
    assert result.where.startswith("2 processes")
    assert result.prepared.title == f"org/model@{commit[:8]}"
    assert len(hub.requests) == before + 1
    # The ranks read this folder, even if a push comes between.
    assert result.prepared.request.model == str(result.prepared.folder)


def test_an_old_download_is_not_the_present_revision(
    hub: HubServer, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add("org/model", model)
    snapshot_download("org/model")
    hub.add("org/model", Path(shutil.copytree(model, tmp_path / "new")))
    assert "files that a load needs" in line(capsys, "org/model")


def test_a_new_name_is_told(hub: HubServer, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.add("org/new", model)
    hub.renamed["old/name"] = "org/new"
    assert cli.trace_load(["old/name", "--plan"]) == 0
    assert "hub.renamed  old/name is now called org/new on the Hub" in capsys.readouterr().out


# --- offline ---


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_offline_with_nothing_in_the_cache(
    hub: HubServer, offline: None, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = "HF_HUB_OFFLINE is set and nothing of it is in the cache; unset it, or download it where there is a"
    assert line(capsys, "org/model", "--plan").startswith(f"org/model: {nothing}")
    assert "and no revision 'v2' of it is in the cache" in line(capsys, "org/model", "--plan", "--revision", "v2")
    assert "no id of the Hub" in line(capsys, "org/a--b", "--plan")
    assert hub.requests == []


@pytest.mark.parametrize("asked", [{"plan_only": True}, {"load_format": "dummy"}, {}])
def test_offline_what_was_downloaded_is_a_folder_like_any_other(
    hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, bool]
) -> None:
    commit = hub.add("org/model", model, "v1")
    snapshot_download("org/model", revision="v1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    before = len(hub.requests)
    result = run(Request("org/model", revision="v1", **asked))  # type: ignore[arg-type]
    assert not result.failed
    assert result.prepared.title == f"org/model@{commit[:8]}"
    assert len(hub.requests) == before


def test_offline_a_half_finished_download_says_what_is_missing(
    hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("org/model", model)
    snapshot_download("org/model", ignore_patterns=["*00002*"])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    result = run(Request("org/model", plan_only=True))
    assert "index.missing-file" in {finding.code for finding in result.findings if finding.severity == "error"}
