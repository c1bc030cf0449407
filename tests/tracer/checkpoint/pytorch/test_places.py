"""Where bytes are: the directory and the local headers agree, also past 4 GiB, and few requests find them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch

from fixtures.pickles import Wide, legacy_of, mapping, storage, tensor, wide_zip, zip_of
from mappings.proof.bytes import prove_bytes
from tracer.checkpoint.header import Header
from tracer.checkpoint.pytorch import read
from tracer.errors import InputError


class Remote(io.BytesIO):
    """A file each of whose reads is a request."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.requests: list[tuple[int, int]] = []

    def read(self, count: int | None = -1, /) -> bytes:
        start = self.tell()
        found = super().read(count)
        self.requests.append((start, start + len(found)))
        return found


def _read_remote(content: bytes) -> tuple[Header, Remote]:
    file = Remote(content)
    return read(file, len(content), "model.bin", "model.bin"), file


def _read_local(content: bytes, folder: Path) -> Header:
    path = folder / "model.bin"
    path.write_bytes(content)
    with path.open("rb") as file:
        return read(file, len(content), "model.bin", "model.bin")


def _saved(count: int, *, zipped: bool) -> bytes:
    target = io.BytesIO()
    state = {f"layers.{i}.weight": torch.full((300 + i,), i) for i in range(count)} | {"none": torch.empty(0)}
    torch.save(state, target, _use_new_zipfile_serialization=zipped)
    return target.getvalue()


def test_a_remote_file_gives_the_same_places(tmp_path: Path) -> None:
    content = _saved(30, zipped=True)
    remote, _ = _read_remote(content)
    local = _read_local(content, tmp_path)
    assert [t for t in remote.tensors if t.nbytes] == [t for t in local.tensors if t.nbytes]
    assert prove_bytes(remote.spans).findings == prove_bytes(local.spans).findings == []


@pytest.mark.parametrize("count", [3, 100])
def test_an_archive_takes_five_requests_and_no_byte_of_a_tensor(count: int) -> None:
    header, file = _read_remote(_saved(count, zipped=True))
    assert len(file.requests) == 5
    for info in header.tensors:
        assert info.offset is not None
        assert all(stop <= info.offset or start >= info.offset + info.nbytes for start, stop in file.requests)


def test_a_legacy_file_is_not_listed_from_afar() -> None:
    """It does not say where its pickles end, and not a byte of a tensor is to be fetched."""
    with pytest.raises(InputError, match="download it"):
        _read_remote(_saved(400, zipped=False))


def test_records_past_4_gib(tmp_path: Path) -> None:
    """A sparse file: offsets and a size that only 64 bits hold, where torch finds them too."""
    path = tmp_path / "model.bin"
    count = 2**30 + 2**20
    body = mapping({"big": tensor(storage("0", count), shape=(count,)), "last": tensor(storage("1"))})
    with path.open("wb") as file:
        wide_zip(file, body, [Wide("archive/data/0", 1024, 4 * count), Wide("archive/data/1", 4 * count + 4096, 64)])
    with path.open("rb") as file:
        header = read(file, path.stat().st_size, path.name, str(path))
    offsets = {info.name: info.offset or 0 for info in header.tensors}
    assert offsets["last"] > 2**32
    with path.open("rb+") as file:
        for number, offset in enumerate([offsets["big"], offsets["last"]]):
            file.seek(offset)
            file.write(torch.tensor([1.5 + number]).numpy().tobytes())
    loaded = torch.load(path, mmap=True, weights_only=True)
    assert (loaded["big"][0], loaded["last"][0]) == (1.5, 2.5)


def test_a_gap_between_records_is_a_hole(tmp_path: Path) -> None:
    """Bytes that no record claims are what proof 6 is for; the directory alone could not tell."""
    path = tmp_path / "model.bin"
    with path.open("wb") as file:
        wide_zip(file, mapping({"w": tensor()}), [Wide("archive/data/0", 1024, 64)])
    with path.open("rb") as file:
        header = read(file, path.stat().st_size, path.name, str(path))
    assert [found.code for found in prove_bytes(header.spans).findings] == ["header.hole"] * 2


def test_a_storage_without_tensors_is_said() -> None:
    header, _ = _read_remote(zip_of(mapping({"w": tensor()}), {"data/0": bytes(64), "data/7": bytes(40)}))
    (found,) = header.findings
    assert (found.code, found.severity, found.evidence["storages"]) == ("header.hole", "warning", ["7"])


def test_a_file_that_shrinks_while_it_is_read() -> None:
    content = legacy_of(mapping({"w": tensor()}))
    with pytest.raises(InputError, match="shorter"):
        read(io.BytesIO(content[:100]), len(content), "model.bin", "model.bin")
