"""What ranks on other machines must have prepared alike, and what may differ there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from tests import small_llama
from tracer import agreement
from tracer.errors import InputError
from tracer.prepare import Request, prepare

SAME = ": all ranks must load the same checkpoint in the same way"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama.write(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def other(folder: Path, tmp_path: Path) -> Path:
    """The same on another machine: another path, copied at another time."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    os.utime(copy / "model.safetensors", (1, 1))
    return copy


def checked(mine: Request, theirs: Request) -> None:
    """What rank 0 agreed on goes through JSON on its way."""
    agreement.check(prepare(theirs), json.loads(json.dumps(agreement.terms(prepare(mine)))))


def configure(folder: Path, changes: Mapping[str, Any]) -> None:
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_paths_times_and_values_may_differ(folder: Path, other: Path) -> None:
    """Values cannot be compared without reading both machines' files."""
    rewrite(other, lambda tensors: tensors["lm_head.weight"].fill(7.0))
    checked(Request(str(folder), 2), Request(str(other), 2))


def test_the_first_difference_of_a_header_is_that_of_its_file(folder: Path, other: Path) -> None:
    rewrite(other, lambda tensors: tensors.pop("lm_head.weight"))
    with pytest.raises(InputError) as caught:
        checked(Request(str(folder), 2), Request(str(other), 2))
    assert str(caught.value).startswith("model.safetensors: expected ")
    assert " bytes, 21 tensors, header " in str(caught.value)
    assert " bytes, 20 tensors, header " in str(caught.value)
    assert str(caught.value).endswith(SAME)


@pytest.mark.parametrize(("changes", "said"), [
    ({"rms_norm_eps": 0.5}, "config.json: rms_norm_eps: expected nothing, found 0.5"),
    ({"torch_dtype": "bfloat16"}, "the data type of parameters: expected F32, found BF16"),
])  # fmt: skip
def test_another_config_is_told_by_its_field(
    folder: Path, other: Path, changes: dict[str, Any], said: str
) -> None:  # fmt: skip
    configure(other, changes)
    with pytest.raises(InputError) as caught:
        checked(Request(str(folder), 2), Request(str(other), 2))
    assert str(caught.value) == said + SAME


@pytest.mark.parametrize(("options", "said"), [
    ({"load_format": "safetensors"}, "--load-format: expected auto, found safetensors"),
    ({"plan_only": True}, "--plan: expected not given, found given"),
    ({"dtype": "float16"}, "the data type of parameters: expected F32, found F16"),
    ({"overrides": '{"rope_theta": 5.0}'}, "config.json: rope_theta: expected nothing, found 5.0"),
])  # fmt: skip
def test_other_options_are_told(folder: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        checked(Request(str(folder), 2), Request(str(folder), 2, **options))
    assert str(caught.value) == said + SAME


def test_own_rows_are_part_of_it(folder: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.toml"
    rows.write_text('architecture = "OtherForCausalLM"\nlike = "LlamaForCausalLM"\n')
    with pytest.raises(InputError, match=r"^the rows: expected null, found "):
        checked(Request(str(folder)), Request(str(folder), mapping=str(rows)))


def test_the_commit_counts_where_both_know_theirs(folder: Path) -> None:
    prepared = prepare(Request(str(folder)))
    agreed = agreement.terms(prepared)
    agreed["commit"] = {"the revision": "a" * 40}
    agreement.check(prepared, agreed)
    assert prepared.checkpoint is not None
    prepared.checkpoint.files.commit = "b" * 40  # type: ignore[misc]  # as of a snapshot
    with pytest.raises(InputError, match=r"^the revision: expected aaaa"):
        agreement.check(prepared, agreed)


def test_very_many_files_are_told_in_one_word(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Terms travel in one message, which has a limit."""
    monkeypatch.setattr(agreement, "MOST_FILES", 0)
    assert list(agreement.terms(prepare(Request(str(folder))))["files"]) == ["the 1 files"]
