"""Models by name: found without importing any, checked against the contract, and brought by anybody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.loading.build import build
from engine.loading.loader import Loader
from engine.loading.recorder import NullRecorder
from engine.models import registry
from engine.models.contract import CausalLM, missing
from engine.models.registry import ENTRY_POINTS, MODELS, ModelError, register, resolve
from engine.parallel import ALONE, Group
from mappings.plan import LoadPlan, plan
from mappings.registry import choose
from tests.engine import bigram
from tests.engine.checkpoints import config_of
from tests.engine.memory import Memory
from tests.engine.packages import BIGRAM, install
from tests.engine.shares import Deaf, binding_of


@pytest.fixture(autouse=True)
def own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(registry, "MODELS", dict(MODELS))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which packages count as installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


# --- finding ---


@pytest.mark.parametrize("name", MODELS)
def test_every_architecture_has_a_class_that_keeps_the_contract(name: str) -> None:
    cls = resolve(name)
    assert cls is not None and issubclass(cls, CausalLM)
    assert cls.__name__ == name
    assert not getattr(cls, "__abstractmethods__", None)


def test_nothing_is_imported_until_a_model_is_asked_for() -> None:
    program = """
import sys
from engine.models import registry
def heavy(): return sorted(name for name in sys.modules if name == "torch" or name.startswith("engine.models."))
registry.nearest("LamaForCausalLM"), registry.find("GPT2LMHeadModel"), registry.known()
registry.register("Mine", "no_such_package:Mine")
print(heavy())
registry.resolve("GPT2LMHeadModel")
print(heavy())
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    asked, resolved = result.stdout.splitlines()
    assert asked == "['engine.models.registry']"
    assert resolved == "['engine.models.contract', 'engine.models.gpt2', 'engine.models.registry', 'torch']"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("LlamaForCausaLM", "LlamaForCausalLM"), ("GPT2Model", "GPT2LMHeadModel"), ("qwen3", "Qwen3ForCausalLM")],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, nearest: str) -> None:
    assert resolve(name) is None
    assert registry.nearest(name)[0] == nearest
    assert len(registry.nearest(name)) <= 3


def test_a_name_of_ones_own_may_be_the_nearest() -> None:
    register("ZebraForCausalLM", "no_such_package:Zebra")
    assert registry.nearest("ZebraForCausal")[0] == "ZebraForCausalLM"


# --- registering ---


class Whole(nn.Module):
    """Keeps both contracts, and inherits neither."""

    def __init__(self, config: Any, tp: Any, prefix: str = "", more: int = 0) -> None:
        super().__init__()

    def embed_input_ids(self, ids: Tensor) -> Tensor:
        return ids

    def forward(self, ids: Tensor, positions: Tensor, attention: Any) -> Tensor:
        return ids

    def compute_logits(self, hidden: Tensor, *more: int) -> Tensor:
        return hidden

    def pooler(self, hidden: Tensor, starts: Tensor) -> Tensor:
        return hidden


ARGUMENTS = {
    "__init__": "config, tp, prefix", "embed_input_ids": "ids", "forward": "ids, positions, attention",
    "compute_logits": "hidden", "pooler": "hidden, starts",
}  # fmt: skip


def without(name: str) -> type[nn.Module]:
    """All of `Whole` but one member."""
    kept = {key: value for key, value in vars(Whole).items() if key in ARGUMENTS and key != name}
    return type("Partial", (nn.Module,), kept)


def found(name: str) -> object:
    """`resolve`, for those who compare classes that share no base."""
    return resolve(name)


def test_a_class_is_registered_by_itself_or_by_its_place() -> None:
    register("Mine", Whole)
    assert found("Mine") is Whole
    register("Mine", "engine.models.llama:LlamaForCausalLM")
    assert found("Mine") is found("LlamaForCausalLM") is not None
    register("LlamaForCausalLM", Whole)
    assert found("LlamaForCausalLM") is Whole


@pytest.mark.parametrize("where", ["engine.models.llama", ":Llama", "engine.models.llama:"])
def test_a_place_that_names_no_class_is_refused(where: str) -> None:
    with pytest.raises(ValueError, match=f"Mine: '{where}' is not of the form 'module:Class'"):
        register("Mine", where)


def test_a_kind_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="Mine: kind is 'poetry', expected one of generation, pooling"):
        register("Mine", Whole, kind="poetry")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("no_such_package.models:Mine", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("engine.models.llama:Lama", "AttributeError: module 'engine.models.llama' has no attribute 'Lama'"),
        ("broken_on_import:Mine", "RuntimeError: this machine is too small"),
    ],
)
def test_what_cannot_be_imported_is_named_with_the_reason(where: str, why: str, installed: Path) -> None:
    (installed / "broken_on_import.py").write_text("raise RuntimeError('this machine is too small')")
    register("MineForCausalLM", where)
    with pytest.raises(ModelError) as raised:
        resolve("MineForCausalLM")
    assert str(raised.value) == f"MineForCausalLM: {where} cannot be imported: {why}"


@pytest.mark.parametrize("name", ["__init__", "embed_input_ids", "forward", "compute_logits"])
def test_a_member_that_is_missing_is_named(name: str) -> None:
    register("Mine", without(name))
    with pytest.raises(ModelError) as raised:
        resolve("Mine")
    assert str(raised.value) == (
        f"Mine: Partial lacks {name}({ARGUMENTS[name]}), which a model for generation has (engine/models/contract.py)"
    )


def test_a_member_that_takes_other_arguments_is_missing() -> None:
    other = type("Other", (Whole,), {"forward": lambda self, ids: ids})
    assert missing(Whole, "generation") == []
    assert missing(other, "generation") == ["forward(ids, positions, attention)"]


def test_a_member_that_is_only_promised_is_missing() -> None:
    assert missing(type("Promise", (CausalLM,), {"forward": Whole.forward}), "generation") == [
        "compute_logits(hidden)", "embed_input_ids(ids)",
    ]  # fmt: skip


def test_what_is_no_module_is_no_model() -> None:
    assert missing(object, "generation") == missing(print, "pooling") == ["the base class torch.nn.Module"]


def test_a_model_that_pools_has_a_pooler_and_need_not_have_logits() -> None:
    register("MineModel", without("compute_logits"), kind="pooling")
    assert resolve("MineModel") is not None
    register("MineModel", without("pooler"), kind="pooling")
    with pytest.raises(ModelError, match=r"lacks pooler\(hidden, starts\), which a model for pooling has"):
        resolve("MineModel")


# --- packages ---


def test_a_package_brings_models_of_every_kind(installed: Path) -> None:
    assert resolve("Bigram") is None
    pooling = {ENTRY_POINTS["pooling"]: {"WholeModel": f"{__name__}:Whole"}}
    install(installed, BIGRAM | pooling)
    assert resolve("Bigram") is bigram.Bigram
    assert [registry.find(name) for name in ("Bigram", "WholeModel")] == [
        ("tests.engine.bigram:Bigram", "generation"), (f"{__name__}:Whole", "pooling"),
    ]  # fmt: skip
    assert registry.nearest("Bigramm") == ["Bigram"]


def test_a_package_replaces_nothing(installed: Path) -> None:
    install(installed, {ENTRY_POINTS["generation"]: {"LlamaForCausalLM": "tests.engine.bigram:Bigram"}})
    assert registry.known()["LlamaForCausalLM"] == MODELS["LlamaForCausalLM"]
    cls = resolve("LlamaForCausalLM")
    assert cls is not None and cls.__name__ == "LlamaForCausalLM"


# --- what is built of them ---


def small_llama() -> LoadPlan:
    return LoadPlan(binding_of(config_of("llama"), 1), [], [])


def test_a_model_that_cannot_be_used_leaves_a_skeleton_that_says_why() -> None:
    whole = build(small_llama(), 0)
    register("LlamaForCausalLM", without("compute_logits"))
    built = build(small_llama(), 0)
    assert {name: param.shape for name, param in built.params.items()} == {
        name: param.shape for name, param in whole.params.items()
    }
    with pytest.raises(ValueError, match=r"generate: the modules of LlamaForCausalLM: Partial lacks compute_logits"):
        built.generator()


def test_a_model_that_pools_does_not_generate() -> None:
    llama = resolve("LlamaForCausalLM")
    assert llama is not None
    register("LlamaForCausalLM", type("Pooled", (llama,), {"pooler": Whole.pooler}), kind="pooling")
    built = build(small_llama(), 0)
    assert built.model is not None
    with pytest.raises(ValueError, match="cannot generate: Pooled is a model for pooling, without a head"):
        built.generator()


# --- from outside ---

VOCABULARY, WIDTH = 90, 8


def bigram_on(rank: int, tp: int, group: Group, tensors: dict[str, Tensor]) -> CausalLM:
    """One rank's bigram, found by its name and loaded through its rows."""
    config = {"architectures": ["Bigram"], "vocab_size": VOCABULARY, "size": WIDTH, "num_hidden_layers": 1}
    memory = Memory(tensors)
    made = plan(choose(config, tensors, tp, "F64").binding, memory.header)
    assert all(claim.owner is not None for claim in made.claims)
    built = build(made, rank, group=group)
    Loader(made, rank, memory, NullRecorder()).load(built.params)
    return built.generator()


def random_bigram() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(3)
    return {name: torch.randn(VOCABULARY, WIDTH, generator=draw, dtype=torch.float64) for name in ("table", "head")}


def test_an_architecture_is_added_in_under_30_lines() -> None:
    assert len(Path(bigram.__file__).read_text().splitlines()) < 30


def test_an_architecture_from_outside_computes_what_its_weights_say(installed: Path) -> None:
    install(installed, BIGRAM)
    tensors = random_bigram()
    model = bigram_on(0, 1, ALONE, {f"{name}.weight": tensor for name, tensor in tensors.items()})
    ids, positions = torch.tensor([5, 89, 5, 0]), torch.tensor([0, 1, 2, 3])

    def never(*_: object) -> Tensor:
        pytest.fail("a bigram attends to nothing")

    logits = model.compute_logits(model(ids, positions, never))
    torch.testing.assert_close(logits, (tensors["table"] @ tensors["head"].T)[ids])
    assert torch.equal(logits[0], logits[2])
    assert torch.equal(model(ids, positions.flip(0), never), model.embed_input_ids(ids))


def test_an_architecture_from_outside_is_cut_over_ranks_as_any_other(installed: Path) -> None:
    install(installed, BIGRAM)
    tensors = random_bigram()
    ranks = [
        bigram_on(rank, 2, Deaf(2), {f"{name}.weight": tensor for name, tensor in tensors.items()}) for rank in range(2)
    ]
    ids = torch.arange(VOCABULARY)
    hidden = torch.stack([rank.embed_input_ids(ids) for rank in ranks]).sum(0)
    logits = torch.cat([rank.compute_logits(hidden) for rank in ranks], -1)[:, :VOCABULARY]
    torch.testing.assert_close(logits, tensors["table"] @ tensors["head"].T)
