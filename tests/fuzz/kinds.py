"""The kinds of cases: how one is made, and who has the second opinion."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.fuzz import of_diagnoses, of_folders, of_gguf, of_indexes, of_pytorch, of_safetensors
from tests.fuzz.case import Case
from tests.fuzz.ours import Errors


class Kind(NamedTuple):
    make: Callable[[random.Random], Case]
    judge: Callable[[Case, Path, Errors], str]


KINDS = {
    "safetensors": Kind(of_safetensors.make, of_safetensors.judge),
    "indexes": Kind(of_indexes.make, of_indexes.judge),
    "gguf": Kind(of_gguf.make, of_gguf.judge),
    "pytorch": Kind(of_pytorch.make, of_pytorch.judge),
    "folders": Kind(of_folders.make, of_folders.judge),
    "diagnoses": Kind(of_diagnoses.make, of_diagnoses.judge),
}
