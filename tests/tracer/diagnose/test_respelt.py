"""Names without their leaf, and names that a few layers spell in another way than their peers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.test_names import mended, names_of
from tests.tracer.diagnose.written import codes, diagnosed, write
from tracer.repair.changes import Rename


@pytest.mark.parametrize("ending", ["mlp.down_proj.weight", "proj.weight", "self_attn.o_proj.weight"])
def test_names_of_modules_get_their_leaf_back(ending: str, tmp_path: Path) -> None:
    def cut(name: str) -> str:
        return name.removesuffix(".weight") if name.endswith(ending) else name

    found = diagnosed(write(tmp_path, CONFIGS["llama"].config, cut))
    ((code, _),) = codes(found)
    assert code == "name.rewrite"
    assert "put `.weight` behind" in str(found.causes[0].finding.fix)
    assert mended(found) == names_of("llama")


@pytest.mark.parametrize(("old", "new"), [("gate_proj", "gate"), ("q_proj", "wq"), ("input_layernorm", "ln")])
def test_one_layer_is_named_beside_its_peers(old: str, new: str, tmp_path: Path) -> None:
    def other(name: str) -> str:
        return name.replace(old, new) if ".layers.1." in name else name

    found = diagnosed(write(tmp_path, {**CONFIGS["llama"].config, "num_hidden_layers": 4}, other))
    ((code, subject),) = codes(found)
    assert code == "name.rewrite"
    assert subject.startswith("model.layers.1.")
    assert new in subject
    message = found.causes[0].finding.message
    assert f"replace `{new}` by `{old}`" in message
    assert "in the 3 other layers" in message
    stages = [change for stage in found.stages for change in stage]
    assert [list(change.names.values()) for change in stages if isinstance(change, Rename)] == [
        [subject.replace(new, old)]
    ]


def test_what_may_be_either_of_two_is_not_renamed(tmp_path: Path) -> None:
    """gate and up have one shape, and `a` and `b` say nothing of which is which."""

    def other(name: str) -> str:
        return name.replace("gate_proj", "a").replace("up_proj", "b") if ".layers.1." in name else name

    found = diagnosed(write(tmp_path, CONFIGS["llama"].config, other))
    assert "name.rewrite" not in {code for code, _ in codes(found)}


@pytest.mark.parametrize(("lost", "others"), [
    ("model.layers.1.self_attn.q_proj.weight", "of its kind are here"), ("model.norm.weight", "take the file anew"),
])  # fmt: skip
def test_what_is_lost_is_to_be_looked_for(lost: str, others: str, tmp_path: Path) -> None:
    found = diagnosed(write(tmp_path, CONFIGS["llama"].config, lambda name: None if name == lost else name))
    fix = str(found.causes[0].finding.fix)
    assert "look for it in the other files" in fix
    assert others in fix


def test_what_no_layer_has_is_not_said_to_be_lost(tmp_path: Path) -> None:
    found = diagnosed(write(tmp_path, CONFIGS["llama"].config, lambda name: None if "q_proj" in name else name))
    assert not any("other files" in str(cause.finding.fix) for cause in found.causes)
