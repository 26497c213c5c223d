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
    log: bool = False,
    write: Callable[[float], str] = "{:.3g}".format,
    highlight: str | None = None,
) -> Axes:
    """Draw one horizontal bar a name, its number written at its end.

    `title` states what the picture shows, `label` names the quantity and its unit, `write` turns
    a number into the text beside its bar, and `highlight` is the one bar to stand out.
    Raises ``ValueError`` when there is nothing to draw.
    """
    if not values:
        raise ValueError("values is empty; give at least one name and number")
    names, numbers = list(values), list(values.values())
    if log and min(numbers) <= 0:
        raise ValueError(f"{min(numbers)} has no place on a log scale; use log=False")
    with sns.axes_style("ticks"):
        _, axes = plt.subplots(figsize=(7, 0.9 + 0.36 * len(names)), layout="constrained")
    colours = [BLUE if highlight in (None, name) else GREY for name in names]
    rows = range(len(names))
    drawn = axes.barh(rows, numbers, color=colours)
    if log:
        axes.set_xscale("log")
        axes.set_xlim(min(numbers) / 3, max(numbers) * 5)
        axes.xaxis.set_major_formatter(lambda number, _: write(number))
    else:
        axes.set_xlim(0, max(numbers) * 1.15 or 1)
    axes.bar_label(drawn, labels=[write(number) for number in numbers], padding=4)
    for text in axes.set_yticks(rows, names) and axes.get_yticklabels():
        text.set_parse_math(False)  # a dollar sign in a token is just a dollar sign
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.figure.suptitle(title, x=0.01, ha="left")
    sns.despine(ax=axes)
    return axes
