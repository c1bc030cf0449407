"""Reading long runs gives what copying through the map gives, from the bytes of the views and no others."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from engine.loading.runs import LONG, PROBE, OpenFile, Reader, runs
from tracer.checkpoint.weights import MappedFile

ROWS, COLUMNS = 24, LONG // 4
"""Rows of half a long run in bf16."""


class Counted(MappedFile):
    """Notes which bytes are read rather than mapped."""

    spans: list[tuple[int, int]]

    def read_into(self, offset: int, into: memoryview) -> None:
        self.spans.append((offset, offset + len(into)))
        super().read_into(offset, into)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 bytes of something else, then a table of `ROWS` x `COLUMNS`."""
    file = tmp_path_factory.mktemp("runs") / "weights"
    table = torch.randint(0, 256, (2 * ROWS * COLUMNS,), dtype=torch.uint8)
    file.write_bytes(bytes(16) + table.numpy().tobytes())
    return file


def opened(path: Path) -> tuple[Counted, torch.Tensor]:
    mapped = Counted(path)
    mapped.spans = []
    return mapped, torch.frombuffer(mapped, dtype=torch.int16, offset=16).view(ROWS, COLUMNS)


VIEWS = {
    "whole": lambda x: x,
    "rows": lambda x: x[6:18],
    "columns": lambda x: x[:, : COLUMNS // 2],
    "blocks of rows": lambda x: x.view(3, 8, COLUMNS)[:, 2:6],
    "transposed": lambda x: x.t(),
    "short": lambda x: x[3:4],
    "one element": lambda x: x[2, 5],
}


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("view", VIEWS)
def test_a_read_copies_what_copy_does_and_touches_only_the_views_bytes(path: Path, view: str, threads: int) -> None:
    mapped, table = opened(path)
    source = VIEWS[view](table)
    dst = torch.zeros(source.shape, dtype=table.dtype)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    reader = Reader()
    try:
        reader.copying(dst, source, OpenFile(mapped, small_pages=True))()
    finally:
        reader.finish()
        torch.set_num_threads(before)
    assert torch.equal(dst, source)
    read = sorted(mapped.spans)
    assert all(stop <= start for (_, stop), (start, _) in pairwise(read))
    expected = source.nbytes if view in ("whole", "rows", "blocks of rows") else 0
    assert sum(stop - start for start, stop in read) == expected


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")
@pytest.mark.parametrize(("faults", "small"), [(0, False), (1, False), (2, False), (8, True), (16, True), (256, True)])
def test_a_file_is_read_where_the_first_touch_of_its_pages_faults_often(
    path: Path, faults: int, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Per megabyte: large pages fault once or twice, smaller ones for every 32, or 16, or for each."""
    mapped, table = opened(path)
    megabytes = min(table.nbytes, PROBE) / 2**20
    counts = iter([1000, 1000 + int(faults * megabytes)])
    monkeypatch.setattr("engine.loading.runs.getrusage", lambda _: SimpleNamespace(ru_minflt=next(counts)))
    file, dst = OpenFile(mapped), torch.zeros(table.shape, dtype=table.dtype)
    reader = Reader()
    reader.copying(dst, table, file)()
    reader.finish()
    assert torch.equal(dst, table)
    assert bool(mapped.spans) == small
    assert file.in_small_pages(table) == small  # seen once, not counted again


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")
def test_what_is_not_in_the_file_or_is_another_type_is_copied(path: Path) -> None:
    mapped, table = opened(path)
    for source, dtype in ((table.clone(), torch.int16), (table, torch.int32)):
        dst = torch.zeros(table.shape, dtype=dtype)
        reader = Reader()
        reader.copying(dst, source, OpenFile(mapped, small_pages=True))()
        reader.finish()
        assert torch.equal(dst, source.to(dtype))
    assert mapped.spans == []


def test_short_rows_are_not_taken_apart() -> None:
    wide = torch.empty(4096, 2048, dtype=torch.bfloat16)
    assert len(list(runs(torch.empty(4096, 1024, dtype=torch.bfloat16), wide[:, :1024]))) == 1
