"""Static pictures in one style: seaborn on plain numbers, readable without colour."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes

BLUE, GREY = "#0072B2", "#999999"  # told apart with every kind of colour vision


def bars(
    values: Mapping[str, float],
    *,
    title: str,
    label: str,
    write: Callable[[float], str] = "{:.3g}".format,
    highlight: str | None = None,
) -> Axes:
    """Draw one horizontal bar a name, its number written at its end.

    `title` states what the picture shows, `label` names the quantity and its unit, `write` turns
    a number into the text beside its bar, and `highlight` is the one bar to stand out.
    Raises ``ValueError`` when there is nothing to draw.
    """
    axes, colours = _rows(values, title=title, label=label, highlight=highlight)
    drawn = axes.barh(range(len(values)), list(values.values()), color=colours)
    axes.bar_label(drawn, labels=[write(number) for number in values.values()], padding=4)
    axes.set_xlim(0, max(values.values()) * 1.15 or 1)
    return axes


def points(
    values: Mapping[str, float],
    *,
    title: str,
    label: str,
    write: Callable[[float], str] = "{:.3g}".format,
    highlight: str | None = None,
) -> Axes:
    """Draw one point a name on an axis where every labelled step is ten times more.

    Such an axis has no zero, so a bar would have no honest length. Arguments as in `bars`.
    Raises ``ValueError`` when there is nothing to draw, or a number that is not positive.
    """
    if values and min(values.values()) <= 0:
        raise ValueError(
            f"{min(values.values())} has no place on an axis of powers of ten; draw it with bars"
        )
    axes, colours = _rows(values, title=title, label=label, highlight=highlight)
    numbers = list(values.values())
    axes.scatter(numbers, range(len(numbers)), color=colours, s=60, zorder=2)
    for row, number in enumerate(numbers):
        axes.annotate(
            write(number), (number, row), xytext=(9, 0), textcoords="offset points", va="center"
        )
    axes.set_xscale("log")
    axes.set_xlim(min(numbers) / 3, max(numbers) * 5.5)
    axes.xaxis.set_major_formatter(lambda number, _: write(number))
    axes.grid(axis="x", color="#dddddd")
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)
    return axes


def _rows(
    values: Mapping[str, float], *, title: str, label: str, highlight: str | None
) -> tuple[Axes, list[str]]:
    """Make the frame that both have in common: a row a name, the first at the top."""
    if not values:
        raise ValueError("values is empty; give at least one name and number")
    with sns.axes_style("ticks"):
        figure, axes = plt.subplots(figsize=(7, 0.9 + 0.36 * len(values)), layout="constrained")
    axes.set_yticks(range(len(values)), list(values))
    for text in axes.get_yticklabels():
        text.set_parse_math(False)  # a dollar sign in a token is just a dollar sign
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.set_xlabel(label)
    figure.suptitle(title, x=0.01, ha="left")
    sns.despine(ax=axes)
    return axes, [BLUE if highlight in (None, name) else GREY for name in values]
