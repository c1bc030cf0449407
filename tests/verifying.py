"""Verification without a command: in this process for one rank, and on several checkpoints in one launch of several.

Importable, so that ranks can run it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file

from engine.loading.loader import Loader
from engine.loading.recorder import NullRecorder
from engine.loading.sources import MappedWeights
from engine.parallel import Alone
from mappings.findings import Finding
from tracer.checkpoint.weights import map_file
from tracer.execute.outcome import RankResult
from tracer.execute.rank import load_rank
from tracer.execute.verify.passing import verify_rank
from tracer.execute.verify.verdicts import verdicts
from tracer.prepare import Request, prepare
from tracer.verified import Verified

Tensors = dict[str, torch.Tensor]
HEADS_ALIKE = "mistral-no-window"
"""As many KV heads as heads, so that q, k and v have one shape."""
LAYER = "model.layers.1.self_attn."


class Case(NamedTuple):
    """One load that is verified."""

    folder: Path
    loader: Callable[..., Loader] = Loader
    options: Mapping[str, Any] = {}
    """Of the request."""


class Solo(Alone):
    """A group of one, as the launcher would hand it to a rank."""

    rank = 0
    device = "cpu"


def exchanging_rows(folder: Path) -> str:
    """A file of rows by which q and k of every layer are taken for each other."""
    rows = folder / "rows.toml"
    rows.write_text('architecture = "MistralForCausalLM"\n' + "".join(
        f'[[remove]]\nname = "model.layers.{{layer}}.self_attn.{own}_proj"\n[[row]]\n'
        f'name = "model.layers.{{layer}}.self_attn.{own}_proj"\n'
        f'param = "model.layers.{{layer}}.self_attn.qkv_proj"\nparts = ["{other}"]\n'
        for own, other in (("q", "k"), ("k", "q"))
    ))  # fmt: skip
    return str(rows)


def altered(folder: Path, to: Path, change: Callable[[Tensors], object]) -> Path:
    """The same checkpoint with other tensors."""
    to.mkdir(parents=True)
    shutil.copy(folder / "config.json", to)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, to / "model.safetensors")
    return to


def with_config(source: Path, to: Path, **fields: Any) -> Path:
    """The same checkpoint with other entries of its config.json."""
    folder = altered(source, to, lambda tensors: None)
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | fields))
    return folder


def turned(name: str) -> Callable[[Tensors], object]:
    """Of `altered`: a tensor's rows in the other order."""
    return lambda tensors: tensors.update({name: tensors[name].flip(0)})


def poisoned(name: str, row: int = 3) -> Callable[[Tensors], object]:
    """Of `altered`: one NaN."""

    def change(tensors: Tensors) -> None:
        tensors[name][row, 5] = float("nan")

    return change


def one_pass(case: Case, states: Path, group: Any = None) -> RankResult:
    """Load this rank's share and compute with it."""
    group = group or Solo()
    prepared = prepare(Request(str(case.folder), group.size, **case.options))
    source = MappedWeights(prepared.folder, prepared.infos, map_file)
    built = load_rank(prepared, group.rank, source, NullRecorder(), group.device, case.loader, group)
    return RankResult(built.why_not, 0, verify_rank(group, prepared.plan, built, states))


def passes(group: Any, cases: Mapping[str, Case], states: Path) -> dict[str, RankResult]:
    """For `launch`: this rank's result of every case; rank 0 writes its states under the case's name."""
    torch.set_num_threads(1)
    return {name: one_pass(case, states / name, group) for name, case in cases.items()}


def judged(
    case: Case, results: Sequence[RankResult], states: Path, sound: Path | None = None
) -> tuple[Verified, ...]:  # fmt: skip
    """The verdicts of the command; the reference is made of `sound`, or of the case's own files."""
    options = {**case.options, "verify": True}
    prepared = prepare(Request(str(case.folder), len(results), reference="transformers", **options))
    return verdicts(prepared, prepare(Request(str(sound))) if sound else prepared, results, None, states)


def alone(case: Case, tmp_path: Path, sound: Path | None = None) -> tuple[Verified, ...]:
    """The verdicts on one rank, in this process."""
    return judged(case, [one_pass(case, tmp_path / "states")], tmp_path / "states", sound)


def only(verified: tuple[Verified, ...]) -> Finding:
    """The one thing that is wrong."""
    (finding,) = [finding for check in verified for finding in check.findings]
    assert finding.severity == "error"
    return finding


def considered(name: str) -> bool:
    """Of the three layers one is enough."""
    return ".0." not in name and ".2." not in name


def by_case(ranks: Sequence[Mapping[str, RankResult]]) -> dict[str, list[RankResult]]:
    """What `launch` gives, turned round."""
    return {name: [results[name] for results in ranks] for name in ranks[0]}


class DoublesOnRankOne(Loader):
    """Rank 1 has one parameter twice as large as it should be. A partial of it, with the name, is a loader."""

    def __init__(self, name: str, *rest: Any) -> None:
        super().__init__(*rest)
        self.name = name

    def load(self, params: Mapping[str, torch.Tensor]) -> None:
        super().load(params)
        if self.rank == 1:
            params[self.name].data.mul_(2)


class LosesAParameter(Loader):
    """What rank 1 has loaded cannot be multiplied with."""

    def load(self, params: Mapping[str, torch.Tensor]) -> None:
        super().load(params)
        if self.rank == 1:
            params["model.layers.1.mlp.down_proj.weight"].data = torch.zeros(3, 5)
