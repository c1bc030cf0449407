"""`--reference` in half precision where tokens choose experts: rounding that sends one elsewhere is no fault, and what
is wrong with an expert, a router or a projection is found all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.engine.checkpoints import SIZES
from tests.threads import one_thread
from tests.tracer.families import Checkpoint, checkpoint
from tests.verifying import LAYER, Case, Tensors, alone, altered, one_pass, only, turned, with_config
from tracer.execute.verify import comparison
from tracer.execute.verify.points import watched
from tracer.execute.verify.reference import refer
from tracer.execute.verify.routing import routing
from tracer.execute.verify.states import Keeper, States, read_states
from tracer.prepare import Request, prepare
from tracer.verified import Verified

__all__ = ["checkpoint", "one_thread"]
LAYERS = 4
EXPERTS = "model.layers.2.block_sparse_moe."
GATE = f"{EXPERTS}gate.weight"
Model = Callable[[int], Path]


def mixtral(seed: int, folder: Path, std: float = 0.15, hidden: int = 32) -> Path:
    """A random one of four layers in bfloat16, as Transformers saves it."""
    import transformers

    torch.manual_seed(seed)
    sizes = SIZES | {"num_hidden_layers": LAYERS, "hidden_size": hidden, "intermediate_size": 2 * hidden}
    model = transformers.MixtralForCausalLM(transformers.MixtralConfig(**sizes, num_local_experts=4))
    with torch.no_grad():
        for param in model.parameters():
            param.normal_(1.0 if param.ndim == 1 else 0.0, std)
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    root = tmp_path_factory.mktemp("mixtral")
    return cache(lambda seed: mixtral(seed, root / str(seed)))


def reference_of(folder: Path, tmp_path: Path, sound: Path | None = None) -> Verified:
    return alone(Case(folder), tmp_path, sound)[1]


# --- healthy ---


def test_no_healthy_model_fails_though_rounding_sends_tokens_of_some_elsewhere(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Of 14, some fail where Transformers is left to choose for itself."""
    sent = [reference_of(model(seed), tmp_path) for seed in range(14)]
    assert [verdict.line() for verdict in sent if verdict.state != "ok"] == []
    assert all(verdict.told.endswith("4 of 4 layers agree") for verdict in sent)
    monkeypatch.setattr(comparison, "refer", lambda sound, ids, dtype, chosen: refer(sound, ids, dtype))
    free = [reference_of(model(seed), tmp_path).state for seed in range(14)]
    assert 0 < free.count("failed") < 14


def test_the_reference_sends_every_token_where_it_was_sent_here_and_weighs_by_its_own_scores(
    model: Model, tmp_path: Path
) -> None:  # fmt: skip
    folder = model(0)
    ours, ids = passed(folder, tmp_path)
    other = [chosen.roll(1, 0) for chosen in ours.chosen.values()]
    prepared = prepare(Request(str(folder)))
    free, own, forced = (refer(prepared, ids, "torch.float32", chosen).exact for chosen in ((), taken(ours), other))
    assert all(a.equal(b) for a, b in zip(taken(forced), other, strict=True))
    assert len(taken(free)) == LAYERS
    head = ("(logits)", "output")
    assert torch.allclose(free.values[head], own.values[head], atol=1e-5), "it would have gone there by itself"
    assert not torch.allclose(free.values[head], forced.values[head], atol=0.1)


def passed(folder: Path, tmp_path: Path) -> tuple[States, list[int]]:
    """Our states in float32, and the ids."""
    result = one_pass(Case(folder, options={"dtype": "float32"}), tmp_path / "states")
    assert result.passed is not None
    return read_states(tmp_path / "states"), result.passed["ids"]


def taken(states: States) -> list[torch.Tensor]:
    return list(states.chosen.values())


# --- what is wrong ---


def exchanged(first: str, second: str) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.update({first: tensors[second], second: tensors[first]})


def scaled(name: str, by: float) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.update({name: tensors[name] * by})


def experts_exchanged(one: int, other: int) -> Callable[[Tensors], object]:
    def change(tensors: Tensors) -> None:
        for name in ("w1", "w2", "w3"):
            exchanged(weight(one, name), weight(other, name))(tensors)

    return change


def weight(expert: int, name: str) -> str:
    return f"{EXPERTS}experts.{expert}.{name}.weight"


def rows_permuted(one: int, other: int) -> Callable[[Tensors], object]:
    order = [{one: other, other: one}.get(row, row) for row in range(4)]
    return lambda tensors: tensors.update({GATE: tensors[GATE][order]})


ROUTED = {f"{EXPERTS}experts.routed_experts.{name}_weight" for name in ("w13", "w2")}
FAULTS: dict[str, tuple[Callable[[int, int], Callable[[Tensors], object]], set[str]]] = {
    "two experts exchanged": (experts_exchanged, ROUTED),
    "two rows of the router exchanged": (rows_permuted, {GATE}),
    "w1 and w3 of an expert exchanged": (lambda one, _: exchanged(weight(one, "w1"), weight(one, "w3")), ROUTED),
    "w2 of an expert scaled": (lambda one, _: scaled(weight(one, "w2"), 1.5), ROUTED),
}  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_with_experts_and_routers_fails_in_half_precision_and_is_named(
    fault: str, seed: int, model: Model, tmp_path: Path
) -> None:  # fmt: skip
    """Experts that most tokens meet: in one of which only a token or two have a little, it drowns in rounding."""
    make, params = FAULTS[fault]
    ours, _ = passed(model(seed), tmp_path)
    busy = taken(ours)[2].flatten().bincount(minlength=4).argsort(descending=True).tolist()
    folder = altered(model(seed), tmp_path / "model", make(busy[0], busy[1]))
    finding = only((reference_of(folder, tmp_path, model(seed)),))
    assert (finding.code, finding.evidence["layer"]) == ("verify.reference-differs", 2)
    assert set(finding.evidence["parameters"]) == params


def test_what_the_experts_give_is_judged_before_it_drowns_in_what_they_are_added_to(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:  # fmt: skip
    w1, w3 = (f"model.layers.1.block_sparse_moe.experts.1.{name}.weight" for name in ("w1", "w3"))
    folder = altered(checkpoint("mixtral"), tmp_path / "model", exchanged(w1, w3))
    finding = only(alone(Case(folder, options={"dtype": "bfloat16"}), tmp_path, checkpoint("mixtral")))
    assert "its output agrees to " in finding.message
    assert "within it the output of the experts in layer 1 differs by " in finding.message


def test_a_router_that_only_one_expert_is_chosen_by_is_judged_by_its_scores(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:  # fmt: skip
    """Whoever is sent alone has weight 1, whatever the scores: sent the same way, nothing but they can differ."""
    sound = with_config(checkpoint("mixtral"), tmp_path / "sound", num_experts_per_tok=1)
    folder = altered(sound, tmp_path / "model", turned("model.layers.1.block_sparse_moe.gate.weight"))
    for dtype in ("float32", "bfloat16"):
        finding = only(alone(Case(folder, options={"dtype": dtype}), tmp_path, sound))
        assert list(finding.evidence["parameters"]) == ["model.layers.1.block_sparse_moe.gate.weight"]
        assert "its output agrees to " in finding.message
        assert "within it what chooses experts in layer 1 differs by " in finding.message


@pytest.mark.parametrize("name", [f"{LAYER}o_proj.weight", "model.embed_tokens.weight"])
def test_what_departs_in_half_precision_is_not_put_down_to_rounding(
    name: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:  # fmt: skip
    sound = checkpoint("mixtral")
    folder = altered(sound, tmp_path / "model", turned(name))
    finding = only(alone(Case(folder, options={"dtype": "bfloat16"}), tmp_path, sound))
    assert finding.fix == f"look at what fills them: --param '{name}'"


# --- what cannot be judged ---


def test_experts_that_no_token_met_are_counted(model: Model, tmp_path: Path) -> None:
    """... and what is wrong with them is not seen."""
    one = with_config(model(1), tmp_path / "one", num_experts_per_tok=1)
    sound = altered(one, tmp_path / "sound", shuns_the_last)
    folder = altered(sound, tmp_path / "model", scaled(weight(3, "w2"), -1.0))
    ours, _ = passed(sound, tmp_path)
    met = sum(len(set(chosen.flatten().tolist())) for chosen in taken(ours))
    assert 3 not in taken(ours)[2]
    verdict = reference_of(folder, tmp_path, sound)
    assert (verdict.state, f", {met} of {4 * LAYERS} experts met a token, 4 of 4" in verdict.told) == ("ok", True)


def shuns_the_last(tensors: Tensors) -> None:
    """The mean of two scores is never the highest."""
    tensors[GATE][3] = (tensors[GATE][0] + tensors[GATE][1]) / 2


def test_where_all_experts_met_a_token_nothing_is_said_of_them(checkpoint: Checkpoint, tmp_path: Path) -> None:
    assert " met a token" not in reference_of(checkpoint("mixtral"), tmp_path).told


def test_choices_that_could_not_be_made_the_same_decide_nothing_in_half_precision(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """... where something departs after they were made; in float32 it does decide."""
    folder = altered(model(0), tmp_path / "model", experts_exchanged(0, 2))
    embedded = altered(model(0), tmp_path / "embedded", turned("model.embed_tokens.weight"))
    monkeypatch.setattr(Keeper, "choose", lambda self, choice: choice.chosen)
    verdict = reference_of(folder, tmp_path, model(0))
    assert verdict.state == "not-checked"
    assert "rounding to bfloat16 may have sent tokens to other experts" in verdict.told
    assert verdict.told.endswith("--dtype float32 decides")
    assert reference_of(embedded, tmp_path, model(0)).state == "failed"
    case = Case(folder, options={"dtype": "float32"})
    assert alone(case, tmp_path, model(0))[1].state == "failed"


def test_where_rounding_moves_logits_far_agreeing_is_not_called_ok(tmp_path: Path) -> None:
    """Weights so large that half precision says little: float32 decides, and what is grossly wrong still fails."""
    sound = mixtral(0, tmp_path / "sound", std=0.4, hidden=64)
    verdict = reference_of(sound, tmp_path)
    assert verdict.state == "not-checked"
    assert "nothing departs, but rounding to bfloat16 moves logits so far that " in verdict.told
    assert verdict.told.endswith(" of their spread is allowed: --dtype float32 decides")
    assert alone(Case(sound, options={"dtype": "float32"}), tmp_path)[1].state == "ok"
    folder = altered(sound, tmp_path / "model", turned("model.layers.0.self_attn.o_proj.weight"))
    assert reference_of(folder, tmp_path, sound).state == "failed"


# --- projections ---


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_q_and_k_exchanged_are_found_in_any_type_however_small_the_weights(
    dtype: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:  # fmt: skip
    """Every key is as good as another then, and neither logits nor layers show it."""
    sound = altered(checkpoint("mistral-no-window"), tmp_path / "sound", small)
    q, k = f"{LAYER}q_proj.weight", f"{LAYER}k_proj.weight"
    folder = altered(sound, tmp_path / "model", exchanged(q, k))
    (finding,) = alone(Case(folder, options={"dtype": dtype}), tmp_path, sound)[1].findings
    assert list(finding.evidence["parameters"]) == [f"{LAYER}qkv_proj.weight"]
    assert "within it the output of model.layers.1.self_attn." in finding.message
    if dtype != "float32":
        distances, allowed = finding.evidence["distances"], finding.evidence["allowed"]
        assert all(distances[name] <= allowed[name] for name in ("the output of layer 1", "the output of the head"))


def small(tensors: Tensors) -> None:
    for name, tensor in tensors.items():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            tensor *= 0.02


def test_in_half_precision_the_verdict_says_that_float32_is_tighter(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = checkpoint("llama")
    narrow, wide = (alone(Case(folder, options={"dtype": d}), tmp_path)[1].told for d in ("bfloat16", "float32"))
    assert "; --dtype float32 allows 0.0001), 3 of 3" in narrow
    assert "(allowed 0.0001), 3 of 3" in wide


# --- the mode ---


class ChoosesTwice(nn.Module):
    """Of groups, and then of what is in them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.topk(x[..., :3], 2).indices, x.topk(1).indices], -1)


def test_every_choice_of_a_module_is_kept_and_what_does_not_fit_is_left_to_it() -> None:
    model, x = nn.Sequential(ChoosesTwice()), torch.tensor([[[3.0, 2.0, 1.0, 4.0], [0.0, 1.0, 2.0, 3.0]]])
    first, second = torch.tensor([[2, 0], [0, 1]]), torch.tensor([[1], [2]])
    for imposed, expected in (
        ([], [[[0, 1, 3], [2, 1, 3]]]),
        ([first, second], [[[2, 0, 1], [0, 1, 2]]]),
        ([second, second], [[[0, 1, 1], [2, 1, 2]]]),
    ):
        keeper = Keeper(model, imposed)
        with watched(model, keeper.keep, keeper.choose):
            assert model(x).tolist() == expected
        chosen = keeper.kept().chosen
        assert torch.cat([*chosen.values()], 1).tolist() == expected[0]
        assert [keeper.kept().values[spot].shape for spot in chosen] == [(2, 3), (2, 4)]


def test_a_choice_can_be_replaced_and_keeps_the_scores_of_what_is_taken() -> None:
    scores = torch.tensor([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]])
    wanted, seen = torch.tensor([[2, 0], [1, 0]]), []

    def choose(scores: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        seen.append((scores, chosen))
        return wanted

    with routing(choose):
        values, chosen = torch.topk(scores, 2, dim=-1)
        method = scores.topk(2)
        others = scores.softmax(-1).argsort(-1)
    assert chosen.equal(wanted) and method.indices.equal(wanted)
    assert values.equal(torch.tensor([[0.3, 0.1], [0.2, 0.5]]))
    assert [pair[1].tolist() for pair in seen] == [[[1, 2], [0, 2]]] * 2
    assert others.equal(scores.argsort(-1)), "nothing else is touched"
    with routing(lambda scores, chosen: chosen):
        assert torch.topk(scores, 2).indices.tolist() == [[1, 2], [0, 2]]
