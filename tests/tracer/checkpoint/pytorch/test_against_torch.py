"""What torch saves and loads itself, read here without it: names, shapes, data types and every byte agree."""

from __future__ import annotations

import io
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dtypes import TORCH
from engine.loading.sources import MappedWeights
from fixtures.pickles import ODD
from mappings.proof.bytes import prove_bytes
from tracer.checkpoint.header import Header
from tracer.checkpoint.pytorch import read
from tracer.checkpoint.weights import map_file

State = dict[str, torch.Tensor]


def _numbers(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """Any bytes that are elements of the type."""
    count = torch.empty(shape, dtype=dtype).numel()
    if dtype == torch.bool:
        return (torch.arange(count) % 3 == 0).view(shape)
    raw = torch.arange(count * dtype.itemsize, dtype=torch.int64) * 37 + 11
    return raw.to(torch.uint8).view(dtype).view(shape)


def _plain() -> State:
    return {f"layers.{i}.weight": _numbers(torch.float32, 3, i) for i in range(12)}


def _all_dtypes() -> State:
    return {name: _numbers(dtype, 2, 3) for name, dtype in TORCH.items()}


def _tied() -> State:
    embedding = _numbers(torch.bfloat16, 8, 4)
    return {"embed.weight": embedding, "lm_head.weight": embedding, "half": embedding[2:6]}


def _strided() -> State:
    base = _numbers(torch.float16, 4, 6, 5)
    return {
        "transposed": base.transpose(0, 2),
        "columns": base[:, 1:3],
        "steps": base[::2, :, ::3],
        "row": base[3, 5],
        "one": base[1:2, 2:3].transpose(0, 1),
        "diagonal": base[:, :, 0].diagonal(),
        "expanded": base[0, 0, :1].expand(7),
    }


def _small() -> State:
    return {
        "scalar": torch.tensor(1.5),
        "empty": torch.empty(0, 4),
        "empty view": torch.ones(3, 2)[3:, 1:],
        "scalar view": torch.arange(5)[3],
    }


def _module() -> Any:
    """An OrderedDict with `_metadata`, as of every nn.Module."""
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).state_dict()


def _parameters() -> State:
    kept = torch.nn.Parameter(_numbers(torch.float32, 2, 2))
    marked = torch.nn.Parameter(torch.ones(3))
    marked.note = "an attribute"  # type: ignore[attr-defined]
    return OrderedDict(a=kept, b=marked, c=torch.ones(1, requires_grad=True))


STATES: dict[str, Callable[[], Any]] = {
    make.__name__: make for make in (_plain, _all_dtypes, _tied, _strided, _small, _module, _parameters)
}


@pytest.fixture(params=["zip", "legacy"])
def zipped(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "zip")


def _save(value: object, path: Path, *, zipped: bool, protocol: int = 2) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)


def _read(path: Path) -> Header:
    with path.open("rb") as file:
        return read(file, path.stat().st_size, path.name, str(path))


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    """Compared as bytes: a NaN equals itself, and every data type can be."""
    return tensor.detach().clone(memory_format=torch.contiguous_format).reshape(-1).view(torch.uint8)


def _expect_equal(path: Path, wanted: State) -> None:
    header = _read(path)
    assert sorted(info.name for info in header.tensors) == sorted(wanted)
    source = MappedWeights(path.parent, header.tensors, map_file)
    for position, info in enumerate(header.tensors):
        found, want = source.tensor(position), wanted[info.name]
        assert (info.shape, TORCH[info.dtype]) == (tuple(want.shape), want.dtype)
        assert info.nbytes == want.numel() * want.element_size()
        assert found.is_contiguous()
        assert torch.equal(_bytes(found), _bytes(want)), info.name
    assert prove_bytes(header.spans).findings == []
    assert header.findings == []
    assert [info.offset for info in header.tensors] == sorted(info.offset or 0 for info in header.tensors)


@pytest.mark.parametrize("name", STATES)
def test_tensors_equal_those_that_torch_loads(name: str, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    state = STATES[name]()
    _save(state, path, zipped=zipped)
    _expect_equal(path, state)
    if zipped or name != "_all_dtypes":  # of its own legacy files torch cannot load those without a storage class
        _expect_equal(path, torch.load(path, weights_only=True))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_that_torch_can_save_with(protocol: int, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    _save({**_plain(), **_strided()}, path, zipped=zipped, protocol=protocol)
    # weights_only has opcodes of protocol 2 alone; the file is our own.
    _expect_equal(path, torch.load(path, weights_only=False))


@pytest.mark.parametrize("key", ["state_dict", "model", "anything"])
def test_a_trainers_wrapping_is_taken_off(key: str, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    optimizer = {"state": {0: {"step": torch.ones(())}}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.95)}]}
    _save({"epoch": 3, key: _plain(), "optimizer": optimizer}, path, zipped=zipped)
    header = _read(path)
    assert sorted(info.name for info in header.tensors) == sorted(_plain())
    assert header.metadata["pytorch.state_dict"] == key
    assert header.metadata["pytorch.ignored"] == "2 values"
    assert [(found.code, found.evidence["tensors"]) for found in header.findings] == [("tensor.ignored", 1)]


def test_the_strides_are_said_where_they_are_unusual(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    _save(_strided(), path, zipped=zipped)
    strides = {info.name: info.strides for info in _read(path).tensors}
    assert strides == {
        "transposed": (1, 5, 30),
        "columns": (30, 5, 1),
        "steps": (60, 5, 3),
        "row": None,
        "one": None,
        "diagonal": (35,),
        "expanded": (0,),
    }


def test_big_endian_files_give_the_same_numbers(tmp_path: Path) -> None:
    """A file that says so of itself: torch swaps the bytes while it loads, halves of complex numbers one by one.

    Types without a storage class are left out: torch saves them as bytes, and forgets to swap those.
    """
    path = tmp_path / "pytorch_model.bin"
    state = {name: value for name, value in _all_dtypes().items() if name not in ("U16", "U32", "U64")}
    state["transposed"] = _numbers(torch.int32, 3, 4).t()
    _save(state, path, zipped=True)
    path.write_bytes(_renamed_as_big_endian(path.read_bytes()))
    wanted = torch.load(path, weights_only=True)
    assert not torch.equal(wanted["I32"], state["I32"])
    _expect_equal(path, wanted)


def _renamed_as_big_endian(content: bytes) -> bytes:
    """`little` becomes `big`: the record is written anew, three bytes shorter, its sizes with it."""
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        records = {name: old.read(name) for name in old.namelist()}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as new:
        for name, record in records.items():
            new.writestr(name, b"big" if name.endswith("/byteorder") else record)
    return target.getvalue()


def test_odd_files_load_as_torch_loads_them(tmp_path: Path) -> None:
    """Files of old versions, written by hand: torch, which can read them, finds the same bytes."""
    compared = ["python_2", "a_parameter", "with_python_attributes", "storages_by_address", "broadcast"]
    for name in compared:
        path = tmp_path / f"{name}.bin"
        path.write_bytes(ODD[name].make())
        _expect_equal(path, torch.load(path, weights_only=False))


_DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.int8, torch.int64, torch.float8_e5m2])


@st.composite
def _views(draw: st.DrawFn) -> torch.Tensor:
    base = _numbers(draw(_DTYPES), *draw(st.lists(st.integers(0, 5), max_size=3)))
    if base.dim():
        base = base.permute(*draw(st.permutations(range(base.dim()))))
        start, step = draw(st.integers(0, 2)), draw(st.integers(1, 3))
        base = base[start::step]
    return base


@st.composite
def _states(draw: st.DrawFn) -> State:
    tensors = draw(st.lists(_views(), min_size=1, max_size=5))
    names = st.text(st.characters(codec="utf-8"), max_size=8)
    return {draw(names): draw(st.sampled_from(tensors)) for _ in range(draw(st.integers(1, 7)))}


@settings(max_examples=60, deadline=None)
@given(state=_states(), zipped=st.booleans(), wrapped=st.booleans())
def test_any_state_dict(state: State, zipped: bool, wrapped: bool) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.bin"
        _save({"state_dict": state, "step": 1} if wrapped else state, path, zipped=zipped)
        _expect_equal(path, state)
