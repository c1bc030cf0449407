"""Numbers of ranks that cannot cut a model: every constraint that fails, and the sizes that would do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import gcd
from typing import Any

from mappings.findings import Finding
from mappings.names import collapse
from mappings.shards import obstacle
from tracer.complaints.complaint import Complaint
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.asked_ranks import ranks_of
from tracer.diagnose.hypotheses.modules import role_of
from tracer.diagnose.hypotheses.question import counted
from tracer.diagnose.hypothesis import Hypothesis
from tracer.diagnose.state import State, changed
from tracer.doctor.quantisation import declared
from tracer.infer.canonical import text_config
from tracer.infer.parallel.groups import Groups, groups_of
from tracer.infer.parallel.widths import cuts

LARGEST = 64
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_KV = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "kv_n_heads", "multi_query_group_num")


@dataclass(frozen=True)
class Divisions:
    """What tensor parallelism cuts in one checkpoint."""

    state: State

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        return text_config(self.state.config)

    @cached_property
    def groups(self) -> list[Groups]:
        scheme, _ = declared(self.state.config, self.state.checkpoint.files)
        return list(groups_of(self.state.tensors, scheme or {}))

    def failing(self, tp: int) -> list[tuple[str, int, str]]:
        """Field, its size and the rule that `tp` breaks."""
        return [(field, size, why) for field, cut, size in cuts(self.fields) if (why := obstacle(cut, size, tp))]

    def failing_groups(self, tp: int) -> list[Groups]:
        return [each for each in self.groups if each.broken_by(tp)]

    @cached_property
    def legal(self) -> list[int]:
        """Sizes that cut everything, quantisation groups too."""
        return [tp for tp in range(1, LARGEST + 1) if not self.failing(tp) and not self.failing_groups(tp)]


def propose(case: Case) -> Iterator[Hypothesis]:
    divisions = Divisions(case.original)
    said = case.complained("divisible", "shape", "quantisation", "other")
    yield from _grouped(case, divisions, said)
    yield from _halved(case, divisions, said)
    tp, answers = _tried(case, divisions)
    if tp > 1 and (wrong := divisions.failing(tp)):
        yield Hypothesis(_indivisible(tp, wrong, divisions), assume=_OnOneRank(), evident=True, answers=answers)
    elif tp > 1:
        yield from _norms(case, divisions, tp)


class _OnOneRank:
    """The same on a single rank."""

    def __call__(self, state: State) -> State:
        return changed(state, state.checkpoint, replace(state.request, tp=1))


def _tried(case: Case, divisions: Divisions) -> tuple[int, tuple[Complaint, ...]]:
    """The number of ranks that was asked for, or that an error says does not divide."""
    sizes = {size for _, _, size in cuts(divisions.fields)}
    said = [each for each in case.complained("divisible") if not _OTHERS.search(each.text)]
    asked = case.original.request.tp
    for complaint in said:
        for size in complaint.numbers:
            tried = [number for number in complaint.numbers if 1 < number < min(size, 1025) and size % number]
            if size in sizes and tried and asked in (1, *tried):
                return (asked if asked in tried else tried[0]), (complaint,)
    return ranks_of(case), tuple(said)


_OTHERS = re.compile(r"(?i)\bblock|group_size|\bep_size|expert.parallel|\bpp_size|pipeline.parallel")
"""Numbers that do not divide, and are no number of tensor-parallel ranks."""


def _indivisible(tp: int, wrong: list[tuple[str, int, str]], divisions: Divisions) -> Finding:
    told = ", ".join(f"{field} {why}" for field, _, why in wrong)
    whole = ", ".join(f"{field} = {size}{_factors(size)}" for field, _, size in cuts(divisions.fields))
    legal = divisions.legal
    alone = next((size for field, _, size in cuts(divisions.fields) if field in _HEADS), 0)
    heads = [n for n in range(1, LARGEST + 1) if alone and alone % n == 0 and n not in legal]
    more = f"; query heads alone would also allow {', '.join(map(str, heads[:6]))}" if heads else ""
    below = max((size for size in legal if size < tp and tp % size == 0), default=1)
    advice = f"; for {tp} GPUs: tp {below} x pp {tp // below}, or tp {below} x dp {tp // below}" if below < tp else ""
    return Finding(
        "tp.indivisible", "error", wrong[0][0],
        f"tp {tp} cannot cut the model: {told} ({whole}); legal: {', '.join(map(str, legal))}{more}",
        {"tp": tp, "failing": [field for field, _, _ in wrong], "legal": legal},
        f"use tp {' or '.join(map(str, legal[-3:]))}{advice}",
    )  # fmt: skip


def _factors(number: int) -> str:
    """` = 2^9 x 37`, where that tells something."""
    found: list[str] = []
    rest, prime = number, 2
    while prime * prime <= rest and prime < 10_000:
        power = 0
        while rest % prime == 0:
            rest, power = rest // prime, power + 1
        if power:
            found.append(f"{prime}^{power}" if power > 1 else str(prime))
        prime += 1
    if rest > 1:
        found.append(str(rest))
    return f" = {' x '.join(found)}" if len(found) > 1 else ""


# --- groups of a quantisation ---


def _grouped(case: Case, divisions: Divisions, said: list[Complaint]) -> Iterator[Hypothesis]:
    """A rank's inputs that are no whole groups, or no multiple of what a kernel wants."""
    if not divisions.groups:
        return
    for complaint in said:
        if complaint.kind == "shape":
            continue
        if (meant := _partition(complaint, divisions.groups)) is not None:
            groups, tp, block = meant
            yield Hypothesis(_cut(groups, tp, block, divisions), evident=True, answers=(complaint,))
            return
    tp = ranks_of(case)
    words = [each for each in said if _ALIGNED in each.text]
    if words and tp == 1:
        tp = next((n for n in (2, 4, 8) if divisions.failing_groups(n)), 1)
    if tp > 1 and (wrong := sorted(divisions.failing_groups(tp), key=lambda each: -each.inputs)):
        yield Hypothesis(_cut(wrong[0], tp, 0, divisions, wrong[1:]), evident=True, answers=tuple(words))


_ALIGNED = "input size is not aligned with the quantized weight shape"


def _partition(complaint: Complaint, groups: list[Groups]) -> tuple[Groups, int, int] | None:
    """The module, the number of ranks and the kernel's block behind `input_size_per_partition = 14784`."""
    for number in complaint.numbers:
        for each in groups:
            tp = each.inputs // number if number and each.inputs % number == 0 else 0
            block = next((other for other in complaint.numbers if other != number and other > 1 and number % other), 0)
            if 1 < tp <= 1024 and (each.groups % tp or block):
                return each, tp, block
    return None


def _cut(groups: Groups, tp: int, block: int, divisions: Divisions, others: Sequence[Groups] = ()) -> Finding:
    own = groups.inputs // tp
    heads = next((size for field, _, size in cuts(divisions.fields) if field in _HEADS), 0)
    both = [n for n in range(1, LARGEST + 1) if groups.groups % n == 0 and not divisions.failing(n)]
    told = (
        f"{groups.name} is quantised in {groups.groups} groups of {groups.size} along its {groups.inputs} inputs"
        f" ({counted(groups.count, 'module')}); row-parallel ranks need whole groups, and tp {tp} gives"
        f" {own} inputs = {_amount(own, groups.size)} groups"
    )
    if block and own % block:
        told += (
            f", no multiple of the kernel's {block} either"
            if groups.groups % tp
            else f", no multiple of the kernel's {block}"
        )
    told += (
        f"; {groups.groups}{_factors(groups.groups)}, with {heads} heads {_only(both)}" if heads else f"; {_only(both)}"
    )
    half = groups.size // 2
    if half >= 16:
        finer = [n for n in (2, 4, 8) if groups.inputs // half % n == 0 and not divisions.failing(n)]
        told += f"; with groups of {half} ({groups.inputs // half}) {_sizes(finer)}"
    for other in others:
        told += f"; nor can tp {tp} cut {other.name}, in {other.groups} groups of {other.size}"
    wide = groups.size * 8
    enough = -(-groups.inputs // wide) * wide
    return Finding(
        "tp.quant-group", "error", groups.name, told,
        {"tp": tp, "groups": groups.groups, "group_size": groups.size, "per_rank": own, "legal": both},
        f"use tp {both[-1]}, or when quantising pad {groups.inputs} to {enough} ({enough // groups.size} groups,"
        " whole for"
        " tp 2, 4 and 8)",
    )  # fmt: skip


def _amount(own: int, size: int) -> str:
    return str(own // size) if own % size == 0 else f"{own / size:.2f}"


def _only(sizes: list[int]) -> str:
    return "tp 1 is the only size that satisfies all" if sizes == [1] else f"legal are {', '.join(map(str, sizes))}"


def _sizes(finer: list[int]) -> str:
    return (
        f"tp {' and '.join(map(str, finer))} would give whole groups" if finer else "no more than tp 1 would do either"
    )


# --- heads of keys and values ---


_VIEW = re.compile(r"shape '\[(-?\d{1,18}(?:, ?-?\d{1,18})*)\]' is invalid for input of size (\d{1,18})")


def _halved(case: Case, divisions: Divisions, said: list[Complaint]) -> Iterator[Hypothesis]:
    """A view into heads of what is less than a head: keys cut over more ranks than there are heads."""
    kv, dim = _of(divisions.fields, _KV), _head_dim(divisions.fields)
    if not kv or not dim:
        return
    for complaint in said:
        view = _VIEW.search(complaint.text)
        if view is None:
            continue
        sizes, total = [int(each) for each in view[1].split(",")], int(view[2])
        others = 1
        for size in sizes[:-1]:
            others *= size if size > 0 else 1
        own = total // others if others and total % others == 0 else 0
        tp = kv * dim // own if own and kv * dim % own == 0 else 0
        if sizes[-1] == dim and 0 < own < dim and tp > kv:
            yield Hypothesis(_shared(divisions.state, kv, dim, own, tp), evident=True, answers=(complaint,))
            return


def _shared(state: State, kv: int, dim: int, own: int, tp: int) -> Finding:
    keys = [t.name for t in state.tensors if t.name.endswith(("k_proj.weight", "k_proj.qweight"))]
    subject = collapse(keys)[0][0] if keys else "num_key_value_heads"
    return Finding(
        "tp.kv-replicated", "error", subject,
        f"a rank's slice of k_proj is {own} rows and one head is {dim}: the cut falls inside a head; with tp {tp} and"
        f" {kv} KV heads each head must be held by {tp // kv} ranks; nothing fails while loading, the first"
        " attention does",
        {"tp": tp, "kv_heads": kv, "head_dim": dim, "rows": own},
        f"use tp {kv} or less, or an engine that replicates KV heads",
    )  # fmt: skip


def _norms(case: Case, divisions: Divisions, tp: int) -> Iterator[Hypothesis]:
    """Norms over all heads of k, where a head is held by several ranks: they must follow the projection."""
    kv, dim = _of(divisions.fields, _KV), _head_dim(divisions.fields)
    answers = tuple(case.complained("garbage"))
    if not kv or not dim or tp <= kv or tp % kv or not answers:
        return
    wide = [t for t in case.original.tensors if t.shape == (kv * dim,) and role_of(t.name) in ("k_norm", "k_layernorm")]
    if not wide:
        return
    share = gcd(kv, tp) / tp
    yield Hypothesis(
        Finding(
            "tp.kv-replicated", "error", collapse([t.name for t in wide])[0][0],
            f"k_norm has {kv * dim} entries, {kv} KV heads of {dim}; with tp {tp} an even slice of it is"
            f" {kv * dim // tp} entries, {share:g} of a head, while k_proj on the same rank is one whole head that"
            f" {tp // kv} ranks hold: norm and projection would disagree about which channels a rank owns"
            f" ({counted(len(wide), 'norm')}, and q_norm with them)",
            {"tp": tp, "kv_heads": kv, "head_dim": dim, "tensors": len(wide)},
            f"use tp {kv} or less, or a version of the engine that cuts k_norm as it cuts k_proj",
        ),
        evident=True, answers=answers,
    )  # fmt: skip


def _of(fields: Mapping[str, Any], names: tuple[str, ...]) -> int:
    return next((value for name in names if type(value := fields.get(name)) is int and value > 0), 0)


def _head_dim(fields: Mapping[str, Any]) -> int:
    own, hidden, heads = _of(fields, ("head_dim",)), _of(fields, ("hidden_size",)), _of(fields, _HEADS)
    return own or (hidden // heads if heads else 0)
