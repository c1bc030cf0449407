"""What fails around a checkpoint, whatever is in it: memory, disk, network, rights, ranks, modules, tokenizers."""

from __future__ import annotations

import re
from typing import NamedTuple

from tracer.complaints.complaint import Complaint
from tracer.complaints.pattern import Pattern


class _Matter(NamedTuple):
    """A sentence, and what it is about in a few words."""

    pattern: Pattern
    words: str


def _said(says: str, source: str, needle: str | tuple[str, ...], words: str) -> _Matter:
    return _Matter(Pattern(says, "other", source, needle), words)


_MATTERS = (
    _said(r"(?:\bOutOfMemoryError\b|\b(?:CUDA|HIP|XPU) out of memory|\bDefaultCPUAllocator: can't allocate memory"
          r"|\bstd::bad_alloc\b|failed: out of memory|^(?:\w+\.)?MemoryError\b)[^\n]*",
          "the allocators of PyTorch and ggml", ("OutOfMemoryError", "out of memory", "can't allocate memory",
                                                 "std::bad_alloc", "MemoryError"), "out of memory"),
    _said(r"KV cache is needed, which is larger than|No available memory for the cache blocks"
          r"|larger than the maximum number of tokens that can be stored in KV cache",
          "kv_cache_utils.py of vLLM", ("KV cache is needed", "memory for the cache blocks", "stored in KV cache"),
          "the KV cache does not fit"),
    _said(r"Free memory on device[^\n]{0,80} on startup is less than desired", "gpu_worker.py of vLLM",
          "on startup is less than desired", "the memory is in use already"),
    _said(r"NCCL error in|\bnccl(?:UnhandledCuda|System|Internal|Remote|Invalid\w+)Error\b",
          "ProcessGroupNCCL of PyTorch", ("NCCL error in", "ncclUnhandled", "ncclSystem", "ncclInternal", "ncclRemote",
                                           "ncclInvalid"), "NCCL, by which ranks talk to each other"),
    _said(r"No space left on device|Disk quota exceeded", "OSError of CPython",
          ("No space left on device", "Disk quota exceeded"), "the disk is full"),
    _said(r"\bGatedRepoError\b|\bRepositoryNotFoundError\b|\b40[13] Client Error\b|Cannot access gated repo",
          "huggingface_hub", ("GatedRepoError", "RepositoryNotFoundError", "Client Error", "gated repo"),
          "no right to read the repository on the Hub"),
    _said(r"Max retries exceeded|\bLocalEntryNotFoundError\b|[Cc]ouldn't connect to 'https?://|Failed to resolve '",
          "requests and huggingface_hub", ("Max retries exceeded", "LocalEntryNotFoundError", "ouldn't connect to",
                                           "Failed to resolve"), "the network"),
    _said(r"\bModuleNotFoundError: No module named '[\w.]{1,200}'", "import of CPython", "ModuleNotFoundError",
          "a Python module is missing"),
    _said(r"Can't load tokenizer for |Tokenizer class \w{1,100} does not exist"
          r"|Couldn't instantiate the backend tokenizer", "AutoTokenizer of Transformers",
          ("Can't load tokenizer", "Tokenizer class", "the backend tokenizer"), "the tokenizer, which has no weights"),
)  # fmt: skip
PATTERNS = tuple(each.pattern for each in _MATTERS)

_SIZE = r"[\d.,]{1,20} ?[KMGT]i?B"
_DETAILS = (
    (re.compile(rf"[Tt]ried to allocate (?P<it>{_SIZE})"), "asked {}"),
    (re.compile(rf"(?P<it>{_SIZE}) KV cache is needed"), "asked {}"),
    (re.compile(rf"(?:of which |; )(?P<it>{_SIZE})(?: is)? free"), "{} free"),
    (re.compile(rf"available KV cache memory \((?P<it>{_SIZE})\)"), "{} free"),
    (re.compile(r"No module named '(?P<it>[\w.]{1,200})'"), "{}"),
    (re.compile(r"gated repo for url (?P<it>\S{1,300}?)\.?(?:\s|$)"), "{}"),
)
"""What of a sentence is worth repeating."""


def matter(complaint: Complaint) -> str:
    """`out of memory on rank 3 (asked 2.00 GiB, 1.2 GiB free)`; empty where a complaint may be of a checkpoint."""
    text = complaint.text
    known = (words for pattern, words in _MATTERS if pattern.expression.search(text))
    words = next(known, "") if complaint.kind == "other" else ""
    if not words:
        return ""
    where = "" if complaint.rank is None else f" on rank {complaint.rank}"
    found = ((told, match) for expression, told in _DETAILS if (match := expression.search(text)))
    details = ", ".join(told.format(match["it"]) for told, match in found)
    return f"{words}{where}{f' ({details})' if details else ''}"
