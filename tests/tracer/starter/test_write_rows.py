"""Rows that `tracer diagnose --write-rows` leaves behind: `--mapping` takes them, and they do what was said of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mappings.architectures import BUILT_IN
from mappings.userchecks import MappingFileError
from mappings.userfile import parse_mapping
from mappings.views import Shape
from tests.catalogue import fusing, missing_rows, prefixes
from tests.catalogue.case import Case
from tests.mappings.small import CONFIGS
from tests.tracer.starter.shelves import by_file, placed, placed_by_built_in, shapes_of, shelve, tensors
from tests.tracer.starter.test_rows import rows_for
from tracer.cli import main

Shapes = dict[str, Shape]
CASES = [*missing_rows.CASES, *prefixes.CASES, *fusing.CASES]


@pytest.mark.parametrize("case", CASES[::3], ids=lambda case: case.id)
def test_what_was_written_parses_and_the_status_is_as_without(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, rows = str(case.make().write(tmp_path / "model")), tmp_path / "rows.toml"
    asked = ["diagnose", model, "--no-values"]
    assert main([*asked, "--write-rows", str(rows)]) == main(asked)
    assert "rows written to" in (printed := capsys.readouterr().out) or "rows not written:" in printed
    if rows.exists():
        parse_mapping(rows.read_text(), BUILT_IN)
        assert ("but it does not load" in printed) == (main(["load", model, "--plan", "--mapping", str(rows)]) == 1)


def test_rows_that_no_file_can_have_are_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise MappingFileError("[[param]] a: name is that of a parameter to which rows lead")

    monkeypatch.setattr("tracer.starter.trial.parse_mapping", refused)
    model = str(shelve(tmp_path / "m", CONFIGS["llama"].config, shapes_of(tensors("llama"))))
    assert main(["diagnose", model, "--no-values", "--write-rows", str(tmp_path / "r.toml")]) == 0
    assert capsys.readouterr().out.endswith("rows not written: [[param]] a: name is that of a parameter to which rows"
                                            " lead\n")  # fmt: skip
    assert main(["mappings", "new", model]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "r.toml").exists()


def in_layer(layer: int, old: str, new: str) -> Callable[[str], str]:
    """Another name in one layer."""
    return lambda name: name.replace(old, new) if f".layers.{layer}." in name else name


@pytest.mark.parametrize(("old", "new"), [
    (".self_attn.", ".attention."), ("mlp.gate_proj", "mlp.gate"), ("input_layernorm", "norm_a"),
])  # fmt: skip
def test_tensors_that_have_another_name_in_some_layers_go_where_they_always_went(
    old: str, new: str, tmp_path: Path
) -> None:
    spelled = in_layer(1, old, new)
    found = rows_for(tmp_path, "llama", lambda shapes: {spelled(name): shape for name, shape in shapes.items()})
    assert found.loads, found.trial.errors
    assert not found.draft.params, "nothing is new in it"
    renamed = [tensor._replace(name=spelled(tensor.name)) for tensor in tensors("llama")]
    mine = placed(by_file(found.text, CONFIGS["llama"].config, renamed, 2), 1)
    theirs = placed_by_built_in("llama", 2, 1)
    assert mine.keys() == theirs.keys()
    for name, ids in theirs.items():
        np.testing.assert_array_equal(mine[name], ids, err_msg=name)


def joined(shapes: Shapes, into: str, *parts: str) -> Shapes:
    """Tensors of these parts, end to end in each layer."""
    found = dict(shapes)
    for name in shapes:
        if f".{parts[0]}." in name:
            own = [found.pop(name.replace(parts[0], part)) for part in parts]
            found[name.replace(parts[0], into)] = (sum(shape[0] for shape in own), *own[0][1:])
    return found


@pytest.mark.parametrize(("into", "parts"), [
    ("qkv_proj", ("q_proj", "k_proj", "v_proj")), ("gate_up_proj", ("gate_proj", "up_proj")),
])  # fmt: skip
def test_parts_that_are_one_tensor_on_disk_fill_the_parameter_of_the_parts(
    into: str, parts: tuple[str, ...], tmp_path: Path
) -> None:
    found = rows_for(tmp_path, "llama", lambda shapes: joined(shapes, into, *parts))
    assert found.loads, found.trial.errors
    assert [row.param.rpartition(".")[2] for row in found.draft.rows] == [into]
    assert found.draft.assumed, "by head they would have this shape too"


def test_half_of_a_gated_pair_is_a_parameter_of_its_own_where_the_other_half_is_not_here(tmp_path: Path) -> None:
    """As Starcoder2's feed-forward, of which an up-projection is all that is like one that is gated."""
    shapes = {n: s for n, s in shapes_of(tensors("llama")).items() if "gate_proj" not in n}
    shapes = {name.replace("up_proj", "c_fc").replace("down_proj", "c_proj"): shape for name, shape in shapes.items()}
    model = shelve(tmp_path / "m", {**CONFIGS["llama"].config, "architectures": ["OwnForCausalLM"]}, shapes)
    assert main(["mappings", "new", str(model), "--output", str(tmp_path / "r.toml")]) == 0
    assert main(["load", str(model), "--plan", "--mapping", str(tmp_path / "r.toml")]) == 0


def test_what_stands_against_a_file_is_in_it_as_left_to_do(tmp_path: Path) -> None:
    found = rows_for(tmp_path, "llama", lambda shapes: {n: s for n, s in shapes.items() if "layers.1.mlp.up" not in n})
    assert not found.loads
    told = [subject for subject, _ in found.draft.todo]
    assert told == ["model.layers.1.mlp.gate_up_proj.weight"]
    assert f"# TODO {told[0]}" in found.text
