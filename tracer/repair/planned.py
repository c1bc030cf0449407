"""What the tensors of the copy are, before a byte of one is read: each with the views that it consists of.

Changes come in stages, and each names tensors as they are before its stage. So of each tensor it is gathered first what
becomes of its values (Transform, in the order given), then where it goes: to one of Rename, Drop, Cut and Join.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tracer.checkpoint.consistency import shortened, some
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import UsageError
from tracer.repair.changes import Change, Cut, Drop, Join, Rename, Transform
from tracer.repair.content import Content, Joined, Values
from tracer.repair.view import NotAView, View
from tracer.report.words import plural

PLAIN_FLOATS = ("F64", "F32", "F16", "BF16")
"""The dtypes whose elements are the weights themselves; of all others a scale or a packing may be elsewhere."""
_RESERVED = "__metadata__"


@dataclass(frozen=True, slots=True)
class Planned:
    """One tensor of the copy."""

    name: str
    content: Content

    @property
    def dtype(self) -> str:
        return self.content.first.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.content.shape

    @property
    def nbytes(self) -> int:
        return self.content.nbytes

    @property
    def home(self) -> str:
        """The file of the checkpoint in whose place it is written."""
        file = self.content.first.file
        assert file is not None
        return file

    @property
    def as_stored(self) -> bool:
        """Whether it is a tensor of the checkpoint under its own name, byte for byte."""
        first = self.content.first
        return self.content.as_stored and (self.name, self.shape) == (first.name, first.shape)


@dataclass(slots=True)
class _Wanted:
    """The changes of a stage, by the tensor that they name."""

    transforms: dict[str, list[Transform]] = field(default_factory=lambda: defaultdict(list))
    fates: dict[str, Rename | Drop | Cut | Join] = field(default_factory=dict)


def plan(tensors: Sequence[TensorInfo], stages: Iterable[Iterable[Change]]) -> list[Planned]:
    """The tensors after all stages, in the order of those that they come from.

    Raises UsageError for changes that contradict each other, name what is not there or give one name to two tensors.
    """
    planned = [Planned(tensor.name, Values(View.of(tensor))) for tensor in tensors]
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
            yield from _cut(fate, changed)
        case Join():
            yield _joined(fate, [_transformed(there[name], wanted.transforms.get(name, ())) for name in fate.names])
        case _:
            yield changed


def _transformed(tensor: Planned, transforms: Sequence[Transform]) -> Planned:
    if transforms and tensor.dtype not in PLAIN_FLOATS:
        what = f"its elements are {tensor.dtype}, quantised or packed, and what they mean is not in them alone"
        raise UsageError(f"{transforms[0].op} of {shortened(tensor.name)}: {what}")
    content = tensor.content
    for transform in transforms:
        try:
            content = _after(content, transform)
        except NotAView as error:
            raise UsageError(f"{transform.op} of {shortened(tensor.name)}: {error}") from None
    return replace(tensor, content=content)


def _after(content: Content, transform: Transform) -> Content:
    match transform.op:
        case "transpose":
            return content.transposed()
        case "add":
            return content.plus(transform.amount)
        case way:
            return content.reordered(way, transform.heads)


def _cut(cut: Cut, tensor: Planned) -> Iterator[Planned]:
    _check_ranges(cut, tensor.shape)
    for name, (start, stop) in cut.parts.items():
        try:
            part = tensor.content.cut(cut.axis, start, stop)
        except NotAView as error:
            raise UsageError(f"cut of {shortened(cut.name)}: {error}") from None
        yield Planned(name, part.without(cut.axis) if cut.drop_axis else part)


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
    title, first = f"join into {shortened(join.into)}", tensors[0]
    if not 0 <= join.axis < len(first.shape) + join.new_axis:
        raise UsageError(f"{title}: expected an axis of {list(first.shape)}, found {join.axis}")
    for tensor in tensors:
        if not _fits(join, tensor, first):
            expected = f"{first.dtype} {list(first.shape)}"
            found = f"{shortened(tensor.name)} of {tensor.dtype} {list(tensor.shape)}"
            raise UsageError(f"{title}: expected {expected} but for axis {join.axis}, found {found}")
        try:
            if join.axis:
                tensor.content.check_rows(join.axis)
        except NotAView as error:
            what = f"{shortened(tensor.name)} can only be joined along axis 0: {error}"
            raise UsageError(f"{title}: {what}") from None
    contents = [tensor.content.with_new(join.axis) if join.new_axis else tensor.content for tensor in tensors]
    return Planned(join.into, Joined(tuple(contents), join.axis))


def _fits(join: Join, tensor: Planned, first: Planned) -> bool:
    """Whether two are of one dtype, and of one shape but for the axis along which they are joined."""
    shapes = list(tensor.shape), list(first.shape)
    if len(shapes[0]) == len(shapes[1]) and not join.new_axis:
        for shape in shapes:
            del shape[join.axis]
    return tensor.dtype == first.dtype and shapes[0] == shapes[1]


# --- names ---


def _check_names(planned: Sequence[Planned]) -> None:
    origins: dict[str, str] = {}
    for tensor in planned:
        source = tensor.content.first.name
        if not tensor.name or tensor.name == _RESERVED or not tensor.name.isprintable():
            raise UsageError(f"{shortened(source)}: expected a printable name, found {tensor.name[:200]!a}")
        if tensor.name in origins:
            both = f"{shortened(origins[tensor.name])} and {shortened(source)}"
            raise UsageError(f"two tensors would be called {shortened(tensor.name)}: {both}")
        origins[tensor.name] = source
