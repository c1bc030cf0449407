"""Groups of a quantisation that a cut breaks: every quantiser's layout, and every page and command, say the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import gcd, prod
from pathlib import Path

import pytest

from tests.catalogue.building import Model
from tests.catalogue.models import decoder
from tests.catalogue.quantising import awq, bitsandbytes, by_channel, by_group, gptq
from tests.tracer.diagnose.written import codes, diagnosed
from tracer.checkpoint.folder import open_checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.cli import main
from tracer.infer.parallel import groups_of
from tui.model.opening import open_subject
from tui.model.overview.inference import study

MAKERS = [gptq, awq, by_group]
HEADS = 4


def model(inputs: int) -> Model:
    return decoder(layers=2, hidden=64, heads=HEADS, kv=2, ffn=inputs)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("make", MAKERS)
def test_the_groups_are_those_that_the_quantiser_made(
    make: Callable[..., Model], bits: int, tmp_path: Path
) -> None:  # fmt: skip
    checkpoint = open_checkpoint(make(model(176), bits=bits, group=16).write(tmp_path))
    declared = checkpoint.config["quantization_config"] if checkpoint.config else {}
    found = {(each.name.rpartition(".")[2], each.inputs, each.groups, each.count)
             for each in groups_of(checkpoint.tensors, declared)}  # fmt: skip
    assert found == {("down_proj", 176, 11, 2), ("o_proj", 64, 4, 2)}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("inputs", [176, 192, 224])
def test_the_commands_and_the_browser_call_the_same_numbers_of_ranks_legal(
    make: Callable[..., Model], inputs: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    folder = make(model(inputs), group=16).write(tmp_path)
    whole = [tp for tp in (1, 2, 4) if gcd(inputs // 16, HEADS) % tp == 0]
    assert main(["infer", str(folder), "--parallel"]) == 0
    assert f"--tp: {', '.join(map(str, whole))} (judged up to 128)" in capsys.readouterr().out.splitlines()
    parallel = study(open_subject(str(folder), 1, lambda seen: None)).parallel
    assert parallel and list(parallel.tp) == whole
    for tp in (2, 4):
        assert ("tp.quant-group" in dict(codes(diagnosed(folder, tp=tp)))) is (tp not in whole)


@pytest.mark.parametrize("make", [gptq, awq, by_group, bitsandbytes])
def test_parameters_are_counted_as_they_were_before_packing(make: Callable[..., Model], tmp_path: Path) -> None:
    total = sum(prod(tensor.shape) for tensor in model(192).tensors.values())
    counted = study(open_subject(str(make(model(192)).write(tmp_path)), 1, lambda seen: None)).parameters
    assert counted and (counted.total, counted.unpacked) == (total, True)


def test_one_scale_a_row_is_held_by_every_rank(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(by_channel(model(176)).write(tmp_path))
    assert not any(each.broken_by(2) for each in groups_of(checkpoint.tensors, {}))


def test_codes_in_bytes_are_two_inputs_each() -> None:
    """compressed-tensors' NVFP4: a scale for sixteen inputs."""
    at = "model.layers.0.mlp.down_proj"
    stored = (("weight_packed", "U8", (64, 88)), ("weight_scale", "F8_E4M3", (64, 11)))
    tensors = [TensorInfo(f"{at}.{leaf}", dtype, shape, None, None, prod(shape)) for leaf, dtype, shape in stored]
    (found,) = groups_of(tensors, {})
    assert (found.inputs, found.groups, found.size) == (176, 11, 16)


def test_bytes_of_a_packed_model_are_those_of_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = by_group(model(192)).write(tmp_path)
    held = sum(tensor.nbytes for tensor in open_checkpoint(folder).tensors)
    main(["infer", str(folder), "--parallel"])
    (told,) = re.findall(r"tp 1: ([\d.]+) kB of weights", capsys.readouterr().out)
    assert float(told) == pytest.approx(held / 1000, abs=0.01)
