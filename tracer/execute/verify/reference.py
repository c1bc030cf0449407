"""The model of the same files as Transformers has it, in this process: float32 on the CPU.

Its classes are those that Transformers itself brings, found by the architecture's name: no code of the checkpoint is
run, and nothing is asked of the network.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from mappings.names import collapse
from tracer.execute.verify.points import HIDDEN, LOGITS, Point, watched
from tracer.execute.verify.staging import Unstaged, staged
from tracer.execute.verify.states import Keeper, States
from tracer.prepare import Prepared
from tracer.report import words

if TYPE_CHECKING:
    import torch

BYTES = 4
"""Of an element in float32."""
SPARE = 0.1
"""Of the model's own size, for what is converted at the moment and for activations."""
LIBRARIES = 512 << 20
"""Bytes that PyTorch and Transformers take once they are loaded."""


class NoReference(Exception):
    """Why there is nothing to compare with."""


class Reference(NamedTuple):
    """What it makes of the prompt."""

    name: str
    """`LlamaForCausalLM of transformers 5.23.0`."""
    exact: States
    """In float32."""
    narrow: States | None
    """In the data type of what was loaded, where that is another: its parameters rounded to it, and all computed so."""


def refer(prepared: Prepared, ids: Sequence[int], dtype: str, chosen: Sequence[torch.Tensor] = ()) -> Reference:
    """Load it and compute. `dtype` is torch's spelling of what was computed with here; `chosen` are the experts that
    tokens were sent to here, (tokens, k) for every choice in order, and the reference sends them there too.
    Raises NoReference.
    """  # fmt: skip
    _check_installed()
    _check_room(prepared)
    import torch

    wanted = getattr(torch, dtype.removeprefix("torch."))
    with _quiet():
        name, model = _load(prepared)
        try:
            exact = _states(model, ids, chosen)
            if wanted == torch.float32:
                return Reference(name, exact, None)
            # Of the buffers none: frequencies of rotary embeddings stay float32 where Transformers loads a model so.
            for param in model.parameters():
                param.data = param.data.to(wanted)
            return Reference(name, exact, _states(model, ids, chosen))
        except Exception as error:  # whatever its model may raise
            raise NoReference(f"{name} does not compute: {_line(error)}") from error


def spelled_out(prepared: Prepared) -> Mapping[str, Any]:
    """The config as Transformers' class of it has it, defaults and all, without what every model's has, such as
    `transformers_version` and `dtype`, and what it does not know; and the architecture. Raises NoReference.
    """  # fmt: skip
    _check_installed()
    import transformers

    with _quiet():
        cls = _class(prepared).config_class
        try:
            found = cls.from_dict(dict(prepared.run.config)).to_dict()
        except Exception as error:  # whatever it may raise of fields that it does not understand
            raise NoReference(f"{cls.__name__} of transformers does not take the config: {_line(error)}") from error
        known = set(cls().to_dict()) - set(transformers.PretrainedConfig().to_dict())
    return {"architecture": prepared.plan.binding.arch.name, **{name: found.get(name) for name in sorted(known)}}


def _check_installed() -> None:
    if find_spec("transformers") is None:
        raise NoReference("transformers is not installed (pip install 'trace-load[reference]')")


def _check_room(prepared: Prepared) -> None:
    """Raises NoReference before anything is loaded where it does not fit."""
    from engine.memory import free_bytes

    needed = room(prepared)
    try:
        free = free_bytes("cpu")
    except OSError:
        return  # not every system says
    if needed > free:
        raise NoReference(f"transformers needs {words.size(needed)} for it in float32, {words.size(free)} are free")


def room(prepared: Prepared) -> int:
    """Bytes that the reference takes: every tensor in float32, and something beside them."""
    return int(sum(BYTES * prod(info.shape) for info in prepared.infos) * (1 + SPARE)) + LIBRARIES


@contextmanager
def _quiet() -> Iterator[None]:
    """Transformers offline, and without what it says on stderr: what matters of it is said here."""
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before


def _load(prepared: Prepared) -> tuple[str, Any]:
    """Raises NoReference where its class, or what it finds in the files, is not what this model is."""
    import torch
    import transformers

    cls = _class(prepared)
    name = f"{cls.__name__} of transformers {transformers.__version__}"
    try:
        with staged(prepared) as folder:
            model, info = cls.from_pretrained(
                folder, config=cls.config_class.from_dict(dict(prepared.run.config)), dtype=torch.float32,
                local_files_only=True, trust_remote_code=False, attn_implementation="eager", output_loading_info=True,
            )  # fmt: skip
    except Unstaged as error:
        raise NoReference(str(error)) from error
    except Exception as error:  # whatever it may raise of files that it does not understand
        raise NoReference(f"{name} does not load them: {_line(error)}") from error
    if missing := sorted(info["missing_keys"]):
        raise NoReference(f"{name} misses {len(missing)} tensors: {', '.join(n for n, _ in collapse(missing)[:3])}")
    return name, model.eval()


def _class(prepared: Prepared) -> Any:
    import transformers

    arch = prepared.plan.binding.arch.name
    cls: Any = getattr(transformers, arch, None)
    if cls is None or not issubclass(cls, transformers.PreTrainedModel):
        raise NoReference(f"transformers {transformers.__version__} has no {arch}")
    return cls


def _line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _states(model: Any, ids: Sequence[int], chosen: Sequence[torch.Tensor]) -> States:
    """One pass: what enters and leaves every module, and the scores of experts."""
    import torch

    head, keeper = _head(model), Keeper(model, chosen)

    def see(point: Point) -> None:
        point = point._replace(values=tuple(_unbatched(value) for value in point.values))
        if (point.module, point.side) == (head, "input"):
            keeper.keep(point._replace(module=HIDDEN, side="output"))
        keeper.keep(point)

    tokens = torch.tensor([list(ids)])
    with torch.no_grad(), watched(model, see, keeper.choose) as watch:
        output = model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False)
        watch.reach(LOGITS, output.logits)
    return keeper.kept()


def _head(model: Any) -> str:
    """The module that makes logits of hidden states."""
    found = model.get_output_embeddings()
    return next((name for name, module in model.named_modules() if module is found), "")


def _unbatched(value: torch.Tensor) -> torch.Tensor:
    return value[0] if value.ndim > 2 and value.shape[0] == 1 else value
