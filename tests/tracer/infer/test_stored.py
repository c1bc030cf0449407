"""Packed weights are counted as what they are: scales, zeros, indices and masks are no weights."""

from __future__ import annotations

from collections import Counter

import pytest

from fixtures.geometries import geometry
from mappings.registry import choose
from mappings.synth import synthesise
from tracer.infer.shapes import nearest
from tracer.infer.shapes.stored import weights

Shapes = list[tuple[tuple[int, ...], str]]


def plain(name: str) -> Shapes:
    return [(t.shape, t.dtype) for t in synthesise(choose(geometry(name), None, 1, "BF16").binding)]


def is_linear(shape: tuple[int, ...]) -> bool:
    """Quantised in practice: matrices, but not the embedding and the head."""
    return len(shape) == 2 and max(shape) < 30_000


def gptq(shape: tuple[int, ...], bits: int, group: int) -> Shapes:
    """What AutoGPTQ writes for one matrix."""
    out, inner = shape
    groups = inner // group
    return [
        ((inner * bits // 32, out), "I32"), ((groups, out * bits // 32), "I32"), ((groups, out), "F16"),
        ((inner,), "I32"),
    ]  # fmt: skip


def awq(shape: tuple[int, ...], bits: int, group: int) -> Shapes:
    """What AutoAWQ writes for one matrix."""
    out, inner = shape
    groups = inner // group
    return [((inner, out * bits // 32), "I32"), ((groups, out * bits // 32), "I32"), ((groups, out), "F16")]


@pytest.mark.parametrize("pack", [gptq, awq])
@pytest.mark.parametrize(("bits", "group"), [(4, 128), (8, 128), (4, 32), (2, 64)])
def test_words_are_unpacked(pack: object, bits: int, group: int) -> None:
    assert callable(pack)
    packed = [each for s, d in plain("llama-3-8b") for each in (pack(s, bits, group) if is_linear(s) else [(s, d)])]
    stored = weights(packed)
    assert stored.counts == Counter(shape for shape, _ in plain("llama-3-8b"))
    assert stored.notes == [f"224 weights packed in {bits} bits"]
    best = nearest(packed).best
    assert best is not None
    assert best.published[0].name == "meta-llama/Meta-Llama-3-8B"


def test_block_scales_of_fp8_are_set_aside() -> None:
    stored = weights(plain("deepseek-v3"))
    scheme = choose(geometry("deepseek-v3"), None, 1, "BF16").binding
    without = [t.shape for t in synthesise(scheme) if not t.name.endswith("weight_scale_inv")]
    assert stored.counts == Counter(without)


def test_scales_a_row_are_set_aside_too() -> None:
    shapes: Shapes = [((64, 256), "F8_E4M3"), ((64, 1), "BF16"), ((64,), "BF16")]
    assert weights(shapes).counts == Counter({(64, 256): 1, (64,): 1})


def test_mxfp4_blocks_are_the_experts_they_hold() -> None:
    """32 weights in 16 bytes, one scale for each 32, as gpt-oss is published."""
    def blocks(shape: tuple[int, ...]) -> Shapes:
        experts, inner, out = shape
        return [((experts, out, inner // 32, 16), "U8"), ((experts, out, inner // 32), "U8")]

    packed = [each for s, d in plain("gpt-oss-20b") for each in (blocks(s) if len(s) == 3 else [(s, d)])]
    guess = nearest(packed)
    assert guess.best is not None
    assert (guess.best.published[0].name, guess.set_aside) == ("openai/gpt-oss-20b", ("48 weights in MXFP4",))


def test_causal_masks_are_no_weights() -> None:
    masks: Shapes = [((1, 1, 1024, 1024), "F32")] * 12 + [((), "F32")] * 12
    guess = nearest(plain("gpt2") + masks)
    assert guess.best is not None
    assert (guess.best.score, guess.set_aside) == (1.0, ("24 masks and constants",))
