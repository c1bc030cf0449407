"""The dtype tables against the reference library's own."""

from __future__ import annotations

import pytest
from safetensors import SafetensorError, deserialize

from fixtures.hostile import entry, file_of
from tracer.checkpoint.dtypes import BITS, from_config, nbytes


@pytest.mark.parametrize("dtype", BITS)
def test_the_reference_counts_the_same_bits(dtype: str) -> None:
    """Eight elements take as many bytes as one has bits."""
    content = file_of({"a": entry(dtype, [8], (0, BITS[dtype]))}, BITS[dtype])
    assert deserialize(content)
    assert nbytes(dtype, 8) == BITS[dtype]


def test_the_reference_knows_no_other_dtype() -> None:
    """Its message lists what it knows, so a new one shows here."""
    with pytest.raises(SafetensorError) as caught:
        deserialize(file_of({"a": entry("?")}))
    assert all(f"`{dtype}`" in str(caught.value) for dtype in BITS)
    assert str(caught.value).count("`") == 2 * (len(BITS) + 1)


@pytest.mark.parametrize(
    ("spelling", "dtype"),
    [("bfloat16", "BF16"), ("torch.float16", "F16"), ("float8_e4m3fn", "F8_E4M3"), ("auto", None)],
)
def test_config_spelling(spelling: str, dtype: str | None) -> None:
    assert from_config(spelling) == dtype
