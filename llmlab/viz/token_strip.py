"""TokenStrip: a text as coloured tokens, after any number of a tokenizer's merges.

The vocabulary and the rule for cutting are sent once; the browser cuts and merges by itself
(token_strip.js), and tells Python the text and the number of merges when the person pauses.
"""

import io
import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path

import anywidget
import numpy as np
import traitlets

from llmlab.viz.cutting import Cutter
from llmlab.viz.next_token import readable

# Okabe and Ito's colours, which people with every kind of colour vision tell apart, less black
# and the darker blue and red; token_strip.js has the same.
_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#D55E00")
_TINT = 0.38
_PICTURE_CELLS, _PICTURE_ROWS = 84, 12
_LONGEST_LABEL = 24


class TokenStrip(anywidget.AnyWidget):
    """A text box and its text as coloured tokens; a slider over the number of merges recolours it.

    ``vocabulary`` holds the bytes of every token in the order of the ids, ``b""`` for special
    tokens, which no text produces; its tokens of two and more bytes are the merges, in order.
    ``pattern`` says how a text is cut before any merging (`llmlab.viz.cutting.javascript_pattern`
    tells what it may hold). ``text`` and ``merges`` (0 to all of them, which is the default) can
    be set at any time, and follow what the person types and moves.
    """

    _esm = Path(__file__).with_name("token_strip.js")

    # The browser holds the newest text and merges; an echo could only bring back older ones.
    text = traitlets.Unicode().tag(sync=True, echo_update=False)
    merges = traitlets.Int().tag(sync=True, echo_update=False)
    rule = traitlets.Unicode(read_only=True).tag(sync=True)
    vocabulary = traitlets.Bytes(read_only=True).tag(sync=True)

    def __init__(
        self,
        vocabulary: Sequence[bytes],
        *,
        pattern: str,
        text: str = "The capital of France is Paris.",
        merges: int | None = None,
    ):
        self._cutter = Cutter(vocabulary, pattern=pattern)
        self.set_trait("rule", self._cutter.rule)
        self.set_trait("vocabulary", _packed(self._cutter.vocabulary))
        super().__init__(text=text, merges=self._cutter.merges if merges is None else merges)

    def tokens(self) -> list[tuple[int, bytes]]:
        """Id and bytes of every token of the present text after the present number of merges."""
        return self._cutter.tokens(self.text, merges=self.merges)

    @traitlets.validate("text")
    def _validate_text(self, proposal) -> str:
        # Half a surrogate pair cannot travel as utf-8; it becomes the replacement character.
        return proposal.value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    @traitlets.validate("merges")
    def _validate_merges(self, proposal) -> int:
        if not 0 <= proposal.value <= self._cutter.merges:
            raise ValueError(
                f"merges={proposal.value} is not between 0 and {self._cutter.merges:,}, the number "
                "of merges in this vocabulary; give a number from there"
            )
        return proposal.value

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 60 else f"{self.text[:60]}…"
        size = len(self._cutter.vocabulary)
        return f"TokenStrip(text={text!r}, merges={self.merges:,}, vocabulary={size:,} tokens)"

    def _repr_mimebundle_(self, **kwargs):
        """The live view, and a picture for places without a kernel."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        data["text/plain"] = repr(self)
        data["image/png"] = _picture(self.text, self.tokens(), self.merges)
        return data, metadata


def colours(ids: Sequence[int]) -> list[int]:
    """The place of every token's colour in the palette; neighbours always differ.

    >>> colours([7, 8, 7, 7])
    [1, 2, 1, 2]
    """
    places: list[int] = []
    for number in ids:
        place = number % len(_COLOURS)
        if places and places[-1] == place:
            place = (place + 1) % len(_COLOURS)
        places.append(place)
    return places


def _packed(vocabulary: Sequence[bytes]) -> bytes:
    """The number of tokens, their lengths, all as little-endian uint32, and then their bytes."""
    numbers = np.array([len(vocabulary), *map(len, vocabulary)], dtype="<u4")
    return numbers.tobytes() + b"".join(vocabulary)


def _label(token: bytes) -> str:
    """The token as people read it; bytes that are no whole character show as ``\\xf0``."""
    label = readable(token.decode("utf-8", errors="backslashreplace"))
    return label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"


def _cells(label: str) -> int:
    """How many columns of a typewriter a label takes."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in label)
    return len(label) + wide - sum(unicodedata.combining(character) > 0 for character in label)


def _placed(tokens: Sequence[tuple[int, bytes]]) -> list[tuple[int, int, int, str]]:
    """Row, first column, columns and label of every token that the picture has room for."""
    row = column = 0
    placed = []
    for number, token in tokens:
        label = _label(token)
        # The id is written in small digits below the label.
        width = max(_cells(label), 0.75 * len(str(number))) + 1
        if column and column + width > _PICTURE_CELLS:
            row, column = row + 1, 0
        if row == _PICTURE_ROWS:
            break
        placed.append((row, column, width, label))
        column += width
        if token.endswith(b"\n"):
            row, column = row + 1, 0
    return placed


def _picture(text: str, tokens: Sequence[tuple[int, bytes]], merges: int) -> bytes:
    """The tokens in their colours as a PNG."""
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    placed = _placed(tokens[: _PICTURE_CELLS * _PICTURE_ROWS])
    rows = max((row for row, *_ in placed), default=0) + 1
    figure = Figure(figsize=(8, 0.6 + 0.42 * rows), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(0, _PICTURE_CELLS + 2), ylim=(rows, 0))
    axes.axis("off")
    written = []
    for (row, column, width, label), (number, _), place in zip(
        placed, tokens, colours([number for number, _ in tokens]), strict=False
    ):
        edge = np.array(to_rgb(_COLOURS[place]))
        fill = 1 - _TINT * (1 - edge)
        axes.add_patch(Rectangle((column + 0.1, row + 0.06), width - 0.2, 0.88, fc=fill, ec=edge))
        style = {"ha": "center", "va": "center", "family": "monospace"}
        middle = column + width / 2
        written.append(axes.text(middle, row + 0.34, label, fontsize=9, **style))
        axes.text(middle, row + 0.76, str(number), fontsize=6.5, **style)
    more = len(tokens) - len(placed)
    count = f"{len(tokens):,} token{'s' * (len(tokens) != 1)} after {merges:,} merges"
    title = f"{count}; the first {len(placed):,} of them" if more else count
    axes.set_title(f"{title}, {len(text):,} character{'s' * (len(text) != 1)}")
    # A token may hold dollar signs, which stand for themselves here.
    for words in written:
        words.set_parse_math(False)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that the font lacks are drawn as boxes
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
