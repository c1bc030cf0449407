"""Rows for what no row claims: a file that `--mapping` accepts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mappings.architectures import BUILT_IN
from mappings.plan import Stored
from mappings.rows import Architecture
from tracer.checkpoint.consistency import some
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.formats import GGUF
from tracer.infer import infer
from tracer.prepare import Prepared
from tracer.starter.compose import composed
from tracer.starter.draft import Draft
from tracer.starter.material import Material
from tracer.starter.spelling import text_of
from tracer.starter.trial import Trial, tried, undone

__all__ = ["Starter", "starter", "starter_of"]


@dataclass(frozen=True)
class Starter:
    """A mapping file, and what came of trying it on the checkpoint that it is for."""

    text: str
    draft: Draft
    """The same as data."""
    trial: Trial
    total: int
    """Names of the checkpoint."""
    foreign: bool = False
    """Whether no architecture of that name is registered."""

    @property
    def claimed(self) -> int:
        """Names that are answered for with the file."""
        return self.trial.claimed

    @property
    def left(self) -> tuple[str, ...]:
        """Names that are not, folded."""
        return self.trial.left

    @property
    def loads(self) -> bool:
        """Whether every name is claimed and no proof has anything against the plan."""
        return self.trial.loads

    @property
    def unapplied(self) -> tuple[str, ...]:
        """New parameters of no architecture: the rows load their numbers, the forward pass has to apply them too."""
        known = self.draft.borrowed.keys() | self.draft.rebiased | self.draft.renamed
        return tuple(param.name for param in self.draft.params if param.name not in known)

    @property
    def limits(self) -> tuple[str, ...]:
        """What the rows cannot do, in sentences."""
        draft = self.draft
        found = []
        if self.unapplied:
            found.append(
                f"{some(self.unapplied)}: the rows load the numbers, and the forward pass must also apply them"
            )
        found += [f"{name} is applied by the modules of {owner}, by others only if they have it too"
                  for name, owner in draft.borrowed.items()]  # fmt: skip
        if draft.renamed:
            told = some(sorted(draft.renamed))
            found.append(f"{told}: loaded leaf by leaf; modules that keep them together need the tensors renamed")
        if draft.like and draft.like.partition("/")[0] != draft.architecture and self.foreign:
            found.append(
                f"no modules compute {draft.architecture}: if it computes as {draft.like} does, write that class in the"
                " file and in --hf-overrides"
            )
        if not self.trial.shapes_known:
            found.append("no header is here: layouts follow from names, and no shape was compared with them")
        return tuple(found)


def starter(
    checkpoint: Checkpoint, config: Mapping[str, Any], *, tp: int = 1, dtype: str = "BF16",
    registered: Sequence[Architecture] = BUILT_IN, zeros: Collection[str] = (),
) -> Starter:  # fmt: skip
    """Write rows for every tensor that `config`'s architecture has none for, and try them.

    `zeros` are names of tensors that were read and found to be nothing but zeros. Raises ConfigError for a config
    that names no class, and MappingFileError where the rows that were thought of are none that a file can have.
    """
    known = None if checkpoint.format is GGUF else infer(checkpoint)
    names = [tensor.name for tensor in checkpoint.tensors] if checkpoint.state == "complete" else checkpoint.names
    material = Material(
        names, checkpoint.tensors, config, known.known if known else None, known.config() if known else {}, registered,
        frozenset(zeros),
    )  # fmt: skip
    draft = composed(material)
    own = [arch for arch in registered if draft.architecture in (arch.name, *arch.also)]
    trial = _tried(text_of(draft), checkpoint, config, tp, dtype)
    draft.todo += undone(draft, trial)
    return Starter(text_of(draft), draft, trial, len(names), not own)


def starter_of(prepared: Prepared, zeros: Collection[str] = ()) -> Starter:
    """The same for a checkpoint that has a plan. Raises ValueError where there is no checkpoint."""
    if prepared.checkpoint is None:
        raise ValueError("rows are written for the tensors of a checkpoint, and there is none")
    dtype = prepared.run.dtype or "BF16"
    return starter(prepared.checkpoint, prepared.run.config, tp=prepared.request.tp, dtype=dtype, zeros=zeros)


def _tried(text: str, checkpoint: Checkpoint, config: Mapping[str, Any], tp: int, dtype: str) -> Trial:
    here = {tensor.name: tensor for tensor in checkpoint.tensors}
    if checkpoint.state == "complete":
        return tried(text, config, checkpoint.tensors, tp, dtype)
    tensors: list[Stored] = [here.get(name) or _Name(name) for name in checkpoint.names]
    return tried(text, config, tensors, tp, dtype, shapes_known=False)


@dataclass(frozen=True)
class _Name:
    name: str
    dtype: str = "F32"
    shape: tuple[int, ...] = ()
