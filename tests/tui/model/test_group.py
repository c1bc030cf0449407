"""The page of a group: of a fold it says that it is one."""

from __future__ import annotations

from pathlib import Path

from fixtures import small_checkpoint
from tests.tui.model.material import subject
from tests.tui.model.pages import prose
from tracer.report.words import size
from tui.model.browsing import Browsing
from tui.model.line import Target


def test_the_page_of_a_fold_says_that_it_is_of_one_of_several_and_what_all_of_them_take(tmp_path: Path) -> None:
    small_checkpoint.sound(tmp_path)
    llama = subject(tmp_path)
    browsing = Browsing(llama.where, 1)
    browsing.arrived(llama)
    told: dict[str, str] = {}
    for node in [row.node for row in browsing.tree.rows if not row.node.is_tensor]:
        browsing.look(Target("group", node.prefix))
        told[node.label] = prose(browsing.shown(), 120)
    own, all_of = (llama.stored_below(name) for name in ("model.layers.0", "model.layers"))
    fold, total = next(label for label in told if "layers" in label), f"{all_of.count} tensors, {size(all_of.nbytes)}"
    assert f"tensors {own.count} size {size(own.nbytes)} " in told[fold]
    assert f"fold one of 2 alike: {fold} together {total} dtypes" in told[fold] and "alike" not in told["model"]
