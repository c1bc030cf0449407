"""A forward pass through what a row file loads, beside that of the undamaged model by the package's own rows.

Two ways. Where the engine has modules, the file is loaded into them as `--mapping` loads it, on one rank. Else, and
wherever the modules lack a parameter that the rows lead to, it is loaded on some ranks without modules; what lies in
the parameters is taken apart by the package's own rows read backwards, and the class that knows those names computes
with that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch

from engine.loading.build import build
from engine.loading.loader import Loader, WeightSource
from engine.loading.recorder import NullRecorder
from engine.models.contract import CausalLM
from engine.models.registry import MODELS
from mappings.bind import Binder
from mappings.names import blank
from mappings.plan import LoadPlan, plan
from mappings.synth import Synthetic
from tests.mappings.small import architecture
from tests.placements import number
from tests.tracer.starter.shelves import Names, by_file, config_of, id_of, placed, renamed, tensors
from tests.tracer.starter.written import ledger

Tensors = dict[str, torch.Tensor]
TOKENS = 7


@dataclass(frozen=True, eq=False)
class Sound:
    """An undamaged model: the rows that know it, its config.json and its tensors by their original names."""

    rows: str
    config: Mapping[str, Any]
    stored: Mapping[str, torch.Tensor]
    of: str = ""
    """The class that computes it, where it is not that of the rows."""

    @property
    def name(self) -> str:
        """The class that computes it."""
        return self.of or self.rows.partition("/")[0]

    @cached_property
    def header(self) -> list[Synthetic]:
        return header_of(self.stored)

    @cached_property
    def logits(self) -> torch.Tensor:
        """(tokens, vocab) by the package's own rows, or by Transformers where there are no modules."""
        return self.computed(self.stored)

    def computed(self, stored: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The same with these tensors."""
        if self.name in MODELS:
            return modules_logits(self.own_plan(1), stored)
        return transformers_logits(self.name, self.config, stored)

    @cache  # noqa: B019
    def own_plan(self, tp: int) -> LoadPlan:
        """By the package's rows."""
        templates = {blank(name)[0] for name in self.stored}
        return plan(Binder(architecture(self.rows), self.config, tp, templates, "F32").bind(), self.header)

    @cache  # noqa: B019
    def places(self, rank: int, tp: int) -> Mapping[str, torch.Tensor]:
        """Parameter -> for each of its elements which of the model's it is, counted from 1; 0 for none."""
        return {name: torch.from_numpy(where) for name, where in placed(self.own_plan(tp), rank).items()}


def header_of(stored: Mapping[str, torch.Tensor]) -> list[Synthetic]:
    return [Synthetic(name, "F32", tuple(tensor.shape)) for name, tensor in stored.items()]


def other_names(stored: Mapping[str, torch.Tensor], changes: Names) -> Tensors:
    """The same tensors in another program's spelling."""
    return {renamed(name, changes): tensor for name, tensor in stored.items()}


@cache
def sound(key: str) -> Sound:
    """One of the small models, with numbers."""
    return Sound(id_of(key), config_of(key), numbers(tensors(key)))


def numbers(header: Sequence[Synthetic], seed: int = 11) -> Tensors:
    """Norms about one and no bias of zeros: whatever is forgotten or exchanged shows in the logits."""
    draw = torch.Generator().manual_seed(seed)
    return {
        each.name: torch.randn(each.shape, generator=draw) * 0.3 + (len(each.shape) == 1 and "norm" in each.name)
        for each in header
    }


class Held(WeightSource):
    """Tensors that are in memory."""

    def __init__(self, made: LoadPlan, stored: Mapping[str, torch.Tensor]) -> None:
        self._tensors = [stored[each.name].contiguous() for each in made.tensors]

    def tensor(self, position: int) -> torch.Tensor:
        return self._tensors[position]


def ids(vocabulary: int) -> torch.Tensor:
    """The prompt, (tokens,)."""
    return torch.randint(0, vocabulary, (TOKENS,), generator=torch.Generator().manual_seed(7))


def modules_logits(made: LoadPlan, stored: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Of the engine's modules, filled by a plan; what is not written stays NaN, and the logits with it."""
    built = build(made, 0)
    assert isinstance(built.model, CausalLM), built.why_not
    fill(made, 0, built.params, stored)
    with torch.inference_mode():
        hidden = built.model(ids(made.binding.axes.size("vocab")), torch.arange(TOKENS))
        return built.model.compute_logits(hidden)


def fill(made: LoadPlan, rank: int, params: Mapping[str, torch.Tensor], stored: Mapping[str, torch.Tensor]) -> None:
    for param in params.values():
        param.data.fill_(float("nan"))
    Loader(made, rank, Held(made, stored), NullRecorder()).load(params)


@cache
def _library() -> Any:
    import transformers

    return transformers


def transformers_logits(
    name: str, config: Mapping[str, Any], stored: Mapping[str, torch.Tensor]
) -> torch.Tensor:  # fmt: skip
    """Of Transformers' class of that name, every parameter of which these tensors give."""
    cls = getattr(_library(), name)
    model, told = cls.from_pretrained(
        None, config=cls.config_class(**config), state_dict=dict(stored), output_loading_info=True,
        attn_implementation="eager", experts_implementation="eager", dtype=torch.float32,
    )  # fmt: skip
    assert not any(told.values()), told
    with torch.inference_mode():
        logits: torch.Tensor = model.eval()(ids(model.config.vocab_size)[None]).logits[0]
    return logits


def by_modules(text: str, config: Mapping[str, Any], stored: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    """The logits that the engine's modules of a class compute with what a file loads.

    A class that is hidden is named in the file, and in `--hf-overrides`, as a user does who knows what it computes.
    """
    ledger.computed(text)
    fields = {**config, "architectures": [name]}
    return modules_logits(by_file(as_class(text, name), fields, header_of(stored), 1), stored)


def as_class(text: str, name: str) -> str:
    """A file whose class is that one."""
    lines = [f'architecture = "{name}"' if line.startswith("architecture = ") else line for line in text.splitlines()]
    return "\n".join(lines)


def taken_apart(
    text: str, config: Mapping[str, Any], stored: Mapping[str, torch.Tensor], model: Sound, tp: int = 2
) -> tuple[Tensors, Tensors]:  # fmt: skip
    """What a file loads on all ranks: tensors by their original names, and the parameters that the model does not have.

    Parameters of the model's own are taken apart. One that it does not have, and that is called as a tensor, is that
    tensor. What several ranks hold is the same on each of them.
    """
    ledger.computed(text)
    made, own = by_file(text, config, header_of(stored), tp), model.own_plan(tp)
    flat = torch.full((1 + sum(tensor.numel() for tensor in model.stored.values()),), float("nan"))
    more: Tensors = {}
    for rank in range(tp):
        params = dict(build(made, rank).params)
        fill(made, rank, params, stored)
        places = model.places(rank, tp)
        for name, _ in made.params():
            param = params[name]
            if name in places and places[name].shape == param.shape:
                _scatter(flat, places[name], param)
            else:
                torch.testing.assert_close(more.setdefault(name, param), param, rtol=0, atol=0, equal_nan=True)
    found = _undone(own, _original(flat, model)) | {name: more.pop(name) for name in model.stored if name in more}
    return found, more


def _scatter(flat: torch.Tensor, where: torch.Tensor, param: torch.Tensor) -> None:
    """Numbers to their ids, 0 being that of what is filled; where one was held before, it is the same."""
    held = flat[where]
    known = (where > 0) & ~held.isnan()
    assert torch.equal(held[known], param[known])
    flat[where] = param


def _original(flat: torch.Tensor, model: Sound) -> Tensors:
    """Numbers by their ids, as the tensors that they are of; those of which nothing was found are left out."""
    where = number({each.name: each.shape for each in model.header})
    found = {name: flat[torch.from_numpy(own)] for name, own in where.items()}
    return {name: tensor for name, tensor in found.items() if not tensor.isnan().all()}


def _undone(own: LoadPlan, found: Tensors) -> Tensors:
    """The same before the transform of values that a row names."""
    transformed = {own.tensors[step.tensor].name: step.row.op for step in own.steps(0) if step.row.op}
    assert set(transformed.values()) <= {"neg_exp"}
    return found | {name: found[name].neg().log() for name in transformed.keys() & found.keys()}


def computes_as(model: Sound, text: str, config: Mapping[str, Any], stored: Mapping[str, torch.Tensor]) -> None:
    """Load what is stored by the file, and hold the logits against those of the undamaged model.

    They are equal but for the order in which a matrix product is summed, which depends on where its numbers lie.
    """
    if model.name in MODELS:
        torch.testing.assert_close(by_modules(text, config, stored, model.name), model.logits, rtol=0, atol=1e-6)
    else:
        assert not computes_in_parts_as(model, text, config, stored)


def computes_in_parts_as(
    model: Sound, text: str, config: Mapping[str, Any], stored: Mapping[str, torch.Tensor], tp: int = 2
) -> Tensors:  # fmt: skip
    """The same by way of the original names; the parameters that the model does not have are given back.

    What went through the transform of a row and back is equal but for its rounding.
    """
    found, more = taken_apart(text, config, stored, model, tp)
    assert found.keys() == model.stored.keys()
    torch.testing.assert_close(model.computed(found), model.logits, rtol=0, atol=1e-6)
    return more
