"""Names that an error has with other components in front than the checkpoint, where no rows say which are right.

Transformers 4.52 saves wrappers as `model.language_model.*`, `model.visual.*`; before that the decoder was at `model.*`
beside `visual.*`, or the whole of it at `language_model.*` beside `vision_tower.*`. Engines know one,
the other or both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from mappings.names import blank
from tracer.diagnose.hypotheses.question import Question, counted, folded
from tracer.diagnose.hypotheses.whereabouts import Place, is_here
from tracer.diagnose.hypothesis import Hypothesis
from tracer.infer.canonical import NESTED
from tracer.repair.changes import Rename

TEXT = "language_model"
_STACKS = ("layers", "h", "blocks", "block", "blk", "layer")
_TOWERS = ("visual", "vision_tower", "vision_model", "multi_modal_projector", "audio_tower", "mlp1", "vision_encoder",
           "connector", "mm_projector", "image_newline", "audio_model", "vision_embed_tokens")  # fmt: skip
_ENGINES_OWN = ("model.", "transformer.", "backbone.", "bert.", "gpt_neox.")
"""What engines strip themselves before they look a name up: no sign of another layout."""
_MOST = 0.9
"""Of all names: so many have a wrapper's prefix."""


def explain(question: Question) -> Hypothesis | None:
    """Only without rows that could be tried: with them every edit is."""
    if question.state.plan is not None or question.complaint.kind not in ("no-parameter", "no-tensor", "unexpected"):
        return None
    place = question.place or _module(question)
    if place is None:
        return None
    for edit, renamed in _edits(question, place):
        made = {name: new for name, new in renamed.items() if name != new}
        final = [renamed.get(name, name) for name in question.names]
        if made and len(set(final)) == len(final):
            return _told(question, place, edit, made)
    return None


def _module(question: Question) -> Place | None:
    """Where a module of this name is, of which the error says that there is none."""
    said = question.said
    below = next((name for name in question.names if said and f".{said}." in f".{name}"), None)
    if below is None or not (_is_tower(said) or TEXT in said.split(".")):
        return None
    return Place(said, (below,), (below,), f".{below}".partition(f".{said}.")[0].lstrip("."))


def _told(question: Question, place: Place, edit: str, made: Mapping[str, str]) -> Hypothesis:
    count = f"{len(made)} of {len(made)} map, 0 collisions"
    first, new = next(iter(made.items()))
    version = question.state.config.get("transformers_version")
    saved = f", saved by Transformers {version}" if isinstance(version, str) else ""
    many = len(question.complaint.names)
    named = f"{counted(many, 'name')} of the error, all of one kind: " if many > 1 else ""
    told = (
        f"{edit}: {count}; {named}`{place.said}` was looked for, and the checkpoint has it as `{place.names[0]}`"
        f" ({_layout(question.names)}{saved}): the engine's table knows the other layout; `{first}` is then `{new}`"
    )
    return question.answer(
        "name.rewrite", first, told, {"edit": edit, "mapped": len(made), "of": len(made), "said": place.said},
        f"{edit} in the names ({count}), or use an engine whose table has both layouts", (Rename(made),),
    )  # fmt: skip


def _layout(names: Sequence[str]) -> str:
    """The towers with their counts."""
    return ", ".join(f"{tower} {count}" for tower, count in towers(names).items())


def towers(names: Sequence[str]) -> dict[str, int]:
    """Names by what they begin with, down to the first component that tells: `model.visual`, `lm_head`."""
    counts: Counter[str] = Counter()
    for name in names:
        segments = name.split(".")
        deep = 2 if segments[0] == "model" and len(segments) > 2 and segments[1] in (TEXT, *_TOWERS) else 1
        counts[".".join(segments[:deep])] += 1
    return dict(counts)


def _edits(question: Question, place: Place) -> Iterator[tuple[str, dict[str, str]]]:
    names = question.names
    if f"model.{TEXT}." in "".join(f"{name};" for name in names if name.startswith(f"model.{TEXT}.")):
        if TEXT in place.said.split(".") or _is_tower(place.said):
            yield _to_older(question)
    elif _is_older(names) and _is_tower(place.said) and place.said == place.names[0]:
        yield _to_newer(names)
    elif place.said == place.names[0] and place.said.startswith(f"{TEXT}.model."):
        yield _to_newest(names)
    if place.stripped and place.stripped not in _ENGINES_OWN:
        strip = place.stripped
        below = {n: n.removeprefix(strip) for n in names if n.startswith(strip)}
        if len(below) > _MOST * len(names):  # else it is a tower, and was stripped to ask its own table
            yield f"strip `{strip}`", below
    if place.added:
        add = place.added
        first = place.names[0].split(".")[0]
        yield f"put `{add}` before", {n: add + n for n in names if not n.startswith(add) and _of_body(n, first)}


def _of_body(name: str, first: str) -> bool:
    """The head stays where it is unless the error is of the head."""
    return name.split(".", maxsplit=1)[0] == first or not name.startswith(("lm_head", "score", "classifier"))


def _is_tower(said: str) -> bool:
    segments = said.split(".")
    return segments[0] in _TOWERS or (segments[0] == "model" and len(segments) > 1 and segments[1] in _TOWERS)


def _is_older(names: Sequence[str]) -> bool:
    """The decoder at `model.*` beside `visual.*`."""
    tops = {name.split(".")[0] for name in names}
    return "model" in tops and bool(tops & set(_TOWERS))


def _to_older(question: Question) -> tuple[str, dict[str, str]]:
    names = question.names
    text = f"model.{TEXT}."
    flat = any(name.startswith("model.visual.") for name in names)
    into = "model." if flat else f"{TEXT}.model."
    edit = f"replace `{text}` by `{into}` and strip `model.` before the towers"
    made: dict[str, str] = {}
    for name in names:
        if name.startswith(text):
            made[name] = into + name.removeprefix(text)
        elif name.startswith("model."):
            made[name] = name.removeprefix("model.")
        elif not flat and name.startswith("lm_head."):
            made[name] = f"{TEXT}.{name}"
    return edit, made


def _to_newer(names: Sequence[str]) -> tuple[str, dict[str, str]]:
    edit = f"replace `model.` by `model.{TEXT}.` and put `model.` before the towers"
    made: dict[str, str] = {}
    for name in names:
        if name.startswith("model."):
            made[name] = f"model.{TEXT}.{name.removeprefix('model.')}"
        elif name.split(".")[0] in _TOWERS:
            made[name] = f"model.{name}"
    return edit, made


def _to_newest(names: Sequence[str]) -> tuple[str, dict[str, str]]:
    """From the wrappers of LLaVA and its kin, whose decoder had a head of its own."""
    edit = f"replace `{TEXT}.model.` by `model.{TEXT}.`, put `model.` before the towers"
    made: dict[str, str] = {}
    for name in names:
        if name.startswith(f"{TEXT}.model."):
            made[name] = f"model.{TEXT}.{name.removeprefix(f'{TEXT}.model.')}"
        elif name.startswith(f"{TEXT}."):
            made[name] = name.removeprefix(f"{TEXT}.")
        elif name.split(".")[0] in _TOWERS:
            made[name] = f"model.{name}"
    return edit, made


# --- another class than the one that the checkpoint is of ---


def other_class(question: Question) -> Hypothesis | None:
    """A text-only class met by a wrapper: the first component of what it has no place for is a tower."""
    complaint = question.complaint
    if complaint.kind != "no-parameter" or not complaint.fields or not question.said:
        return None
    chosen, first = complaint.fields[0], question.said.split(".")[0]
    found = towers(question.names)
    mine = next((tower for tower in found if first in tower.split(".")), None)
    declared = question.state.config.get("architectures")
    name = declared[0] if isinstance(declared, list) and declared and isinstance(declared[0], str) else ""
    if (
        mine is None
        or len(found) < 2
        or not any(part in (TEXT, *_TOWERS) for tower in found for part in tower.split("."))
    ):
        return None
    if chosen == name and (question.state.plan is not None or _has_towers(question)):
        return None  # the rows of this very class can be tried, or it knows towers, and the layout is another
    if "For" not in chosen or len([tower for tower in found if tower.split(".")[-1] not in _BESIDE]) < 2:
        return None  # a part of a model, or a model of one part
    nested = any(isinstance(question.state.config.get(field), dict) for field in NESTED)
    told = (
        f"the checkpoint has {counted(len(found), 'tower')} ({_layout(question.names)}), and the class that was chosen,"
        f" {chosen}, has one"
    )
    if name and name != chosen:
        told += f"; config.json says {name}, which is the class of these tensors"
        fix = f"load it as {name}"
    else:
        told += "; config.json names a class for text only" + (", and has a text_config" if nested else "")
        fix = "name the multimodal class in config.json"
    others = sum(count for tower, count in found.items() if tower != mine and "lm_head" not in tower)
    return question.answer(
        "arch.mismatch", chosen, told, {"towers": found, "declared": name},
        f"{fix}; or strip `{first}.` and leave out {others} tensors of the other towers on purpose",
    )  # fmt: skip


_BESIDE = ("lm_head", "mtp", "score", "classifier")


def _has_towers(question: Question) -> bool:
    """Whether config.json describes more than a decoder."""
    return any(key.endswith("_config") and isinstance(value, dict) and key not in _NO_TOWERS
               for key, value in question.state.config.items())  # fmt: skip


_NO_TOWERS = ("quantization_config", "compression_config", "generation_config", "rope_config")


# --- everything is said to be missing ---


def everything(question: Question) -> Hypothesis | None:
    """Hundreds of names, each of which the checkpoint has as it is said: one fact about the engine."""
    complaint = question.complaint
    if complaint.kind != "no-tensor" or len(complaint.names) < _MANY:
        return None
    known = set(question.names)
    held = [name for name in complaint.names if is_here(name, known)]
    if len(held) < len(complaint.names) * 0.9 or question.state.symptoms:
        return None
    templates = dict.fromkeys(blank(name)[0] for name in held)
    layers = {indices[0] for name in held if (indices := blank(name)[1])}
    begins = ", ".join(f"`{tower}.` ({count})" for tower, count in towers(question.names).items())
    told = (
        f"{len(held)} parameters of {counted(len(templates), 'template')} in {counted(len(layers), 'layer')} are"
        " said to be"
        f" without a source ({folded(held)}), and the checkpoint has every one under that very name: nothing of it was"
        f" read; its names begin with {begins}, and the class must have looked for another beginning"
    )
    return question.answer(
        "param.unfilled", held[0], told, {"missing": len(held), "templates": len(templates)},
        "choose the class that config.json names, or a version of the engine that maps these names",
    )  # fmt: skip


_MANY = 12
