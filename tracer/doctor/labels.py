"""The architecture that a GGUF file gives as its own, against the names of its tensors.

Source: the list of each architecture's tensors in llama.cpp's `gguf` package (`constants.py`, MODEL_TENSORS), read
from the package itself where it is installed. Biases and scales go with their module there, and so they do here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from functools import cache

from mappings.findings import Finding
from mappings.names import HOLE, blank, collapse
from tracer.checkpoint.consistency import some
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.formats import GGUF
from tracer.doctor.chart import Chart

_TYPE, _MODEL = "general.type", "model"
_EXPERT, _STACKED = f".{HOLE}", "_exps"
_ONE_BY_ONE = tuple(f".ffn_{part}{_EXPERT}" for part in ("gate", "up", "down"))
"""As experts were stored until they were stacked."""


def examine_label(checkpoint: Checkpoint, chart: Chart) -> None:
    """`arch.mismatch` where the label's architecture never has some of the tensors and another has them all."""
    label = (checkpoint.config or {}).get("model_type")
    if checkpoint.format is not GGUF or not isinstance(label, str) or not checkpoint.names:
        return
    if any(keys.get(_TYPE, _MODEL) != _MODEL for keys in checkpoint.metadata.values()):
        return
    known = _lists()
    if not known:
        chart.unchecked("names", "the package `gguf`, which lists the tensors of each architecture, is not installed")
    elif label not in known:
        chart.unchecked("names", f"{_version()} lists no tensors for the architecture {label[:80]}")
    else:
        _compare(label, _modules(checkpoint.names), known, chart)


def _compare(label: str, modules: Mapping[str, list[str]], known: Mapping[str, Set[str]], chart: Chart) -> None:
    strange = [name for module, names in modules.items() if module not in known[label] for name in names]
    count = sum(map(len, modules.values()))
    others = sorted(
        (arch for arch, own in known.items() if modules.keys() <= own),
        key=lambda arch: (len(known[label] - known[arch]), len(known[arch] - modules.keys())),
    )  # fmt: skip
    if not strange:
        chart.told("names", f"{count:,} tensors are all ones that {_version()} lists for {label}")
    elif others:
        chart.found([_mismatch(label, strange, count, others)])
    else:
        what = f"{len(strange):,} tensors that {_version()} lists neither for {label} nor, with the rest, for another"
        chart.unchecked("names", f"{what} architecture ({some(strange)})")


def _mismatch(label: str, strange: Sequence[str], count: int, others: Sequence[str]) -> Finding:
    shown = some([template for template, _ in collapse(strange)])
    like = f" (as in that of {some(others[1:])})" if len(others) > 1 else ""
    return Finding(
        "arch.mismatch", "warning", "general.architecture",
        f"general.architecture is {label}, of which {_version()} lists no such tensors as {len(strange):,} of the"
        f" {count:,} here are: {shown}; all are in its list of {others[0]}{like}",
        {"architecture": label, "tensors": list(strange), "fitting": list(others)},
        f"convert the model again as {others[0]}: its keys are named after the architecture too",
    )  # fmt: skip


def _modules(names: Sequence[str]) -> dict[str, list[str]]:
    """`blk.{}.attn_q` -> its tensors."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        found[_module(name)].append(name)
    return found


def _module(name: str) -> str:
    template = blank(name)[0]
    module = template.rpartition(".")[0]
    if module.endswith(_ONE_BY_ONE):
        return module.removesuffix(_EXPERT) + _STACKED
    return module or template


@cache
def _lists() -> dict[str, Set[str]]:
    """Architecture -> templates of its modules; empty without the package."""
    try:
        from gguf.constants import MODEL_ARCH_NAMES, MODEL_TENSORS, TENSOR_NAMES
    except ImportError:
        return {}
    return {
        MODEL_ARCH_NAMES[arch]: {TENSOR_NAMES[kind].format(bid=HOLE, xid=HOLE) for kind in kinds}
        for arch, kinds in MODEL_TENSORS.items()
    }  # fmt: skip


@cache
def _version() -> str:
    from importlib.metadata import version

    return f"gguf {version('gguf')}"
