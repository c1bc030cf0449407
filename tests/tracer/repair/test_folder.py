"""What of a checkpoint is in its copy, under which name, and what the copy's index says."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fixtures.gguf import Stored, Typed, document
from tests.tracer.repair.damaged import TWO, read, repaired, same, whole, write
from tracer.checkpoint.folder import open_checkpoint
from tracer.errors import UsageError
from tracer.repair.changes import Change, Cut, Drop, Join, Rename, RewriteIndex, SetField, Transform
from tracer.repair.repair import repair

TENSORS = {f"t{n}": torch.arange(n + 2.0) for n in range(4)}
INDEX = "model.safetensors.index.json"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "model", TENSORS, TWO)


def index(folder: Path, name: str = INDEX) -> dict[str, object]:
    content: dict[str, object] = json.loads((folder / name).read_text())
    return content


# --- beside the weights ---


def test_what_is_no_weights_is_copied_and_weights_of_other_copies_are_named(source: Path) -> None:
    small = {
        "tokenizer.json": "{}", "README.md": "# it", "pooling/config.json": "{}", "a/b/c/vocab.txt": "x",
        ".gitattributes": "*",
    }  # fmt: skip
    other = ["pytorch_model.bin", "original/consolidated.00.pth", "tf_model.h5", "x.gguf"]
    indexes = ["pytorch_model.bin.index.json"]
    hidden = [".git/config", ".cache/huggingface/x.metadata"]
    for name in [*small, *other, *indexes, *hidden]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(small.get(name, '{"weight_map": {"t": "f"}}'))
    os.symlink("nowhere", source / "broken")
    os.symlink("/", source / "everything")
    os.mkfifo(source / "pipe")
    result = repaired(source, [SetField("x", 1)], source.parent / "copy")
    assert set(whole(source.parent / "copy")) == {*small, *TWO, INDEX, "config.json"}
    assert dict(result.left_out) == {
        **dict.fromkeys(other, "weights that were not read: they would be without the changes"),
        **dict.fromkeys(indexes, "the index of weights that were not read"),
        ".git/": "a hidden folder", ".cache/": "a hidden folder", "everything/": "a link to a folder",
        "broken": "a link that leads nowhere", "pipe": "no regular file",
    }  # fmt: skip
    assert set(result.copied) == {*small, *TWO, INDEX}


def test_a_folder_that_cannot_be_listed_is_named(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may list anything, so it is told that it may not."""
    (source / "closed").mkdir()
    listed = os.scandir

    def refuses(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuses)
    result = repaired(source, [SetField("x", 1)], source.parent / "copy")
    assert dict(result.left_out) == {"closed/": "a folder that cannot be listed"}


def test_links_to_files_as_in_the_cache_of_the_hub_are_followed(source: Path) -> None:
    cache = source.parent / "cache"
    cache.mkdir()
    for file in source.iterdir():
        (cache / file.name).symlink_to(file)
    repaired(cache, [Rename({"t0": "new"})], source.parent / "copy")
    copied = list((source.parent / "copy").iterdir())
    assert len(copied) == 4
    assert not any(file.is_symlink() for file in copied)


def test_of_one_file_its_config_goes_along_and_nothing_else(source: Path) -> None:
    (source / "tokenizer.json").write_text("{}")
    result = repaired(source / TWO[0], [Rename({"t0": "new"})], source.parent / "copy")
    assert set(whole(source.parent / "copy")) == {TWO[0], "config.json"}
    assert [why for _, why in result.left_out] == ["one file was named, and not its folder"]


# --- shards ---


def test_a_file_that_no_change_is_of_is_the_same_file(source: Path) -> None:
    result = repaired(source, [Transform(("t1",), "add", amount=1.0)], source.parent / "copy")
    before, after = whole(source), whole(source.parent / "copy")
    assert {name for name in before if before[name] != after[name]} == {TWO[1]}
    assert (dict(result.written), set(result.copied)) == ({TWO[1]: TWO[1]}, {TWO[0], INDEX, "config.json"})
    assert (result.tensors, result.kept) == (4, 3)


def test_tensors_stay_in_the_files_that_they_were_in(source: Path) -> None:
    changes: list[Change] = [
        Rename({"t3": "z"}), Cut("t2", 0, {"a": (0, 1), "b": (1, 4)}), Join(("t1", "t0"), "both", 0),
    ]  # fmt: skip
    repaired(source, changes, source.parent / "copy")
    found = index(source.parent / "copy")
    assert found["weight_map"] == {"a": TWO[0], "b": TWO[0], "both": TWO[1], "z": TWO[1]}
    assert found["metadata"] == {"total_size": sum(tensor.nbytes for tensor in TENSORS.values())}
    assert list(read(source.parent / "copy")["both"]) == [*TENSORS["t1"], *TENSORS["t0"]]


def test_a_file_that_nothing_is_left_of_is_left_out_and_no_gap_in_the_index(source: Path) -> None:
    result = repaired(source, [Drop(("t0", "t2"), "x")], source.parent / "copy")
    assert result.removed == (TWO[0],)
    assert set(whole(source.parent / "copy")) == {TWO[1], INDEX, "config.json"}
    opened = open_checkpoint(source.parent / "copy")
    assert ([t.name for t in opened.tensors], opened.findings) == (["t1", "t3"], [])


def test_the_metadata_of_a_file_and_what_else_an_index_says_are_kept(source: Path) -> None:
    file = source / TWO[0]
    save_file({"t0": TENSORS["t0"], "t2": TENSORS["t2"]}, file, {"format": "pt", "made": "bÿ me"})
    content = index(source)
    content["metadata"] = {"by": "us", "total_size": 3}
    (source / INDEX).write_text(json.dumps({"version": 2, **content}))
    repaired(source, [Rename({"t0": "new"})], source.parent / "copy")
    with safe_open(source.parent / "copy" / TWO[0], framework="pt") as opened:
        assert opened.metadata() == {"format": "pt", "made": "bÿ me"}
    made = index(source.parent / "copy")
    total = sum(tensor.nbytes for tensor in TENSORS.values())
    assert (made["version"], made["metadata"]) == (2, {"by": "us", "total_size": total})


def test_elements_lie_at_multiples_of_their_size(tmp_path: Path) -> None:
    """... also where narrow ones come first in the order of the changes."""
    odd, wide = torch.tensor([1, 2, 3], dtype=torch.int8), torch.arange(6.0).double()
    tensors = {"plain": torch.arange(4.0), "odd": odd, "wide": wide}
    source = write(tmp_path / "a", tensors)
    changes: list[Change] = [Cut("odd", 0, {"a": (0, 1), "b": (1, 3)}), Rename({"plain": "much_longer_name"})]
    repaired(source, changes, tmp_path / "b")
    for tensor in open_checkpoint(tmp_path / "b").tensors:
        assert tensor.offset is not None
        assert tensor.offset % (tensor.nbytes // tensor.shape[0]) == 0
    assert (tmp_path / "b" / "model.safetensors").read_bytes()[0] % 8 == 0


# --- the index ---


def damage_names_other_files(source: Path) -> None:
    content = json.dumps(index(source)).replace("-of-00002", "-of-00007")
    (source / INDEX).write_text(content)


def damage_wrong_shards(source: Path) -> None:
    other = json.dumps(index(source)).replace("00001-of", "x").replace("00002-of", "00001-of").replace("x", "00002-of")
    (source / INDEX).write_text(other)


def damage_no_total(source: Path) -> None:
    (source / INDEX).write_text(json.dumps({"weight_map": index(source)["weight_map"]}))


def damage_no_index(source: Path) -> None:
    (source / INDEX).unlink()


DAMAGES = [damage_names_other_files, damage_wrong_shards, damage_no_total, damage_no_index]


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_index_that_is_wrong_is_written_as_the_headers_have_it(source: Path, damage: Callable[[Path], None]) -> None:
    right = index(source)
    damage(source)
    repaired(source, [RewriteIndex("stale")], source.parent / "copy")
    assert index(source.parent / "copy") == right
    assert all(whole(source)[file] == whole(source.parent / "copy")[file] for file in TWO)
    opened = open_checkpoint(source.parent / "copy")
    assert (opened.findings, len(opened.tensors)) == ([], 4)


def test_what_no_file_has_is_no_longer_promised_and_only_when_that_is_asked_for(source: Path) -> None:
    content = json.dumps(index(source)).replace('"t0":', '"gone": "model-00001-of-00002.safetensors", "t0":')
    (source / INDEX).write_text(content)
    with pytest.raises(UsageError, match=f"as incomplete: {INDEX} promises 1 tensor that no file has: gone"):
        repaired(source, [Rename({"t0": "new"})], source.parent / "copy")
    result = repaired(source, [RewriteIndex()], source.parent / "copy")
    assert result.absent == ("gone",)
    assert "  no longer promised by the index: gone, which no file has" in result.lines()
    assert open_checkpoint(source.parent / "copy").findings == []


def test_an_index_may_be_told_which_files_are_the_model(source: Path) -> None:
    only_first = {name: file for name, file in dict(index(source)["weight_map"]).items() if file == TWO[0]}  # type: ignore[call-overload]
    (source / INDEX).write_text(json.dumps({"weight_map": only_first}))
    assert len(open_checkpoint(source).tensors) == 2
    repaired(source, [RewriteIndex(files=TWO)], source.parent / "copy")
    assert same(read(source.parent / "copy"), TENSORS)
    assert open_checkpoint(source.parent / "copy").findings == []


# --- names that two files have ---


def test_a_tensor_that_two_files_hold_alike_is_written_once(source: Path) -> None:
    save_file({"t0": TENSORS["t0"], "t1": TENSORS["t1"], "t3": TENSORS["t3"]}, source / TWO[1])
    result = repaired(source, [Rename({"t0": "new"})], source.parent / "copy")
    assert result.repeated == ("t0",)
    assert any("1 tensor that two files held alike" in line for line in result.lines())
    assert set(read(source.parent / "copy")) == {"new", "t1", "t2", "t3"}
    assert open_checkpoint(source.parent / "copy").findings == []


def test_a_tensor_that_two_files_hold_differently_is_not_chosen_from(source: Path) -> None:
    """One of them may be the other half of it, as in files that are cut by ranks."""
    save_file({"t0": TENSORS["t0"] + 1, "t1": TENSORS["t1"], "t3": TENSORS["t3"]}, source / TWO[1])
    with pytest.raises(UsageError, match="t0 is in several files with different values"):
        repaired(source, [Rename({"t0": "new"})], source.parent / "copy")


# --- PyTorch files ---


def test_pytorch_files_become_safetensors_files_with_what_torch_reads_from_them(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    base = torch.arange(24.0).reshape(4, 6)
    first = {"whole": base, "turned": base.T, "part": base[1:3, ::2], "tied": base, "half": base.bfloat16()}
    second = {"row": base[2], "repeated": torch.tensor([1.5]).expand(3, 2), "scalar": torch.tensor(3)}
    files = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    for file, tensors in zip(files, (first, second), strict=True):
        torch.save(tensors, tmp_path / "a" / file)
    weight_map = {**dict.fromkeys(first, files[0]), **dict.fromkeys(second, files[1])}
    (tmp_path / "a" / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    result = repaired(tmp_path / "a", [Rename({"row": "new"}), Transform(("part",), "transpose")], tmp_path / "b")
    expected = {**first, **second, "new": second["row"], "part": first["part"].T}
    del expected["row"]
    assert same(expected, read(tmp_path / "b"))
    assert set(whole(tmp_path / "b")) == {*TWO, INDEX}
    assert result.left_out == ()
    assert open_checkpoint(tmp_path / "b").findings == []
    with safe_open(tmp_path / "b" / TWO[0], framework="pt") as opened:
        assert opened.metadata() == {"format": "pt"}


def test_a_legacy_pickle_is_read_too_and_nothing_of_it_is_run(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    torch.save({"t": torch.arange(6.0)}, tmp_path / "a" / "consolidated.00.pth", _use_new_zipfile_serialization=False)
    repaired(tmp_path / "a", [Rename({"t": "model.t"})], tmp_path / "b")
    assert same({"model.t": torch.arange(6.0)}, read(tmp_path / "b"))
    assert set(whole(tmp_path / "b")) == {"consolidated.00.safetensors"}


def test_two_pytorch_files_never_become_one(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("model.bin", "pytorch_model.bin"):
        torch.save({name[0]: torch.arange(6.0)}, tmp_path / "a" / name)
    with pytest.raises(UsageError, match=r"model.bin and pytorch_model.bin would both become model.safetensors"):
        repaired(tmp_path / "a", [], tmp_path / "b")


# --- what cannot be repaired ---


def test_a_copy_of_what_is_not_all_here_is_refused(source: Path) -> None:
    (source / TWO[1]).unlink()
    with pytest.raises(UsageError, match="promises 2 tensors that no file has: t1, t3"):
        repaired(source, [Rename({"t0": "new"})], source.parent / "copy")


def test_pointers_are_no_weights(source: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 123\n"
    (source / TWO[1]).write_text(pointer)
    with pytest.raises(UsageError, match="not all of it is here: 1 file behind Git-LFS pointers"):
        repaired(source, [Rename({"t0": "new"})], source.parent / "copy")


def test_a_config_alone_is_no_checkpoint_to_copy(source: Path) -> None:
    for file in (*TWO, INDEX):
        (source / file).unlink()
    with pytest.raises(UsageError, match="no weights are here"):
        repaired(source, [SetField("x", 1)], source.parent / "copy")


def test_a_gguf_file_is_refused_with_what_to_do_instead(tmp_path: Path) -> None:
    values = {"general.architecture": Typed("str", "llama")}
    (tmp_path / "x.gguf").write_bytes(document(values, [Stored("token_embd.weight", "F32", (8,), bytes(32))]))
    with pytest.raises(UsageError, match="repaired in what it was converted from, and converted again"):
        repaired(tmp_path / "x.gguf", [], tmp_path / "copy")


def test_a_checkpoint_on_the_hub_is_refused(source: Path) -> None:
    checkpoint = open_checkpoint(source)

    class Remote:
        folder = None
        title = "org/name"

    checkpoint.files = Remote()  # type: ignore[assignment]
    with pytest.raises(UsageError, match="org/name: its bytes are not on this machine; download it"):
        repair(checkpoint, [], source.parent / "copy")
    shutil.rmtree(source)
