"""What the tensors of the copy are, before a byte of one is read: each with the views that it consists of.

Changes come in stages, and each names tensors as they are before its stage. So of each tensor it is gathered first what
becomes of its values (Transform, in the order given), then where it goes: to one of Rename, Drop, Cut and Join.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tracer.checkpoint.consistency import shortened, some
from tracer.checkpoint.dtypes import BITS
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import UsageError
from tracer.repair.changes import Change, Cut, Drop, Join, Rename, Transform
from tracer.repair.view import NotAView, View
from tracer.report.words import plural

PLAIN_FLOATS = ("F64", "F32", "F16", "BF16")
"""The dtypes whose elements are the weights themselves; of all others a scale or a packing may be elsewhere."""
_RESERVED = "__metadata__"


@dataclass(frozen=True, slots=True)
class Values:
    """A view of one tensor, and what is added to each of its elements."""

    view: View
    amounts: tuple[float, ...] = ()

    @property
    def as_stored(self) -> bool:
        return self.view.in_order and not self.amounts


@dataclass(frozen=True, slots=True)
class Planned:
    """One tensor of the copy: its parts end to end along `axis`."""

    name: str
    parts: tuple[Values, ...]
    axis: int = 0

    @property
    def dtype(self) -> str:
        return self.parts[0].view.tensor.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        shapes = [part.view.shape for part in self.parts]
        first = list(shapes[0])
        if len(shapes) > 1:
            first[self.axis] = sum(shape[self.axis] for shape in shapes)
        return tuple(first)

    @property
    def nbytes(self) -> int:
        return sum(part.view.nbytes for part in self.parts)

    @property
    def home(self) -> str:
        """The file of the checkpoint in whose place it is written."""
        file = self.parts[0].view.tensor.file
        assert file is not None
        return file

    @property
    def as_stored(self) -> bool:
        """Whether it is one tensor of the checkpoint under its own name, byte for byte."""
        return len(self.parts) == 1 and self.parts[0].as_stored and self.name == self.parts[0].view.tensor.name

    @property
    def info(self) -> TensorInfo:
        """As a header would describe it, but for its place."""
        return TensorInfo(self.name, self.dtype, self.shape, self.home, None, self.nbytes)


@dataclass(slots=True)
class _Wanted:
    """The changes of a stage, by the tensor that they name."""

    transforms: dict[str, list[Transform]] = field(default_factory=lambda: defaultdict(list))
    fates: dict[str, Rename | Drop | Cut | Join] = field(default_factory=dict)


def plan(tensors: Sequence[TensorInfo], stages: Iterable[Iterable[Change]]) -> list[Planned]:
    """The tensors after all stages, in the order of those that they come from.

    Raises UsageError for changes that contradict each other, name what is not there or give one name to two tensors.
    """
    planned = [Planned(tensor.name, (Values(View.of(tensor)),)) for tensor in tensors]
    for changes in stages:
        there = {tensor.name: tensor for tensor in planned}
        wanted = _by_tensor(there, changes)
        planned = [made for tensor in planned for made in _made_of(tensor, wanted, there)]
        if there and not planned:
            raise UsageError("the changes would leave no tensor")
        _check_names(planned)
    return planned


# --- what is wanted of each tensor ---


def _by_tensor(there: Collection[str], changes: Iterable[Change]) -> _Wanted:
    wanted = _Wanted()
    for change in changes:
        absent = [name for name in named(change) if name not in there]
        if absent:
            raise UsageError(f"{kind(change)} names {plural(len(absent), 'tensor')} not there: {some(absent)}")
        if isinstance(change, Transform):
            for name in change.names:
                _transform(wanted.transforms[name], change, name)
        elif isinstance(change, Rename | Drop | Cut | Join):
            for name in named(change):
                _send(wanted.fates, change, name)
    for name, fate in wanted.fates.items():
        if isinstance(fate, Drop) and name in wanted.transforms:
            raise UsageError(f"{shortened(name)} is to be dropped, and transformed")
    return wanted


def named(change: Change) -> tuple[str, ...]:
    """The tensors of the checkpoint that a change names."""
    match change:
        case Rename(names):
            return tuple(names)
        case Cut(name):
            return (name,)
        case Drop(names) | Transform(names) | Join(names):
            return names
        case _:
            return ()


def kind(change: Change) -> str:
    """`rename`, `set-field`."""
    name = type(change).__name__
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]


def _transform(known: list[Transform], change: Transform, name: str) -> None:
    """The same twice is one mistake told twice, rather than two corrections."""
    same = (change.op, change.heads, change.amount)
    if same in [(other.op, other.heads, other.amount) for other in known]:
        raise UsageError(f"{shortened(name)} is to be transformed twice alike: {change.op}")
    known.append(change)


def _send(fates: dict[str, Rename | Drop | Cut | Join], change: Rename | Drop | Cut | Join, name: str) -> None:
    """What two changes agree on is said once; a tensor that is a part of something twice is not."""
    before = fates.setdefault(name, change)
    if isinstance(before, Drop) and isinstance(change, Drop):
        return
    if isinstance(before, Rename) and isinstance(change, Rename):
        if before.names[name] == change.names[name]:
            return
        both = f"{shortened(before.names[name])} and {shortened(change.names[name])}"
        raise UsageError(f"{shortened(name)} is to be renamed to two names: {both}")
    if before == change and named(change).count(name) == 1:
        return
    both = f"{kind(before)}, {kind(change)}"
    raise UsageError(f"{shortened(name)} is named by two changes that contradict each other: {both}")


# --- what becomes of it ---


def _made_of(tensor: Planned, wanted: _Wanted, there: Mapping[str, Planned]) -> Iterator[Planned]:
    """What stands in a tensor's place: nothing, itself, its parts, or what it is the first part of."""
    fate = wanted.fates.get(tensor.name)
    if isinstance(fate, Drop) or (isinstance(fate, Join) and fate.names[0] != tensor.name):
        return
    changed = _transformed(tensor, wanted.transforms.get(tensor.name, ()))
    match fate:
        case Rename(names):
            yield replace(changed, name=names[tensor.name])
        case Cut():
            yield from _cut(fate, _only(changed, f"cut of {shortened(tensor.name)}"))
        case Join():
            parts = [_transformed(there[name], wanted.transforms.get(name, ())) for name in fate.names]
            yield _joined(fate, parts)
        case _:
            yield changed


def _only(tensor: Planned, title: str) -> Values:
    """The one part of a tensor."""
    if len(tensor.parts) > 1:
        what = f"it is joined from {len(tensor.parts)} in the same repair; repair the copy once more"
        raise UsageError(f"{title}: {what}")
    return tensor.parts[0]


def _transformed(tensor: Planned, transforms: Sequence[Transform]) -> Planned:
    if transforms and tensor.dtype not in PLAIN_FLOATS:
        what = f"its elements are {tensor.dtype}, quantised or packed, and what they mean is not in them alone"
        raise UsageError(f"{transforms[0].op} of {shortened(tensor.name)}: {what}")
    for transform in transforms:
        if transform.op == "add":
            amount = transform.amount
            parts = tuple(Values(part.view, (*part.amounts, amount)) for part in tensor.parts)
        else:
            title = f"{transform.op} of {shortened(tensor.name)}"
            part = _only(tensor, title)
            try:
                parts = (replace(part, view=_moved(part.view, transform)),)
            except NotAView as error:
                raise UsageError(f"{title}: {error}") from None
        tensor = replace(tensor, parts=parts)
    return tensor


def _moved(view: View, transform: Transform) -> View:
    if transform.op == "transpose":
        return view.transposed()
    reorder = View.interleaved if transform.op == "half-to-interleaved" else View.halved
    return reorder(view, transform.heads)


def _cut(cut: Cut, values: Values) -> Iterator[Planned]:
    _check_ranges(cut, values.view.shape)
    for name, (start, stop) in cut.parts.items():
        try:
            part = values.view.cut(cut.axis, start, stop)
        except NotAView as error:
            raise UsageError(f"cut of {shortened(cut.name)}: {error}") from None
        yield Planned(name, (Values(part.without(cut.axis) if cut.drop_axis else part, values.amounts),))


def _check_ranges(cut: Cut, shape: tuple[int, ...]) -> None:
    """Nothing of the tensor may be lost, nor come twice."""
    title = f"cut of {shortened(cut.name)}"
    if not 0 <= cut.axis < len(shape):
        raise UsageError(f"{title}: expected an axis of {list(shape)}, found {cut.axis}")
    at = 0
    for start, stop in cut.parts.values():
        if start != at or stop < start or (cut.drop_axis and stop != start + 1):
            found = f"[{start}, {stop}) where {at} was next"
            raise UsageError(f"{title}: expected ranges of axis {cut.axis} in order, found {found}")
        at = stop
    if at != shape[cut.axis]:
        raise UsageError(f"{title}: the parts are {at} of the {shape[cut.axis]} of axis {cut.axis}")


def _joined(join: Join, tensors: Sequence[Planned]) -> Planned:
    title = f"join into {shortened(join.into)}"
    parts = [_only(tensor, title) for tensor in tensors]
    views = [part.view for part in parts]
    dimensions = len(views[0].shape)
    if not 0 <= join.axis < dimensions + join.new_axis:
        raise UsageError(f"{title}: expected an axis of {list(views[0].shape)}, found {join.axis}")
    for name, view in zip(join.names, views, strict=True):
        fits = len(view.shape) == dimensions and all(
            extent == first or (axis == join.axis and not join.new_axis)
            for axis, (extent, first) in enumerate(zip(view.shape, views[0].shape, strict=True))
        )
        if not fits or view.tensor.dtype != views[0].tensor.dtype:
            expected = f"{views[0].tensor.dtype} {list(views[0].shape)}"
            found = f"{shortened(name)} of {view.tensor.dtype} {list(view.shape)}"
            raise UsageError(f"{title}: expected {expected} but for axis {join.axis}, found {found}")
        _check_rows(title, join.axis, view)
    if join.new_axis:
        parts = [Values(part.view.with_new(join.axis), part.amounts) for part in parts]
    return Planned(join.into, tuple(parts), join.axis)


def _check_rows(title: str, axis: int, view: View) -> None:
    """What is joined further in is written a stretch of rows at a time, which packed and reordered ones do not have."""
    packed = BITS[view.tensor.dtype] % 8 != 0
    if axis and (packed or any(len(steps) > 1 for steps in view.axes[:axis])):
        why = "its elements are packed" if packed else "its rows are reordered as well"
        raise UsageError(f"{title}: {shortened(view.tensor.name)} can only be joined along axis 0: {why}")


# --- names ---


def _check_names(planned: Sequence[Planned]) -> None:
    origins: dict[str, str] = {}
    for tensor in planned:
        source = tensor.parts[0].view.tensor.name
        if not tensor.name or tensor.name == _RESERVED or not tensor.name.isprintable():
            raise UsageError(f"{shortened(source)}: expected a printable name, found {tensor.name[:200]!a}")
        if tensor.name in origins:
            both = f"{shortened(origins[tensor.name])} and {shortened(source)}"
            raise UsageError(f"two tensors would be called {shortened(tensor.name)}: {both}")
        origins[tensor.name] = source
