"""EmbeddingMap: words on the plane that shows most of how they differ, with their neighbours.

The browser gets all words and vectors once, rounded to 16 bits, and needs no kernel afterwards
(embedding_map.js). The words on the map travel both ways in one small trait:

    marks {shown, fitted}    lists of words and sums, each a list of pairs of a sign and an id
"""

# V vocabulary, N words on the map, C width, P places for a label

import io
import json
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import anywidget
import numpy as np
import traitlets

from llmlab.viz.next_token import readable
from llmlab.viz.word_space import Plane, Terms, WordSpace, fit_plane

MOST_SHOWN = 200
MOST_NEIGHBOURS = 8  # beside the map
_FEWEST_FITTED = 3
_YOURS = "yours"
_SUM = "sums"
_SHOWN_CHARACTERS = 24
# The colours tell groups apart with every kind of colour vision, the shapes without colour.
_STYLES = (("#0072B2", "o"), ("#C04F00", "s"), ("#00795A", "^"), ("#A03C78", "D"), ("#7A5C00", "v"))
_YOURS_STYLE, _SUM_STYLE = ("#4D4D4D", "o"), ("#4D4D4D", "*")
MOST_GROUPS = len(_STYLES)


class EmbeddingMap(anywidget.AnyWidget):
    """A map of words: type more of them, look at one to see its nearest neighbours.

    ``vectors`` holds one row of C numbers for each of the V distinct ``words``. ``shown`` are the
    words on the map (at most 200), without it those of ``groups``, a dict of at most five lists
    of words that get a colour and a shape each. A word is looked for as it is written, then in
    lower case. A sum such as ``"king - man + woman"`` is a word too: it adds vectors of length 1.

    Every vector counts with length 1. The plane goes through the mean of the words it was
    ``fitted`` to, along their first two principal components, and stays when words come or go:
    one sees where a new word falls, and no other word moves beside the rest (the map may zoom
    out). It is fitted again by ``fit()`` or its button, and by itself while fewer than three of
    the words it was fitted to are shown.

    ``shown`` and ``fitted`` can be set at any time (to a new list: an ``append`` goes unnoticed)
    and follow what is done in the browser.
    Raises ``ValueError`` for unknown words (with near spellings), for words that repeat, and for
    vectors that are not finite or all zeros.
    """

    _esm = Path(__file__).with_name("embedding_map.js")

    shown = traitlets.List(traitlets.Unicode())
    fitted = traitlets.List(traitlets.Unicode())
    # The browser holds the newest words; an echo could only bring back older ones.
    marks = traitlets.Dict().tag(sync=True, echo_update=False)
    vocabulary = traitlets.Bytes().tag(sync=True)
    vectors = traitlets.Bytes().tag(sync=True)
    groups = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        words: Sequence[str],
        vectors: np.ndarray,
        *,
        shown: Sequence[str] | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
    ):
        self._space = WordSpace(words, vectors)
        self._lock = threading.RLock()
        self._group_ids = self._checked_groups(groups or {})
        if shown is None:
            shown = [word for names in (groups or {}).values() for word in names]
        names = self._checked_names(shown)
        self._receiving = True  # until everything is in place
        super().__init__(
            # ASCII escapes carry even lone surrogates, which utf-8 itself cannot.
            vocabulary=json.dumps(self._space.words).encode("ascii"),
            vectors=self._space.rows_VC.tobytes(),
            groups=json.dumps(list(self._group_ids.items())).encode("ascii"),
            shown=names,
            fitted=names,
            marks=self._marks(names, names),
        )
        self._receiving = False

    def neighbours(self, word: str, count: int = MOST_NEIGHBOURS) -> list[tuple[str, float]]:
        """The `count` nearest of all words and their cosines, the word itself left out.

        A sum leaves out the words it is made of. Equally near words stand in their order.
        """
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"count={count!r} neighbours cannot be listed; use a number such as 8")
        found = self._space.neighbours(self._space.terms(word), count)
        return [(self._space.words[i], cosine) for i, cosine in found]

    def place(self) -> np.ndarray:
        """Positions of the shown words on the plane, shape (N, 2).

        Each axis points to the first fitted word that lies at least a tenth as far out along it
        as the farthest, so the picture is the same everywhere. Words without spread stand at 0.
        """
        with self._lock:
            return self._plane().place(self._units(self.shown))

    def shares(self) -> np.ndarray:
        """The share of the shown words' variance along each axis, shape (2,), 0 without spread."""
        with self._lock:
            return self._plane().shares(self._units(self.shown))

    def fit(self) -> None:
        """Fit the plane to the words that are shown now."""
        with self._lock:
            self.fitted = list(self.shown)
            self._publish()

    @traitlets.validate("shown", "fitted")
    def _validate_words(self, proposal) -> list[str]:
        return self._checked_names(proposal.value)

    def _checked_names(self, texts: Sequence[str]) -> list[str]:
        if isinstance(texts, str):
            raise TypeError(f"shown={texts!r} is one string; give a list, shown=[{texts!r}]")
        names = list(dict.fromkeys(self._space.name(self._space.terms(text)) for text in texts))
        if len(names) > MOST_SHOWN:
            raise ValueError(f"{len(names)} words do not fit on the map; show at most {MOST_SHOWN}")
        return names

    @traitlets.observe("shown", "fitted")
    def _on_words(self, change) -> None:
        with self._lock:
            if self._receiving:
                return
            if len(set(self.fitted) & set(self.shown)) < _FEWEST_FITTED:
                self.fitted = list(self.shown)
            self._publish()

    @traitlets.observe("marks")
    def _on_marks(self, change) -> None:
        """Follow what was done in the browser."""
        with self._lock:
            if change.new == self._marks(self.shown, self.fitted):
                return
            self._receiving = True
            try:
                self.fitted = [self._space.name(terms) for terms in change.new["fitted"]]
                self.shown = [self._space.name(terms) for terms in change.new["shown"]]
            finally:
                self._receiving = False

    def _publish(self) -> None:
        self.marks = self._marks(self.shown, self.fitted)

    def _marks(self, shown: Sequence[str], fitted: Sequence[str]) -> dict:
        return {
            name: [[list(term) for term in self._space.terms(text)] for text in words]
            for name, words in (("shown", shown), ("fitted", fitted))
        }

    def _units(self, texts: Sequence[str]) -> np.ndarray:
        return self._space.unit_vectors([self._space.terms(text) for text in texts])

    def _plane(self) -> Plane:
        return fit_plane(self._units(self.fitted))

    def _checked_groups(self, groups: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
        if len(groups) > MOST_GROUPS:
            raise ValueError(
                f"{len(groups)} groups cannot be told apart; give at most {MOST_GROUPS}"
            )
        ids, owner = {}, {}
        for name, words in groups.items():
            if not isinstance(name, str) or name in ("", _YOURS, _SUM):
                raise ValueError(f"a group cannot be called {name!r}; give it a name of its own")
            ids[name] = []
            for word in words:
                terms = self._space.terms(word)
                if len(terms) > 1:
                    raise ValueError(f"{word!r} in groups[{name!r}] is a sum; list single words")
                i = terms[0][1]
                if owner.setdefault(i, name) != name:
                    raise ValueError(
                        f"{word!r} is in two groups, {owner[i]!r} and {name!r}; keep one"
                    )
                ids[name].append(i)
        return ids

    def _group_of(self, terms: Terms) -> str:
        if len(terms) > 1:
            return _SUM
        return next((name for name, ids in self._group_ids.items() if terms[0][1] in ids), _YOURS)

    def __repr__(self) -> str:
        return f"EmbeddingMap({len(self.shown)} shown of {len(self._space.words):,} words)"

    def _repr_mimebundle_(self, **kwargs):
        """The live view, and a picture for places without a kernel."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        data["text/plain"] = repr(self)
        data["image/png"] = self._picture()
        return data, metadata

    def _picture(self) -> bytes:
        """The map as a PNG."""
        from matplotlib.figure import Figure

        with self._lock:
            shown, position_N2, shares = list(self.shown), self.place(), self.shares()
        members = {}
        for text, position in zip(shown, position_N2, strict=True):
            group = self._group_of(self._space.terms(text))
            members.setdefault(group, []).append(position)
        figure = Figure(figsize=(6.4, 5.2), dpi=100, layout="constrained")
        axes = figure.add_subplot()
        for group, positions in members.items():
            colour, marker = self._style(group)
            face = "white" if group == _YOURS and self._group_ids else colour
            size = 110 if marker == "*" else 45
            axes.scatter(
                *np.transpose(positions), s=size, c=face, edgecolors=colour, marker=marker,
                label=readable(group), zorder=3,
            )  # fmt: skip
        if self._group_ids:
            legend = figure.legend(loc="outside lower center", ncols=MOST_GROUPS + 2, frameon=False)
            for written in legend.get_texts():
                written.set_parse_math(False)
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(0.15)
        axes.set_xlabel(f"first principal component ({100 * shares[0]:.0f} % of the variance)")
        axes.set_ylabel(f"second principal component ({100 * shares[1]:.0f} %)")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(_title(len(shown), shares))
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # glyphs that the font lacks are drawn as boxes
            _write_names(axes, [self._written(text) for text in shown], position_N2)
            figure.savefig(buffer, format="png")
        return buffer.getvalue()

    def _style(self, group: str) -> tuple[str, str]:
        if group == _SUM:
            return _SUM_STYLE
        if not self._group_ids:
            return _STYLES[0]
        names = list(self._group_ids)
        return _STYLES[names.index(group)] if group in names else _YOURS_STYLE

    def _written(self, text: str) -> str:
        """The name of a word or sum as it stands on the map."""
        terms = self._space.terms(text)
        words = [_shortened(readable(self._space.words[i])) for _, i in terms]
        signs = ["+ " if sign > 0 else "− " for sign, _ in terms]
        written = " ".join(sign + word for sign, word in zip(signs, words, strict=True))
        return written.removeprefix("+ ")


def place_labels(
    points: np.ndarray, sizes: np.ndarray, *, width: float, height: float
) -> list[tuple[float, float]]:
    """Where labels go so that they cover little: the top left corner of each.

    `points` (N, 2) and `sizes` (N, 2), width and height, are in the pixels of a frame of `width`
    by `height` with y downwards. Each label in turn takes the free place nearest to its point.
    """
    points_N2, sizes_N2 = (np.reshape(array, (-1, 2)).astype(float) for array in (points, sizes))
    corners_N2 = np.full_like(points_N2, np.inf)  # not placed yet: covers nothing
    for _ in range(2):
        for i, size in enumerate(sizes_N2):
            places_P2 = _places(points_N2[i], size)
            outside_P2 = np.maximum(0, -places_P2) + np.maximum(
                0, places_P2 + size - (width, height)
            )
            cost_P = 0.5 * np.arange(len(places_P2)) + 100 * outside_P2.sum(axis=1)
            other = np.arange(len(points_N2)) != i
            cost_P += _overlap(places_P2, size, points_N2[other] - 5, np.full(2, 10.0))
            cost_P += 2 * _overlap(places_P2, size, corners_N2[other], sizes_N2[other])
            corners_N2[i] = places_P2[np.argmin(cost_P)]
    return [tuple(corner) for corner in corners_N2.tolist()]


def _places(point: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Right, left, above, below and the corners, near the point and then a little farther."""
    (x, y), (w, h) = point, size
    return np.array(
        [
            place
            for gap in (7, 14, 24)
            for place in (
                (x + gap, y - h / 2),
                (x - gap - w, y - h / 2),
                (x - w / 2, y - gap - h),
                (x - w / 2, y + gap),
                (x + gap / 2, y - gap / 2 - h),
                (x + gap / 2, y + gap / 2),
                (x - gap / 2 - w, y - gap / 2 - h),
                (x - gap / 2 - w, y + gap / 2),
            )
        ]
    )


def _overlap(places_P2, size, corners_N2, sizes_N2) -> np.ndarray:
    """How much of N boxes a box of this size covers at each of P places, shape (P,)."""
    end_PN2 = np.minimum((places_P2 + size)[:, None], corners_N2 + sizes_N2)
    sides_PN2 = np.maximum(0, end_PN2 - np.maximum(places_P2[:, None], corners_N2))
    return sides_PN2.prod(axis=2).sum(axis=1)


def _write_names(axes, names: Sequence[str], position_N2: np.ndarray) -> None:
    figure = axes.figure
    figure.draw_without_rendering()  # fixes the frame
    figure.set_layout_engine("none")
    frame = axes.get_window_extent()
    texts = [
        axes.text(0, 0, name, fontsize=9, transform=None, va="top", ha="left", parse_math=False)
        for name in names
    ]
    boxes = [text.get_window_extent() for text in texts]
    points = axes.transData.transform(position_N2) if names else np.empty((0, 2))
    points = np.column_stack([points[:, 0] - frame.x0, frame.y1 - points[:, 1]])
    sizes = np.array([(box.width, box.height) for box in boxes]).reshape(-1, 2)
    corners = place_labels(points, sizes, width=frame.width, height=frame.height)
    for text, (left, top) in zip(texts, corners, strict=True):
        text.set_position((frame.x0 + left, frame.y1 - top))


def _title(count: int, shares: np.ndarray) -> str:
    if count == 0:
        return "No words on the map"
    noun = "word" if count == 1 else "words"
    if shares.sum() == 0:
        return f"{count} {noun} on one spot" if count > 1 else "1 word on the map"
    return f"{count} {noun} on a plane that shows {100 * shares.sum():.0f} % of their spread"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
