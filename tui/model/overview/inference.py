"""What the tensors say of themselves, and how the model can be divided: what is worth a thread of its own.

It depends on names, shapes and the plan, and on no number of ranks: asked once when the plan is there, it holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

from mappings.sizes import ConfigError
from tracer.doctor.adapter import FILES, Adapter, examine_adapter
from tracer.doctor.quantisation import declared, in_config
from tracer.errors import InputError
from tracer.infer import Inferred, infer, logical, of_names
from tracer.infer.canonical import canonical, text_config
from tracer.infer.keys import beside_keys
from tracer.infer.names import Group
from tracer.infer.parallel import Parallel, estimated, groups_of, sizes
from tracer.infer.standing import MADE_UP
from tui.model.config.fields import config_of
from tui.model.overview.unread import unread
from tui.model.subject import Subject

_GGUF = "gguf"
"""How the dialects begin of traces whose config was no config.json."""
_OF_A_TRACE = "the trace has no tensor that was in a file: names and shapes may come from the config itself"


@dataclass(frozen=True)
class Parameters:
    """Elements of the weights, as they were before any packing."""

    total: int
    active: int | None = None
    """Of one token where it visits some of the experts; None where it visits all, or how many is not known."""
    unpacked: bool = False
    """Whether bytes were taken for several elements each, so that the count is worked out and not read."""
    surmised: bool = False
    """Whether some are of tensors whose shapes no header here tells."""
    without: str = ""
    """Files of which not even the names of tensors are known, and nothing is counted."""


@dataclass(frozen=True)
class Inference:
    """What `overview` and `config` need beyond headers and plan."""

    found: Inferred | None = None
    """None where there are no names."""
    parameters: Parameters | None = None
    parallel: Parallel | None = None
    exact: bool = False
    """Whether `parallel` goes by rows and not by numbers of the config alone."""
    adapter: Adapter | None = None
    """What was found instead of a model."""
    why_not: str = ""
    """What could not be read."""
    made_up: str = ""
    """Why `found` says nothing of config.json, where its names stand for tensors that are not here."""


def study(subject: Subject) -> Inference:
    """All of it: a tenth of a second for 90,000 names that were looked at before, half a second for new ones."""
    try:
        found = _inferred(subject)
    except InputError as error:
        return Inference(why_not=str(error))
    parallel, exact = _parallel(subject, found)
    return Inference(found, _parameters(subject, found), parallel, exact, _adapter(subject), made_up=_made_up(subject))


def _made_up(subject: Subject) -> str:
    """A name without a file is that of an index, or was made from the config; a trace does not say of which."""
    if subject.checkpoint is not None and subject.checkpoint.names:
        return ""
    if not subject.tensors or any(info.file is not None for info in subject.tensors):
        return ""
    return MADE_UP if subject.store is None else _OF_A_TRACE


def _inferred(subject: Subject) -> Inferred | None:
    checkpoint = subject.checkpoint
    if checkpoint is not None and (checkpoint.names or (checkpoint.pointer_sizes and not subject.tensors)):
        return infer(checkpoint)
    names = [info.name for info in subject.tensors]
    held = [info for info in subject.tensors if info.file is not None] or subject.tensors
    found = of_names(names, held, dict(config_of(subject)) or None) if names else None
    if found is not None and subject.store is not None and (subject.store.run.dialect or "").startswith(_GGUF):
        found.fields = beside_keys(found.fields)
    return found


def _adapter(subject: Subject) -> Adapter | None:
    """Where the tensors are those of an adapter, or where there are none."""
    checkpoint = subject.checkpoint
    own = all(info.file in FILES for info in subject.tensors)
    return examine_adapter(checkpoint.files) if checkpoint is not None and own else None


def _parallel(subject: Subject, found: Inferred | None) -> tuple[Parallel | None, bool]:
    """By the rows where there are any, else by what config.json and the tensors say of widths."""
    groups = list(groups_of(subject.tensors, _scheme(subject)))
    if subject.prepared is not None:
        packed = found is not None and found.known is not None and bool(found.known.quantisation)
        try:
            return sizes(subject.prepared.plan.binding, subject.nbytes if packed else None, groups), True
        except ConfigError:
            pass
    config = {**(found.config() if found else {}), **text_config(config_of(subject))}
    if not config:
        return None, False
    result = estimated(config, [(info.shape, info.nbytes) for info in subject.tensors], groups=groups)
    return (result if subject.tensors else replace(result, ranks=())), False


def _scheme(subject: Subject) -> Mapping[str, object]:
    """What is declared of a quantisation; a trace has no files beside the config that may say so too."""
    config = config_of(subject)
    own = in_config(config) if subject.checkpoint is None else declared(config, subject.checkpoint.files)[0]
    return own or {}


# --- how many parameters ---


def _parameters(subject: Subject, found: Inferred | None) -> Parameters | None:
    if found is None or found.names is None or not subject.tensors:
        return None
    surmised, without = _surmised(subject), "" if _named(subject) > len(subject.tensors) else unread(subject)
    if not any(group.shapes for group in found.names.groups):
        return Parameters(_elements(subject), surmised=surmised, without=without)
    names = found.names
    weights = [(group.role, prod(shape) * len(group.indices)) for group, shape in _weights(found)]
    drafts = sum(_stored(group) for group in names.drafts)
    total = sum(count for _, count in weights) + sum(_stored(group) for group in _beside(found)) + drafts
    routed = sum(count for role, count in weights if role.startswith("expert"))
    visited = _visited(subject, found)
    active = total - drafts - routed + int(routed * visited) if routed and visited else None
    scheme = found.known.quantisation.get("quant_method") if found.known else None
    return Parameters(total or _elements(subject), active, scheme not in (None, "fp8"), surmised, without)


def _surmised(subject: Subject) -> bool:
    return _named(subject) > len(subject.tensors) or any(info.file is None for info in subject.tensors)


def _named(subject: Subject) -> int:
    return len(subject.checkpoint.names) if subject.checkpoint is not None else 0


def _elements(subject: Subject) -> int:
    return sum(prod(info.shape) for info in subject.tensors)


def _weights(found: Inferred) -> Iterator[tuple[Group, tuple[int, ...]]]:
    assert found.names is not None
    return logical.shapes(found.names, logical.narrow(found.names))


def _beside(found: Inferred) -> Iterator[Group]:
    """Groups that the table of roles does not have, of towers, of other stacks."""
    assert found.names is not None
    yield from found.names.strange
    for groups in (*found.names.towers.values(), *found.names.others.values()):
        yield from groups


def _stored(group: Group) -> int:
    return sum(prod(shape) * count for (shape, _), count in group.shapes.items())


def _visited(subject: Subject, found: Inferred) -> float:
    """The share of the experts that a token visits; 0 where it is not known."""
    said = canonical({**found.config(), **text_config(config_of(subject))})
    active, experts = said.get("active"), said.get("experts")
    if type(active) is not int or type(experts) is not int:
        return 0.0
    return active / experts if 0 < active <= experts else 0.0
