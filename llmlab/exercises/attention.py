"""The exercises of notebook 4: attention."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import torch

from llmlab.exercises.exercise import Exercise


def _floats(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _whole_numbers(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    """Draw whole numbers, which can be checked by hand, as floats."""
    return _floats(rng.integers(-3, 4, shape))


def _factor(given: Any, right: torch.Tensor) -> float | None:
    """By which number the whole table `right` was multiplied, if by one and other than 1.

    A table with a single row or column, or with one number only, does not tell.
    """
    given, right = np.asarray(given, dtype=float), right.numpy()
    tells = min(right.shape) > 1 and len(np.unique(right[right != 0])) > 1
    if given.shape != right.shape or not tells or not np.isfinite(given).all():
        return None
    largest = np.unravel_index(np.abs(right).argmax(), right.shape)
    factor = float(given[largest] / right[largest])
    fits = np.allclose(given, factor * right, rtol=1e-4)
    return factor if fits and not np.isclose(factor, 1, rtol=1e-4) else None


# --- scores ------------------------------------------------------------------------------------

scores = Exercise(
    "attention.scores",
    prompt="""
**1. Scores.** Every row of `q` is the query of one token, and every row of `k` the key of one
token. Return the tensor of all their scores. It has a row for each query and a column for each
key: row *i*, column *j* holds the dot product of query *i* and key *j*. So from `q` of shape (T,
D) and `k` of shape (S, D) comes a tensor of shape (T, S). T and S may differ.

With the two queries `[1, 0]` and `[0, 2]`, and the three keys `[1, 1]`, `[3, 5]` and `[0, 1]`,
the scores are `[[1, 3, 0], [2, 10, 2]]`.
""",
    stub='''
def my_scores(q, k):
    """Return the scores (T, S) of the queries q (T, D) and the keys k (S, D)."""
    return ...
''',
    hints=(
        "Take one query and one key first: q[0] @ k[0] is their dot product. You need this number "
        "for every query with every key.",
        "A product of matrices takes the rows of its left side and the columns of its right side. "
        "The keys are rows, so k has to be turned first.",
        "k.T is k with rows and columns exchanged: its shape is (D, S). Then (T, D) @ (D, S) gives "
        "(T, S).",
    ),
    fixed=(
        (_floats([[1, 2]]), _floats([[3, 4]])),
        (_floats([[1, 2]]), _floats([[3, 4], [0, 1]])),
        (_floats([[1, 2], [3, 4]]), _floats([[0, 1], [1, 1]])),
        (_floats([[1, 0], [0, 2]]), _floats([[1, 1], [3, 5], [0, 1]])),
        (_floats([[1, 0, 2], [0, 1, 1]]), _floats([[1, 1, 0], [2, 0, 3]])),
        (_floats([[1, 0], [0, 2], [1, 1]]), _floats([[1, 3], [5, 0]])),
    ),
)


@scores.reference
def my_scores(q, k):
    return q @ k.T


@scores.fresh
def queries_and_keys(rng, size):
    n_queries, n_keys, width = (int(n) for n in rng.integers(1, 2 + size, 3))
    return _whole_numbers(rng, n_queries, width), _whole_numbers(rng, n_keys, width)


@scores.wrong(
    "You multiply q by k as they are. The product takes the columns of its right side, and a "
    "column of k is no key: the keys are its rows, so turn k round first. (Where this raises an "
    "error, the shapes (T, D) and (S, D) do not fit.)"
)
def nothing_turned(q, k):
    return q @ k


@scores.wrong(
    "You turn q round instead of k, and so multiply columns of q by columns of k. Queries and keys "
    "are rows: leave q as it is and turn k."
)
def queries_turned(q, k):
    return q.T @ k


@scores.wrong(
    "You start with k turned round, and multiply columns by columns. Queries and keys are rows: q "
    "comes first, as it is, and then k, turned round."
)
def keys_turned_and_first(q, k):
    return k.T @ q


@scores.wrong(
    "Rows and columns have changed places: your rows belong to the keys. A row belongs to a query, "
    "so q comes first in the product. (It matters even where the table is square.)"
)
def keys_in_the_rows(q, k):
    return k @ q.T


@scores.wrong(
    "These are the scores with a row for each key, cut into rows of another length. Reshaping does "
    "not turn a table round: it only puts the line breaks elsewhere. Put q first in the product."
)
def cut_into_rows(q, k):
    return (k @ q.T).reshape(len(q), len(k))


@scores.wrong(
    "You bring k to the right shape by reshaping. That only puts the line breaks elsewhere, and "
    "mixes numbers of different keys; turn k round, so that each key becomes a column."
)
def keys_reshaped(q, k):
    return q @ k.reshape(k.shape[1], k.shape[0])


@scores.wrong(
    "You multiply number by number with *, row by row. A score is the sum of such products, and "
    "there is one for every query with every key: use @."
)
def number_by_number(q, k):
    return q * k


@scores.wrong(
    "You pair each query with the key in the same row only. Every query needs a score for every "
    "key: a whole row of them."
)
def same_row_only(q, k):
    return (q * k).sum(dim=-1)


@scores.wrong(
    "You add everything up to a single number. There is a score for every query with every key: "
    "a table of shape (T, S)."
)
def one_number(q, k):
    return (q * k).sum()


@scores.wrong(
    "You return the scores of the first query only. Each query has a row of its own in the table."
)
def first_query_only(q, k):
    return q[0] @ k.T


@scores.wrong(
    "You return the scores of the first key only. Each key has a column of its own in the table."
)
def first_key_only(q, k):
    return q @ k[0]


@scores.wrong(
    "You return cosines: the dot products, divided by the lengths of both vectors. In attention "
    "nothing is divided by the lengths: a long key may be heard more than a short one."
)
def cosines(q, k):
    return (q @ k.T) / (q.norm(dim=-1)[:, None] * k.norm(dim=-1))


@scores.wrong(
    "You divide each row by the length of its query. In attention nothing is divided by the "
    "lengths: a long query may choose more decidedly than a short one."
)
def queries_of_length_one(q, k):
    return q / q.norm(dim=-1, keepdim=True) @ k.T


@scores.wrong(
    "You divide each column by the length of its key. In attention nothing is divided by the "
    "lengths: a long key may be heard more than a short one."
)
def keys_of_length_one(q, k):
    return q @ (k / k.norm(dim=-1, keepdim=True)).T


@scores.wrong(
    "You have divided by the root of the width already. That is the next exercise: here, return "
    "the dot products as they are."
)
def scaled_already(q, k):
    return q @ k.T / q.shape[-1] ** 0.5


@scores.wrong(
    "You have gone on to the softmax. Return the scores themselves; exercise 3 makes weights of "
    "them."
)
def weights_already(q, k):
    return (q @ k.T).softmax(dim=-1)


@scores.wrong("You multiply the queries by the queries; the keys do not come into it. Use k too.")
def queries_with_queries(q, k):
    return q @ q.T


@scores.wrong("You multiply the keys by the keys; the queries do not come into it. Use q too.")
def keys_with_keys(q, k):
    return k @ k.T


@scores.wrong(
    "You return how far apart query and key are: small for those that fit. Asked for is the dot "
    "product, which is large for those that fit."
)
def distances(q, k):
    return torch.cdist(q, k)


@scores.law
def a_row_for_each_query(given, q, k):
    shape = (len(q), len(k))
    if np.shape(given) != shape:
        return f"There is a row for each query and a column for each key: shape (T, S) = {shape}."
    return None


@scores.law
def nothing_but_dot_products(given, q, k):
    factor = _factor(given, q @ k.T)
    if factor is not None:
        return (
            f"All your numbers are the dot products times {factor:.4g}; return the dot products "
            "as they are."
        )
    return None


# --- scale -------------------------------------------------------------------------------------

scale = Exercise(
    "attention.scale",
    prompt="""
**2. Scale.** The wider queries and keys are, the more products are added up in a score, and the
farther the scores spread. Return the *scaled* scores: each dot product divided by the square root
of the width D. The width is how many numbers one query has. As before, `q` has the shape (T, D),
`k` the shape (S, D), and the result the shape (T, S).

The query `[1, 1, 1, 1]` has the dot products 4 and 2 with the keys `[1, 1, 1, 1]` and `[2, 0, 0,
0]`. The width is 4 and its root is 2, so the scaled scores are `[[2, 1]]`.
""",
    stub='''
def my_scaled_scores(q, k):
    """Return the scores (T, S) of q (T, D), k (S, D), divided by the root of D."""
    return ...
''',
    hints=(
        "Begin with the scores of exercise 1. All of them are divided by the same number.",
        "q.shape is (T, D). Which of the two is the width? q.shape[-1] is the last one.",
        "The square root of a number x is x ** 0.5.",
    ),
    fixed=(
        (_floats([[1, 1, 1, 1]]), _floats([[1, 1, 1, 1], [2, 0, 0, 0]])),
        (_floats([[1, 1], [2, 0]]), _floats([[3, -1], [0, 1], [1, 1]])),
        (
            _floats([[3, 0, 0, 1], [1, 1, 1, 1], [0, 2, 0, 2]]),
            _floats([[1, 0, 1, 1], [2, 2, 0, 4]]),
        ),
        (_floats([[1, 2, 3]]), _floats([[1, 1, 1], [0, 1, 0]])),
    ),
)


@scale.reference
def my_scaled_scores(q, k):
    width = q.shape[-1]
    return q @ k.T / width**0.5


@scale.fresh
def wide_queries_and_keys(rng, size):
    n_queries, n_keys = (int(n) for n in rng.integers(1, 3 + size, 2))
    width = int(rng.integers(2, 3 + 2 * size))
    return _whole_numbers(rng, n_queries, width), _whole_numbers(rng, n_keys, width)


@scale.wrong(
    "These are the dot products as they are: they still have to be divided by the square root of "
    "the width."
)
def not_scaled(q, k):
    return q @ k.T


@scale.wrong(
    "You divide by the width itself; divide by its square root. (If you divide both q and k by the "
    "root, it counts twice.)"
)
def by_the_width(q, k):
    return q @ k.T / q.shape[-1]


@scale.wrong("You multiply by the root of the width; divide by it, so that the scores get smaller.")
def multiplied(q, k):
    return q @ k.T * q.shape[-1] ** 0.5


@scale.wrong("You divide by the square of the width; divide by its square root.")
def by_the_square(q, k):
    return q @ k.T / q.shape[-1] ** 2


@scale.wrong(
    "You divide by the root of the number of keys, S. What counts is how many products one dot "
    "product adds up: the width D, the length of one row."
)
def root_of_the_keys(q, k):
    return q @ k.T / k.shape[0] ** 0.5


@scale.wrong(
    "You divide by the root of the number of queries, T. What counts is how many products one dot "
    "product adds up: the width D, the length of one row."
)
def root_of_the_queries(q, k):
    return q @ k.T / len(q) ** 0.5


@scale.wrong(
    "You divide by the root of how many numbers the whole tensor q holds, T × D. The width D is "
    "the length of one row only."
)
def root_of_all_in_q(q, k):
    return q @ k.T / q.numel() ** 0.5


@scale.wrong(
    "You divide by the root of how many numbers the whole tensor k holds, S × D. The width D is "
    "the length of one row only."
)
def root_of_all_in_k(q, k):
    return q @ k.T / k.numel() ** 0.5


@scale.wrong(
    "Python reads D ** 1 / 2 as (D ** 1) / 2, which is no root, and x / D ** 1 / 2 divides by D "
    "and then by 2. Put the exponent in brackets, or write 0.5."
)
def half_for_the_root(q, k):
    return q @ k.T / q.shape[-1] ** 1 / 2


@scale.wrong(
    "Your root has become a whole number: the root of 2 is 1.414, not 1. Do not round it (int and "
    "math.isqrt round down)."
)
def root_rounded(q, k):
    return q @ k.T / int(q.shape[-1] ** 0.5)


@scale.wrong("Your scores are rounded down to whole numbers: // does that. Divide with a single /.")
def scores_rounded(q, k):
    return q @ k.T // q.shape[-1] ** 0.5


@scale.wrong(
    "You take the root of the whole quotient, and a negative score has none. Take the root of the "
    "width only, then divide."
)
def root_of_the_quotient(q, k):
    return (q @ k.T / q.shape[-1]) ** 0.5


@scale.wrong(
    "You divide by the lengths of the vectors, which makes cosines. Divide all scores by the same "
    "number: the root of the width."
)
def lengths_for_the_root(q, k):
    return (q @ k.T) / (q.norm(dim=-1)[:, None] * k.norm(dim=-1))


@scale.wrong(
    "You divide by the standard deviation of these very scores, which is another number each time. "
    "The root of the width is what it comes to on average, and depends on the width only."
)
def by_the_deviation(q, k):
    dots = q @ k.T
    return dots / dots.std()


@scale.wrong(
    "The scale is right, but rows and columns have changed places: a row belongs to a query, so q "
    "comes first in the product."
)
def scaled_with_keys_in_the_rows(q, k):
    return k @ q.T / q.shape[-1] ** 0.5


@scale.wrong("The scale is right, but you have gone on to the softmax; return the scaled scores.")
def scaled_weights(q, k):
    return (q @ k.T / q.shape[-1] ** 0.5).softmax(dim=-1)


@scale.wrong(
    "You divide the weights, after the softmax, and then they do not sum to 1 any more. Return the "
    "scores, divided, without a softmax."
)
def weights_divided(q, k):
    return (q @ k.T).softmax(dim=-1) / q.shape[-1] ** 0.5


@scale.law
def a_scaled_row_for_each_query(given, q, k):
    return a_row_for_each_query(given, q, k)


@scale.law
def divided_by_the_root(given, q, k):
    dots, width = q @ k.T, q.shape[-1]
    factor = _factor(given, dots)
    if not factor or _factor(given, dots / width**0.5) is None:
        return None
    done = f"multiply the dot products by {factor:.4g}"
    if abs(factor) < 1:
        done = f"divide the dot products by {1 / factor:.4g}"
    return f"Here you {done}. The width is {width}: divide by its root, {width**0.5:.4g}."


# --- softmax -----------------------------------------------------------------------------------

softmax = Exercise(
    "attention.softmax",
    prompt="""
**3. Weights.** Turn scores into weights with the softmax: every query shares out a weight of 1
among its keys. The last two axes are queries and keys, so each *row* of the result sums to 1.
There may be more axes in front, for heads and for texts: the scores may have the shape (T, S), or
(H, T, S), or (B, H, T, S), and your function has to serve them all. Scores may be as large as
1000 or as low as −1000, which must not turn the weights into `nan`.

For `[[0, 0], [0, 1.0986]]` the weights are `[[0.5, 0.5], [0.25, 0.75]]`: e to the power of 1.0986
is 3, so the second query gives its second key three times as much as the first.
""",
    stub='''
def my_weights(scores):
    """Return the weights of the scores (..., T, S): each row sums to 1."""
    return ...
''',
    hints=(
        "A tensor has a method softmax, and its dim says along which axis the numbers are to sum "
        "to 1.",
        "Which axis is it, that of the queries or that of the keys? One query shares out its "
        "weight among all keys.",
        "The keys are the last axis, however many there are in front of it. Counted from the end, "
        "the last axis has the number -1.",
    ),
    fixed=(
        (_floats([[0, 0]]),),
        (_floats([[0, 0], [0, np.log(3)]]),),
        (_floats([[1, 2, 4], [1, 1, 3]]),),
        (_floats([[[0, 1], [2, 0]], [[3, 1], [1, 0]]]),),
        (_floats([[[[1, 0, 0], [0, 2, 0]], [[1, 2, 3], [2, 2, 0]]]]),),
        (_floats([[1000, 1000, 0], [0, 0, 0]]),),
        (_floats([[-1000, -1000, -1000], [0, 0, 0]]),),
        (_floats([[-1, 1], [1, 2]]),),
    ),
)


@softmax.reference
def my_weights(scores):
    return scores.softmax(dim=-1)


@softmax.fresh
def scores_with_axes_in_front(rng, size):
    front = [int(n) for n in rng.integers(1, 4, int(rng.integers(3)))]
    n_queries, n_keys = (int(n) for n in rng.integers(1, 2 + size, 2))
    return (_whole_numbers(rng, *front, n_queries, n_keys) * float(rng.choice([0.5, 1, 100])),)


@softmax.wrong(
    "Your columns sum to 1, not your rows: the queries share out each key. Each query has to share "
    "out its weight among the keys, which are the last axis."
)
def over_the_queries(scores):
    return scores.softmax(dim=-2)


@softmax.wrong(
    "You take the softmax along the first axis (dim=0). Those are the queries in a table, and "
    "heads or texts if there are more axes. The keys are the last axis: count from the end."
)
def over_the_first_axis(scores):
    return scores.softmax(dim=0)


@softmax.wrong(
    "dim=1 is the axis of the keys only as long as there are two axes. With heads in front it is "
    "that of the queries. Count from the end instead: the keys are always the last axis."
)
def over_axis_one(scores):
    return scores.softmax(dim=1)


@softmax.wrong(
    "dim=2 is the axis of the keys only when there are three axes. Count from the end instead: the "
    "keys are always the last axis."
)
def over_axis_two(scores):
    return scores.softmax(dim=2)


@softmax.wrong(
    "dim=3 is the axis of the keys only when there are four axes. Count from the end instead: the "
    "keys are always the last axis."
)
def over_axis_three(scores):
    return scores.softmax(dim=3)


@softmax.wrong(
    "All your numbers together sum to 1. Every query has a weight of 1 of its own to share out: "
    "each row has to sum to 1."
)
def over_everything(scores):
    return scores.flatten().softmax(dim=0).reshape(scores.shape)


@softmax.wrong(
    "Each table of queries and keys sums to 1 as a whole, so its queries compete with each other. "
    "Every query has a weight of 1 of its own: each row has to sum to 1."
)
def over_each_table(scores):
    return scores.flatten(-2).softmax(dim=-1).reshape(scores.shape)


@softmax.wrong(
    "You divide by the sum of all exponentials, where each row has to be divided by its own; and "
    "with large scores exp becomes infinite. The method softmax sees to both."
)
def exponentials_over_everything(scores):
    return scores.exp() / scores.exp().sum()


@softmax.wrong(
    "Right for small scores, but exp(1000) is infinite for a computer, and infinity divided by "
    "infinity is nan. Subtract the largest score of each row before exp: the weights stay the "
    "same. The method softmax does it for you."
)
def too_large_for_exp(scores):
    return scores.exp() / scores.exp().sum(dim=-1, keepdim=True)


@softmax.wrong(
    "You subtract the largest score of the whole tensor. A row that lies far below it becomes "
    "zeros only, and 0 divided by 0 is nan: subtract from each row its own largest score."
)
def one_maximum_for_all(scores):
    powers = (scores - scores.max()).exp()
    return powers / powers.sum(dim=-1, keepdim=True)


@softmax.wrong(
    "Summing drops the last axis, so that the sums do not line up with their rows any more: row "
    "sums land on columns, or the shapes do not fit at all. Keep the axis, with keepdim=True."
)
def axis_dropped(scores):
    powers = (scores - scores.amax(dim=-1, keepdim=True)).exp()
    return powers / powers.sum(dim=-1)


@softmax.wrong(
    "Summing drops the last axis, so that the row sums land on columns, or do not fit at all: keep "
    "the axis, with keepdim=True. And with large scores exp becomes infinite."
)
def axis_dropped_and_too_large(scores):
    return scores.exp() / scores.exp().sum(dim=-1)


@softmax.wrong(
    "You divide the scores by their sum, without exp. Scores may be negative, or sum to 0: the "
    "softmax takes e to the power of each score first, which is always above 0."
)
def without_exp(scores):
    return scores / scores.sum(dim=-1, keepdim=True)


@softmax.wrong(
    "You take e to the power of each score, but do not divide: the numbers of a row have to sum to "
    "1. Divide them by their sum."
)
def not_divided(scores):
    return scores.exp()


@softmax.wrong(
    "You give everything to the key with the largest score. The softmax is softer: each key gets a "
    "share, the larger its score the more."
)
def only_the_largest(scores):
    return (scores == scores.amax(dim=-1, keepdim=True)).float()


@softmax.wrong(
    "You give everything to the first key with the largest score. The softmax is softer: each key "
    "gets a share, the larger its score the more."
)
def only_the_first_largest(scores):
    return torch.nn.functional.one_hot(scores.argmax(dim=-1), scores.shape[-1]).float()


@softmax.wrong("You return the logarithms of the weights: use softmax, not log_softmax.")
def logarithms(scores):
    return scores.log_softmax(dim=-1)


@softmax.wrong(
    "A sigmoid turns each score into a number between 0 and 1 for itself. In a softmax the keys of "
    "a row share one weight: what one gets, the others lose, and the row sums to 1."
)
def each_for_itself(scores):
    return scores.sigmoid()


@softmax.wrong(
    "You divide the scores by a root once more. The scores that come in count as scaled already: "
    "take the softmax of them as they are."
)
def scaled_again(scores):
    return (scores / scores.shape[-1] ** 0.5).softmax(dim=-1)


@softmax.wrong("You take the softmax twice, and the second one makes everything more equal.")
def twice(scores):
    return scores.softmax(dim=-1).softmax(dim=-1)


@softmax.law
def no_nan(given, scores):
    if not np.isnan(np.asarray(given, dtype=float)).any():
        return None
    if scores.abs().max() < 80:
        return (
            "There is nan in your result: something was divided by 0. The softmax divides by a sum "
            "of powers of e, which is never 0."
        )
    return (
        "There is nan in your result. If scores are very large, exp is infinite for a computer, "
        "and if all are very low it is 0; infinity divided by infinity is nan, and so is 0 divided "
        "by 0. Subtract the largest score of each row first: the weights stay the same."
    )


@softmax.law
def rows_sum_to_one(given, scores):
    given = np.asarray(given, dtype=float)
    if given.shape != tuple(scores.shape):
        return None
    sums = given.sum(axis=-1)
    if np.allclose(sums, 1, atol=1e-4):
        return None
    first = sums[np.abs(sums - 1) > 1e-4].flat[0]
    told = f"Each row along the last axis has to sum to 1, and one of yours sums to {first:.4g}"
    if np.allclose(given.sum(axis=-2), 1, atol=1e-4):
        told += ": it is your columns that sum to 1"
    elif np.allclose(given.sum(), 1, atol=1e-4):
        told += ": it is all your numbers together that sum to 1"
    return f"{told}."


@softmax.law
def scores_as_they_are(given, scores):
    given, ours = np.asarray(given, dtype=float), scores.double().numpy()
    if given.shape != ours.shape or np.abs(ours).max() > 10:  # weights near 0 do not tell
        return None
    with np.errstate(all="ignore"):
        logs = np.log(given)
        logs, ours = (each - each.mean(axis=-1, keepdims=True) for each in (logs, ours))
        factor = (logs * ours).sum() / (ours**2).sum()
    if not np.allclose(logs, factor * ours, atol=1e-3) or factor < 0.01 or 0.95 < factor < 1.05:
        return None
    return (
        f"These are the weights of the scores times {factor:.4g}. Take the scores as they are, and "
        "powers of e (which is 2.718)."
    )


@softmax.law
def none_below_zero(given, scores):
    if (np.asarray(given, dtype=float) < 0).any():
        return "A weight is never below 0."
    return None


# --- masks -------------------------------------------------------------------------------------

masks = Exercise(
    "attention.masks",
    prompt="""
**4. Two masks.** Several texts are computed at once, as a batch. The shorter ones are filled up
with **padding**: tokens without meaning, at the beginning or at the end. `scores` has the shape
(B, T, T): for each text a table with a row for each query and a column for each key. `real` has
the shape (B, T); it is `True` for the real tokens of a text and `False` for its padding. Return
the weights: hide keys, then take the softmax. A query may look at

- the *real* tokens up to itself (so no key that comes later, and no padding),
- and always at itself, even if it is padding. So no row is ever empty.

Only keys are hidden. Padding has a row too, by the same rule. What is hidden must not count at
all: whatever its score is, the result stays the same.

With scores of 0 everywhere, a text of three tokens whose first is padding (`[False, True, True]`)
has the weights `[[1, 0, 0], [0, 1, 0], [0, 0.5, 0.5]]`. If the last is padding (`[True, True,
False]`) they are `[[1, 0, 0], [0.5, 0.5, 0], [0.333, 0.333, 0.333]]`.
""",
    stub='''
def my_masked_weights(scores, real):
    """Return the weights (B, T, T) of the scores, without what is later or padding.

    real (B, T) is True for real tokens, False for padding.
    """
    return ...
''',
    hints=(
        "Make one tensor of booleans that says what is visible, put -torch.inf in place of all "
        "other scores, and take the softmax last.",
        "Three tables of booleans, with T = scores.shape[-1]: torch.ones(T, T, dtype=torch.bool)"
        ".tril() is True up to the query itself; torch.eye(T, dtype=torch.bool) only for itself; "
        "and real, brought to the shape (B, 1, T), says the same to every query: is this key real?",
        "A key is visible if it is not later, and if it is real or the query itself. & means and, "
        "| means or, ~ means not; real[:, None, :] has the shape (B, 1, T), and "
        "scores.masked_fill(~visible, -torch.inf) hides what is not visible.",
    ),
    fixed=(
        (_floats([[[0, 0], [0, 0]]]), torch.tensor([[True, True]])),
        (_floats([[[0, 0, 0], [0, 0, 0], [0, 0, 0]]]), torch.tensor([[False, True, True]])),
        (_floats([[[0, 0, 0], [0, 0, 0], [0, 0, 0]]]), torch.tensor([[True, True, False]])),
        # The same text twice, but for a score of a later key, or of padding.
        (_floats([[[0, 0], [0, 0]], [[0, 9], [0, 0]]]), torch.tensor([[True, True]] * 2)),
        (_floats([[[0, 0], [0, 0]], [[0, 0], [9, 0]]]), torch.tensor([[False, True]] * 2)),
        (
            _floats([[[1, 2, 3], [3, 1, 2], [2, 2, 1]], [[0, 1, 0], [1, 0, 2], [1, 3, 0]]]),
            torch.tensor([[False, True, True], [True, True, False]]),
        ),
        # What is hidden stands far above what is visible.
        (
            _floats([[[0, 300, 0], [300, 0, 0], [9, -150, -150]]]),
            torch.tensor([[False, True, True]]),
        ),
        (
            _floats([[[1, 0, 2, 1], [0, 1, 1, 0], [1, 3, 1, 0], [2, 1, 4, 1]]]),
            torch.tensor([[True, True, False, False]]),
        ),
    ),
)


@masks.reference
def my_masked_weights(scores, real):
    n_tokens = scores.shape[-1]
    past = torch.ones(n_tokens, n_tokens, dtype=torch.bool).tril()  # itself and what is before
    itself = torch.eye(n_tokens, dtype=torch.bool)
    visible = past & (real[:, None, :] | itself)
    return scores.masked_fill(~visible, -torch.inf).softmax(dim=-1)


@masks.fresh
def padded_texts(rng, size):
    """Draw one text three times, with other scores for later keys and for padding, and a fourth."""
    n_tokens = 1 + size
    n_padding = rng.integers(0, n_tokens, 2)
    places = np.arange(n_tokens)
    left, right = places >= n_padding[0], places < n_tokens - n_padding[1]
    one, other = left if rng.random() < 0.7 else right, left if rng.random() < 0.5 else right
    real = torch.from_numpy(np.stack([one, one, one, other]))
    scores = _whole_numbers(rng, 4, n_tokens, n_tokens)
    later = torch.ones(n_tokens, n_tokens, dtype=torch.bool).triu(1)
    padding = ~(real[0] | later | torch.eye(n_tokens, dtype=torch.bool))
    scores[1] = scores[0].masked_fill(later, float(rng.integers(4, 99)))
    scores[2] = scores[0].masked_fill(padding, float(rng.integers(4, 99)))
    return scores, real


def _past(scores, diagonal=0):
    n_tokens = scores.shape[-1]
    return torch.ones(n_tokens, n_tokens, dtype=torch.bool).tril(diagonal)


def _itself(scores):
    return torch.eye(scores.shape[-1], dtype=torch.bool)


def _visible(scores, real):
    return _past(scores) & (real[:, None, :] | _itself(scores))


def _shown(scores, visible, hidden=-torch.inf):
    return scores.masked_fill(~visible, hidden).softmax(dim=-1)


@masks.wrong(
    "Nothing is hidden: queries look at what comes later and at padding. Put -inf in place of "
    "these scores before the softmax. (masked_fill makes a new tensor: give it a name.)"
)
def no_mask(scores, real):
    return scores.softmax(dim=-1)


@masks.wrong(
    "The future is hidden, but the padding is not: its scores still move your result. (With "
    "padding at the end the causal mask happens to hide it from the real tokens; with padding at "
    "the beginning it does not.)"
)
def causal_only(scores, real):
    return _shown(scores, _past(scores))


@masks.wrong(
    "The padding is hidden, but the future is not: scores of later keys still move your result. A "
    "query may look at nothing that comes after it."
)
def padding_only(scores, real):
    return _shown(scores, real[:, None, :] | _itself(scores))


@masks.wrong(
    "The padding is hidden, but the future is not: scores of later keys still move your result. "
    "(masked_fill makes a new tensor; did the first one get lost? And padding may look at itself.)"
)
def padding_only_without_itself(scores, real):
    return _shown(scores, real[:, None, :].expand_as(scores))


@masks.wrong(
    "Both masks are there, but padding may not look at itself. At the beginning of a text its row "
    "is empty then, and the softmax of nothing but -inf is nan: every query may look at itself."
)
def padding_without_itself(scores, real):
    return _shown(scores, _past(scores) & real[:, None, :])


@masks.wrong(
    "Both masks are there, but padding may not look at itself. At the beginning of a text all its "
    "scores are the same very low number then, and the softmax gives every key the same share, "
    "later ones too: every query may look at itself."
)
def padding_without_itself_very_low(scores, real):
    return _shown(scores, _past(scores) & real[:, None, :], -1e9)


@masks.wrong(
    "You turn the nan of empty rows into 0, and then such a row sums to 0, not to 1. Let no row be "
    "empty: every query may look at itself, even if it is padding."
)
def nan_to_zero(scores, real):
    return _shown(scores, _past(scores) & real[:, None, :]).nan_to_num(0)


@masks.wrong(
    "Your causal mask is one step too strict: a query may look at itself as well, not only at what "
    "is before it. (The first row is nan because nothing is left in it.)"
)
def hides_itself(scores, real):
    return _shown(scores, _past(scores, -1) & real[:, None, :])


@masks.wrong(
    "Your causal mask is one step too generous: each query still sees the token right after it, "
    "the very one that the model is to predict."
)
def shows_the_next(scores, real):
    return _shown(scores, _past(scores, 1) & (real[:, None, :] | _itself(scores)))


@masks.wrong(
    "Your causal mask is the wrong way round: queries see what comes later and not what came "
    "before. Keep the lower triangle, below and on the diagonal."
)
def upper_triangle(scores, real):
    return _shown(scores, _past(scores).mT & (real[:, None, :] | _itself(scores)))


@masks.wrong(
    "You hide what should be seen and show what should be hidden: masked_fill writes where its "
    "mask is True, so give it the places to hide, not the visible ones."
)
def inverted(scores, real):
    return scores.masked_fill(_visible(scores, real), -torch.inf).softmax(dim=-1)


@masks.wrong(
    "You set weights to 0 after the softmax. Then the rows do not sum to 1, and the hidden scores "
    "still count: the softmax has divided by them. Hide the scores before the softmax."
)
def after_the_softmax(scores, real):
    return scores.softmax(dim=-1) * _visible(scores, real)


@masks.wrong(
    "You hide after the softmax and divide again. On paper that is right, but a hidden score that "
    "is very large takes all the weight first, and nothing is left to divide: hide the scores "
    "before the softmax."
)
def after_the_softmax_and_divided(scores, real):
    weights = scores.softmax(dim=-1) * _visible(scores, real)
    return weights / weights.sum(dim=-1, keepdim=True)


@masks.wrong(
    "You put -inf among the weights, after the softmax. It belongs among the scores, before the "
    "softmax, which turns it into a weight of 0."
)
def infinite_weights(scores, real):
    return scores.softmax(dim=-1).masked_fill(~_visible(scores, real), -torch.inf)


@masks.wrong(
    "You set hidden scores to 0. A score of 0 is a score like any other, and gets its share, for e "
    "to the power of 0 is 1. Only -inf gets nothing."
)
def zero_for_infinity(scores, real):
    return _shown(scores, _visible(scores, real), 0)


@masks.wrong(
    "You cut off the scores of later keys with tril, which writes 0 there. A score of 0 gets its "
    "share like any other: write -inf. The padding is not hidden at all."
)
def tril_of_the_scores(scores, real):
    return scores.tril().softmax(dim=-1)


@masks.wrong(
    "You set hidden scores to -1. That is a score like any other, and gets its share as soon as "
    "the visible ones are not much larger. Only -inf gets nothing, always."
)
def minus_one(scores, real):
    return _shown(scores, _visible(scores, real), -1)


@masks.wrong(
    "You set hidden scores to -10. That leaves them a small share, and a large one if the visible "
    "scores are lower still. Only -inf gets nothing, always."
)
def minus_ten(scores, real):
    return _shown(scores, _visible(scores, real), -10)


@masks.wrong(
    "You set hidden scores to a negative number such as -100. That works until the visible scores "
    "are lower still, and then the hidden keys get everything. Only -inf gets nothing, always."
)
def minus_a_hundred(scores, real):
    return _shown(scores, _visible(scores, real), -100)


@masks.wrong(
    "Your padding mask runs along the wrong axis: it hides everything from padding queries, and "
    "real tokens still see padding. Keys are the columns, the last axis: real needs the shape (B, "
    "1, T)."
)
def padding_queries(scores, real):
    return _shown(scores, _past(scores) & (real[:, :, None] | _itself(scores)))


@masks.wrong(
    "Your padding mask runs along the wrong axis: the rows of padding queries are empty, hence "
    "nan, and real tokens still see padding. Keys are the columns, the last axis: real needs the "
    "shape (B, 1, T)."
)
def padding_queries_without_itself(scores, real):
    return _shown(scores, _past(scores) & real[:, :, None])


@masks.wrong(
    "The real tokens are right. But you hide everything except itself from the padding queries, "
    "too. Only keys are to be hidden: padding has its row by the same rule as the other tokens."
)
def padding_keys_and_queries(scores, real):
    both = real[:, None, :] & real[:, :, None]
    return _shown(scores, _past(scores) & (both | _itself(scores)))


@masks.wrong(
    "The rows of the real tokens are right. But you hide everything from the padding queries, "
    "too, so their rows are empty, hence nan. Only keys are hidden, and every query sees itself."
)
def padding_keys_and_queries_without_itself(scores, real):
    return _shown(scores, _past(scores) & real[:, None, :] & real[:, :, None])


@masks.wrong(
    "You hide the real tokens and show the padding: real is True for the tokens that count, so "
    "those stay."
)
def real_hidden(scores, real):
    return _shown(scores, _past(scores) & (~real[:, None, :] | _itself(scores)))


@masks.wrong(
    "You show a key if one of the two masks allows it. Both have to: it must not be later and it "
    "must not be padding."
)
def either_mask(scores, real):
    return _shown(scores, _past(scores) | real[:, None, :])


@masks.wrong(
    "You use the padding of the first text for all texts. Each text of the batch has its own: give "
    "real the shape (B, 1, T)."
)
def first_text_for_all(scores, real):
    return _shown(scores, _past(scores) & (real[0] | _itself(scores)))


@masks.wrong(
    "Without an axis for the queries, real (B, T) is matched with the tables as if its rows were "
    "queries, not texts; that fits by chance only, and otherwise raises an error. Give it the "
    "shape (B, 1, T): for each text one row, the same for all queries."
)
def axis_missing(scores, real):
    return _shown(scores, _past(scores) & (real | _itself(scores)))


@masks.wrong(
    "Without an axis for the queries, real (B, T) is matched with the tables as if its rows were "
    "queries, not texts. Give it the shape (B, 1, T). And let every query see itself, or its row "
    "may be empty."
)
def axis_missing_without_itself(scores, real):
    return _shown(scores, _past(scores) & real)


@masks.wrong(
    "You count the real tokens and show that many from the left. Padding may also stand at the "
    "beginning: look at real itself, place by place."
)
def real_ones_counted(scores, real):
    places = torch.arange(scores.shape[-1])
    first = places < real.sum(dim=1, keepdim=True)
    return _shown(scores, _past(scores) & (first[:, None, :] | _itself(scores)))


@masks.wrong(
    "The masks are right, but the softmax runs over the queries: your columns sum to 1. Each query "
    "shares out its weight among the keys, the last axis."
)
def masked_over_the_queries(scores, real):
    return scores.masked_fill(~_visible(scores, real), -torch.inf).softmax(dim=-2)


@masks.wrong(
    "Infinity times 0 is nan, and that is what the visible scores become when you add a mask times "
    "-inf. Do not multiply by it: write -inf at the hidden places only."
)
def times_infinity(scores, real):
    return (scores + ~_visible(scores, real) * -torch.inf).softmax(dim=-1)


@masks.wrong(
    "The right keys are visible, but all of them get the same share: the scores do not come into "
    "it. Hide scores, and take the softmax of what is left."
)
def equal_shares(scores, real):
    visible = _visible(scores, real).float()
    return visible / visible.sum(dim=-1, keepdim=True)


@masks.wrong("The masks are right, but these are still scores: the softmax is missing.")
def masked_scores(scores, real):
    return scores.masked_fill(~_visible(scores, real), -torch.inf)


@masks.wrong(
    "You divide the scores by a root once more; take them as they are, they count as scaled "
    "already."
)
def masked_and_scaled(scores, real):
    return _shown(scores / scores.shape[-1] ** 0.5, _visible(scores, real))


def _table(given, scores):
    """Read a result as an array of the scores' shape, or fail: then no law applies."""
    table = np.asarray(given, dtype=float)
    if table.shape != tuple(scores.shape):
        raise ValueError("another shape")
    return table


@masks.law
def no_empty_row(given, scores, real):
    weights, visible = _table(given, scores), _visible(scores, real)
    for text, query in np.argwhere(np.isnan(weights).any(axis=-1)):
        row = f"Row {query} of text {text} is nan"
        own, seen = scores[text, query], visible[text, query]
        if not np.isnan(weights[text, query]).all():
            return f"{row} in part: does your softmax run along the keys, the last axis?"
        if not seen.all() and own[~seen].max() > own[seen].max() + 80:
            return (
                f"{row}. A hidden score is far above the visible ones here: whoever hides after "
                "the softmax has no weight left, and divides 0 by 0. Hide before the softmax."
            )
        hidden = "The softmax makes nan of a row in which all keys are hidden"
        if real[text, query]:
            return (
                f"{row}, although its token is real. {hidden}: are your masks the right way round?"
            )
        return f"{row}. {hidden}: every query may look at itself, even if it is padding."
    return None


@masks.law
def no_weight_on_what_is_hidden(given, scores, real):
    weights, hidden = _table(given, scores), ~_visible(scores, real).numpy()
    for text, query, key in np.argwhere(hidden & (np.abs(weights) > 1e-6)):
        why, leak = "is padding", "The padding leaks in"
        if key > query:
            why, leak = "comes later", "The future leaks in"
        return (
            f"{leak}: in text {text}, query {query} gives a weight of "
            f"{weights[text, query, key]:.4g} to key {key}, which {why}."
        )
    return None


@masks.law
def what_is_hidden_moves_nothing(given, scores, real):
    """Compare the texts of a batch that differ in hidden scores only."""
    weights, visible = _table(given, scores), _visible(scores, real)
    seen = scores.masked_fill(~visible, 0)
    for one, other in combinations(range(len(scores)), 2):
        same = ((visible[one] == visible[other]) & (seen[one] == seen[other])).all(dim=-1)
        moved = ~np.isclose(weights[one], weights[other], atol=1e-6).all(axis=-1)
        for query in np.flatnonzero(same.numpy() & moved):
            keys = np.flatnonzero(scores[one, query] != scores[other, query])
            if not len(keys):  # then it is something else that moves it
                continue
            kind = "keys that come later" if keys.max() > query else "padding"
            if keys.min() < query < keys.max():
                kind = "later keys and of padding"
            return (
                f"What is hidden still moves your result: row {query} of the texts {one} and "
                f"{other} differs only in scores of {kind}, and yet its weights differ."
            )
    return None


@masks.law
def masked_rows_sum_to_one(given, scores, real):
    sums = _table(given, scores).sum(axis=-1)
    for text, query in np.argwhere(~np.isclose(sums, 1, atol=1e-4)):
        return (
            f"Row {query} of text {text} sums to {sums[text, query]:.4g}, not to 1: the softmax "
            "has to come last, when all is hidden. Otherwise hidden keys still take their share."
        )
    return None


@masks.law
def everything_else_is_visible(given, scores, real):
    weights, right = _table(given, scores), my_masked_weights(scores, real).numpy()
    for text, query, key in np.argwhere((right > 1e-3) & (weights == 0)):
        where = "itself" if key == query else f"key {key}, which is real and not later"
        return f"In text {text}, query {query} gives nothing to {where}: that should be visible."
    return None


# --- merge the heads ---------------------------------------------------------------------------


def _numbered(*shape: int) -> torch.Tensor:
    """Number the places of a tensor from 1 on."""
    return torch.arange(1, 1 + int(np.prod(shape)), dtype=torch.float32).reshape(shape)


merge_heads = Exercise(
    "attention.merge_heads",
    prompt="""
**5. Merge the heads.** After attention, each head has a vector of D numbers for every token. Put
them side by side again: from `x` of shape (B, H, T, D), that is texts, heads, tokens, width, make
a tensor of shape (B, T, H·D). Each row belongs to one token and holds the D numbers of head 0,
then those of head 1, and so on.

Two heads, two tokens, width 2: head 0 has `[1, 2]` for the first token and `[3, 4]` for the
second; head 1 has `[5, 6]` and `[7, 8]`. The rows are `[1, 2, 5, 6]` and `[3, 4, 7, 8]`.
""",
    stub='''
def my_merge_heads(x):
    """Return x (B, H, T, D) as (B, T, H·D): for each token, head after head."""
    return ...
''',
    hints=(
        "A row of the result belongs to one token. So the axis of the tokens has to come before "
        "that of the heads: (B, T, H, D).",
        "x.transpose(1, 2) exchanges the axes 1 and 2. Only then do the numbers of one token "
        "follow each other, head after head.",
        "The shape is (B, T, H, D) now, and its last two axes have to become one. .reshape(B, T, H "
        "* D) does that, and so does .flatten(2).",
    ),
    fixed=(
        (_numbered(1, 2, 1, 2),),
        (_numbered(1, 2, 2, 1),),
        (_numbered(1, 2, 2, 2),),
        (_numbered(1, 2, 3, 1),),
        (_numbered(2, 2, 3, 2),),
        (_numbered(2, 3, 2, 4),),
    ),
)


@merge_heads.reference
def my_merge_heads(x):
    n_texts, n_heads, n_tokens, width = x.shape
    return x.transpose(1, 2).reshape(n_texts, n_tokens, n_heads * width)


@merge_heads.fresh
def some_heads(rng, size):
    shape = [int(n) for n in rng.integers(1, 3 + size // 2, 4)]
    return (_floats(rng.permutation(int(np.prod(shape)))).reshape(shape),)


@merge_heads.wrong(
    "The shape is right, but the numbers are not: view and reshape keep the numbers in their order "
    "and only cut them elsewhere. Your rows hold several tokens of one head, not several heads of "
    "one token. First exchange the axes of heads and tokens."
)
def not_transposed(x):
    n_texts, n_heads, n_tokens, width = x.shape
    return x.reshape(n_texts, n_tokens, n_heads * width)


@merge_heads.wrong(
    "Exchanging the axes is right. After it the numbers do not lie in memory in the order of the "
    "axes any more, and view cannot merge axes then, which is the error: reshape copies them where "
    "needed."
)
def view_after_transpose(x):
    n_texts, n_heads, n_tokens, width = x.shape
    return x.transpose(1, 2).view(n_texts, n_tokens, n_heads * width)


@merge_heads.wrong(
    "Tokens come before heads now, as they should. It remains to make one axis of the last two, so "
    "that each token has a single row of H·D numbers."
)
def not_flattened(x):
    return x.transpose(1, 2)


@merge_heads.wrong(
    "In your rows the heads take turns number by number: the first of each head, then the second "
    "of each. All numbers of head 0 come first, then all of head 1: the width has to stay the last "
    "axis."
)
def heads_take_turns(x):
    return x.permute(0, 2, 3, 1).flatten(2)


@merge_heads.wrong(
    "You exchange the axes 1 and 3, heads and width. Tokens have to come before heads, so exchange "
    "the axes 1 and 2, and leave the width where it is."
)
def heads_and_width_exchanged(x):
    n_texts, n_heads, n_tokens, width = x.shape
    return x.transpose(1, 3).reshape(n_texts, n_tokens, n_heads * width)


@merge_heads.wrong(
    "You exchange the last two axes, tokens and width. Tokens have to come before heads, so "
    "exchange the axes 1 and 2, and leave the width where it is."
)
def tokens_and_width_exchanged(x):
    n_texts, n_heads, n_tokens, width = x.shape
    return x.mT.reshape(n_texts, n_tokens, n_heads * width)


@merge_heads.wrong(
    "You exchange the axes 0 and 2, texts and tokens, and so mix up the texts. Axis 0 stays: "
    "exchange the axes 1 and 2."
)
def texts_and_tokens_exchanged(x):
    n_texts, n_heads, n_tokens, width = x.shape
    return x.transpose(0, 2).reshape(n_texts, n_tokens, n_heads * width)


@merge_heads.wrong(
    "You exchange the axes 0 and 1, texts and heads. Axis 0 stays: exchange the axes 1 and 2."
)
def texts_and_heads_exchanged(x):
    n_texts, n_heads, n_tokens, width = x.shape
    return x.transpose(0, 1).reshape(n_texts, n_tokens, n_heads * width)


@merge_heads.wrong(
    "The rows are right, but tokens come before texts in your result: the first axis is B."
)
def tokens_before_texts(x):
    return my_merge_heads(x).transpose(0, 1)


@merge_heads.wrong(
    "You average over the heads, and so lose what makes them different. Put their numbers side by "
    "side: a row gets H times as long."
)
def averaged(x):
    return x.mean(dim=1)


@merge_heads.wrong(
    "You add the heads up, and so lose what makes them different. Put their numbers side by side: "
    "a row gets H times as long."
)
def added_up(x):
    return x.sum(dim=1)


@merge_heads.wrong("You return the first head only; put all heads side by side.")
def first_head(x):
    return x[:, 0]


@merge_heads.wrong(
    "You put the heads below each other: the tokens of head 0, then those of head 1. They belong "
    "side by side, in one row for each token."
)
def below_each_other(x):
    return x.flatten(1, 2)


@merge_heads.wrong(
    "You put the heads behind each other along the first axis, as if they were more texts (for "
    "torch.cat that is dim=0). They belong side by side, along the last axis."
)
def as_more_texts(x):
    return torch.cat(x.unbind(dim=1))


@merge_heads.wrong(
    "The order is right, but each head of each token has a row of its own. Make one axis of heads "
    "and width, not of tokens and heads."
)
def a_row_for_each_head(x):
    return x.transpose(1, 2).flatten(1, 2)


@merge_heads.wrong(
    "You make one axis of tokens and width, so that there is a row for each head. There should be "
    "a row for each token: first exchange the axes of heads and tokens."
)
def a_row_of_tokens(x):
    return x.flatten(2)


@merge_heads.wrong(
    "The order is right, but you have flattened too much: a whole text is one row. The tokens keep "
    "an axis of their own; only heads and width become one."
)
def one_row_a_text(x):
    return x.transpose(1, 2).flatten(1)


@merge_heads.wrong(
    "You go through the texts and put them side by side: the first axis of x holds the texts, the "
    "second the heads. Put the heads side by side."
)
def texts_side_by_side(x):
    return torch.cat(list(x), dim=-1)


@merge_heads.law
def a_row_for_each_token(given, x):
    n_texts, n_heads, n_tokens, width = x.shape
    if np.shape(given) != (n_texts, n_tokens, n_heads * width):
        return (
            f"Here B = {n_texts}, H = {n_heads}, T = {n_tokens} and D = {width}: the result needs "
            f"the shape (B, T, H·D) = {n_texts, n_tokens, n_heads * width}."
        )
    return None


@merge_heads.law
def a_row_holds_one_token(given, x):
    given, right = np.asarray(given, dtype=float), my_merge_heads(x).numpy()
    for text, token in np.ndindex(*right.shape[:2]):
        row, wanted = given[text, token], right[text, token]
        if set(row) != set(wanted):
            return (
                f"Row {token} of text {text} has to hold the numbers of token {token} in every "
                "head, and no others."
            )
        if list(row) != list(wanted):
            return (
                f"Row {token} of text {text} holds the right numbers in another order: all of "
                "head 0 come first, then all of head 1, and so on."
            )
    return None


# --- the previous token ------------------------------------------------------------------------

_ENOUGH = 0.9  # of a token's weight


def _judge_previous_token(given: Any, n: int) -> str | None:
    if not isinstance(given, list | tuple) or len(given) != 2:
        return "Return two things, the queries and the keys: return q, k."
    for name, value in zip("qk", given):
        if message := _about_table(f"Your {name}", value, n):
            return message
    q, k = (torch.as_tensor(value).detach().cpu().float() for value in given)
    if q.shape[1] != k.shape[1]:
        return (
            f"Your q has the width {q.shape[1]} and your k the width {k.shape[1]}: for a dot "
            "product both need the same."
        )
    return _about_weights(q @ k.T / q.shape[1] ** 0.5)


def _about_table(name: str, value: Any, n: int) -> str | None:
    """Say why these cannot be the queries or keys of n tokens."""
    if not isinstance(value, torch.Tensor | np.ndarray):
        kind = value if value is None else f"a {type(value).__name__}"
        return f"{name} has to be a tensor of shape (n, D), and is {kind}."
    table = torch.as_tensor(value).detach()
    shape = tuple(table.shape)
    if len(shape) != 2 or not shape[1]:
        return (
            f"{name} has the shape {shape}. It needs a row for each of the {n} tokens, and at "
            "least one column; how many is your choice: (n, D)."
        )
    if shape[0] != n:
        return (
            f"{name} has the shape {shape}, and with n = {n} it needs {n} rows, one for each token."
        )
    if not table.isfinite().all():
        return (
            f"{name} holds inf or nan. Infinity times 0 is nan, and one nan spoils a whole row of "
            "weights: a number that is large but finite is enough."
        )
    return None


def _about_weights(scores: torch.Tensor) -> str | None:
    """Say which token does not look at the one before it, and where it looks instead."""
    if not scores.isfinite().all():
        return "Your dot products are too large for a computer: use smaller numbers in q and k."
    weights = _shown(scores, _past(scores))
    for token in range(1, len(scores)):
        weight = float(weights[token, token - 1])
        if weight >= _ENOUGH:
            continue
        so_far = " (the tokens before it do well)" if token > 1 else ""
        return (
            f"With n = {len(scores)}, token {token} puts {weight:.2f} of its weight on token "
            f"{token - 1}, and at least {_ENOUGH} is asked for{so_far}. "
            f"{_where_it_looks(scores, weights, token)}"
        )
    return None


def _where_it_looks(scores: torch.Tensor, weights: torch.Tensor, token: int) -> str:
    """Explain the weights of a token that does not look enough at the one before it."""
    visible, later = scores[token, : token + 1], scores[token, token + 1 :]
    best = int(visible.argmax())
    if len(later) and later.max() > visible.max():
        key = token + 1 + int(later.argmax())
        return (
            f"Its highest score is for token {key}, which comes later, and the mask hides that: "
            "your queries look forward. Shift them the other way."
        )
    if visible.max() - visible.min() < 1e-3:
        return (
            f"All {token + 1} keys that it sees have the same score, so each gets the same share: "
            "its query has to tell the key of the token before it from the others."
        )
    most = f"Most of it, {weights[token, best]:.2f}, goes to"
    if best == token - 1:
        others = torch.cat([visible[: token - 1], visible[token:]])
        return (
            f"That is the right key, but its score is only {visible[best] - others.max():.2f} "
            "above the next best. A larger gap makes a larger weight: multiply q or k by a larger "
            "number."
        )
    if best == token:
        return (
            f"{most} itself: its query fits its own key better than the key of token {token - 1}."
        )
    return f"{most} token {best}: it is that key which its query fits best."


previous_token = Exercise(
    "attention.previous_token",
    prompt="""
**6. Look at the token before.** Some heads of real models do nothing but look one token back.
Build such a head by hand: for `n` tokens, numbered from 0, choose queries `q` and keys `k`, both
of shape (n, D). The width D is yours to choose. `check` does with them what you know: dot
products, divided by the root of D, then the causal mask, then the softmax. Every token *i* from 1
on has to put at least 0.9 of its weight on token *i* − 1. Token 0 can look at nothing but itself,
so its query does not matter.

Your function has to work for every `n` from 2 to 70. For `n = 3` the weights could be `[[1, 0,
0], [0.99, 0.01, 0], [0, 0.99, 0.01]]`.
""",
    stub='''
def my_previous_token(n):
    """Return q and k (n, D) with which every token looks at the one before it."""
    q = ...
    k = ...
    return q, k
''',
    hints=(
        "Give every position a key of its own that no other key resembles: the rows of "
        "torch.eye(n), each with a single 1, have the dot product 0 with each other.",
        "The query of token i should have a large dot product with the key of token i - 1 and with "
        "no other. So it is that very key: the queries are the keys, shifted by one row.",
        "If the direction is right and the weight too small, multiply: a query of 100 times a key "
        "has a score 100 times as large. Remember that scores are divided by the root of D.",
    ),
    fixed=((2,), (3,), (4,), (9,), (70,)),
    judge=_judge_previous_token,
)


@previous_token.reference
def my_previous_token(n):
    k = torch.eye(n)  # the key of token j has a 1 at place j
    q = torch.zeros(n, n)
    for i in range(1, n):
        q[i, i - 1] = 100.0  # the query of token i fits the key of token i - 1
    return q, k


@previous_token.fresh
def number_of_tokens(rng, size):
    return (int(rng.integers(2, 4 + 8 * size)),)


def _one_back(n):
    """The queries of the reference, before they are multiplied."""
    return torch.diag(torch.ones(n - 1), -1)


@previous_token.wrong(
    "Every token looks at itself most, since its query is its own key. It has to be the key of the "
    "token before it: shift the queries by one row. (And multiply them, for more than a small "
    "preference.)"
)
def at_itself(n):
    return torch.eye(n), torch.eye(n)


@previous_token.wrong(
    "Your queries look one token ahead: row i holds the key of token i + 1, which the mask hides. "
    "Shift them the other way."
)
def one_ahead(n):
    return 100 * _one_back(n).T, torch.eye(n)


@previous_token.wrong(
    "You have shifted the keys instead of the queries, and that is the other way round: query i "
    "fits the key of token i + 1, which the mask hides. Let q and k change places."
)
def keys_shifted(n):
    return torch.eye(n), 100 * _one_back(n)


@previous_token.wrong(
    "The direction is right, but a score that is only a little larger than the others makes a "
    "weight that is only a little larger. Multiply q or k by a large number."
)
def too_weak(n):
    return _one_back(n), torch.eye(n)


@previous_token.wrong(
    "That is enough for a few tokens only. With more of them your width grows, and the scores are "
    "divided by a larger root; besides, more keys share the rest. Multiply by a larger number."
)
def too_weak_for_many(n):
    return 10 * _one_back(n), torch.eye(n)


@previous_token.wrong(
    "You always make four tokens. Make q and k for n of them: the function is tried with several n."
)
def four_tokens_always(n):
    return 100 * _one_back(4), torch.eye(4)


@previous_token.wrong(
    "Infinity times 0 is nan, not 0, and one nan spoils a whole row of weights. A number that is "
    "large but finite is enough."
)
def infinite(n):
    return torch.inf * _one_back(n), torch.eye(n)


@previous_token.wrong(
    "All keys are the same, so no query can tell them apart, and every key gets the same share. "
    "Give each position a key of its own."
)
def all_the_same(n):
    return torch.ones(n, n), torch.ones(n, n)


@previous_token.wrong(
    "With a single number for each position the largest key always wins, and that is the token "
    "itself, or the first one. Give each position a direction of its own: a column for each."
)
def numbers_of_positions(n):
    positions = torch.arange(n).float()[:, None]
    return positions, positions


@previous_token.wrong(
    "These are the weights that should come out. Return what they are made of, the queries and the "
    "keys: return q, k."
)
def the_weights(n):
    return _one_back(n)
