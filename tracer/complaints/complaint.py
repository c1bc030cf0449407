"""What a program said when a load failed, or what a person said of its output: the words taken apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Program: TypeAlias = Literal["vllm", "sglang", "transformers", "llama.cpp", "safetensors", "torch", "tgi", ""]
"""Who complained, as far as the words tell; empty where they do not."""

Kind: TypeAlias = Literal[
    "no-parameter",  # the checkpoint has a name that the model has no parameter for (KeyError, "no module named")
    "no-tensor",  # the model has a parameter that nothing filled ("not initialized", "missing keys", "does not exist")
    "unexpected",  # names that were read and not used
    "shape",  # two shapes, or two numbers of elements, that should be equal
    "divisible",  # a number that the tensor-parallel size, a group or a kernel's block does not divide
    "header",  # a file that is not what its name says, or is cut off
    "pickle",  # a pickle that was refused
    "no-file",  # a file that is not there
    "no-field",  # config.json lacks a field
    "no-architecture",  # nobody knows this architecture or model type
    "quantisation",  # a scheme that is not known, or not supported here
    "dtype",  # a data type that is not known, or not supported
    "attribute",  # an object of the engine without an attribute, as after a second load
    "duplicate",  # one tensor twice
    "adapter",  # an adapter that does not fit
    "not-finite",  # NaN or infinity
    "garbage",  # the model loads and talks nonsense
    "other",
]


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that was complained of; what the words do not say is empty."""

    kind: Kind
    text: str
    """The line itself, without timestamps, ranks and colours; at most 500 characters."""
    program: Program = ""
    names: tuple[str, ...] = ()
    """Tensors, parameters or modules, as spelt, in order; the attribute that an object lacks."""
    shapes: tuple[tuple[int, ...], ...] = ()
    """What the checkpoint has before what the model expects, where the words tell; outermost axis first."""
    numbers: tuple[int, ...] = ()
    """Other numbers that the words compare: what was found before what was wanted, the divided before the divisor."""
    files: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    """Fields of config.json, architectures, model types, classes, schemes, dtypes; safetensors' name for its error."""
    rank: int | None = None
    """The rank that said it first, where a prefix tells."""
    line: int = 0
    """Line of the log, counted from 1; 0 for `--error`."""
    times: int = 1
    """How often it was said, by all ranks together."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a log or a pasted error says."""

    complaints: tuple[Complaint, ...] = ()
    """The most causal first: the first error of the innermost exception, not the shutdown that follows it."""
    program: Program = ""
    version: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    """As the log gives them, under vLLM's names (`tensor_parallel_size` for `--tp`), a dtype without `torch.`:
    `tensor_parallel_size`, `dtype`, `quantization`, `load_format`, `kv_cache_dtype`, `model`, ..."""
    lines: int = 0
    passed_over: tuple[str, ...] = ()
    """What of it was not read, or not kept, as there was too much of it."""
