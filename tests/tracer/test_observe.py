"""From notes to moves where the notes are of something else than the plan."""

from __future__ import annotations

from contextlib import closing

from tracer.observe import Observer
from tracer.recorder import UNKNOWN
from tracer.store import Store


def test_a_tensor_that_the_plan_does_not_know_is_a_source_whose_shape_is_not_known() -> None:
    """Where it went is known all the same, so that the audit can say of whose elements it was."""
    with closing(Store.new(None)) as store:
        observer = Observer(store, 0, {"known": (4, 2)}, frozenset())
        observer.add([["param", "p", (4, 2), (2, 1), "torch.float32", None]])
        views = 2, (2, 2), (2, 1), 4, (2, 1)
        observer.add([["move", name, "p", "row", None, None, *views] for name in ("known", "stranger", UNKNOWN)])
        blocks = [(move.tensor, move.src, move.dst) for move in store.moves(0)]
    rows, half = (2, 4, 1), (0, 2, 1)
    assert blocks == [
        ("known", ((1, 3, 1), half), (rows, half)),
        ("stranger", (half, half), (rows, half)),
        (UNKNOWN, (half, half), (rows, half)),
    ]
