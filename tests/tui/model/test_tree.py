"""The tree of names: nothing is lost by folding, what differs is seen, every tensor can be gone to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.findings import Severity
from tracer.checkpoint.tensor_info import TensorInfo
from tui.model.tree import Node, Tree, natural, tree_of


def info(name: str, dtype: str = "BF16", shape: tuple[int, ...] = (4, 4), nbytes: int = 32) -> TensorInfo:
    return TensorInfo(name, dtype, shape, "model.safetensors", 0, nbytes)


def layers(count: int, *names: str) -> list[TensorInfo]:
    return [info(f"model.layers.{layer}.{name}") for layer in range(count) for name in names]


def leaves(node: Node) -> Iterator[Node]:
    """The tensors below, each as often as a line stands for it."""
    for child in node.children:
        if child.is_tensor:
            yield child
        else:
            yield from leaves(child)


def labels(tree: Tree) -> list[str]:
    return [row.node.label for row in tree.rows]


def opened(infos: list[TensorInfo], marks: dict[str, Severity] | None = None) -> Tree:
    """With everything open."""
    tree = tree_of(infos, marks or {})
    number = 0
    while number < len(tree.rows):
        tree.toggle(number, True)
        number += 1
    return tree


def test_equal_layers_are_one_line_below_which_one_stands_for_all() -> None:
    tree = opened([info("model.embed.weight"), *layers(32, "mlp.weight", "norm.weight")])
    assert labels(tree) == ["model", "embed.weight", "layers.0-31", "mlp.weight", "norm.weight"]
    assert [(row.node.times, row.node.count) for row in tree.rows[2:]] == [(32, 64), (32, 32), (32, 32)]


def test_a_group_is_found_by_its_name_or_by_that_of_the_one_which_stands_for_it() -> None:
    tree = tree_of([info("model.embed.weight"), *layers(3, "mlp.up.weight", "mlp.down.weight", "norm.weight")], {})
    for name in ("model.layers.0", "model.layers.2", "model.layers.1.mlp"):
        node = tree.find(name)
        assert node is not None and node.times == 3 and node.prefix == name.replace("2", "0").replace("1", "0")
    model = tree.find("model")
    assert model is not None and model.times == 1
    assert [tree.find(name) for name in ("model.layers.3", "model.lay", "x", "model.layers.0.mlp.gate")] == [None] * 4


def test_a_layer_that_differs_in_a_name_a_shape_a_dtype_or_a_finding_stands_alone() -> None:
    infos = layers(6, "mlp.weight", "norm.weight")
    infos[2] = info("model.layers.1.mlp.weight", shape=(4, 5))
    infos[5] = info("model.layers.2.norm.weight", dtype="F32")
    infos.append(info("model.layers.3.mlp.bias"))
    tree = opened(infos, {"model.layers.4.mlp.weight": "error"})
    assert [row.node.label for row in tree.rows if row.depth == 1] == ["0, 5", "1", "2", "3", "4"]
    assert [row.node.severity for row in tree.rows if row.depth == 1] == [None, None, None, None, "error"]


def test_experts_fold_inside_of_layers_that_fold() -> None:
    tree = opened([info(f"layers.{n}.experts.{e}.{w}") for n in range(3) for e in range(8) for w in ("w1", "w2")])
    assert labels(tree) == ["layers.0-2", "experts.0-7", "w1", "w2"]
    assert [row.node.times for row in tree.rows] == [3, 24, 24, 24]


def test_unfolding_puts_each_layer_on_a_line_and_folds_them_again() -> None:
    tree = opened(layers(3, "a.weight", "b.weight"))
    assert labels(tree) == ["model.layers.0-2", "a.weight", "b.weight"]
    assert tree.unfold(1)
    assert labels(tree) == ["model.layers.0-2", "0", "1", "2"]
    assert tree.unfold(0)
    assert labels(tree) == ["model.layers.0-2", "a.weight", "b.weight"]


def test_where_nothing_is_folded_nothing_unfolds() -> None:
    tree = opened([info("a.weight"), info("b.weight")])
    assert not tree.unfold(0)


def test_a_tensor_is_gone_to_through_the_fold_that_stands_for_it() -> None:
    tree = tree_of(layers(32, "mlp.up.weight", "norm.weight"), {})
    number = tree.reveal("model.layers.7.mlp.up.weight")
    assert number is not None
    assert tree.rows[number].node.prefix == "model.layers.0.mlp.up.weight"
    tree.unfold(0)
    number = tree.reveal("model.layers.7.mlp.up.weight")
    assert number is not None
    assert tree.rows[number].node.prefix == "model.layers.7.mlp.up.weight"


def test_a_name_that_nobody_has_is_nowhere() -> None:
    assert tree_of(layers(2, "a", "b"), {}).reveal("model.layers.9.a") is None


def test_a_tensor_whose_name_is_the_beginning_of_others_is_beside_them() -> None:
    tree = opened([info("a"), info("a.b"), info("a.c")])
    assert sorted(node.prefix for node in leaves(tree.root)) == ["a", "a.b", "a.c"]


@pytest.mark.parametrize(("names", "ordered"), [
    (["layer10", "layer9"], ["layer9", "layer10"]), (["b", "a"], ["a", "b"]), (["10", "9", "x"], ["9", "10", "x"]),
    (["²", "2"], ["2", "²"]), ([f"{10**30}", "3"], ["3", f"{10**30}"]),
])  # fmt: skip
def test_numbers_are_ordered_as_numbers(names: list[str], ordered: list[str]) -> None:
    assert sorted(names, key=natural) == ordered


SEGMENTS = st.sampled_from(["0", "1", "2", "10", "07", "a", "layers", "weight", "w.1", ""])
NAMES = st.lists(SEGMENTS, min_size=1, max_size=5).map(".".join)


@given(st.dictionaries(NAMES, st.tuples(st.sampled_from(["BF16", "F32"]), st.integers(1, 3)), max_size=30))
def test_every_tensor_is_counted_once_weighs_what_it_weighs_and_can_be_gone_to(
    found: dict[str, tuple[str, int]],
) -> None:
    infos = [info(name, dtype, (size,), size * 4) for name, (dtype, size) in found.items()]
    tree = opened(infos)
    below = list(leaves(tree.root))
    assert sum(node.count for node in below) == len(infos)
    assert sum(node.nbytes for node in below) == sum(each.nbytes for each in infos)
    for each in infos:
        number = tree.reveal(each.name)
        assert number is not None
        shown = tree.rows[number].node.run.first
        assert (shown.dtype, shown.shape) == (each.dtype, each.shape)
