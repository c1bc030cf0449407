"""Changes carried out on headers and config.json in memory: what a repaired copy would say of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.repair.changes import Change, Cut, Drop, Join, RemoveField, Rename, SetField, Transform


def edited(checkpoint: Checkpoint, changes: Iterable[Change]) -> Checkpoint:
    """The checkpoint as it would be after all of them, in their order; the one that is given stays as it is."""
    for change in changes:
        if isinstance(change, SetField | RemoveField):
            checkpoint = replace(checkpoint, config=_configured(checkpoint.config or {}, change))
        elif isinstance(change, Rename):
            checkpoint = _renamed(checkpoint, change.names)
        elif isinstance(change, Drop):
            checkpoint = _without(checkpoint, frozenset(change.names))
        elif isinstance(change, Transform):
            checkpoint = _transposed(checkpoint, change)
        elif isinstance(change, Cut):
            checkpoint = _exchanged(checkpoint, (change.name,), _parts(change))
        elif isinstance(change, Join):
            checkpoint = _exchanged(checkpoint, change.names, _whole(change))
    return checkpoint


def _configured(config: Mapping[str, Any], change: SetField | RemoveField) -> dict[str, Any]:
    found: dict[str, Any] = deepcopy(dict(config))
    inner = found
    *path, last = change.field.split(".")
    for key in path:
        if not isinstance(inner.get(key), dict):
            inner[key] = {}
        inner = inner[key]
    if isinstance(change, SetField):
        inner[last] = change.value
    else:
        inner.pop(last, None)
    return found


def _renamed(checkpoint: Checkpoint, names: Mapping[str, str]) -> Checkpoint:
    index = checkpoint.index
    if index is not None:
        homes = {names.get(name, name): file for name, file in index.weight_map.items()}
        index = replace(index, weight_map=homes)
    tensors = [replace(t, name=names[t.name]) if t.name in names else t for t in checkpoint.tensors]
    return replace(checkpoint, index=index, tensors=tensors, names=[names.get(n, n) for n in checkpoint.names])


def _without(checkpoint: Checkpoint, gone: frozenset[str]) -> Checkpoint:
    index = checkpoint.index
    if index is not None:
        index = replace(index, weight_map={n: file for n, file in index.weight_map.items() if n not in gone})
    tensors = [tensor for tensor in checkpoint.tensors if tensor.name not in gone]
    return replace(checkpoint, index=index, tensors=tensors, names=[n for n in checkpoint.names if n not in gone])


def _transposed(checkpoint: Checkpoint, change: Transform) -> Checkpoint:
    """Only `transpose` shows in a header."""
    if change.op != "transpose":
        return checkpoint
    wanted = frozenset(change.names)
    tensors = [replace(t, shape=t.shape[::-1]) if t.name in wanted else t for t in checkpoint.tensors]
    return replace(checkpoint, tensors=tensors)


# --- one tensor for several, and several for one ---

_Made = Callable[[list[TensorInfo]], list[TensorInfo]]


def _exchanged(checkpoint: Checkpoint, names: tuple[str, ...], made: _Made) -> Checkpoint:
    """Tensors in place of those that they are made of; nothing where one of those is not here."""
    by_name = {tensor.name: tensor for tensor in checkpoint.tensors if tensor.name in names}
    if len(by_name) < len(names):
        return checkpoint
    new = made([by_name[name] for name in names])
    rest = _without(checkpoint, frozenset(names))
    return replace(rest, tensors=[*rest.tensors, *new], names=[*rest.names, *(tensor.name for tensor in new)])


def _parts(change: Cut) -> _Made:
    def made(found: list[TensorInfo]) -> list[TensorInfo]:
        return list(_cut(change, found[0]))

    return made


def _cut(change: Cut, whole: TensorInfo) -> Iterator[TensorInfo]:
    extent = whole.shape[change.axis] if change.axis < len(whole.shape) else 0
    for name, (start, stop) in change.parts.items():
        before, after = whole.shape[: change.axis], whole.shape[change.axis + 1 :]
        shape = (*before, *after) if change.drop_axis else (*before, stop - start, *after)
        yield replace(whole, name=name, shape=shape, nbytes=whole.nbytes * (stop - start) // max(1, extent))


def _whole(change: Join) -> _Made:
    def made(found: list[TensorInfo]) -> list[TensorInfo]:
        return [_joined(change, found)]

    return made


def _joined(change: Join, found: list[TensorInfo]) -> TensorInfo:
    first, axis = found[0], change.axis
    if change.new_axis:
        shape = (*first.shape[:axis], len(found), *first.shape[axis:])
    else:
        together = sum(tensor.shape[axis] for tensor in found)
        shape = (*first.shape[:axis], together, *first.shape[axis + 1 :])
    return replace(first, name=change.into, shape=shape, nbytes=sum(tensor.nbytes for tensor in found))
