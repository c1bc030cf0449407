"""The same questions, put to a known good checkpoint of the family: cosines as stored, and after each transform.

Weights are matched by layer and by what they are for, so that the reference may be in another format. A fine-tune keeps
a cosine near 1 to what it was tuned from, rows in another order have one near 0. What the reference leaves open is
asked of the statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tracer.meaning import gate_up, norm_offset, rope_order, transposed
from tracer.meaning.against import gates, norms, rows, squares
from tracer.meaning.material import Material
from tracer.meaning.meant import Meant

COMPARISONS: Mapping[str, Callable[[Material, Material], Meant]] = {
    rope_order.NAME: rows.examine,
    gate_up.NAME: gates.examine,
    transposed.NAME: squares.examine,
    norm_offset.NAME: norms.examine,
}
"""Name of a test -> how it ends by comparison; not checked where the reference does not tell. They raise Unreadable."""
