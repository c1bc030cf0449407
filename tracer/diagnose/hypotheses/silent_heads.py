"""No head_dim in config.json, and a class that then takes one of its own, which the tensors are not of.

Most classes divide hidden_size by the heads where the field is absent; these have a number instead. Source: the config
classes of Transformers. Classes with rows are not here: their rows say it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mappings.findings import Finding
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diagnose.case import Case
from tracer.diagnose.hypothesis import Hypothesis
from tracer.repair.changes import SetField

TAKEN: Mapping[str, int] = {
    "gemma": 256, "gemma2": 256, "gemma3_text": 256, "glm": 128, "glm4": 128, "helium": 128, "qwen3_next": 256,
    "seed_oss": 128, "vaultgemma": 256,
}  # fmt: skip
"""`model_type` -> the head_dim that is taken."""
_QUERY, _KEY = ".self_attn.q_proj.weight", ".self_attn.k_proj.weight"


def propose(case: Case) -> Iterator[Hypothesis]:
    """Only of plain matrices under the names of the Hub, all of one height, that say one number by q and by k."""
    config = case.state.config
    taken = TAKEN.get(str(config.get("model_type")))
    if taken is None or case.state.plan is not None or config.get("head_dim") is not None:
        return
    queries, keys = (_of(case, ending) for ending in (_QUERY, _KEY))
    heads, kv = config.get("num_attention_heads"), config.get("num_key_value_heads")
    found = {_width(queries, heads), _width(keys, kv)}
    if len(found) != 1 or (dim := found.pop()) in (0, taken):
        return
    told = (
        f"config.json has no head_dim, for which {config['model_type']} takes {taken}, the tensors ask for {dim}:"
        f" {queries[0].name} has {queries[0].shape[0]} rows for {heads} heads"
    )
    finding = Finding("config.missing-field", "error", "head_dim", told,
                      {"field": "head_dim", "tensors": dim, "taken": taken}, f"set head_dim to {dim}")  # fmt: skip
    said = tuple(case.complained("shape"))
    yield Hypothesis(finding, (SetField("head_dim", dim),), evident=True, answers=said)


def _of(case: Case, ending: str) -> list[TensorInfo]:
    hidden = case.state.config.get("hidden_size")
    return [each for each in case.state.tensors
            if each.name.endswith(ending) and len(each.shape) == 2 and each.shape[1] == hidden]  # fmt: skip


def _width(held: list[TensorInfo], heads: object) -> int:
    """Rows of each head; 0 where the matrices differ or the heads do not divide them."""
    rows = {each.shape[0] for each in held}
    if len(rows) != 1 or type(heads) is not int or heads <= 0:
        return 0
    (only,) = rows
    return 0 if only % heads else only // heads
