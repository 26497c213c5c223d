"""Static pictures in one style: seaborn on plain numbers, readable without colour."""

from __future__ import annotations

import math
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
    """Draw one horizontal bar a name from zero, its number written at its end.

    `title` states what the picture shows, `label` names the quantity and its unit, `write` turns
    a number into the text beside its bar, and `highlight` is the one bar to stand out.
    Raises ``ValueError`` when there is nothing to draw, or a number is not finite.
    """
    _check(values)
    axes, colours = _rows(values, title=title, label=label, highlight=highlight)
    drawn = axes.barh(range(len(values)), list(values.values()), color=colours)
    axes.bar_label(drawn, labels=[write(number) for number in values.values()], padding=4)
    lowest, highest = min(0, *values.values()), max(0, *values.values())
    room = 0.15 * (highest - lowest) or 1  # for the numbers beside the longest bars
    if lowest < 0:
        # The bars start inside the picture or at its right edge: a line shows where.
        axes.axvline(0, color="black", linewidth=0.8)
        sns.despine(ax=axes, left=True)
        axes.tick_params(axis="y", length=0)
    left = room if lowest < 0 else 0
    right = room if max(values.values()) >= 0 else 0
    axes.set_xlim(lowest - left, highest + right)
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
    Raises ``ValueError`` when there is nothing to draw, or a number is not finite and positive.
    """
    _check(values)
    if min(values.values()) <= 0:
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


def _check(values: Mapping[str, float]) -> None:
    if not values:
        raise ValueError("values is empty; give at least one name and number")
    for name, number in values.items():
        if not math.isfinite(number):
            raise ValueError(
                f"values[{name!r}]={number} has no place on an axis; "
                "leave it out or give a finite number"
            )


def _rows(
    values: Mapping[str, float], *, title: str, label: str, highlight: str | None
) -> tuple[Axes, list[str]]:
    """Make the frame that both have in common: a row a name, the first at the top."""
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
