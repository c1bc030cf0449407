"""`--verify` and `--reference`: what the command prints, records and refuses, and its ranks under torchrun."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.engine.checkpoints import config_of
from tests.several import PLAIN, as_ranks, finish
from tests.threads import one_thread
from tests.tracer.families import Checkpoint, checkpoint
from tests.tracer.recorded import checks, records
from tests.verifying import (
    LAYER,
    altered,
    poisoned,
    turned,
)
from tracer import agreement
from tracer.cli import trace_load
from tracer.errors import InputError, UsageError
from tracer.execute.verify.conclusion import UNSEEN
from tracer.execute.verify.passed import Departure, Nonfinite, Passed
from tracer.prepare import Request, prepare
from tracer.session import run
from tracer.store import Store

__all__ = ["checkpoint", "one_thread"]


def test_the_command_prints_and_records_both_checks(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    folder, path = checkpoint("mixtral"), tmp_path / "t.jsonl"
    capsys.readouterr()  # how far Transformers had saved it
    command = [str(folder), "--tp", "2", "--device", "cpu", "--reference", "transformers"]
    assert trace_load([*command, "--json", str(path)]) == 0
    printed = capsys.readouterr()
    lines = [line for line in printed.out.splitlines() if line.startswith(("verify", "reference"))]
    unseen = "not seen: finite values that are wrong, and what these ids do not reach"
    assert lines[0] == f"verify ok: 2 ranks, 32 tokens, logits finite and equal; {unseen}"
    assert lines[1].startswith("reference ok: MixtralForCausalLM of transformers ")
    assert " with the same folder (wrong values in its files are on both sides), float32, logits differ " in lines[1]
    assert printed.err == ""
    found = checks(path)
    assert found["verify"] == ("ok", f"2 ranks, 32 tokens, logits finite and equal; {unseen}")
    assert found["reference"] == ("ok", lines[1].removeprefix("reference ok: "))


def test_what_is_wrong_is_an_error_of_the_command_and_in_the_trace(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    folder = altered(checkpoint("llama"), tmp_path / "model", turned("model.norm.weight"))
    reference = f"transformers={checkpoint('llama')}"
    command = [str(folder), "--device", "cpu", "--reference", reference, "--param", "model.norm*", "--save"]
    assert trace_load([*command, str(tmp_path / "t.db")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert f"verify ok: 1 rank, 32 tokens, logits finite; {UNSEEN}" in lines
    assert "ERROR  verify.reference-differs  the output of the final norm departs from " in "\n".join(lines)
    store = Store.open(tmp_path / "t.db")
    assert {check.name: check.state for check in store.checks()}["reference"] == "failed"
    (finding,) = [finding for finding in store.findings() if finding.severity == "error"]
    assert (finding.subject, list(finding.evidence["parameters"])) == ("model.norm", ["model.norm.weight"])


# --- under torchrun ---


def test_under_torchrun_the_other_ranks_tell_rank_0_what_they_saw(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = altered(checkpoint("llama"), tmp_path / "model", poisoned(f"{LAYER}v_proj.weight", row=12))
    command: list[str | Path] = [*PLAIN, "load", folder, "--tp", "2", "--device", "cpu", "--reference", "transformers"]
    first, second = map(finish, as_ranks([*command, "--json", tmp_path / "t.jsonl"], 2))
    assert (first.status, second.status) == (1, 1), first.err + second.err
    assert "verify failed: 2 ranks, 32 tokens, values that are not finite\n" in first.out
    (finding,) = [record for record in records(tmp_path / "t.jsonl") if record["kind"] == "finding"]
    assert (finding["code"], finding["rank"]) == ("value.nonfinite", 1)
    assert finding["evidence"]["tensors"] == {f"{LAYER}v_proj.weight": {"1": 1}}


def test_ranks_that_were_not_all_told_to_verify_refuse(checkpoint: Checkpoint) -> None:
    plain, verifies = (prepare(Request(str(checkpoint("llama")), 2, verify=verify)) for verify in (False, True))
    with pytest.raises(InputError, match="--verify: expected given, found not given"):
        agreement.check(plain, agreement.terms(verifies))


def test_what_a_rank_says_survives_its_journey_and_nothing_else_does() -> None:
    passed = Passed(
        [1, 2], "torch.float32", Nonfinite(3, "m", "input", "", 1, 2, {"t": 1}),
        Departure(4, "m", "output", 0.5, 1.0, 0.25, ["p"]),
    )  # fmt: skip
    assert Passed.of(1, json.loads(json.dumps(passed.plain()))) == passed
    for other in (None, {}, {"ids": 3}, {**passed.plain(), "nonfinite": {"place": 1}}):
        with pytest.raises(InputError, match="rank 1: expected what it says of its forward pass"):
            Passed.of(1, other)


# --- bad usage ---


@pytest.mark.parametrize(("argv", "said"), [
    (["--reference", "vllm"], "--reference vllm: expected transformers, or transformers=DIR"),
    (["--reference", "transformers="], "expected transformers, or transformers=DIR"),
    (["--reference", "transformers=org/name"], "no such file or folder: org/name"),
])  # fmt: skip
def test_a_reference_that_is_none_is_bad_usage(
    argv: list[str], said: str, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert trace_load([str(checkpoint("llama")), *argv]) == 2
    assert said in capsys.readouterr().err


def test_a_reference_without_weights_is_refused_before_the_load(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config_of("llama")))
    with pytest.raises(UsageError, match=f"no weights are in {tmp_path}"):
        run(Request(str(checkpoint("llama")), device="cpu", reference=f"transformers={tmp_path}"))
