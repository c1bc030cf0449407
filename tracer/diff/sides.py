"""The two things to be compared: what each is, and what its headers say."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tracer.checkpoint.folder import Checkpoint, open_checkpoint
from tracer.checkpoint.formats import GGUF
from tracer.checkpoint.hub.address import advice, is_hub_id
from tracer.checkpoint.regular_file import open_regular
from tracer.diff.packed.recognise import weights
from tracer.diff.weights import Weight, plain
from tracer.errors import InputError
from tracer.outputs import is_store
from tracer.report import words

_TRACE = b'{"kind"'


@dataclass
class Side:
    """One checkpoint, by its headers."""

    letter: str
    """`A` or `B`."""
    given: str
    checkpoint: Checkpoint
    apart: bool = False
    """Whether each tensor counts by itself: beside a side of which only names are known, schemes are not."""
    lent: dict[str, str] = field(default_factory=dict)
    """Names that only the other side's twin of a file tells, and that file; by `pointers.lend_names`."""

    @cached_property
    def weights(self) -> dict[str, Weight]:
        """By name; those that only an index names have no shape."""
        tensors = self.checkpoint.tensors
        if self.apart:
            found = {tensor.name: plain(tensor) for tensor in tensors}
        else:
            found = weights(tensors, self.checkpoint.config)
        if not self.has_mere_names:
            return found
        held = {tensor.name for tensor in tensors}
        absent = [name for name in (*self.checkpoint.names, *self.lent) if name not in held]
        return found | {name: Weight(name, None, "", {}) for name in absent if name not in found}

    @cached_property
    def homes(self) -> dict[str, str]:
        """The file of each tensor, by its header, by the index, or by the other side's twin of the file."""
        return self.lent | self.own_homes() if self.lent else self.own_homes()

    def own_homes(self) -> dict[str, str]:
        """As far as this side knows them itself."""
        index = self.checkpoint.index
        homes = dict(index.weight_map) if index else {}
        homes.update({tensor.name: tensor.file for tensor in self.checkpoint.tensors if tensor.file is not None})
        return homes

    @property
    def has_mere_names(self) -> bool:
        """Whether of some of its tensors only the names are known."""
        return bool(self.lent) or len(self.checkpoint.names) > len(self.checkpoint.tensors)

    @property
    def has_metadata(self) -> bool:
        """Whether its config is what GGUF's metadata say, which know fewer fields."""
        return self.checkpoint.format is GGUF

    @property
    def is_folder(self) -> bool:
        """Whether it is a place where a config.json could be: a folder or a repository, no single file."""
        return not os.path.isfile(self.given)

    @property
    def headless(self) -> str:
        """Why not all shapes are known; empty where they are."""
        unknown = len(self.checkpoint.names) - len(self.checkpoint.tensors)
        if not unknown:
            return ""
        return f"{self.letter}: the files with {unknown} of {len(self.checkpoint.names)} tensors are not here"

    def __str__(self) -> str:
        tensors = self.checkpoint.tensors
        dtypes = sorted({tensor.dtype for tensor in tensors})
        files = len({tensor.file for tensor in tensors})
        nbytes = words.size(sum(tensor.nbytes for tensor in tensors))
        held = f", {nbytes} as {', '.join(dtypes)} in {words.plural(files, 'file')}" if tensors else ""
        return f"{self.letter}: {self.given}: {words.plural(len(self.checkpoint.names), 'tensor')}{held}"


def is_trace(given: str) -> bool:
    """Whether a path is a trace of a load: a store, or JSON Lines. Raises InputError for what cannot be opened."""
    path = Path(given)
    if not path.is_file():
        return False
    with open_regular(path) as file:
        return is_store(path) or file.read(len(_TRACE)) == _TRACE


def open_side(letter: str, given: str, bytes_wanted: bool) -> Side:
    """A folder, a file, or a repository on the Hub (`org/name`, `org/name@revision`).

    Raises InputError; UsageError where values are to be read and are not on this machine.
    """
    if os.path.lexists(given):
        return Side(letter, given, open_checkpoint(Path(given)))
    repo, _, revision = given.partition("@")
    if not is_hub_id(repo):
        raise InputError(f"{given}: no such file or folder{advice(given)}", subject=given)
    from tracer.checkpoint.hub.opening import open_repository

    opened = open_repository(repo, revision or None, None, bytes_wanted, "leave out --values")
    return Side(letter, given, opened)
