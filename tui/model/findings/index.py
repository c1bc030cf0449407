"""All findings of a subject as keys ask for them, gone through once: which are about a name, which come next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from mappings.findings import Finding, Severity
from mappings.names import blank
from tui.model.findings.named import Spelled, named, spelled

if TYPE_CHECKING:
    from tui.model.findings.leads import Leads
    from tui.model.line import Line, Target
    from tui.model.subject import Subject

FILES = ("file", "files", "missing", "index", "read", "ignored")
"""Fields of evidence that name files."""
_ENTRIES = ("field", "row", "to", "tensor", *FILES)
"""Fields of evidence that name one thing of another kind, or several."""

_MOST_LED = 20


class Index:
    """Findings by their numbers in `Subject.findings`."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.listed: tuple[object, Sequence[Line]] = None, ()
        """The page of all as it was drawn last, and for whom."""

    @cached_property
    def leads(self) -> Leads:
        """Where each leads."""
        from tui.model.findings.leads import Leads

        return Leads(self.subject)

    @cached_property
    def walked(self) -> Sequence[int]:
        """Errors and warnings that follow from nothing else, in their order."""
        return sorted(number for severity in ("error", "warning") for number in self.causes.get(severity, ()))

    @cached_property
    def following(self) -> Mapping[int, Sequence[int]]:
        """Cause -> what follows from it."""
        found: dict[int, list[int]] = {}
        for number, told in enumerate(self.subject.findings):
            if told.under is not None:
                found.setdefault(told.under, []).append(number)
        return found

    @cached_property
    def causes(self) -> Mapping[Severity, Sequence[int]]:
        """What follows from nothing else."""
        found: dict[Severity, list[int]] = {}
        for number, told in enumerate(self.subject.findings):
            if told.under is None:
                found.setdefault(told.finding.severity, []).append(number)
        return found

    @cached_property
    def counts(self) -> Counter[Severity]:
        """How many there are, whatever they follow from."""
        return Counter(told.finding.severity for told in self.subject.findings)

    @cached_property
    def kinds(self) -> Mapping[tuple[Severity, str], Sequence[int]]:
        """Severity and code -> what follows from nothing else."""
        found: dict[tuple[Severity, str], list[int]] = {}
        for number, told in enumerate(self.subject.findings):
            if told.under is None:
                found.setdefault((told.finding.severity, told.finding.code), []).append(number)
        return found

    @cached_property
    def by_code(self) -> Mapping[str, Sequence[int]]:
        """Code -> all of it."""
        found: dict[str, list[int]] = {}
        for number, told in enumerate(self.subject.findings):
            found.setdefault(told.finding.code, []).append(number)
        return found

    def with_codes(self, codes: Iterable[str]) -> list[int]:
        """All of some codes, in their order."""
        return sorted(number for code in codes for number in self.by_code.get(code, ()))

    def of(self, *texts: str) -> list[int]:
        """Those that have one of these texts as their subject, or say it in their evidence."""
        return sorted({number for text in texts for number in self._said.get(text, ())})

    def about(self, name: str) -> list[int]:
        """Those that mean a tensor or a parameter: by its own name, its module's, or one that stands for many."""
        template, indices = blank(name)
        found = {number for start in _starts(name) for number in self._plain.get(start, ())}
        for start in _starts(template):
            for wanted, number in self._folded.get(start, ()):
                if not (wanted.below and start == template) and wanted.fits(indices):
                    found.add(number)
        return sorted(found)

    def on_page(self, target: Target, numbers: Sequence[int]) -> list[int]:
        """These, and of each kind the first that lead to this page whatever they call what it is about."""
        firsts = chain.from_iterable(own[:_MOST_LED] for own in self.kinds.values())
        led = (number for number in firsts if self.leads.of(self.subject.findings[number].finding) == target)
        return sorted({*numbers, *led})

    @cached_property
    def _said(self) -> Mapping[str, Sequence[int]]:
        found: dict[str, list[int]] = {}
        for number, told in enumerate(self.subject.findings):
            for text in dict.fromkeys(_entries(told.finding)):
                found.setdefault(text, []).append(number)
        return found

    @cached_property
    def _spelled(self) -> tuple[Mapping[str, Sequence[int]], Mapping[str, Sequence[tuple[Spelled, int]]]]:
        """Names as they are, and by their templates those that stand for several."""
        plain: dict[str, list[int]] = {}
        folded: dict[str, list[tuple[Spelled, int]]] = {}
        for number, told in enumerate(self.subject.findings):
            for text in named(told.finding):
                if "{" in text or text.endswith(".**"):
                    wanted = spelled(text)
                    folded.setdefault(wanted.template, []).append((wanted, number))
                else:
                    plain.setdefault(text, []).append(number)
        return plain, folded

    @property
    def _plain(self) -> Mapping[str, Sequence[int]]:
        return self._spelled[0]

    @property
    def _folded(self) -> Mapping[str, Sequence[tuple[Spelled, int]]]:
        return self._spelled[1]

    def prepare(self) -> None:
        """All of it, so that no key has to wait."""
        self.leads.prepare()
        self.subject.held.prepare()
        _ = self.walked, self.following, self.counts, self.kinds, self.by_code, self._said, self._spelled


def _starts(name: str) -> Iterator[str]:
    """A name and the modules that it is below of: `a.b_c` is below `a.b` and `a`, as `named.Names` has it."""
    yield name
    for at, letter in enumerate(name):
        if letter in "._":
            yield name[:at]


def _entries(finding: Finding) -> Iterator[str]:
    yield finding.subject
    for key in _ENTRIES:
        told = finding.evidence.get(key)
        if isinstance(told, str):
            yield told
        elif isinstance(told, list | tuple):
            yield from (each for each in told if isinstance(each, str))
