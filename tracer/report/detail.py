"""One tensor's or one parameter's path in full: file bytes, checkpoint name, row, parameter, every rank's slice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from mappings.axes import spell
from mappings.names import blank
from mappings.views import Ranges, Shape
from tracer.events import Move, Tensor
from tracer.globs import matching
from tracer.report import words
from tracer.report.paths import Hop
from tracer.session import Result


class Detail:
    """Paths of single tensors, hop by hop."""

    def __init__(self, result: Result) -> None:
        self.store = result.store
        self.tensors = {tensor.name: tensor for tensor in result.store.tensors()}
        self.rows = {row.id: row for row in result.prepared.plan.binding.rows}
        self.leaves = {leaf.pattern.template: leaf for leaf in result.prepared.plan.binding.leaves}
        self.ranks = result.prepared.request.ranks
        self.params = {p.name: p for rank in self.ranks[:1] for p in result.store.params(rank)}

    def of_tensors(self, glob: str) -> Iterator[str]:
        """Every tensor that matches, loaded or not. Raises UsageError when none does."""
        for name in matching("--tensor", glob, self.tensors):
            yield from self._tensor(self.tensors[name], list(self.store.moves(tensor=name)))

    def of_params(self, glob: str) -> Iterator[str]:
        """Everything that leads into the parameters that match. Raises UsageError when none does."""
        for name in matching("--param", glob, self.params):
            yield self._param(name)
            moves = sorted(self.store.moves(param=name), key=lambda m: m.tensor)
            for tensor, own in groupby(moves, key=lambda m: m.tensor):
                yield from (f"  {line}" for line in self._tensor(self.tensors[tensor], list(own)))
            yield from self._pads(name)

    def _tensor(self, tensor: Tensor, moves: Sequence[Move]) -> Iterator[str]:
        yield f"{tensor.name}  {tensor.dtype} {words.shape(tensor.shape)}"
        yield f"  file   {self._file(tensor)}"
        row = self.rows.get(tensor.row or "")
        if row is None:
            yield f"  {tensor.disposition}: {tensor.reason}"
            return
        yield f'  row    {row.pattern.text}  {row.row.source}  "{spell(row.told)}"' + (f"  {row.op}" if row.op else "")
        hops: dict[tuple[str, str | int | None], dict[int, list[Move]]] = {}
        for move in moves:
            hops.setdefault((move.param, move.shard), {}).setdefault(move.rank, []).append(move)
        for (param, shard), by_rank in hops.items():
            yield f"  param  {self._param(param)}" + (f", shard {shard}" if shard is not None else "")
            for rank, blocks in by_rank.items():
                yield f"  rank {rank} {self._slice(tensor, blocks)}"

    def _file(self, tensor: Tensor) -> str:
        if tensor.file is None or tensor.offset is None:
            return f"none ({tensor.nbytes:,} bytes if it existed)"
        return f"{tensor.file}, bytes {tensor.offset:,} to {tensor.offset + tensor.nbytes:,}"

    def _param(self, name: str) -> str:
        param = self.params[name]
        if param.tied_to:
            return f"{name} = {param.tied_to} (tied, same storage)"
        leaf = self.leaves.get(blank(name)[0])
        made_of = words.composition(leaf) if leaf else ""
        whole = words.shape(leaf.whole_shape()) if leaf else ""
        return f"{name}  {whole}" + (f" = {made_of}" if made_of else "") + f", {words.shape(param.shape)} on a rank"

    def _slice(self, tensor: Tensor, blocks: Sequence[Move]) -> str:
        src, dst = tuple(m.src for m in blocks), tuple(m.dst for m in blocks)
        found = Hop(src, dst, blocks[0].perm)
        text = words.hop(found, tensor.shape, self.params[blocks[0].param].shape)
        return f"{text}  ({_bytes(tensor, src)})"

    def _pads(self, name: str) -> Iterator[str]:
        for rank in self.ranks:
            for pad in self.store.pads(rank):
                if pad.param == name:
                    where = words.side((pad.dst,), self.params[name].shape)
                    yield f"  rank {rank} {where} = {pad.value:g}: {pad.reason}"


def _bytes(tensor: Tensor, blocks: Sequence[Ranges]) -> str:
    """How much of the file a slice is, and in how many runs it lies there."""
    elements = sum(_elements(block) for block in blocks)
    total = _elements(tuple((0, n, 1) for n in tensor.shape))
    runs = sum(_runs(block, tensor.shape) for block in blocks)
    size = elements * tensor.nbytes // max(total, 1)
    return f"{size:,} bytes in {runs:,} run{'s' if runs > 1 else ''}"


def _elements(block: Ranges) -> int:
    total = 1
    for start, stop, step in block:
        total *= -(-(stop - start) // step)
    return total


def _runs(block: Ranges, shape: Shape) -> int:
    """Contiguous runs of a block in a row-major tensor."""
    inner = len(shape)
    while inner and block[inner - 1] == (0, shape[inner - 1], 1):
        inner -= 1
    if inner == 0:
        return 1
    step = block[inner - 1][2]
    last = 1 if step == 1 else _elements(block[inner - 1 : inner])
    return _elements(block[: inner - 1]) * last
