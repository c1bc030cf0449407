"""Layouts made concrete: where `"head.part, hidden"` and its like put each element, against numpy said by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from mappings.axes import PART, Axes, Dim, Layout, parse
from mappings.forms import AtomPart, Extent, Form, atom_part, form
from mappings.params import Cut, Part
from mappings.schemes import Scheme
from mappings.shards import shard
from tests.mappings.laws import law

Ids: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

KV, GROUP, DIM, HIDDEN, FFN, EXPERT = 2, 3, 4, 7, 5, 3
HEAD = KV * GROUP
NOPE, VDIM, RANK = 5, 3, 4
KHEAD, KDIM, VGROUP, WIDE = 2, 3, 2, 5
MHEAD, MDIM, STATE, CONV = 3, 2, 5, 4

AXES = Axes(
    {
        "kv": KV, "group": GROUP, "dim": DIM, "hidden": HIDDEN, "ffn": FFN, "expert": EXPERT, "nope": NOPE,
        "vdim": VDIM, "kv_rank": RANK, "two": 2, "half": DIM // 2, "khead": KHEAD, "kdim": KDIM, "vgroup": VGROUP,
        "wide": WIDE, "mhead": MHEAD, "mdim": MDIM, "mgroup": 1, "state": STATE, "conv": CONV,
    },
    {"head": ("kv", "group")},
)  # fmt: skip


class Example(NamedTuple):
    """A layout, the parts in it, and each part by hand, its axes in the order of its own dimensions."""

    layout: str
    parts: Mapping[str, str]
    shape: tuple[int, ...]
    by_hand: Callable[[Ids], Mapping[str, Ids]]


def gpt2(t: Ids) -> Mapping[str, Ids]:
    q, k, v = np.split(t, [HEAD * DIM, (HEAD + KV) * DIM], axis=1)
    return {
        "q": q.T.reshape(KV, GROUP, DIM, HIDDEN), "k": k.T.reshape(KV, DIM, HIDDEN), "v": v.T.reshape(KV, DIM, HIDDEN)
    }  # fmt: skip


def bloom(t: Ids) -> Mapping[str, Ids]:
    heads = t.reshape(KV, GROUP, 3, DIM, HIDDEN)
    return {"q": heads[:, :, 0], "k": heads[:, :, 1], "v": heads[:, :, 2]}


def falcon(t: Ids) -> Mapping[str, Ids]:
    groups = t.reshape(KV, GROUP + 2, DIM, HIDDEN)
    return {"q": groups[:, :GROUP], "k": groups[:, GROUP], "v": groups[:, GROUP + 1]}


def phi3(t: Ids) -> Mapping[str, Ids]:
    q, k, v = np.split(t, [HEAD * DIM, (HEAD + KV) * DIM])
    return {
        "q": q.reshape(KV, GROUP, DIM, HIDDEN), "k": k.reshape(KV, DIM, HIDDEN), "v": v.reshape(KV, DIM, HIDDEN)
    }  # fmt: skip


def gpt_oss(t: Ids) -> Mapping[str, Ids]:
    return {"gate": t[:, :, 0::2].transpose(0, 2, 1), "up": t[:, :, 1::2].transpose(0, 2, 1)}


def gpt_oss_engine(t: Ids) -> Mapping[str, Ids]:
    return {"gate": t[:, 0::2], "up": t[:, 1::2]}


def stacked(t: Ids) -> Mapping[str, Ids]:
    return {"gate": t[:, :FFN], "up": t[:, FFN:]}


def latent(t: Ids) -> Mapping[str, Ids]:
    heads = t.reshape(KV, GROUP, NOPE + VDIM, RANK)
    return {"k": heads[:, :, :NOPE], "v": heads[:, :, NOPE:]}


def llama4(t: Ids) -> Mapping[str, Ids]:
    """Even rows of a head are its first half, odd rows its second."""
    heads = t.reshape(KV, GROUP, DIM, HIDDEN)
    return {"q": np.stack([heads[:, :, 0::2], heads[:, :, 1::2]], axis=2)}


def qwen3_next(t: Ids) -> Mapping[str, Ids]:
    heads = t.reshape(KHEAD, 2 * KDIM + 2 * VGROUP * WIDE, HIDDEN)
    q, k, v, z = np.split(heads, [KDIM, 2 * KDIM, 2 * KDIM + VGROUP * WIDE], axis=1)
    shape = (KHEAD, VGROUP, WIDE, HIDDEN)
    return {"q": q, "k": k, "v": v.reshape(shape), "z": z.reshape(shape)}


def mamba2(t: Ids) -> Mapping[str, Ids]:
    x, b, c = np.split(t[:, 0], [MHEAD * MDIM, MHEAD * MDIM + STATE])
    return {"x": x.reshape(MHEAD, MDIM, CONV), "b": b, "c": c}


QKV = {"q": "head.dim, hidden", "k": "kv.dim, hidden", "v": "kv.dim, hidden"}
MHA = {"q": "head.dim, hidden", "k": "head.dim, hidden", "v": "head.dim, hidden"}
GATE_UP = {"gate": "expert, ffn, hidden", "up": "expert, ffn, hidden"}
ROWS = (HEAD + 2 * KV) * DIM

EXAMPLES = [
    Example("hidden, part", QKV, (HIDDEN, ROWS), gpt2),
    Example("head.part, hidden", MHA, (3 * HEAD * DIM, HIDDEN), bloom),
    Example("kv.part, hidden", QKV, (ROWS, HIDDEN), falcon),
    Example("part, hidden", QKV, (ROWS, HIDDEN), phi3),
    Example("expert, hidden, ffn.part", GATE_UP, (EXPERT, HIDDEN, 2 * FFN), gpt_oss),
    Example("expert, ffn.part, hidden", GATE_UP, (EXPERT, 2 * FFN, HIDDEN), gpt_oss_engine),
    Example("expert, part, hidden", GATE_UP, (EXPERT, 2 * FFN, HIDDEN), stacked),
    Example(
        "head.part, kv_rank", {"k": "head.nope, kv_rank", "v": "head.vdim, kv_rank"}, (HEAD * (NOPE + VDIM), RANK),
        latent,
    ),
    Example("head.half.two, hidden", {"q": "head.two.half, hidden"}, (HEAD * DIM, HIDDEN), llama4),
    Example(
        "khead.part, hidden",
        {
            "q": "khead.kdim, hidden", "k": "khead.kdim, hidden", "v": "khead.vgroup.wide, hidden",
            "z": "khead.vgroup.wide, hidden",
        },
        (KHEAD * (2 * KDIM + 2 * VGROUP * WIDE), HIDDEN), qwen3_next,
    ),
    Example(
        "part, 1, conv",
        {"x": "mhead.mdim, 1, conv", "b": "mgroup.state, 1, conv", "c": "mgroup.state, 1, conv"},
        (MHEAD * MDIM + 2 * STATE, 1, CONV), mamba2,
    ),
]  # fmt: skip


def whole(parts: list[AtomPart], axes: Axes = AXES) -> dict[str, dict[str, int]]:
    return {part.name: {atom: axes.size(atom) for atom in part.atoms} for part in parts}


def seen_through(laid: Form, part: AtomPart, rooms: Mapping[str, int]) -> Ids:
    """The elements of a part, its atoms in canonical order."""
    ids = np.arange(prod(laid.shape), dtype=np.int64)
    strides = tuple(laid.strides[part.name][atom] * ids.itemsize for atom in part.atoms)
    return as_strided(ids[laid.offsets[part.name] :], tuple(rooms[atom] for atom in part.atoms), strides)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.layout)
def test_a_layout_means_what_it_means_in_numpy(example: Example) -> None:
    parts = [atom_part(AXES, Part(name, parse(text), None)) for name, text in example.parts.items()]
    rooms = whole(parts)
    laid = form(AXES.layout(parse(example.layout)), parts, rooms)
    assert laid.shape == example.shape
    by_hand = example.by_hand(np.arange(prod(example.shape)).reshape(example.shape))
    assert sum(array.size for array in by_hand.values()) == prod(example.shape), "the example covers its tensor"
    for part in parts:
        assert np.array_equal(seen_through(laid, part, rooms[part.name]), by_hand[part.name]), part.name


# --- any layout ---


class Drawn(NamedTuple):
    layout: Layout
    parts: list[AtomPart]
    rooms: dict[str, dict[str, int]]


@st.composite
def fused(draw: st.DrawFn) -> Drawn:
    """Parts that share some axes and have others of their own, laid out in any way that mentions the shared ones."""
    shared = {f"s{k}": draw(st.integers(1, 3)) for k in range(draw(st.integers(0, 3)))}
    rooms = {}
    for name in ("q", "k", "v")[: draw(st.integers(1, 3))]:
        own = {f"{name}{k}": draw(st.integers(1, 3)) for k in range(draw(st.integers(0, 2)))}
        order = draw(st.permutations([*shared, *own]))
        rooms[name] = {atom: (shared | own)[atom] for atom in order}
    parts = [AtomPart(name, tuple(atoms), None, (), None) for name, atoms in rooms.items()]
    mentioned = draw(st.permutations([PART, *(axis for axis in shared if draw(st.booleans()))]))
    dims: list[Dim] = [()]
    for axis in mentioned:
        dims = [*dims, (axis,)] if draw(st.booleans()) else [*dims[:-1], (*dims[-1], axis)]
    return Drawn(tuple(dims), parts, rooms)


@law
@given(fused())
def test_parts_fill_their_tensor_without_overlap(drawn: Drawn) -> None:
    laid = form(drawn.layout, drawn.parts, drawn.rooms)
    found = [seen_through(laid, part, drawn.rooms[part.name]).ravel() for part in drawn.parts]
    assert sorted(np.concatenate(found)) == list(range(prod(laid.shape)))


# --- what a rank holds ---


def cut_part(text: str, kind: str, axis: str) -> AtomPart:
    return atom_part(AXES, Part("", parse(text), Cut(kind, axis)))  # type: ignore[arg-type]


@pytest.mark.parametrize("tp", [1, 2, 6])
def test_a_cut_of_a_product_is_a_box_of_its_atoms(tp: int) -> None:
    part = cut_part("head.dim, hidden", "split", "head")
    heads = np.arange(HEAD).reshape(KV, GROUP)
    for rank in range(tp):
        held = part.extents(AXES, tp, rank)
        box = tuple(slice(held[a].start, held[a].start + held[a].held) for a in ("kv", "group"))
        assert heads[box].ravel().tolist() == list(range(rank * HEAD // tp, (rank + 1) * HEAD // tp))
        assert held["dim"] == Extent(0, DIM, DIM)


def test_a_padded_cut_has_more_room_than_it_holds() -> None:
    axes = Axes({"vocab": 67, "hidden": 3}, {})
    part = atom_part(axes, Part("", parse("vocab, hidden"), Cut("pad", "vocab")))
    assert [part.extents(axes, 4, rank)["vocab"] for rank in range(4)] == [
        Extent(0, 32, 32), Extent(32, 32, 32), Extent(64, 3, 32), Extent(67, 0, 32)
    ]  # fmt: skip


@law
@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 5), st.integers(1, 9), st.sampled_from([1, 2, 3, 4]))
def test_a_rank_holds_the_scales_of_exactly_the_blocks_that_it_touches(
    per_rank: int, dim: int, hidden: int, block: int, tp: int
) -> None:
    axes = Axes({"head": per_rank * tp, "dim": dim, "hidden": hidden}, {})
    scheme = Scheme("fp8-block", "weight_scale_inv", "F8_E4M3", "F32", (block, 2))
    weight = Part("", parse("head.dim, hidden"), Cut("split", "head"))
    scale = atom_part(axes, scheme.scale_part(weight), scheme.blocked(weight))
    for rank in range(tp):
        held = shard(weight.cut, axes.size("head"), tp, rank)
        touched = {row // block for row in range(held.start * dim, held.stop * dim)}
        extents = scale.extents(axes, tp, rank)
        counted = extents.get(f"head.dim/{block}", Extent(0, 1, 1))
        assert set(range(counted.start, counted.start + counted.held)) == touched
