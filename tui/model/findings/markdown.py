"""Everything that was found as one Markdown, for an issue or a pull request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from shlex import quote

from mappings.names import runs
from tracer.report.markdown import code, fenced, of_finding
from tracer.report.words import plural
from tui.model.subject import Subject, Told

MOST_CHARACTERS = 48_000
"""Of findings: a terminal takes a clipboard of 64 KiB or so at once, in Base64; what is more, many refuse whole."""


def markdown(told: Told) -> str:
    """One finding."""
    return f"{of_finding(told.finding)}\n"


def one_markdown(subject: Subject, number: int) -> str:
    """One finding, with what it was found in."""
    return f"{markdown(subject.findings[number])}\n{found_in(subject)}\n"


def found_in(subject: Subject) -> str:
    """The model, the ranks and the tool: what is pasted elsewhere stands alone."""
    what = [f"Found in {code(subject.title)}"]
    if subject.store is not None:
        run = subject.store.run
        what.append(f"a trace of a {'load' if run.observed else 'plan'} at tp {run.tp}")
        what += [f"rank {runs(run.ranks)} only"] if len(run.ranks) < run.tp else []
        what += [f"planned for tp {subject.tp}"] if subject.tp != run.tp else []
    elif subject.prepared is not None:
        what.append(f"tp {subject.tp}")
    return f"{', '.join(what)}; trace-load {version('trace-load')}."


def all_markdown(subject: Subject) -> str:
    """What was found, with what was not checked: without it the list would claim more than it knows."""
    found, checks = subject.findings, subject.checks
    errors = len(subject.index.causes.get("error", ()))
    pieces = [f"## {code(subject.title)}: {plural(errors, 'error')}, {plural(len(found), 'finding')}\n"]
    whole = list(_first(found))
    pieces += whole
    if len(whole) < len(found):
        pieces.append(_cut(subject, len(whole)))
    if undone := [f"{check.name}: {check.unchecked}" for check in checks if check.unchecked]:
        pieces.append(f"Not checked:\n\n{fenced(undone)}\n")
    if ok := [code(check.name) for check in checks if check.state == "ok"]:
        pieces.append(f"Ok: {', '.join(ok)}\n")
    if subject.stage != "examined":
        pieces.append("Not looked at to the end yet.\n")
    pieces.append(f"{found_in(subject)}\n")
    return "\n".join(pieces)


def _first(found: Sequence[Told]) -> Iterator[str]:
    """Findings whole, as many as have room; the first in any case."""
    room = MOST_CHARACTERS
    for told in found:
        piece = f"{_below(found, told)}{markdown(told)}"
        room -= len(piece)
        if room < 0 and told is not found[0]:
            return
        yield piece


def _cut(subject: Subject, shown: int) -> str:
    """The rest by its codes, and where all of it is."""
    told = Counter(told.finding.code for told in subject.findings[:shown])
    rest = {each: len(own) - told[each] for each, own in subject.index.by_code.items() if len(own) > told[each]}
    counted = ", ".join(f"{count:,} {code(each)}" for each, count in rest.items())
    left = plural(len(subject.findings) - shown, "more finding")
    return f"**Cut here**: {left} ({counted}). {_all_of_it(subject)}\n"


def _all_of_it(subject: Subject) -> str:
    """The command that writes every finding."""
    if not subject.where:
        return f"{code('trace-load --plan --json FILE')} writes them."
    if subject.store is not None:
        return f"{code(f'tracer audit {quote(subject.where)} --json FILE')} writes all that the records show."
    ranks = f" --tp {subject.tp}" if subject.tp > 1 else ""
    return f"{code(f'tracer diagnose {quote(subject.where)}{ranks} --no-values --json FILE')} writes all of them."


def _below(found: Sequence[Told], told: Told) -> str:
    return "" if told.under is None else f"(follows from {code(found[told.under].finding.code)}) "
