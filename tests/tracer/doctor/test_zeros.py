"""Space that was reserved and never filled, told from zeros that belong to a model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.tracer.doctor.told import Told, write_json, write_safetensors
from tracer.report.checks import summary

ROWS, COLUMNS = 512, 1024
ROW = 2 * COLUMNS
TENSORS = {f"layers.{n}.weight": ("BF16", (ROWS, COLUMNS)) for n in range(4)}
EACH = ROWS * ROW


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_json(tmp_path / "config.json", {"architectures": ["StrangeModel"]})
    write_safetensors(tmp_path / "model.safetensors", TENSORS)
    return tmp_path


def blank(path: Path, start: int, stop: int | None = None, *, hole: bool = False) -> None:
    """Zeros from one byte of the data to another; as a hole, where that is asked for."""
    size = path.stat().st_size
    data = size - len(TENSORS) * EACH
    end = size if stop is None else data + stop
    content = path.read_bytes()
    kept, after = content[: data + start], content[end:]
    if hole:
        path.unlink()
        with path.open("wb") as file:
            file.write(kept)
            file.seek(end)
            file.write(after)
            file.truncate(size)
    else:
        path.write_bytes(kept + bytes(end - data - start) + after)


def test_a_file_with_values_has_nothing_to_be_said(folder: Path) -> None:
    told = Told(folder)
    assert told.codes("error", "warning") == set()
    assert "a sample" in told.check("zeros").unchecked


@pytest.mark.parametrize("hole", [False, True])
@pytest.mark.parametrize("start", [EACH // 2 + 100, 3 * EACH - 4096 * 5 - 1000, 2 * EACH + ROW // 2])
def test_zeros_from_the_middle_of_a_row_to_the_end_are_an_error(start: int, hole: bool, folder: Path) -> None:
    blank(folder / "model.safetensors", start, hole=hole)
    found = Told(folder)["file.truncated"]
    size = (folder / "model.safetensors").stat().st_size
    assert found.severity == "error"
    assert found.evidence["start"] == size - len(TENSORS) * EACH + start
    assert found.evidence["stop"] == size


def test_a_row_that_ends_in_a_few_zeros_is_no_cut(folder: Path) -> None:
    blank(folder / "model.safetensors", 3 * EACH + EACH // 4 - 20)
    assert Told(folder).codes("error", "warning") == set()


def test_matrices_of_zeros_at_the_end_are_a_warning(folder: Path) -> None:
    blank(folder / "model.safetensors", 3 * EACH)
    found = Told(folder)["file.truncated"]
    assert found.severity == "warning"
    assert found.evidence["tensors"] == ["layers.3.weight"]


@pytest.mark.parametrize("rows", [1, 40, 500])
def test_padding_rows_at_the_end_are_nothing(rows: int, folder: Path) -> None:
    blank(folder / "model.safetensors", 4 * EACH - rows * ROW)
    assert Told(folder).codes("error", "warning") == set()


def test_a_file_of_zeros_that_takes_its_space_is_an_error(folder: Path) -> None:
    blank(folder / "model.safetensors", 0)
    assert Told(folder)["value.all-zero"].severity == "error"


def test_a_stub_of_nothing_but_a_header_is_worth_knowing(folder: Path) -> None:
    path = folder / "model.safetensors"
    size = path.stat().st_size
    os.truncate(path, size - len(TENSORS) * EACH)
    os.truncate(path, size)
    found = Told(folder)["value.all-zero"]
    assert found.severity == "info"
    assert "were never written" in found.message


def test_a_file_of_zeros_beside_others_with_values_is_an_error(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    write_safetensors(folder / "model-00001-of-00002.safetensors", {"a.weight": ("BF16", (ROWS, COLUMNS))})
    zeros = {"b.weight": bytes(EACH)}
    write_safetensors(folder / "model-00002-of-00002.safetensors", {"b.weight": ("BF16", (ROWS, COLUMNS))}, zeros)
    found = Told(folder)["value.all-zero"]
    assert (found.severity, found.subject) == ("error", "model-00002-of-00002.safetensors")


# --- larger and smaller files ---

LARGE = {f"layers.{n}.weight": ("BF16", (2048, 2048)) for n in range(4)}  # 8 MiB each


def large(tmp_path: Path, start: int, stop: int | None = None, values: bool = True) -> Told:
    write_json(tmp_path / "config.json", {"architectures": ["StrangeModel"]})
    path = write_safetensors(tmp_path / "model.safetensors", LARGE)
    data = path.stat().st_size - (1 << 25)
    with path.open("r+b") as file:
        if not values:
            file.truncate(data)
            file.truncate(data + (1 << 25))
        else:
            file.seek(data + start)
            file.write(bytes((stop or 1 << 25) - start))
    return Told(tmp_path)


def test_a_stretch_of_zeros_in_the_middle_that_ends_inside_of_a_row_is_an_error(tmp_path: Path) -> None:
    found = large(tmp_path, 10_000_300, 20_000_300)["file.truncated"]
    assert (found.severity, found.evidence["stop"] - found.evidence["start"]) == ("error", 10_000_000)
    assert found.evidence["tensors"] == []


def test_rows_of_zeros_in_the_middle_are_no_hole(tmp_path: Path) -> None:
    assert large(tmp_path, 9 << 20, 14 << 20).codes("error", "warning") == set()


def test_many_matrices_of_zeros_up_to_the_end_are_an_error_wherever_they_begin(tmp_path: Path) -> None:
    found = large(tmp_path, 8 << 20)["file.truncated"]
    assert (found.severity, len(found.evidence["tensors"])) == ("error", 3)


def test_a_verdict_on_large_files_that_were_never_written_begins_with_that(tmp_path: Path) -> None:
    told = large(tmp_path, 0, values=False)
    assert summary(told.checks).startswith("no weights are here (33,5")
    assert told["value.all-zero"].severity == "info"  # headers are published without their data, and are no fault


def test_the_end_of_a_small_file_is_read_to_the_byte(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"architectures": ["StrangeModel"]})
    path = write_safetensors(tmp_path / "model.safetensors", {f"{n}.weight": ("BF16", (64, 64)) for n in range(10)})
    content = path.read_bytes()
    path.write_bytes(content[:-50_000] + bytes(50_000))
    found = Told(tmp_path)["file.truncated"]
    assert (found.severity, found.evidence["start"]) == ("error", len(content) - 50_000)
