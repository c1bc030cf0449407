"""What is said around the path table: what was loaded, the proofs, the audit, the findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mappings.findings import Finding, Unchecked
from tracer.report import words
from tracer.session import Prepared, Result

if TYPE_CHECKING:
    from tracer.audit import Audit

MOST_OF_A_CODE = 20
"""Findings of one code that are printed; 4,000 lines help nobody."""
MARKS = {"error": "ERROR", "warning": "warning", "info": "info"}


def heading(result: Result) -> Iterator[str]:
    """Two or three lines: the model, its size, and what was fake."""
    prepared = result.prepared
    request, run = prepared.request, prepared.run
    dialect = f" ({run.dialect} dialect)" if run.dialect else ""
    lost = "".join(f"; not {name}: it {why}" for name, why in prepared.lost.items())
    embedded = "" if request.model else " (embedded geometry)"
    how = f"tp {request.tp}, load-format {request.load_format}{lost}"
    yield f"{prepared.title}{embedded}: {run.architecture}{dialect}, {how}"
    yield counts(prepared)
    if prepared.fake or request.load_format == "dummy":
        yield f"fake: {'; '.join(prepared.fake or ['the bytes'])}"
    if result.why_not:
        yield f"{result.why_not}; a skeleton of its parameters was loaded, it cannot generate"
    yield from by_header(prepared)


def by_header(prepared: Prepared) -> Iterator[str]:
    """Optional parameters whose existence the header decided."""
    for name in prepared.plan.binding.by_header:
        exists = any(leaf.pattern.text == name for leaf in prepared.plan.binding.leaves)
        yield f"{name}: config.json does not say, the header {'has it' if exists else 'has none'}"


def counts(prepared: Prepared) -> str:
    """`291 tensors, 8.03 B elements, 16.06 GB as BF16 in 4 safetensors files`."""
    return f"{len(prepared.infos)} tensors, {_elements(prepared)} elements, {_bytes(prepared)}"


def _elements(prepared: Prepared) -> str:
    total = 0
    for info in prepared.infos:
        elements = 1
        for extent in info.shape:
            elements *= extent
        total += elements
    return words.count(total)


def _bytes(prepared: Prepared) -> str:
    dtypes = sorted({info.dtype for info in prepared.infos})
    return f"{words.size(sum(info.nbytes for info in prepared.infos))} as {', '.join(dtypes)}{_files(prepared)}"


def _files(prepared: Prepared) -> str:
    """Which of a folder's copies was read."""
    files = {info.file for info in prepared.infos if info.file is not None}
    format = prepared.checkpoint.format if prepared.checkpoint else None
    if not files or format is None:
        return ""
    return f" in {len(files)} {format.called}" if len(files) > 1 else f" in {next(iter(files))}"


def proofs(result: Result) -> str:
    """One line: each proof's state; what did not run is said with its reason and not counted as ok."""
    texts, skipped = [], []
    for proof in result.proofs:
        errors = sum(f.severity == "error" for f in proof.findings)
        if errors:
            texts.append(f"{proof.name} {errors} error{'s' if errors > 1 else ''}")
        elif proof.unchecked:
            skipped.append(proof.unchecked)
        elif unclaimed := sum(f.evidence["tensors"] for f in proof.findings if f.code == "tensor.unmapped"):
            texts.append(f"{proof.name} {unclaimed} not claimed")
        else:
            texts.append(f"{proof.name} ok")
    not_run = [f"{', '.join(u.name for u in skipped if u.reason == r)} not checked ({r})" for r in _reasons(skipped)]
    return "proofs: " + ", ".join([*texts, *not_run])


def _reasons(skipped: Sequence[Unchecked]) -> list[str]:
    return list(dict.fromkeys(u.reason for u in skipped))


def audit_line(result: Result) -> str:
    """One line: what the audit saw, or why there was none."""
    if result.failure:
        return f"audit: the load failed ({result.failure}); what follows is about what was written until then"
    if result.audit is None:
        return f"audit: not run ({result.where}); nothing was observed, placements are the plan's"
    return f"{audit_summary(result.audit)}; ran on {result.where}"


def verified(result: Result) -> Iterator[str]:
    """One line for each check that computes with what was loaded; none where none was asked for."""
    for check in result.verified:
        yield check.line()


def audit_summary(audit: Audit) -> str:
    """The counts behind an audit's verdict."""
    if audit.findings:
        return f"audit: {len(audit.findings)} finding{'s' if len(audit.findings) > 1 else ''} in {audit.moves:,} moves"
    told = [f"{words.count(audit.written)} parameter elements written exactly once"] if audit.written else []
    if audit.read:
        told.append(f"{words.count(audit.read)} tensor elements read as declared")
    if audit.moves:
        told.append(f"{audit.moves:,} observed moves equal the plan")
    reasons = dict.fromkeys(u.reason for u in audit.unchecked)
    told += [f"{', '.join(u.name for u in audit.unchecked if u.reason == r)} not checked ({r})" for r in reasons]
    return ("audit ok: " if audit.ok else "audit incomplete: ") + ", ".join(told or ["there was nothing to check"])


def findings(found: Sequence[Finding]) -> Iterator[str]:
    """Each finding on a line, its fix below; errors first, and of one code at most `MOST_OF_A_CODE`."""
    seen: Counter[str] = Counter()
    for finding in found:
        seen[finding.code] += 1
        if seen[finding.code] > MOST_OF_A_CODE:
            continue
        yield f"{MARKS[finding.severity]}  {finding.code}  {finding.message}"
        if finding.fix and finding.severity != "info":
            yield f"      fix: {finding.fix}"
    for code, count in seen.items():
        if count > MOST_OF_A_CODE:
            yield f"...  {code}  {count - MOST_OF_A_CODE} more (--json has all)"


def unchecked(items: Sequence[Unchecked]) -> Iterator[str]:
    for item in items:
        yield f"not checked: {item.name} ({item.reason})"
