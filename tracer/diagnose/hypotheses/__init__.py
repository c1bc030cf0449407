"""Causes that are thought of, a class of them a file.

To add one: a file here with `def propose(case: Case) -> Iterator[Hypothesis]`, and one line in `PROPOSERS`. It looks
at `case.state` (headers, config, plan, findings) and `case.told` (what was pasted), and yields what is worth trying:

* `Hypothesis(wording, changes=(Rename(...),))` is tried: the plan is made again with these edits in memory, and it is a
  cause only where less is wrong then. `wording(trial)` makes the finding from what the trial has shown
  (`trial.claimed`, `trial.gone`, `trial.after.plan`), or returns None where that is not what was thought.
* `Hypothesis(..., assume=lambda state: ...)` tries what no edit of a checkpoint can do: another `tp`
  (`changed(state, state.checkpoint, replace(state.request, tp=2))`), a file that is back.
* `Hypothesis(Finding(...), evident=True, answers=(complaint,))` needs no trial: it was read off the files or the words,
  as a fault of the engine that an error text names. With changes it is tried all the same, for what it explains.

What a hypothesis explains is never stated, only seen: the symptoms that are gone in its trial. The best one of a round
is mended in thought and all are asked again, so that a second cause behind the first is found too. A proposer says
nothing where nothing points to it (look at `case.state.codes` or `case.complained(...)` first): a sound checkpoint must
cost no trial. A finding with the code and subject of a symptom takes its place instead of explaining it.
"""

from __future__ import annotations

from tracer.diagnose.hypotheses import (
    activation_order,
    adapters,
    architecture,
    asked_names,
    config,
    copies,
    declared_scales,
    dialects,
    drafts,
    errors,
    fields,
    file_names,
    files,
    fused_on_disk,
    fusing,
    half_precision,
    heads,
    ignored,
    llama_cpp_names,
    named_classes,
    names,
    older_library,
    orientation,
    packing,
    ranks,
    reloading,
    respelt,
    scale_names,
    silent_heads,
    stacking,
    stale_index,
    strangers,
    trainers,
    undeclared,
)
from tracer.diagnose.hypothesis import Proposer

PROPOSERS: tuple[Proposer, ...] = (
    stale_index.propose,
    files.propose,
    copies.propose,
    older_library.propose,
    trainers.propose,
    adapters.propose,
    orientation.propose,
    fused_on_disk.propose,
    config.propose,
    silent_heads.propose,
    names.propose,
    respelt.propose,
    dialects.propose,
    llama_cpp_names.propose,
    asked_names.propose,
    architecture.propose,
    scale_names.propose,
    stacking.propose,
    strangers.propose,
    undeclared.propose,
    declared_scales.propose,
    packing.propose,
    fusing.propose,
    ignored.propose,
    ranks.propose,
    activation_order.propose,
    drafts.propose,
    heads.propose,
    named_classes.propose,
    fields.propose,
    file_names.propose,
    reloading.propose,
    half_precision.propose,
    errors.propose,
)
"""Asked in this order; among hypotheses that explain equally much the first is believed."""
NEVER_EVIDENT: frozenset[Proposer] = frozenset({
    fused_on_disk.propose, config.propose, names.propose, respelt.propose, dialects.propose, architecture.propose,
})  # fmt: skip
"""Those whose causes are believed by their trials alone (but for a slip of the pen in a class, behind which there is
no plan): where a trial has left nothing wrong, they have nothing better to say."""
