"""Keys for every query head where the files and config.json agree on fewer: the loader's doing, and said so."""

from __future__ import annotations

from pathlib import Path

from tests.catalogue import models
from tests.tracer.diagnose.written import diagnosed

SAID = (
    "RuntimeError: Error(s) in loading state_dict for LlamaForCausalLM: size mismatch for"
    " model.layers.0.self_attn.k_proj.weight: copying a param with shape torch.Size([32, 64]) from checkpoint, the"
    " shape in current model is torch.Size([{}, 64])."
)


def test_the_checkpoint_is_called_in_order_and_the_loader_or_its_config_is_not(tmp_path: Path) -> None:
    (cause,) = diagnosed(models.decoder(4).write(tmp_path), SAID.format(64)).causes
    assert "as config.json says, and the checkpoint is in order" in cause.finding.message
    assert "or read another config.json" in cause.finding.message
    assert not cause.changes, "nothing in these files is to be edited"


def test_another_ratio_than_that_of_the_heads_is_no_such_loader(tmp_path: Path) -> None:
    assert diagnosed(models.decoder(4).write(tmp_path), SAID.format(192)).causes == []
