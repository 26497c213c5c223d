"""Language models that only count: how often did this token follow these?

N tokens of a text, V vocabulary
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from llmlab.text.inputs import whole_number

# What is taken off a count of 1, of 2, and of 3 or more, where a text is too short to tell.
_DISCOUNTS = (0.5, 1.0, 1.5)

Ids = Sequence[int] | Sequence[Sequence[int]]


class NgramModel:
    """The probabilities of the next token after the last `order` - 1, from counts.

    A context of a few tokens has been followed by few others, and what has not been seen is not
    impossible. So a little is taken off every count, and what is gained goes to the same question
    asked of a context that is shorter by one token, down to none at all, after which every token
    of the vocabulary is equally likely. The shorter contexts do not count how often a token came,
    but after how many different ones: the smoothing of Kneser and Ney, with three discounts for
    each order. Order 1 looks at no context, 2 is called a bigram model, and so on.

    `ids` is one text, or a list of texts, which are joined as in `packed_batches`. `surprises`
    and `probabilities` need nothing else. Raises ``ValueError`` for ids that are none, outside
    the vocabulary or fewer than `order`.
    Source: Chen and Goodman 1999, "An empirical study of smoothing techniques for language
    modeling", section 3 (modified Kneser-Ney, interpolated).
    """

    def __init__(self, ids: Ids, *, order: int, vocab_size: int):
        self.order = whole_number(order, "order", least=1)
        self.vocab_size = whole_number(vocab_size, "vocab_size", least=1)
        ids_N = token_ids(ids, self.vocab_size)
        if len(ids_N) < self.order:
            raise ValueError(
                f"{len(ids_N):,} tokens hold no run of order={self.order}; give a longer text or "
                f"use order={max(len(ids_N), 1)}"
            )
        # For runs of each length: a sorted key for every different one, and where it was found.
        # A key is (number of the run without its last token, last token) in one integer.
        self._keys: list[np.ndarray] = []
        numbers_N, seen = np.zeros(len(ids_N), dtype=np.int64), []
        for _ in range(self.order):
            keys_N = numbers_N * self.vocab_size + ids_N[len(ids_N) - len(numbers_N) :]
            keys, firsts, numbers_N = np.unique(keys_N, return_index=True, return_inverse=True)
            self._keys.append(keys)
            seen.append((numbers_N, firsts))
            numbers_N = numbers_N[:-1]
        self._tables = [
            _Table(self._keys[length], self._counts(seen, length), self.vocab_size)
            for length in range(self.order)
        ]

    def _counts(self, seen: list[tuple[np.ndarray, np.ndarray]], length: int) -> np.ndarray:
        """Count each run: the longest how often, all others after how many different tokens."""
        numbers_N, _ = seen[length]
        if length + 1 < self.order:
            _, firsts = seen[length + 1]
            numbers_N = numbers_N[firsts + 1]  # the last tokens of each different longer run
        return np.bincount(numbers_N, minlength=len(self._keys[length]))

    @property
    def n_counts(self) -> int:
        """How many different runs are remembered, those of all lengths together."""
        return sum(map(len, self._keys))

    def surprises(self, ids: Sequence[int]) -> np.ndarray:
        """Give -ln p of each token after those before it, in nats, (N,).

        The first tokens have a shorter context, the very first none.
        """
        ids_N = token_ids(ids, self.vocab_size)
        p_N = np.full(len(ids_N), 1 / self.vocab_size)
        contexts_N = np.zeros(len(ids_N), dtype=np.int64)
        for length in range(self.order):
            runs_N = self._find(length, contexts_N, ids_N)
            p_N = self._tables[length].mix(p_N, contexts_N, runs_N)
            contexts_N = np.append(-1, runs_N[:-1])  # the run that ended one token earlier
        return -np.log(p_N)

    def probabilities(self, context: Sequence[int]) -> np.ndarray:
        """Give the probability of every token after a context of any length, (V,)."""
        last = token_ids(context, self.vocab_size)[max(0, len(context) - self.order + 1) :]
        tokens_V = np.arange(self.vocab_size)
        p_V = np.full(self.vocab_size, 1 / self.vocab_size)
        for length in range(len(last) + 1):
            run = np.zeros(1, dtype=np.int64)
            for place, token in enumerate(last[len(last) - length :]):
                run = self._find(place, run, np.array([token]))
            contexts_V = np.repeat(run, self.vocab_size)
            p_V = self._tables[length].mix(
                p_V, contexts_V, self._find(length, contexts_V, tokens_V)
            )
        return p_V

    def _find(self, length: int, contexts_N: np.ndarray, tokens_N: np.ndarray) -> np.ndarray:
        """Number the runs that extend contexts by a token; -1 for those never seen."""
        keys = self._keys[length]
        wanted_N = contexts_N * self.vocab_size + tokens_N
        places_N = np.minimum(np.searchsorted(keys, wanted_N), len(keys) - 1)
        return np.where((contexts_N >= 0) & (keys[places_N] == wanted_N), places_N, -1)

    def __repr__(self) -> str:
        return f"NgramModel(order={self.order}, {self.n_counts:,} counts)"


class _Table:
    """The discounted probabilities of all runs of one length, and what is left to share out."""

    def __init__(self, keys: np.ndarray, counts: np.ndarray, vocab_size: int):
        discounts = _discounts(counts)[np.minimum(counts, 3)]
        contexts = keys // vocab_size
        totals = np.bincount(contexts, weights=counts)
        freed = np.bincount(contexts, weights=discounts)
        known = totals > 0
        self._left = np.where(known, freed / np.maximum(totals, 1), 1.0)
        self._kept = (counts - discounts) / np.maximum(totals, 1)[contexts]

    def mix(self, p_N: np.ndarray, contexts_N: np.ndarray, runs_N: np.ndarray) -> np.ndarray:
        """Improve the probabilities from shorter contexts by those of this length."""
        known_N = (contexts_N >= 0) & (contexts_N < len(self._left))
        left_N = np.where(known_N, self._left[np.where(known_N, contexts_N, 0)], 1.0)
        kept_N = np.where(runs_N >= 0, self._kept[np.maximum(runs_N, 0)], 0.0)
        return kept_N + left_N * p_N


def _discounts(counts: np.ndarray) -> np.ndarray:
    """Say what is taken off counts of 0, 1, 2, and 3 or more (Chen and Goodman, equation 17)."""
    n = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].astype(float)
    if not n.all():
        return np.array([0.0, *_DISCOUNTS])
    share = n[0] / (n[0] + 2 * n[1])
    found = [k - (k + 1) * share * n[k] / n[k - 1] for k in (1, 2, 3)]
    usable = all(0 < discount < k for k, discount in enumerate(found, start=1))
    return np.array([0.0, *(found if usable else _DISCOUNTS)])


def token_ids(ids: Ids | np.ndarray, vocab_size: int) -> np.ndarray:
    """Give one text, or several joined, as an array, (N,)."""
    ids = ids.tolist() if hasattr(ids, "tolist") else list(ids)
    if ids and isinstance(ids[0], Iterable) and not isinstance(ids[0], str):
        ids = [token for text in ids for token in text]
    wrong = next((token for token in ids if not isinstance(token, int | np.integer)), None)
    if wrong is not None:
        raise ValueError(f"{wrong!r:.60} is no token id; give those of tokenizer.encode(text)")
    ids_N = np.fromiter(ids, dtype=np.int64, count=len(ids))
    if len(ids_N) and not (ids_N.min() >= 0 and ids_N.max() < vocab_size):
        outside = ids_N[(ids_N < 0) | (ids_N >= vocab_size)][0]
        raise ValueError(
            f"token id {outside} is outside the vocabulary of {vocab_size:,}; encode the text "
            "with the tokenizer the model was made with"
        )
    return ids_N
