"""What attention and state-space layers keep of a sequence, on one rank.

Keys and values: 2 x layers x KV heads x head_dim a token; latent attention (DeepSeek-V2, arXiv 2405.04434): one latent
and one rotary key a layer and token, whole on every rank; layers with a window keep no more tokens than that; a
state-space layer (Mamba, arXiv 2312.00752) keeps the same whatever the length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Cache:
    """Bytes of one sequence's cache on one rank."""

    UNBOUNDED: ClassVar[int] = 1 << 50
    """More tokens than any model takes: where a sequence of any length fits."""

    per_token: int
    """Of all layers that keep every token."""
    windowed: tuple[tuple[int, int], ...] = ()
    """(tokens kept, bytes a token) of the layers with a window."""
    per_sequence: int = 0
    """Of state-space layers, whatever the length."""
    latent: bool = False

    def of(self, tokens: int) -> int:
        """Bytes of a sequence of so many tokens."""
        kept = sum(each * min(tokens, window) for window, each in self.windowed)
        return self.per_sequence + self.per_token * tokens + kept

    def tokens(self, free: int) -> int:
        """The longest sequence that fits into so many bytes; UNBOUNDED where length costs nothing more."""
        low, high = 0, self.UNBOUNDED
        if self.of(0) > free:
            return 0
        if self.of(high) <= free:
            return high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.of(middle) <= free else (low, middle)
        return low

    def line(self) -> str:
        parts = [f"{self.per_token:,} bytes of KV cache a token"] if self.per_token or not self.per_sequence else []
        parts += [f"{each:,} bytes for each of the last {window:,} tokens" for window, each in self.windowed]
        if self.per_sequence:
            parts.append(f"{self.per_sequence:,} bytes of state a sequence")
        return " and ".join(parts)

    def notes(self) -> Iterator[str]:
        if self.latent:
            yield "latent and rotary key are one for all heads: every rank keeps them whole"


def windows(config: Mapping[str, Any], layers: int) -> tuple[int, frozenset[int]]:
    """The window, and the layers that have it; (0, none) where all layers keep every token.

    Fields as in the configs of Mistral, Qwen2 (`use_sliding_window`, `max_window_layers`), Gemma 2 and 3
    (`sliding_window_pattern`) and of Transformers since 4.52 (`layer_types`).
    """
    window = config.get("sliding_window")
    if type(window) is not int or not 0 < window < Cache.UNBOUNDED or config.get("use_sliding_window") is False:
        return 0, frozenset()
    types = config.get("layer_types")
    if isinstance(types, list):
        return window, frozenset(at for at, kind in enumerate(types[:layers]) if kind == "sliding_attention")
    pattern = config.get("sliding_window_pattern") or (2 if config.get("model_type") == "gemma2" else None)
    if type(pattern) is int and pattern > 1:
        return window, frozenset(at for at in range(layers) if (at + 1) % pattern)
    first = config.get("max_window_layers") if config.get("use_sliding_window") else 0
    return window, frozenset(range(max(0, first) if type(first) is int else 0, layers))
