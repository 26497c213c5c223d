"""Words with their vectors: look-up, nearest neighbours, sums of words, and a plane to draw on.

embedding_map.js holds the same functions for the browser, on the same rounded numbers, so both
give the same answers.
"""

# V vocabulary, N words on the map, C width, K principal components (2), G equal components

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Terms = tuple[tuple[int, int], ...]  # of a word or sum: pairs of a sign, 1 or -1, and a word's id

LARGEST = 32_767  # every row is scaled until its largest number is this, then rounded to int16
_SIGNS = {"+": 1, "-": -1, "−": -1, "–": -1}
_MOST_TERMS = 20
_MOST_BYTES = 64 * 2**20
_LONGEST_TYPO = 40
_NEAR_SPELLINGS = 3
_NO_SPREAD = 1e-3  # words that stand closer than this on average stand on one spot


class WordSpace:
    """V distinct words with one direction each; every comparison is by cosine.

    ``vectors`` has shape (V, C). Rounding the directions to 16 bits moves no cosine by more
    than 0.0001. Raises ``ValueError`` for repeated words, a shape that does not fit, numbers that
    are not finite, and vectors of zeros, which point nowhere.
    """

    def __init__(self, words: Sequence[str], vectors: np.ndarray):
        self.words = _checked_words(words)
        self.rows_VC = _rounded(_checked_vectors(vectors, self.words), self.words)
        self._norm_V = np.sqrt(np.einsum("vc,vc->v", self.rows_VC, self.rows_VC, dtype=np.float64))
        self._ids = {word: i for i, word in enumerate(self.words)}

    def terms(self, text: str) -> Terms:
        """What a text names: a word as it stands or in lower case, else a sum of words.

        Raises ``ValueError`` for an unknown word, with near spellings, and for a sum that is not
        word, sign, word.
        """
        if not isinstance(text, str):
            raise TypeError(f"{text!r} is not a string; give a word such as 'king'")
        for word in (text, text.strip()):
            if self._find(word) is not None:
                return ((1, self._find(word)),)
        pieces = [piece for token in text.split() for piece in self._split(token)]
        if len(pieces) < 2 or not any(piece in _SIGNS for piece in pieces):
            raise ValueError(self._unknown([text]))
        if len(pieces) % 2:
            pieces.insert(0, "+")
        signs, names = pieces[::2], pieces[1::2]
        if len(names) < 2 or len(names) > _MOST_TERMS or not all(sign in _SIGNS for sign in signs):
            raise ValueError(
                f"{_short(text)!r} is no sum of 2 to {_MOST_TERMS} words; "
                "write a sign between two words, as in 'king - man + woman'"
            )
        if unknown := [name for name in names if self._find(name) is None]:
            raise ValueError(self._unknown(unknown))
        terms = tuple(
            (_SIGNS[sign], self._find(name)) for sign, name in zip(signs, names, strict=True)
        )
        if np.linalg.norm(self._sum(terms)) < 1e-6:
            raise ValueError(f"{_short(text)!r} leaves nothing: the sum is zero; take other words")
        return terms

    def name(self, terms: Terms) -> str:
        """The text that stands for a word or a sum: "king - man + woman"."""
        if len(terms) == 1:
            return self.words[terms[0][1]]
        text = " ".join(f"{'+' if sign > 0 else '-'} {self.words[i]}" for sign, i in terms)
        return text.removeprefix("+ ")

    def unit_vectors(self, entries: Sequence[Terms]) -> np.ndarray:
        """One vector of length 1 per word or sum, shape (N, C)."""
        sums_NC = np.array([self._sum(terms) for terms in entries])
        sums_NC = sums_NC.reshape(len(entries), self.rows_VC.shape[1])
        return sums_NC / np.linalg.norm(sums_NC, axis=1, keepdims=True)

    def neighbours(self, terms: Terms, count: int) -> list[tuple[int, float]]:
        """Ids and cosines of the nearest words, nearest first, those of the sum left out.

        A sum adds vectors of length 1 (3CosAdd of Levy and Goldberg 2014, section 3).
        """
        single = len(terms) == 1
        # Whole numbers multiply and add without rounding: equal vectors tie on every machine.
        query_C = self.rows_VC[terms[0][1]].astype(np.float64) if single else self._sum(terms)
        cosine_V = self.rows_VC.astype(np.float64) @ query_C
        cosine_V /= self._norm_V * np.linalg.norm(query_C)
        cosine_V[[i for _, i in terms]] = -np.inf
        ids = np.argsort(-cosine_V, kind="stable")[:count]
        return [(int(i), float(cosine_V[i])) for i in ids if np.isfinite(cosine_V[i])]

    def near(self, text: str) -> list[str]:
        """At most three words spelled nearly like `text`: two slips apart, then longer ones."""
        text = text.lower()
        if not 0 < len(text) <= _LONGEST_TYPO:
            return []
        slips = 1 if len(text) < 5 else 2
        ids = [i for i, word in enumerate(self.words) if abs(len(word) - len(text)) <= slips]
        distance = _slips(text, [self.words[i] for i in ids])
        # The first letter is rarely the wrong one.
        rank = 2 * distance + [self.words[i][0] != text[0] for i in ids]
        order = np.argsort(rank, kind="stable")
        found = [self.words[ids[i]] for i in order if distance[i] <= slips][:_NEAR_SPELLINGS]
        if len(text) >= 3:
            longer = (word for word in self.words if word.startswith(text) and word not in found)
            found += [word for _, word in zip(range(_NEAR_SPELLINGS - len(found)), longer)]  # noqa: B905
        return found

    def _find(self, word: str) -> int | None:
        return self._ids.get(word, self._ids.get(word.lower()))

    def _split(self, token: str) -> list[str]:
        """king-man+woman is a sum too, as long as it is no word and all its pieces are."""
        if token in _SIGNS or self._find(token) is not None:
            return [token]
        pieces, start = [], 0
        for i, character in enumerate(token):
            if character in _SIGNS:
                pieces += [token[start:i], character]
                start = i + 1
        pieces = [piece for piece in [*pieces, token[start:]] if piece]
        known = all(piece in _SIGNS or self._find(piece) is not None for piece in pieces)
        return pieces if known else [token]

    def _sum(self, terms: Terms) -> np.ndarray:
        return sum(sign * self.rows_VC[i].astype(np.float64) / self._norm_V[i] for sign, i in terms)

    def _unknown(self, texts: Sequence[str]) -> str:
        message = f"not among the {len(self.words):,} words: "
        for text in texts[:3]:
            message += repr(_short(text))
            if near := self.near(text):
                message += f" (near spellings: {', '.join(near)})"
            message += ", "
        return message.removesuffix(", ") + ("; take words of the list" if texts else "")


@dataclass(frozen=True, kw_only=True)
class Plane:
    """A plane through `centre` (C,); rows of `axes` (2, C) have length 1, 0 without spread."""

    centre: np.ndarray
    axes: np.ndarray

    def place(self, unit_NC: np.ndarray) -> np.ndarray:
        """Positions on the plane, shape (N, 2)."""
        return (unit_NC - self.centre) @ self.axes.T

    def shares(self, unit_NC: np.ndarray) -> np.ndarray:
        """The share of the words' variance that each axis shows, shape (2,); 0 without spread."""
        if len(unit_NC) == 0:
            return np.zeros(2)
        off_NC = unit_NC - unit_NC.mean(axis=0)
        total = np.square(off_NC).sum()
        if total < len(unit_NC) * _NO_SPREAD**2:
            return np.zeros(2)
        return np.square(off_NC @ self.axes.T).sum(axis=0) / total


def fit_plane(unit_NC: np.ndarray) -> Plane:
    """The plane of the first two principal components of N vectors.

    An axis may point either way, and where components are equally large they may be turned; so
    each axis points to the first vector that lies at least a tenth as far out as the farthest.
    (Pearson 1901, "On lines and planes of closest fit to systems of points in space".)
    """
    size, width = unit_NC.shape
    axes_KC, found = np.zeros((2, width)), 0
    if size == 0:
        return Plane(centre=np.zeros(width), axes=axes_KC)
    centre_C = unit_NC.mean(axis=0)
    off_NC = unit_NC - centre_C
    _, spread, basis = np.linalg.svd(off_NC, full_matrices=False)
    start = 0
    while found < 2 and start < len(spread) and spread[start] > _NO_SPREAD * size**0.5:
        equal = np.abs(spread**2 - spread[start] ** 2) <= 1e-9 * spread[0] ** 2
        equal[:start] = False
        basis_GC = basis[equal]
        score_NG = off_NC @ basis_GC.T
        for _ in range(min(len(basis_GC), 2 - found)):
            length_N = np.linalg.norm(score_NG, axis=1)
            first = np.argmax(length_N >= 0.1 * length_N.max())
            direction_G = score_NG[first] / length_N[first]
            axes_KC[found] = direction_G @ basis_GC
            score_NG = score_NG - np.outer(score_NG @ direction_G, direction_G)
            found += 1
        start += len(basis_GC)
    return Plane(centre=centre_C, axes=axes_KC)


def _slips(text: str, words: Sequence[str]) -> np.ndarray:
    """Letters to insert, delete, change or swap with the next, to make `text` of every word.

    The optimal string alignment distance, for all words at once.
    """
    longest = max(map(len, words), default=0)
    letters = np.full((longest, len(words)), -1)
    for column, word in enumerate(words):
        letters[: len(word), column] = [ord(letter) for letter in word]
    rows = [np.repeat(np.arange(longest + 1)[:, None], len(words), axis=1)]
    for i, letter in enumerate(text, start=1):
        row = np.full_like(rows[0], i)
        for j in range(1, longest + 1):
            change = letters[j - 1] != ord(letter)
            row[j] = np.minimum(np.minimum(rows[-1][j], row[j - 1]) + 1, rows[-1][j - 1] + change)
            if i > 1 and j > 1:
                swapped = (letters[j - 2] == ord(letter)) & (letters[j - 1] == ord(text[i - 2]))
                row[j] = np.where(swapped, np.minimum(row[j], rows[-2][j - 2] + 1), row[j])
        rows.append(row)
    return rows[-1][[len(word) for word in words], np.arange(len(words))]


def _short(text: str, longest: int = 40) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


def _checked_words(words: Sequence[str]) -> list[str]:
    words = list(words)
    if not words:
        raise ValueError("words=[] is empty; give one word per row of vectors")
    seen = {}
    for i, word in enumerate(words):
        if not isinstance(word, str):
            raise TypeError(f"words[{i}]={word!r} is not a string; give every word as text")
        if not word:
            raise ValueError(f"words[{i}] is empty; leave it and its vector out")
        if seen.setdefault(word, i) != i:
            raise ValueError(
                f"words[{i}]={_short(word)!r} stands at {seen[word]} already; give each word once"
            )
    return words


def _checked_vectors(vectors: np.ndarray, words: list[str]) -> np.ndarray:
    vectors_VC = np.asarray(vectors)
    if vectors_VC.dtype.kind not in "fiu":
        raise TypeError(f"vectors of {vectors_VC.dtype} are not numbers; give an array of floats")
    if vectors_VC.ndim != 2 or vectors_VC.shape[0] != len(words) or vectors_VC.shape[1] == 0:
        raise ValueError(
            f"vectors has shape {vectors_VC.shape}, but there are {len(words):,} words; "
            f"give one row of numbers per word, shape ({len(words)}, width)"
        )
    if (size := 2 * vectors_VC.size) > _MOST_BYTES:
        raise ValueError(
            f"{len(words):,} vectors of width {vectors_VC.shape[1]:,} are {size / 2**20:.0f} MiB "
            f"for the browser, more than {_MOST_BYTES // 2**20}; take the most frequent words only"
        )
    return vectors_VC


def _rounded(vectors_VC: np.ndarray, words: list[str]) -> np.ndarray:
    largest_V = np.abs(vectors_VC).max(axis=1).astype(np.float64)
    if (wrong := np.flatnonzero(~np.isfinite(largest_V))).size:
        raise ValueError(
            f"the vector of {_short(words[wrong[0]])!r} (row {wrong[0]}) holds "
            f"{largest_V[wrong[0]]}, but every number must be finite; leave such words out"
        )
    if (wrong := np.flatnonzero(largest_V == 0)).size:
        raise ValueError(
            f"the vector of {_short(words[wrong[0]])!r} (row {wrong[0]}) is all zeros and points "
            "nowhere; leave such words out"
        )
    # Two divisions: the largest number may be too small or too large to turn upside down.
    scaled_VC = vectors_VC.astype(np.float64) / largest_V[:, None]
    return np.rint(scaled_VC * LARGEST).astype("<i2")
