"""What a checkpoint computes: by our engine where it has the modules, by Transformers' own class where it has not.

Both on the CPU and in F32, so that equal tensors give equal numbers. Transformers is imported where it is needed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from engine.loading.recorder import NullRecorder
from engine.loading.sources import MappedWeights
from engine.models.registry import MODELS
from mappings.proof import findings, prove
from tests.catalogue.case import Case
from tests.catalogue.folders import INDEX
from tests.verifying import Solo
from tracer.checkpoint.weights import map_file
from tracer.diff.sides import open_side
from tracer.diff.values.opened import rows_of
from tracer.diff.values.rows import Reader
from tracer.errors import Refused
from tracer.execute.rank import load_rank
from tracer.prepare import Request, prepare

LENGTH, IDS = 24, 100
"""Of the prompt, and of the vocabulary that it is drawn from."""


class NotWhole(Exception):
    """A checkpoint that does not load, or not all of it; says why."""


def prompt() -> torch.Tensor:
    """Ids, (tokens,)."""
    return torch.randint(3, IDS, (LENGTH,), generator=torch.Generator().manual_seed(7))


def computed(case: Case, folder: Path) -> torch.Tensor:
    """Logits of the prompt, and of a model with a tower also what that makes of an image. Raises NotWhole.

    Our engine goes by headers, so that what has an index is Transformers' as well.
    """
    import transformers

    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    config = {name: value for name, value in config.items() if name not in case.unread}
    if case.like:
        config |= {"architectures": [case.like[0]], "model_type": case.like[1]}
    if config["model_type"] not in transformers.CONFIG_MAPPING:
        raise NotWhole(f"nobody knows a {config['model_type']}")
    if config["architectures"][0] in MODELS and not (folder / INDEX).exists():
        return by_engine(folder, config, case.aside)
    return by_transformers(folder, config, case.aside)


def by_engine(folder: Path, config: Mapping[str, Any], aside: tuple[str, ...]) -> torch.Tensor:
    """As `trace-load` loads it: planned, proved, filled. Raises NotWhole for whatever that objects to."""
    own = folder.with_name(f"{folder.name}-config.json")
    own.write_text(json.dumps(config), encoding="utf-8")
    try:
        prepared = prepare(Request(str(folder), config_path=str(own), dtype="float32"))
    except Refused as refused:
        raise NotWhole(str(refused)) from refused
    assert prepared.checkpoint is not None
    found = [*prepared.findings, *findings(prove(prepared.plan, prepared.checkpoint.spans))]
    wrong = [each for each in found if each.severity == "error" and not (aside and each.subject.startswith(aside))]
    if wrong:
        raise NotWhole("; ".join(each.message for each in wrong))
    source = MappedWeights(prepared.folder, prepared.infos, map_file)
    model = load_rank(prepared, 0, source, NullRecorder(), "cpu", None, Solo()).generator()
    with torch.inference_mode():
        return model.compute_logits(model(prompt(), torch.arange(LENGTH)))


def by_transformers(folder: Path, config: Mapping[str, Any], aside: tuple[str, ...]) -> torch.Tensor:
    """As `from_pretrained` loads it. Raises NotWhole for names or shapes that are not those of the class."""
    import transformers

    if "quantization_config" in config:
        folder = dequantised(folder, folder.with_name(f"{folder.name}-plain"))
        config = {name: value for name, value in config.items() if name != "quantization_config"}
    cls = getattr(transformers, config["architectures"][0])
    try:
        model, loaded = cls.from_pretrained(
            folder, config=cls.config_class.from_dict(dict(config)), dtype=torch.float32, output_loading_info=True,
            key_mapping=dict(_SPELT.get(config["model_type"], {})),
        )  # fmt: skip
    except (OSError, RuntimeError) as error:
        raise NotWhole(str(error)) from error
    loaded["unexpected_keys"] = {name for name in loaded["unexpected_keys"] if not (aside and name.startswith(aside))}
    wrong = {what: names for what, names in loaded.items() if names}
    if wrong:
        raise NotWhole(str(wrong))
    model.eval()
    with torch.inference_mode():
        ids = prompt()[None]
        more = {"decoder_input_ids": ids} if config["model_type"] == "t5" else {}
        logits: torch.Tensor = model(input_ids=ids, **more).logits[0]
        see = _TOWERS.get(config["model_type"])
        return torch.cat([logits.flatten(), see(model).flatten()]) if see else logits


# --- towers: what they make of an image of 56 x 56, or of its 16 patches ---


def _image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(8))


def _pooled(seen: Any) -> torch.Tensor:
    found = seen.pooler_output
    return found if isinstance(found, torch.Tensor) else torch.cat(list(found))


def _of_patches(model: Any) -> torch.Tensor:
    return _pooled(model.get_image_features(_image(16, 3 * 2 * 14 * 14), image_grid_thw=torch.tensor([[1, 4, 4]])))


_TOWERS: Mapping[str, Callable[[Any], torch.Tensor]] = {
    "gemma3": lambda model: _pooled(model.get_image_features(_image(1, 3, 56, 56))),
    "mistral3": lambda model: _pooled(
        model.get_image_features(_image(1, 3, 56, 56), image_sizes=torch.tensor([[56, 56]]))
    ),
    "qwen2_5_vl": _of_patches, "qwen3_vl": _of_patches,
}  # fmt: skip
_SPELT: Mapping[str, Mapping[str, str]] = {
    "qwen3_vl": {r"^language_model\.model\.": "model.language_model.", r"^language_model\.lm_head\.": "lm_head.",
                 r"^visual\.": "model.visual."},
}  # fmt: skip
"""MLX's names of what Transformers has no older names for."""


# --- quantised weights ---


def dequantised(folder: Path, to: Path) -> Path:
    """The same model in F32, by our own decoders. Raises NotWhole where they do not know what they see."""
    side = open_side("A", str(folder), True)
    reader = Reader(side.checkpoint.files)
    tensors = {}
    for name, weight in side.weights.items():
        assert weight.shape is not None
        rows = rows_of(reader, weight)
        numbers = np.ascontiguousarray(rows.read(0, rows.shape[0]), dtype=np.float32)
        tensors[name] = torch.from_numpy(numbers).reshape(weight.shape)
    reader.close()
    to.mkdir()
    shutil.copy(folder / "config.json", to)
    save_file(tensors, to / "model.safetensors", {"format": "pt"})
    return to
