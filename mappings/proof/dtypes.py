"""The data types half of proof 4: what is stored can become what the parameter holds without losing its meaning."""

from __future__ import annotations

from collections.abc import Iterator

from mappings.bind import BoundRow
from mappings.findings import Finding
from mappings.ggml import BLOCKS
from mappings.names import collapse
from mappings.plan import LoadPlan

FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_EXPONENTS = "F8_E8M0"
"""Powers of two: as scales they mean what they are, and any floating type holds most of them (OCP MX, version 1.0)."""


def prove_dtypes(plan: LoadPlan) -> list[Finding]:
    """Findings: `quant.missing`, `quant.ignore-list`, `fused.mixed`."""
    stored: dict[tuple[str, str], list[str]] = {}
    rows: dict[str, BoundRow] = {}
    for tensor, claim in zip(plan.tensors, plan.claims, strict=True):
        if isinstance(claim.owner, BoundRow):
            rows[claim.owner.id] = claim.owner
            stored.setdefault((claim.owner.id, tensor.dtype), []).append(tensor.name)
    found = [f for (row, dtype), names in stored.items() if (f := _compare(rows[row], dtype, names))]
    return [*found, *_mixed(rows, stored)]


def _compare(row: BoundRow, dtype: str, names: list[str]) -> Finding | None:
    if dtype == _EXPONENTS and "scale" in names[0]:
        return None
    if row.leaf.dtype in FLOATS and dtype not in FLOATS and dtype not in BLOCKS:
        return _finding(
            "quant.missing", row, dtype, names, f"without scales or a scheme that says what its {dtype} values mean"
        )
    if row.leaf.dtype not in FLOATS and dtype in FLOATS:
        return _finding(
            "quant.ignore-list", row, dtype, names, f"although quantization_config makes it {row.leaf.dtype}"
        )
    return None


def _finding(code: str, row: BoundRow, dtype: str, names: list[str], said: str) -> Finding:
    subject = collapse(names)[0][0]
    return Finding(
        code, "error", subject, f"{subject} is stored as {dtype} {said}",
        {"found": dtype, "expected": row.leaf.dtype, "tensors": len(names), "row": row.id},
    )  # fmt: skip


def _mixed(rows: dict[str, BoundRow], stored: dict[tuple[str, str], list[str]]) -> Iterator[Finding]:
    """Floating types that disagree within one fused parameter: legal, and rarely meant."""
    by_leaf: dict[str, dict[str, list[str]]] = {}
    for (row, dtype), names in stored.items():
        if dtype in FLOATS:
            by_leaf.setdefault(rows[row].leaf.pattern.text, {}).setdefault(dtype, []).extend(names)
    for leaf, found in by_leaf.items():
        if len(found) > 1:
            told = ", ".join(f"{collapse(names)[0][0]} is {dtype}" for dtype, names in found.items())
            yield Finding(
                "fused.mixed", "warning", leaf, f"what feeds {leaf} is stored in different data types: {told}",
                {"dtypes": {dtype: len(names) for dtype, names in found.items()}},
            )  # fmt: skip
