"""Which globals the pickles of a folder refer to, opcode by opcode; nothing is imported and nothing is run.

Those of weights are judged where they are read (`checkpoint/pytorch/allowed.py`). Those of other files, a trainer's
arguments say, are listed, and are an error where they call what no saved object needs.
Source: the opcodes as Python's `pickletools` describes them.
"""

from __future__ import annotations

import io
import pickletools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from mappings.findings import Finding
from tracer.checkpoint.consistency import some
from tracer.checkpoint.files import Files
from tracer.checkpoint.pytorch import allowed
from tracer.checkpoint.pytorch.archive import read_archive
from tracer.checkpoint.pytorch.refusal import Refusal
from tracer.errors import InputError

SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".pickle")
MOST_OPCODES = 1_000_000
"""Of all pickles together: those of some 30,000 tensors."""
_MOST_BYTES = 1 << 26
_LEGACY_PICKLES = 5
_LEGACY_BYTES = 1 << 22
"""A legacy file does not say how long its pickles are; those of 10,000 tensors are not longer."""
_DANGEROUS = {
    "os", "posix", "nt", "subprocess", "sys", "shutil", "socket", "pty", "runpy", "importlib", "ctypes", "webbrowser",
    "urllib", "requests", "http", "ftplib", "smtplib", "code", "codeop", "commands", "multiprocessing", "asyncio",
    "pdb", "bdb", "timeit", "cProfile", "profile", "trace", "marshal", "pickle", "_pickle", "pip", "operator", "pydoc",
    "venv",
}  # fmt: skip
"""Modules with which a pickle can do anything at all, and of which no saved object needs a function."""
_DANGEROUS_BUILTINS = {
    "eval", "exec", "compile", "open", "__import__", "getattr", "setattr", "delattr", "globals", "locals", "vars",
    "breakpoint", "input", "map", "apply", "execfile",
}  # fmt: skip
_BUILTINS = ("builtins", "__builtin__")
_INNER = {"os", "_os", "posix", "nt", "sys", "_sys", "subprocess", "builtins", "__builtins__", "importlib"}
"""Modules that other modules have as attributes, where dotted names find them."""
_KEEPING = ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT")
_FETCHING = ("GET", "BINGET", "LONG_BINGET")
_REGISTERED = ("EXT1", "EXT2", "EXT4")
"""Opcodes for globals by a number of `copyreg`."""
_FIRST = {opcode.code.encode("latin-1") for opcode in pickletools.opcodes}
_UNTOLD = "a global whose name is computed"
_SHOWN = 4


@dataclass(frozen=True)
class Listing:
    """The globals of one file."""

    file: str
    counts: Counter[str]
    complete: bool
    """Whether the pickle was followed to its end."""

    @property
    def foreign(self) -> list[str]:
        """Those that a state dict has no use for."""
        return [name for name in self.counts if not _is_allowed(name)]


class _Found(NamedTuple):
    """The pickles in a file."""

    streams: list[io.BytesIO]
    whole: bool = True
    """Whether these are all, to their ends."""
    sure: bool = True
    """Whether the file says that it is one; the oldest protocols have no mark."""


def list_globals(files: Files, names: Sequence[str]) -> Iterator[Listing]:
    """The globals of each file that is a pickle, until `MOST_OPCODES` have been seen; of the others that they are."""
    left = MOST_OPCODES
    for name in names:
        try:
            with files.open(name) as file:
                found = _pickles(file, files.size(name))
        except InputError:
            continue
        if left <= 0 or not found.streams:
            if found.streams or not found.whole:
                yield Listing(name, Counter(), False)
            continue
        walk = _Walk(left, found.whole)
        done = [walk.follow(stream) for stream in found.streams]
        left -= walk.steps
        listing = Listing(name, walk.counts, all(done) and found.whole)
        yield from [listing] if found.sure else _likely(listing)


def _pickles(file: BinaryIO, size: int) -> _Found:
    """Those of a zip archive, or the beginning of a file that begins with one."""
    head = file.read(4)
    if head == b"PK\x03\x04":
        return _archived(file, size)
    marked = head[:1] == b"\x80" and head[1:2] <= b"\x05"
    if not marked and head[:1] not in _FIRST:
        return _Found([])
    file.seek(0)
    return _Found([io.BytesIO(file.read(min(size, _LEGACY_BYTES)))], size <= _LEGACY_BYTES, marked)


def _likely(listing: Listing) -> Iterator[Listing]:
    """A listing of what may be no pickle at all, since any bytes begin with an opcode or two."""
    if (listing.complete and listing.counts) or any(map(is_dangerous, listing.counts.keys() - {_UNTOLD})):
        yield listing
    elif listing.counts[_UNTOLD]:
        yield Listing(listing.file, Counter(), False)


def _archived(file: BinaryIO, size: int) -> _Found:
    try:
        records = [record for record in read_archive(file, size).records if record.name.endswith(".pkl")]
    except Refusal:
        return _Found([], whole=False)
    streams = []
    left = _MOST_BYTES  # of all records together: they are all held at once
    for record in records:
        if record.stop - record.start <= left:
            file.seek(record.start)
            streams.append(io.BytesIO(file.read(record.stop - record.start)))
            left -= record.stop - record.start
    return _Found(streams, len(streams) == len(records))


class _Walk:
    """Goes over opcodes and remembers what strings they push, since names of globals may come from the stack."""

    def __init__(self, most: int, whole: bool) -> None:
        self.counts: Counter[str] = Counter()
        self.steps = 0
        self._most = most
        self._whole = whole

    def follow(self, stream: io.BytesIO) -> bool:
        """All pickles of a stream; whether they ended as they should."""
        for number in range(_LEGACY_PICKLES):
            if number and stream.tell() == len(stream.getbuffer()):
                break
            try:
                self._one(stream)
            except (ValueError, KeyError, IndexError, OverflowError, UnicodeError, RecursionError):
                # After the pickles of a legacy file come its numbers, which are none.
                return number > 0 and self._whole
            if self.steps >= self._most:
                return False
        return True

    def _one(self, stream: io.BytesIO) -> None:
        pushed: list[str | None] = []
        memo: dict[int, str | None] = {}
        for opcode, argument, _ in pickletools.genops(stream):
            self.steps += 1
            if self.steps >= self._most:
                return
            name = opcode.name
            if name in _KEEPING:
                memo[len(memo) if name == "MEMOIZE" else int(argument or 0)] = pushed[-1] if pushed else None
                continue
            if asked := _asked(name, argument, pushed):
                self.counts[asked] += 1
            if opcode.stack_before:  # what lies on top now is not known
                pushed.clear()
            if name in _FETCHING:
                pushed.append(memo.get(int(argument or 0)))
            elif opcode.stack_after:
                pushed.append(argument if isinstance(argument, str) and "UNICODE" in name else None)
            del pushed[:-2]


def _asked(name: str, argument: object, pushed: Sequence[str | None]) -> str:
    """The global that an opcode asks for; empty for other opcodes."""
    if name in ("GLOBAL", "INST"):
        return str(argument).replace(" ", ".", 1)
    if name == "STACK_GLOBAL":
        module, attribute = ([None, None, *pushed])[-2:]
        return f"{module}.{attribute}" if module and attribute else _UNTOLD
    return _UNTOLD if name in _REGISTERED else ""


def _is_allowed(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    return allowed.find(module, attribute) is not None or _split(name)


def _split(name: str) -> bool:
    """Whether a name with several dots in its last part is on the list."""
    parts = name.split(".")
    return any(allowed.find(".".join(parts[:at]), ".".join(parts[at:])) for at in range(1, len(parts)))


def summary(listings: Sequence[Listing]) -> str:
    """What the pickles of the model refer to, in words; empty where there is none."""
    total: Counter[str] = Counter()
    for listing in listings:
        total += listing.counts
    if not total:
        return ""
    told = ", ".join(f"{name} x{count:,}" for name, count in total.most_common(_SHOWN))
    more = f" and {len(total) - _SHOWN} more" if len(total) > _SHOWN else ""
    judged = "all on the list of what a state dict needs" if not any(each.foreign for each in listings) else "not run"
    files = "1 file" if len(listings) == 1 else f"{len(listings)} files"
    return f"{files} listed by opcode, {judged}: {told}{more}"


def beside(listings: Sequence[Listing]) -> Iterator[Finding]:
    """Pickles that are not the model: what they would call, were they loaded."""
    for listing in listings:
        foreign = listing.foreign
        worst = [name for name in foreign if is_dangerous(name)]
        if worst:
            yield Finding(
                "pickle.unsafe-global", "error", listing.file,
                f"{listing.file} refers to {some(worst)}, with which a pickle can do anything; it was not run",
                {"globals": dict(listing.counts)}, "do not load it",
            )  # fmt: skip
        elif foreign:
            yield Finding(
                "pickle.unsafe-global", "info", listing.file,
                f"{listing.file}, which is not the model, refers to {some(foreign)}: loading it runs that code",
                {"globals": dict(listing.counts)},
            )  # fmt: skip


def is_dangerous(name: str) -> bool:
    """Whether a global lets a pickle run whatever it likes."""
    root, *inner, last = name.split(".") if "." in name else ("", name)
    if name == _UNTOLD or _INNER.intersection(inner):
        return True
    return last in _DANGEROUS_BUILTINS if root in _BUILTINS else root in _DANGEROUS
