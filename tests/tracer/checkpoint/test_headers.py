"""Many headers at once: in order, bounded, and the same error every time."""

from __future__ import annotations

import threading
import time

import pytest

from tracer.checkpoint.headers import in_order

NAMES = [f"{number:02d}" for number in range(40)]


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_results_are_in_the_order_of_names(at_once: int) -> None:
    def work(name: str) -> int:
        time.sleep(0.002 * (int(name) % 3))
        return int(name)

    assert in_order(work, NAMES, at_once) == list(range(40))
    assert in_order(work, [], at_once) == []


def test_so_many_at_once_and_no_more() -> None:
    lock, running, most = threading.Lock(), 0, 0

    def work(name: str) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1

    in_order(work, NAMES, 4)
    assert most == 4


def test_the_error_is_that_of_the_first_name_even_if_another_came_sooner() -> None:
    begun: list[str] = []

    def work(name: str) -> None:
        begun.append(name)
        if name == "03":
            time.sleep(0.05)
            raise ValueError(name)
        if name == "05":
            raise ValueError(name)
        time.sleep(0.02)

    with pytest.raises(ValueError, match="03"):
        in_order(work, NAMES, 8)
    assert len(begun) < len(NAMES)


def test_one_at_a_time_is_this_thread() -> None:
    assert set(in_order(lambda _: threading.get_ident(), NAMES, 1)) == {threading.get_ident()}
