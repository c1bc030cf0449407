"""The libraries themselves, made to fail: what they really say is read for what was really wrong."""

from __future__ import annotations

import io
import json
import pickle
import traceback
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors.torch import load as load_safetensors

from tests.tracer.complaints.logs import told
from tracer.complaints import Complaint, read_error

Shape = tuple[int, ...]
SIZES = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)


_FAILURES = (RuntimeError, ValueError, LookupError, AttributeError, TypeError, OSError, EOFError,
             pickle.UnpicklingError, safetensors.SafetensorError)  # fmt: skip
"""What libraries raise where a file or a model is not as they expect."""


def said_by(failing: Callable[[], object]) -> str:
    """The whole traceback of what fails."""
    try:
        failing()
    except _FAILURES:
        return traceback.format_exc()
    raise AssertionError("nothing failed")


def complaints(failing: Callable[[], object]) -> tuple[Complaint, ...]:
    return read_error(said_by(failing)).complaints


class _Model(torch.nn.Module):
    def __init__(self, shapes: dict[str, Shape]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            self.register_parameter(name, torch.nn.Parameter(torch.zeros(shape)))


NAMES = st.dictionaries(st.sampled_from(["wq", "lm_head", "norm_0", "b", "experts_w13"]), SIZES, max_size=4)


@settings(max_examples=40, deadline=None)
@given(NAMES, NAMES)
def test_a_state_dict_that_does_not_fit_is_told_name_by_name(has: dict[str, Shape], wants: dict[str, Shape]) -> None:
    assume(has != wants)
    found = complaints(lambda: _Model(wants).load_state_dict({name: torch.zeros(shape) for name, shape in has.items()}))
    by_kind = {kind: [each for each in found if each.kind == kind] for kind in ("no-tensor", "unexpected", "shape")}
    assert len(found) == sum(map(len, by_kind.values()))
    assert [name for each in by_kind["no-tensor"] for name in each.names] == [name for name in wants if name not in has]
    unexpected = [name for each in by_kind["unexpected"] for name in each.names]
    assert unexpected == [name for name in has if name not in wants]
    mismatched = {each.names[0]: each.shapes for each in by_kind["shape"]}
    assert mismatched == {
        name: (has[name], shape) for name, shape in wants.items() if name in has and has[name] != shape
    }


def _file(header: dict[str, object], data: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def _entry(dtype: str, shape: list[int], start: int, end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


TABLE = {
    "a Git-LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5\n",
    "a web page": b"<!DOCTYPE html><html><title>403 Forbidden</title></html>",
    "GGUF": b"GGUF\x03\x00\x00\x00" + bytes(64),
    "a zip": b"PK\x03\x04" + bytes(60),
    "a header cut short": _file({"a": _entry("F32", [1], 0, 4)}, length=900),
    "nothing": b"",
    "zeros": bytes(400),
    "data cut short": _file({"a": _entry("F32", [4], 0, 16)}, bytes(8)),
    "bytes at the end": _file({"a": _entry("F32", [1], 0, 4)}, bytes(8)),
    "a hole": _file({"a": _entry("F32", [1], 0, 4), "b": _entry("F32", [1], 8, 12)}, bytes(12)),
    "a size that is not its bytes": _file({"a": _entry("F32", [3], 0, 4)}, bytes(4)),
    "metadata that is no text": _file({"__metadata__": {"n": 1}, "a": _entry("F32", [1], 0, 4)}, bytes(4)),
}


@pytest.mark.parametrize("content", TABLE.values(), ids=list(TABLE))
def test_what_safetensors_says_of_a_file_that_is_none(content: bytes) -> None:
    found = complaints(lambda: load_safetensors(content))
    assert [(each.kind, each.program) for each in found] == [("header", "safetensors")]
    assert found[0].fields or found[0].names == ("b",)


def test_what_safetensors_says_of_a_dtype_that_it_does_not_know() -> None:
    found = complaints(lambda: load_safetensors(_file({"a": _entry("F3_E1M1", [1], 0, 1)}, b"0")))
    assert [(each.kind, each.fields) for each in found] == [("dtype", ("F3_E1M1",))]


def test_what_is_said_of_a_shard_or_a_tensor_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "model-00002-of-00003.safetensors"
    [absent] = complaints(lambda: safetensors.safe_open(path, "pt"))
    assert (absent.kind, absent.files) == ("no-file", (str(path),))
    path.write_bytes(_file({"a": _entry("F32", [1], 0, 4)}, bytes(4)))
    [tensor] = complaints(lambda: safetensors.safe_open(path, "pt").get_tensor("lm_head.weight"))
    assert (tensor.kind, tensor.names) == ("no-tensor", ("lm_head.weight",))


class _Runs:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return eval, ("1",)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "code": (lambda: torch.load(io.BytesIO(pickle.dumps(_Runs(), protocol=2)), weights_only=True), "pickle"),
    "a pointer": (lambda: torch.load(io.BytesIO(TABLE["a Git-LFS pointer"]), weights_only=False), "header"),
    "nothing": (lambda: torch.load(io.BytesIO(b""), weights_only=False), "header"),
    "a zip cut short": (lambda: torch.load(io.BytesIO(TABLE["a zip"])), "header"),
    "two sizes": (lambda: torch.zeros(16004).copy_(torch.zeros(16032)), "shape"),
    "a view": (lambda: torch.zeros(45568).view(4, 178, -1, 129), "shape"),
    "a range": (lambda: torch.zeros(30).narrow(0, 20, 20), "shape"),
    "a product": (lambda: torch.zeros(2, 3) @ torch.zeros(4, 5), "shape"),
    "two dtypes": (lambda: torch.zeros(2, 2) @ torch.zeros(2, 2, dtype=torch.bfloat16), "dtype"),
    "a dtype of numpy": (lambda: torch.zeros(2, dtype=torch.bfloat16).numpy(), "dtype"),
    "NaN": (lambda: torch.multinomial(torch.tensor([float("nan"), 1.0]), 1), "not-finite"),
    "a field": (lambda: {"vocab_size": 1}["hidden_size"], "no-field"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=list(REFUSED))
def test_what_pytorch_says(tmp_path: Path, case: tuple[Callable[[], object], str]) -> None:
    failing, kind = case
    text = said_by(failing)
    found = read_error(text).complaints
    assert found[0].kind == kind
    assert {each.kind for each in found} == {kind}
    in_a_log = told(tmp_path, [f"[rank3]: {line}" for line in text.split("\n")]).complaints
    assert [(each.kind, each.names, each.rank) for each in in_a_log] == [(each.kind, each.names, 3) for each in found]


def test_the_report_of_transformers_is_read_back(tmp_path: Path) -> None:
    from transformers.utils.loading_report import LoadStateDictInfo

    missing = {f"model.layers.{layer}.mlp.{part}_proj.weight" for layer in range(28) for part in ("gate", "up")}
    unexpected = {"lm_head.weight", *(f"module.layers.{layer}.norm.bias" for layer in range(3))}
    mismatched = {("model.embed_tokens.weight", torch.Size([10, 4]), torch.Size([12, 4]))}
    rest: dict[str, Any] = {
        "error_msgs": [],
        "conversion_errors": {},
        "skipped_pp_keys": set(),
    }  # not all versions have the last
    rest = {name: rest[name] for name in signature(LoadStateDictInfo).parameters if name in rest}
    info = LoadStateDictInfo(missing, unexpected, mismatched, **rest)
    found = told(tmp_path, (info.create_loading_report() or "").split("\n")).complaints
    by_kind = {each.kind: each for each in found}
    assert len(found) == len(by_kind) == 3
    assert set(by_kind["no-tensor"].names) == missing
    assert set(by_kind["unexpected"].names) == unexpected
    assert by_kind["shape"].names == ("model.embed_tokens.weight",)
