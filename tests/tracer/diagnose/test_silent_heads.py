"""A head_dim that config.json does not have, in classes that take a number of their own for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.catalogue import models
from tests.catalogue.building import Model
from tests.tracer.diagnose.written import codes, diagnosed
from tracer.diagnose.hypotheses.silent_heads import TAKEN
from tracer.repair.changes import SetField


def gemma2(dim: int = 16, **fields: object) -> Model:
    model = models.decoder(4, dim=dim, tied=True, model_type="gemma2", architecture="Gemma2ForCausalLM")
    for layer in range(4):
        for norm in ("pre_feedforward_layernorm", "post_feedforward_layernorm"):
            model.put(f"model.layers.{layer}.{norm}.weight", 64)
    return model.set(**fields)


@pytest.mark.parametrize("name", TAKEN)
def test_the_number_is_that_of_transformers(name: str) -> None:
    transformers = pytest.importorskip("transformers")
    assert transformers.AutoConfig.for_model(name).head_dim == TAKEN[name]


def test_the_class_would_take_256_and_the_tensors_have_16(tmp_path: Path) -> None:
    assert codes(diagnosed(gemma2().write(tmp_path / "said"))) == []
    (cause,) = diagnosed(gemma2(head_dim=None).write(tmp_path / "silent")).causes
    assert (cause.finding.code, cause.finding.subject) == ("config.missing-field", "head_dim")
    assert "takes 256, the tensors ask for 16" in cause.finding.message
    assert cause.changes == (SetField("head_dim", 16),)


def test_nothing_is_missed_where_the_class_takes_what_the_tensors_have(tmp_path: Path) -> None:
    assert codes(diagnosed(gemma2(256, head_dim=None).write(tmp_path))) == []


def test_other_classes_divide(tmp_path: Path) -> None:
    model = gemma2(head_dim=None, model_type="olmo", architectures=["OlmoForCausalLM"])
    assert "config.missing-field" not in {code for code, _ in codes(diagnosed(model.write(tmp_path)))}
