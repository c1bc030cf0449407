"""Clones without their large files: what the sizes and digests of their pointers prove, and what they leave open."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests import diffing
from tests.diffing import Arrays
from tracer.cli import main
from tracer.diff import asked
from tracer.diff.checkpoints import compare
from tracer.diff.compared import Comparison
from tracer.diff.sides import open_side
from tracer.diff.verdict import sentence

A = diffing.model()
B = A | {"lm_head.weight": A["lm_head.weight"] + np.float32(1)}
FILES = 3
LAST = f"model-0000{FILES}-of-0000{FILES}.safetensors"


def sharded(folder: Path, arrays: Arrays) -> Path:
    """Every third tensor in each of three files."""
    folder.mkdir(parents=True)
    homes: dict[str, str] = {}
    for place in range(FILES):
        file = f"model-0000{place + 1}-of-0000{FILES}.safetensors"
        own = {name: np.ascontiguousarray(arrays[name]) for name in list(arrays)[place::FILES]}
        save_file(own, folder / file)
        homes |= dict.fromkeys(own, file)
    total = {"total_size": sum(array.nbytes for array in arrays.values())}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": total, "weight_map": homes}))
    (folder / "config.json").write_text(json.dumps(diffing.CONFIG))
    return folder


def pointer(content: bytes, digest: str = "") -> str:
    digest = digest or hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n"


def clone(folder: Path, digest: str = "") -> Path:
    """The folder as git gives it without LFS."""
    into = folder.parent / f"{folder.name}-clone{digest[:1]}"
    shutil.copytree(folder, into)
    for file in into.glob("*.safetensors"):
        file.write_text(pointer(file.read_bytes(), digest))
    return into


def against(a: Path, b: Path, values: bool = True) -> Comparison:
    one, other = open_side("A", str(a), values), open_side("B", str(b), values)
    return compare(one, other, values, False, lambda done, total: None)


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    return {"a": sharded(tmp_path / "a", A), "b": sharded(tmp_path / "b", B)}


@pytest.mark.parametrize("real", [False, True], ids=["two clones", "one clone"])
def test_equal_digests_are_equal_tensors(folders: dict[str, Path], real: bool) -> None:
    cloned = clone(folders["a"])
    for one, other in ((cloned, folders["a"] if real else cloned), (folders["a"] if real else cloned, cloned)):
        found = against(one, other)
        assert (found.same, found.complete) == (True, True)
        assert sentence(found) == "the same checkpoint: 39 tensors equal byte for byte by the digests of the pointers"


@pytest.mark.parametrize("real", [False, True], ids=["two clones", "one clone"])
def test_another_digest_is_another_file_whose_tensors_are_not_checked(folders: dict[str, Path], real: bool) -> None:
    found = against(clone(folders["a"]), folders["b"] if real else clone(folders["b"]))
    assert (found.same, found.complete) == (False, False)
    assert [(file.a, file.equal) for file in found.files if not file.equal] == [(LAST, False)]
    assert len(found.valued("equal")) == 26
    assert {pair.unchecked.partition(" (")[0] for pair in found.pairs if not pair.valued} == {f"{LAST} is another file"}
    told = sentence(found)
    assert told.startswith("the same names; 26 of 39 tensors are equal; 13 of 39 tensors could not be compared; ")
    assert told.endswith(f"by the pointers {LAST} is not the same file in B")
    (check,) = (check for check in asked.checks(found) if check.name == "files by pointers")
    assert check.told == "3 files with a pointer: 2 equal by size and SHA-256, 1 not"
    assert check.unchecked.startswith(f"tensors of another file are not told apart: {LAST}: SHA-256 ")


def test_headers_alone_read_pointers_and_no_file(folders: dict[str, Path]) -> None:
    one, other = clone(folders["a"]), clone(folders["b"])
    told = sentence(against(one, one, values=False))
    assert told.endswith("; by the digests of the pointers all 3 files are equal byte for byte")
    assert f"by the pointers {LAST} is not the same file in B" in sentence(against(one, other, values=False))
    found = against(one, folders["a"], values=False)
    assert [file.equal for file in found.files] == [None] * FILES
    assert not found.complete
    (one / LAST).write_text(pointer(b"too short"))
    checks = asked.checks(against(one, folders["a"], values=False))
    (left,) = (check.unchecked for check in checks if check.name == "files by pointers")
    assert f"{LAST}: 9 bytes in A, " in left


def test_a_pointer_without_a_digest_proves_nothing(folders: dict[str, Path]) -> None:
    """Whoever did not know it wrote zeros."""
    blind = clone(folders["a"], "0" * 64)
    found = against(blind, blind)
    assert not found.complete
    assert not found.compared
    assert {pair.unchecked for pair in found.pairs} == {
        f"model-0000{n}-of-00003.safetensors may be another file (of one size, and a pointer names no digest)"
        for n in (1, 2, 3)
    }  # fmt: skip


def test_one_file_without_an_index_is_known_by_its_twin(tmp_path: Path) -> None:
    one, other = (Path(diffing.write(tmp_path / key, arrays)) for key, arrays in (("a", A), ("b", B)))
    cloned = clone(one)
    told = "the same checkpoint: 39 tensors equal byte for byte by the digests of the pointers"
    assert sentence(against(cloned, one)) == sentence(against(one, cloned)) == told
    assert sentence(against(cloned, cloned)).endswith("model.safetensors is equal byte for byte")
    found = against(cloned, other)
    assert not found.same
    assert sentence(found).endswith("by the pointers model.safetensors is not the same file in B")


def test_tensors_of_a_quantised_module_are_compared_by_themselves(tmp_path: Path) -> None:
    """A clone has names only; which of them are one weight, shapes would tell."""
    folder = sharded(tmp_path / "a", diffing.quantised(A, diffing.awq)[0])
    found = against(clone(folder), folder)
    assert found.same
    assert sentence(found).startswith("the same checkpoint: 95 tensors equal byte for byte by the digests")


def test_the_exit_status_counts_pointers(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    one, other = clone(folders["a"]), clone(folders["b"])
    assert main(["diff", str(one), str(folders["a"]), "--values", "--exit-code"]) == 0
    assert main(["diff", str(one), str(other), "--exit-code"]) == 1
    capsys.readouterr()
    assert main(["diff", str(one), str(other), "--values", "--json", "-"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found[0]["same"] is False
    assert [record["subject"] for record in found if record.get("what") == "file"] == [LAST]
    assert sum(record.get("what") == "not-checked" for record in found) == 13
