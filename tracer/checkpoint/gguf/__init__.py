"""GGUF files: what ggml and llama.cpp read."""

from tracer.checkpoint.gguf.reader import read
from tracer.checkpoint.gguf.splits import Split, check_splits, config_of_splits, split_of

__all__ = ["Split", "check_splits", "config_of_splits", "read", "split_of"]
