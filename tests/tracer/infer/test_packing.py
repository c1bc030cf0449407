"""Quantised modules: packed as the writers pack them, and recognised by the arithmetic of their shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.catalogue.building import Model
from tests.catalogue.models import decoder, moe
from tests.catalogue.quantising import bitsandbytes
from tests.tracer.infer.synthetic import inferred
from tracer.checkpoint.folder import open_checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.infer import infer
from tracer.infer.names import Group, Shape
from tracer.infer.packing import Unpacked, unpacked

WIDTHS = st.integers(2, 64).map(lambda blocks: 128 * blocks)
Packed = Mapping[str, tuple[Shape, str]]


def leaves(packed: Packed) -> dict[str, Group]:
    found = {}
    for leaf, (shape, dtype) in packed.items():
        found[leaf] = Group(f"model.layers.{{}}.mlp.up_proj.{leaf}", [(0,)])
        found[leaf].shapes[shape, dtype] += 1
    return found


def gptq(out: int, inner: int, bits: int, group: int) -> Packed:
    """AutoGPTQ: `qweight` packs inputs into words of 32 bits, `qzeros` outputs."""
    groups = 1 if group == -1 else inner // group
    return {
        "qweight": ((inner * bits // 32, out), "I32"), "qzeros": ((groups, out * bits // 32), "I32"),
        "scales": ((groups, out), "F16"), "g_idx": ((inner,), "I32"),
    }  # fmt: skip


@given(WIDTHS, WIDTHS, st.sampled_from([2, 3, 4, 8]), st.sampled_from([-1, 32, 64, 128]))
def test_gptq_gives_back_the_shape_bits_and_group(out: int, inner: int, bits: int, group: int) -> None:
    found = unpacked(leaves(gptq(out, inner, bits, group)))
    assert (found.shape, found.scheme, found.bits) == ((out, inner), "gptq", bits)
    assert found.group == (group if group != -1 and inner // group > 1 else -1)


@given(WIDTHS, WIDTHS, st.sampled_from([4, 8]), st.sampled_from([32, 64, 128]))
def test_awq_packs_the_other_way_round(out: int, inner: int, bits: int, group: int) -> None:
    packed = {
        "qweight": ((inner, out * bits // 32), "I32"), "scales": ((inner // group, out), "F16"),
        "qzeros": ((inner // group, out * bits // 32), "I32"),
    }  # fmt: skip
    assert unpacked(leaves(packed))[:4] == ((out, inner), "awq", bits, group)


@given(WIDTHS, WIDTHS, st.sampled_from([2, 3, 4, 6, 8]), st.sampled_from([32, 64, 128]))
def test_mlx_is_settled_by_the_width_that_norms_tell(out: int, inner: int, bits: int, group: int) -> None:
    scales = (out, inner // group)
    packed = {"weight": ((out, inner * bits // 32), "U32"), "scales": (scales, "F16"), "biases": (scales, "F16")}
    assert unpacked(leaves(packed), hidden=inner)[:4] == ((out, inner), "mlx", bits, group)


@given(WIDTHS, WIDTHS)
def test_fp8_tells_the_block_of_its_scales(out: int, inner: int) -> None:
    packed = {"weight": ((out, inner), "F8_E4M3"), "weight_scale_inv": ((out // 128, inner // 128), "F32")}
    found = unpacked(leaves(packed))
    assert (found.shape, found.scheme, found.block) == ((out, inner), "fp8", (128, 128))


SHAPES = st.lists(st.sampled_from([0, 1, 2, 64, 4096, 2**40]), max_size=4).map(tuple)
LEAVES = [
    "qweight", "qzeros", "scales", "g_idx", "weight", "weight_scale", "weight_scale_inv", "biases", "blocks", "SCB",
    "weight_packed", "weight_scale_2", "weight.absmax", "weight.quant_state.bitsandbytes__nf4",
]  # fmt: skip


@given(
    st.dictionaries(st.sampled_from(LEAVES), SHAPES, min_size=1), st.sampled_from([None, 64, 4096]),
    st.sampled_from(["I32", "U8"]),
)  # fmt: skip
def test_leaves_of_any_shape_are_read_or_left_alone(shapes: dict[str, Shape], hidden: int | None, dtype: str) -> None:
    """Experts stacked in three dimensions have been published, and headers can say anything."""
    unpacked(leaves({leaf: (shape, dtype) for leaf, shape in shapes.items()}), hidden)


@given(WIDTHS, WIDTHS)
def test_nvfp4_holds_two_codes_a_byte_along_the_inputs(out: int, inner: int) -> None:
    packed = {
        "weight": ((out, inner // 2), "U8"), "weight_scale": ((out, inner // 16), "F8_E4M3"),
        "weight_scale_2": ((), "F32"), "input_scale": ((), "F32"),
    }  # fmt: skip
    assert unpacked(leaves(packed))[:4] == ((out, inner), "modelopt", 4, 16)


@given(WIDTHS, WIDTHS)
def test_bitnet_holds_four_ternary_values_a_byte_along_the_outputs(out: int, inner: int) -> None:
    packed = {"weight": ((out // 4, inner), "U8"), "weight_scale": ((1,), "BF16")}
    assert unpacked(leaves(packed))[:3] == ((out, inner), "bitnet", 2)


def test_four_bits_of_bitsandbytes_are_flat_so_that_only_their_number_is_known() -> None:
    packed = {
        "weight": ((4096 * 4096 // 2, 1), "U8"), "weight.absmax": ((4096 * 4096 // 64,), "F32"),
        "weight.quant_map": ((16,), "F32"), "weight.quant_state.bitsandbytes__nf4": ((76,), "U8"),
    }  # fmt: skip
    found = unpacked(leaves(packed))
    assert found[:4] == (None, "bitsandbytes", 4, 64)
    assert "nf4" in found.evidence


@pytest.mark.parametrize("storage", ["U8", "BF16"])
@pytest.mark.parametrize("make", [decoder, moe])
def test_flat_codes_get_the_shape_back_that_the_hidden_size_leaves(
    make: Callable[..., Model], storage: str, tmp_path: Path
) -> None:  # fmt: skip
    """Two codes a byte, and four in the elements that FSDP wants to be BF16 (`bnb_4bit_quant_storage`)."""
    plain, flat = make(), bitsandbytes(make())
    for name, tensor in list(flat.tensors.items()):
        if storage == "BF16" and tensor.dtype == "U8" and tensor.shape[1:] == (1,):
            flat.put(name, tensor.shape[0] // 2, 1, dtype=storage)
    whole = infer(open_checkpoint(plain.write(tmp_path / "plain")))
    packed = infer(open_checkpoint(flat.write(tmp_path / "flat")))
    assert whole.known and packed.known and packed.known.solved.atoms == whole.known.solved.atoms
    assert not packed.findings
    assert packed.config()["num_attention_heads"] == plain.config["num_attention_heads"]


def test_plain_weights_are_in_no_scheme() -> None:
    assert unpacked(leaves({"weight": ((3, 5), "BF16")})) == Unpacked((3, 5))


@pytest.mark.parametrize(("bits", "group"), [(4, 128), (3, 64), (8, -1)])
def test_a_whole_model_in_gptq_has_the_widths_of_the_original(bits: int, group: int) -> None:
    hidden, kv, ffn = 2048, 512, 5632
    widths = {"q": (hidden, hidden), "k": (kv, hidden), "v": (kv, hidden), "o": (hidden, hidden)}
    linear = {f"self_attn.{name}_proj": widths[name] for name in widths}
    linear |= {"mlp.gate_proj": (ffn, hidden), "mlp.up_proj": (ffn, hidden), "mlp.down_proj": (hidden, ffn)}
    tensors: dict[str, tuple[Shape, str]] = {
        "model.embed_tokens.weight": ((32000, hidden), "F16"), "lm_head.weight": ((32000, hidden), "F16"),
    }  # fmt: skip
    tensors["model.norm.weight"] = ((hidden,), "F16")
    for layer in range(2):
        for norm in ("input", "post_attention"):
            tensors[f"model.layers.{layer}.{norm}_layernorm.weight"] = ((hidden,), "F16")
        for module, shape in linear.items():
            packed = gptq(*shape, bits, group)
            tensors |= {f"model.layers.{layer}.{module}.{leaf}": packed[leaf] for leaf in packed}
    config = inferred([TensorInfo(n, d, s, "f", 0, 0) for n, (s, d) in tensors.items()]).config()
    assert config["quantization_config"] == {"quant_method": "gptq", "bits": bits, "group_size": group}
    assert (config["hidden_size"], config["intermediate_size"], config["vocab_size"]) == (hidden, ffn, 32000)
    assert config["torch_dtype"] == "float16"
