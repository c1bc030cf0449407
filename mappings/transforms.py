"""Value transforms that a row may name. They are elementwise, so placement does not depend on them."""

from __future__ import annotations

TRANSFORMS: dict[str, str] = {"neg_exp": "-exp(x)"}
"""Name -> what becomes of an element; the engine holds a function for each."""
