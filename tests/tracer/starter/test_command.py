"""`tracer mappings new` as a user runs it, and on published checkpoints whose architecture nobody here knows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from mappings.architectures import BUILT_IN
from mappings.userfile import parse_mapping
from tests.corpus import described, materialise, slugs
from tests.tracer.starter.computing import Tensors, computes_as, other_names, sound
from tests.tracer.starter.shelves import config_of, renamed, shapes_of, shelve, tensors
from tests.tracer.starter.written import ledger
from tracer.checkpoint.folder import open_checkpoint
from tracer.cli import main
from tracer.errors import InputError
from tracer.prepare.completing import completed
from tracer.starter import Starter, starter

KNOWN = {name for arch in BUILT_IN for name in (arch.name, *arch.also)}
CONFIG = {**config_of("llama"), "architectures": ["OwnForCausalLM"]}
CHANGES = (("self_attn", "attention"), ("mlp", "feed_forward"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A Llama of an unknown class whose modules have other names."""
    shapes = {renamed(name, CHANGES): shape for name, shape in shapes_of(tensors("llama")).items()}
    return shelve(tmp_path / "model", CONFIG, shapes)


def computes(text: str, more: Tensors | None = None) -> None:
    """As the Llama does that it is under other names; `more` is beside it."""
    stored = other_names(sound("llama").stored, CHANGES) | (more or {})
    computes_as(sound("llama"), text, CONFIG, stored)


def test_the_file_goes_to_stdout_with_its_counts_as_comments(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mappings", "new", str(model)]) == 0
    out = capsys.readouterr().out
    assert parse_mapping(out, BUILT_IN).name == "OwnForCausalLM"
    assert "# OwnForCausalLM like LlamaForCausalLM: 21 of 21 names are claimed; 7 rows" in out
    assert "# 0 TODO, 0 assumed" in out
    computes(out)


def test_the_file_is_what_trace_load_takes(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.toml"
    assert main(["load", str(model), "--plan"]) == 1
    assert main(["mappings", "new", str(model), "--output", str(rows)]) == 0
    printed = capsys.readouterr().out
    assert f"trace-load {model} --mapping {rows}" in printed
    assert main(["load", str(model), "--plan", "--tp", "2", "--mapping", str(rows)]) == 0
    assert main(["load", str(model), "--tp", "2", "--load-format", "dummy", "--mapping", str(rows)]) == 0
    computes(rows.read_text())


def test_what_is_left_to_do_is_counted_and_the_exit_status_says_so(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((model / "config.json").read_text())
    shapes = {renamed(name, CHANGES): shape for name, shape in shapes_of(tensors("llama")).items()}
    shelve(model, config, shapes | {"vision_tower.proj.weight": (3, 3)})
    assert main(["mappings", "new", str(model)]) == 1
    out = capsys.readouterr().out
    assert "21 of 22 names are claimed" in out
    assert "# 1 TODO, 0 assumed" in out
    assert len(re.findall(r"^# TODO vision_tower", out, re.MULTILINE)) == 2, "in the file, and in the summary"
    computes(out, {"vision_tower.proj.weight": torch.ones(3, 3)})


def test_records_say_the_same(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mappings", "new", str(model), "--json", "-"]) == 0
    head, *entries = map(json.loads, capsys.readouterr().out.splitlines())
    assert (head["kind"], head["claimed"], head["names"], head["loads"]) == ("starter", 21, 21, True)
    rows = [entry["name"] for entry in entries if entry["kind"] == "row"]
    assert rows == [row.name for row in parse_mapping(head["text"], BUILT_IN).rows if row.source == "--mapping"]
    computes(head["text"])


@pytest.mark.parametrize(("argv", "said"), [
    (["new"], "new: expected a MODEL behind it"),
    (["new", "/no/where"], "/no/where: no such file or folder"),
    (["LlamaForCausalLM", "model"], "model: expected only after `new`"),
    (["LlamaForCausalLM", "--output", "rows.toml"], "--output: expected only after `new`"),
    (["new", ""], "MODEL is empty"),
])  # fmt: skip
def test_bad_usage_is_one_line(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mappings", *argv]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_nothing_is_written_into_a_checkpoint(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mappings", "new", str(model), "--output", str(model / "rows.toml")]) == 2
    assert not (model / "rows.toml").exists()


def started(slug: str, folder: Path) -> Starter | None:
    """The starter of a published checkpoint of an unknown class; None where its class is known, or nothing is here."""
    try:
        if (described(slug, "config.json").get("architectures") or [""])[0] in KNOWN:
            return None
        checkpoint = open_checkpoint(materialise(slug, folder / slug))
    except (InputError, ValueError):
        return None
    if checkpoint.config is None or not checkpoint.names:
        return None
    config, _ = completed(checkpoint.config, checkpoint.files)
    return None if config["architectures"][0] in KNOWN else starter(checkpoint, config)


def test_published_checkpoints_of_unknown_classes_give_files_that_parse_and_counts_that_are_true(
    tmp_path: Path,
) -> None:
    """Headers without numbers, of classes that nothing here computes: there is nothing to run them with."""
    seen, of_gguf = 0, set()
    for slug in slugs()[1::3]:
        architecture = str(described(slug, "gguf.json").get("kv", {}).get("general.architecture", slug))
        if architecture in of_gguf:
            continue
        of_gguf.add(architecture)
        found = started(slug, tmp_path)
        if found is None:
            continue
        seen += 1
        parse_mapping(found.text, BUILT_IN)
        ledger.uncomputed(found, numberless=True)
        assert found.claimed <= found.total
        assert found.trial.plan is not None, slug
        unclaimed = [c for c in found.trial.plan.claims if c.owner is None]
        assert len(unclaimed) == found.total - found.claimed
        assert not unclaimed or (found.draft.todo and not found.loads), f"{slug}: what is left is left silently"
    assert seen >= 12
