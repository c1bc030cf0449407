"""Proof 1: every checkpoint name is claimed by exactly one Row, Skip or Tie."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import combinations, takewhile

from mappings.bind import Binding, BoundRow
from mappings.claims import Claims, Owner
from mappings.findings import Finding, Unchecked
from mappings.names import Pattern, blank, collapse
from mappings.plan import LoadPlan
from mappings.proof.slots import unfilled
from mappings.proof.verdict import Proof
from mappings.rows import Skip, Tie

_SUGGESTED = 256
"""Findings that say which names are like theirs: it takes as long as everything else, and nobody reads thousands."""


def prove_names(plan: LoadPlan, without_header: str | None = None) -> Proof:
    """Findings: `mapping.overlap`, `tensor.unmapped`, `layers.extra`, `shards.second-copy`, `tie.conflict`,
    and, for information, `tensor.derived` and `tensor.ignored`.
    """  # fmt: skip
    found = _overlaps(plan.binding)
    if without_header:
        return Proof("names", found, unchecked=Unchecked("names", without_header))
    found += [*_unmapped(plan), *_twice(plan), *_stored_ties(plan), *_skipped(plan)]
    return Proof("names", found, checked=f"{len(plan.tensors)} names, {len(plan.binding.rows)} rows")


def _overlaps(binding: Binding) -> list[Finding]:
    """Two entries whose names blank to the same template must have disjoint domains."""
    claims = Claims(binding)
    found: dict[tuple[int, int], Finding] = {}
    for template in claims.templates():
        for (a, name, domain), (b, other, elsewhere) in combinations(claims.owners(template), 2):
            if _share(name.spread(domain), other.spread(elsewhere)):
                found.setdefault((id(a), id(b)), _overlap(a, b, name))
    return list(found.values())


def _share(a: tuple[Sequence[int], ...], b: tuple[Sequence[int], ...]) -> bool:
    """A Skip that ends in `**` has fewer holes than what lies below it."""
    return all(set(x) & set(y) for x, y in zip(a, b, strict=False))


def _overlap(a: Owner, b: Owner, name: Pattern) -> Finding:
    sources = [owner.row.source if isinstance(owner, BoundRow) else owner.source for owner in (a, b)]
    return Finding(
        "mapping.overlap", "error", name.text, f"{sources[0]} and {sources[1]} both claim {name.text}",
        {"rows": sources}, fix="restrict one of them to a domain, or remove it",
    )  # fmt: skip


def _unmapped(plan: LoadPlan) -> list[Finding]:
    names: dict[str, list[str]] = {}
    for tensor, claim in zip(plan.tensors, plan.claims, strict=True):
        if claim.owner is None:
            names.setdefault(claim.reason or "", []).append(tensor.name)
    known = Claims(plan.binding).templates()
    found = _strangers(plan, names)
    for reason, unmapped in _by_cause(names).items():
        if reason.startswith("outside") and "{layer" in reason and unmapped:
            found.append(_extra_layers(unmapped, reason))
            continue
        for subject, count in collapse(unmapped):
            template = blank(unmapped[0])[0] if count == len(unmapped) else subject
            near = get_close_matches(template, known, n=3, cutoff=0.6) if len(found) < _SUGGESTED else []
            found.append(_no_row(subject, count, reason, near))
    return found


def _strangers(plan: LoadPlan, names: dict[str, list[str]]) -> list[Finding]:
    """Takes from `names` the modules that no row has anything to do with, if every parameter is filled without them.

    A tower for images on a language model: what the rows describe is complete, and what is left over is not theirs.
    """
    binding = plan.binding
    known = [row.pattern.text for row in binding.rows]
    known += [f"{tie.name}.weight" for tie in binding.ties] + [pattern.text for _, pattern in binding.skips]
    homes = {(prefix + text).partition(".")[0] for text in known for prefix in binding.arch.prefixes}
    modules: dict[str, list[str]] = {}
    for name in (name for unmapped in names.values() for name in unmapped):
        module, dot, _ = name.partition(".")
        if dot and module not in homes and "{" not in name:
            modules.setdefault(module, []).append(name)
    if not modules or unfilled(plan):
        return []
    gone = {name for own in modules.values() for name in own}
    for reason, unmapped in names.items():
        names[reason] = [name for name in unmapped if name not in gone]
    return [_module(module, own, plan.binding.arch.name) for module, own in modules.items()]


def _module(module: str, names: list[str], arch: str) -> Finding:
    return Finding(
        "tensor.unmapped", "warning", f"{module}.**",
        f"{module}.**: {len(names)} tensors of a module that {arch} does not have; every parameter is filled without"
        " them, and loaders that refuse unknown names stop",
        {"tensors": len(names), "templates": [template for template, _ in collapse(names)]},
        fix="correct `architectures` in config.json, or take the module out",
    )  # fmt: skip


def _by_cause(names: dict[str, list[str]]) -> dict[str, list[str]]:
    """Names outside a domain, whatever their number, have one cause."""
    merged: dict[str, list[str]] = {}
    for reason, found in names.items():
        outside = reason.partition(" is outside ")[2]
        merged.setdefault(f"outside {outside}" if outside else reason, []).extend(found)
    return merged


def _extra_layers(names: list[str], reason: str) -> Finding:
    """One finding, however many tensors a layer has."""
    templates = [template for template, _ in collapse(names)]
    subject = templates[0] if len(templates) == 1 else f"{_beginning(templates)}.**"
    tensors = f"{len(names)} tensors" if len(names) > 1 else "1 tensor"
    return Finding(
        "layers.extra", "error", subject, f"{subject}: {tensors}, {reason}, which config.json allows",
        {"tensors": len(names), "reason": reason, "templates": templates},
        fix="correct the number of layers in config.json, or remove them if they do not belong to the model",
    )  # fmt: skip


def _beginning(templates: Sequence[str]) -> str:
    """The components that all of them begin with."""
    shared = takewhile(lambda each: len(set(each)) == 1, zip(*(text.split(".") for text in templates), strict=False))
    return ".".join(component for component, *_ in shared)


def _no_row(subject: str, count: int, reason: str, near: list[str]) -> Finding:
    outside = reason.startswith("outside")
    tensors = f"{count} tensors" if count > 1 else "1 tensor"
    return Finding(
        "tensor.unmapped", "error", subject,
        f"{subject}: {tensors}, {reason if not outside else f'{reason}, which config.json allows'}",
        {"tensors": count, "reason": reason, "nearest": near},
        fix=None if near or outside else "add a row with --mapping FILE, or a Skip that says why",
    )  # fmt: skip


def _twice(plan: LoadPlan) -> list[Finding]:
    """Two names of one header that are the same row at the same position: the model is there twice."""
    seen: dict[tuple[str, tuple[int, ...]], str] = {}
    clashes: list[tuple[str, str]] = []
    for tensor, claim in zip(plan.tensors, plan.claims, strict=True):
        if isinstance(claim.owner, BoundRow):
            first = seen.setdefault((claim.owner.id, claim.indices), tensor.name)
            if first != tensor.name:
                clashes.append((first, tensor.name))
    return [
        Finding(
            "shards.second-copy", "error", clashes[0][1],
            f"{len(clashes)} tensors are stored twice: {clashes[0][0]} and {clashes[0][1]} are the same weight",
            {"pairs": clashes[:8], "count": len(clashes)}, fix="remove one of the two spellings",
        )
    ] if clashes else []  # fmt: skip


def _stored_ties(plan: LoadPlan) -> list[Finding]:
    stated = plan.binding.config.fields
    return [
        Finding(
            # Where only the class ties by default, many publishers store the copy and nobody misses it.
            "tie.conflict", "info" if stated.get(claim.owner.when) is None else "warning", tensor.name,
            f"{tensor.name} is stored although {claim.owner.when} says it is"
            f" {claim.owner.to.leaf_name('weight')}: not read",
            {"to": claim.owner.to.leaf_name("weight"), "flag": claim.owner.when},
            fix=f"set {claim.owner.when} to false if the stored head differs",
        )
        for tensor, claim in zip(plan.tensors, plan.claims, strict=True) if isinstance(claim.owner, Tie)
    ]  # fmt: skip


def _skipped(plan: LoadPlan) -> list[Finding]:
    names: dict[tuple[str, bool], list[str]] = {}
    for tensor, claim in zip(plan.tensors, plan.claims, strict=True):
        if isinstance(claim.owner, Skip):
            names.setdefault((claim.owner.why, claim.owner.derived), []).append(tensor.name)
    return [
        Finding(
            "tensor.derived" if derived else "tensor.ignored", "info", collapse(own)[0][0],
            f"{len(own)} tensors not loaded: {why}", {"tensors": len(own), "templates": [t for t, _ in collapse(own)]},
        )
        for (why, derived), own in names.items()
    ]  # fmt: skip
