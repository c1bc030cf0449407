"""What trainers leave: placeholders, slices with their arithmetic, wrapped names, and folders of a run."""

from __future__ import annotations

from math import prod
from pathlib import Path

import pytest

from fixtures.small_checkpoint import CONFIG, INDEX, sound, tensors
from tests.tracer.doctor.told import Told, write_json, write_safetensors
from tracer.doctor.trainers import WRAPPERS, unwrapped
from tracer.errors import InputError


def llama(folder: Path, found: dict[str, tuple[str, tuple[int, ...]]]) -> Told:
    write_json(folder / "config.json", CONFIG)
    write_safetensors(folder / "model.safetensors", found)
    return Told(folder)


def whole() -> dict[str, tuple[str, tuple[int, ...]]]:
    return {tensor.name: ("BF16", tuple(tensor.shape)) for tensor in tensors()}


def test_a_sound_model_has_nothing_of_the_kind(tmp_path: Path) -> None:
    assert llama(tmp_path, whole()).codes("error", "warning") == set()


def test_empty_weights_are_placeholders_of_zero_3(tmp_path: Path) -> None:
    hollow: dict[str, tuple[str, tuple[int, ...]]] = dict.fromkeys(whole(), ("BF16", (0,)))
    told = llama(tmp_path, hollow)
    assert told.status == 1
    assert told["trainer.placeholder"].message.startswith(f"{len(hollow)} of {len(hollow)} weights are empty")


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_one_ranks_slice_is_told_with_its_arithmetic(ranks: int, tmp_path: Path) -> None:
    elements = sum(prod(tensor.shape) for tensor in tensors())
    slice_ = -(-elements // ranks)
    told = llama(tmp_path, {"_fsdp_wrapped_module.flat_param": ("BF16", (slice_,))})
    found = told["trainer.flat-shard"]
    assert found.evidence["ranks"] == ranks
    assert f"{slice_:,} elements x {ranks} ranks = {slice_ * ranks:,}" in found.message


def test_a_slice_without_rows_is_told_without_arithmetic(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"architectures": ["StrangeModel"]})
    write_safetensors(tmp_path / "model.safetensors", {"layers.0.flat_param": ("BF16", (100,))})
    assert Told(tmp_path)["trainer.flat-shard"].evidence["ranks"] is None


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrapped_names_are_told_with_what_they_would_be(wrapper: str, tmp_path: Path) -> None:
    told = llama(tmp_path, {f"{wrapper}.{name}": shape for name, shape in whole().items()})
    found = told["name.rewrite"]
    assert found.evidence == {"wrappers": [wrapper], "tensors": len(whole())}
    assert unwrapped(found.subject) in whole()


def test_wrappers_inside_of_names_are_found_too(tmp_path: Path) -> None:
    inside = {name.replace("layers.", "layers._fsdp_wrapped_module."): shape for name, shape in whole().items()}
    assert "name.rewrite" in llama(tmp_path, inside).codes("error")


def test_a_trainers_files_beside_a_model_are_worth_knowing(tmp_path: Path) -> None:
    sound(tmp_path)
    (tmp_path / "trainer_state.json").write_text("{}")
    (tmp_path / "global_step100").mkdir()
    (tmp_path / "global_step100" / "zero_pp_rank_0_mp_rank_00_optim_states.pt").write_bytes(b"")
    told = Told(tmp_path)
    assert told.codes("error", "warning") == set()
    assert told["tensor.ignored"].message.startswith("a trainer's files are beside the model")


@pytest.mark.parametrize("file", ["__0_0.distcp", "global_step9/mp_rank_00_model_states.pt", "optimizer.pt"])
def test_nothing_but_a_trainers_files_is_no_model(file: str, tmp_path: Path) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_bytes(b"\x80\x02}.")
    told = Told(tmp_path)
    assert told.codes("error") == {"trainer.flat-shard"}
    assert "no model is here" in told["trainer.flat-shard"].message


def test_a_model_in_a_sub_folder_is_to_be_named(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-500").mkdir()
    sound(tmp_path / "checkpoint-500")
    with pytest.raises(InputError, match="in its sub-folders: checkpoint-500; name one"):
        Told(tmp_path)
    assert Told(tmp_path / "checkpoint-500").check("index").told.startswith(INDEX)
