"""The GGUF files of the corpus that are made of a loader's log, against what that log counts and prints."""

from __future__ import annotations

from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import pytest

from tests import corpus
from tracer.checkpoint.folder import open_checkpoint

KEYS_ALONE = {"gguf-bitnet-2b-i2_s", "gguf-deepseek-r1-0528-thireus-split1148", "gguf-nemotron-ultra-253b-deci"}
"""Of these nothing says what the tensors are called, or how large their types are."""
LOGS = {slug: told for slug in corpus.slugs() if "type_counts" in (told := corpus.described(slug, "gguf.json"))}
UNITS = {"B": 1e9, "T": 1e12, "GiB": 2**30}


def printed(told: dict[str, Any], key: str) -> float:
    amount, unit = told["print_meta"][key].split()[:2]
    return float(amount) * UNITS[unit]


@pytest.mark.parametrize("slug", sorted(LOGS.keys() - KEYS_ALONE))
def test_tensors_are_as_many_and_as_large_as_the_log_says(slug: str, tmp_path: Path) -> None:
    told = LOGS[slug]
    found = open_checkpoint(corpus.materialise(slug, tmp_path / slug))
    assert {each.code for each in found.findings} <= {"config.conflict"}
    counts = Counter(tensor.dtype.lower() for tensor in found.tensors)
    assert counts == {dtype.lower(): count for dtype, count in told["type_counts"].items()}
    assert sum(prod(tensor.shape) for tensor in found.tensors) == pytest.approx(printed(told, "params"), rel=5e-4)
    assert sum(tensor.nbytes for tensor in found.tensors) == pytest.approx(printed(told, "size"), rel=1e-3)


@pytest.mark.parametrize("slug", sorted(KEYS_ALONE))
def test_nothing_is_made_up_of_names_that_nobody_tells(slug: str, tmp_path: Path) -> None:
    assert open_checkpoint(corpus.materialise(slug, tmp_path / slug)).tensors == []


@pytest.mark.parametrize("slug", sorted(slug for slug in LOGS.keys() - KEYS_ALONE if "split.count" in LOGS[slug]["kv"]))
def test_a_split_model_has_all_its_parts(slug: str, tmp_path: Path) -> None:
    parts = int(LOGS[slug]["kv"]["split.count"]["value"])
    assert len(list(corpus.materialise(slug, tmp_path / slug).iterdir())) == parts
