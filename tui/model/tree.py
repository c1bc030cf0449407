"""The tree of names: groups by dot-segment, and numbered groups that are alike folded into one, losslessly.

`model.layers` of 32 equal layers is one line, `layers.0-31 ×32`, and below it stands one layer for all of them; a layer
with another tensor, shape, dtype or finding stands on a line of its own. `unfold` puts each on a line. Children are
made when they are asked for, and names are kept in an order in which each group is a run of them, so that 92,000 names
cost what is in sight.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeAlias

from mappings.findings import Severity
from mappings.names import is_index, runs
from tracer.checkpoint.tensor_info import TensorInfo
from tui.model.ordered import NUMBER, Chosen, Marks, Ordered, Run

Alike: TypeAlias = tuple[object, ...]
"""What two numbered groups must have in common to be folded: names below them, dtypes, shapes, findings."""


@dataclass(eq=False)
class Node:
    """A group of tensors, a fold of groups that are alike, or one tensor."""

    label: str
    prefix: str
    """The beginning of all names below, up to and with its own segments."""
    run: Run
    """The tensors below: of a fold those of its first member."""
    times: int = 1
    """For how many alike it stands, over all folds around it."""
    members: Sequence[Node] = ()
    """Of a fold: each of the groups that are alike."""
    opened: bool = False
    unfolded: bool = False
    """Of a fold: whether its members stand on lines of their own."""

    @property
    def is_tensor(self) -> bool:
        """Whether it is a tensor, or stands for some that are alike."""
        return len(self.run) == 1 and self.run.first.name == self.prefix

    @property
    def count(self) -> int:
        """Tensors that it stands for."""
        return len(self.run) * self.times

    @property
    def nbytes(self) -> int:
        """Their data. Those of a fold are alike, and so are their sizes."""
        return self.run.nbytes * self.times

    @property
    def unknown(self) -> int:
        """Of how many of its `run` nothing is known but their names."""
        return self.run.unknown

    @property
    def severity(self) -> Severity | None:
        """The worst finding below."""
        return self.run.severity

    @cached_property
    def below(self) -> Sequence[Node]:
        """Its children where a fold is shown as one."""
        return () if self.is_tensor else children(self.run, len(self.prefix) + 1, self.times)

    @property
    def children(self) -> Sequence[Node]:
        return self.members if self.unfolded else self.below

    def holds(self, name: str) -> bool:
        """Whether a tensor is below it, or is one of those that it stands for."""
        return any(
            name == node.prefix if node.is_tensor else _under(name, node.prefix) for node in self.members or (self,)
        )


ITSELF = "(itself)"
"""Of a tensor whose whole name is the beginning of others."""


def together(info: TensorInfo) -> str:
    """A key by which names that begin with the same segments follow each other, whatever else is in them."""
    return _key(info.name)


def _key(name: str) -> str:
    if not name.isprintable():
        name = name.replace("\1", "\1b").replace("\0", "\1a")
    return name.replace(".", "\0")


def run(infos: Sequence[TensorInfo], name: str) -> tuple[int, int]:
    """Where those below a name begin and end, of tensors in this order."""
    begin, end = (bisect_left(infos, _key(name) + after, key=together) for after in "\0\1")
    return begin, end


def root(run: Run) -> Node:
    """The invisible node above all names."""
    top = Node("", "", run, opened=True)
    top.below = children(run, 0, 1)
    return top


def children(run: Run, start: int, times: int) -> list[Node]:
    """Groups by the segment that begins at `start`, in natural order, those that are alike folded."""
    own = [Node(ITSELF, info.name, run.part(run.begin, run.begin + 1), times) for info in _first(run)
           if len(info.name) < start]  # fmt: skip
    groups = dict(_groups(run.part(run.begin + len(own), run.end), start))
    order = sorted(groups, key=natural)
    numbered = [segment for segment in order if is_index(segment)]
    if len(numbered) > 1:
        folded = _folded({segment: groups[segment] for segment in numbered}, start, times)
        return [*own, *(_group(s, groups[s], start, times) for s in order if not is_index(s)), *folded]
    return own + [_group(segment, groups[segment], start, times) for segment in order]


def _first(run: Run) -> Sequence[TensorInfo]:
    return [run.first] if len(run) else []


def _groups(run: Run, start: int) -> Iterator[tuple[str, Run]]:
    at = run.begin
    while at < run.end:
        name = run.chosen[at].name
        end = name.find(".", start)
        stop = _end(run, at, end if end >= 0 else len(name))
        yield name[start:end] if end >= 0 else name[start:], run.part(at, stop)
        at = stop


def _end(run: Run, at: int, length: int) -> int:
    """Where the run ends of those that begin as one does, looked for in steps that double: most runs are short."""
    chosen = run.chosen
    bound = _key(chosen[at].name[:length]) + "\1"
    step = 1
    while at + step < run.end and together(chosen[at + step]) < bound:
        step *= 2
    return bisect_left(chosen, bound, at + step // 2, min(at + step, run.end), key=together)


def _group(segment: str, run: Run, start: int, times: int) -> Node:
    """A group; where only one way leads on, that way is part of its label."""
    name, last, end = run.first.name, run.last.name, start + len(segment)
    while end < len(name):
        after = name.find(".", end + 1)
        after = len(name) if after < 0 else after
        if is_index(name[end + 1 : after]) or not _under(last, name[:after]):
            break
        end = after
    node = Node(name[start:end], name[:end], run, times)
    below = node.below if not node.is_tensor else ()
    if len(below) == 1 and below[0].members:
        return _joined(node, below[0])
    return node


def _joined(group: Node, fold: Node) -> Node:
    """`layers` with nothing but one fold in it is `layers.0-31`."""
    fold.label = f"{group.label}.{fold.label}"
    return fold


def _folded(groups: Mapping[str, Run], start: int, times: int) -> Iterator[Node]:
    alike: dict[Alike, list[str]] = {}
    for segment, run in groups.items():
        alike.setdefault(_what(run, start, start + len(segment)), []).append(segment)
    for segments in alike.values():
        members = [Node(s, groups[s].first.name[: start + len(s)], groups[s], times) for s in segments]
        yield members[0] if len(members) == 1 else _fold(members, times)


def _fold(members: Sequence[Node], times: int) -> Node:
    first = members[0]
    label = runs(int(member.label) for member in members).replace("..", "-")
    return Node(label, first.prefix, first.run, times * len(members), members)


def _what(run: Run, start: int, end: int) -> Alike:
    """Of a group whose number stands from `start` to `end` in its names."""
    kinds = run.kinds() if NUMBER.search(run.first.name[:start]) is None else None
    if kinds is not None:
        return kinds, run.codes()
    infos = list(run)
    return (
        tuple([info.name[end:] for info in infos]),
        tuple([info.dtype for info in infos]),
        tuple([info.shape for info in infos]),
        run.codes(),
    )


def _under(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and (len(name) == len(prefix) or name[len(prefix)] == ".")


_DIGITS = re.compile(r"(\d+)")


def natural(text: str) -> tuple[tuple[bool, int, str], ...]:
    """A key by which `layer10` comes after `layer9`: of two numbers the longer is the larger, however long."""
    return tuple([_piece(piece) for piece in _DIGITS.split(text) if piece])


@lru_cache(maxsize=1 << 16)  # in 92,000 names stand a few hundred, whose keys would take 60 MB
def _piece(piece: str) -> tuple[bool, int, str]:
    if piece.isdecimal():
        number = piece.lstrip("0") or "0"
        return False, len(number), number
    return True, 0, piece


@dataclass(frozen=True)
class Row:
    """A node that is in sight."""

    node: Node
    depth: int


class Tree:
    """What is open of it, as rows."""

    def __init__(self, chosen: Chosen) -> None:
        self.root = root(chosen.run)
        for node in self.root.children:
            node.opened = len(self.root.children) < 4 and not node.is_tensor
        self._rows: list[Row] | None = None

    def as_before(self, before: Tree) -> None:
        """Open what was open in another tree of the same names."""
        opened = {start for row in before.rows if row.node.opened for start in _starts(row.node.prefix)}
        unfolded = {row.node.prefix for row in before.rows if row.node.unfolded}
        _reopen(self.root.children, opened, unfolded)
        self._rows = None

    @property
    def rows(self) -> list[Row]:
        if self._rows is None:
            self._rows = list(_rows(self.root, 0))
        return self._rows

    def open_up(self, most: int) -> None:
        """Open groups from the top on, as long as there are not more than so many rows."""
        number, rows = 0, self.rows
        while number < len(rows) <= most:
            node = rows[number].node
            if not node.is_tensor and not node.opened:
                node.opened = True
                rows[number + 1 : number + 1] = _rows(node, rows[number].depth + 1)
            number += 1

    def toggle(self, number: int, opened: bool | None = None) -> None:
        """Open or close a row; with `opened`, so and not otherwise."""
        node = self.rows[number].node
        if not node.is_tensor:
            node.opened = not node.opened if opened is None else opened
            self._rows = None

    def unfold(self, number: int) -> bool:
        """Put each group of the fold at a row, or of the nearest around it, on a line, or all on one again."""
        found = next((node for node in self.path(number) if node.members), None)
        if found is None:
            return False
        found.unfolded, found.opened = not found.unfolded, True
        self._rows = None
        return True

    def path(self, number: int) -> list[Node]:
        """A row's node and those around it, the nearest first."""
        rows, found = self.rows, [self.rows[number].node]
        depth = rows[number].depth
        for row in reversed(rows[:number]):
            if row.depth < depth:
                found.append(row.node)
                depth = row.depth
        return found

    def find(self, start: str) -> Node | None:
        """The group of that name, or the fold that stands for it, be it in sight or not."""
        node: Node | None = self.root
        while node is not None and node.prefix != start:
            node = next((child for child in node.children if child.holds(start)), None)
            start = start if node is None else _as_first(node, start)
        return node

    def parent(self, number: int) -> int:
        """The row around a row; itself at the top."""
        depth = self.rows[number].depth
        return next((n for n in range(number - 1, -1, -1) if self.rows[n].depth < depth), number)

    def reveal(self, name: str) -> int | None:
        """Open what leads to a tensor, and give its row; a fold that stands for it is enough."""
        node: Node | None = next((child for child in self.root.children if child.holds(name)), None)
        if node is None:
            return None
        while not node.is_tensor:
            node.opened = True
            name = _as_first(node, name)
            node = next(child for child in node.children if child.holds(name))
        self._rows = None
        return next(number for number, row in enumerate(self.rows) if row.node is node)


def tree_of(infos: Sequence[TensorInfo], marks: Marks) -> Tree:
    """The tree of tensors in any order."""
    return Tree(Chosen(Ordered(sorted(infos, key=together), marks), range(len(infos))))


def _starts(prefix: str) -> Iterator[str]:
    """It, and what is around it: what was one fold may be several now, with a group around them."""
    yield prefix
    while "." in prefix:
        prefix = prefix.rpartition(".")[0]
        yield prefix


def _reopen(nodes: Sequence[Node], opened: Set[str], unfolded: Set[str]) -> None:
    for node in nodes:
        node.opened = node.prefix in opened
        node.unfolded = bool(node.members) and node.prefix in unfolded
        if node.opened and not node.is_tensor:
            _reopen(node.children, opened, unfolded)


def _as_first(node: Node, name: str) -> str:
    """The name of the tensor that stands for it in a fold that is shown as one."""
    if not node.members or node.unfolded:
        return name
    own = next(member.prefix for member in node.members if _under(name, member.prefix))
    return node.prefix + name[len(own) :]


def _rows(node: Node, depth: int) -> Iterator[Row]:
    for child in node.children:
        yield Row(child, depth)
        if child.opened and not child.is_tensor:
            yield from _rows(child, depth + 1)
