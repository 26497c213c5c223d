"""The still picture of a training run: curves, scores, and what the model made of sentences."""

import textwrap
from collections.abc import Mapping, Sequence

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from llmlab.viz.plots import BLUE

_WIDTH, _LOSS_HEIGHT, _SCORE_HEIGHT, _LINE_HEIGHT = 7.5, 3.3, 1.3, 0.165
_PALE, _GREY, _RED = "#9fc9e3", "#5f5f5f", "#D55E00"
_TEXT_COLUMNS = 96

Points = Sequence[tuple[int, float]]


def draw(
    *,
    title: str,
    label: str,
    losses: Points,
    means: Points,
    mean_name: str,
    baselines: Mapping[str, float],
    scores: Mapping[str, Points],
    samples: Mapping[int, Mapping[str, str]],
    log: bool,
    steps: tuple[int, int | None],
) -> Figure:
    """Draw what a board holds; `steps` are where the run begins and, if known, where it ends."""
    lines = sample_lines(samples)
    heights = [_LOSS_HEIGHT, *[_SCORE_HEIGHT] * len(scores)]
    heights += [_LINE_HEIGHT * len(lines)] if lines else []
    with sns.axes_style("ticks"):
        figure = Figure(figsize=(_WIDTH, sum(heights) + 0.6), dpi=100, layout="constrained")
        panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    top, *others = panels
    _draw_losses(top, losses, means, mean_name, baselines, log)
    top.set_ylabel(f"{label}, log scale" if log else label).set_parse_math(False)
    for panel, (name, points) in zip(others, scores.items(), strict=False):
        _draw_score(panel, name, points)
    curves = panels[: 1 + len(scores)]
    begin, end = steps
    end = max(
        [end or 0, begin + 1, *(points[-1][0] for points in (losses, *scores.values()) if points)]
    )
    for panel in curves:
        margin = 0.012 * (end - begin)
        panel.set_xlim(begin - margin, end + margin)
        panel.grid(axis="y", color="#eeeeee")
        sns.despine(ax=panel)
    for panel in curves[:-1]:
        panel.tick_params(labelbottom=False)
    curves[-1].set_xlabel("step")
    curves[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    curves[-1].xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
    if lines:
        _write_samples(panels[-1], lines)
    figure.suptitle(title, x=0.01, ha="left", wrap=True).set_parse_math(False)
    if losses:
        top.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=9)
    return figure


def _draw_losses(
    axes: Axes,
    losses: Points,
    means: Points,
    mean_name: str,
    baselines: Mapping[str, float],
    log: bool,
) -> None:
    if log:
        axes.set_yscale("log")
    for loss in baselines.values():
        axes.axhline(loss, color=_GREY, linestyle=(0, (5, 3)), linewidth=1.2)
    if losses:
        axes.plot(*zip(*losses, strict=True), color=_PALE, linewidth=0.9, label="each step")
    if means:
        axes.plot(*zip(*means, strict=True), color=BLUE, linewidth=2, label=mean_name)
    gaps = [step for step, loss in losses if loss != loss]
    if gaps:
        axes.plot(
            gaps,
            [0.02] * len(gaps),
            "x",
            color=_RED,
            transform=axes.get_xaxis_transform(),
            label="no number",
        )
    axes.autoscale_view()
    finite = [value for _, value in (*losses, *means) if value == value] + list(baselines.values())
    if finite and not log and min(finite) > 0:
        axes.set_ylim(bottom=0)
    _name_baselines(axes, baselines)


def _name_baselines(axes: Axes, baselines: Mapping[str, float]) -> None:
    """Each name in the margin beside its line, apart from its neighbours."""
    low, high = axes.get_ylim()
    room = 0.11  # two lines of small type, in heights of the panel
    scaled = axes.yaxis.get_transform().transform
    bottom, top = scaled([low, high])
    place = 1 + room
    for name, loss in sorted(baselines.items(), key=lambda item: -item[1]):
        height = (scaled([loss])[0] - bottom) / (top - bottom)
        place = min(height, place - room)
        words = textwrap.shorten(name, 44, placeholder="…") or "baseline"
        text = axes.annotate(
            "\n".join([*textwrap.wrap(words, 22)[:2]]) + f": {loss:.3g}",
            (1.015, place),
            xycoords="axes fraction",
            va="center",
            fontsize=8.5,
            color=_GREY,
            annotation_clip=False,
        )
        text.set_parse_math(False)


def _draw_score(axes: Axes, name: str, points: Points) -> None:
    axes.plot(*zip(*points, strict=True), "o-", color=BLUE, linewidth=1.5, markersize=4)
    axes.margins(y=0.25)
    step, value = points[-1]
    words = textwrap.shorten(name, 60, placeholder="…") or "score"
    text = axes.set_title(f"{words}: {value:.3g} at step {step:,}", loc="left", fontsize=10)
    text.set_parse_math(False)


def sample_lines(samples: Mapping[int, Mapping[str, str]]) -> list[tuple[str, bool]]:
    """Lines of text, and whether each is a heading: every sentence, then its moments in order.

    >>> sample_lines({0: {"Hi.": "a"}, 10: {"Hi.": "Hola."}})
    [('Hi.', True), ('    step 0:  a', False), ('    step 10:  Hola.', False)]
    """
    sentences = dict.fromkeys(sentence for texts in samples.values() for sentence in texts)
    lines = []
    for sentence in sentences:
        lines += [(line, True) for line in textwrap.wrap(sentence, _TEXT_COLUMNS) or ["(empty)"]]
        for moment, texts in samples.items():
            if sentence in texts:
                words = f"step {moment:,}:  {' '.join(texts[sentence].split()) or '(nothing)'}"
                wrapped = textwrap.wrap(
                    words, _TEXT_COLUMNS, initial_indent=" " * 4, subsequent_indent=" " * 8
                )
                lines += [(line, False) for line in wrapped]
    return lines


def _write_samples(axes: Axes, lines: Sequence[tuple[str, bool]]) -> None:
    axes.axis("off")
    for row, (line, heading) in enumerate(lines):
        text = axes.text(
            0,
            1 - (row + 0.5) / len(lines),
            line,
            transform=axes.transAxes,
            va="center",
            fontsize=8.5,
            fontweight="bold" if heading else "normal",
        )
        text.set_parse_math(False)
