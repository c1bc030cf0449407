"""Quantisation schemes: sets of leaves whose layouts derive from the axes of the weight.

A scheme knows nothing of architectures, and rows know nothing of schemes: a scale of a fused, cut, stacked parameter
is placed because its axes are blocks of the weight's axes. Formats: the FP8 checkpoints of DeepSeek-V3 (E4M3 weights,
one F32 scale for each 128 x 128 block, `weight_scale_inv`; model card and `quantization_config`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mappings.axes import Dim, Layout, blocks
from mappings.findings import Finding
from mappings.params import Param, Part
from mappings.sizes import Config, ConfigError, invalid


@dataclass(frozen=True, slots=True)
class Scheme:
    """Weights stored in blocks, each with one scale."""

    name: str
    scale_leaf: str
    weight_dtype: str
    scale_dtype: str
    block: tuple[int, int]
    """Extents of a block along (out, in), in elements."""

    def blocked(self, part: Part) -> dict[Dim, str]:
        """The canonical dimensions of a weight that are counted in blocks, with the axis that counts them."""
        (out, inner) = part.dims[-2:]
        return {out: blocks(out, self.block[0]), inner: blocks(inner, self.block[1])}

    def scale_part(self, part: Part) -> Part:
        """The scale that belongs to a part of a weight."""
        names = self.blocked(part)
        return Part(part.name, tuple((names[dim],) if dim in names else dim for dim in part.dims), part.cut)

    def scale_layout(self, layout: Layout, part: Part) -> Layout:
        """A weight's layout, told in blocks."""
        names = self.blocked(part)
        return tuple((names[dim],) if dim in names else dim for dim in layout)

    def applies(self, param: Param) -> bool:
        return param.quantised


DECLARED_IN = ("quantization_config", "quantization", "compression_config")
"""As Transformers, MLX and the first compressed-tensors call it."""


def scheme_of(config: Config) -> Scheme | None:
    """The scheme that config.json declares. Raises ConfigError for one that is not known."""
    field = next((name for name in DECLARED_IN if config.get(name) is not None), None)
    if field is None:
        return None
    declared = config.get(field)
    if not isinstance(declared, dict):
        raise ConfigError(invalid(field, declared, "an object"))
    method, block = declared.get("quant_method"), _block(declared.get("weight_block_size"))
    if method == "fp8" and block:
        return Scheme("fp8-block", "weight_scale_inv", "F8_E4M3", "F32", block)
    raise ConfigError(_unsupported(field, declared))


def _block(value: object) -> tuple[int, int] | None:
    sizes = value if isinstance(value, list) else []
    good = [n for n in sizes if type(n) is int and n > 0]
    return (good[0], good[1]) if len(sizes) == len(good) == 2 else None


def _unsupported(field: str, declared: Mapping[str, object]) -> Finding:
    told = {key: declared[key] for key in ("quant_method", "bits", "group_size", "mode") if key in declared}
    said = ", ".join(f"{key} {value!r}"[:60] for key, value in told.items()) or "a scheme without quant_method"
    return Finding(
        "quant.unsupported", "error", field,
        f"config.json: {field} declares {said}, for which there are no leaf layouts; known: fp8 with weight_block_size",
        {key: str(value) for key, value in told.items()},
    )  # fmt: skip
