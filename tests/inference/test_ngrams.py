"""The n-gram model against the formulas of the paper, written out slowly."""

import math
import random
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlab.inference import NgramModel, ngrams


class Slow:
    """Modified Kneser-Ney as in Chen and Goodman, section 3, with dictionaries and recursion."""

    def __init__(self, ids, order, vocab_size):
        self.order, self.vocab_size = order, vocab_size
        runs = [
            [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)] for n in range(1, order + 1)
        ]
        self.counts = [Counter(run[1:] for run in set(longer)) for longer in runs[1:]]
        self.counts.append(Counter(runs[-1]))
        self.discounts = []
        for counts in self.counts:
            n = Counter(counts.values())
            # runs that only begin the text follow nothing; they count as never seen
            fallback = [0.5, 1.0, 1.5]
            if all(n[k] for k in (1, 2, 3, 4)):
                y = n[1] / (n[1] + 2 * n[2])
                found = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
                if all(0 < d < k for d, k in zip(found, (1, 2, 3), strict=True)):
                    fallback = found
            self.discounts.append(fallback)
        self.after = [defaultdict(dict) for _ in self.counts]
        for counts, after in zip(self.counts, self.after, strict=True):
            for run, count in counts.items():
                after[run[:-1]][run[-1]] = count

    def p(self, token, context, length=None):
        length = min(len(context), self.order - 1) if length is None else length
        if length < 0:
            return 1 / self.vocab_size
        context = tuple(context[len(context) - length :]) if length else ()
        shorter = self.p(token, context, length - 1)
        followers = self.after[length].get(context)
        if not followers:
            return shorter
        total = sum(followers.values())
        taken = {t: self.discounts[length][min(c, 3) - 1] for t, c in followers.items()}
        kept = followers.get(token, 0) - taken.get(token, 0)
        return (kept + sum(taken.values()) * shorter) / total


def some_text(n, vocab_size, seed=0):
    """Tokens that depend on those before them, some much more frequent than others."""
    draw, ids = random.Random(seed), [0]
    while len(ids) < n:
        ids.append(min(int(draw.expovariate(0.3)) + ids[-1] // 2, vocab_size - 1))
    return ids


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [7, 60, 3_000])
def test_it_agrees_with_the_formulas(order, n):
    learned, told = some_text(n, 12), some_text(200, 12, seed=1)
    model, slow = NgramModel(learned, order=order, vocab_size=12), Slow(learned, order, 12)
    expected = [-math.log(slow.p(told[i], told[:i])) for i in range(len(told))]
    assert model.surprises(told) == pytest.approx(expected, rel=1e-12)
    for length in (0, 1, 4, 9):
        context = told[50 : 50 + length]
        expected = [slow.p(token, context) for token in range(12)]
        assert model.probabilities(context) == pytest.approx(expected, rel=1e-12)


def test_the_discounts_are_those_of_the_paper():
    counts = np.repeat([1, 2, 3, 4, 5, 9], [50, 20, 10, 6, 3, 1])
    y = 50 / (50 + 2 * 20)
    expected = [0, 1 - 2 * y * 20 / 50, 2 - 3 * y * 10 / 20, 3 - 4 * y * 6 / 10]
    assert ngrams._discounts(counts) == pytest.approx(expected)
    assert list(ngrams._discounts(np.array([1, 2]))) == [0, 0.5, 1, 1.5]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 8), min_size=5, max_size=80),
    st.lists(st.integers(0, 8), max_size=6),
    st.integers(1, 5),
)
def test_the_probabilities_of_all_tokens_make_one(learned, context, order):
    p_V = NgramModel(learned, order=order, vocab_size=9).probabilities(context)
    assert p_V.shape == (9,)
    assert p_V.min() > 0
    assert p_V.sum() == pytest.approx(1, abs=1e-12)


def test_surprises_are_those_of_the_probabilities():
    learned, told = some_text(2_000, 20), some_text(30, 20, seed=2)
    model = NgramModel(learned, order=4, vocab_size=20)
    each = [-math.log(model.probabilities(told[:i])[told[i]]) for i in range(len(told))]
    assert model.surprises(told) == pytest.approx(each)
    assert model.surprises([]).shape == (0,)


def test_a_longer_context_helps_where_there_is_text_enough():
    learned, told = some_text(30_000, 20), some_text(3_000, 20, seed=3)
    one, two, three = (
        NgramModel(learned, order=order, vocab_size=20).surprises(told).mean()
        for order in (1, 2, 3)
    )
    assert one > two + 0.05
    assert abs(two - three) < 0.05  # each token depends on one other alone
    assert one < math.log(20)


def test_texts_are_joined_and_an_array_will_do():
    texts = [[1, 2, 3], [4, 5], [1, 2]]
    joined = NgramModel([1, 2, 3, 4, 5, 1, 2], order=3, vocab_size=6)
    for ids in (texts, np.array([1, 2, 3, 4, 5, 1, 2])):
        model = NgramModel(ids, order=3, vocab_size=6)
        assert list(model.surprises([1, 2, 3])) == list(joined.surprises([1, 2, 3]))
    assert repr(joined) == "NgramModel(order=3, 15 counts)"


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="token id 6 is outside the vocabulary of 6; encode"):
        NgramModel([1, 6], order=2, vocab_size=6)
    with pytest.raises(ValueError, match="2 tokens hold no run of order=3; give a longer text"):
        NgramModel([1, 2], order=3, vocab_size=6)
    with pytest.raises(ValueError, match="order=0 must be a whole number of at least 1"):
        NgramModel([1, 2], order=0, vocab_size=6)
    model = NgramModel([1, 2], order=1, vocab_size=6)
    with pytest.raises(ValueError, match="'a' is no token id; give those of"):
        model.surprises("abc")
    with pytest.raises(ValueError, match="token id -1 is outside"):
        model.probabilities([-1])
