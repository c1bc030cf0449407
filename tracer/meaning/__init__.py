"""Whether values mean what their place says: what loads and would talk nonsense."""

from __future__ import annotations

from tracer.meaning.examining import TESTS, examine_meaning
from tracer.meaning.meant import Meant

__all__ = ["TESTS", "Meant", "examine_meaning"]
