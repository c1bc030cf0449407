"""What files hold and entries of the table claim, gone through once: 90,000 names are more than a key has time for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mappings.bind import BoundRow
    from mappings.claims import Owner
    from mappings.plan import LoadPlan
    from tracer.checkpoint.tensor_info import TensorInfo


class Held:
    """The tensors of one subject, by where they lie and by who claims them."""

    def __init__(self, tensors: Sequence[TensorInfo], plan: LoadPlan | None) -> None:
        self._tensors, self._plan = tensors, plan
        self._params: dict[str, Sequence[str]] = {}

    def prepare(self) -> None:
        """All of it, so that no key has to wait."""
        _ = self._files, self._claimed, self._rows

    @property
    def files(self) -> Collection[str]:
        """Those that tensors are in."""
        return self._files.keys()

    def file(self, name: str) -> Sequence[TensorInfo]:
        """What lies in a file, in the order of its bytes."""
        return self._files.get(name, ())

    def row(self, name: str) -> BoundRow | None:
        """The row of that id."""
        return self._rows.get(name)

    def claimed(self, owner: Owner) -> Sequence[str]:
        """The tensors that an entry of the table claims, in the order of the files."""
        return self._claimed.get(id(owner), ())

    def params(self, row: BoundRow) -> Sequence[str]:
        """The parameters that the tensors of a row go into."""
        if row.id not in self._params:
            self._params[row.id] = list(dict.fromkeys(map(row.param_name, row.instances())))
        return self._params[row.id]

    @cached_property
    def _files(self) -> Mapping[str, Sequence[TensorInfo]]:
        found: dict[str, list[TensorInfo]] = {}
        for info in self._tensors:
            if info.file is not None:
                found.setdefault(info.file, []).append(info)
        return {name: sorted(own, key=lambda info: info.offset or 0) for name, own in found.items()}

    @cached_property
    def _rows(self) -> Mapping[str, BoundRow]:
        return {row.id: row for row in reversed(self._plan.binding.rows)} if self._plan else {}

    @cached_property
    def _claimed(self) -> Mapping[int, Sequence[str]]:
        """By identity: entries are compared by all that they say, and each tensor has the very one that claims it."""
        found: dict[int, list[str]] = {}
        for tensor, claim in zip(self._plan.tensors, self._plan.claims, strict=True) if self._plan else ():
            if claim.owner is not None:
                found.setdefault(id(claim.owner), []).append(tensor.name)
        return found
