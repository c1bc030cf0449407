"""Frequencies of rotary embeddings: what config.json says about them, old spelling or new, and the formulas.

Su et al. 2021 for the rotation; for stretching it Chen et al. 2023 (linear), the NTK-aware posts (dynamic),
Peng et al. 2023 (yarn), Ding et al. 2024 (longrope) and the release of Llama 3.1 (llama3). All in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mappings.findings import Finding
from mappings.sizes import Config, ConfigError

UNSTRETCHED = frozenset({"default", "linear"})
"""Kinds that no length enters."""
BY_LENGTH = frozenset({"dynamic", "longrope"})
"""Kinds whose frequencies depend on how long the sequence is."""


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
        """A parameter without which the kind means nothing. Raises ConfigError."""
        value = self.parameters.get(name)
        if value is None:
            raise ConfigError(_lacks(f"rope_parameters.{name}", self.kind))
        return value

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
    Raises ConfigError when the kind is unknown, or differs from layer to layer.
    """
    parameters = dict(config.get("rope_scaling") or config.get("rope_parameters") or {})
    if any(isinstance(value, Mapping) for value in parameters.values()):
        raise ConfigError(_invalid("rope_parameters", "one for each kind of layer", "one for all layers"))
    theta = parameters.get("rope_theta") or config.get("rope_theta")
    if theta is None:
        raise ConfigError(_lacks("rope_theta", "default"))
    kind, longest = _kind(parameters), config.count("max_position_embeddings")
    if kind not in UNSTRETCHED and not longest:
        raise ConfigError(_lacks("max_position_embeddings", kind))
    partial = parameters.get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1.0
    name = "original_max_position_embeddings"
    trained = config.get(name) or parameters.get(name) or longest
    return Rope(kind, theta, int(dim * partial), trained, longest, parameters)


def _kind(parameters: Mapping[str, Any]) -> str:
    """The kind under its present name: longrope was `su`, and in the first Phi-3 files `yarn`."""
    kind = str(parameters.get("rope_type") or parameters.get("type") or "default")
    if kind == "su" or (kind == "yarn" and "short_factor" in parameters):
        return "longrope"
    if kind not in KINDS:
        raise ConfigError(_invalid("rope_type", kind, "one of " + ", ".join(sorted(KINDS))))
    return kind


def scaled(config: Config) -> Rope | None:
    """The rotary settings of a model that is to take longer sequences than it was trained on; None for any other."""
    parameters = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if not parameters or _kind(parameters) == "default":
        return None
    return rope_of(Config({"rope_theta": 1.0, **config.fields}, config.defaults), 2)


def stretched(config: Config) -> Rope | None:
    """The rotary settings of a model whose keys depend on how long their sequence was; None for any other."""
    rope = scaled(config)
    return rope if rope is not None and rope.kind in BY_LENGTH else None


def _lacks(name: str, kind: str) -> Finding:
    message = f"config.json lacks {name}, which rotary embeddings of kind {kind} need"
    return Finding("config.missing-field", "error", name, message, {"field": name})


def _invalid(name: str, found: str, expected: str) -> Finding:
    message = f"config.json: {name} is {found}, expected {expected}"
    evidence = {"field": name, "found": found, "expected": expected}
    return Finding("config.invalid", "error", name, message, evidence)


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
    return 1.0 / (torch.tensor(divisors, dtype=torch.float32) * _wavelengths(rope.theta, rope.width))


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
