"""Errors that name tensors: what each most likely means beside these files, the most particular meaning first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses import (
    architecture,
    fusing,
    holes,
    ignored,
    layouts,
    mlx,
    side_tensors,
    sizes,
    stacking,
    strangers,
    undeclared,
    vocabulary,
)
from tracer.diagnose.hypotheses.question import Question
from tracer.diagnose.hypothesis import Hypothesis

Explain = Callable[[Question], Hypothesis | None]

_PARTICULAR: tuple[Explain, ...] = (
    mlx.explain, fusing.doubled, side_tensors.of_cache, side_tensors.of_bitsandbytes, side_tensors.of_converter,
    side_tensors.of_zero_points, side_tensors.of_activations, side_tensors.of_head, stacking.explain, stacking.count,
    strangers.invented_bias, strangers.derived, strangers.old_spelling, fusing.one_head, ignored.explain,
    side_tensors.of_others, sizes.packed_column, vocabulary.explain, sizes.own_head_dim, sizes.grouped_queries,
    sizes.in_ranks, layouts.other_class,
)  # fmt: skip
"""What is so whatever else is wrong."""
_OF_SOUND_FILES: tuple[Explain, ...] = (
    strangers.inner_head, layouts.explain, layouts.everything, sizes.dropped_head, holes.explain, strangers.absent,
    strangers.new_template,
)  # fmt: skip
"""What only follows where no other cause is seen in the files: else that is what the error comes of."""
_NAMES_WRONG = {"tensor.unmapped", "param.unfilled", "arch.mismatch", "name.rewrite", "shards.gap",
                "index.missing-file",
                "trainer.placeholder", "trainer.flat-shard", "file.lfs-pointer", "layers.missing",
                "layers.extra"}  # fmt: skip


def propose(case: Case) -> Iterator[Hypothesis]:
    """One meaning for each complaint, the first that the files bear out."""
    if case.state is not case.original:
        return  # told in the first round already
    sound = not case.original.codes & _NAMES_WRONG and not architecture.is_another(case)
    lost = {each for found in undeclared.propose(case) for each in found.answers}
    for complaint in case.complaints:
        if complaint in lost:
            continue
        question = Question(case, complaint)
        unplanned = case.original.plan is None and not architecture.is_another(case)
        explains = (*_PARTICULAR, *_OF_SOUND_FILES) if sound or unplanned else _PARTICULAR
        found = next((hypothesis for explain in explains if (hypothesis := explain(question))), None)
        if found is not None:
            yield found
