"""Signatures against the rows of the mappings: both describe the same checkpoints, in different words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain, combinations

import pytest

from fixtures.geometries import geometry
from fixtures.geometries import names as geometries
from mappings.bind import Binding
from mappings.registry import choose
from mappings.synth import synthesise
from tests.mappings.small import CONFIGS, bind
from tracer.infer.shapes.forward import described, widths_of
from tracer.infer.shapes.signature import Family, key
from tracer.infer.shapes.table import FAMILIES, of_architecture


def told(family: Family, fields: dict[str, object]) -> Iterator[Counter[tuple[int, ...]]]:
    """The checkpoints that a signature tells for a config: one for each choice of what may be stored."""
    widths = widths_of(family, fields)
    for tags in chain.from_iterable(combinations(family.tags, n) for n in range(len(family.tags) + 1)):
        try:
            yield described(family, widths, tags)
        except ValueError:
            continue


def expected(binding: Binding) -> Counter[tuple[int, ...]]:
    scales = binding.scheme.scale_leaf if binding.scheme else "none"
    return Counter(tensor.shape for tensor in synthesise(binding) if not tensor.name.endswith(scales))


def agrees(binding: Binding) -> bool:
    fields, wanted = dict(binding.config.fields), expected(binding)
    families = of_architecture(binding.arch.name)
    return any(wanted == counts for family in families for counts in told(family, fields))


@pytest.mark.parametrize("name", geometries())
def test_a_signature_tells_the_checkpoint_that_the_rows_tell(name: str) -> None:
    assert agrees(choose(geometry(name), None, 1, "BF16").binding)


@pytest.mark.parametrize("name", CONFIGS)
def test_it_does_so_at_a_size_where_hardly_any_two_widths_agree(name: str) -> None:
    every_other = {"expert_layer_period": 2, "expert_layer_offset": 1} if name == "jamba" else {}
    assert agrees(bind(name, **every_other))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"{family.name}: {family.tell}")
def test_every_line_of_a_signature_is_read(family: Family) -> None:
    assert len(family.roles) == len(family.text.strip().splitlines())
    assert all(role.names and role.shape for role in family.roles)
    named = {width for pair in (*family.multiples, *family.greater, *family.sums) for width in pair}
    assert named <= set(family.widths)
    assert family.unusual <= set(family.tags)


def test_two_families_of_one_text_would_be_one() -> None:
    texts = Counter(tuple(sorted(family.text.splitlines())) for family in FAMILIES)
    assert set(texts.values()) == {1}


@pytest.mark.parametrize(
    ("shape", "turned"), [((3, 5), (5, 3)), ((8, 3, 5), (8, 5, 3)), ((7,), (7,)), ((4, 1, 2), (4, 2, 1))]
)
def test_a_shape_and_the_shape_turned_are_one_key(shape: tuple[int, ...], turned: tuple[int, ...]) -> None:
    assert key(shape) == key(turned)


def test_a_line_without_a_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="has no shape"):
        _ = Family("x", ("X",), "norm @layer hidden", "").roles
