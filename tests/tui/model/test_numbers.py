"""Values of one tensor: what is shown is what another reader makes of the same bytes, and nothing is read unasked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fixtures import gguf, pickles
from fixtures.hostile import framed
from tests.tracer.values.checkpoints import Raw, opened, raw
from tests.tui.model.pages import WIDTHS, prose, text
from tracer.checkpoint.folder import Checkpoint, open_checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import InputError
from tracer.values.pieces import PIECE
from tui.model.columns import wide
from tui.model.line import Heat, plain
from tui.model.numbers.asking import Asking
from tui.model.numbers.heat import LEVELS, SHADES, heat_lines
from tui.model.numbers.look import FIRST, FREE, Look, Stopped, hindrance, look
from tui.model.numbers.page import values
from tui.model.numbers.state import Values
from tui.model.opening import open_subject

NAN, INF = float("nan"), float("inf")


def seen(checkpoint: Checkpoint, name: str) -> Look:
    return look(checkpoint, info_of(checkpoint, name), lambda done, total: None, lambda: False)


def info_of(checkpoint: Checkpoint, name: str) -> TensorInfo:
    return next(tensor for tensor in checkpoint.tensors if tensor.name == name)


def one(folder: Path, tensor: Raw) -> Look:
    return seen(opened(folder, {"w": tensor}), "w")


def page(found: Look, width: int = 80, beside: Look | None = None, other: str = "", colours: bool = True) -> str:
    return text(values(Values(found.info, "done", look=found, beside=beside, other=other), colours), width)


def read(asking: Asking, checkpoint: Checkpoint, info: TensorInfo) -> Values:
    """Wish, confirm where it is asked, and read to the end."""
    assert asking.wish(checkpoint, info) or asking.wish(checkpoint, info)
    asking.read(checkpoint, info, asking.heard)
    return asking.state


# --- what is read ---


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    odd = rng.standard_normal((70, 333)).astype(ml_dtypes.bfloat16)
    odd[3, 4], odd[5, 6], odd[7, 8] = NAN, INF, -INF
    return {
        "f32": rng.standard_normal((65, 161)).astype(np.float32), "bf16": odd,
        "cube": rng.standard_normal((3, 50, 400)).astype(np.float16),
        "long": rng.standard_normal(PIECE // 4 + 5).astype(np.float32), "flags": rng.random((9, 7)) < 0.3,
        "whole": rng.integers(-(2**62), 2**62, (4, 33)), "packed": rng.integers(0, 2**32, 40, dtype=np.uint32),
    }  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("values")
    save_file(arrays, folder / "model.safetensors")
    return open_checkpoint(folder)


@pytest.mark.parametrize("name", ["f32", "bf16", "cube", "long", "flags", "whole", "packed"])
def test_the_first_elements_are_those_that_safetensors_reads(name: str, checkpoint: Checkpoint) -> None:
    folder = checkpoint.files.folder
    assert folder is not None
    again = load_file(folder / "model.safetensors")[name].ravel()[:FIRST]
    found = seen(checkpoint, name).first
    assert len(found) == len(again) and np.array_equal(np.array(found), again.astype(type(found[0])), equal_nan=True)


@pytest.mark.parametrize("name", ["f32", "bf16", "cube", "flags"])
def test_a_cell_of_the_picture_is_the_mean_magnitude_of_what_is_finite_in_it(
    name: str, arrays: dict[str, np.ndarray], checkpoint: Checkpoint
) -> None:
    matrix = np.abs(arrays[name].astype(np.float64)).reshape(-1, arrays[name].shape[-1])
    heat = seen(checkpoint, name).heat
    assert heat is not None and heat.shape == (min(64, len(matrix)), min(160, matrix.shape[1]))
    rows = np.arange(len(matrix)) * heat.shape[0] // len(matrix)
    columns = np.arange(matrix.shape[1]) * heat.shape[1] // matrix.shape[1]
    for row in range(heat.shape[0]):
        for column in range(0, heat.shape[1], 7):
            cell = matrix[np.ix_(rows == row, columns == column)]
            assert heat[row, column] == pytest.approx(cell[np.isfinite(cell)].mean())


def test_a_cell_of_which_nothing_is_finite_is_no_number(tmp_path: Path) -> None:
    found = one(tmp_path, raw("F32", np.array([[1, NAN, INF], [2, -INF, 4]])))
    assert found.heat is not None and np.array_equal(found.heat, [[1, NAN, NAN], [2, NAN, 4]], equal_nan=True)


@pytest.mark.parametrize("shape", [(), (5,), (1, 5), (5, 1), (1, 1, 9), (0,), (0, 4), (4, 0)])
def test_what_is_no_matrix_has_numbers_and_no_picture(shape: tuple[int, ...], tmp_path: Path) -> None:
    found = one(tmp_path, raw("F32", np.ones(shape)))
    assert found.heat is None and found.statistics.count == len(found.first) == np.ones(shape).size
    for width in WIDTHS:
        shown = page(found, width)
        assert f"numbers     {np.ones(shape).size}" in shown and "not checked" not in shown


def test_complex_numbers_are_shown_as_such_and_as_no_picture(tmp_path: Path) -> None:
    found = one(tmp_path, raw("C64", np.array([[1 + 2j, -3j], [0.5, 4]])))
    assert found.first == (1 + 2j, -3j, 0.5 + 0j, 4 + 0j) and found.heat is None
    assert "1+2j" in page(found)


def test_two_f4_elements_share_a_byte_the_first_in_its_lower_half(tmp_path: Path) -> None:
    found = one(tmp_path, Raw("F4", (2, 4), bytes([0x21, 0x43, 0x65, 0xF7])))
    assert list(found.first) == [0.5, 1, 1.5, 2, 3, 4, 6, -6]
    assert found.heat is not None and found.heat.tolist() == [[0.5, 1, 1.5, 2], [3, 4, 6, 6]]


def test_a_dtype_that_cannot_be_read_has_a_reason_and_no_numbers(tmp_path: Path) -> None:
    found = one(tmp_path, Raw("F6_E2M3", (4, 4), bytes(12)))
    assert found.first == () and found.heat is None
    shown = page(found)
    assert "none: dtype F6_E2M3" in shown and "· not checked" in shown and "✓" not in shown and "histogram" not in shown


def test_blocks_of_gguf_are_what_ggmls_own_package_makes_of_them(tmp_path: Path) -> None:
    dequantize = pytest.importorskip("gguf.quants").dequantize
    data = np.random.default_rng(3).integers(0, 60, (6, 3 * 34), np.uint8)  # Q8_0: a scale and 32 bytes, three a row
    stored = gguf.Stored("blk.0.w", "Q8_0", (6, 96), data.tobytes())
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf.document({"general.architecture": gguf.Typed("str", "llama")}, [stored]))
    checkpoint = open_checkpoint(path)
    numbers = dequantize(data, 8)
    found = seen(checkpoint, "blk.0.w")
    assert found.info.shape == numbers.shape == (6, 96)
    assert np.array_equal(found.first, numbers.ravel()[:FIRST])
    assert found.heat is not None and np.allclose(found.heat, np.abs(numbers))


def test_a_transposed_pickle_is_read_as_it_is_stored_and_one_with_gaps_is_not(tmp_path: Path) -> None:
    numbers = np.arange(1.0, 17.0, dtype="<f4")
    body = pickles.mapping({
        "turned": pickles.tensor(shape=(4, 4), strides=(1, 4)), "gaps": pickles.tensor(shape=(4, 2), strides=(4, 1)),
    })  # fmt: skip
    (tmp_path / "pytorch_model.bin").write_bytes(pickles.zip_of(body, {"data/0": numbers.tobytes()}))
    checkpoint = open_checkpoint(tmp_path)
    found = seen(checkpoint, "turned")
    assert found.first == tuple(numbers) and found.heat is None
    assert hindrance(checkpoint, info_of(checkpoint, "gaps")) == "its strides leave gaps or repeat elements"


# --- the page ---


@pytest.mark.parametrize("width", [20, *WIDTHS])
@pytest.mark.parametrize("colours", [False, True])
def test_the_page_has_room_at_every_width(width: int, colours: bool, checkpoint: Checkpoint) -> None:
    for tensor in checkpoint.tensors:
        found = seen(checkpoint, tensor.name)
        shown = page(found, width, found, "another", colours)
        assert "histogram" in shown and "first" in shown


def test_integers_are_shown_whole(tmp_path: Path) -> None:
    """Of a packed one every bit counts."""
    shown = page(one(tmp_path, raw("I32", np.array([2004318071, -1, 7]))))
    assert "2004318071 -1 7" in shown


def test_it_says_how_many_elements_are_shown_and_these_are_shown(checkpoint: Checkpoint) -> None:
    for width in WIDTHS:
        lines = page(seen(checkpoint, "long"), width).splitlines()
        at = next(n for n, line in enumerate(lines) if line.startswith("first"))
        shown = " ".join(lines[at + 1 :]).split()
        assert lines[at] == f"first  {len(shown)} of {PIECE // 4 + 5:,}, in the order of the bytes"
        first = seen(checkpoint, "long").first
        assert np.allclose([float(x) for x in shown], first[: len(shown)], rtol=1e-4)


def test_bars_of_the_histogram_are_as_long_as_the_numbers_in_their_octave_are_many(tmp_path: Path) -> None:
    numbers = np.array([1.0] * 80 + [-2.5] * 40 + [9.0] * 10 + [0.0] * 7)
    lines = page(one(tmp_path, raw("F32", numbers)), 106).splitlines()
    bars = {line.split()[0]: (len(line.split("..")[1].split()[0]), line.split()[-1]) for line in lines if ".." in line
            and "█" in line}  # fmt: skip
    assert bars == {"1": (80, "80"), "2": (40, "40"), "8": (10, "10")}
    assert any(line.split() == ["4", "..", "0"] for line in lines), "an octave of which there is nothing has no bar"


def test_what_there_is_one_of_among_millions_still_has_a_bar(tmp_path: Path) -> None:
    numbers = np.array([1.0] * 100_000 + [64.0])
    line = next(line for line in page(one(tmp_path, raw("F32", numbers))).splitlines() if line.strip().startswith("64"))
    assert line.split() == ["64", "..", "▏", "1"]


@pytest.mark.parametrize("numbers", [np.zeros((3, 5)), np.full((3, 5), NAN), np.full((3, 5), INF)])
def test_zeros_and_what_is_no_number_have_a_page(numbers: np.ndarray, tmp_path: Path) -> None:
    for colours in (False, True):
        shown = page(one(tmp_path, raw("F32", numbers)), 60, colours=colours)
        assert ("✗ 15 NaN or infinite" in shown) == (not np.isfinite(numbers).all())


def test_sums_beyond_all_numbers_are_the_largest_of_the_picture(tmp_path: Path) -> None:
    numbers = np.full((200, 2), 1e308)
    numbers[100:] = 1e-3
    for colours in (False, True):
        assert "picture" in page(one(tmp_path, raw("F64", numbers)), 60, colours=colours)


def test_pages_before_anything_is_read_say_what_to_do() -> None:
    info = TensorInfo("w", "F32", (4, 4), "model.safetensors", 0, 64)
    for width in (20, *WIDTHS):
        assert "choose a tensor" in text(values(Values()), width) or width == 20
    assert "· not read: v reads 64 bytes" in text(values(Values(info)))
    assert "! 64 bytes would be read: v once more reads it, Esc does not" in text(values(Values(info, "asks")))
    assert "16 bytes of 64 bytes, Esc stops" in text(values(Values(info, "reads", 16)))
    assert "· stopped after 16 bytes of 64 bytes; v reads again" in text(values(Values(info, "stopped", 16)))
    why = "no bytes " * 30
    for width in WIDTHS:
        assert prose(values(Values(info, "cannot", why=why)), width).endswith(f"· not checked: {why}".rstrip())


# --- the picture ---


def heat_text(means: list[list[float]], width: int = 80) -> list[str]:
    return [plain(line) for line in heat_lines(means, width, False)]


def test_without_colours_shades_grow_by_decades_and_zeros_are_blank() -> None:
    assert heat_text([[0, 1e-4, 1e-3, 1e-2, 1e-1, 1]]) == [SHADES[0] + "░▒▓██"]
    assert heat_text([[NAN, 1]]) == ["?█"]


def test_with_colours_a_character_is_two_rows_and_no_number_is_hidden_behind_one() -> None:
    def roles(means: list[list[float]]) -> list[list[tuple[str, str, str | None]]]:
        return [[(span.text, span.role, span.under) for span in line] for line in heat_lines(means, 80, True)]

    low: Heat = LEVELS[0]
    high: Heat = LEVELS[-1]
    assert roles([[1.0, 10.0], [10.0, 1.0]]) == [[("▀", low, high), ("▀", high, low)]]
    assert roles([[1.0, 10.0], [10.0, 1.0], [1.0, 1.0]])[1] == [("▀", low, None)] * 2
    assert roles([[NAN], [1.0]]) == roles([[1.0], [NAN]]) == [[("?", "bad", None)]]


def test_what_has_no_room_is_squeezed_and_what_is_no_number_stays_to_be_seen() -> None:
    means = [[1.0] * 99 + [NAN] + [100.0] * 100]
    for width in (1, 7, 40, 150):
        (line,) = heat_text(means, width)
        assert wide(line) == width and "?" in line and (width == 1 or line.endswith("█"))


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
        for label in ("min, max", "mean, std", "digest"):
            assert lines[label].count("≠") == 2, (label, width)
        assert "≠" not in lines["numbers"] + lines["zeros"] + lines["finite"]
    titles = [line for line in text(values(state), 120).splitlines() if line.startswith(("histogram", "first", "pic"))]
    assert [line.split()[1] for line in titles] == ["this", str(pair[1].files.title)] * 3


def test_equal_tensors_are_not_marked(pair: tuple[Checkpoint, Checkpoint]) -> None:
    state = read(Asking(other=pair[1]), pair[0], info_of(pair[0], "same"))
    assert "≠" not in text(values(state), 120)


def test_what_the_other_does_not_have_is_said_and_the_own_is_shown(pair: tuple[Checkpoint, Checkpoint]) -> None:
    state = read(Asking(other=pair[1]), pair[0], info_of(pair[0], "only"))
    for width in WIDTHS:
        shown = prose(values(state), width)
        assert f"· not beside another: no tensor of this name in {pair[1].files.title}" in shown and "digest" in shown


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
