"""How many bytes a file has, as a polynomial in the atoms: exact, before any atom is known.

`{("hidden", "q"): 4, ("hidden",): 4}` is 4 q x hidden + 4 hidden. All tensors of a file add up to one polynomial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple, TypeAlias

from tracer.infer.equations import Form, of_bias
from tracer.infer.names import Group
from tracer.infer.packing import scheme_of

Monomial: TypeAlias = tuple[str, ...]
"""Atoms in alphabetical order, repeated where squared; empty for a constant."""
Number: TypeAlias = int | Fraction
"""Whole wherever nothing is packed: that is ten times as fast."""
Polynomial: TypeAlias = dict[Monomial, Number]


class Packing(NamedTuple):
    """How quantised modules are stored."""

    bits: int
    group: int
    """Input channels that share a scale; 0 for all of them."""


def product(forms: Iterable[Form], factor: Number) -> Polynomial:
    """The product of sums."""
    found: Polynomial = {(): factor if not isinstance(factor, Fraction) or factor.denominator > 1 else int(factor)}
    for form in forms:
        step: Polynomial = {}
        for monomial, own in found.items():
            for atom, times in form:
                key = tuple(sorted((*monomial, atom))) if atom else monomial
                step[key] = step.get(key, 0) + own * times
        found = step
    return found


def add(total: Polynomial, more: Mapping[Monomial, Number], times: int = 1) -> None:
    """Add in place."""
    for monomial, own in more.items():
        total[monomial] = total.get(monomial, 0) + own * times


def put_in(polynomial: Mapping[Monomial, Number], atoms: Mapping[str, int]) -> Polynomial:
    """The same with some atoms known."""
    found: Polynomial = {}
    for monomial, own in polynomial.items():
        rest = []
        for atom in monomial:
            if atom in atoms:
                own = own * atoms[atom]
            else:
                rest.append(atom)
        key = tuple(rest)
        found[key] = found.get(key, 0) + own
    return found


def unknowns(polynomial: Mapping[Monomial, Number]) -> set[str]:
    """The atoms that are still in it."""
    return {atom for monomial, own in polynomial.items() if own for atom in monomial}


def bytes_of(
    group: Group, dims: tuple[Form, ...], leaves: Mapping[str, object], width: int, packing: Packing
) -> Polynomial | None:  # fmt: skip
    """One tensor of a group. `dims` are those of the module's weight. None for a leaf that nobody weighed."""
    scheme, leaf = scheme_of(leaves), group.leaf
    outer, inner = dims[:-1], dims[-1:]
    if leaf == "bias":
        return product(of_bias(group.role, dims), width)
    if not scheme or (leaf in ("weight", "") and scheme not in ("bitsandbytes", "mlx", "fp8")):
        return product(dims, width)
    if scheme == "fp8":
        return product(dims, Fraction(1) if leaf == "weight" else Fraction(4, packing.group * packing.group or 1))
    return _packed(scheme, leaf, dims, outer, inner, packing)


def _in_groups(dims: tuple[Form, ...], outer: tuple[Form, ...], packing: Packing) -> Callable[[Fraction], Polynomial]:
    """One number a group of input channels."""
    if packing.group:
        return lambda each: product(dims, each / packing.group)
    return lambda each: product(outer, each)


def _packed(
    scheme: str, leaf: str, dims: tuple[Form, ...], outer: tuple[Form, ...], inner: tuple[Form, ...], packing: Packing
) -> Polynomial | None:  # fmt: skip
    """The tensors of GPTQ, MLX and bitsandbytes."""
    bits = Fraction(packing.bits, 8)
    groups = _in_groups(dims, outer, packing)
    if scheme.startswith("gptq"):
        own = {"qweight": product(dims, bits), "qzeros": groups(bits), "scales": groups(Fraction(2)),
               "g_idx": product(inner, Fraction(4))}  # fmt: skip
        return own.get(leaf)
    if scheme == "mlx":
        own = {"weight": product(dims, bits), "scales": groups(Fraction(2)), "biases": groups(Fraction(2))}
        return own.get(leaf)
    if scheme == "bitsandbytes" and leaf == "SCB":
        return product(outer, Fraction(4))
    if scheme == "bitsandbytes" and leaf == "weight":
        return product(dims, bits)
    constant = {"weight_format": 1, "weight.quant_map": 64}.get(leaf)
    if leaf == "weight.absmax":
        return product(dims, Fraction(4, 64))
    return {(): constant} if constant is not None else None
