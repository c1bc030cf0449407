"""What columns say of a group is what its tensors say one by one; a tree of some is that of nothing but those."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from mappings.findings import SEVERITIES, Severity
from tracer.checkpoint.tensor_info import TensorInfo
from tui.model.kept import known
from tui.model.ordered import Chosen, Marks, Ordered
from tui.model.orders import FEW, Orders
from tui.model.tree import Tree, together, tree_of

SEGMENTS = st.sampled_from(["0", "1", "10", "07", "a", "layers", "weight\n", "²", "1" * 10, ""])
STRANGE = st.lists(SEGMENTS, min_size=1, max_size=5).map(".".join)
LAYERS = st.sampled_from([[f"{before}.{layer}{after}" for layer in range(3) for after in afters]
    for before in ("a", "0.b") for afters in ([""], [".w"], [".e.0.w", ".e.1.w"])
])  # fmt: skip
"""Names that are folded if nothing else is between them."""
KINDS = st.sampled_from([
    *[("F32", (1,), "a", None, 4)] * 6, ("I32", (1,), "a", None, 4), ("F32", (2,), "a", None, 8),
    ("", (0,), None, None, 0),
])  # fmt: skip


@st.composite
def checkpoints(draw: st.DrawFn) -> tuple[list[TensorInfo], dict[str, Severity]]:
    """Tensors of few kinds, some of which only an index has, and findings about some."""
    layers = draw(LAYERS)
    lost = draw(st.sets(st.sampled_from(layers), max_size=3)) if len(layers) > 3 else set()
    names = list(dict.fromkeys([*(n for n in layers if n not in lost), *draw(st.lists(STRANGE, max_size=6))]))
    infos = [TensorInfo(name, *draw(KINDS)) for name in names]
    marked = draw(st.lists(st.sampled_from(names), unique=True, max_size=2))
    return infos, {name: draw(st.sampled_from(SEVERITIES)) for name in marked}


def prepared(infos: Sequence[TensorInfo], marks: Marks) -> Ordered:
    ordered = Ordered(sorted(infos, key=together), marks)
    ordered.prepare()
    return ordered


def seen(tree: Tree) -> list[object]:
    """All of it that lines are made of, with everything open."""
    tree.open_up(10_000)
    nodes = [(row.depth, row.node) for row in tree.rows]
    return [(depth, node.label, node.prefix, node.count, node.nbytes, node.unknown, node.severity)
            for depth, node in nodes]  # fmt: skip


@given(checkpoints(), st.data())
def test_a_run_says_of_its_tensors_what_they_say(
    what: tuple[list[TensorInfo], dict[str, Severity]], data: st.DataObject
) -> None:
    infos, marks = what
    ordered = prepared(infos, marks)
    places = sorted(data.draw(st.sets(st.sampled_from(range(len(infos))))))
    own = [ordered.infos[place] for place in places]
    begin = data.draw(st.integers(0, len(own)))
    end = data.draw(st.integers(begin, len(own)))
    run, own = Chosen(ordered, places).run.part(begin, end), own[begin:end]
    assert list(run) == own and len(run) == len(own)
    assert run.nbytes == sum(info.nbytes for info in own)
    assert run.unknown == sum(not known(info) for info in own)
    assert run.severity == min((marks[i.name] for i in own if i.name in marks), key=SEVERITIES.index, default=None)


@given(checkpoints(), st.data())
def test_a_tree_of_some_is_that_of_these_alone_and_one_that_was_prepared_that_of_one_that_was_not(
    what: tuple[list[TensorInfo], dict[str, Severity]], data: st.DataObject
) -> None:
    infos, marks = what
    chosen = data.draw(st.one_of(st.just(set(range(len(infos)))), st.sets(st.sampled_from(range(len(infos))))))
    places = Orders(infos).places(sorted(chosen))
    by_columns = seen(Tree(Chosen(prepared(infos, marks), places)))
    assert by_columns == seen(tree_of([infos[position] for position in chosen], marks))


@given(st.permutations(range(3 * FEW)), st.integers(0, 3 * FEW))
def test_few_positions_and_many_stand_where_they_stand_among_all(order: list[int], count: int) -> None:
    infos = [TensorInfo(f"t.{number}", "F32", (1,), "a", 0, 4) for number in range(3 * FEW)]
    orders, wanted = Orders(infos), order[:count]
    made = orders.all("tree")
    assert orders.places(wanted) == sorted(place for place, position in enumerate(made) if position in wanted)


def test_layers_that_differ_in_the_number_of_an_expert_alone_are_not_alike() -> None:
    infos = [TensorInfo(f"layers.{layer}.experts.{layer % 2}.w", "F32", (1,), "a", None, 4) for layer in range(4)]
    tree = Tree(Chosen(prepared(infos, {}), range(4)))
    tree.open_up(10)
    assert [row.node.label for row in tree.rows if row.node.members] == ["0, 2", "1, 3"]
