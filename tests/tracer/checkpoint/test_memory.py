"""What a hostile file costs: never more than 200 MB, whatever it says and however large it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.gguf import Typed, head, pair, string
from fixtures.hostile import entry, file_of, framed
from fixtures.pickles import mapping, tensor, zip_of
from tests.fuzz.limits import bounded
from tracer.checkpoint.folder import open_checkpoint
from tracer.checkpoint.json_object import READ_LIMIT
from tracer.checkpoint.safetensors import parse_header
from tracer.errors import InputError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds to a limit of the address space")
MODEL = "model.safetensors"


def hole(path: Path, beginning: bytes, size: int) -> None:
    with path.open("wb") as file:
        file.write(beginning)
        file.truncate(size)


def length_that_is_damaged(folder: Path) -> None:
    """Of gigabytes, as much as is read is said to be the header."""
    hole(folder / MODEL, READ_LIMIT.to_bytes(8, "little") + b'{"a":', 3 << 30)


def length_of_a_hundred_megabytes(folder: Path) -> None:
    hole(folder / MODEL, (10**8).to_bytes(8, "little") + b'{"a":', 3 << 30)


def many_files_with_damaged_lengths(folder: Path) -> None:
    """Of each the error is kept, and nothing of what was read."""
    for number in range(12):
        hole(folder / f"model-{number}.safetensors", READ_LIMIT.to_bytes(8, "little") + b'{"a":', 1 << 30)


def lists_of_nothing(folder: Path) -> None:
    """Three bytes each in the file, and seventy in memory."""
    (folder / MODEL).write_bytes(framed(b'{"a":[' + b"[]," * 8_000_000 + b"0]}"))


def one_wide_letter(folder: Path) -> None:
    """One letter beyond the others makes each of them take four bytes."""
    (folder / MODEL).write_bytes(framed(b'{"' + b"x" * 30_000_000 + "\U0001f600".encode() + b'":0}'))


def config_of_lists(folder: Path) -> None:
    (folder / "config.json").write_bytes(b'{"a":[' + b"[]," * 8_000_000 + b"0]}")


def index_without_end(folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    hole(folder / f"{MODEL}.index.json", b"{", READ_LIMIT + 1)


def lists_of_a_gguf(folder: Path) -> None:
    """Each of a length that is kept, and all together of too many numbers."""
    value = pair("", Typed("[u8]", [1] * 4000)).removeprefix(string(""))
    pairs = [string(f"k{number}") + value for number in range(8000)]
    (folder / "model.gguf").write_bytes(head(0, len(pairs)) + b"".join(pairs))


def wide_strings_of_a_pickle(folder: Path) -> None:
    one = b"X" + (1 << 20).to_bytes(4, "little") + b"x" * ((1 << 20) - 4) + "\U0001f600".encode()
    (folder / "pytorch_model.bin").write_bytes(zip_of(mapping({"w": tensor(), "x": b"](" + one * 55 + b"e"})))


@pytest.mark.parametrize(
    "make",
    [
        length_that_is_damaged, length_of_a_hundred_megabytes, many_files_with_damaged_lengths, lists_of_nothing,
        one_wide_letter, config_of_lists, index_without_end, lists_of_a_gguf, wide_strings_of_a_pickle,
    ],
)  # fmt: skip
def test_what_is_refused_costs_little(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path)
    with bounded(), pytest.raises(InputError):
        open_checkpoint(tmp_path)


def test_a_header_of_as_many_tensors_as_a_whole_model_has_is_read() -> None:
    """DeepSeek-V3's 92,000, were they in one file."""
    described = '{{"dtype":"BF16","shape":[2048,7168],"data_offsets":[{},{}]}}'
    size, names = 2 * 2048 * 7168, [f"model.layers.{n // 768}.mlp.experts.{n % 768}.w.weight" for n in range(92_000)]
    entries = (f'"{name}":{described.format(at * size, (at + 1) * size)}' for at, name in enumerate(names))
    content = framed(("{" + ",".join(entries) + "}").encode())
    with bounded():
        assert len(parse_header(content, len(content) + len(names) * size, MODEL).tensors) == len(names)


def test_an_index_of_200_000_tensors_is_read(tmp_path: Path) -> None:
    """As many as a model of a trillion parameters has, with scales and shapes beside its packed weights."""
    names = [f"model.layers.{n // 1000}.mlp.experts.{n % 1000}.gate_proj.weight_packed" for n in range(200_000)]
    homes = {name: f"model-{n % 62 + 1:05}-of-00062.safetensors" for n, name in enumerate(names)}
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / f"{MODEL}.index.json").write_text(json.dumps({"weight_map": homes}))
    with bounded():
        assert len(open_checkpoint(tmp_path).names) == len(homes)


def test_an_index_names_no_more_files_than_are_looked_for(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    homes = {f"t{number}": f"f{number}.safetensors" for number in range(100_001)}
    (tmp_path / f"{MODEL}.index.json").write_text(json.dumps({"weight_map": homes}))
    with pytest.raises(InputError, match="at most 100000 files, found 100001") as caught:
        open_checkpoint(tmp_path)
    assert caught.value.code == "index.invalid"


def test_metadata_of_null_is_none() -> None:
    """The reference reader takes it for that."""
    content = file_of({"__metadata__": None, "a": entry()})
    assert parse_header(content, len(content), MODEL).metadata == {}


def test_a_file_that_opens_and_cannot_be_read_is_an_error_in_one_line(tmp_path: Path) -> None:
    """As on a bad disk: the memory of this process has no byte at its beginning."""
    (tmp_path / MODEL).symlink_to("/proc/self/mem")
    with pytest.raises(InputError, match=f"{MODEL}: cannot be (read|opened): "):
        open_checkpoint(tmp_path)


def test_names_without_end_are_cut_in_messages(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / MODEL).write_bytes(file_of({"a": entry()}))
    (tmp_path / f"{MODEL}.index.json").write_text(json.dumps({"weight_map": {"x" * 70_000: MODEL}}))
    messages = [finding.message for finding in open_checkpoint(tmp_path).findings]
    assert any("x... (70,000 characters)" in message for message in messages)
    assert all(len(message) < 1000 for message in messages)
