"""From the wish to see values to what was seen: nothing is read unasked, a stop is heard, what fails is one line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.hostile import framed
from tests.tracer.values.checkpoints import opened, raw
from tests.tui.model.pages import WIDTHS, prose, text
from tracer.checkpoint.folder import Checkpoint, open_checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import InputError
from tracer.values.pieces import PIECE
from tui.model.numbers.asking import Asking
from tui.model.numbers.look import FREE, Stopped, look
from tui.model.numbers.page import values
from tui.model.numbers.state import Values
from tui.model.opening import open_subject


def info_of(checkpoint: Checkpoint, name: str) -> TensorInfo:
    return next(tensor for tensor in checkpoint.tensors if tensor.name == name)


def read(asking: Asking, checkpoint: Checkpoint, info: TensorInfo) -> Values:
    """Wish, confirm where it is asked, and read to the end."""
    assert asking.wish(checkpoint, info) or asking.wish(checkpoint, info)
    asking.read(checkpoint, info, asking.heard)
    return asking.state


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    numbers = np.random.default_rng(7).standard_normal(PIECE // 4 + 5)
    tensors = {"f32": raw("F32", numbers[: 65 * 161].reshape(65, 161)), "long": raw("F32", numbers)}
    return opened(tmp_path_factory.mktemp("values"), tensors)


# --- asking, reading, stopping ---


@pytest.fixture
def large(tmp_path: Path) -> tuple[Checkpoint, TensorInfo]:
    """Just above what is read without a question; a hole, so that it takes no place."""
    count = FREE // 4 + 1
    header = framed(json.dumps({"w": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}).encode())
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(header)
        file.truncate(len(header) + 4 * count)
    checkpoint = open_checkpoint(tmp_path)
    return checkpoint, checkpoint.tensors[0]


def test_much_is_read_only_when_it_was_asked_and_confirmed(large: tuple[Checkpoint, TensorInfo]) -> None:
    (checkpoint, info), asking = large, Asking()
    stages = [(asking.wish(checkpoint, info), asking.state.stage) for _ in range(2)]
    assert stages == [(False, "asks"), (True, "reads")]
    asking = Asking()
    asking.wish(checkpoint, info)
    asking.stop()
    assert asking.state.stage == "idle"
    assert not asking.wish(checkpoint, info), "what was declined is asked again"


def test_little_is_read_at_once(checkpoint: Checkpoint) -> None:
    asking = Asking()
    state = read(asking, checkpoint, info_of(checkpoint, "f32"))
    assert state.stage == "done" and state.look and state.look.statistics.count == 65 * 161


def test_another_tensor_has_its_own_question(large: tuple[Checkpoint, TensorInfo]) -> None:
    (checkpoint, info), asking = large, Asking()
    other = TensorInfo("v", "F32", info.shape, info.file, info.offset, info.nbytes)
    asking.wish(checkpoint, info)
    assert asking.of(other).stage == "idle" and not asking.wish(checkpoint, other)
    assert asking.state.info == other and asking.of(info).stage == "idle"


def test_the_same_tensor_opened_again_keeps_what_was_read_of_it(checkpoint: Checkpoint) -> None:
    asking, info = Asking(), info_of(checkpoint, "f32")
    read(asking, checkpoint, info)
    again = info_of(open_checkpoint(checkpoint.files.folder or Path()), "f32")
    assert again is not info and asking.of(again).stage == "done"


def test_reading_stops_between_two_pieces_and_says_how_far_it_came(large: tuple[Checkpoint, TensorInfo]) -> None:
    (checkpoint, info), told = large, list[tuple[int, int]]()
    with pytest.raises(Stopped):
        look(checkpoint, info, lambda *so_far: told.append(so_far), lambda: len(told) == 3)
    assert told == [(n * PIECE, info.nbytes) for n in (1, 2, 3)]


def test_a_stop_before_the_thread_began_is_not_lost(checkpoint: Checkpoint) -> None:
    asking, said, info = Asking(), list[Values](), info_of(checkpoint, "long")
    assert asking.wish(checkpoint, info)
    asking.stop()
    asking.read(checkpoint, info, said.append)
    assert said == [] and asking.state.stage == "stopped"


def test_a_thread_that_begins_after_another_wish_reads_nothing(checkpoint: Checkpoint) -> None:
    asking, said = Asking(), list[Values]()
    first, second = info_of(checkpoint, "long"), info_of(checkpoint, "f32")
    asking.wish(checkpoint, first)
    asking.wish(checkpoint, second)
    asking.read(checkpoint, first, said.append)
    assert said == []
    asking.read(checkpoint, second, said.append)
    assert [state.stage for state in said] == ["done"]


def test_what_a_thread_says_after_it_was_stopped_changes_nothing(checkpoint: Checkpoint) -> None:
    asking, info = Asking(), info_of(checkpoint, "f32")
    asking.wish(checkpoint, info)
    late = asking.state
    asking.stop()
    assert not asking.heard(late) and asking.state.stage == "stopped"


def test_progress_is_told_now_and_then_and_of_both(
    large: tuple[Checkpoint, TensorInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, info = large
    monkeypatch.setattr("tui.model.numbers.asking.EVERY", 0.0)
    asking, said = Asking(other=checkpoint), list[Values]()
    assert not asking.wish(checkpoint, info) and asking.state.total == 2 * info.nbytes
    assert asking.wish(checkpoint, info)
    asking.read(checkpoint, info, said.append)
    done = [state.done for state in said]
    assert done == sorted(done) and done[-1] == 2 * info.nbytes
    assert any(done > info.nbytes for done in done[:-1]) and "134.22 MB" in text(values(said[0]))
    assert said[-1].look and said[-1].beside and said[-1].look.statistics.digest == said[-1].beside.statistics.digest


# --- what stands against it ---


def test_made_up_bytes_traces_and_files_that_are_not_here_are_not_read(checkpoint: Checkpoint) -> None:
    made_up = open_subject(None, 1, lambda subject: None)
    asking = Asking()
    assert not asking.wish(made_up.checkpoint, made_up.tensors[0])
    assert asking.state.why == "there is no file: the bytes are made up"
    assert not asking.wish(None, info_of(checkpoint, "f32"))
    assert asking.state.why == "a trace has no values: open the checkpoint that was loaded"
    away = TensorInfo("w", "F32", (4,), "model-00001.safetensors", None, 16)
    assert not asking.wish(checkpoint, away)
    assert "· not checked: model-00001.safetensors is not here" in text(values(asking.state))


Damage = Callable[[Path], Any]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "shrunken": (lambda path: os.truncate(path, 200), "changed"), "gone": (Path.unlink, "gone"),
    "written anew": (lambda path: path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0"), "changed"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_another_by_now_is_one_line_and_no_numbers(damage: str, tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, {"w": raw("F32", np.ones((50, 50)))})
    path = tmp_path / "model.safetensors"
    os.utime(path, (1, 1))
    checkpoint = open_checkpoint(tmp_path)
    DAMAGES[damage][0](path)
    state = read(Asking(), checkpoint, checkpoint.tensors[0])
    assert state.stage == "cannot" and state.look is None and "model.safetensors" in state.why
    assert "\n" not in state.why


def test_a_file_that_shrinks_while_it_is_read_is_one_line(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, {"w": raw("F32", np.ones(PIECE))})

    def cut(done: int, total: int) -> None:
        os.truncate(tmp_path / "model.safetensors", 2 * PIECE)

    with pytest.raises(InputError, match=r"model\.safetensors"):
        look(checkpoint, checkpoint.tensors[0], cut, lambda: False)


# --- what they are ---


QUANTISED = {
    "gptq": {"qweight": "I32", "qzeros": "I32", "scales": "F16", "g_idx": "I32"},
    "awq": {"qweight": "I32", "qzeros": "I32", "scales": "F16"},
    "packed": {"weight_packed": "I32", "weight_scale": "BF16"}, "bitnet": {"weight": "U8", "weight_scale": "BF16"},
    "blocks": {"weight": "F8_E4M3", "weight_scale_inv": "F32"}, "fp8": {"weight": "F8_E4M3", "weight_scale": "F32"},
    "whole": {"weight": "F32", "bias": "F32"},
}  # fmt: skip
TOLD = {
    "packed, not the weights: codes of gptq": ["gptq.qweight", "gptq.qzeros"],
    "packed, not the weights: codes of gptq or awq": ["awq.qweight", "awq.qzeros"],
    "packed, not the weights: codes of compressed-tensors": ["packed.weight_packed", "bitnet.weight"],
    "before scaling: the weights are these times weight_scale_inv": ["blocks.weight"],
    "before scaling: the weights are these times weight_scale": ["fp8.weight"],
}


def test_numbers_that_are_not_the_weights_say_what_they_are_and_others_say_nothing(tmp_path: Path) -> None:
    kinds = {f"{module}.{leaf}": dtype for module, leaves in QUANTISED.items() for leaf, dtype in leaves.items()}
    checkpoint = opened(tmp_path, {name: raw(dtype, np.ones((4, 4))) for name, dtype in kinds.items()})
    for info in checkpoint.tensors:
        shown = text(values(read(Asking(), checkpoint, info)), 120)
        expected = next((told for told, names in TOLD.items() if info.name in names), None)
        assert (f"! {expected}\n" in shown) if expected else not any(told in shown for told in TOLD), info.name


# --- beside another ---


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Checkpoint]:
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    numbers = np.linspace(0.1, 1, 64).reshape(8, 8)
    a = opened(one, {"w": raw("F32", numbers), "same": raw("F32", numbers), "only": raw("F32", numbers)})
    return a, opened(two, {"w": raw("BF16", numbers * 2), "same": raw("F32", numbers)})


def test_what_differs_from_the_other_is_marked_in_words_at_every_width(pair: tuple[Checkpoint, Checkpoint]) -> None:
    asking = Asking(other=pair[1])
    state = read(asking, pair[0], pair[0].tensors[0])
    for width in WIDTHS:
        lines = {line[:12].strip(): line[12:] for line in text(values(state), width).splitlines()}
        for label in ("kept as", "min, max", "mean, std"):
            assert lines[label].count("≠") == 2, (label, width)
        assert "≠" not in lines["numbers"] + lines["zeros"] + lines["finite"]
        assert "≠" not in lines["digest"], "of another dtype it cannot be the same"
    titles = [line for line in text(values(state), 120).splitlines() if line.startswith(("histogram", "first", "pic"))]
    assert [line.split()[1] for line in titles] == ["this", str(pair[1].files.title)] * 3


def test_equal_tensors_are_not_marked(pair: tuple[Checkpoint, Checkpoint]) -> None:
    state = read(Asking(other=pair[1]), pair[0], info_of(pair[0], "same"))
    assert "≠" not in text(values(state), 120)


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_how_many_elements_differ_and_by_how_much_is_what_numpy_says(dtype: str, tmp_path: Path) -> None:
    numbers = np.arange(-32, 32, dtype=np.float64).reshape(8, 8)
    others = numbers.copy()
    others[2, 3:6] += 0.5, -3, 1
    a, b = ({"w": raw("F32", numbers)}, {"v": raw(dtype, others)})
    one, two = (opened(_made(tmp_path / name), own) for name, own in (("a", a), ("b", b)))
    state = read(Asking(other=two, twins={"w": two.tensors[0]}), one, one.tensors[0])
    differing, largest = np.count_nonzero(numbers != others), np.abs(numbers - others).max()
    for width in WIDTHS:
        assert f"{differing} of 64 elements differ, the largest difference {largest:g}" in prose(values(state), width)
    lines = {line[:12].strip(): line[12:].split() for line in text(values(state), 120).splitlines()}
    assert lines["tensor"] == ["w", "v"]
    assert ("≠" in lines["digest"]) == ("≠" not in lines["kept as"]) == (dtype == "F32")


def test_tensors_of_two_shapes_are_not_compared_by_element(tmp_path: Path) -> None:
    one = opened(_made(tmp_path / "a"), {"w": raw("F32", np.ones((4, 6)))})
    two = opened(_made(tmp_path / "b"), {"w": raw("F32", np.ones((6, 4)))})
    shown = text(values(read(Asking(other=two), one, one.tensors[0])), 120)
    assert "F32 (4, 6)" in shown and "F32 (6, 4)" in shown and "not compared by element: their shapes differ" in shown


def test_equal_elements_are_said_to_be_so(pair: tuple[Checkpoint, Checkpoint]) -> None:
    state = read(Asking(other=pair[1]), pair[0], info_of(pair[0], "same"))
    assert "all 64 elements are equal" in text(values(state), 120)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_what_the_other_does_not_have_is_said_and_the_own_is_shown(pair: tuple[Checkpoint, Checkpoint]) -> None:
    state = read(Asking(other=pair[1]), pair[0], info_of(pair[0], "only"))
    for width in WIDTHS:
        shown = "".join(prose(values(state), width).split())  # a long path is broken where the line ends
        told = f"· not beside another: no tensor of this name in {pair[1].files.title}"
        assert told.replace(" ", "") in shown and "digest" in shown


def test_another_whose_file_is_gone_does_not_take_the_own_numbers_with_it(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
    tensors = {"w": raw("F32", np.ones((4, 4)))}
    asking = Asking(other=opened(other, tensors))
    checkpoint = opened(own, tensors)
    (other / "model.safetensors").unlink()
    state = read(asking, checkpoint, checkpoint.tensors[0])
    assert state.stage == "done" and state.look and state.beside is None and "model.safetensors" in state.other
