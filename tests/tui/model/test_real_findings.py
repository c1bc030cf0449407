"""Every finding about a real checkpoint has its row, and leads to a page that speaks of it.

The checkpoints are those that failed somewhere and were rebuilt, hostile and broken files, and traces of loads into
which a fault was planted. All are opened as `tracer browse` opens them: by headers alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from fixtures import small_checkpoint
from fixtures.broken_folders import BROKEN
from fixtures.hostile import HOSTILE
from tests import sabotage
from tests.catalogue.entries import A_TO_G, H_TO_R
from tests.tui.model.test_findings import CODES
from tracer.cli import main
from tracer.commands.output import printable
from tracer.report.markdown import several
from tracer.session import Request, run
from tui.model.browsing import Browsing
from tui.model.findings.page import findings, subject_target
from tui.model.line import Target, plain, target
from tui.model.opening import open_subject
from tui.model.subject import Subject, Told

CASES = {case.id: case for case in (*A_TO_G, *H_TO_R)}
WIDTH = 200
LISTED = 6
"""Entries of a list in the evidence that a row shows."""


def catalogued(entry: str, folder: Path) -> Subject:
    case = CASES[entry]
    return open_subject(str(case.make().write(folder / "model")), case.tp, lambda seen: None)


def hostile(name: str, folder: Path) -> Subject:
    HOSTILE[name].write(folder / "model.safetensors")
    return open_subject(str(folder), 1, lambda seen: None)


def broken(name: str, folder: Path) -> Subject:
    small_checkpoint.sound(folder)
    BROKEN[name].break_it(folder)
    return open_subject(str(folder), 1, lambda seen: None)


def sabotaged(fault: str, folder: Path) -> Subject:
    """The trace of a load that went wrong."""
    (folder / "model").mkdir()
    small_checkpoint.sound(folder / "model")
    trace = folder / "trace.db"
    run(Request(str(folder / "model"), 2, "dummy"), save=trace, loader=getattr(sabotage, fault)).store.close()
    return open_subject(str(trace), 1, lambda seen: None)


REACHED: Mapping[str, Callable[[Path], Subject]] = {
    "audit.overread": partial(sabotaged, "LoadsARowTwice"),
    "audit.overwritten": partial(sabotaged, "LoadsARowTwice"),
    "audit.rank-duplicate": partial(sabotaged, "EveryRankIsRankZero"),
    "audit.unread": partial(sabotaged, "SkipsARow"),
    "audit.unwritten": partial(sabotaged, "SkipsARow"),
    "arch.mismatch": partial(broken, "no_architecture"),
    "arch.unknown": partial(broken, "unknown_architecture"),
    "config.conflict": partial(broken, "field_is_zero"),
    "config.invalid": partial(broken, "config_goes_on"),
    "config.missing": partial(broken, "no_config"),
    "config.missing-field": partial(broken, "field_missing"),
    "file.empty": partial(hostile, "empty"),
    "file.html": partial(hostile, "web_page"),
    "file.lfs-pointer": partial(broken, "shard_is_a_pointer"),
    "file.trailing-bytes": partial(hostile, "goes_on_after_the_data"),
    "file.truncated": partial(hostile, "cut_in_the_data"),
    "file.wrong-format": partial(broken, "config_is_a_folder"),
    "header.duplicate-name": partial(hostile, "one_name_twice"),
    "header.hole": partial(hostile, "hole_between"),
    "header.invalid": partial(hostile, "dtype_is_a_list"),
    "header.out-of-bounds": partial(hostile, "far_outside"),
    "header.overlap": partial(hostile, "spans_overlap"),
    "header.size-mismatch": partial(hostile, "half_a_byte"),
    "header.too-large": partial(hostile, "absurd_length"),
    "index.invalid": partial(broken, "index_is_a_list"),
    "index.missing-file": partial(broken, "index_names_an_absent_shard"),
    "index.missing-tensor": partial(broken, "index_names_an_absent_tensor"),
    "index.wrong-shard": partial(broken, "index_names_the_wrong_shard"),
    "layers.missing": partial(broken, "one_of_two_numbered_files"),
    "param.unfilled": partial(broken, "one_of_two_numbered_files"),
    "shards.duplicate-tensor": partial(broken, "one_tensor_in_two_shards"),
    "shards.gap": partial(broken, "one_of_two_numbered_files"),
    "tensor.unmapped": partial(broken, "tensor_name_with_escapes"),
    "value.all-zero": partial(broken, "config_goes_on"),
}
"""A code, and what has a finding of it; those that only the catalogue reaches stand below."""
CATALOGUED = {
    "adapter.no-overlap", "adapter.not-a-model", "experts.layout", "fused.mixed", "index.unlisted-tensor",
    "layers.extra", "layout.ambiguous", "name.rewrite", "pickle.unsafe-global", "quant.ignore-list", "quant.missing",
    "quant.orphan", "quant.unsupported", "shape.mismatch", "shards.second-copy", "tensor.derived", "tensor.ignored",
    "tie.conflict", "tp.indivisible", "tp.kv-replicated", "tp.quant-group", "trainer.flat-shard", "trainer.placeholder",
}  # fmt: skip
NOT_HERE = {
    "audit.wrong-slice": "its planted faults need a model of other heads",
    "experts.missing": "other causes explain it",
    "file.changed": "a file that changes between two readings",
    "fused.already-fused": "words or two checkpoints",
    "fused.split": "two checkpoints",
    "hub.renamed": "the Hub",
    "index.total-size": "only in large real ones",
    "load.failed": "a load in processes",
    "mapping.axes": "a user's table",
    "mapping.overlap": "a user's table",
    "mapping.slot": "a user's table",
    "pickle.unreadable": "hostile pickles",
    "vocab.padded": "words or values",
    "verify.failed": "computing",
    "verify.rank-differs": "computing",
    "verify.reference-differs": "computing",
} | {code: "values" for code in CODES if code.startswith("value.") and code != "value.all-zero"}
"""Codes of which no finding comes from headers or a planted fault, and what they need."""
NOWHERE = {"fused.mixed": "no rows apply to a module whose parts are kept in two ways"}
"""Codes that may lead nowhere, and why."""


def test_each_code_is_reached_or_it_is_said_why_not() -> None:
    assert REACHED.keys() | CATALOGUED | NOT_HERE.keys() == set(CODES)
    assert not (REACHED.keys() & NOT_HERE.keys() or CATALOGUED & NOT_HERE.keys() or REACHED.keys() & CATALOGUED)


@pytest.mark.parametrize("code", REACHED)
def test_a_code_of_a_real_checkpoint_is_a_row_that_leads_to_a_page_about_it(code: str, tmp_path: Path) -> None:
    subject = REACHED[code](tmp_path)
    assert code in held(subject)


def test_each_finding_of_the_catalogue_is_a_row_that_leads_to_a_page_about_it(tmp_path: Path) -> None:
    found = {code for entry in CASES for code in held(catalogued(entry, tmp_path / entry))}
    assert found >= CATALOGUED


@pytest.mark.parametrize("entry", ["B3-untied-4", "D3-lm_head-4", "G5-4x8-1", "M3-checkpointed-3"])
def test_the_rows_are_those_of_the_command(entry: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By words of its own: what `tracer diagnose` writes about the same files."""
    subject, target = catalogued(entry, tmp_path), tmp_path / "all.jsonl"
    main(["diagnose", subject.where, "--tp", str(subject.tp), "--no-values", "--json", str(target)])
    capsys.readouterr()
    records = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    said = {(each["code"], each["subject"], each["message"]) for each in records if each["kind"] == "finding"}
    shown = {(told.finding.code, told.finding.subject, told.finding.message) for told in subject.findings}
    assert shown and shown == said


def held(subject: Subject) -> set[str]:
    """The codes of what was found, each with its row and the page that it leads to."""
    rows = rows_of(subject)
    browsing = Browsing(subject.where, subject.tp)
    browsing.arrived(subject)
    for number, told in enumerate(subject.findings):
        if told.under is not None:
            continue
        in_row(told, rows[number])
        where = subject_target(subject, told)
        if where is None:
            assert told.finding.code in NOWHERE, told
            continue
        assert speaks(browsing, where, told), (told, where)
    return {told.finding.code for told in subject.findings}


def rows_of(subject: Subject) -> dict[int, str]:
    """The block of lines of each finding on the page of all, without blanks, by its number."""
    found: dict[int, str] = {}
    number = -1
    for spans in findings(subject, frozenset(range(len(subject.findings)))).lines(WIDTH):
        where = target(spans)
        if where is not None and where.kind == "finding" and not plain(spans).startswith(("    ", "     ")):
            number = int(where.name)
        found[number] = found.get(number, "") + "".join(plain(spans).split())
    return found


def in_row(told: Told, row: str) -> None:
    """Severity and code, what it says, its evidence and its fix."""
    finding = told.finding
    words = [finding.code, finding.subject, finding.message, f"fix: {finding.fix}" if finding.fix else ""]
    for key, value in finding.evidence.items():
        words += [key, *(entry for entry, _ in several(value)[:LISTED])]
    for word in words:
        assert "".join(printable(word).split()) in row, (word, row)


def speaks(browsing: Browsing, where: Target, told: Told) -> bool:
    """Whether the page that a finding leads to says it; that of config.json says it in its own words."""
    browsing.visit(where.name) if where.kind == "page" else browsing.go(where)  # type: ignore[arg-type]
    shown = "".join("".join(plain(spans).split()) for spans in browsing.shown().lines(WIDTH))
    if where.kind == "page":
        return len(shown) > 0
    return told.finding.code in shown and "".join(printable(told.finding.message).split()) in shown
