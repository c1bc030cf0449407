"""A repository on the Hub is examined from its headers; what is not here is not checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fixtures.hostile import HOSTILE
from tests.hub_server import HubServer
from tracer.checks import findings
from tracer.cli import main
from tracer.doctor import examine


def test_a_sound_repository_has_nothing_wrong(hub: HubServer, model: Path) -> None:
    hub.add("org/model", model)
    examined = examine("org/model")
    assert [finding for finding in findings(examined.checks) if finding.severity != "info"] == []
    states = {check.name: check.state for check in examined.checks}
    assert states.items() >= {"files": "ok", "index": "ok", "names": "ok", "shapes": "ok"}.items()
    assert states["zeros"] == "not-checked"


def test_no_more_than_headers_is_fetched(hub: HubServer, model: Path) -> None:
    hub.add("org/model", model)
    examine("org/model")
    for file in model.glob("*.safetensors"):
        assert sum(stop - start for start, stop in hub.served(file.name)) < file.stat().st_size / 10


def test_every_damaged_file_is_told_and_the_others_are_examined(
    hub: HubServer, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(model, tmp_path / "copy")
    first, second, _ = sorted(folder.glob("*.safetensors"))
    HOSTILE["web_page"].write(first)
    HOSTILE["cut_in_the_data"].write(second)
    hub.add("org/broken", folder)
    assert main(["doctor", "org/broken", "--json", "-"]) == 1
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    errors = {each["code"] for each in records if each["kind"] == "finding" and each["severity"] == "error"}
    assert errors == {"file.html", "file.truncated"}
    assert any(each["kind"] == "check" and each["name"] == "names" and each["reason"] for each in records)


def test_pickles_beside_the_model_are_not_passed_over(hub: HubServer, model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model, tmp_path / "copy")
    (folder / "training_args.bin").write_bytes(b"\x80\x02cos\nsystem\n.")
    hub.add("org/trained", folder)
    (pickles,) = [check for check in examine("org/trained").checks if check.name == "pickles"]
    assert pickles.unchecked.startswith("1 pickle beside the model (training_args.bin)")
