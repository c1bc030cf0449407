"""Two sizes that should be equal, where the files agree with config.json: what the engine took for another number."""

from __future__ import annotations

from math import prod

from mappings.names import blank, collapse
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diagnose.hypotheses.asked_ranks import ranks_of
from tracer.diagnose.hypotheses.ignored import reconciliation
from tracer.diagnose.hypotheses.modules import role_of
from tracer.diagnose.hypotheses.question import Question, counted, folded
from tracer.diagnose.hypothesis import Hypothesis

_SCORES = ("score", "classifier", "classification_head", "reward_head", "v_head", "qa_outputs")
_FEW = 64
"""Labels of a classifier, at most."""


def packed_column(question: Question) -> Hypothesis | None:
    """4-bit codes in one column against a matrix."""
    complaint = question.complaint
    if complaint.kind != "shape" and "loaded_weight.shape" not in complaint.text:
        return None
    columns = [
        m for m in question.modules.values() if m.kind == "bitsandbytes-4" and m.leaves["weight"].shape[-1:] == (1,)
    ]
    if not columns:
        return None
    found = reconciliation(question.state, question.modules)
    listed = [m for m in columns if found and found.ignored.covering(m.name)]
    wanted = complaint.shapes[-1] if complaint.shapes else ()
    mine = [m for m in columns if len(wanted) == 2 and 2 * m.leaves["weight"].nbytes == prod(wanted)]
    meant = listed or mine or columns
    weight = meant[0].leaves["weight"]
    values = 2 * weight.nbytes
    shape = wanted if len(wanted) == 2 and prod(wanted) == values else _matrix(question, meant[0].name, values)
    spelled = f" = {shape[0]}x{shape[1]} exactly" if shape else ""
    told = (
        f"{weight.name} is stored as {weight.nbytes:,} bytes = {values:,} 4-bit values{spelled}: a packed form of the"
        " parameter, and the engine has built the layer plain"
    )
    names = [m.leaves["weight"].name for m in meant]
    if listed:
        assert found is not None
        entry = found.ignored.covering(listed[0].name)
        count = counted(len(listed), "module")
        told += f", since {found.ignored.field} names it ({entry}) though it is quantised ({count})"
        return question.answer("quant.ignore-list", collapse(names)[0][0], told, {"count": len(listed), "entry": entry},
                               f"take {entry} out of {found.ignored.field}, or store these modules plain")  # fmt: skip
    told += f" ({counted(len(names), 'such weight')}); it must be loaded as bitsandbytes"
    return question.answer("shape.mismatch", collapse(names)[0][0], told, {"values": values, "shape": list(shape)},
                           "load with --quantization bitsandbytes --load-format bitsandbytes")  # fmt: skip


def _matrix(question: Question, module: str, values: int) -> tuple[int, ...]:
    """The shape that the other sizes of the model give to so many values."""
    hidden, ffn = question.config.get("hidden_size"), question.config.get("intermediate_size")
    if type(hidden) is int and hidden > 0 and values % hidden == 0:
        role = module.rpartition(".")[2]
        other = values // hidden
        return (
            (hidden, other) if role in ("down_proj", "o_proj") or (other == ffn and role == "w2") else (other, hidden)
        )
    return ()


def own_head_dim(question: Question) -> Hypothesis | None:
    """head_dim is a field of its own, and somebody has divided instead."""
    complaint, config = question.complaint, question.config
    hidden, heads, dim = (config.get(field) for field in ("hidden_size", "num_attention_heads", "head_dim"))
    if complaint.kind != "shape" or not (type(hidden) is type(heads) is type(dim) is int) or heads * dim == hidden:
        return None
    if heads <= 0 or dim <= 0:
        return None
    derived = hidden // heads
    sizes = {*complaint.numbers, *map(prod, complaint.shapes)}
    if _is_of_other_width(question):
        return None
    for tensor in question.state.tensors:
        rows = tensor.shape[0] if len(tensor.shape) == 2 else 0
        wrong = rows // dim * derived * tensor.shape[1] if rows and rows % dim == 0 else 0
        if rows and prod(tensor.shape) in sizes and wrong in sizes and _is_query(tensor):
            return _ignored_dim(question, tensor, hidden, heads, dim)
    return None


def _is_of_other_width(question: Question) -> bool:
    """Whether the axis differs that no head lies along: the inputs of a query, the outputs of what follows them."""
    shapes = question.complaint.shapes
    if len(shapes) != 2 or any(len(shape) != 2 for shape in shapes):
        return False
    across = 0 if question.said.split(".")[-2:][0] in ("o_proj", "attn_output", "out_proj") else 1
    return bool(question.said) and shapes[0][across] != shapes[1][across]


def _is_query(tensor: TensorInfo) -> bool:
    return role_of(tensor.name) in ("q_proj", "k_proj", "v_proj", "o_proj", "attn_q", "qkv_proj")


def _ignored_dim(question: Question, tensor: TensorInfo, hidden: int, heads: int, dim: int) -> Hypothesis:
    role = role_of(tensor.name)
    kin = [t.name for t in question.state.tensors if blank(t.name)[0] == blank(tensor.name)[0]]
    norm = next((t for t in question.state.tensors if t.name.endswith("q_norm.weight")), None)
    told = f"; q_norm has {norm.shape[0]} entries" if norm is not None and norm.shape == (dim,) else ""
    return question.answer(
        "shape.mismatch", collapse(kin)[0][0],
        f"{role} is {tensor.shape[0]}x{tensor.shape[1]}{told}, so head_dim = {dim} and heads = {heads}; the loader took"
        f" head_dim = {hidden}/{heads} = {hidden // heads}; config.json has head_dim: {dim}, and it is being ignored",
        {"found": list(tensor.shape), "head_dim": dim, "derived": hidden // heads, "tensors": len(kin)},
        "use a loader that reads head_dim",
    )  # fmt: skip


def grouped_queries(question: Question) -> Hypothesis | None:
    """Keys taken for as many as queries are, or the other way round: sizes in the ratio of the heads."""
    complaint, config = question.complaint, question.config
    heads, kv = config.get("num_attention_heads"), config.get("num_key_value_heads")
    if complaint.kind not in ("shape", "other") or type(heads) is not int or type(kv) is not int or not 0 < kv < heads:
        return None
    keys = [t for t in question.state.tensors if t.name.split(".")[-2:][0] in ("k_proj", "attn_k", "wk")]
    if not keys or question.state.symptoms:
        return None
    sizes = sorted({*complaint.numbers, *map(prod, complaint.shapes)})
    own = {prod(keys[0].shape), keys[0].nbytes, 2 * prod(keys[0].shape), 4 * prod(keys[0].shape)}
    if not any(small in own and small * heads == big * kv for small in sizes for big in sizes):
        return None
    return question.answer(
        "shape.mismatch", collapse([t.name for t in keys])[0][0],
        f"k_proj is {list(keys[0].shape)}, {kv} KV heads for {heads} query heads, as config.json says, and the"
        f" checkpoint is in order; the loader expected {heads // kv} times as much = {heads} / {kv}: it took every"
        " query head to have keys of its own, or read another config.json",
        {"heads": heads, "kv_heads": kv, "tensors": len(keys)},
        "use a loader that reads num_key_value_heads, and give it this config.json",
    )  # fmt: skip


def in_ranks(question: Question) -> Hypothesis | None:
    """One size is the other divided by the number of ranks."""
    numbers = [*question.complaint.numbers, *(size for shape in question.complaint.shapes for size in shape)]
    if question.complaint.kind != "shape" or len(numbers) < 2 or question.state.symptoms:
        return None
    if question.said and question.place is None:
        return None
    small, big = sorted(numbers[:2]) if not question.complaint.shapes else _differing(question.complaint.shapes)
    tp = big // small if small and big % small == 0 else 0
    asked = ranks_of(question.case)
    if tp < 2 or (asked > 1 and tp != asked) or tp & (tp - 1):
        return None
    return _score(question, small, big, tp) or _allocation(question, small, big, tp)


def _differing(shapes: tuple[tuple[int, ...], ...]) -> tuple[int, int]:
    pairs = [(a, b) for a, b in zip(shapes[0], shapes[-1], strict=False) if a != b]
    return (min(pairs[0]), max(pairs[0])) if pairs else (0, 0)


def _score(question: Question, small: int, big: int, tp: int) -> Hypothesis | None:
    """A head of a few labels, cut along its inputs."""
    few = [t for t in question.state.tensors if len(t.shape) == 2 and t.shape[0] <= _FEW and t.shape[1] == big]
    heads = [t for t in few if any(part in _SCORES for part in t.name.split("."))]
    if not heads:
        return None
    labels = heads[0].shape[0]
    return question.answer(
        "shape.mismatch", heads[0].name,
        f"{heads[0].name} is {labels}x{big}, and the slice that it was to fill is {labels}x{small} (tp {tp}): its"
        " input is"
        " a full hidden state on every rank, so the head should be replicated on all of them, and not row-parallel",
        {"found": list(heads[0].shape), "expected": [labels, small], "tp": tp},
        "use tp 1, or a version of the engine that keeps the head whole",
    )  # fmt: skip


def _allocation(question: Question, small: int, big: int, tp: int) -> Hypothesis | None:
    """Room for all ranks, and a slice for one."""
    own = [t.name for t in question.state.tensors if len(t.shape) >= 2 and big in t.shape[:1]]
    if not own:
        return None
    return question.answer(
        "shape.mismatch", collapse(own)[0][0],
        f"the target was allocated {big} rows and the slice has {small}: their ratio is {tp}, as many as there are"
        " ranks;"
        f" the allocation forgot tensor parallelism, and the slice is right ({folded(own)} have {big} rows in the"
        " file)",
        {"allocated": big, "slice": small, "tp": tp, "tensors": len(own)},
        "use tp 1, or a version of the engine that allocates a rank's share for this format",
    )  # fmt: skip


def dropped_head(question: Question) -> Hypothesis | None:
    """A classifier that the class has and the files have not."""
    complaint = question.complaint
    if complaint.kind != "no-tensor" or question.place is not None:
        return None
    named = [name for name in complaint.names if any(part in _SCORES for part in name.split("."))]
    if not named or any(set(name.split(".")) & set(_SCORES) for name in question.names):
        return None
    classes = question.state.config.get("architectures")
    wanted = str(classes[0])[:80] if isinstance(classes, list) and classes else "the class"
    return question.answer(
        "param.unfilled", named[0],
        f"{named[0]} has no source: {wanted} has a head that none of {len(question.names)} tensors is; everything"
        " else is"
        " here, so the head was dropped when the model was saved or an adapter merged",
        {"missing": len(named)},
        "merge or save again with the head (modules_to_save of the adapter), or load another class",
    )  # fmt: skip
