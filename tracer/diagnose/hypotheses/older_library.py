"""Files in order that an older library does not read: a type in the header which it does not know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mappings.findings import Finding
from mappings.names import collapse
from tracer.diagnose.case import Case
from tracer.diagnose.hypothesis import Hypothesis

SINCE = {
    "F8_E4M3": "0.4.1", "F8_E5M2": "0.4.1", "F8_E8M0": "0.6.1", "F4": "0.6.1", "F6_E2M3": "0.6.1", "F6_E3M2": "0.6.1",
    "C64": "0.7.0",
}  # fmt: skip
"""Type -> the first release of safetensors on PyPI that reads a header with it: 0.3.3 to 0.7.0 were each tried."""
_WORDS = ("InvalidHeaderDeserialization", "invalid JSON in header", "InvalidHeader")
"""What it says of any header that it cannot parse, this cause or another."""


def propose(case: Case) -> Iterator[Hypothesis]:
    state = case.original
    said = [
        each for each in case.complained("header", "dtype")
        if each.kind == "dtype" or any(word in each.text for word in _WORDS)
    ]  # fmt: skip
    if not said or any(code.startswith(("file.", "header.")) for code in state.codes):
        return
    found = Counter(tensor.dtype for tensor in state.tensors if tensor.dtype in SINCE)
    named = [dtype for each in said for dtype in each.fields if dtype in found]
    dtype = named[0] if named else max(found, key=lambda each: SINCE[each], default=None)
    if dtype is None:
        return
    own = [tensor for tensor in state.tensors if tensor.dtype == dtype]
    file = own[0].file or state.checkpoint.files.title
    told = (
        f"{file} is intact: its header is valid JSON and its {len(state.tensors):,} tensors tile the data; dtype"
        f" {dtype} ({len(own):,} tensors like {collapse(t.name for t in own)[0][0]}) is unknown to safetensors before"
        f" {SINCE[dtype]}, and one such name makes the whole header unreadable to it"
    )
    yield Hypothesis(
        Finding("header.invalid", "error", file, told, {"dtype": dtype, "tensors": len(own), "since": SINCE[dtype]},
                f"upgrade the safetensors library to {SINCE[dtype]} or later; do not download the file again"),
        evident=True, answers=tuple(said),
    )  # fmt: skip
