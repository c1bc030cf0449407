"""When a load tells what it has done: a killed process loses what was not told."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
import torch

from engine.loading import loader
from engine.loading.loader import Copy, Loader
from engine.loading.recorder import NullRecorder
from engine.loading.sources import MetaWeights
from mappings.bind import Binder
from mappings.plan import plan
from mappings.synth import synthesise
from tests.engine.checkpoints import config_of
from tests.engine.shares import BY_NAME


class Slow(Loader):
    """Copies that each take a thousandth of a second, far less than the time between two tellings."""

    def perform(self, copy: Copy) -> None:
        super().perform(copy)
        time.sleep(0.001)


class Told(NullRecorder):
    """Notes how many copies had been told of at each pause."""

    def __init__(self) -> None:
        self.copies = 0
        self.tellings: list[int] = []

    def copied(self, *args: object) -> None:
        self.copies += 1

    def pause(self) -> None:
        self.tellings.append(self.copies)


@pytest.mark.parametrize("ahead", [1, 3, 64])
def test_short_copies_too_are_told_while_others_are_made(ahead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are prepared at once, and however soon a batch of them is done."""
    monkeypatch.setattr(loader, "TELL_SECONDS", 0.02)
    binding = Binder(BY_NAME["LlamaForCausalLM"], config_of("llama") | {"num_hidden_layers": 24}, 1).bind()
    made = plan(binding, synthesise(binding))
    source, told = MetaWeights(made.tensors), Told()
    monkeypatch.setattr(source, "ahead", ahead)
    params = {name: torch.empty(leaf.form(0).shape, device="meta") for name, leaf in made.params()}
    Slow(made, 0, source, told).load(params | {name: params[to] for name, to in made.tied().items()})
    total = len(list(made.steps(0)))
    assert told.copies == total > 3 * 64
    assert sum(0 < copies < total for copies in told.tellings) >= 5
    assert max(after - before for before, after in pairwise([0, *told.tellings])) < total / 3
