"""A trace as a networkx graph: file -> tensor -> row -> parameter -> slice, whole or around one node.

Nodes are `(kind, name)` pairs, a slice `("slice", param, rank)`; edges carry the ranges. GraphML has strings only,
so `write_graphml` spells nodes and ranges out.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import TypeAlias

import networkx as nx

from mappings.names import blank
from tracer.errors import UsageError
from tracer.events import Move, Tensor, ranges_to_json
from tracer.store import Store

Node: TypeAlias = tuple[Hashable, ...]


def whole(store: Store, ranks: Iterable[int] | None = None) -> nx.MultiDiGraph:
    """Everything; for small models. A terabyte's trace has millions of edges: take `around` there."""
    graph = nx.MultiDiGraph()
    for rank in ranks if ranks is not None else store.run.ranks:
        _add(graph, store, store.moves(rank))
    for tensor in store.tensors():
        _add_tensor(graph, tensor)
    return graph


def around(store: Store, name: str) -> nx.MultiDiGraph:
    """The neighbourhood of a tensor or a parameter: all that feeds it and all it feeds. Raises UsageError."""
    moves = [*store.moves(tensor=name), *store.moves(param=name)]
    if not moves:
        raise UsageError(f"{name} is no tensor and no parameter of this trace")
    graph = nx.MultiDiGraph()
    _add(graph, store, moves)
    named = {move.tensor for move in moves}
    for tensor in store.tensors():
        if tensor.name in named:
            _add_tensor(graph, tensor)
    return graph


def _add(graph: nx.MultiDiGraph, store: Store, moves: Iterable[Move]) -> None:
    tied: dict[int, dict[str, str]] = {}
    for move in moves:
        tensor, row = ("tensor", move.tensor), ("row", move.row)
        param, piece = ("param", move.param), ("slice", move.param, move.rank)
        src, dst = ranges_to_json(move.src), ranges_to_json(move.dst)
        graph.add_edge(tensor, row, key=(move.param, move.rank, str(dst)), rank=move.rank, src=src)
        _once(graph, row, param)
        _once(graph, param, piece)
        graph.add_edge(
            tensor, piece, key=(move.shard, str(dst)), rank=move.rank, shard=move.shard, src=src, dst=dst,
            perm=move.perm, op=move.op, kind="move",
        )  # fmt: skip
        if move.rank not in tied:
            tied[move.rank] = {p.tied_to: p.name for p in store.params(move.rank) if p.tied_to}
        if move.param in tied[move.rank]:
            _once(graph, piece, ("param", tied[move.rank][move.param]))


def _once(graph: nx.MultiDiGraph, a: Node, b: Node) -> None:
    if not graph.has_edge(a, b):
        graph.add_edge(a, b, kind="leads to")


def _add_tensor(graph: nx.MultiDiGraph, tensor: Tensor) -> None:
    node = ("tensor", tensor.name)
    graph.add_node(node, dtype=tensor.dtype, shape=tensor.shape, disposition=tensor.disposition)
    if tensor.file is not None:
        graph.add_edge(("file", tensor.file), node, offset=tensor.offset, nbytes=tensor.nbytes, kind="holds")


def write_graphml(graph: nx.MultiDiGraph, path: Path) -> None:
    """GraphML for yEd, Gephi and the like. Nodes are told as `kind:name`."""
    flat = nx.MultiDiGraph()
    for node, data in graph.nodes(data=True):
        flat.add_node(_label(node), kind=str(node[0]), template=blank(str(node[1]))[0], **_flat(data))
    for a, b, data in graph.edges(data=True):
        flat.add_edge(_label(a), _label(b), **_flat(data))
    nx.write_graphml(flat, path)


def _label(node: Node) -> str:
    return ":".join(map(str, node))


def _flat(data: dict[str, object]) -> dict[str, str | int]:
    return {
        k: v if isinstance(v, str | int) else json.dumps(v) for k, v in data.items() if v is not None and k != "kind"
    } | ({"relation": str(data["kind"])} if "kind" in data else {})  # fmt: skip
