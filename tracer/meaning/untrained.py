"""value.untrained: layers, single matrices and heads that are as they were drawn, among others that are not.

A loader that finds no weights for a module draws some, and whoever saves the model then has them for good. The
statistic is `drawn.grown`; what is drawn is found beside its peers only: a model that nobody trained is none that was
spoilt.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from mappings.findings import Finding
from mappings.names import collapse
from tracer.meaning.drawn import DRAWN, TRAINED, grown, of_layers
from tracer.meaning.material import Material, Part
from tracer.meaning.meant import Meant, fine, found, measured, not_checked

NAME = "untrained"
_STATISTIC = "spread of the lengths of rows and columns against independent numbers"
_FEWEST = 3
_ROWS = 1_024


def examine(material: Material) -> Meant:
    layers = of_layers(material)
    if len(layers) < _FEWEST:
        return not_checked(NAME, f"{len(layers)} layers are too few to compare")
    whole = [layer for layer, held in layers.items() if max(held.values()) < DRAWN]
    single = _single(layers, set(whole))
    packed = any(part.is_packed for parts in material.inside().values() for part in parts)
    # What a quantiser rounded is no measure for tables that it left alone.
    outer = {} if packed else {part.name: grown(material.sampled(part, _ROWS)) for part in _tables(material)}
    usual = median(max(held.values()) for held in layers.values())
    told = f"{len(layers)} layers, half of them {usual:.0f} standard deviations and more from numbers drawn one by one"
    lone = [name for name, value in outer.items() if value < DRAWN]
    # An adapter that was merged leaves all tables as it found them: only beside a trained one is one that is not lost.
    both, lone = (lone, []) if len(lone) == len(outer) > 1 else ([], lone)
    names = [part.name for layer in whole for part in material.inside()[layer]] + single + lone
    left = ["experts are not looked at"] if any("expert" in group.role for group in material.names.groups) else []
    left = [f"{' and '.join(both)} are as drawn, none is otherwise", *left] if both else left
    if not names:
        unclear = [layer for layer, held in layers.items() if max(held.values()) < TRAINED]
        left = [f"layers {unclear} may be drawn or hardly trained", *left] if unclear else left
        return fine(NAME, told, "; ".join(left))
    value = max([max(layers[layer].values()) for layer in whole] + [outer[name] for name in lone], default=0.0)
    what = ", ".join(text for text, _ in collapse(names))
    message = (
        f"{what}: as drawn and never trained: rows and columns are as long as chance makes them ({value:.1f} standard"
        f" deviations), where half of the layers are {usual:.0f} and more from that"
    )
    evidence = measured(_STATISTIC, value, DRAWN, len(layers), "layers", peers=round(usual, 1), layers=whole)
    fix = "take these tensors from the checkpoint that was trained: what loaded this one did not find them"
    finding = Finding("value.untrained", "error", names[0], message, evidence, fix)
    return found(NAME, told, finding, unchecked="; ".join(left))


def _single(layers: Mapping[int, Mapping[str, float]], whole: set[int]) -> list[str]:
    """Matrices that are drawn where those of all other layers are trained."""
    found = []
    for template in {template for held in layers.values() for template in held}:
        values = {layer: held[template] for layer, held in layers.items() if template in held and layer not in whole}
        drawn = [layer for layer, value in values.items() if value < DRAWN]
        rest = [value for value in values.values() if value >= DRAWN]
        if drawn and len(rest) >= _FEWEST and len(rest) > len(drawn) and min(rest) >= 2 * TRAINED:
            found += [template.replace("{}", str(layer), 1) for layer in sorted(drawn)]
    return found


def _tables(material: Material) -> list[Part]:
    return [part for part in (material.outside("embed"), material.outside("head")) if part is not None]
