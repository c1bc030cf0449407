"""Blocks unpacked by the thousand are what each of them is alone."""

from __future__ import annotations

import numpy as np
import pytest

from mappings.ggml import GGML_TYPES, GgmlType
from tracer.values import blocks

pytest.importorskip("gguf")
KINDS = [kind for kind in GGML_TYPES.values() if kind.elements > 1 and blocks.dequantiser(kind.name)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_many_blocks_are_each_block_alone(kind: GgmlType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine blocks, of which at most four are unpacked together."""
    monkeypatch.setattr(blocks, "_AT_ONCE", 4 * kind.elements)
    blocks.dequantiser.cache_clear()
    dequantise = blocks.dequantiser(kind.name)
    blocks.dequantiser.cache_clear()
    assert dequantise is not None
    raw = np.random.default_rng(1).integers(0, 256, 9 * kind.nbytes, dtype=np.uint8)
    alone = [dequantise(one) for one in raw.reshape(9, -1)]
    together = dequantise(raw)
    assert together.dtype == np.float32
    assert together.tobytes() == np.concatenate(alone).tobytes()
    assert dequantise(raw[:0]).shape == (0,)


def test_gguf_is_asked_once_for_thousands_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of one block each costs ten times as long."""
    from gguf import quants

    calls = []
    unpack = quants.Q4_0.dequantize_blocks

    def counted(held: np.ndarray) -> np.ndarray:
        calls.append(len(held))
        return np.asarray(unpack(held))

    dequantise = blocks.dequantiser("Q4_0")
    assert dequantise is not None
    monkeypatch.setattr(quants.Q4_0, "dequantize_blocks", counted)
    dequantise(np.zeros(4096 * 18, np.uint8))
    assert calls == [4096]
