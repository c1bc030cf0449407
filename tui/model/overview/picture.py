"""The model as a row of boxes: words go in at the left or at the top, layers of one kind are one box."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mappings.names import HOLE, runs
from tracer.infer.names import Group, Structure
from tracer.report.words import plural
from tui.model.columns import cut, fitted, wide
from tui.model.line import Line, Span, line
from tui.model.overview.kinds import Kind, kinds
from tui.model.overview.values import Value, Values
from tui.model.overview.widths import Width, attention_fits, mlp_width

_MOST_KINDS = 6
_SHORT = 24
_ARROW = " → "
_TABLES = ("embed", "positions", "types")
_ATTENTION = ("q", "k", "v", "qkv", "out")
_MLP = ("up", "gate", "gate_up", "down")
_MOST_WIDTHS = 3
"""Of weights that differ between layers, in one box."""


@dataclass(frozen=True)
class Box:
    """A frame with a title in its upper edge."""

    title: str
    rows: tuple[Line, ...]
    framed: bool = True
    """Whether it is worth a frame where lines are scarce."""

    @property
    def width(self) -> int:
        """Of the whole box."""
        inner = max((wide("".join(s.text for s in row)) for row in self.rows), default=0)
        return max(inner + 4, wide(self.title) + 6)

    def lines(self, width: int, height: int) -> Iterator[Line]:
        """So many cells wide, with so many rows between its edges."""
        title = cut(self.title, max(width - 6, 0))
        rest = max(width - 5 - wide(title), 0)
        yield line(Span("╭─ ", "dim"), Span(title, "strong"), Span(f" {'─' * rest}╮", "dim"))
        for number in range(height):
            row = fitted(self.rows[number], max(width - 4, 0)) if number < len(self.rows) else ()
            gap = width - 4 - sum(wide(span.text) for span in row)
            yield line(Span("│ ", "dim"), *row, Span(f"{' ' * gap} │", "dim"))
        yield line(Span(f"╰{'─' * (width - 2)}╯", "dim"))


def picture(names: Structure, values: Values, width: int) -> Iterator[Line]:
    """Beside each other where there is room, else below each other."""
    boxes = [box for box in (_words(names, values), *_layers(names, values), _end(names, values)) if box.rows]
    if sum(box.width for box in boxes) + len(_ARROW) * (len(boxes) - 1) <= width:
        yield from _beside(boxes)
    else:
        yield from _below(boxes, width)


def _beside(boxes: Sequence[Box]) -> Iterator[Line]:
    height = max(len(box.rows) for box in boxes)
    columns = [list(box.lines(box.width, height)) for box in boxes]
    for number in range(height + 2):
        joint = Span(_ARROW if number == 1 else " " * len(_ARROW), "dim")
        spans: list[Span] = []
        for column in columns:
            spans += [*([joint] if spans else []), *column[number]]
        yield tuple(spans)


def _below(boxes: Sequence[Box], width: int) -> Iterator[Line]:
    common = min(max(box.width for box in boxes), width)
    for number, box in enumerate(boxes):
        if number:
            yield line(Span("     ↓", "dim"))
        if box.framed:
            yield from box.lines(common, len(box.rows))
        else:
            yield from (line("  ", *row) for row in box.rows)


# --- what stands in them ---


Labelled = tuple[str, tuple[Span, ...]]


def _words(names: Structure, values: Values) -> Box:
    """The tables that are looked up."""
    groups = [group for group in names.groups if not group.stack and group.role in _TABLES and _is_weight(group)]
    return Box("words", _aligned([(group.role, tuple(_shape(group, values))) for group in groups]), framed=False)


def _aligned(rows: Sequence[Labelled]) -> tuple[Line, ...]:
    """Labels in a column."""
    longest = max((wide(label) for label, _ in rows), default=0)
    return tuple(line(label + " " * (longest - wide(label) + 2), *spans) for label, spans in rows)


def _is_weight(group: Group) -> bool:
    return group.leaf in ("weight", "", "qweight", "blocks", "weight_packed")


def _shape(group: Group, values: Values) -> Iterator[Span]:
    """As the header has it, or as the rows make it up where no header is here."""
    stored = values.subject.tensor(group.template)
    shape = group.shape if group.shape is not None or stored is None else stored.shape
    if shape is None:
        yield Span("of a shape that is not known", "unsure")
        return
    for number, extent in enumerate(shape):
        yield from ([Span(" × ")] if number else [])
        yield Span(f"{extent:,}", "number")


def _layers(names: Structure, values: Values) -> Iterator[Box]:
    found = kinds(names, lambda name: info.shape if (info := values.subject.tensor(name)) else None)
    drawn = [_aligned(list(_rows(kind, values))) for kind in found]
    for kind, rows in zip(found[:_MOST_KINDS], drawn, strict=False):
        # Two boxes that say the same must say what tells them apart.
        apart = (line(Span(kind.differs, "dim")),) if kind.differs and drawn.count(rows) > 1 else ()
        yield Box(_title(kind), (*rows, *apart))
    if more := found[_MOST_KINDS:]:
        layers = runs(layer for kind in more for layer in kind.layers)
        yield Box(f"{len(more)} more kinds of layers", (line(layers),))


def _title(kind: Kind) -> str:
    count = len(kind.layers)
    draft = ", drafting tokens" if "next_token" in kind.roles else ""
    if count == 1:
        return f"layer {kind.layers[0]}{draft}"
    which = runs(kind.layers).replace("..", "-")
    # Of many pieces the end may have no room: what counts stands first.
    return f"layers {which} ×{count}{draft}" if len(which) <= _SHORT else f"{count} layers{draft}: {which}"


def _rows(kind: Kind, values: Values) -> Iterator[Labelled]:
    """What a layer of this kind computes, as far as its modules are known."""
    roles = kind.roles
    if own := _own_attention(kind, values):
        yield "attention", tuple(_shapes(own))
    elif "out_gate" in roles:
        yield "linear attention", tuple(_times(values.get("heads"), values.get("head_dim"), "heads"))
    elif roles & {"q", "k", "qkv", "kv_a", "out"}:
        yield "attention", tuple(_attention(kind, values))
    if roles & {"lin_out", "lin_qkv", "lin_qkvz"}:
        yield "linear attention", tuple(_times(values.get("lin_heads"), values.get("lin_dim"), "heads"))
    if "ssm_in" in roles:
        yield "state space", tuple(_state(values))
    if roles & {"cross_q", "cross_kv"}:
        yield "cross attention", ()
    if roles & {"up", "gate_up", "gate"}:
        gated = ", gated" if roles & {"gate", "gate_up"} else ""
        yield "mlp", (*_mlp(kind, values), Span(gated))
    if any(role.startswith("expert") for role in roles):
        yield "experts", tuple(_experts(kind, values))
    if kind.strange:
        shown = ", ".join(module.replace("{}", "*") for module in kind.strange[:3])
        more = f" and {len(kind.strange) - 3} more" if len(kind.strange) > 3 else ""
        yield "other", (Span(shown + more, "unsure"),)
    yield from _more(kind)


def _own_attention(kind: Kind, values: Values) -> list[Width]:
    """The weights of attention where they have other heads than the model is said to have."""
    own = [width for width in kind.widths if width.role in _ATTENTION]
    hidden, heads, kv, dim = (_number(values, name) for name in ("hidden", "heads", "kv_heads", "head_dim"))
    return [] if all(attention_fits(width, hidden, heads, kv, dim) for width in own) else own


def _number(values: Values, name: str) -> int:
    found = values.get(name)
    return found.value if found is not None and type(found.value) is int else 0


def _mlp(kind: Kind, values: Values) -> Iterator[Span]:
    own = [width for width in kind.widths if width.role in _MLP]
    if not own:
        yield from _one(values.get("ffn"))
        return
    width = mlp_width(own, _number(values, "hidden"))
    yield from _shapes(own) if width is None else [Span(f"{width:,}", "number")]


def _more(kind: Kind) -> Iterator[Labelled]:
    """Weights that differ between layers and that no other row tells."""
    rest = [width for width in kind.widths if width.role not in (*_ATTENTION, *_MLP)]
    for width in rest[:_MOST_WIDTHS]:
        yield width.module.replace(HOLE, "*"), tuple(_extents(width))
    if more := rest[_MOST_WIDTHS:]:
        yield f"{len(more)} more", (Span("that differ between layers", "dim"),)


def _shapes(found: Sequence[Width]) -> Iterator[Span]:
    """`q_proj 2,048 × 4,096, k_proj 512 × 4,096`."""
    for number, width in enumerate(found[:_MOST_WIDTHS]):
        yield Span(f"{', ' * bool(number)}{width.module.rpartition('.')[2]} ")
        yield from _extents(width)
    if more := found[_MOST_WIDTHS:]:
        yield Span(f" and {len(more)} more")


def _extents(width: Width) -> Iterator[Span]:
    first, *others = width.shapes
    yield Span(" × ".join(f"{extent:,}" for extent in first) or "one number", "number")
    yield from [Span(f" and {plural(len(others), 'other shape')}", "dim")] if others else []


def _one(value: Value | None) -> Iterator[Span]:
    yield value.span if value else Span("?", "unsure")


def _times(one: Value | None, other: Value | None, what: str) -> Iterator[Span]:
    """`32 heads × 128`, without what is not known."""
    yield from _one(one)
    yield Span(f" {what}")
    if other is not None:
        yield Span(" × ")
        yield other.span


def _attention(kind: Kind, values: Values) -> Iterator[Span]:
    heads, kv = values.get("heads"), values.get("kv_heads")
    if "kv_a" in kind.roles:
        yield from _one(heads)
        yield Span(" heads, latent ")
        yield from _one(values.get("kv_rank"))
        yield Span(" + ")
        yield from _one(values.get("rope"))
        return
    yield from _times(heads, values.get("head_dim"), "heads")
    if kv is not None and heads is not None and kv.value != heads.value:
        yield Span(", ")
        yield kv.span
        yield Span(" KV")


def _state(values: Values) -> Iterator[Span]:
    if inner := values.get("inner"):
        yield inner.span
        yield Span(" wide, ")
    yield Span("state ")
    yield from _one(values.get("state"))


def _experts(kind: Kind, values: Values) -> Iterator[Span]:
    yield from _times(values.get("experts"), values.get("moe_ffn"), "experts")
    if active := values.get("active"):
        yield Span(", ")
        yield active.span
        yield Span(" a token")
    if any(role.startswith("shared") for role in kind.roles):
        shared = values.get("shared")
        yield Span(", ")
        yield from [shared.span, Span(" shared")] if shared else [Span("one shared")]


def _end(names: Structure, values: Values) -> Box:
    """What follows the last layer; a model without a head gives its hidden states."""
    norms = [g for g in names.groups if not g.stack and g.role == "norm" and g.leaf == "weight"]
    heads = [g for g in names.groups if not g.stack and g.role in ("head", "classes") and _is_weight(g)]
    tie = values.get("tie")
    tied = (Span(", and tied", "warn"),) if tie is not None and tie.value is True else ()
    rows: list[Labelled] = [
        (group.module, (*_shape(group, values), *(tied if group.role == "head" else ()))) for group in (*norms, *heads)
    ]
    if not heads and tie is not None and tie.value is True:
        mark = "≈ " if tie.role == "inferred" else ""
        rows.append(("head", (Span(f"{mark}= embed, tied", "derived"),)))
    elif not heads:
        rows.append(("head", (Span("none is stored", "unsure"),)))
    return Box("head" if heads or tie else "end", _aligned(rows), framed=False)
