"""The one edit under which most names of one checkpoint are those of another."""

from __future__ import annotations

from tracer.renames.edit import Edit
from tracer.renames.search import Rewrite, best_rewrite, rewrites

__all__ = ["Edit", "Rewrite", "best_rewrite", "rewrites"]
