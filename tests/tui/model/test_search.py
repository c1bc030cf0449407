"""Search over all names: what has the words as they are, else what has their letters; numbers are whole numbers."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mappings.names import blank, is_index
from tracer.checkpoint.tensor_info import TensorInfo
from tui.model import search
from tui.model.search import Search

SEGMENTS = ["h", "mlp", "q_proj", "k_proj", "W1", "w2", "norm", "weight", "bias"]
DTYPES = ["BF16", "F32"]


def of(*names: str, dtype: str = "BF16") -> Search:
    return Search([TensorInfo(name, dtype, (1,), "f", 0, 2) for name in names])


def found(names: Search, text: str) -> list[str]:
    positions = names.find(text)
    assert positions is not None
    return [names.infos[position].name for position in positions]


@st.composite
def checkpoints(draw: st.DrawFn) -> Search:
    segment = st.sampled_from(SEGMENTS) | st.integers(0, 12).map(str)
    name = st.lists(segment, min_size=1, max_size=5).map(".".join)
    names = draw(st.lists(name, min_size=1, max_size=25, unique=True))
    return Search([TensorInfo(name, draw(st.sampled_from(DTYPES)), (1,), "f", 0, 2) for name in names])


@st.composite
def questions(draw: st.DrawFn) -> tuple[Search, str]:
    """A piece of a name or two, numbers, letters that were left out, a dtype."""
    names = draw(checkpoints())
    words = []
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from([info.name for info in names.infos]))
        begin = draw(st.integers(0, len(name) - 1))
        piece = name[begin : draw(st.integers(begin + 1, len(name)))]
        kinds = [piece, piece.upper(), piece[::2], str(draw(st.integers(0, 12))), draw(st.sampled_from(DTYPES))]
        words.append(draw(st.sampled_from(kinds)))
    return names, " ".join(words)


def has(info: TensorInfo, word: str) -> bool:
    """As it is: numbers are whole segments, and letters are not looked for within numbers."""
    if word.lower() == info.dtype.lower():
        return True
    parts = [rf"(?<![^.]){part}(?![^.])" if is_index(part) else re.escape(part) for part in word.lower().split(".")]
    name = info.name.lower()
    numbers = [each.span() for each in re.finditer(r"(?<![^.])(0|[1-9]\d*)(?![^.])", name)]
    for match in re.finditer(r"\.".join(parts), name):
        begin, end = match.span()
        if all((begin <= a and b <= end) or b <= begin or end <= a for a, b in numbers):
            return True
    return False


def in_order(letters: str, text: str) -> bool:
    rest = iter(text)
    return all(letter in rest for letter in letters)


@given(questions())
def test_what_has_every_word_as_it_is_is_found_and_then_nothing_else(question: tuple[Search, str]) -> None:
    names, text = question
    assume(all(word.strip(".") for word in text.split()))
    exact = {info.name for info in names.infos if all(has(info, word) for word in text.split())}
    positions = found(names, text)
    assert len(positions) == len(set(positions))
    if exact:
        assert set(positions) == exact
    for name in positions:
        template, numbers = blank(name.lower())
        for word in text.lower().split():
            plain, own = blank(word)
            assert set(own) <= set(numbers)
            assert word in ("bf16", "f32") or in_order(plain, template)


@settings(max_examples=50)
@given(checkpoints(), st.data())
def test_by_its_letters_what_has_them_closest_is_found_first(names: Search, data: st.DataObject) -> None:
    word = data.draw(st.sampled_from([info.name.lower()[::step] for info in names.infos for step in (2, 3)]))
    plain = blank(word)[0]
    spans = [_span(plain, blank(name.lower())[0]) for name in found(names, word)]
    assert spans == sorted(spans) and (-1 not in spans or set(spans) == {-1})


def _span(word: str, template: str) -> int:
    """Letters between those of the word, where they stand closest: by trying every piece of the name."""
    if word in template:
        return -1
    pieces = ((a, b) for a in range(len(template)) for b in range(a + len(word), len(template) + 1))
    return min(b - a - len(word) for a, b in pieces if in_order(word, template[a:b]))


@settings(max_examples=40)
@given(checkpoints())
def test_each_name_is_found_by_itself_and_nothing_is_looked_for_without_words(names: Search) -> None:
    for info in names.infos:
        assert info.name in found(names, info.name)
    assert names.find("") is None and names.find("  ") is None


LAYERS = of(*(f"model.layers.{layer}.mlp.experts.{expert}.w{n}.weight" for layer in range(3) for expert in range(13)
              for n in (1, 2)), "model.norm.weight")  # fmt: skip


@pytest.mark.parametrize(("text", "count"), [
    ("w1", 39), ("w1 2", 15), ("w1 2 12", 1), ("experts.12", 6), ("layers.2", 26), ("layers.2 experts.2", 2),
    ("2.mlp.experts.12", 2), ("layers.2.mlp.experts.1.w1", 1), ("layers 12", 6), ("ayers.1", 26), ("12", 6),
    ("99", 0), ("norm 2", 0), ("NORM", 1), ("mdlnrm", 1), ("bf16", 79), ("f32", 0), ("02", 0), ("1234567890123", 0),
])  # fmt: skip
def test_numbers_are_those_of_the_name_beside_what_they_were_typed_beside(text: str, count: int) -> None:
    assert len(found(LAYERS, text)) == count


def test_what_has_the_letters_is_found_where_what_has_the_word_lacks_the_number() -> None:
    """Seven is a layer of the one and not of the other."""
    names = of("a.exp.1.w", "b.e_x_p.7.w")
    assert found(names, "exp") == ["a.exp.1.w"] and found(names, "exp 7") == ["b.e_x_p.7.w"]


def test_tensors_of_one_template_may_have_several_dtypes() -> None:
    names = Search([TensorInfo(f"h.{n}.w", ("BF16", "F32", "F8_E4M3")[n % 3], (1,), "f", 0, 2) for n in range(9)])
    assert found(names, "f32") == ["h.1.w", "h.4.w", "h.7.w"]
    assert found(names, "F8_E4M3 w") == ["h.2.w", "h.5.w", "h.8.w"]
    assert found(names, "bf16 3") == ["h.3.w"]


def test_of_many_names_only_the_templates_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    leaves = [f"{part}.{leaf}" for part in ("gate_proj", "up_proj", "down_proj") for leaf in ("weight", "scale")]
    names = [f"model.layers.{n}.mlp.experts.{m}.{leaf}" for n in range(60) for m in range(50) for leaf in leaves]
    whole, asked = of(*names), 0
    compare = search._apart

    def counted(word: str, name: str) -> int:
        nonlocal asked
        asked += 1
        return compare(word, name)

    monkeypatch.setattr(search, "_apart", counted)
    for text, count in (("up 59", 2 * 50), ("gpwt", 3000), ("layers.7 scale", 150), ("zz", 0)):
        asked = 0
        assert len(found(whole, text)) == count
        assert asked <= len(leaves) * 2
