"""TokenValues: the tokens of one text, coloured by what is said of each of them.

All numbers are sent once; the browser changes between them by itself (token_values.js), and tells
Python which of them are shown.
"""

import io
import math
import numbers
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import anywidget
import numpy as np
import traitlets

from llmlab.viz.arrays import strings
from llmlab.viz.next_token import readable

_FULL = "#D55E00"  # the colour of yes, and of the largest number; token_values.js has the same
_MOST_TINT = 0.6
_PICTURE_CELLS, _PICTURE_ROWS = 84, 8
_LONGEST_LABEL = 24

Values = Sequence[bool | float | None]


class TokenValues(anywidget.AnyWidget):
    """A text as tokens, each with a colour and a number for what is asked about it.

    ``values`` maps a name, such as "loss before", to one entry a token: True or False, or a number
    from 0 up, or None where there is nothing to say. One name at a time is ``shown``, the first at
    the beginning; the person chooses among them. All rows of numbers have one scale, from 0 to the
    largest of them, so that they can be compared; ``unit`` is written behind numbers. Raises
    ``ValueError`` and ``TypeError`` for what does not fit.
    """

    _esm = Path(__file__).with_name("token_values.js")

    # The browser holds the newest choice; an echo could only bring back an older one.
    shown = traitlets.Unicode().tag(sync=True, echo_update=False)
    labels = traitlets.List(traitlets.Unicode(), read_only=True).tag(sync=True)
    breaks = traitlets.List(traitlets.Bool(), read_only=True).tag(sync=True)
    rows = traitlets.List(traitlets.Dict(), read_only=True).tag(sync=True)
    unit = traitlets.Unicode(read_only=True).tag(sync=True)

    def __init__(
        self,
        tokens: Sequence[str],
        values: Mapping[str, Values],
        *,
        unit: str = "nats",
        shown: str | None = None,
    ):
        tokens = strings(tokens, "tokens")
        if not tokens:
            raise ValueError("tokens=[] is empty; give at least one token")
        if not isinstance(values, Mapping) or not values:
            raise ValueError(
                f"values={values!r:.60} names nothing to show; give for example "
                '{"loss": [None, 2.5, …]}, one entry a token'
            )
        rows = [_row(str(name), row, len(tokens)) for name, row in values.items()]
        self.set_trait("labels", [_label(token) for token in tokens])
        self.set_trait("breaks", [token.endswith("\n") for token in tokens])
        self.set_trait("rows", rows)
        self.set_trait("unit", unit)
        super().__init__(shown=rows[0]["name"] if shown is None else shown)

    @property
    def largest(self) -> float:
        """The number that has the full colour."""
        return _largest(self.rows)

    @traitlets.validate("shown")
    def _validate_shown(self, proposal) -> str:
        names = [row["name"] for row in self.rows]
        if proposal.value not in names:
            raise ValueError(f"there is no {proposal.value!r} to show; use one of {names}")
        return proposal.value

    def __repr__(self) -> str:
        """The same on every machine: numbers differ in their last digits."""
        names = tuple(row["name"] for row in self.rows)
        return f"TokenValues({len(self.labels):,} tokens, {', '.join(map(repr, names))})"

    def _repr_mimebundle_(self, **kwargs):
        """The live view, and a picture for places without a kernel."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        data["text/plain"] = repr(self)
        data["image/png"] = _picture(self.labels, self.breaks, self.rows, self.unit)
        return data, metadata


def _row(name: str, values: Values, n_tokens: int) -> dict:
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
        raise TypeError(f"values[{name!r}]={values!r:.40} is no list; give one entry a token")
    if len(values) != n_tokens:
        raise ValueError(
            f"values[{name!r}] has {len(values)} entries for {n_tokens} tokens; give one a token, "
            "None where there is nothing to say"
        )
    said = [value for value in values if value is not None]
    kinds = {isinstance(value, bool | np.bool_) for value in said}
    if kinds == {True}:
        plain = [None if value is None else bool(value) for value in values]
        return {"name": name, "kind": "yes", "values": plain}
    for place, value in enumerate(values):
        if value is None:
            continue
        real = isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)
        if not real or not 0 <= value < math.inf:
            raise ValueError(
                f"values[{name!r}][{place}]={value!r} is no number from 0 up; give numbers, or "
                "True and False alone, and None where there is nothing to say"
            )
    plain = [None if value is None else float(value) for value in values]
    return {"name": name, "kind": "number", "values": plain}


def _largest(rows: Sequence[dict]) -> float:
    values = [
        value
        for row in rows
        if row["kind"] == "number"
        for value in row["values"]
        if value is not None
    ]
    return max(values, default=0.0)


def written(value: bool | float | None) -> str:
    """What stands below a token.

    >>> [written(value) for value in (True, False, None, 0.04, 2.35, 12.6)]
    ['✓', '', '', '0.0', '2.4', '13']
    """
    if value is None or value is False:
        return ""
    if value is True:
        return "✓"
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def _label(token: str) -> str:
    label = readable(token)
    return label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"


def _strength(value: bool | float | None, largest: float) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool):
        return float(value)
    return value / largest if largest else 0.0


def _lines(labels: Sequence[str], breaks: Sequence[bool]) -> list[list[tuple[int, float, float]]]:
    """Place, column and width of every token, line by line, as many as the picture has room for."""
    lines: list[list[tuple[int, float, float]]] = [[]]
    column = 0.0
    for place, (label, is_last) in enumerate(zip(labels, breaks, strict=True)):
        width = max(len(label), 2.6) + 0.9
        if column and column + width > _PICTURE_CELLS:
            lines.append([])
            column = 0.0
        if len(lines) > _PICTURE_ROWS:
            return lines[:_PICTURE_ROWS]
        lines[-1].append((place, column, width))
        column += width
        if is_last:
            lines.append([])
            column = 0.0
    return [line for line in lines if line][:_PICTURE_ROWS]


def _picture(
    labels: Sequence[str], breaks: Sequence[bool], rows: Sequence[dict], unit: str
) -> bytes:
    """All rows of values below each other, each with its name, as a PNG."""
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    lines = _lines(labels, breaks)
    colour, largest = np.array(to_rgb(_FULL)), _largest(rows)
    height = len(rows) * (len(lines) + 0.9)
    figure = Figure(figsize=(8, 0.3 + 0.4 * height), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(0, _PICTURE_CELLS + 1), ylim=(height, 0))
    axes.axis("off")
    texts = []
    style = {"ha": "center", "va": "center", "family": "monospace"}
    top = 0.0
    for row in rows:
        title = row["name"] if row["kind"] == "yes" else f"{row['name']} ({unit})"
        texts.append(axes.text(0.1, top + 0.5, title, fontsize=9.5, weight="bold", va="center"))
        top += 0.85
        for line in lines:
            for place, column, width in line:
                value = row["values"][place]
                fill = 1 - _MOST_TINT * _strength(value, largest) * (1 - colour)
                box = {"fc": fill, "ec": "#bbbbbb", "lw": 0.6}
                axes.add_patch(Rectangle((column + 0.1, top + 0.05), width - 0.2, 0.9, **box))
                middle = column + width / 2
                texts.append(axes.text(middle, top + 0.35, labels[place], fontsize=8.5, **style))
                texts.append(axes.text(middle, top + 0.76, written(value), fontsize=6.5, **style))
            top += 1
        top += 0.05
    # A token may hold dollar signs, which stand for themselves here.
    for text in texts:
        text.set_parse_math(False)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that the font lacks are drawn as boxes
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
