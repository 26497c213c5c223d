"""Attention weights and scores as labelled squares, several panels on one scale of colours."""

# N panels, T query position, S key position

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Patch
from matplotlib.textpath import text_to_path

from llmlab.viz.arrays import plain, strings
from llmlab.viz.next_token import readable

_MOST_TOKENS = 200
_MOST_ROWS = 1000  # of cells, all panels together
_MOST_WRITTEN = 12  # tokens along a side, if there are numbers in the cells
_LONGEST_LABEL = 16
_MASKED = {"facecolor": "#e4e4e4", "edgecolor": "#9a9a9a", "hatch": "////", "linewidth": 0}
# Inches.
_ROOM_ACROSS, _GAP, _SMALLEST_CELL = 9.2, 0.15, 0.11


def _two_digits(number: float) -> str:
    return f"{round(number, 2) + 0.0:.2f}"  # no minus before a zero


def attention_heatmap(
    weights: np.ndarray | Mapping[str, np.ndarray],
    tokens: Sequence[str],
    *,
    title: str,
    keys: Sequence[str] | None = None,
    causal: bool = False,
    mask: np.ndarray | None = None,
    label: str = "attention weight",
    limits: tuple[float, float] | None = None,
    write: Callable[[float], str] | None = _two_digits,
) -> Axes | list[Axes]:
    """Draw how much each query (a row) looks at each key (a column), masked cells as masked.

    `weights` is one table (T, S), and an ``Axes`` comes back; or a mapping from names to tables,
    or an array (N, T, S), drawn as panels beside and below each other, and a list comes back.
    Arrays and tensors are both welcome. `tokens` are the T queries, `keys` the S keys (the tokens
    themselves if left out). Cells above the diagonal with `causal`, and those where `mask` (T, S)
    is False, are drawn as masked whatever they hold; only there may a score be minus infinity.

    All panels share one scale of colours: 0 to 1 if all numbers lie in there, from the least to
    the greatest otherwise, around zero if there are negative ones, or `limits`, which says both
    ends. `write` turns a number into the text in its cell, up to 12 tokens; None writes none.

    Raises ``ValueError`` for shapes that do not fit, NaN and infinity, nothing to draw, and more
    than the eye can take in: 200 tokens, or 1,000 rows of cells in all panels together.
    """
    panels, several = _panels(weights)
    table_NTS = np.array(list(panels.values()))
    rows = _labels(tokens, "tokens", table_NTS.shape[1], "rows")
    columns = _labels(keys if keys is not None else tokens, "keys", table_NTS.shape[2], "columns")
    seen_TS = _seen(table_NTS.shape[1:], causal=causal, mask=mask)
    _check_numbers(panels, seen_TS)
    low, high = _limits(table_NTS[:, seen_TS], limits)
    layout = _Layout(len(panels), rows, columns, legend=not seen_TS.all(), title=title)
    drawn = []
    for number, (name, table_TS) in enumerate(panels.items()):
        axes = layout.axes(number)
        sns.heatmap(
            table_TS,
            ax=axes,
            mask=~seen_TS,
            cmap="vlag" if low < 0 else "cividis",
            vmin=low,
            vmax=high,
            cbar=False,
            xticklabels=False,
            yticklabels=False,
        )
        axes.patch.set(**_MASKED)
        layout.label(axes, number, name if several else "")
        if write is not None and max(table_TS.shape) <= _MOST_WRITTEN:
            _write_numbers(axes, table_TS, seen_TS, write, layout.cell)
        drawn.append(axes)
    inside = table_NTS[:, seen_TS]
    below, above = inside.min() < low, inside.max() > high
    extend = {(0, 0): "neither", (0, 1): "max", (1, 0): "min", (1, 1): "both"}[below, above]
    bar = layout.figure.colorbar(
        drawn[0].collections[0], cax=layout.bar(), label=label, extend=extend
    )
    bar.outline.set_visible(False)
    return drawn if several else drawn[0]


# --- what is drawn -------------------------------------------------------------------------------


def _panels(weights) -> tuple[dict[str, np.ndarray], bool]:
    """Tables by name, and whether there are several places for them."""
    if isinstance(weights, Mapping):
        panels = {str(name): plain(table, f"weights[{name!r}]") for name, table in weights.items()}
        several = True
    else:
        tables = plain(weights, "weights")
        several = tables.ndim == 3
        panels = {str(n): table for n, table in enumerate(tables)} if several else {"": tables}
    if not panels:
        raise ValueError("weights holds no panel; give one table of weights at least")
    first = next(iter(panels.values())).shape
    for name, table_TS in panels.items():
        what = f"weights[{name!r}]" if isinstance(weights, Mapping) else "weights"
        if table_TS.ndim != 2 or not table_TS.size:
            raise ValueError(
                f"{what} has shape {np.shape(weights) if what == 'weights' else table_TS.shape}; "
                "give a table (queries, keys), or several of them (panels, queries, keys): one "
                "layer of one text is attention[layer][text]"
            )
        if table_TS.shape != first:
            raise ValueError(
                f"{what} has shape {table_TS.shape}, the first panel {first}; panels share their "
                "tokens, so draw tables of different shapes one by one"
            )
    longest = max(first)
    if longest > _MOST_TOKENS or len(panels) * first[0] > _MOST_ROWS:
        raise ValueError(
            f"{len(panels)} x {first[0]} x {first[1]} cells are more than a picture can show; draw "
            f"at most {_MOST_TOKENS} tokens and {_MOST_ROWS:,} rows in all panels together, or "
            "look at them in an AttentionExplorer"
        )
    return panels, several


def _labels(tokens: Sequence[str], name: str, count: int, what: str) -> list[str]:
    tokens = strings(tokens, name)
    if len(tokens) != count:
        hint = "; queries and keys differ, so give keys=" if name == "keys" else ""
        raise ValueError(
            f"{len(tokens)} {name} cannot label {count} {what}; give one for each{hint}"
        )
    return [_label(token) for token in tokens]


def _seen(shape: tuple[int, int], *, causal: bool, mask) -> np.ndarray:
    """True where a query may look."""
    seen_TS = np.ones(shape, dtype=bool)
    if causal:
        if shape[0] != shape[1]:
            raise ValueError(
                f"causal=True needs as many keys as queries, not {shape[0]} queries and "
                f"{shape[1]} keys; say with mask which keys each query may look at"
            )
        seen_TS = np.tri(shape[0], dtype=bool)
    if mask is not None:
        if hasattr(mask, "detach"):
            mask = mask.detach().cpu()
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape != shape:
            raise ValueError(
                f"mask has shape {mask.shape} and holds {mask.dtype}; give booleans of shape "
                f"{shape}, True where a query may look"
            )
        seen_TS = seen_TS & mask
    if not seen_TS.any():
        raise ValueError("mask hides every cell; let a query look at one key at least")
    return seen_TS


def _check_numbers(panels: Mapping[str, np.ndarray], seen_TS: np.ndarray) -> None:
    for name, table_TS in panels.items():
        masked_TS = ~seen_TS & np.isneginf(table_TS)
        wrong = np.argwhere(~np.isfinite(table_TS) & ~masked_TS)
        if len(wrong):
            row, column = (int(place) for place in wrong[0])
            where = f" of panel {name!r}" if name else ""
            number = table_TS[row, column]
            masked, other = "say with causal or mask where it is masked", "find where it comes from"
            raise ValueError(
                f"weights[{row}, {column}]={number}{where} has no colour; "
                f"{masked if np.isneginf(number) else other}"
            )


def _limits(numbers: np.ndarray, limits: tuple[float, float] | None) -> tuple[float, float]:
    if limits is not None:
        low, high = limits
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"limits={limits} are no two rising numbers; give for example (0, 1)")
        return low, high
    low, high = float(numbers.min()), float(numbers.max())
    if low < 0:
        farthest = max(-low, high)
        return -farthest, farthest
    if high <= 1 + 1e-6:  # weights; their rounding may lead over 1
        return 0.0, 1.0
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _write_numbers(axes, table_TS, seen_TS, write, cell: float) -> None:
    """Numbers in their cells, black or white, whichever is told apart better."""
    texts = {place: write(float(table_TS[place])) for place in zip(*seen_TS.nonzero(), strict=True)}
    widest = max(_width(text, 1.0) for text in texts.values())
    size = min(10.0, 0.84 * 72 * cell / max(widest, 1e-9))
    if size < 5.5:
        return
    mesh = axes.collections[0]
    for (row, column), text in texts.items():
        channels = np.array(mesh.to_rgba(table_TS[row, column])[:3])
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        light = linear @ (0.2126, 0.7152, 0.0722)  # WCAG's relative luminance
        axes.text(
            column + 0.5,
            row + 0.5,
            text,
            ha="center",
            va="center",
            fontsize=size,
            color="black" if light > 0.179 else "white",
            parse_math=False,
        )


# --- where it stands -----------------------------------------------------------------------------


class _Layout:
    """Places for square cells of one size, measured in inches, with room for every label."""

    def __init__(
        self, count: int, rows: list[str], columns: list[str], *, legend: bool, title: str
    ):
        self.rows, self.columns = rows, columns
        self.cell, self.across = _cell_size(count, len(rows), len(columns))
        self.down = -(-count // self.across)
        self.count = count
        self.size = min(10.0, max(5.5, 0.78 * 72 * self.cell))  # of the labels, in points
        self.width, self.height = len(columns) * self.cell, len(rows) * self.cell
        widest = max(_width(text, self.size) for text in columns) / 72
        self.upright = widest > 0.9 * self.cell
        below = (widest if self.upright else self.size / 72) + 0.1
        self.left = max(_width(text, self.size) for text in rows) / 72 + 0.42
        self.name = 0.3 if count > 1 else 0.1
        self.pitch = (self.width + _GAP, self.name + self.height + below)
        self.bottom = 0.3 + 0.3 * legend + below
        bar = 0.95
        across = max(4.8, self.left + self.across * self.pitch[0] + bar)
        lines = _wrapped(title, 72 * (across - 0.2), plt.rcParams["figure.titlesize"])
        top = 0.12 + 0.22 * len(lines)
        self.top = self.bottom - below + self.down * self.pitch[1]  # of the panels with their names
        self.across_inches, self.down_inches = across, self.top + top
        self.figure: Figure = plt.figure(figsize=(across, self.down_inches))
        self.figure.suptitle(
            "\n".join(lines), x=0.1 / across, y=1 - 0.08 / self.down_inches, ha="left", va="top"
        ).set_parse_math(False)
        if legend:
            self.figure.legend(
                handles=[Patch(**_MASKED, label="masked: the query may not look there")],
                loc="lower left",
                bbox_to_anchor=((self.left - 0.05) / across, 0.02 / self.down_inches),
                frameon=False,
                borderpad=0,
                borderaxespad=0.2,
                fontsize=9,
            )

    def _place(self, x: float, y: float, width: float, height: float) -> Axes:
        across, down = self.across_inches, self.down_inches
        return self.figure.add_axes((x / across, y / down, width / across, height / down))

    def axes(self, number: int) -> Axes:
        """The frame of a panel, counted row by row."""
        row, column = divmod(number, self.across)
        x = self.left + column * self.pitch[0]
        y = self.top - row * self.pitch[1] - self.name - self.height
        return self._place(x, y, self.width, self.height)

    def bar(self) -> Axes:
        """The frame of the bar of colours, to the right of the first row."""
        x = self.left + self.across * self.pitch[0]
        height = min(self.height, 4.0)
        axes = self._place(x, self.top - self.name - height, 0.14, height)
        axes.tick_params(labelsize=9)
        return axes

    def label(self, axes: Axes, number: int, name: str) -> None:
        """Tokens along the sides; the queries once a row of panels."""
        ticks = np.arange(len(self.columns)) + 0.5
        axes.set_xticks(ticks, self.columns, rotation=90 if self.upright else 0)
        column = number % self.across
        if column == 0:
            axes.set_yticks(np.arange(len(self.rows)) + 0.5, self.rows)
        axes.tick_params(length=0, pad=3, labelsize=self.size)
        for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            text.set_parse_math(False)  # a dollar sign in a token is just a dollar sign
        if column == 0:
            axes.set_ylabel("query: who looks" if self.height > 1.3 else "queries")
            axes.yaxis.set_label_coords(-(self.left - 0.3) / self.width, 0.5)
        if number + self.across >= self.count:
            axes.set_xlabel("key: who is looked at" if self.width > 1.6 else "keys")
        if name:
            longest = max(4, int(self.width * 72 / 6))
            short = _shortened(_drawable(name), longest)
            axes.set_title(short, fontsize=10, pad=4, loc="left").set_parse_math(False)


def _cell_size(count: int, rows: int, columns: int) -> tuple[float, int]:
    """Inches of a cell's side, and how many panels stand beside each other."""
    longest = max(rows, columns)
    alone = min(0.62, max(0.15 if longest <= 60 else 0.12, 4.2 / longest))
    if count == 1:
        return alone, 1
    fitting = int(_ROOM_ACROSS / (columns * _SMALLEST_CELL + _GAP))
    across = min(count, 4, max(1, fitting))
    across = -(-count // -(-count // across))  # rows of panels as even as possible
    each = (_ROOM_ACROSS / across - _GAP) / columns
    return min(alone, max(_SMALLEST_CELL, each)), across


def _label(token: str) -> str:
    return _shortened(_drawable(readable(token)), _LONGEST_LABEL)


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _drawable(text: str) -> str:
    """The text with what the font has no picture of written out."""
    fonts = [
        get_font(findfont(FontProperties(family=[family])))
        for family in FontProperties().get_family()
    ]
    return "".join(
        character
        if any(font.get_char_index(ord(character)) for font in fonts)
        else f"\\u{ord(character):04x}"
        for character in text
    )


def _width(text: str, size: float) -> float:
    """Points that a text takes in the font of the figure."""
    properties = FontProperties(size=size)
    return text_to_path.get_text_width_height_descent(text, properties, ismath=False)[0]


def _wrapped(title: str, room: float, size: float | str) -> list[str]:
    """Lines that fit into so many points."""
    size = FontProperties(size=size).get_size_in_points()
    lines: list[str] = []
    for paragraph in title.splitlines():
        line = ""
        for word in _drawable(paragraph).split(" "):
            longer = f"{line} {word}" if line else word
            if line and _width(longer, size) > room:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return lines
