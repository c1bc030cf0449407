"""How a model can be divided, and what each rank then holds.

`sizes` takes an architecture with rows, bound to a config: exact. `estimated` takes the numbers of a config, found or
inferred, and the tensors' sizes: the same answers by what divides, and memory as an estimate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mappings.bind import Binding
from tracer.infer.parallel import rows, widths
from tracer.infer.parallel.cache import Cache
from tracer.infer.parallel.experts import Held, even, obstacle
from tracer.infer.parallel.groups import Groups, groups_of
from tracer.infer.parallel.result import TP_SHOWN, Obstacle, Parallel, Rank
from tracer.infer.parallel.stages import PP_SHOWN, Stages, cut, split

__all__ = [
    "Cache", "Groups", "Held", "Obstacle", "Parallel", "Rank", "Stages", "estimated", "groups_of", "obstacle", "sizes",
    "split",
]  # fmt: skip

_PACKED = 0.95
_FILES = "an estimate: what the files hold, packed, divided as the rows divide the parameters"
_ESTIMATE = "an estimate: matrices divided, vectors on every rank"


def sizes(binding: Binding, stored: int | None = None, groups: Sequence[Groups] = ()) -> Parallel:
    """Of a model with rows. The binding's own number of ranks does not matter.

    `stored` is how many bytes the files hold: where that is far less than the parameters take, they are packed in a
    scheme that the rows do not know, and the bytes are those of the files, divided as the rows divide; `groups` are
    those of that scheme, which no cut may break.
    """
    found = _with_groups(rows.obstacles(binding), groups)
    legal = tuple(tp for tp, reason in found.items() if reason is None)
    total = rows.on_rank(binding, 1)
    packed = stored if stored is not None and stored < _PACKED * total else total
    ranks = tuple(
        Rank(tp, rows.on_rank(binding, tp) * packed // total, rows.cache(binding, tp), rows.copies(binding, tp))
        for tp in TP_SHOWN if tp in legal
    )  # fmt: skip
    weights = rows.whole(binding).scaled(packed, total)
    layers = len(weights.layers)
    stages = tuple(cut(weights.layers, weights.before, weights.after, pp) for pp in PP_SHOWN if pp <= layers)
    experts = even(rows.expert_count(binding), weights.experts)
    exact = f"of every parameter of the rows, in {', '.join(rows.dtypes(binding))}"
    return Parallel(legal, _reasons(found), ranks, stages, layers, experts, exact if packed == total else _FILES)


def estimated(
    fields: Mapping[str, Any], tensors: Iterable[widths.Sized], expert_bytes: int = 0, groups: Sequence[Groups] = ()
) -> Parallel:  # fmt: skip
    """Of a model without rows: config fields, as many as are known, and (shape, bytes) of every tensor.

    `expert_bytes` is what all routed experts take together, 0 where that is not known.
    """
    stored = list(tensors)
    found = _with_groups(widths.obstacles(fields), groups)
    legal = tuple(tp for tp, reason in found.items() if reason is None)
    caches = {tp: widths.cache(fields, tp) for tp in TP_SHOWN if tp in legal}
    ranks = tuple(
        Rank(tp, widths.on_rank(stored, fields, tp), cache, widths.copies(fields, tp))
        for tp, cache in caches.items() if cache
    )  # fmt: skip
    layers = widths.layers(fields) or 0
    inside, outside = _in_layers(stored, fields)
    each = [inside // layers] * layers if layers else []
    stages = tuple(cut(each, outside // 2, outside - outside // 2, pp) for pp in PP_SHOWN if pp <= layers)
    experts = even(widths.expert_count(fields), expert_bytes)
    return Parallel(legal, _reasons(found), ranks, stages, layers, experts, _ESTIMATE)


def _with_groups(found: Mapping[int, Obstacle | None], groups: Sequence[Groups]) -> dict[int, Obstacle | None]:
    """What cuts every axis may still cut inside a group."""
    return {tp: reason or next((_broken(each, tp) for each in groups if each.broken_by(tp)), None)
            for tp, reason in found.items()}  # fmt: skip


def _broken(groups: Groups, tp: int) -> Obstacle:
    reason = f"{groups.groups} groups of {groups.size} do not divide by {tp}"
    return Obstacle(tp, groups.name, groups.groups, reason)


def _in_layers(tensors: Iterable[widths.Sized], fields: Mapping[str, Any]) -> tuple[int, int]:
    """Bytes of the layers, and of embedding and head, which are as long as the vocabulary."""
    vocabulary = widths.number(fields, ("vocab_size", "padded_vocab_size"))
    outside = total = 0
    for shape, size in tensors:
        total += size
        outside += size if len(shape) == 2 and shape[0] == vocabulary else 0
    return total - outside, outside


def _reasons(found: Mapping[int, Obstacle | None]) -> tuple[Obstacle, ...]:
    return tuple(reason for reason in found.values() if reason is not None)
