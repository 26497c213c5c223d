"""The still picture of the attention explorer: one head in detail, beside all of them."""

# L layers, H heads, T query position, S key position

import io
import unicodedata
import warnings
from dataclasses import dataclass

import numpy as np

from llmlab.viz.attention_reading import Part
from llmlab.viz.next_token import readable

_LONGEST_LABEL = 14
_MOST_LABELS = 48  # along a side; of longer texts every second, third, … token is named
_MASKED = {"facecolor": "#e4e4e4", "edgecolor": "#9a9a9a", "hatch": "////", "linewidth": 0}
_CHOSEN = "#D55E00"
_WEIGHTS, _DIFFERENCES, _STATISTICS = "cividis", "RdBu_r", "cividis"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What an explorer shows: a head of a part; with another text's part, this less the other."""

    text: str
    part: Part
    layer: int
    head: int
    statistic: str
    scale: str = "fixed"
    several_parts: bool = False  # so that the part must be named
    off: tuple[tuple[int, int], ...] = ()
    other_text: str = ""
    other: Part | None = None

    @property
    def name(self) -> str:
        """The chosen head, or mean, in words."""
        if self.layer == -1:
            return "mean over all layers and heads"
        if self.head == -1:
            return f"layer {self.layer}, mean over its heads"
        return f"layer {self.layer}, head {self.head}"

    def drawn(self) -> np.ndarray:
        """What is drawn, (T, S): weights, as shares of their row's largest, or a difference."""
        own_TS = self.part.map_of(self.layer, self.head)
        if self.other is not None:
            other_TS = self.other.map_of(self.layer, self.head)
            T, S = np.minimum(own_TS.shape, other_TS.shape)
            return own_TS[:T, :S] - other_TS[:T, :S]
        if self.scale == "row":
            return own_TS / own_TS.max(axis=1, keepdims=True)
        return own_TS

    def tokens(self, side: str) -> list[str]:
        """Labels of the "queries" or "keys"; both texts' where they differ."""
        tokens = getattr(self.part, side)
        if self.other is None:
            return [_label(token) for token in tokens]
        return [
            _label(token) if token == other else f"{_label(other, 9)} | {_label(token, 9)}"
            for token, other in zip(tokens, getattr(self.other, side), strict=False)
        ]

    def in_words(self) -> str:
        """What the picture says, for those who do not see it."""
        map_TS = self.part.map_of(self.layer, self.head)
        query, key = np.unravel_index(map_TS.argmax(), map_TS.shape)
        return (
            f"Attention weights of {self.name}, {self.part.name}: {len(self.part.queries)} queries "
            f"by {len(self.part.keys)} keys. The largest is {map_TS[query, key]:.2f}, from "
            f"“{readable(self.part.queries[query])}” to “{readable(self.part.keys[key])}”."
        )


def draw(shown: Shown, form: str) -> bytes:
    """The picture as a file of this form: "png" or "svg"."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    values_LH = shown.part.statistics.get(shown.statistic)
    rows, columns = shown.tokens("queries"), shown.tokens("keys")
    # Places in inches: matplotlib's own layout would draw everything twice.
    width, height = 7.2 if values_LH is None else 10.7, 6.0
    top = height - (0.5 if shown.other is None else 0.75)
    figure = Figure(figsize=(width, height), dpi=100)

    def axes(left, bottom, right, top):
        return figure.add_axes(
            (left / width, bottom / height, (right - left) / width, (top - bottom) / height)
        )

    head = axes(0.55 + _widest(rows), 0.55 + _widest(columns), 6.1, top)
    bottom = top - min(4.0, 0.9 * (top - 0.55 - _widest(columns)))
    _draw_head(figure, head, axes(6.2, bottom, 6.4, top), shown)
    if values_LH is not None:
        top -= 0.25
        overview, bar = axes(7.9, 0.55, 9.7, top), axes(9.8, top - 4.0, 9.95, top)
        _draw_overview(figure, overview, bar, shown, values_LH)
    part = f" ({_ending(shown.part.name)})" if shown.several_parts else ""
    title = f"{shown.name}{part}, on “{_ending(shown.text)}”"
    if shown.other is not None:
        title += f"\nless “{_ending(shown.other_text)}”"
    title = title[0].upper() + title[1:]
    figure.text(0.01, 0.98, title, ha="left", va="top", fontsize=11, parse_math=False)
    buffer = io.BytesIO()
    # The same picture is the same file: no date, and names that do not change.
    options = {"metadata": {"Date": None}} if form == "svg" else {}
    with warnings.catch_warnings(), rc_context({"svg.hashsalt": "llmlab"}):
        warnings.simplefilter("ignore")  # glyphs that the font lacks are drawn as boxes
        figure.savefig(buffer, format=form, **options)
    return buffer.getvalue()


def _draw_head(figure, axes, bar, shown: Shown) -> None:
    map_TS = shown.drawn()
    difference = shown.other is not None
    if difference:
        farthest = max(float(np.abs(map_TS).max()), 1e-6)
        scale = {"cmap": _DIFFERENCES, "vmin": -farthest, "vmax": farthest}
        label = "difference of the weights"
    else:
        scale = {"cmap": _WEIGHTS, "vmin": 0, "vmax": 1}
        label = "weight" if shown.scale == "fixed" else "weight, as a share of its row's largest"
    image = axes.imshow(map_TS, aspect="auto", interpolation="nearest", **scale)
    if shown.part.causal:
        _draw_mask(axes, len(map_TS))
    figure.colorbar(image, cax=bar, label=label)
    _name_places(axes.xaxis, shown.tokens("keys"), rotation=90)
    _name_places(axes.yaxis, shown.tokens("queries"), rotation=0)
    axes.set(xlabel="key: who is looked at", ylabel="query: who looks")


def _draw_mask(axes, size: int) -> None:
    """Cover what lies above the diagonal, in steps of one cell."""
    if size < 2:
        return
    across, down = [0.5], [-0.5]
    for place in range(1, size):
        across += [place - 0.5, place + 0.5]
        down += [place - 0.5, place - 0.5]
    across += [size - 0.5, size - 0.5]
    down += [size - 1.5, -0.5]
    axes.fill(across, down, **_MASKED)
    if size > 3:
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        axes.annotate(
            "masked", (1, 1), (-6, -6), "axes fraction", "offset points",
            ha="right", va="top", fontsize=9, color="#333333", bbox=box,
        )  # fmt: skip


def _draw_overview(figure, axes, bar, shown: Shown, values_LH: np.ndarray) -> None:
    from matplotlib.patches import Rectangle

    image = axes.imshow(values_LH, aspect="auto", interpolation="nearest", cmap=_STATISTICS)
    unit = f"{shown.statistic} (bits)" if shown.statistic == "entropy" else shown.statistic
    unit = readable(unit).replace("␣", " ")
    figure.colorbar(image, cax=bar).set_label(unit, parse_math=False)
    for layer, head in shown.off:
        axes.plot(head, layer, marker="x", color="white", markersize=9, markeredgewidth=4)
        axes.plot(head, layer, marker="x", color="black", markersize=8, markeredgewidth=2)
    L, H = values_LH.shape
    top, height = (shown.layer, 1) if shown.layer >= 0 else (0, L)
    first, width = (shown.head, 1) if shown.head >= 0 else (0, H)
    axes.add_patch(
        Rectangle(
            (first - 0.5, top - 0.5), width, height, fill=False, ec=_CHOSEN, lw=2.5, clip_on=False
        )
    )
    from matplotlib.ticker import MaxNLocator

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=10))
    title = "all heads" + (", × switched off" if shown.off else "")
    axes.set(xlabel="head", ylabel="layer")
    axes.set_title(title, fontsize=10)


def _name_places(axis, labels: list[str], *, rotation: float) -> None:
    places = range(0, len(labels), -(-len(labels) // _MOST_LABELS))
    shown = [labels[place] for place in places]
    axis.set_ticks(places, shown, rotation=rotation, fontsize=_size(labels))
    for written in axis.get_ticklabels():
        written.set_parse_math(False)  # a dollar sign in a token is just a dollar sign


def _label(token: str, longest: int = _LONGEST_LABEL) -> str:
    label = readable(token)
    return label if len(label) <= longest else f"{label[: longest - 1]}…"


def _widest(labels: list[str]) -> float:
    """About how many inches the longest label takes."""
    wide = [sum(unicodedata.east_asian_width(c) in "WF" for c in label) for label in labels]
    cells = max(len(label) + more for label, more in zip(labels, wide, strict=True))
    return 0.1 + 0.078 * cells * _size(labels) / 9


def _size(labels: list[str]) -> int:
    return 9 if len(labels) <= 24 else 7


def _ending(text: str, longest: int = 70) -> str:
    text = readable(text).replace("␣", " ") if text else ""
    return text if len(text) <= longest else f"…{text[-longest:]}"
