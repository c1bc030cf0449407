"""What the user asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fixtures.geometries import DEFAULT

LoadFormat = Literal["auto", "safetensors", "pt", "gguf", "dummy"]


@dataclass(frozen=True)
class Request:
    """What the user asked for; plain values, so that each rank's process can prepare the same plan."""

    model: str | None = None
    tp: int = 1
    load_format: LoadFormat = "auto"
    rank: int | None = None
    plan_only: bool = False
    geometry: str = DEFAULT
    """The embedded geometry that is traced where there is no model."""
    mapping: str | None = None
    """Path of the user's own rows."""
    config_path: str | None = None
    overrides: str | None = None
    """JSON object laid over config.json."""
    dtype: str | None = None
    device: str | None = None
    revision: str | None = None
    """Branch, tag or commit of a repository on the Hub."""
    verify: bool = False
    """Whether what was loaded is to be computed with."""
    reference: str | None = None
    """`transformers`, or `transformers=DIR`: what that is to be compared with."""
    generates: bool = False
    """Whether text is to be made of it, so that nothing does in place of its tensors."""

    @property
    def verifies(self) -> bool:
        """Whether it is to be computed with: who wants it compared wants that too."""
        return self.verify or self.reference is not None

    @property
    def bytes_wanted(self) -> bool:
        """Whether tensors are to be read."""
        return not self.plan_only and self.load_format != "dummy"

    @property
    def instead(self) -> str:
        """What can be asked for where tensors are not here or cannot be read; empty where nothing else would do."""
        return "" if self.generates else "--load-format dummy or --plan"

    @property
    def only(self) -> str | None:
        """The one format of files that is looked for; None where any will do."""
        return self.load_format if self.load_format not in ("auto", "dummy") else None

    @property
    def ranks(self) -> tuple[int, ...]:
        return tuple(range(self.tp)) if self.rank is None else (self.rank,)
