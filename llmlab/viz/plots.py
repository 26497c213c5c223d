"""Static pictures in one style: seaborn on plain numbers, readable without colour."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

BLUE, GREY = "#0072B2", "#999999"  # told apart with every kind of colour vision
# Colour, marker and line of each group: they differ without colour, too.
_STYLES = ((BLUE, "o", "-"), ("#D55E00", "s", "--"), ("#009E73", "^", ":"), ("#444444", "D", "-."))


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


def grouped_bars(
    groups: Mapping[str, Mapping[str, float]],
    *,
    title: str,
    label: str,
    write: Callable[[float], str] = "{:.3g}".format,
) -> Axes:
    """Draw up to four horizontal bars a name, one of each group, such as before and after.

    All groups have the same names, in the order of the first. Other arguments as in `bars`; a
    legend names the groups. Raises ``ValueError`` for too many groups or none, for names that are
    not the same, and for numbers that are negative or not finite.
    """
    _check_groups(groups)
    names = list(next(iter(groups.values())))
    for group, values in groups.items():
        if set(values) != set(names):
            differing = sorted(set(values) ^ set(names))
            raise ValueError(
                f"{group!r} and {next(iter(groups))!r} differ in {differing}; give each group a "
                "number for every name"
            )
        _check(values)
        if min(values.values()) < 0:
            raise ValueError(f"{group!r} holds {min(values.values())}; groups begin at zero")
    with sns.axes_style("ticks"):
        height = 1.1 + (0.1 + 0.14 * len(groups)) * len(names)
        figure, axes = plt.subplots(figsize=(7, height), layout="constrained")
    thickness = 0.8 / len(groups)
    for number, (group, values) in enumerate(groups.items()):
        rows = [row + (number - (len(groups) - 1) / 2) * thickness for row in range(len(names))]
        lengths = [values[name] for name in names]
        colour = _STYLES[number][0]
        hatch = ("", "///", "...", "xx")[number]
        drawn = axes.barh(
            rows, lengths, thickness, color=colour, hatch=hatch, edgecolor="white", label=group
        )
        axes.bar_label(drawn, labels=[write(length) for length in lengths], padding=3, fontsize=7)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1.15 * max(max(values.values()) for values in groups.values()) or 1)
    axes.set_xlabel(label)
    figure.suptitle(title, x=0.01, ha="left")
    where = {"loc": "lower right", "bbox_to_anchor": (1, 1)}  # between the title and the bars
    legend = axes.legend(ncols=len(groups), frameon=False, borderaxespad=0.2, **where)
    for text in (*axes.get_yticklabels(), *legend.get_texts()):
        text.set_parse_math(False)
    sns.despine(ax=axes)
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


def heatmap(
    table: np.ndarray, *, title: str, label: str, rows: str, columns: str, zoom: float = 1
) -> Axes:
    """Draw a table of numbers (rows, columns) as coloured squares, the first row at the top.

    `label` names what the colours mean, `rows` and `columns` what is counted along the sides. If
    there are numbers below zero, zero is white, and two colours tell the signs apart. `zoom`
    makes the picture larger. Raises ``ValueError`` for a table that is not of two axes, that is
    empty, or that holds a number that is not finite.
    """
    table = np.asarray(table, dtype=float)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"table has shape {table.shape}; give it rows and columns, one at least")
    if not np.isfinite(table).all():
        row, column = (int(place) for place in np.argwhere(~np.isfinite(table))[0])
        raise ValueError(
            f"table[{row}, {column}]={table[row, column]} has no colour; give finite numbers"
        )
    signed = table.min() < 0
    farthest = np.abs(table).max()
    figure, axes = plt.subplots(figsize=(6.4 * zoom, 3.6 * zoom), layout="constrained")
    sns.heatmap(
        table,
        ax=axes,
        cmap="vlag" if signed else "cividis",
        vmin=-farthest if signed else None,
        vmax=farthest if signed else None,
        cbar_kws={"label": label},
    )
    axes.tick_params(axis="y", rotation=0)
    axes.set(xlabel=columns, ylabel=rows)
    figure.suptitle(title, x=0.01, ha="left")
    return axes


def curves(
    lines: Mapping[str, Sequence[float]],
    *,
    title: str,
    x: str,
    y: str,
    at: Sequence[float] | None = None,
) -> Axes:
    """Draw up to four lines over the same places, each with its name at its right end.

    Where lines end so close together that their names would cover each other, a legend has them.
    `x` and `y` name the axes and their units; `at` are the places, 0, 1, 2, … if left out.
    Raises ``ValueError`` for too many lines or none, for a line that is empty or does not have
    a number for each place, and for numbers that are not finite.
    """
    _check_groups(lines)
    longest = max(len(line) for line in lines.values())
    places = list(range(longest)) if at is None else list(at)
    for name, line in lines.items():
        if not len(line) or len(line) != len(places):
            raise ValueError(f"{name!r} has {len(line)} numbers for {len(places)} places")
        _check({f"{name}, {place}": number for place, number in zip(places, line, strict=True)})
    with sns.axes_style("ticks"):
        figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
    names = []
    for (name, line), (colour, _, dashes) in zip(lines.items(), _STYLES, strict=False):
        axes.plot(places, line, dashes, color=colour, linewidth=2, label=name)
        text = axes.annotate(
            name,
            (places[-1], line[-1]),
            xytext=(6, 0),
            textcoords="offset points",
            color=colour,
            va="center",
        )
        text.set_parse_math(False)
        names.append(text)
    axes.set(xlabel=x, ylabel=y)
    axes.grid(axis="y", color="#eeeeee")
    figure.suptitle(title, x=0.01, ha="left")
    sns.despine(ax=axes)
    _or_a_legend(axes, names)
    return axes


def _or_a_legend(axes: Axes, names: list[Annotation]) -> None:
    """Put the names of lines into a legend if they cover each other at the lines' ends."""
    axes.figure.canvas.draw()  # only now it is known where things stand
    boxes = [text.get_window_extent() for text in names]
    if any(_common_area(one, other) for one, other in itertools.combinations(boxes, 2)):
        for text in names:
            text.remove()
        for text in axes.legend(frameon=False).get_texts():
            text.set_parse_math(False)


def scatter(
    groups: Mapping[str, Mapping[str, Sequence[float]]], *, title: str, x: str = "", y: str = ""
) -> Axes:
    """Draw named points (x, y) in up to four groups, each with a colour and a shape of its own.

    One step is equally long in both directions, so distances can be compared by eye. Names are
    put beside their points, where they cover each other least. Raises ``ValueError`` for too many
    groups or none, an empty group, and numbers that are not finite.
    """
    _check_groups(groups)
    for name, members in groups.items():
        if not members:
            raise ValueError(f"{name!r} has no points; leave it out or give it one")
        _check(
            {
                f"{word}, {axis}": n
                for word, at in members.items()
                for axis, n in zip("xy", at, strict=True)
            }
        )
    with sns.axes_style("ticks"):
        figure, axes = plt.subplots(figsize=(7, 4.6), layout="constrained")
    for (name, members), (colour, marker, _) in zip(groups.items(), _STYLES, strict=False):
        across, up = zip(*members.values(), strict=True)
        axes.scatter(across, up, color=colour, marker=marker, s=45, label=name)
    axes.margins(0.12)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xlabel=x, ylabel=y)
    axes.legend(frameon=False)
    figure.suptitle(title, x=0.01, ha="left")
    sns.despine(ax=axes)
    _name_points(axes, {word: at for members in groups.values() for word, at in members.items()})
    return axes


def _name_points(axes: Axes, points: Mapping[str, Sequence[float]]) -> None:
    """Write each name to the right, left, top or bottom of its point, where most room is."""
    sides = ((8, 0, "left"), (-8, 0, "right"), (0, 11, "center"), (0, -11, "center"))
    axes.figure.canvas.draw()  # only now it is known where things stand
    taken = [text.get_window_extent() for text in axes.get_legend().get_texts()]
    dots = axes.transData.transform(list(points.values()))
    taken += [_box(dot, 6) for dot in dots]
    for word, at in points.items():
        tried: list[tuple[float, int, Annotation]] = []
        for number, (right, up, align) in enumerate(sides):
            text = axes.annotate(
                word,
                tuple(at),
                xytext=(right, up),
                textcoords="offset points",
                ha=align,
                va="center",
            )
            text.set_parse_math(False)
            box = text.get_window_extent()
            covered = sum(_common_area(box, other) for other in taken)
            tried.append((covered, number, text))
        best = min(tried)[2]
        taken.append(best.get_window_extent())
        for _, _, text in tried:
            if text is not best:
                text.remove()


def _box(centre: np.ndarray, radius: float) -> Bbox:
    return Bbox([centre - radius, centre + radius])


def _common_area(one: Bbox, other: Bbox) -> float:
    common = Bbox.intersection(one, other)
    return common.width * common.height if common else 0.0


def _check_groups(groups: Mapping) -> None:
    if not 1 <= len(groups) <= len(_STYLES):
        raise ValueError(
            f"{len(groups)} cannot be told apart by colour and shape; give 1 to {len(_STYLES)}"
        )


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
