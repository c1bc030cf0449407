"""Every hostile file is refused for its reason, and nothing in any of them is run."""

from __future__ import annotations

import io
import pickle
import random
import re
import subprocess
import sys
from contextlib import suppress
from math import prod
from pathlib import Path

import pytest
import torch

from fixtures.hostile_archives import HOSTILE_ARCHIVES
from fixtures.hostile_pickles import CANARY, HOSTILE_PICKLES
from fixtures.pickles import ODD, legacy_of, mapping, storage, tensor, zip_of
from mappings.proof.bytes import prove_bytes
from tracer.checkpoint.header import Header
from tracer.checkpoint.pytorch import read
from tracer.checkpoint.pytorch.opcodes import read_pickle
from tracer.checkpoint.pytorch.refusal import Refusal
from tracer.errors import InputError

HOSTILE = HOSTILE_PICKLES | HOSTILE_ARCHIVES


def _read(content: bytes) -> Header:
    """As from a network: a file that only the directory describes."""
    return read(io.BytesIO(content), len(content), "model.bin", "folder/model.bin")


@pytest.mark.parametrize("name", HOSTILE)
def test_the_refusal_is_one_line_with_its_code_and_its_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    HOSTILE[name].write(path)
    with path.open("rb") as file, pytest.raises(InputError) as caught:
        read(file, path.stat().st_size, "model.bin", "folder/model.bin")
    assert caught.value.code == HOSTILE[name].code
    assert str(caught.value).startswith("folder/model.bin: ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_no_case_hides_another() -> None:
    assert len(HOSTILE) == len(HOSTILE_PICKLES) + len(HOSTILE_ARCHIVES)


def test_a_refused_global_is_named_with_its_byte() -> None:
    content = HOSTILE_PICKLES["eval_by_reduce"].make()
    with pytest.raises(InputError, match=r"refers to __builtin__\.eval, .* it was not run") as caught:
        _read(content)
    found = re.search(r"byte (\d+):", str(caught.value))
    assert found and content[int(found[1]) :].startswith(b"c__builtin__\neval\n")


_CHILD = """
import resource, sys
from pathlib import Path
from tracer.checkpoint.pytorch import read
from tracer.checkpoint.pytorch.opcodes import read_pickle
from tracer.checkpoint.pytorch.refusal import Refusal
from tracer.errors import InputError

resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
files = sorted(Path(sys.argv[1]).iterdir())
events = []
sys.addaudithook(lambda event, args: events.append(event))
for path in files:
    with path.open("rb") as file:
        try:
            read(file, path.stat().st_size, path.name, path.name)
        except InputError:
            pass
loud = ("pickle", "exec", "compile", "import", "os.", "subprocess", "code", "marshal", "socket", "ctypes", "shutil")
print(len(files), "pickle" in sys.modules, "torch" in sys.modules, [e for e in events if e.startswith(loud)])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits memory as only Unix can")
def test_nothing_runs_and_memory_stays_small(tmp_path: Path) -> None:
    """In a process of its own, limited to 1 GiB: no class is looked up, nothing imported, executed or started."""
    (tmp_path / "files").mkdir()
    makers = [case.make for case in HOSTILE.values()] + [odd.make for odd in ODD.values()]
    for number, make in enumerate(makers):
        (tmp_path / "files" / f"{number}.bin").write_bytes(make())
    arguments = [sys.executable, "-c", _CHILD, str(tmp_path / "files")]
    paths = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run(arguments, cwd=tmp_path, env=paths, capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""
    assert done.stdout == f"{len(makers)} False False []\n"
    assert not (tmp_path / CANARY).exists()


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(ODD[name].make())
    with path.open("rb") as file:
        header = read(file, path.stat().st_size, path.name, str(path))
    assert sorted(info.name for info in header.tensors) == ODD[name].names
    assert prove_bytes(header.spans).findings == []
    _expect_inside(header, path.stat().st_size)


def _expect_inside(header: Header, size: int) -> None:
    """Whatever was believed, no tensor leaves the file."""
    for info in header.tensors:
        assert info.offset is not None and 0 <= info.offset <= size
        if info.strides is None:
            assert info.offset + info.nbytes <= size
        elif info.nbytes:
            reach = sum((n - 1) * stride for n, stride in zip(info.shape, info.strides, strict=True)) + 1
            assert info.offset + reach * (info.nbytes // prod(info.shape)) <= size


def _saved(*, zipped: bool) -> bytes:
    target = io.BytesIO()
    base = torch.arange(60.0).view(6, 10)
    state = {f"layers.{i}.weight": base[i:] for i in range(6)} | {"t": base.t(), "h": base.half()}
    torch.save({"model": state, "step": 1}, target, _use_new_zipfile_serialization=zipped)
    return target.getvalue()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_cut_anywhere_is_refused(zipped: bool) -> None:
    content = _saved(zipped=zipped)
    for length in [*range(0, len(content), 97), *range(len(content) - 40, len(content))]:
        with pytest.raises(InputError) as caught:
            _read(content[:length])
        assert caught.value.code in ("file.empty", "file.truncated", "file.wrong-format"), (length, caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_changed_bytes_are_refused_or_harmless(zipped: bool) -> None:
    content = _saved(zipped=zipped)
    chance = random.Random(20_240_229)
    refused = 0
    for _ in range(2_000):
        changed = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(changed))] = chance.choice([0, 0xFF, chance.randrange(256)])
        try:
            _expect_inside(_read(bytes(changed)), len(changed))
        except InputError:
            refused += 1
    assert 200 < refused < 2_000


@pytest.mark.parametrize("zipped", [True, False])
def test_changed_opcodes_are_refused_or_harmless(zipped: bool) -> None:
    """Within the pickle alone, where most changes of a whole file do not land."""
    body = mapping({"a": tensor(), "b": tensor(storage("1", 4), shape=(2, 2), strides=(1, 2)), "c": b"]}\x86"})
    stored = {"data/0" if zipped else "0": bytes(64), "data/1" if zipped else "1": bytes(16)}
    frame = zip_of if zipped else legacy_of
    chance = random.Random(7)
    for _ in range(2_000):
        changed = bytearray(body)
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(len(changed))] = chance.choice(b"()]}tutsabeRQhq0212cNKMJ\x85\x86\x87\x93\x81.")
        content = frame(bytes(changed), stored)
        with suppress(InputError):
            _expect_inside(_read(content), len(content))


def test_changed_lines_of_protocol_0_are_refused_or_harmless() -> None:
    """Numbers and strings that are written out, as Python 2 and nobody since has saved them."""
    body = b"(I1234\nI01\np0030\nL-345L\nF1.5e3\nV\\u00e4\nS'x'\ng0030\nt."
    assert read_pickle(body).value == pickle.loads(body)
    chance = random.Random(11)
    refused = 0
    for _ in range(20_000):
        changed = bytearray(body)
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(len(changed))] = chance.choice(b"ILFSVpg019+-_.eLuU\\'\n \xb2\xff")
        try:
            read_pickle(bytes(changed))
        except Refusal:
            refused += 1
    assert 2_000 < refused < 20_000


@pytest.mark.parametrize("text", [b"+-1", b"-+1", b"--1", b"", b"+", b"1_0", b" 1", b"\xb2", b"1.0", b"9" * 5000])
@pytest.mark.parametrize("opcode", [b"I", b"L", b"p", b"g"])
def test_a_number_of_protocol_0_that_is_none_is_refused(opcode: bytes, text: bytes) -> None:
    """Python's own int() takes some of these and raises for others."""
    with pytest.raises(Refusal, match="expected a whole number"):
        read_pickle(b"N" + opcode + text + b"\n.")


@pytest.mark.parametrize("line", [b"F\xff", b"F1e", b"F", b"S'a", b"S", b"S\"", b"S'\xff'", b"V\\ud800",
                                  b"V\\U00110000", b"V\\u1", b"p-1", b"g-1"])  # fmt: skip
def test_other_lines_of_protocol_0_that_mean_nothing_are_refused(line: bytes) -> None:
    with pytest.raises(Refusal):
        read_pickle(b"N" + line + b"\n.")


@pytest.mark.parametrize("line", [b"I12", b"I-7", b"I01", b"L5L", b"L-5", b"F-1.5e3", b"S'a'", b"Va\\u00e4"])
def test_lines_of_protocol_0_mean_what_they_mean_to_python(line: bytes) -> None:
    assert read_pickle(line + b"\n.").value == pickle.loads(line + b"\n.")


def test_a_few_bytes_are_not_repeated_to_a_terabyte() -> None:
    """Copied out, one byte of the file would be as many of memory as a shape can say."""
    for shape in ((2**40,), (2**20, 2**20), (2**32 + 32,)):
        content = zip_of(mapping({"w": tensor(shape=shape, strides=(0,) * len(shape))}))
        with pytest.raises(InputError, match=rf"make {4 * prod(shape)} bytes of the 64 of storage '0'") as caught:
            _read(content)
        assert caught.value.code == "header.size-mismatch"
    content = zip_of(mapping({"w": tensor(shape=(2**16, 16), strides=(0, 1))}))
    (info,) = _read(content).tensors
    assert (info.nbytes, info.reach) == (2**22, 16)
