"""What is made a field at a time is what its constructor makes."""

from __future__ import annotations

from itertools import repeat

import pytest

from tracer.bulk import in_bulk
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diff.weights import Weight


def test_records_made_in_bulk_are_those_of_the_constructor() -> None:
    names, shapes = [f"t{number}" for number in range(5)], [(number, 2) for number in range(5)]
    rest = repeat("f"), range(5), range(9), repeat(None), repeat(False)
    found = in_bulk(TensorInfo, names, repeat("F32"), shapes, *rest)
    assert found == [TensorInfo(names[at], "F32", shapes[at], "f", at, at) for at in range(5)]
    assert len(set(found)) == 5
    weights = in_bulk(Weight, names, shapes, repeat("F32"), [{"": info} for info in found], repeat(None), repeat({}))
    assert weights == [Weight(info.name, info.shape, "F32", {"": info}) for info in found]


def test_a_field_without_a_column_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        in_bulk(TensorInfo, ["a"], repeat("F32"))


def test_of_nothing_nothing_is_made() -> None:
    assert in_bulk(TensorInfo, [], *repeat([], 7)) == []
