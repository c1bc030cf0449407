"""The scales of a checkpoint: one for every way in which its modules may be packed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tracer.checkpoint.folder import Checkpoint
from tracer.infer.derive import Known
from tracer.infer.equations import equations
from tracer.infer.loads import Load, Scale, scale_of
from tracer.infer.polynomials import Packing
from tracer.infer.resolve import Fit, resolve

BOUNDS: Mapping[str, tuple[int, int]] = {
    "vocab": (1000, 400_000), "ffn": (64, 1 << 18), "moe_ffn": (32, 1 << 16), "shared_ffn": (32, 1 << 17),
    "hidden": (64, 1 << 15), "mask": (1, 1 << 28), "positions": (2, 1 << 21), "types": (1, 16), "half": (4, 256),
    "added": (1, 4096),
}  # fmt: skip
HABITS: tuple[dict[str, int], ...] = (
    {"positions": 512, "types": 2, "axis_positions": 1024, "mask": 4096}, {"positions": 514, "types": 1, "mask": 4112},
    {"positions": 1024}, {"positions": 2048},
)  # fmt: skip
"""Lengths of small tables, where nothing else says them."""

def with_habits(loads: Sequence[Load], atoms: Mapping[str, int]) -> Iterator[Fit]:
    """Fits without anything open: small tables and rotary widths that no field tells are tried."""
    roles = {atom for load in loads for monomial in load.polynomial for atom in monomial}
    bases = [atoms, {name: value for name, value in atoms.items() if name != "half"}] if "half" in roles else [atoms]
    small = roles & {"positions", "types", "axis_positions"}
    for base in bases:
        for habit in ({}, *HABITS) if small else ({},):
            fit = resolve(loads, {**habit, **base}, BOUNDS)
            if fit is not None and not fit.open:
                yield fit


def scales_of(checkpoint: Checkpoint, known: Known) -> list[Scale]:
    """Empty where no file has a size."""
    table = equations(known.names, known.family.equations)
    found = (scale_of(checkpoint, known.names, table, packing) for packing in _packings(known))
    return [scale for scale in found if scale is not None]


def _packings(known: Known) -> list[Packing]:
    """How quantised modules may be packed; their names do not say how many bits they have."""
    scheme = known.quantisation.get("quant_method", "mlx" if known.quantisation else "")
    if scheme in ("gptq", "awq"):
        return [Packing(bits, group) for bits in (4, 8, 3, 2) for group in (128, 32, 64, 0)]
    if scheme == "mlx":
        return [Packing(bits, group) for bits in (4, 8, 3, 6) for group in (64, 32)]
    if scheme == "bitsandbytes":
        return [Packing(8 if known.quantisation.get("load_in_8bit") else 4, 64)]
    return [Packing(8, 128)]

