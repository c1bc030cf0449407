"""config.json -> axis sizes, flags and domains. Nothing is invented: a value comes from a field that is there, from
an alternative that the architecture states, or it is reported as missing.

A size expression lists alternatives separated by `|`; each is a product or quotient of config fields, integers and
`@axis` references: `"head_dim | hidden_size / num_attention_heads"`, `"n_inner | 4 * n_embd"`,
`"time_step_rank | ceil hidden_size / 16"`. The first alternative whose fields are all present counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mappings.axes import Axes
from mappings.findings import Finding
from mappings.names import Domains
from mappings.rows import Architecture

MAX_SIZE = 1 << 40
"""No axis of any model is this long; a config that says so is damaged."""
MAX_POSITIONS = 100_000
"""No name has a hole with more positions (layers, experts); every position is enumerated."""

MAX_TENSORS = 2_000_000
"""The largest models have a tenth of this."""


class ConfigError(ValueError):
    """A config field is missing or wrong; carries the finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


class Config:
    """Read access to config.json that says which field is at fault.

    `used` collects every field that decided something, for reports.
    """

    def __init__(self, fields: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> None:
        self.fields = fields
        self.defaults = defaults or {}
        self.used: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        """The value of a field or its documented default; None when absent or null.

        A default `"@other"` is the value of another field.
        """
        value = self.fields.get(name)
        if value is None:
            value = self.defaults.get(name)
            if isinstance(value, str) and value.startswith("@"):
                return self.get(value[1:])
        if value is not None:
            self.used[name] = value
        return value

    def size(self, name: str) -> int | None:
        """A field that must be a positive integer, None when absent (or "auto"). Raises ConfigError."""
        value = self.get(name)
        if value is None or value == "auto":
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < MAX_SIZE:
            raise ConfigError(invalid(name, value, "a positive integer"))
        return value

    def require(self, name: str) -> int:
        """Like `size`, but absence is an error too."""
        value = self.size(name)
        if value is None:
            raise ConfigError(missing(name))
        return value

    def count(self, name: str) -> int:
        """A field that may be zero or absent (0)."""
        value = self.get(name)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_SIZE:
            raise ConfigError(invalid(name, value, "a non-negative integer"))
        return value

    def flag(self, expression: str) -> bool:
        """`"attention_bias"`: the field is set to something true; `"layers == 2"`: to just that; either after `not`."""
        negated, positive = expression.startswith("not "), expression.removeprefix("not ")
        name, equals, wanted = positive.partition(" == ")
        value = self.get(name)
        if value is not None and (wanted.isdigit() or not equals):
            self._check_flag(name, value)
        holds = str(value) == wanted if equals else bool(value)
        return holds is not negated

    def _check_flag(self, name: str, value: object) -> None:
        """`"false"` is true to whoever only asks whether it is set. Raises ConfigError."""
        if not isinstance(value, int) or not 0 <= value < MAX_SIZE:
            expected = "true or false" if name in self.defaults else "true, false or a non-negative integer"
            raise ConfigError(invalid(name, value, expected))


def invalid(name: str, value: object, expected: str) -> Finding:
    """A field of the wrong type or range."""
    shown = repr(value) if len(repr(value)) < 60 else repr(value)[:57] + "..."
    return Finding(
        "config.invalid", "error", name, f"config.json: {name} is {shown}, expected {expected}",
        {"field": name, "found": shown, "expected": expected},
    )  # fmt: skip


def missing(name: str) -> Finding:
    """A field that placement needs and config.json lacks."""
    return Finding(
        "config.missing-field", "error", name, f"config.json lacks {name}, which the placement depends on",
        {"field": name}, fix=f"add {name} to config.json",
    )  # fmt: skip


class Sizes(Mapping[str, int]):
    """Axis sizes, evaluated when first asked for, so that an axis no row uses needs no field."""

    def __init__(self, arch: Architecture, config: Config) -> None:
        self._expressions = arch.axes
        self._config = config
        self._known: dict[str, int] = {}

    def __getitem__(self, axis: str) -> int:
        if axis not in self._known:
            value = self.evaluate(self._expressions[axis])
            if not 0 < value < MAX_SIZE:
                raise ConfigError(invalid(self._spelled(self._expressions[axis]), value, "a positive size"))
            self._known[axis] = value
        return self._known[axis]

    def __iter__(self) -> Iterable[str]:  # type: ignore[override]
        return iter(self._expressions)

    def __len__(self) -> int:
        return len(self._expressions)

    def evaluate(self, expression: str) -> int:
        """A size expression of its own. Raises ConfigError, and KeyError for an axis that is not here."""
        alternatives = [part.strip() for part in expression.split("|")]
        for alternative in alternatives:
            value = self._term(alternative)
            if value is not None:
                return value
        raise ConfigError(missing(self._absent(alternatives[0])))

    def _absent(self, text: str) -> str:
        """The field that a term lacks."""
        words = [word for word in text.split() if word.isidentifier() and word != "ceil"]
        return next(word for word in words if self._config.size(word) is None)

    def _term(self, text: str) -> int | None:
        words = text.split()
        ceil = words[0] == "ceil"
        words = words[ceil:]
        value = self._factor(words[0])
        for operator, word in zip(words[1::2], words[2::2], strict=True):
            other = self._factor(word)
            if value is None or other is None:
                return None
            value = self._apply(value, operator, other, text, ceil)
        return value

    def _factor(self, word: str) -> int | None:
        if word.isdigit():
            return int(word)
        return self[word[1:]] if word.startswith("@") else self._config.size(word)

    def _apply(self, left: int, operator: str, right: int, text: str, ceil: bool) -> int:
        if operator == "*":
            return left * right
        if operator == "+":
            return left + right
        if right == 0:
            raise ConfigError(invalid(text, "a division by zero", "a size"))
        if left % right and not ceil:
            raise ConfigError(_indivisible(self._spelled(text), left, right))
        return -(-left // right)

    def _spelled(self, text: str) -> str:
        """A term in config fields: an axis is what its size was taken from, since nobody wrote `@kv` into a config."""
        return " ".join(self._source(word[1:]) if word.startswith("@") else word for word in text.split())

    def _source(self, axis: str) -> str:
        alternatives = [part.strip() for part in self._expressions[axis].split("|")]
        told = next((part for part in alternatives if self._term(part) is not None), alternatives[0])
        return self._spelled(told)


def _indivisible(text: str, left: int, right: int) -> Finding:
    return Finding(
        "config.conflict", "error", text.split(maxsplit=1)[0],
        f"config.json: {text} = {left} / {right} is not an integer", {"expression": text, "left": left, "right": right},
    )  # fmt: skip


def positions(field: str, count: int) -> int:
    """A number of layers or experts. Raises ConfigError for one that cannot be meant."""
    if count > MAX_POSITIONS:
        raise ConfigError(invalid(field, count, f"at most {MAX_POSITIONS}"))
    return count


def config_of(arch: Architecture, fields: Mapping[str, Any]) -> Config:
    """A config.json as an architecture reads it."""
    return Config({**arch.silent, **fields}, arch.flags)


def axes_of(arch: Architecture, config: Config) -> Axes:
    """The axes of one checkpoint."""
    cuts = [part.cut for param in arch.params for part in param.parts if part.cut]
    return Axes(Sizes(arch, config), arch.factors, frozenset(cut.axis for cut in cuts if cut.kind == "pad"))


def domains_of(arch: Architecture, config: Config) -> Domains:
    """Every domain a hole of this architecture can name. Axes of the layout, like `expert`, are domains too."""
    layers = range(positions(arch.layers, config.require(arch.layers)))
    return {"layer": layers, **(arch.domains(config) if arch.domains else {})}
