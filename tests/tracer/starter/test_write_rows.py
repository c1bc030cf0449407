"""Rows that `tracer diagnose --write-rows` leaves behind: `--mapping` takes them, and they do what was said of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from mappings.architectures import BUILT_IN
from mappings.synth import Synthetic, synthesise
from mappings.userchecks import MappingFileError
from mappings.userfile import parse_mapping
from mappings.views import Shape
from tests.catalogue import fusing, missing_rows, prefixes
from tests.catalogue.case import Case
from tests.mappings.small import CONFIGS, bind
from tests.tracer.starter.computing import (
    Sound,
    Tensors,
    computes_as,
    computes_in_parts_as,
    numbers,
    other_names,
    sound,
    taken_apart,
)
from tests.tracer.starter.shelves import (
    Names,
    by_file,
    config_of,
    placed,
    placed_by_built_in,
    shapes_of,
    shelve,
    tensors,
)
from tests.tracer.starter.test_rows import rows_for
from tests.tracer.starter.written import ledger
from tracer.checkpoint.folder import open_checkpoint
from tracer.cli import main
from tracer.starter import Starter

Shapes = dict[str, Shape]
CASES = [*missing_rows.CASES, *prefixes.CASES, *fusing.CASES]


class Undamaged(NamedTuple):
    """What a case of the catalogue was before."""

    rows: str
    changes: Names = ()
    """From its names to those of the rows."""
    of: str = ""
    """The class that computes it, where it is not that of the rows."""
    aside: str = ""
    """What the names of tensors end in that nothing applies."""

    def model(self, config: Mapping[str, Any], stored: Tensors) -> Sound:
        held = {name: tensor for name, tensor in stored.items() if not (self.aside and name.endswith(self.aside))}
        return Sound(self.rows, config, other_names(held, self.changes), self.of)


UNDAMAGED = {
    "A1-command-r-plus": Undamaged("MistralForCausalLM", of="CohereForCausalLM"),
    "A1-sub-norms": Undamaged("LlamaForCausalLM", aside="_sub_norm.weight"),
    "B5": Undamaged("Qwen3ForCausalLM", (("^model.language_model.", "model."),)),
    "B6": Undamaged("Mamba2ForCausalLM", (("^model.", "backbone."),)),
    "B7": Undamaged("LlamaForCausalLM", (("^model.lm_head.", "lm_head."),)),
    "B8": Undamaged("LlamaForCausalLM"),
}


def computes(case: Case, model: Path, found: Starter) -> None:
    """Numbers for the tensors of a case go through the rows for it, and through those of what it was before."""
    known = next(known for begin, known in UNDAMAGED.items() if case.id.startswith(begin))
    config = json.loads((model / "config.json").read_text())
    stored = numbers([Synthetic(t.name, "F32", tuple(t.shape)) for t in open_checkpoint(model).tensors])
    sound = known.model(config, stored)
    if not found.unapplied:
        computes_as(sound, found.text, config, stored)
        return
    more = computes_in_parts_as(sound, found.text, config, stored, tp=1)
    assert more.keys() == {name for name in stored if known.aside and name.endswith(known.aside)}
    assert all(param.equal(stored[name]) for name, param in more.items())


@pytest.mark.parametrize("case", CASES[::3], ids=lambda case: case.id)
def test_what_was_written_parses_and_the_status_is_as_without(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And it computes what the checkpoint did before; what does not load computes nothing, and says what it lacks."""
    model, rows = str(case.make().write(tmp_path / "model")), tmp_path / "rows.toml"
    asked = ["diagnose", model, "--no-values"]
    assert main([*asked, "--write-rows", str(rows)]) == main(asked)
    assert "rows written to" in (printed := capsys.readouterr().out) or "rows not written:" in printed
    if rows.exists():
        parse_mapping(rows.read_text(), BUILT_IN)
        assert ("but it does not load" in printed) == (main(["load", model, "--plan", "--mapping", str(rows)]) == 1)
        found = ledger.file(rows.read_text())
        if found.loads:
            computes(case, Path(model), found)
        else:
            ledger.uncomputed(found)


def test_rows_that_no_file_can_have_are_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise MappingFileError("[[param]] a: name is that of a parameter to which rows lead")

    monkeypatch.setattr("tracer.starter.trial.parse_mapping", refused)
    model = str(shelve(tmp_path / "m", config_of("llama"), shapes_of(tensors("llama"))))
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
    mine = placed(by_file(found.text, config_of("llama"), renamed, 2), 1)
    theirs = placed_by_built_in("llama", 2, 1)
    assert mine.keys() == theirs.keys()
    for name, ids in theirs.items():
        np.testing.assert_array_equal(mine[name], ids, err_msg=name)
    stored = {spelled(name): tensor for name, tensor in sound("llama").stored.items()}
    computes_as(sound("llama"), found.text, config_of("llama"), stored)


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
    stored = dict(sound("llama").stored)
    for layer in (0, 1):
        home = "self_attn" if into == "qkv_proj" else "mlp"
        own = [stored.pop(f"model.layers.{layer}.{home}.{part}.weight") for part in parts]
        stored[f"model.layers.{layer}.{home}.{into}.weight"] = torch.cat(own)
    computes_as(sound("llama"), found.text, config_of("llama"), stored)


def test_half_of_a_gated_pair_is_a_parameter_of_its_own_where_the_other_half_is_not_here(tmp_path: Path) -> None:
    """As Starcoder2's feed-forward, of which an up-projection is all that is like one that is gated.

    Arcee's is such a one in a block like Llama's, and computes with what was loaded.
    """
    sizes = {"hidden_size": 32, "head_dim": 4}
    config = {**CONFIGS["llama"].config, "architectures": ["OwnForCausalLM"], **sizes}
    arcee = [each for each in synthesise(bind("llama", **sizes)) if "gate_proj" not in each.name]
    model = Sound("LlamaForCausalLM", config, numbers(arcee), of="ArceeForCausalLM")
    stored = other_names(model.stored, (("up_proj", "c_fc"), ("down_proj", "c_proj")))
    folder = shelve(tmp_path / "m", config, {name: tuple(tensor.shape) for name, tensor in stored.items()})
    assert main(["mappings", "new", str(folder), "--output", str(tmp_path / "r.toml")]) == 0
    assert main(["load", str(folder), "--plan", "--mapping", str(tmp_path / "r.toml")]) == 0
    found, more = taken_apart((tmp_path / "r.toml").read_text(), config, stored, model, tp=1)
    assert {name.rpartition("mlp.")[2] for name in more} == {"c_fc.weight"}
    computed = model.computed(found | other_names(more, (("c_fc", "up_proj"),)))
    assert computed.equal(model.logits)


def test_what_stands_against_a_file_is_in_it_as_left_to_do(tmp_path: Path) -> None:
    """A layer lacks a matrix, and nothing computes without it."""
    found = rows_for(tmp_path, "llama", lambda shapes: {n: s for n, s in shapes.items() if "layers.1.mlp.up" not in n})
    assert not found.loads
    told = [subject for subject, _ in found.draft.todo]
    assert told == ["model.layers.1.mlp.gate_up_proj.weight"]
    assert f"# TODO {told[0]}" in found.text
    ledger.uncomputed(found)
