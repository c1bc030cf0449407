"""The parameters that were allocated are those that the rows lead to: names, shapes, data types, ties."""

from __future__ import annotations

from mappings.plan import LoadPlan
from mappings.views import Shape
from tracer.audit.drafts import Draft
from tracer.events import Parameter
from tracer.store import Store


def audit_parameters(store: Store, plan: LoadPlan, rank: int) -> list[Draft]:
    """Drafts `audit.unwritten` for one that is not there, `shape.mismatch`, `tie.conflict` for one that differs."""
    found = {param.name: param for param in store.params(rank)}
    wanted = expected(plan, rank)
    drafts = [_missing(name, *wanted[name][:2], rank) for name in wanted if name not in found]
    for name, param in found.items():
        drafts += _compare(param, wanted.get(name), rank)
    return drafts


def expected(plan: LoadPlan, rank: int) -> dict[str, tuple[Shape, str, str | None]]:
    """Shape, data type and owner of every parameter of a rank."""
    own = {n: (leaf.form(rank).shape, leaf.dtype, None) for n, leaf in plan.params()}
    return {**own, **{name: (*own[to][:2], to) for name, to in plan.tied().items()}}


def _missing(name: str, shape: Shape, dtype: str, rank: int) -> Draft:
    return Draft("audit.unwritten", name, f"{{}} {shape} {dtype} does not exist", rank, {"shape": list(shape)})


def _compare(param: Parameter, wanted: tuple[Shape, str, str | None] | None, rank: int) -> list[Draft]:
    if wanted is None:
        return [Draft("audit.unwritten", param.name, f"{{}} {param.shape} exists, and no row leads to it", rank)]
    shape, dtype, owner = wanted
    drafts = []
    if (param.shape, param.dtype) != (shape, dtype):
        text = f"{{}} was allocated as {param.shape} {param.dtype}, the rows say {shape} {dtype}"
        drafts.append(Draft("shape.mismatch", param.name, text, rank, {"found": param.shape, "expected": shape}))
    if param.tied_to != owner:
        text = f"{{}} shares its storage with {param.tied_to}, the rows say {owner}"
        drafts.append(Draft("tie.conflict", param.name, text, rank, {"found": param.tied_to, "expected": owner}))
    return drafts
