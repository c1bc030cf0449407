"""config.json, field by field, beside what the tensors say of it without having been asked."""

from __future__ import annotations

from collections.abc import Collection

from mappings.findings import Finding
from tracer.errors import InputError
from tracer.infer import Field, Inferred, infer
from tracer.infer.canonical import spellings, text_config
from tracer.infer.standing import MADE_UP, standing
from tracer.prepare import Prepared
from tracer.report.html.findings import shown
from tracer.report.html.view import Compared, Config, Setting
from tracer.report.markdown import spelled


def config(prepared: Prepared, first: int, templates: Collection[str]) -> Config:
    """The findings are numbered from `first`."""
    inferred, unchecked = _inferred(prepared)
    found, _ = shown(inferred.findings, templates, first)
    reasons = [unchecked, *(f"{item.name}: {item.reason}" for item in inferred.unchecked)]
    beside = _Beside(prepared, inferred)
    return Config(prepared.configured.source, beside.settings(), found, "; ".join(filter(None, reasons)))


def _inferred(prepared: Prepared) -> tuple[Inferred, str]:
    """What the tensors say, or nothing and the reason why."""
    checkpoint = prepared.checkpoint
    if checkpoint is None or checkpoint.state == "config-only":
        return Inferred([]), MADE_UP
    try:
        return infer(checkpoint), ""
    except InputError as error:
        return Inferred([]), str(error)


class _Beside:
    """The fields of both sides."""

    def __init__(self, prepared: Prepared, inferred: Inferred) -> None:
        self._configured = prepared.configured
        self._seen = {field.name: field for field in inferred.fields}
        self._wrong = {str(name) for finding in inferred.findings for name in _named(finding)}
        config = prepared.configured.config
        wanted = {key for name in self._seen for key in spellings(name)}
        self._said = {**config, **{key: value for key, value in text_config(config).items() if key in wanted}}

    def settings(self) -> list[Setting]:
        """Conflicts first, then as config.json has them, then what it says under no name."""
        unsaid = (name for name in self._seen if self._said.keys().isdisjoint(spellings(name)))
        names = [*self._said, *unsaid]
        return sorted(map(self._setting, names), key=lambda setting: setting.state != "conflict")

    def _setting(self, name: str) -> Setting:
        seen = next((self._seen[key] for key in spellings(name) if key in self._seen), None)
        value = seen.value if seen else None
        said = self._said.get(name)
        return Setting(
            name,
            spelled(said) if name in self._said else None,
            spelled(value) if value is not None else None,
            self._state(name, said, seen), seen.confidence if seen and value is not None else "",
            ", and ".join(filter(None, (seen.evidence, seen.witness))) if seen else "", self._source(name),
        )  # fmt: skip

    def _state(self, name: str, said: object, seen: Field | None) -> Compared:
        wrong = any(key in self._wrong for key in spellings(name) if key == name or key not in self._said)
        found = standing(said, seen, wrong)
        return "not compared" if found == "fits" else found

    def _source(self, name: str) -> str:
        if name in self._configured.overrides:
            return "--hf-overrides"
        return self._configured.source if name in self._said else ""


def _named(finding: Finding) -> tuple[str, ...]:
    """The field that a finding is about; remarks are no conflict."""
    field = finding.evidence.get("field", finding.subject)
    return (field,) if finding.severity != "info" and isinstance(field, str) else ()
