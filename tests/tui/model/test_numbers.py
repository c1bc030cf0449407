"""Values of one tensor: what is shown is what another reader makes of the same bytes, and nothing is read unasked."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fixtures import gguf, pickles
from tests.tracer.values.checkpoints import Raw, opened, raw
from tests.tui.model.pages import WIDTHS, prose, text
from tracer.checkpoint.folder import Checkpoint, open_checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.values.pieces import PIECE
from tui.model.columns import wide
from tui.model.line import Heat, plain
from tui.model.numbers.heat import LEVELS, SHADES, heat_lines
from tui.model.numbers.look import FIRST, Look, hindrance, look
from tui.model.numbers.page import values
from tui.model.numbers.state import Values

NAN, INF = float("nan"), float("inf")


def seen(checkpoint: Checkpoint, name: str) -> Look:
    return look(checkpoint, info_of(checkpoint, name), lambda done, total: None, lambda: False)


def info_of(checkpoint: Checkpoint, name: str) -> TensorInfo:
    return next(tensor for tensor in checkpoint.tensors if tensor.name == name)


def one(folder: Path, tensor: Raw) -> Look:
    return seen(opened(folder, {"w": tensor}), "w")


def page(found: Look, width: int = 80, beside: Look | None = None, other: str = "", colours: bool = True) -> str:
    return text(values(Values(found.info, "done", look=found, beside=beside, other=other), colours), width)


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


@pytest.mark.parametrize(("dtype", "numbers", "told"), [
    ("F32", np.ones((2, 3)), "✓ all finite"), ("BF16", np.ones(1), "✓ all finite"),
    ("F32", np.ones((0, 5)), "· there are none to be looked at"), ("I32", np.ones((0, 5)), "· there are none"),
    ("I32", np.ones((4, 4)), "· as whole numbers always are"), ("BOOL", np.ones(4), "· as whole numbers always are"),
    ("F32", np.array([1, NAN]), "✗ 1 NaN"),
])  # fmt: skip
def test_only_what_could_be_otherwise_is_ticked_as_finite(
    dtype: str, numbers: np.ndarray, told: str, tmp_path: Path
) -> None:
    shown = page(one(tmp_path, raw(dtype, numbers)))
    (finite,) = (line for line in shown.splitlines() if line.startswith("finite"))
    assert finite.removeprefix("finite").strip().startswith(told) and ("✓" in shown) == told.startswith("✓")


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
        kind = "NaN" if np.isnan(numbers).all() else "inf"
        assert (f"✗ 15 {kind}, first at [0, 0]" in shown) == (not np.isfinite(numbers).all())


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
    nowhere = TensorInfo("w", "F32", (4, 4), None, None, 64)
    assert text(values(Values(nowhere))).endswith("· not read: it is in no file that is here")
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
