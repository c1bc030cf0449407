"""Ranks that processes of their own told what to serve: the same, or nothing.

They decide alike, each for itself, so what one was told otherwise would have them compute different things together
and never notice.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

import torch

from engine.opened import Opened
from engine.parallel import Group
from engine.sampling.params import Sampling
from engine.serving.refusal import Refused
from engine.text import eos_ids
from engine.text.tokenizer import FILE

BITS = 63
"""Of a digest and of a seed: what fits an int64 that is not negative."""


class Different(Refused):
    """A rank was told something else than rank 0; raised on all of them."""


class Member(Group, Protocol):
    """What is needed of a group."""

    @property
    def device(self) -> str: ...


def check_opened(group: Member, opened: Opened, settings: NamedTuple) -> None:
    """What all that is served depends on, beside the values of tensors. Raises Different."""
    fields = opened.plan.binding.config.fields
    _check(group, {
        "the settings": repr(settings),
        "the config.json": json.dumps(fields, sort_keys=True, default=str),
        "the checkpoint": repr([(tensor.name, tensor.dtype, tensor.shape) for tensor in opened.plan.tensors]),
        "the ids that end a text": repr(sorted(eos_ids(opened.folder, fields, opened.overrides))),
        f"the {FILE}": _content(opened.folder / FILE),
    })  # fmt: skip


def agreed(
    group: Member, prompts: Sequence[tuple[Sequence[int], Sampling]]
) -> list[tuple[Sequence[int], Sampling]]:  # fmt: skip
    """The prompts, which must be those of rank 0, with its seeds where none are given. Raises Different."""
    _check(group, {"the prompts and their sampling": repr(prompts)})
    own = torch.tensor([random.getrandbits(BITS)], device=group.device)
    draws = random.Random(int(group.all_gather(own)[0]))
    return [(ids, _seeded(sampling, draws)) for ids, sampling in prompts]


def _seeded(sampling: Sampling, draws: random.Random) -> Sampling:
    return sampling if sampling.seed is not None else replace(sampling, seed=draws.getrandbits(BITS))


def _check(group: Member, told: Mapping[str, str]) -> None:
    """Raises Different with the first thing, and the first rank, that is not as on rank 0."""
    own = torch.tensor([_digest(text.encode("utf-8", "surrogatepass")) for text in told.values()], device=group.device)
    every = group.all_gather(own).view(group.size, -1).tolist()
    for place, what in enumerate(told):
        for rank, digests in enumerate(every):
            if digests[place] != every[0][place]:
                raise Different(f"rank {rank}: expected {what} of rank 0, found something else")


def _content(path: Path) -> str:
    """What tells a file; empty where there is none."""
    return str(_digest(path.read_bytes())) if path.is_file() else ""


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") >> (64 - BITS)
