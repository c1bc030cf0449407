"""MLX's affine quantisation before another loader: scales and zero points that it takes for layers' own."""

from __future__ import annotations

from tracer.diagnose.hypotheses.modules import split
from tracer.diagnose.hypotheses.question import Question, counted
from tracer.diagnose.hypothesis import Hypothesis

_BITS_OF_A_WORD = 32


def explain(question: Question) -> Hypothesis | None:
    """`.scales` or `.biases` beside words of packed codes."""
    place = question.place
    if place is None:
        return None
    module = question.module_of(place.names[0])
    if module.kind != "mlx" or split(place.names[0])[1] not in ("scales", "biases", "weight"):
        return None
    weight, scales = module.leaves["weight"], module.leaves["scales"]
    said = question.state.config.get("quantization") or question.state.config.get("quantization_config") or {}
    bits, group = (said.get(key) for key in ("bits", "group_size")) if isinstance(said, dict) else (None, None)
    if type(bits) is not int or type(group) is not int or not bits or len(weight.shape) != 2 or len(scales.shape) != 2:
        return None
    inputs = weight.shape[1] * _BITS_OF_A_WORD // bits
    fits = inputs == scales.shape[1] * group
    sum_ = f"{weight.shape[1]} * 32 / {bits} = {inputs} {'=' if fits else 'against'} {scales.shape[1]} * {group}"
    count = sum(each.kind == "mlx" for each in question.modules.values())
    base = question.state.config.get("base_model") or question.state.config.get("_name_or_path")
    original = f" ({base})" if isinstance(base, str) and base else ""
    return question.answer(
        "quant.unsupported", place.subject,
        f"MLX {bits}-bit affine quantisation (group {group}) in {counted(count, 'module')}: {weight.name} is U32"
        f" {list(weight.shape)} and packs {_BITS_OF_A_WORD // bits} values a word, beside scales and biases"
        f" {list(scales.shape)}; biases are zero points, not layer biases ({sum_}); the checkpoint is whole, and only"
        " MLX reads this layout",
        {"bits": bits, "group_size": group, "count": count, "format": "mlx"},
        f"use the original repository{original} or a quantisation of it for this engine; with MLX, a version whose"
        " rules for names cover .scales and .biases as they do .weight",
    )  # fmt: skip
