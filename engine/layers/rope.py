"""Frequencies of rotary embeddings: what config.json says about them, old spelling or new, and the formulas.

Su et al. 2021 for the rotation; for stretching it Chen et al. 2023 (linear), the NTK-aware posts (dynamic),
Peng et al. 2023 (yarn), Ding et al. 2024 (longrope) and the release of Llama 3.1 (llama3). All in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mappings.findings import Finding
from mappings.sizes import Config, ConfigError, invalid

UNSTRETCHED = frozenset({"default", "linear"})
"""Kinds that no length enters."""
BY_LENGTH = frozenset({"dynamic", "longrope"})
"""Kinds whose frequencies depend on how long the sequence is."""
LARGEST = torch.finfo(torch.float32).max


class Range(NamedTuple):
    """Which numbers make sense."""

    told: str
    zero: bool = False
    """Whether 0 does."""
    most: float = LARGEST

    def holds(self, value: object) -> bool:
        """Whether it is a number of them: NaN is none, infinity is beyond all."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (value >= 0 if self.zero else value > 0) and value <= self.most


POSITIVE = Range("a positive number")
FROM_ZERO = Range("a number from 0 on", zero=True)
NUMBERS = {
    "rope_theta": POSITIVE, "factor": POSITIVE, "attention_factor": POSITIVE, "high_freq_factor": POSITIVE,
    "low_freq_factor": FROM_ZERO, "beta_fast": FROM_ZERO, "beta_slow": FROM_ZERO, "mscale": FROM_ZERO,
    "mscale_all_dim": FROM_ZERO, "partial_rotary_factor": Range("a number above 0 and at most 1", most=1.0),
}  # fmt: skip
BESIDE = "rope_theta", "partial_rotary_factor"
"""What may also stand beside the dictionary."""
DIVISORS = "short_factor", "long_factor"
"""Of longrope: a number for each pair."""
NEEDED = {
    "linear": ("factor",), "dynamic": ("factor",), "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "longrope": DIVISORS,
}  # fmt: skip
"""What a kind means nothing without."""


@dataclass(frozen=True)
class Rope:
    """The rotary settings of one model."""

    kind: str
    theta: float
    width: int
    """How many leading dimensions of a head are rotated."""
    trained: int
    """The longest sequence before stretching (`original_max_position_embeddings`); 0 where nothing says."""
    longest: int
    """`max_position_embeddings`, or 0."""
    parameters: Mapping[str, Any]
    """What belongs to the kind: `factor`, `beta_fast`, `long_factor`, ..."""

    def __getitem__(self, name: str) -> Any:
        """A parameter that the kind needs."""
        return self.parameters[name]

    def regime(self, length: int) -> int:
        """A number that is equal for prompts whose keys are turned alike; 0 for those that are not stretched."""
        if length <= (self.longest if self.kind == "dynamic" else self.trained):
            return 0
        return length if self.kind == "dynamic" else 1

    @property
    def turning(self) -> int | None:
        """The length beyond which a sequence's earlier keys hold no longer, as longrope has one set for all of them."""
        return self.trained if self.kind == "longrope" else None

    @property
    def factor(self) -> float:
        """How much longer than trained; where unstated, the ratio of the two lengths."""
        stated = self.parameters.get("factor")
        return float(stated) if stated is not None else self.longest / self.trained

    @property
    def reach(self) -> int:
        """The longest sequence that stretching is for.

        `factor` times the trained length (Transformers, `RopeParameters`; vLLM derives its own limit so), for dynamic
        times the length that its formula starts from. llama3 and longrope blend or choose by the trained length, and
        `max_position_embeddings` is what they were made for, as it is wherever it is more.
        """
        base = {"linear": self.trained, "yarn": self.trained, "dynamic": self.longest}.get(self.kind)
        return self.longest if base is None else max(self.longest, int(self.factor * base))


def rope_of(config: Config, dim: int) -> Rope:
    """Read `rope_parameters`, or `rope_scaling` with `rope_theta` and `partial_rotary_factor` beside it.

    `dim` is the size of a head. What stands inside the dictionary precedes what stands beside it, except for
    `original_max_position_embeddings`, where it is the other way round (Transformers, for Phi-3's sake).
    Raises ConfigError when the kind is unknown, lacks something, or differs from layer to layer, and for numbers that
    are none, or that no frequencies can be computed of.
    """
    field, parameters = _dictionary(config)
    rope = _read(config, field, parameters, dim)
    if not rope.width or rope.width % 2:
        expected = f"such that an even number of a head's {dim} dimensions is rotated, not {rope.width}"
        raise ConfigError(invalid("partial_rotary_factor", rope.width / dim, expected))
    for name in DIVISORS if rope.kind == "longrope" else ():
        if len(rope[name]) != rope.width // 2:
            expected = f"{rope.width // 2} numbers, one for each pair, not {len(rope[name])}"
            raise ConfigError(invalid(f"{field}.{name}", rope[name], expected))
    try:
        amplitude(rope)
        frequencies(rope, rope.longest + 1)
    except ArithmeticError as error:  # numbers that make no sense together
        raise ConfigError(invalid(field, parameters, f"what frequencies can be computed of ({error})")) from error
    return rope


def scaled(config: Config) -> Rope | None:
    """The rotary settings of a model that is to take longer sequences than it was trained on; None for any other.

    They have no `width`, as nothing says here how large a head is. Raises ConfigError as `rope_of` does.
    """
    field, parameters = _dictionary(config)
    if _kind(parameters) == "default":
        return None
    return _read(Config({"rope_theta": 1.0, **config.fields}, config.defaults), field, parameters, 0)


def stretched(config: Config) -> Rope | None:
    """The rotary settings of a model whose keys depend on how long their sequence was; None for any other.

    Raises ConfigError as `rope_of` does.
    """
    rope = scaled(config)
    return rope if rope is not None and rope.kind in BY_LENGTH else None


def _dictionary(config: Config) -> tuple[str, Mapping[str, Any]]:
    """The field, in its old spelling or the new one, and what it holds. Raises ConfigError."""
    field = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
    parameters = config.get(field) or {}
    if not isinstance(parameters, Mapping):
        raise ConfigError(invalid(field, parameters, "an object"))
    return field, parameters


def _kind(parameters: Mapping[str, Any]) -> str:
    """The kind under its present name: longrope was `su`, and in the first Phi-3 files `yarn`. Raises ConfigError."""
    kind = str(parameters.get("rope_type") or parameters.get("type") or "default")
    if kind == "su" or (kind == "yarn" and "short_factor" in parameters):
        return "longrope"
    if kind not in KINDS:
        raise ConfigError(invalid("rope_type", kind, "one of " + ", ".join(sorted(KINDS))))
    return kind


def _read(config: Config, field: str, parameters: Mapping[str, Any], dim: int) -> Rope:
    """Raises ConfigError."""
    if any(isinstance(value, Mapping) for value in parameters.values()):
        raise ConfigError(invalid(field, parameters, "one object for all layers"))
    kind, longest = _kind(parameters), config.count("max_position_embeddings")
    inside = Config({f"{field}.{name}": value for name, value in parameters.items()})
    beside = {name: config.get(name) for name in BESIDE}
    stated = beside | {name: value for name, value in parameters.items() if value is not None}
    for name in NEEDED.get(kind, ()):
        if stated.get(name) is None:
            raise ConfigError(_lacks(f"{field}.{name}", kind))
    if stated["rope_theta"] is None:
        raise ConfigError(_lacks("rope_theta", "default"))
    if kind not in UNSTRETCHED and not longest:
        raise ConfigError(_lacks("max_position_embeddings", kind))
    _check({**beside, **inside.fields})
    theta, partial = float(stated["rope_theta"]), stated["partial_rotary_factor"]
    name = "original_max_position_embeddings"
    trained = config.count(name) or inside.count(f"{field}.{name}") or longest
    return Rope(kind, theta, int(dim * (1.0 if partial is None else partial)), trained, longest, parameters)


def _check(stated: Mapping[str, Any]) -> None:
    """Raises ConfigError for the first number that is none; names are those that config.json has."""
    for field, value in stated.items():
        name = field.rpartition(".")[2]
        if value is None:
            continue
        if name in NUMBERS and not NUMBERS[name].holds(value):
            raise ConfigError(invalid(field, value, NUMBERS[name].told))
        if name in DIVISORS and not (isinstance(value, list | tuple) and all(map(POSITIVE.holds, value))):
            raise ConfigError(invalid(field, value, "a list of positive numbers"))


def _lacks(name: str, kind: str) -> Finding:
    message = f"config.json lacks {name}, which rotary embeddings of kind {kind} need"
    return Finding("config.missing-field", "error", name, message, {"field": name})


def frequencies(rope: Rope, length: int) -> Tensor:
    """Radians per position of each pair, (width / 2,), float32, for a sequence of `length` tokens."""
    return KINDS[rope.kind](rope, length)


def amplitude(rope: Rope) -> float:
    """What sine and cosine are multiplied by, which sharpens the attention of stretched models."""
    stated = rope.parameters.get("attention_factor")
    if stated is not None:
        return float(stated)
    if rope.kind == "yarn":
        return _yarn_amplitude(rope)
    if rope.kind == "longrope" and rope.factor > 1.0:
        return math.sqrt(1 + math.log(rope.factor) / math.log(rope.trained))
    return 1.0


def _yarn_amplitude(rope: Rope) -> float:
    own, all_dims = rope.parameters.get("mscale"), rope.parameters.get("mscale_all_dim")
    if own and all_dims:
        return _mscale(rope.factor, own) / _mscale(rope.factor, all_dims)
    return _mscale(rope.factor, 1.0)


def _mscale(factor: float, weight: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0


def _wavelengths(theta: float, width: int) -> Tensor:
    """theta^(2i / width): positions per radian."""
    return torch.as_tensor(theta ** (torch.arange(0, width, 2, dtype=torch.float32) / width))


def _default(rope: Rope, length: int) -> Tensor:
    return 1.0 / _wavelengths(rope.theta, rope.width)


def _linear(rope: Rope, length: int) -> Tensor:
    return _default(rope, length) / float(rope["factor"])


def _dynamic(rope: Rope, length: int) -> Tensor:
    """A larger base, as soon as the sequence is longer than trained."""
    factor = float(rope["factor"])
    stretch = factor * max(length, rope.longest) / rope.longest - (factor - 1)
    return 1.0 / _wavelengths(rope.theta * stretch ** (rope.width / (rope.width - 2)), rope.width)


def _longrope(rope: Rope, length: int) -> Tensor:
    """A divisor for each pair, searched for; one set for short sequences and one for long."""
    divisors = rope["long_factor" if length > rope.trained else "short_factor"]
    return 1.0 / (torch.tensor([*map(float, divisors)], dtype=torch.float32) * _wavelengths(rope.theta, rope.width))


def _llama3(rope: Rope, length: int) -> Tensor:
    """Slow pairs are stretched, fast ones are kept, and those between are blended."""
    own = _default(rope, length)
    factor, low, high = (float(rope[name]) for name in ("factor", "low_freq_factor", "high_freq_factor"))
    turns = rope.trained / (2 * math.pi / own)
    blend = ((turns - low) / (high - low)).clamp(0, 1)
    return (1 - blend) * own / factor + blend * own


def _yarn(rope: Rope, length: int) -> Tensor:
    """The same idea, blended linearly over the pairs between two numbers of turns."""
    lengths = _wavelengths(rope.theta, rope.width)
    low, high = _yarn_range(rope)
    ramp = (torch.arange(rope.width // 2, dtype=torch.float32) - low) / (high - low)
    stretched = ramp.clamp(0, 1)
    return 1.0 / (rope.factor * lengths) * stretched + 1.0 / lengths * (1 - stretched)


def _yarn_range(rope: Rope) -> tuple[float, float]:
    """First and last pair of the blend."""
    low = _pair_of(rope, float(rope.parameters.get("beta_fast") or 32))
    high = _pair_of(rope, float(rope.parameters.get("beta_slow") or 1))
    if rope.parameters.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rope.width - 1)
    return low, high + 0.001 if low == high else high


def _pair_of(rope: Rope, turns: float) -> float:
    """The pair, fractional, that turns so often in the trained length."""
    return rope.width * math.log(rope.trained / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))


KINDS: dict[str, Callable[[Rope, int], Tensor]] = {
    "default": _default, "linear": _linear, "dynamic": _dynamic, "longrope": _longrope, "llama3": _llama3,
    "yarn": _yarn,
}  # fmt: skip
