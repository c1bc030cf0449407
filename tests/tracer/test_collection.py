"""The garbage collector is put aside for a while, and never for longer."""

from __future__ import annotations

import gc

import pytest

from tracer.collection import uncollected


def test_the_collector_is_off_meanwhile_and_on_again_whatever_happens() -> None:
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled(), "an inner one does not end an outer one"
        _ = 1 / 0
    assert gc.isenabled()


def test_who_has_it_off_keeps_it_off() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
