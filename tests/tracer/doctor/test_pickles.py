"""Pickles are listed by opcode against Python's own reading of them; what they would call is said, and not called."""

from __future__ import annotations

import io
import os
import pickle
import tracemalloc
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.pickles import mapping, named, tensor, text, tuple_of, zip_of
from fixtures.small_checkpoint import sound
from tests.tracer.doctor.told import Told, write_json
from tracer.checkpoint.files import LocalFiles
from tracer.doctor.pickles import Listing, is_dangerous, list_globals


def listed(path: Path) -> Listing:
    (found,) = list_globals(LocalFiles(path.parent), [path.name])
    return found


class _Asked(pickle.Unpickler):
    """Python's own reader, which says what it was asked for."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.names: Counter[str] = Counter()

    def find_class(self, module: str, name: str) -> Any:
        self.names[f"{module}.{name}"] += 1
        return super().find_class(module, name)


VALUES = st.recursive(
    st.none() | st.integers() | st.text() | st.binary(max_size=9)
    | st.sampled_from([OrderedDict, Counter, os.path.join, os.getcwd, complex(1, 2), {1, 2}]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(value=VALUES, protocol=st.integers(2, 5))
def test_the_list_is_what_pythons_reader_asks_for(
    value: object, protocol: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = pickle.dumps(value, protocol)
    path = tmp_path_factory.mktemp("pickle") / "some.pkl"
    path.write_bytes(content)
    reader = _Asked(io.BytesIO(content))
    reader.load()
    found = listed(path)
    assert found.complete
    assert found.counts == reader.names


def test_the_globals_of_weights_are_told_even_where_all_are_allowed(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"architectures": ["StrangeModel"]})
    (tmp_path / "pytorch_model.bin").write_bytes(zip_of(mapping({"w": tensor()})))
    told = Told(tmp_path)
    assert told.codes("error", "warning") == set()
    assert "torch._utils._rebuild_tensor_v2 x1" in told.check("pickles").told
    (listing,) = told.examined.listings
    assert listing.counts["collections.OrderedDict"] == 1
    assert listing.foreign == []


def test_a_trainers_arguments_are_listed_and_no_error(tmp_path: Path) -> None:
    sound(tmp_path)
    arguments = zip_of(named("transformers.training_args TrainingArguments"))
    (tmp_path / "training_args.bin").write_bytes(arguments)
    told = Told(tmp_path)
    assert told.status == 0
    assert "transformers.training_args.TrainingArguments" in told["pickle.unsafe-global"].message


@pytest.mark.parametrize("called", [
    "os system", "builtins eval", "posix system", "subprocess Popen", "__builtin__ exec",
])  # fmt: skip
def test_what_can_do_anything_is_an_error_wherever_it_is(called: str, tmp_path: Path) -> None:
    sound(tmp_path)
    (tmp_path / "training_args.bin").write_bytes(zip_of(named(called) + tuple_of(text("true")) + b"R"))
    told = Told(tmp_path)
    assert told["pickle.unsafe-global"].severity == "error"
    assert called.replace(" ", ".") in told["pickle.unsafe-global"].message


def test_a_global_from_the_stack_is_found_through_the_memo(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x04" + b"\x8c\x02os\x94\x8c\x06system\x94" + b"h\x00h\x01\x93.")
    assert listed(path).counts == {"os.system": 1}


def test_a_name_that_is_computed_is_dangerous(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x04NN\x93.")
    (name,) = listed(path).counts
    assert is_dangerous(name)


@pytest.mark.parametrize("content", [
    b"\x80\x04\x8c\x02os\x8c\x06system\x8c\x0bcollections\x8c\x0bOrderedDict00\x93.",  # two of four popped
    b"\x80\x04\x8c\x02os\x8c\x06system(\x8c\x0bcollections\x8c\x0bOrderedDict1\x93.",  # popped to a mark
    b"\x80\x04\x82\x01.",  # by a number
    b"\x80\x04\x8c\x13torch.serialization\x8c\x09os.system\x93.", b"\x80\x04cbuiltins\nprint.__self__.eval\n.",
])  # fmt: skip
def test_no_detour_hides_what_is_called(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    assert any(map(is_dangerous, listed(path).foreign))


@pytest.mark.parametrize("content", [
    b"cos\nsystem\n(S'true'\ntR.", b"cos\nsystem\n(S'true'\ntR", b"(S'x'\nios\nsystem\n.",
])  # fmt: skip
def test_pickles_of_the_oldest_protocols_are_listed_too(content: bytes, tmp_path: Path) -> None:
    sound(tmp_path)
    (tmp_path / "training_args.bin").write_bytes(content)
    told = Told(tmp_path)
    assert told["pickle.unsafe-global"].severity == "error"
    assert "os.system" in told["pickle.unsafe-global"].message


@pytest.mark.parametrize("content", [b"", b"config\nlines of text\n", b"version 1", bytes(range(40, 140)), b"\x80"])
def test_what_is_no_pickle_is_no_finding(content: bytes, tmp_path: Path) -> None:
    sound(tmp_path)
    (tmp_path / "vocabulary.bin").write_bytes(content)
    assert "pickle.unsafe-global" not in Told(tmp_path).codes()


def test_a_pickle_that_comes_after_too_many_opcodes_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracer.doctor.pickles.MOST_OPCODES", 50)
    sound(tmp_path)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(list(range(100))))
    (tmp_path / "b.pkl").write_bytes(b"\x80\x02cos\nsystem\n.")
    told = Told(tmp_path)
    assert "a.pkl: its list of globals is not complete (2 such files)" in told.check("pickles").unchecked


def test_a_legacy_file_that_is_cut_before_its_end_is_not_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracer.doctor.pickles._LEGACY_BYTES", 50)
    path = tmp_path / "x.pt"
    path.write_bytes(pickle.dumps(1) + pickle.dumps(["x" * 99, os.getcwd]))
    assert not listed(path).complete


def test_an_archive_whose_pickle_is_not_read_is_not_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04 and no more")
    assert not listed(tmp_path / "cut.pt").complete
    monkeypatch.setattr("tracer.doctor.pickles._MOST_BYTES", 10)
    (tmp_path / "long.pt").write_bytes(zip_of(mapping({"w": tensor()})))
    assert not listed(tmp_path / "long.pt").complete


def test_the_pickles_of_one_archive_are_bounded_together(tmp_path: Path) -> None:
    """Each is allowed by itself; all are held at once."""
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        for number in range(8):
            archive.writestr(f"x/{number}.pkl", b"\x80\x02]q\x00." + bytes(20 << 20))
    tracemalloc.start()
    found = listed(tmp_path / "x.pt")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not found.complete
    assert peak < 3 * (1 << 26)


def test_a_broken_pickle_of_an_archive_does_not_hide_the_next(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("x/a.pkl", b"\x80\x02\xff")
        archive.writestr("x/data.pkl", b"\x80\x02cos\nsystem\n.")
    found = listed(tmp_path / "x.pt")
    assert (found.complete, found.foreign) == (False, ["os.system"])


def test_a_pickle_that_breaks_off_is_not_complete(tmp_path: Path) -> None:
    sound(tmp_path)
    (tmp_path / "scheduler.pt").write_bytes(b"\x80\x02}q")
    assert "scheduler.pt: its list of globals is not complete" in Told(tmp_path).check("pickles").unchecked
