"""Which files of a folder are the model, and which are the same model once more.

The rule, in this order: a copy with files that are here before one of pointers before a mere index; then safetensors
before PyTorch before GGUF; then the usual name before any other; then what has an index before what has none, several
GGUF files by size, the largest first; and `consolidated*`, `original/` and `metal/`, the same weights as another
program names them, last.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mappings.findings import Finding
from tracer.checkpoint.consistency import some
from tracer.checkpoint.files import Files
from tracer.checkpoint.formats import FORMATS, GGUF, PYTORCH, Format, of_content, of_file
from tracer.checkpoint.index import Index, read_index
from tracer.checkpoint.shards import series_of, siblings
from tracer.checkpoint.sniff import HEAD_BYTES
from tracer.errors import InputError, UsageError

_OTHER_NAMES = "consolidated*"
_OTHER_FOLDERS = ("original/", "metal/")
"""Where publishers keep the same weights as another program names them."""
_NOT_WEIGHTS = (
    "training_args.bin", "optimizer*", "scheduler*", "scaler*", "rng_state*", "trainer_state*", "random_states*",
    "adapter_model*", "mmproj*", "*imatrix*", "ggml-vocab*",
)  # fmt: skip
"""Files beside the weights that have the suffix of weights; read when named, never chosen."""
_OTHER_PROGRAMS = ("*.h5", "*.msgpack", "*.onnx", "*.ckpt", "*.npz")


@dataclass(frozen=True)
class Copy:
    """One copy of the model in a folder."""

    format: Format
    index: str | None
    """The name of its index file."""
    files: list[str]
    """In natural order; with an index, all those beside it that it may name."""


def choose(files: Files, only: str | None = None) -> tuple[Copy, Index | None] | None:
    """The copy to read, of one format only if that is asked for, with its index; None where there is none.

    Raises UsageError where the wanted format is not there, InputError for an index that cannot be read.
    """
    found = [copy for copy in copies(files) if only in (None, copy.format.name)]
    if not found and only is not None:
        here = sorted({copy.format.called for copy in copies(files)})
        raise UsageError(f"--load-format {only}: {files.title} has none; found {some(here) or 'no weights'}")
    ranked: list[tuple[int, Copy, Index | None]] = []
    for copy in found:
        index = read_index(files, copy.index) if copy.index else None
        ranked.append((_presence(files, copy, index), copy, index))
        if ranked[-1][0] == _HERE:
            break
    return min(ranked, key=lambda entry: entry[0])[1:] if ranked else None


_HERE, _POINTERS, _PROMISED = range(3)


def _presence(files: Files, copy: Copy, index: Index | None) -> int:
    """Whether any file of a copy is here, or pointers at least, or only an index that promises them."""
    named = [file for file in index.files() if files.has(file)] if index else []
    held = [*named, *(unnamed(files, copy, index) if index else copy.files)]
    if any(files.pointer_size(file) is None for file in held):
        return _HERE
    return _POINTERS if held else _PROMISED


def unnamed(files: Files, copy: Copy, index: Index) -> list[str]:
    """Files of a copy that its index does not name, nor any other index of the folder."""
    named = {*index.files(), *_named_elsewhere(files, copy)}
    return [file for file in copy.files if file not in named]


def copies(files: Files) -> list[Copy]:
    """Every copy of the model that the folder holds, as far as names tell, the preferred one first."""
    names = files.names()
    if files.one_file:
        return [_of_file(files, names)] if names else []
    ours = [name for name in names if "/" not in name and not fnmatchcase(name, _OTHER_NAMES)]
    theirs = [name for name in names if fnmatchcase(name, _OTHER_NAMES) or name.startswith(_OTHER_FOLDERS)]
    return [copy for group in (ours, theirs) for format in FORMATS for copy in _of(format, group, files)]


def _of_file(files: Files, names: list[str]) -> Copy:
    """A file that was named is read, whatever it is called."""
    format = of_file(names[0])
    if format is None:
        with files.open(names[0]) as file:
            format = of_content(file.read(HEAD_BYTES))
    # A split model is named by one of its parts, as llama.cpp does; a shard of another format is looked at alone.
    parts = [name for name in siblings(names[0]) if files.has(name)] if format is GGUF else names
    return Copy(format, None, parts)


def _of(format: Format, names: Sequence[str], files: Files) -> list[Copy]:
    weights = [name for name in names if format.is_named(name) and not _beside(name)]
    if format is GGUF:
        return _gguf(weights, files)
    indexes = [name for name in names if format.is_index(name)]
    indexes.sort(key=lambda name: name.rpartition("/")[2] != format.usual_index)
    if indexes or not weights:
        return [Copy(format, index, weights) for index in indexes]
    return [Copy(format, None, _models(format, weights))]


def _beside(file: str) -> bool:
    name = file.rpartition("/")[2]
    return any(fnmatchcase(name, pattern) for pattern in _NOT_WEIGHTS)


def _models(format: Format, weights: list[str]) -> list[str]:
    """A trainer's folder has pickles of all kinds, so those with a model's name are preferred."""
    if format is not PYTORCH:
        return weights
    usual = [name for name in weights if re.match(r"(.*/)?(pytorch_model|model|consolidated)[-_.]", name)]
    return usual or weights


def _gguf(weights: Sequence[str], files: Files) -> list[Copy]:
    """Each series of split files, and each file alone, is a whole model: the largest first."""
    series: dict[str, list[str]] = defaultdict(list)
    for name in weights:
        series[series_of(name) or name].append(name)
    sizes = {stem: sum(files.pointer_size(name) or files.size(name) for name in own) for stem, own in series.items()}
    return [Copy(GGUF, None, series[stem]) for stem in sorted(series, key=lambda stem: -sizes[stem])]


def _named_elsewhere(files: Files, chosen: Copy) -> set[str]:
    """The files that the folder's other indexes name. One of those that cannot be read names nothing."""
    named: set[str] = set()
    for copy in copies(files):
        if copy.index and copy.index != chosen.index and copy.format is chosen.format:
            with suppress(InputError):
                named.update(read_index(files, copy.index).files())
    return named


def second_copy(files: Files, chosen: Copy, read: Sequence[str]) -> Finding | None:
    """The other copies of the model that the folder holds beside the files that were read."""
    ignored = _others(files, chosen, read)
    if not ignored:
        return None
    return Finding(
        "shards.second-copy",
        "info",
        ignored[0],
        f"the folder holds the model more than once; read: {_listed(read)}; ignored: {_listed(ignored)}",
        {"read": list(read), "ignored": ignored},
        "choose another with --load-format, or name the file",
    )


def _listed(names: Sequence[str]) -> str:
    """All of them, a numbered series by its first and its number."""
    series: dict[str, list[str]] = defaultdict(list)
    for name in names:
        series[series_of(name) or name].append(name)
    return ", ".join(own[0] if len(own) == 1 else f"{own[0]} ({len(own)} files)" for own in series.values())


def _others(files: Files, chosen: Copy, read: Sequence[str]) -> list[str]:
    """Whatever else has the name of weights; the folders of other programs as such."""
    if files.one_file:
        return []
    beside_index = set(chosen.files) - _named_elsewhere(files, chosen)
    mine = {*read, *beside_index}
    found = [name for name in files.names() if _is_weights(name) and name not in mine]
    flat = [next((folder for folder in _OTHER_FOLDERS if name.startswith(folder)), name) for name in found]
    return [name for name in dict.fromkeys(flat) if name.count("/") == name.endswith("/")]


def is_shard(name: str) -> bool:
    """Whether a file is by its name the model or one of its shards, whatever else has the suffix of weights."""
    return series_of(name) is not None or re.fullmatch(r"(.*/)?(pytorch_model|model)\.\w+", name) is not None


def _is_weights(name: str) -> bool:
    return not _beside(name) and is_called_weights(name)


def is_called_weights(name: str) -> bool:
    """Whether a file has the suffix of weights, of any program and whatever is in it."""
    return of_file(name) is not None or any(fnmatchcase(name, pattern) for pattern in _OTHER_PROGRAMS)
