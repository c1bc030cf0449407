"""What files hold and rows claim: the same as by looking at every tensor, which no key does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mappings.claims import Owner
from mappings.synth import Synthetic
from tests.tui.model.material import small, subject
from tests.tui.model.pages import text
from tui.model.browsing import Browsing
from tui.model.held import Held
from tui.model.line import Target


@pytest.mark.parametrize("name", ["llama tied", "mixtral", "gpt-oss"])
def test_every_tensor_is_in_its_file_and_with_who_claims_it(name: str, tmp_path: Path) -> None:
    found = subject(small(name, tmp_path, Synthetic("model.extra.weight", "BF16", (2, 2))))
    assert found.prepared is not None
    plan, held = found.prepared.plan, found.held
    for file in {info.file for info in found.tensors if info.file}:
        own = [info for info in found.tensors if info.file == file]
        assert held.file(file) == sorted(own, key=lambda info: info.offset or 0)
    owners: list[Owner] = [*plan.binding.rows, *plan.binding.ties, *(skip for skip, _ in plan.binding.skips)]
    for owner in owners:
        claims = zip(plan.tensors, plan.claims, strict=True)
        assert list(held.claimed(owner)) == [tensor.name for tensor, claim in claims if claim.owner is owner]
    for row in plan.binding.rows:
        assert held.row(row.id) is row
        assert held.params(row) == sorted(set(map(row.param_name, row.instances())), key=held.params(row).index)
    assert held.file("gone") == () and held.row("gone") is None
    assert Held(found.tensors, None).claimed(owners[0]) == ()


class Counted(list[Any]):
    """Tensors that count how often all of them are gone through."""

    rounds = 0

    def __iter__(self) -> Iterator[Any]:
        self.rounds += 1
        return super().__iter__()


def test_pages_of_files_and_rows_go_through_no_names_however_many_keys_are_pressed(tmp_path: Path) -> None:
    found = subject(small("mixtral", tmp_path))
    assert found.prepared is not None
    plan = found.prepared.plan
    tensors, stored, claims = Counted(found.tensors), Counted(plan.tensors), Counted(plan.claims)
    plan = replace(plan, tensors=stored, claims=claims)
    browsing = Browsing(found.where, 1)
    browsing.arrived(replace(found, tensors=tensors, prepared=replace(found.prepared, plan=plan)))
    browsing.more_ranks(1)
    before = tensors.rounds, stored.rounds, claims.rounds
    row = max(plan.binding.rows, key=lambda row: row.count())
    for target in (Target("file", str(found.tensors[0].file)), Target("row", row.id)):
        browsing.go(target)
        for _ in range(3):
            for browsing.page in ("path", "graph"):
                assert text(browsing.shown())
            browsing.next_rank(1)
    assert browsing.tp > 1 and (tensors.rounds, stored.rounds, claims.rounds) == before
