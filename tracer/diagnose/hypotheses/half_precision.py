"""float16 for what was trained in a wider type: nothing in the file need overflow for what is computed to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod

from mappings.findings import Finding
from tracer.checkpoint.dtypes import from_config
from tracer.diagnose.case import Case
from tracer.diagnose.hypothesis import Hypothesis

_WIDE = ("BF16", "F32")
_LARGEST = "65,504"


def propose(case: Case) -> Iterator[Hypothesis]:
    """Only where the words say both that the output is bad and that it was served in half precision."""
    state = case.original
    said = case.complained("garbage", "not-finite")
    if not said or from_config(case.told.settings.get("dtype", "").replace("half", "float16")) != "F16":
        return
    sizes: Counter[str] = Counter()
    for tensor in state.tensors:
        sizes[tensor.dtype] += prod(tensor.shape)
    stored = sizes.most_common(1)[0][0] if sizes else ""
    if stored not in _WIDE:
        return
    named = {"BF16": "bfloat16", "F32": "float32"}[stored]
    told = (
        f"the checkpoint is {named} and is served as float16, whose largest number is {_LARGEST}: activations of a"
        f" model that was trained in {named} may exceed it where no weight does, and then every logit is NaN; `!!!!`"
        " is token 0, the argmax over NaN; whether a weight overflows is another test (values.overflow)"
    )
    yield Hypothesis(
        Finding("value.overflow", "warning", "dtype", told, {"stored": stored, "served": "F16"},
                f"serve it as {named} (--dtype {named})"),
        evident=True, answers=tuple(said),
    )  # fmt: skip
