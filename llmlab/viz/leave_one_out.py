"""LeaveOneOut: a text box that tells its class, and which of its words moved the answer.

The kernel answers each text (text_box.py) with what a classifier says of it, and of it without each
of its words: a reading {probability, words}. Colours and numbers are made in the browser
(leave_one_out.js).
"""

import io
import math
import numbers
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import traitlets

from llmlab.viz.text_box import TextBox
from llmlab.viz.texts import shortened

_LEAST = 1e-6  # probabilities nearer to 0 or 1 are taken for this, or no odds could be compared
_MOST_BARS = 8
_TOWARDS, _AWAY = "#D55E00", "#0072B2"

Reading = tuple[float, list[tuple[str, float]]]


class LeaveOneOut(TextBox):
    """A text box, the probability of a class, and the text with its words coloured.

    ``read(text)`` returns the probability of the second class, and a list of the words of the
    text, each with the probability of the text without it; all words together, with the spaces
    that stand before them, are the text. A ``ValueError`` that it raises is shown to the person
    who types. ``labels`` names the two classes; from ``threshold`` on the text belongs to the
    second. A word can be taken out by a click or by the keyboard, and put back. ``text`` can be
    set at any time. Raises ``ValueError`` for what ``read`` may not return.
    """

    _esm = Path(__file__).with_name("leave_one_out.js")

    reading = traitlets.Dict().tag(sync=True)
    labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    threshold = traitlets.Float().tag(sync=True)

    def __init__(
        self,
        read: Callable[[str], Reading],
        *,
        text: str = "Win a free prize! Call now.",
        labels: Sequence[str] = ("ham", "spam"),
        threshold: float = 0.5,
    ):
        if not callable(read):
            raise TypeError(
                f"read={read!r} is not a function; pass one that takes a text and returns a "
                "probability and a list of (word, probability without it)"
            )
        labels = list(labels)
        if len(labels) != 2 or not all(isinstance(label, str) and label for label in labels):
            raise ValueError(f'{labels=} must be two names; use for example ("ham", "spam")')
        super().__init__(read, text=text, labels=labels, threshold=threshold)

    def influences(self) -> list[tuple[str, float]]:
        """The words, and by how much each raises the log-odds of the second class.

        Raises ValueError when ``read`` refused the present text.
        """
        with self._lock:
            error, reading = self.answer["error"], self.reading
        if error:
            raise ValueError(error)
        whole = log_odds(reading["probability"])
        return [(word, whole - log_odds(without)) for word, without in reading["words"]]

    @traitlets.validate("threshold")
    def _validate_threshold(self, proposal) -> float:
        if not 0 < proposal.value < 1:
            raise ValueError(f"threshold={proposal.value} is not between 0 and 1; use 0.5")
        return proposal.value

    def _state_of(self, returned: object, text: str) -> dict:
        return {"reading": _checked_reading(returned, text)}

    def __repr__(self) -> str:
        """The same on every machine: probabilities differ in their last digits."""
        return f"LeaveOneOut(text={shortened(self.text)!r}, labels={tuple(self.labels)})"

    def _repr_mimebundle_(self, **kwargs):
        """The live view, and a picture for places without a kernel."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        data["text/plain"] = repr(self)
        if not self.answer["error"]:
            data["image/png"] = _picture(
                self.text, self.reading["probability"], self.influences(), self.labels
            )
        return data, metadata


def log_odds(probability: float) -> float:
    """ln(p / (1 - p)), with p kept a millionth away from 0 and 1.

    >>> log_odds(0.5), round(log_odds(0.75), 3), log_odds(1.0) == -log_odds(0.0)
    (0.0, 1.099, True)
    """
    kept = min(max(probability, _LEAST), 1 - _LEAST)
    return math.log(kept) - math.log1p(-kept)


def _checked_reading(raw: object, text: str) -> dict:
    call = f"read({shortened(text)!r})"
    try:
        probability, words = raw
        words = [(word, without) for word, without in words]
    except (TypeError, ValueError):
        raise ValueError(
            f"{call} returned {shortened(repr(raw))}; return a probability and a list of pairs "
            "(word, probability without it)"
        ) from None
    for number in (probability, *(without for _, without in words)):
        if not isinstance(number, numbers.Real) or not 0 <= number <= 1:
            raise ValueError(f"{call} returned {number!r} for a probability; give 0 to 1")
    if not all(isinstance(word, str) for word, _ in words):
        raise ValueError(f"{call} returned a word that is no text; give each as a str")
    if "".join(word for word, _ in words) != text:
        raise ValueError(
            f"{call} returned words that are not the text when they are joined; "
            "leave the spaces on them"
        )
    return {
        "probability": float(probability),
        "words": [[word, float(without)] for word, without in words],
    }


def _picture(
    text: str, probability: float, influences: list[tuple[str, float]], labels: Sequence[str]
) -> bytes:
    """The words that move the answer most, in the order of the text, as a PNG."""
    from matplotlib.figure import Figure

    strongest = sorted(influences, key=lambda pair: -abs(pair[1]))[:_MOST_BARS]
    shown = [pair for pair in influences if pair in strongest][:_MOST_BARS]
    rows = range(len(shown))
    figure = Figure(figsize=(6.4, 1.5 + 0.27 * len(shown)), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    colours = [_TOWARDS if moved > 0 else _AWAY for _, moved in shown]
    hatches = ["" if moved > 0 else "//" for _, moved in shown]
    moves = [moved for _, moved in shown]
    drawn = axes.barh(rows, moves, color=colours, hatch=hatches, edgecolor="white")
    axes.bar_label(drawn, fmt="%+.1f", padding=3)
    axes.set_yticks(rows, [shortened(word.strip(), 24) for word, _ in shown])
    axes.invert_yaxis()
    farthest = max((abs(moved) for moved in moves), default=1) or 1
    axes.set_xlim(-1.3 * farthest, 1.3 * farthest)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel(f"towards {labels[0]}  ←  log-odds  →  towards {labels[1]}")
    axes.spines[["top", "right", "left"]].set_visible(False)
    said = shortened(" ".join(text.split()), 30)
    title = axes.set_title(f"“{said}”: {labels[1]} with {100 * probability:.0f} %", wrap=True)
    # A text may hold dollar signs, which stand for themselves here.
    for written in (title, axes.xaxis.label, *axes.get_yticklabels()):
        written.set_parse_math(False)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that the font lacks are drawn as boxes
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
