"""Python's garbage collector, put aside while records are made by the hundred thousand."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Nothing is looked for meanwhile; also a decorator.

    The collector would go through all records again each time their number has grown by a quarter, a third of the
    whole time, and finds nothing: they do not refer to each other in circles, and counting references frees them.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
