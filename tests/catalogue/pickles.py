"""P: what unpickling would run."""

from __future__ import annotations

from fixtures.hostile_pickles import HOSTILE_PICKLES
from fixtures.pickles import call, mapping, storage, tensor, text, zip_of
from tests.catalogue.building import Model
from tests.catalogue.case import Case
from tests.catalogue.folders import Folder, beside
from tests.catalogue.models import decoder

BIN = "pytorch_model.bin"


def state(model: Model, **more: bytes) -> bytes:
    """A state dict of half-precision numbers, and something else in it."""
    items, records = {}, {}
    for number, (name, entry) in enumerate(model.tensors.items()):
        count, strides = 1, list[int]()
        for size in reversed(entry.shape):
            strides.insert(0, count)
            count *= size
        items[name] = tensor(storage(str(number), count, "torch HalfStorage"), 0, entry.shape, strides)
        records[f"data/{number}"] = bytes(2 * count)
    return zip_of(mapping({**items, **more}), records)


def pickled(layers: int, file: str = BIN, **more: bytes) -> Folder:
    model = decoder(layers, torch_dtype="float16")
    return Folder([beside("config.json", model.config), beside(file, state(model, **more))])


def refused(layers: int, called: str, said: str, *, file: str = BIN) -> Case:
    module, _, name = called.rpartition(".")
    return Case(
        "P1", f"{called}-{layers}", lambda: pickled(layers, file, hook=call(f"{module} {name}", text("1"))),
        said.format(called),
        "pickle.unsafe-global", file, (called, "not run"), alone="same", sound=lambda: pickled(layers, file),
    )  # fmt: skip


def beyond_lists(layers: int, called: str) -> Case:
    """Callables that lists of bad names have missed: whoever allows by name alone refuses them all."""
    module, _, name = called.rpartition(".")
    return Case(
        "P2", f"{called}", lambda: pickled(layers, hook=call(f"{module} {name}", text("1"))),
        f"_pickle.UnpicklingError: Weights only load failed. Unsupported global: GLOBAL {called} was not an allowed"
        " global",
        "pickle.unsafe-global", BIN, (called, "not run"), alone="same", sound=lambda: pickled(layers),
    )  # fmt: skip


def planted(name: str) -> Case:
    """Files made to be run, of every shape that the fixtures have."""
    return Case(
        "P2", f"planted-{name}", lambda: Folder([beside("config.json", decoder().config), beside(BIN,
            HOSTILE_PICKLES[name].make())]),
        "_pickle.UnpicklingError: Weights only load failed.", "pickle.unsafe-global", BIN, ("not run",), alone="same",
        sound=lambda: pickled(3),
    )  # fmt: skip


_NOT_ALLOWED = (
    "_pickle.UnpicklingError: Weights only load failed. This file can still be loaded, to do so you have two options,"
    " do those"
    " steps only if you trust the source of the checkpoint. WeightsUnpickler error: Unsupported global: GLOBAL {} was"
    " not an"
    " allowed global by default."
)

CASES = [
    refused(3, "builtins.eval", _NOT_ALLOWED), refused(4, "os.system", _NOT_ALLOWED),
    refused(3, "subprocess.Popen", "torch.load failed: weights_only refused {}", file="pytorch_model-00002.bin"),
    beyond_lists(3, "pip.main"), beyond_lists(3, "idlelib.pyshell.ModifiedInterpreter"),
    beyond_lists(4, "timeit.timeit"),
    planted("eval_by_stack_global"), planted("exec_by_inst"), planted("in_the_list_of_keys"),
]  # fmt: skip
