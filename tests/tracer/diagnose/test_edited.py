"""Changes in memory have their inverses, and leave what they were made from as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.written import write
from tracer.checkpoint.files import LocalFiles
from tracer.checkpoint.folder import Checkpoint, open_checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diagnose.edited import edited
from tracer.repair.changes import Cut, Drop, Join, RemoveField, Rename, SetField, Transform

NAMES = [f"layers.{layer}.{leaf}" for layer in range(3) for leaf in ("a.weight", "b.weight", "b.bias")]
SHAPES = st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple)


def held(shapes: Sequence[tuple[int, ...]]) -> Checkpoint:
    pairs = zip(NAMES[: len(shapes)], shapes, strict=True)
    tensors = [TensorInfo(name, "F32", shape, "model.safetensors", 0, 4) for name, shape in pairs]
    return Checkpoint(LocalFiles(Path()), {"a": 1, "b": {"c": 2}}, tensors=tensors, names=[t.name for t in tensors])


def shapes_of(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tensor.shape for tensor in checkpoint.tensors}


CHECKPOINTS = st.lists(SHAPES, min_size=3, max_size=9).map(held)


@given(CHECKPOINTS, st.permutations(range(9)))
def test_names_go_there_and_back_those_that_change_places_too(checkpoint: Checkpoint, order: list[int]) -> None:
    own = checkpoint.names
    there = {name: own[place] for name, place in zip(own, (p for p in order if p < len(own)), strict=True)}
    back = {new: old for old, new in there.items()}
    after = edited(edited(checkpoint, [Rename(there)]), [Rename(back)])
    assert shapes_of(after) == shapes_of(checkpoint)
    assert set(after.names) == set(own)


@given(CHECKPOINTS, st.data())
def test_what_is_cut_and_joined_has_its_shape_again(checkpoint: Checkpoint, data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(checkpoint.tensors))
    axis = data.draw(st.integers(0, len(whole.shape) - 1))
    place = data.draw(st.integers(0, whole.shape[axis]))
    parts = {"one": (0, place), "other": (place, whole.shape[axis])}
    apart = edited(checkpoint, [Cut(whole.name, axis, parts)])
    assert {"one", "other"} <= set(apart.names)
    assert whole.name not in apart.names
    again = edited(apart, [Join(("one", "other"), whole.name, axis)])
    assert shapes_of(again) == shapes_of(checkpoint)


@given(CHECKPOINTS, st.data())
def test_experts_are_unstacked_and_stacked(checkpoint: Checkpoint, data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(checkpoint.tensors))
    parts = {f"expert.{step}": (step, step + 1) for step in range(whole.shape[0])}
    apart = edited(checkpoint, [Cut(whole.name, 0, parts, drop_axis=True)])
    assert {shapes_of(apart)[name] for name in parts} == {whole.shape[1:]}
    again = edited(apart, [Join(tuple(parts), whole.name, 0, new_axis=True)])
    assert shapes_of(again) == shapes_of(checkpoint)


@given(CHECKPOINTS)
def test_twice_transposed_is_as_before_and_other_values_have_no_other_header(checkpoint: Checkpoint) -> None:
    turn = Transform(tuple(checkpoint.names[:2]), "transpose")
    assert shapes_of(edited(checkpoint, [turn, turn])) == shapes_of(checkpoint)
    assert shapes_of(edited(checkpoint, [Transform(turn.names, "add", amount=1.0)])) == shapes_of(checkpoint)


@given(CHECKPOINTS)
def test_fields_are_set_and_removed_wherever_they_are_and_the_config_that_was_read_is_not_touched(
    checkpoint: Checkpoint,
) -> None:
    after = edited(checkpoint, [SetField("b.c", 3), SetField("d.e", True), RemoveField("a")])
    assert after.config == {"b": {"c": 3}, "d": {"e": True}}
    assert checkpoint.config == {"a": 1, "b": {"c": 2}}


@given(CHECKPOINTS)
def test_what_is_dropped_is_gone_and_nothing_else(checkpoint: Checkpoint) -> None:
    gone, *rest = checkpoint.names
    after = edited(checkpoint, [Drop((gone,), "not needed")])
    assert after.names == rest
    assert list(shapes_of(after)) == rest


def test_an_index_is_renamed_with_its_names(tmp_path: Path) -> None:
    folder = write(tmp_path, CONFIGS["llama"].config)
    opened = open_checkpoint(folder)
    assert edited(opened, [Rename({"lm_head.weight": "head.weight"})]).index is None
    assert "lm_head.weight" in opened.names
