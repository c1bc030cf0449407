"""What trainers leave behind, which is no model yet: placeholders, slices, wrapped names, folders of a training run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from math import prod

from mappings.findings import Finding, Severity
from tracer.checkpoint.consistency import some
from tracer.checkpoint.files import Files
from tracer.checkpoint.tensor_info import TensorInfo

_DDP = "module"
WRAPPERS = (_DDP, "_orig_mod", "_fsdp_wrapped_module", "_forward_module", "_checkpoint_wrapped_module")
"""What DistributedDataParallel, torch.compile, FSDP, Lightning and checkpoint_wrapper put into names."""
_RUNS = (
    "global_step*/*", "*.distcp", "*/*.distcp", "zero_pp_rank_*", "*_optim_states.pt",
    "*_model_states.pt", "pytorch_model_fsdp_*", "pytorch_model_fsdp.bin", "optimizer.pt", "optimizer.bin",
    "scheduler.pt", "scheduler.bin", "rng_state*", "random_states*", "scaler.pt", "trainer_state.json",
    "training_args.bin", "latest", "zero_to_fp32.py",
)  # fmt: skip
_SHARDED = ("global_step*/*", "*.distcp", "*/*.distcp", "zero_pp_rank_*", "*_optim_states.pt", "pytorch_model_fsdp_*")
"""Those that hold the weights themselves, in pieces that no loader of models reads."""
_FLAT = ("flat_param",)
"""How FSDP calls the row of numbers that the parameters of a module become."""
_MOST_RANKS = 1 << 14


def is_trainers(file: str) -> bool:
    """Whether a file is by its name a trainer's, and not the model."""
    return any(fnmatchcase(file, pattern) for pattern in _RUNS)


def run_of(files: Files, alone: bool) -> Finding | None:
    """The files of a training run; an error where they are `alone`, for then there is no model."""
    found = [name for name in files.names() if is_trainers(name)]
    if not found or files.one_file:
        return None
    pieces = [name for name in found if any(fnmatchcase(name, pattern) for pattern in _SHARDED)]
    if alone:
        return Finding(
            "trainer.flat-shard", "error", found[0],
            f"no model is here, only what a trainer needs to go on: {some(found)}", {"files": found},
            "gather the weights with the trainer's own script (zero_to_fp32.py, dcp_to_torch_save)" if pieces else None,
        )  # fmt: skip
    said = f"; {len(pieces)} hold pieces of weights, which no loader of models reads" if pieces else ""
    return Finding(
        "tensor.ignored", "info", found[0], f"a trainer's files are beside the model: {some(found)}{said}",
        {"files": found},
    )  # fmt: skip


def in_tensors(tensors: Sequence[TensorInfo], elements: Callable[[], int | None]) -> Iterator[Finding]:
    """`elements` counts those of the whole model, where that can be known."""
    yield from placeholders(tensors)
    yield from flat_shards(tensors, elements)


def placeholders(tensors: Sequence[TensorInfo]) -> Iterator[Finding]:
    """ZeRO-3 leaves a tensor of shape [0] where a parameter was on other ranks when the model was saved."""
    weights = [tensor for tensor in tensors if tensor.name.endswith(("weight", "bias"))]
    hollow = [tensor.name for tensor in weights if 0 in tensor.shape]
    if hollow:
        severity: Severity = "error" if any(name.endswith("weight") for name in hollow) else "warning"
        yield Finding(
            "trainer.placeholder", severity, hollow[0],
            f"{len(hollow)} of {len(weights)} weights are empty: {some(hollow)}; DeepSpeed ZeRO-3 leaves such"
            " placeholders where parameters were partitioned when they were saved",
            {"tensors": hollow},
            "save with stage3_gather_16bit_weights_on_model_save, or run zero_to_fp32.py on the trainer's checkpoint",
        )  # fmt: skip


def flat_shards(tensors: Sequence[TensorInfo], count: Callable[[], int | None]) -> Iterator[Finding]:
    """FSDP keeps a rank's share of all parameters of a module as one row of numbers."""
    named = [tensor for tensor in tensors if tensor.name.endswith(_FLAT)]
    rows = named or [tensor for tensor in tensors if len(tensor.shape) == 1]
    if not rows or (not named and len(rows) < len(tensors)):
        return
    held, elements = sum(prod(tensor.shape) for tensor in rows), count()
    ranks = _ranks(held, elements)
    if not named and ranks is None:
        return
    padding = f", {ranks * held - elements} of them padding" if ranks and elements else ""
    sum_ = f": {held:,} elements x {ranks} ranks = {held * ranks:,}{padding}" if ranks else f" of {held:,} elements"
    yield Finding(
        "trainer.flat-shard", "error", rows[0].name,
        f"one rank's slice of flattened parameters (FSDP): {some([tensor.name for tensor in rows])}{sum_}",
        {"tensors": [tensor.name for tensor in rows], "elements": held, "ranks": ranks, "model": elements},
        "save with a full state dict, or gather the slices of all ranks",
    )  # fmt: skip


def _ranks(held: int, elements: int | None) -> int | None:
    """So many equal slices, the last of them padded, are the model."""
    if not elements or not held or held >= elements:
        return None
    ranks = -(-elements // held)
    return ranks if ranks <= _MOST_RANKS and ranks * held - elements < ranks else None


def wrapped(names: Sequence[str], known: bool) -> Finding | None:
    """Names with the wrapper that the model was in when it was saved.

    `module` is a word that a model may use itself: it counts in front of all names, and is an error where the names
    are `known` to be others.
    """
    everything = "\n".join(names)
    if not any(wrapper in everything for wrapper in WRAPPERS):  # asked of 100,000 names at once
        return None
    sure = set(WRAPPERS) - {_DDP}
    if all(name.startswith(f"{_DDP}.") for name in names):
        sure.add(_DDP)
    inside = [name for name in names if set(name.split(".")) & sure]
    if not inside:
        return None
    found = sorted({segment for name in inside for segment in name.split(".")} & sure)
    severity: Severity = "error" if known or found != [_DDP] else "warning"
    bare = {unwrapped(name) for name in names}
    clash = "" if len(bare) == len(names) else f", but {len(names) - len(bare)} of them would then be the same"
    what = " and ".join(f"`{each}.`" for each in found)
    return Finding(
        "name.rewrite", severity, inside[0],
        f"{len(inside)} of {len(names)} names carry {what}, which the wrapper of a trainer puts there: without it"
        f" {inside[0]} is {unwrapped(inside[0])}{clash}",
        {"wrappers": found, "tensors": len(inside)}, f"remove {what} from the names",
    )  # fmt: skip


def unwrapped(name: str) -> str:
    """The name without any wrapper."""
    return ".".join(segment for segment in name.split(".") if segment not in WRAPPERS)
