"""Names that no edit of segments turns into those of the rows: without their leaf, or another word in a few layers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from mappings.findings import Finding
from mappings.names import blank, collapse
from mappings.synth import synthesise
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.names import bindings
from tracer.diagnose.hypothesis import Hypothesis, Wording
from tracer.diagnose.state import State
from tracer.diagnose.trial import Trial
from tracer.repair.changes import Rename

_SHOWN = {"tensor.unmapped", "param.unfilled"}
_MOST_NAMES = 4_096
"""More than these are wrong in another way."""
Shapes = Mapping[str, tuple[int, ...]]


def propose(case: Case) -> Iterator[Hypothesis]:
    """Where as many names are nobody's as rows have no tensor, and shapes agree."""
    state = case.state
    if state.plan is None or not state.codes >= _SHOWN:
        return
    for binding in bindings(state):
        wanted = {each.name: tuple(each.shape) for each in synthesise(binding)}
        strangers = [name for name in state.names if name not in wanted][:_MOST_NAMES]
        missing = {name: wanted[name] for name in wanted.keys() - set(state.names)}
        if leafless := _leafless(strangers, missing, state.shapes):
            yield Hypothesis(_put_behind(leafless), (Rename(leafless),))
        for renamed in _beside_peers(strangers, missing, state):
            yield Hypothesis(_as_peers(renamed, state), (Rename(renamed),))


def _leafless(strangers: Sequence[str], missing: Shapes, shapes: Shapes) -> dict[str, str]:
    """Names that are those of a module: `mlp.down_proj` is its weight."""
    found = {}
    for name in strangers:
        whole = f"{name}.weight"
        if whole in missing and shapes.get(name, missing[whole]) == missing[whole]:
            found[name] = whole
    return found


def _put_behind(renamed: Mapping[str, str]) -> Wording:
    def worded(trial: Trial) -> Finding:
        first, new = next(iter(renamed.items()))
        edit, counted = "put `.weight` behind", f"{len(renamed)} of {len(renamed)} map, 0 collisions"
        return Finding(
            "name.rewrite", "error", first,
            f"{edit} {', '.join(text for text, _ in collapse(list(renamed)))}: {counted}; these are names of modules,"
            f" and their weights have none of their own: `{first}` is then `{new}`",
            {"edit": edit, "mapped": len(renamed), "of": len(renamed), "collisions": 0},
            f"{edit} these names ({counted})",
        )  # fmt: skip

    return worded


def _beside_peers(strangers: Sequence[str], missing: Shapes, state: State) -> list[dict[str, str]]:
    """By word: the only stranger of a home, leaf and shape, where one tensor of these is missing that peers have."""
    here = {blank(name)[0] for name in state.names}
    places: dict[tuple[str, str, tuple[int, ...]], tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for name in strangers:
        if (shape := state.shapes.get(name)) is not None and blank(name)[1]:
            places[(*_place(name), shape)][0].append(name)
    for name, shape in missing.items():
        if blank(name)[0] in here:
            places[(*_place(name), shape)][1].append(name)
    pairs = [(own[0], lost[0]) for own, lost in places.values() if len(own) == len(lost) == 1]
    by_word: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for name, new in pairs:
        by_word[_word(name), _word(new)][name] = new
    return list(by_word.values())


def _place(name: str) -> tuple[str, str]:
    """What holds the module, and the leaf."""
    module, _, leaf = name.rpartition(".")
    return module.rpartition(".")[0], leaf


def _word(name: str) -> str:
    """The last segment of its module."""
    return name.split(".")[-2]


def _as_peers(renamed: Mapping[str, str], state: State) -> Wording:
    def worded(trial: Trial) -> Finding:
        first, new = next(iter(renamed.items()))
        peers = [name for name in state.names if blank(name)[0] == blank(new)[0]]
        edit = f"replace `{_word(first)}` by `{_word(new)}`"
        count = f"{len(renamed)} of {len(renamed)} map, 0 collisions"
        return Finding(
            "name.rewrite", "error", first,
            f"{', '.join(text for text, _ in collapse(list(renamed)))}: {edit}: {count}; the same tensor, of the same"
            f" shape, is {collapse(peers)[0][0]} in the {len(peers)} other layers; `{first}` is then `{new}`",
            {"edit": edit, "mapped": len(renamed), "of": len(renamed), "collisions": 0, "peers": len(peers)},
            f"{edit} there ({count})",
        )  # fmt: skip

    return worded
