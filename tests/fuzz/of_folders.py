"""Whole folders: a sound checkpoint to which something is done that a file system allows and nobody expects.

Each change says whether it breaks the model, whatever it does, or leaves it as sound as it was; that is the second
opinion here.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

from fixtures.hostile import HOSTILE, file_of
from fixtures.hostile_archives import HOSTILE_ARCHIVES
from fixtures.pickles import mapping, zip_of
from fixtures.small_checkpoint import FIRST, INDEX, SECOND
from tests.fuzz import of_gguf, of_indexes, of_pytorch, of_safetensors
from tests.fuzz.case import Blob, Case, Entry, Special
from tests.fuzz.ours import Errors, Wrong

Files = dict[bytes, Entry]
Change = Callable[[random.Random, Files], None]
NEEDED = (FIRST, SECOND, INDEX, "config.json")
TARGETS = ("nowhere", ".", "..", "model", FIRST, SECOND, "/dev/zero", "/dev/null", "/proc/self/mem", "\n", "a" * 300)
ODD_NAMES = (
    b"a\nb", b"\xff\xfe", b"\x1b[2J", "\u202e".encode(), b" ", b"-rf", b"x" * 255, b"*", b"{}", b"%s", b"\\", b"con",
    b".hidden", b"a.safetensors.index.json.bak", b"nul\r", "\U0001f600".encode(), b"0" * 200, b"1-of-2", b"..x",
)  # fmt: skip


# --- what breaks it ---


def instead_of_a_file(rng: random.Random, files: Files) -> None:
    """A folder, a pipe, a link to nowhere or to itself, in the place of a file that is needed."""
    name = rng.choice(NEEDED)
    links = [Special("link", target) for target in ("nowhere", name, "/dev/zero", "/dev/null", ".", "/proc/self/mem")]
    files[name.encode()] = rng.choice([Special("folder"), Special("pipe"), *links])


def hostile_file(rng: random.Random, files: Files) -> None:
    """A shard that was made to be refused; not a pointer, which is normal in a clone beside smaller files."""
    case = rng.choice(sorted(set(HOSTILE) - {"lfs_pointer"}))
    files[rng.choice([FIRST, SECOND]).encode()] = Blob(HOSTILE[case].make())


def other_format(rng: random.Random, files: Files) -> None:
    """A shard that is a file of another format, sound in itself."""
    contents = [of_gguf.small()[0].head, zip_of(mapping({})), b"\x1f\x8b" + bytes(90)]
    content = rng.choice(contents)
    files[rng.choice([FIRST, SECOND]).encode()] = Blob(content)


def missing(rng: random.Random, files: Files) -> None:
    """A shard gone, or both, with the index that names them."""
    files.pop(rng.choice([FIRST, SECOND]).encode(), None)


def nothing_but_zeros(rng: random.Random, files: Files) -> None:
    """Space that was reserved for a shard, and more."""
    files[rng.choice([FIRST, SECOND]).encode()] = Blob(b"", rng.choice([1, 8, 4096, 3 << 30, 1 << 40]))


def swapped(rng: random.Random, files: Files) -> None:
    """Each shard under the other's name, which only an index can tell."""
    files[INDEX.encode()] = Blob(of_indexes.whole()[INDEX])
    files |= {FIRST.encode(): Blob(of_indexes.whole()[SECOND]), SECOND.encode(): Blob(of_indexes.whole()[FIRST])}


def linked_to_each_other(rng: random.Random, files: Files) -> None:
    files[FIRST.encode()], files[SECOND.encode()] = Special("link", SECOND), Special("link", FIRST)


BREAKING: list[Change] = [
    instead_of_a_file, instead_of_a_file, hostile_file, other_format, missing, nothing_but_zeros, swapped,
    linked_to_each_other,
]  # fmt: skip


# --- what does not ---


def odd_names(rng: random.Random, files: Files) -> None:
    """Files that nobody reads, under names that nobody can print."""
    for name in rng.sample(ODD_NAMES, 3):
        link = Special("link", rng.choice(TARGETS))
        others: list[Entry] = [Blob(b"x"), Special("folder"), Special("pipe"), link]
        files[name] = rng.choice(others)


def another_folder(rng: random.Random, files: Files) -> None:
    """Something below, as deep as file systems take it."""
    name = b"/".join(rng.choice([b"a", b"b" * 200, b"\xff"]) for _ in range(rng.choice([1, 2, 15])))
    files[name + b"/notes.txt"] = Blob(b"x")


def really_elsewhere(rng: random.Random, files: Files) -> None:
    """A file that is a link to where it is, as in the Hub's cache."""
    name = rng.choice(NEEDED).encode()
    if isinstance(entry := files.get(name), Blob):
        files[b"blobs/" + name] = entry
        files[name] = Special("link", f"blobs/{name.decode()}")


def many_files(rng: random.Random, files: Files) -> None:
    files.update({b"note-%d.txt" % number: Blob(b"x") for number in range(rng.choice([3, 3, 60]))})


SOUND: list[Change] = [odd_names, odd_names, another_folder, really_elsewhere, many_files]


# --- what may ---


BESIDE = (
    "model.safetensors", "pytorch_model.bin", "model.gguf", "optimizer.pt", "adapter_model.safetensors", "a.pkl",
    "consolidated.00.pth", "original/consolidated.00.pth", "training_args.bin", "model-00003-of-00003.safetensors",
    "pytorch_model-00001-of-00002.bin", "x-00001-of-99999.gguf", "model.h5", "model.safetensors.index.fp16.json",
    "tokenizer_config.json", "generation_config.json", "adapter_config.json", "scheduler.pt",
    "model_00001-of-999999999999999999999999.safetensors",
)  # fmt: skip
"""Names of files that mean something to somebody."""


def beside(rng: random.Random, files: Files) -> None:
    """Another file with the name of weights: damaged, a second copy, or a trainer's."""
    kinds = [of_safetensors, of_gguf, of_pytorch]
    made = rng.choice(kinds).make(rng).files
    archive = Blob(rng.choice(list(HOSTILE_ARCHIVES.values())).make())
    others = [archive, Blob(file_of({"x": 3})), Blob(b"{}"), Special("folder"), Special("pipe")]
    files[rng.choice(BESIDE).encode()] = rng.choice([*made.values(), *others])


def unnamed(rng: random.Random, files: Files) -> None:
    """Without what says which files there are, or what they are."""
    for name in rng.sample([INDEX, "config.json"], rng.choice([1, 2])):
        files.pop(name.encode(), None)


def unreadable(rng: random.Random, files: Files) -> None:
    """Without the right to read it; who is root has that right, and reads a file of no bytes."""
    files[rng.choice(NEEDED).encode()] = Special("unreadable")


OTHERS: list[Change] = [beside, beside, unnamed, unreadable]


def make(rng: random.Random) -> Case:
    """One to three changes; if any of them breaks it, it is broken, whatever the others do."""
    files: Files = {name.encode(): Blob(content) for name, content in of_indexes.whole().items()}
    kinds = [rng.choice([BREAKING, SOUND, SOUND, OTHERS]) for _ in range(rng.choice([1, 1, 2, 3]))]
    # What breaks it comes last and once, so that nothing mends it.
    for changes in (OTHERS, SOUND, BREAKING):
        for _ in range(kinds.count(changes) if changes is not BREAKING else BREAKING in kinds):
            rng.choice(changes)(rng, files)
    sound = False if BREAKING in kinds else None if OTHERS in kinds else True
    return Case(_without_conflicts(files), rng.choice(["", "", "", ".", "./"]), sound)


def _without_conflicts(files: Files) -> Files:
    """Nothing below what is no folder, and folders before what is in them; what comes last gives way."""
    kept: Files = {}
    for name, entry in sorted(files.items()):
        parents = [name[:at] for at in range(len(name)) if name[at : at + 1] == b"/"]
        if not any(parent in kept for parent in parents) and len(name) < 3000:
            kept[name] = entry
    return kept


def judge(case: Case, path: Path, ours: Errors) -> str:
    """As whoever made it says."""
    if case.sound is False and not ours:
        raise Wrong(f"we call it healthy, and it was broken: {sorted(os.listdir(os.fsencode(path)))}"[:1500])
    if case.sound is True and ours:
        raise Wrong(f"we find {ours}, and nothing is wrong with it"[:1500])
    if case.sound is None:
        return "refused by us" if ours else "read by us"
    return "read by both" if case.sound else "refused by both"
