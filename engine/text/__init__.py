"""From text to ids and from ids to text, a piece at a time. It knows folders and ids, nothing of models."""

from __future__ import annotations

from engine.text.eos import eos_ids
from engine.text.stream import TextStream
from engine.text.tokenizer import Tokenizer

__all__ = ["TextStream", "Tokenizer", "eos_ids"]
