"""Gathers what a page says of a run, or of a checkpoint that could not be planned."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import PurePath

from mappings.findings import in_order
from mappings.names import blank
from tracer.errors import Refused
from tracer.report.html import paths, summary
from tracer.report.html.config import config
from tracer.report.html.findings import shown
from tracer.report.html.pictures import Pictures
from tracer.report.html.ranks import Ranks, as_planned, table_of
from tracer.report.html.view import Checked, Config, Fact, Page
from tracer.session import Request, Result

_NOTHING = "Nothing was traced: there is no plan for this checkpoint"


def of_result(result: Result) -> Page:
    """Of a run, whether it came to its end or not."""
    prepared = result.prepared
    templates = _templates(result)
    checks = list(summary.checks(result))
    found, more = shown(result.findings, templates)
    fields = config(prepared, len(found) + 1, templates)
    chips = list(summary.chips(result.findings, checks, fields.found, summary.absent(prepared)))
    page = Page(
        prepared.title, chips, list(summary.facts(result)), checks, found, more,
        "No parameters were built, so that there are no paths to show", config=fields,
    )  # fmt: skip
    return _with_paths(page, result) if result.store.count("param") else page


def _with_paths(page: Page, result: Result) -> Page:
    table = table_of(result)
    ranks = Ranks(result, table)
    params = list(paths.params(table, ranks, Pictures(result)))
    return replace(
        page, placed=_placed(result), params=params, cut=paths.cut(table, ranks),
        tied=list(result.prepared.plan.tied().items()), left=list(paths.left(table)),
    )  # fmt: skip


def of_refused(request: Request, refused: Refused) -> Page:
    """Of a checkpoint without a plan: what was found, and that nothing was traced."""
    findings = in_order([refused.finding, *refused.others])
    found, more = shown(findings, ())
    checks = [Checked("trace", "not-checked", _NOTHING)]
    title = PurePath(request.model or request.geometry).name or str(request.model)
    facts = [Fact("model", title), Fact("tensor parallel", str(request.tp)), Fact("not run", _NOTHING)]
    chips = list(summary.chips(findings, checks))
    return Page(title, chips, facts, checks, found, more, _NOTHING, config=Config(unchecked=_NOTHING))


def _templates(result: Result) -> Collection[str]:
    """Of everything that the path table can be searched for."""
    plan = result.prepared.plan
    loaded = {
        blank(tensor.name)[0] for tensor, claim in zip(plan.tensors, plan.claims, strict=True)
        if claim.disposition == "loaded"
    }  # fmt: skip
    return loaded | {leaf.pattern.template for leaf in plan.binding.leaves}


def _placed(result: Result) -> str:
    if not result.prepared.run.observed:
        return "Nothing was observed: these are the plan's placements"
    if as_planned(result):
        return "Observed: every copy that the loader made equals the plan"
    return "Observed: these are the copies that the loader made, and they are not those of the plan"
