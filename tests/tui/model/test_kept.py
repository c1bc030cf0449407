"""What is not known of a tensor is said so, and not counted as nothing."""

from __future__ import annotations

from pathlib import Path

from tests.corpus import materialise
from tui.model.kept import UNKNOWN
from tui.model.line import Target, plain
from tui.model.opening import open_subject
from tui.model.overview.page import overview
from tui.model.path import path
from tui.model.table import TablePage, Wanted
from tui.model.tree import tree_of
from tui.model.tree_page import TreePage

SLUG = "minicpm-v-2.6-renamed-qwen2"
"""An index, and rows for the decoder alone: of 450 tensors of the tower nothing tells a shape."""


def test_a_tensor_of_which_nothing_tells_a_shape_has_none_on_any_page(tmp_path: Path) -> None:
    subject = open_subject(str(materialise(SLUG, tmp_path / SLUG)), 1, lambda seen: None)
    strange = [info for info in subject.tensors if info.name.startswith("resampler.")]
    assert strange
    tree = tree_of(strange, {})
    assert all(UNKNOWN in plain(line) for line in TreePage(tree).lines(120))
    table = TablePage(strange, Wanted(), {})
    assert all(UNKNOWN in plain(line) and "F32" not in plain(line) for line in table.lines(120))
    shown = "\n".join(map(plain, path(subject, None, Target("tensor", strange[0].name), 0).lines(120)))
    assert "its shape and size are not known" in shown
    assert "450 of unknown size" in "\n".join(map(plain, overview(subject).lines(120)))
