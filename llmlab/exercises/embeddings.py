"""The exercises of notebook 3: words as vectors."""

from __future__ import annotations

import numpy as np

from llmlab.exercises.comparing import difference
from llmlab.exercises.exercise import Exercise

# --- the cosine of two vectors -----------------------------------------------------------------

cosine = Exercise(
    "embeddings.cosine",
    prompt="""
**1. The cosine.** Write the cosine of the angle between two vectors `a` and `b`: their dot
product, divided by the length of each. Both are NumPy arrays of the same length, and neither
consists of zeros only.
""",
    stub='''
def my_cosine(a, b):
    """Return the cosine of the angle between the vectors a and b."""
    return ...
''',
    hints=(
        "a @ b is the dot product. Divide it by both lengths.",
        "The length of a is the square root of a @ a; np.linalg.norm(a) is the same number.",
        "Put brackets around what you divide by: x / (y * z), because x / y * z means (x / y) * z.",
    ),
    fixed=(
        (np.array([1.0, 0.0]), np.array([2.0, 0.0])),
        (np.array([1.0, 0.0]), np.array([0.0, 3.0])),
        (np.array([3.0, 4.0]), np.array([-4.0, 3.0])),
        (np.array([3.0, 4.0]), np.array([-6.0, -8.0])),
        (np.array([1.0, 2.0, 2.0]), np.array([2.0, 0.0, 0.0])),
    ),
)


@cosine.reference
def my_cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@cosine.fresh
def two_vectors(rng, size):
    return rng.normal(size=size + 1).round(2) + 0.001, rng.normal(size=size + 1).round(2) + 0.001


@cosine.wrong(
    "You return the dot product itself, which grows with the lengths: divide it by both lengths."
)
def dot_product(a, b):
    return float(a @ b)


@cosine.wrong("You divide by the length of one of the two vectors only; divide by both.")
def one_length(a, b):
    return float(a @ b / np.linalg.norm(a))


@cosine.wrong("You divide by the length of one of the two vectors only; divide by each of them.")
def other_length(a, b):
    return float(a @ b / np.linalg.norm(b))


@cosine.wrong(
    "You divide by one length and then multiply by the other: x / y * z is (x / y) * z. Put "
    "brackets around y * z."
)
def missing_brackets(a, b):
    return float(a @ b / np.linalg.norm(a) * np.linalg.norm(b))


@cosine.wrong(
    "You divide by the squares of the lengths: a length is the square root of a @ a, not a @ a "
    "itself."
)
def squared_lengths(a, b):
    return float(a @ b / ((a @ a) * (b @ b)))


@cosine.wrong("You add the two lengths; the dot product is divided by their product.")
def sum_of_lengths(a, b):
    return float(a @ b / (np.linalg.norm(a) + np.linalg.norm(b)))


@cosine.wrong(
    "Your result has no sign any more: vectors that point in opposite directions have a cosine "
    "below 0."
)
def without_sign(a, b):
    return abs(my_cosine(a, b))


@cosine.wrong(
    "You return 1 minus the cosine, which says how far apart two vectors are; asked for is the "
    "cosine itself."
)
def one_minus_cosine(a, b):
    return 1 - my_cosine(a, b)


@cosine.wrong("You return the angle; asked for is its cosine, so leave out np.arccos.")
def angle(a, b):
    return float(np.arccos(np.clip(my_cosine(a, b), -1, 1)))


@cosine.wrong(
    "You multiply the two vectors number by number, and an array comes out: the dot product is the "
    "sum of these products, a @ b."
)
def not_summed(a, b):
    return a * b / (np.linalg.norm(a) * np.linalg.norm(b))


@cosine.wrong(
    "x ** 1/2 is (x ** 1) / 2, the half of x: write x ** (1/2), or np.sqrt(x), for each of the two "
    "lengths."
)
def halves_for_roots(a, b):
    return float(a @ b / ((a @ a) ** 1 / 2 * ((b @ b) ** 1 / 2)))


@cosine.wrong(
    "x ** 1/2 is (x ** 1) / 2, the half of x: write x ** (1/2), or np.sqrt(x), for what you divide "
    "by."
)
def half_for_the_root(a, b):
    return float(a @ b / (((a @ a) * (b @ b)) ** 1 / 2))


@cosine.law
def within_one(given, a, b):
    if abs(given) > 1 + 1e-6:
        return "A cosine lies between -1 and 1, whatever the two vectors are."
    return None


# --- nearest neighbours ------------------------------------------------------------------------

_NAMES = ["sun", "moon", "star", "sea", "river", "lake", "hill", "tree", "leaf", "bird", "fish"]
_NAMES += ["horse", "bread", "salt", "wine"]
_HEIGHTS = np.array([[0.0, 1.0], [0.2, 2.0], [9.0, 3.0], [0.0, -1.0]])

nearest = Exercise(
    "embeddings.nearest",
    prompt="""
**2. Nearest neighbours.** Row number *i* of the matrix `vectors` belongs to word number *i* of
the list `words`. Return the `k` words whose vectors have the largest cosine with that of the word
`query`, as a list, the nearest first. The query itself is not its own neighbour: leave it out.
""",
    stub='''
def my_nearest(query, words, vectors, k):
    """Return the k words nearest to the query by cosine, the nearest first."""
    return ...
''',
    hints=(
        "Divide every row of vectors by its length: then one product of matrix and vector gives "
        "all cosines at once.",
        "np.argsort sorts upwards, and you need the largest first: sort minus the cosines.",
        "Go through the sorted places, skip the one of the query, and stop when you have k words.",
    ),
    fixed=(
        ("up", ["up", "high", "far", "down"], _HEIGHTS, 2),
        ("high", ["up", "high", "far", "down"], _HEIGHTS, 1),
        ("far", ["up", "high", "far", "down"], _HEIGHTS, 2),
    ),
)


@nearest.reference
def my_nearest(query, words, vectors, k):
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    place = words.index(query)
    cosines = directions @ directions[place]
    order = [i for i in np.argsort(-cosines) if i != place]
    return [words[i] for i in order[:k]]


@nearest.fresh
def small_vocabulary(rng, size):
    n_words = 3 + size
    names = [str(name) for name in rng.permutation(_NAMES)[:n_words]]
    lengths = np.exp(rng.normal(size=(n_words, 1)))
    vectors = (lengths * rng.normal(size=(n_words, 1 + size))).round(2) + 0.001
    return str(rng.choice(names)), names, vectors, int(rng.integers(1, n_words))


def _ranked(scores, words, k):
    return [words[i] for i in np.argsort(-scores)[:k]]


def _cosines(query, words, vectors):
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return directions @ directions[words.index(query)]


@nearest.wrong(
    "The query itself is in your list: every vector has the cosine 1 with itself, so leave that "
    "word out."
)
def query_included(query, words, vectors, k):
    return _ranked(_cosines(query, words, vectors), words, k)


@nearest.wrong("One word is missing: the query is one of your k. Leave it out first, then take k.")
def one_too_few(query, words, vectors, k):
    return [word for word in query_included(query, words, vectors, k) if word != query]


@nearest.wrong(
    "Your order is that of the dot product: every row has to be divided by its own length "
    "(axis=1), not all by one number."
)
def by_dot_product(query, words, vectors, k):
    scores = vectors @ vectors[words.index(query)]
    scores[words.index(query)] = -np.inf
    return _ranked(scores, words, k)


@nearest.wrong(
    "You sort by the dot product, and the query is not left out: divide every vector by its "
    "length, and skip the query."
)
def dot_product_with_query(query, words, vectors, k):
    return _ranked(vectors @ vectors[words.index(query)], words, k)


@nearest.wrong(
    "You sort by the dot product and leave out the first place, but by the dot product that need "
    "not be the query: divide every row by its own length (axis=1)."
)
def dot_product_without_first(query, words, vectors, k):
    return dot_product_with_query(query, words, vectors, k + 1)[1:]


@nearest.wrong(
    "Your list begins with the words that are farthest away: np.argsort sorts upwards, so turn "
    "the order round."
)
def farthest_first(query, words, vectors, k):
    return [
        word for word in _ranked(-_cosines(query, words, vectors), words, None) if word != query
    ][:k]


@nearest.wrong(
    "These are the right words, but the farthest of them comes first: turn your list round."
)
def right_words_farthest_first(query, words, vectors, k):
    return my_nearest(query, words, vectors, k)[::-1]


@nearest.wrong(
    "You sort by the distance between the tips of the vectors, which depends on their lengths "
    "too: use the cosine."
)
def by_distance(query, words, vectors, k):
    gaps = np.linalg.norm(vectors - vectors[words.index(query)], axis=1)
    return [word for word in _ranked(-gaps, words, None) if word != query][:k]


@nearest.wrong("You return the numbers of the words; look up the words themselves: words[i].")
def numbers(query, words, vectors, k):
    return [words.index(word) for word in my_nearest(query, words, vectors, k)]


# --- analogies ---------------------------------------------------------------------------------

_ROYAL = np.array([[1.0, 0, 1], [1, 1, 1], [1, 0, 6], [2, 1, 5], [0, 0, 12]])  # as in `fixed`
_BIRDS = np.array([[4.0, 2], [2, 0], [3, -2], [-1, 3], [-1, 0.5]])
_SALTS = np.array([[2.0, 0], [2.5, 0], [0, 4], [1, 3], [-3, 1]])
_WATERS = np.array([[1.0, 0], [0, 4], [1, 1], [0.05, 1], [-0.3, 1.7]])

analogy = Exercise(
    "embeddings.analogy",
    prompt="""
**3. Analogies.** *man* is to *king* as *woman* is to …? Return the word whose vector has the
largest cosine with *king − man + woman*. Here `a` is *man*, `b` is *king* and `c` is *woman*; in
general it is the vector of `b` minus that of `a` plus that of `c`. Add the vectors as they are,
with their own lengths, and leave out the three words of the question.
""",
    stub='''
def my_analogy(a, b, c, words, vectors):
    """Return the word that is to c as b is to a."""
    return ...
''',
    hints=(
        "First the target: three rows of vectors, one of them subtracted.",
        "Then the cosine of every row with the target. (The length of the target is the same for "
        "all of them, so you need not divide by it.)",
        "Set the cosines of the three words to -np.inf, and take the place of the largest: argmax.",
    ),
    fixed=(
        ("man", "king", "woman", ["man", "woman", "king", "queen", "throne"], _ROYAL),
        (
            "king",
            "queen",
            "man",
            ["woman", "man", "queen", "king", "throne"],
            _ROYAL[[1, 0, 3, 2, 4]],
        ),
        # Were nothing left out, b would be the answer in the first, a in the third, and c in the
        # fourth. In the third, the cosines of all other words are below 0.
        ("bird", "tree", "fish", ["tree", "bird", "fish", "sea", "hill"], _BIRDS),
        ("salt", "bread", "wine", ["salt", "bread", "wine", "lake", "hill"], _SALTS),
        # Here it matters that the vectors are added with their lengths.
        ("lake", "sea", "river", ["lake", "sea", "river", "hill", "leaf"], _WATERS),
    ),
)


@analogy.reference
def my_analogy(a, b, c, words, vectors):
    place = {word: i for i, word in enumerate(words)}
    target = vectors[place[b]] - vectors[place[a]] + vectors[place[c]]
    cosines = vectors @ target / np.linalg.norm(vectors, axis=1)
    cosines[[place[a], place[b], place[c]]] = -np.inf
    return words[int(cosines.argmax())]


@analogy.fresh
def question(rng, size):
    n_words = 5 + size
    names = [str(name) for name in rng.permutation(_NAMES)[:n_words]]
    lengths = np.exp(rng.normal(size=(n_words, 1)))
    vectors = (lengths * rng.normal(size=(n_words, 2 + size))).round(2) + 0.001
    a, b, c = (str(name) for name in rng.choice(names, size=3, replace=False))
    return a, b, c, names, vectors


def _best(target, without, words, vectors, *, by_cosine=True):
    scores = vectors @ target
    if by_cosine:
        scores = scores / np.linalg.norm(vectors, axis=1)
    scores[[words.index(word) for word in without]] = -np.inf
    return words[int(scores.argmax())]


def _three(a, b, c, words, vectors):
    return [vectors[words.index(word)] for word in (a, b, c)]


@analogy.wrong(
    "You may return one of the three words of the question, most often b itself: leave all three "
    "out."
)
def nothing_left_out(a, b, c, words, vectors):
    one, two, three = _three(a, b, c, words, vectors)
    return _best(two - one + three, (), words, vectors)


@analogy.wrong("You leave out a only; b and c may not be the answer either.")
def only_a_left_out(a, b, c, words, vectors):
    one, two, three = _three(a, b, c, words, vectors)
    return _best(two - one + three, (a,), words, vectors)


@analogy.wrong("You leave out b only; a and c may not be the answer either.")
def only_b_left_out(a, b, c, words, vectors):
    one, two, three = _three(a, b, c, words, vectors)
    return _best(two - one + three, (b,), words, vectors)


@analogy.wrong("You leave out c only; a and b may not be the answer either.")
def only_c_left_out(a, b, c, words, vectors):
    one, two, three = _three(a, b, c, words, vectors)
    return _best(two - one + three, (c,), words, vectors)


@analogy.wrong("You leave out b and c, but a may still be your answer: leave out all three words.")
def a_not_left_out(a, b, c, words, vectors):
    one, two, three = _three(a, b, c, words, vectors)
    return _best(two - one + three, (b, c), words, vectors)


@analogy.wrong("You leave out a and c, but b may still be your answer: leave out all three words.")
def b_not_left_out(a, b, c, words, vectors):
    one, two, three = _three(a, b, c, words, vectors)
    return _best(two - one + three, (a, c), words, vectors)


@analogy.wrong("You leave out a and b, but c may still be your answer: leave out all three words.")
def c_not_left_out(a, b, c, words, vectors):
    one, two, three = _three(a, b, c, words, vectors)
    return _best(two - one + three, (a, b), words, vectors)


@analogy.wrong(
    "Setting the cosines of the three words to 0 does not leave them out, for the others may all "
    "be below 0: set them to -np.inf."
)
def set_to_zero(a, b, c, words, vectors):
    one, two, three = _three(a, b, c, words, vectors)
    scores = vectors @ (two - one + three) / np.linalg.norm(vectors, axis=1)
    scores[[words.index(word) for word in (a, b, c)]] = 0
    return words[int(scores.argmax())]


@analogy.wrong(
    "Your signs are the wrong way round: take away a, what king and man share, and add b and c."
)
def wrong_sign(a, b, c, words, vectors):
    one, two, three = _three(a, b, c, words, vectors)
    return _best(one - two + three, (a, b, c), words, vectors)


@analogy.wrong("You take away c and add a; take away a, and add c.")
def c_taken_away(a, b, c, words, vectors):
    one, two, three = _three(a, b, c, words, vectors)
    return _best(one + two - three, (a, b, c), words, vectors)


@analogy.wrong("You add all three vectors; that of a has to be taken away.")
def all_added(a, b, c, words, vectors):
    return _best(sum(_three(a, b, c, words, vectors)), (a, b, c), words, vectors)


@analogy.wrong(
    "You take the largest dot product, which favours long vectors: divide by the length of each "
    "row."
)
def largest_dot_product(a, b, c, words, vectors):
    one, two, three = _three(a, b, c, words, vectors)
    return _best(two - one + three, (a, b, c), words, vectors, by_cosine=False)


@analogy.wrong(
    "You divide the three vectors by their lengths before you add them; here they are added as "
    "they are, and only the cosines are taken without the lengths."
)
def unit_vectors_added(a, b, c, words, vectors):
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return my_analogy(a, b, c, words, directions)


@analogy.wrong(
    "You return the word whose vector is the least distance away from the target; asked for is "
    "the largest cosine, which does not depend on lengths."
)
def least_distance(a, b, c, words, vectors):
    one, two, three = _three(a, b, c, words, vectors)
    gaps = np.linalg.norm(vectors - (two - one + three), axis=1)
    gaps[[words.index(word) for word in (a, b, c)]] = np.inf
    return words[int(gaps.argmin())]


@analogy.wrong("You return the number of the word; look up the word itself: words[i].")
def number(a, b, c, words, vectors):
    return words.index(my_analogy(a, b, c, words, vectors))


# --- pairs of a word and its contexts ----------------------------------------------------------

pairs = Exercise(
    "embeddings.pairs",
    prompt="""
**4. Words and their contexts.** Return all pairs `(word, context)` of a text: every word with
each word that stands at most `window` places before or after it. Go through the words from left
to right, and for each of them through its contexts from left to right. At the two ends of the
text a word has fewer contexts. For example, `my_pairs(["a", "b", "c"], 1)` gives
`[("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")]`.
""",
    stub='''
def my_pairs(words, window):
    """Return all pairs (word, context) at most window places apart."""
    return ...
''',
    hints=(
        "Two loops: one over the places of the words, one over the places around each of them.",
        "The places around place i run from i - window to i + window, but never below 0 and never "
        "beyond the last word: max(0, ...) and min(len(words), ...) hold them inside.",
        "Skip the place j == i, and remember that range(start, end) leaves out its end.",
    ),
    fixed=(
        (["a", "b"], 1),
        (["the", "dog", "bit", "the", "man"], 1),
        (["the", "more", "the", "better"], 2),
    ),
)


@pairs.reference
def my_pairs(words, window):
    found = []
    for i in range(len(words)):
        for j in range(max(0, i - window), min(len(words), i + window + 1)):
            if j != i:
                found.append((words[i], words[j]))
    return found


@pairs.fresh
def short_text(rng, size):
    words = [str(word) for word in rng.choice(_NAMES[:6], size=1 + size)]
    return words, int(rng.integers(1, 4))


@pairs.wrong("You look to the right only; a word's contexts stand on both sides of it.")
def right_side_only(words, window):
    return [
        (word, context) for i, word in enumerate(words) for context in words[i + 1 : i + window + 1]
    ]


@pairs.wrong("You look to the left only; a word's contexts stand on both sides of it.")
def left_side_only(words, window):
    return [
        (word, context) for i, word in enumerate(words) for context in words[max(0, i - window) : i]
    ]


@pairs.wrong("You pair every word with itself as well: skip the place of the word, j == i.")
def with_itself(words, window):
    return [
        (word, context)
        for i, word in enumerate(words)
        for context in words[max(0, i - window) : i + window + 1]
    ]


@pairs.wrong(
    "A word that comes twice may be its own context: skip the same place (j == i), not the same "
    "word."
)
def same_word_skipped(words, window):
    return [(word, context) for word, context in with_itself(words, window) if context != word]


@pairs.wrong("The last context is missing: range leaves out its end, so go to i + window + 1.")
def end_left_out(words, window):
    return [
        (word, words[j])
        for i, word in enumerate(words)
        for j in range(max(0, i - window), min(len(words), i + window))
        if j != i
    ]


@pairs.wrong(
    "At the beginning of the text your places go below 0, and words[-1] is the last word: start "
    "at max(0, i - window)."
)
def round_the_corner(words, window):
    return [
        (word, words[j])
        for i, word in enumerate(words)
        for j in range(i - window, min(len(words), i + window + 1))
        if j != i
    ]


@pairs.wrong(
    "You leave out the words near the two ends: they have fewer contexts, but they have some."
)
def whole_windows_only(words, window):
    return [
        (words[i], words[j])
        for i in range(window, len(words) - window)
        for j in range(i - window, i + window + 1)
        if j != i
    ]


@pairs.wrong(
    "At the beginning of the text i - window is below 0, and a slice such as words[-1:1] starts "
    "near the end of the text and is mostly empty: start at max(0, i - window)."
)
def slice_from_below_zero(words, window):
    return [
        (word, context)
        for i, word in enumerate(words)
        for context in words[i - window : i] + words[i + 1 : i + window + 1]
    ]


@pairs.wrong("Your pairs are turned round: the word comes first in a pair, then its context.")
def turned_round(words, window):
    return [(context, word) for word, context in my_pairs(words, window)]


@pairs.wrong(
    "You return the places of the words; look up the words themselves: words[i], words[j]."
)
def places(words, window):
    return my_pairs(range(len(words)), window)


_ONCE = (
    "A pair that occurs several times in the text has to come as often in your list, and there it "
    "comes only once."
)


@pairs.wrong(_ONCE)
def each_pair_once(words, window):
    return list(dict.fromkeys(my_pairs(words, window)))


@pairs.law
def each_pair_as_often_as_it_occurs(given, words, window):
    right = my_pairs(words, window)
    if isinstance(given, list | tuple) and len(given) < len(right) and set(given) == set(right):
        return _ONCE if len(given) == len(set(given)) else None
    return None


@pairs.law
def in_the_order_of_the_text(given, words, window):
    right = my_pairs(words, window)
    if isinstance(given, list | tuple) and list(given) != right and sorted(given) == sorted(right):
        return (
            "These are the right pairs in another order: word by word from left to right, and for "
            "each word its contexts from left to right."
        )
    return None


# --- the loss of skip-gram with negative sampling ----------------------------------------------

negative_sampling = Exercise(
    "embeddings.negative_sampling",
    prompt="""
**5. Negative sampling, with its gradient.** `word` is the vector of a word, `context` that of a
word seen beside it, and every row of the matrix `noise` that of a word drawn by chance. Return
two things: the loss, which is minus the logarithm of σ(`word · context`), plus, for each row `n`
of the noise, minus the logarithm of σ(`-word · n`); and its gradient with respect to `word`, an
array as long as `word`. The logarithm is the natural one, `np.log`.

For the gradient: the derivative of -ln σ(*x*) with respect to *x* is σ(*x*) - 1, and that of
-ln σ(-*x*) is σ(*x*). By the chain rule, a score `word · v` passes its derivative on to `word`
multiplied by the vector `v`.
""",
    stub='''
def my_negative_sampling(word, context, noise):
    """Return the loss and its gradient with respect to word."""
    loss = ...
    gradient = ...
    return loss, gradient
''',
    hints=(
        "Write σ first: 1 / (1 + np.exp(-x)). noise @ word gives the scores of all noise words at "
        "once, and .sum() adds their losses.",
        "The gradient has one part for each score in the loss: a number, which is the derivative "
        "with respect to that score, times a vector, which is the context or a row of the noise. "
        "The parts are added up.",
        "The context's number lies between -1 and 0, a noise word's between 0 and 1. With all "
        "numbers of the noise in one array, numbers @ noise multiplies each row by its number and "
        "adds them up.",
    ),
    fixed=(
        (np.array([1.0]), np.array([2.0]), np.array([[0.5]])),
        (np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([[1.0, 1.0], [-2.0, 0.5]])),
    ),
)


@negative_sampling.reference
def my_negative_sampling(word, context, noise):
    def sigma(x):
        return 1 / (1 + np.exp(-x))

    loss = -np.log(sigma(word @ context)) - np.log(sigma(-(noise @ word))).sum()
    gradient = (sigma(word @ context) - 1) * context + sigma(noise @ word) @ noise
    return float(loss), gradient


@negative_sampling.fresh
def three_vectors(rng, size):
    return (
        rng.normal(size=size).round(2) + 0.001,
        rng.normal(size=size).round(2) + 0.001,
        rng.normal(size=(1 + size, size)).round(2) + 0.001,
    )


def _sigma(x):
    return 1 / (1 + np.exp(-x))


def _loss(word, context, noise):
    return my_negative_sampling(word, context, noise)[0]


def _gradient(word, context, noise):
    return my_negative_sampling(word, context, noise)[1]


@negative_sampling.wrong(
    "You give the noise words the sign of the context, which pulls them nearer too: their scores "
    "need a minus, σ(-word · n)."
)
def noise_pulled(word, context, noise):
    loss = -np.log(_sigma(word @ context)) - np.log(_sigma(noise @ word)).sum()
    gradient = (_sigma(word @ context) - 1) * context + (_sigma(noise @ word) - 1) @ noise
    return float(loss), gradient


@negative_sampling.wrong(
    "The sign of the noise is right in your gradient but not in your loss: there it is "
    "σ(-word · n)."
)
def noise_pulled_in_the_loss(word, context, noise):
    return noise_pulled(word, context, noise)[0], _gradient(word, context, noise)


@negative_sampling.wrong(
    "Your loss is right, but your gradient pulls the noise words nearer: their part is "
    "σ(word · n) * n, with a plus."
)
def noise_pulled_in_the_gradient(word, context, noise):
    return _loss(word, context, noise), noise_pulled(word, context, noise)[1]


@negative_sampling.wrong(
    "You take the noise part away from the loss; minus its logarithms are positive numbers, and "
    "they are added."
)
def noise_taken_from_the_loss(word, context, noise):
    loss = -np.log(_sigma(word @ context)) + np.log(_sigma(-(noise @ word))).sum()
    return float(loss), _gradient(word, context, noise)


@negative_sampling.wrong(
    "Your loss is right, but in your gradient the noise part has a minus: it is σ(word · n) * n, "
    "with a plus."
)
def noise_taken_from_the_gradient(word, context, noise):
    pull = (_sigma(word @ context) - 1) * context
    return _loss(word, context, noise), pull - _sigma(noise @ word) @ noise


@negative_sampling.wrong(
    "You take the noise part away from the loss, and from the gradient as well; in both it is "
    "added."
)
def noise_taken_from_both(word, context, noise):
    loss, _ = noise_taken_from_the_loss(word, context, noise)
    return loss, noise_taken_from_the_gradient(word, context, noise)[1]


@negative_sampling.wrong(
    "Your loss is right, but the context's part of your gradient has the wrong sign: it is "
    "σ(word · context) - 1, below 0, times the context."
)
def context_pushed(word, context, noise):
    push = (1 - _sigma(word @ context)) * context
    return _loss(word, context, noise), push + _sigma(noise @ word) @ noise


@negative_sampling.wrong(
    "You average over the noise words; here they are added up, so that more of them weigh more."
)
def noise_averaged(word, context, noise):
    pull = (_sigma(word @ context) - 1) * context
    loss = -np.log(_sigma(word @ context)) - np.log(_sigma(-(noise @ word))).mean()
    return float(loss), pull + _sigma(noise @ word) @ noise / len(noise)


@negative_sampling.wrong(
    "Your gradient is right, but your loss takes the average over the noise words: add their "
    "losses up, with .sum()."
)
def noise_averaged_in_the_loss(word, context, noise):
    return noise_averaged(word, context, noise)[0], _gradient(word, context, noise)


@negative_sampling.wrong(
    "Your loss is right, but your gradient takes the average over the noise words: add their parts "
    "up."
)
def noise_averaged_in_the_gradient(word, context, noise):
    return _loss(word, context, noise), noise_averaged(word, context, noise)[1]


@negative_sampling.wrong(
    "Your loss is an array with a number for each noise word: add the losses of the noise words "
    "up, with .sum(), to get one number."
)
def loss_not_summed(word, context, noise):
    loss = -np.log(_sigma(word @ context)) - np.log(_sigma(-(noise @ word)))
    return loss, _gradient(word, context, noise)


@negative_sampling.wrong(
    "Your loss is right, but your gradient is one number: multiply the derivative of each score by "
    "its vector, the context or a row of the noise."
)
def vectors_forgotten(word, context, noise):
    slopes = _sigma(word @ context) - 1 + _sigma(noise @ word).sum()
    return _loss(word, context, noise), float(slopes)


@negative_sampling.wrong(
    "Your loss is right, but your gradient has the opposite sign: it points to where the loss "
    "*grows*, and training walks against it."
)
def downhill(word, context, noise):
    return _loss(word, context, noise), -_gradient(word, context, noise)


@negative_sampling.wrong(
    "Your loss is right, but your gradient leaves out the noise words: every score that the loss "
    "contains has its part in it."
)
def gradient_without_noise(word, context, noise):
    return _loss(word, context, noise), (_sigma(word @ context) - 1) * context


@negative_sampling.wrong(
    "Your loss is right, but the context's part of your gradient lacks the - 1: the derivative of "
    "-ln σ(x) is σ(x) - 1."
)
def gradient_without_one(word, context, noise):
    pull = _sigma(word @ context) * context
    return _loss(word, context, noise), pull + _sigma(noise @ word) @ noise


@negative_sampling.wrong(
    "Your loss is right, but this is its gradient with respect to context; asked for is the one "
    "with respect to word."
)
def gradient_of_the_context(word, context, noise):
    return _loss(word, context, noise), (_sigma(word @ context) - 1) * word


@negative_sampling.wrong(
    "The minus before the logarithms is missing: a loss is never below 0, and smaller is better."
)
def minus_forgotten(word, context, noise):
    return -_loss(word, context, noise), _gradient(word, context, noise)


@negative_sampling.wrong(
    "The minus before the logarithms is missing, and your gradient follows: a loss is never below "
    "0, and smaller is better."
)
def minus_forgotten_twice(word, context, noise):
    return -_loss(word, context, noise), -_gradient(word, context, noise)


@negative_sampling.wrong(
    "Return two things, separated by a comma: the loss and the gradient. Your function returns "
    "the loss only."
)
def loss_only(word, context, noise):
    return _loss(word, context, noise)


@negative_sampling.wrong("You return the gradient first; the loss comes first, then the gradient.")
def gradient_first(word, context, noise):
    return _gradient(word, context, noise), _loss(word, context, noise)


def _is_finished(given):
    """Whether an answer is a pair in which nothing is left to write."""
    is_pair = isinstance(given, list | tuple) and len(given) == 2
    return is_pair and not any(part is None or part is ... for part in given)


@negative_sampling.law
def the_loss(given, word, context, noise):
    if _is_finished(given) and difference(_loss(word, context, noise), given[0]):
        return "The loss is not right yet; it is at place 0 of your result."
    return None


@negative_sampling.law
def the_gradient(given, word, context, noise):
    if _is_finished(given) and difference(_gradient(word, context, noise), given[1]):
        return (
            "With these numbers the loss is right, but not the gradient, at place 1 of your result."
        )
    return None


# --- sinusoidal positions ----------------------------------------------------------------------

sinusoidal = Exercise(
    "embeddings.sinusoidal",
    prompt="""
**6. Sinusoidal positions.** Make the table of positions from section 3.5 of *Attention Is All You
Need*, with `n_positions` rows and `width` columns (an even number). In row *p*, columns 2*i* and
2*i* + 1 are a pair: the sine and the cosine of the same angle, *p* divided by 10000 to the power
of 2*i* / `width`. Rows, columns and *i* are counted from 0, and angles are in radians, as in
NumPy.
""",
    stub='''
def my_sinusoidal(n_positions, width):
    """Return the array (n_positions, width) of sinusoidal positions."""
    return ...
''',
    hints=(
        "First the angles, one for each position and each pair: an array (n_positions, width / 2).",
        "np.arange(n_positions)[:, None] is a column of positions, 10000 ** (np.arange(0, width, "
        "2) / width) a row of divisors; dividing the column by the row gives all the angles.",
        "table[:, 0::2] are the even columns, table[:, 1::2] the odd ones: assign np.sin(angles) "
        "to the first and np.cos(angles) to the second.",
    ),
    fixed=((1, 2), (2, 4), (3, 6)),
)


@sinusoidal.reference
def my_sinusoidal(n_positions, width):
    divisors = 10000 ** (np.arange(0, width, 2) / width)
    angles = np.arange(n_positions)[:, None] / divisors
    table = np.zeros((n_positions, width))
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles)
    return table


@sinusoidal.fresh
def size_of_a_table(rng, size):
    return int(rng.integers(1, 4 + 2 * size)), int(2 * rng.integers(1, 2 + size))


def _angles(n_positions, width):
    divisors = 10000 ** (np.arange(0, width, 2) / width)
    return np.arange(n_positions)[:, None] / divisors


def _table(sines, cosines):
    return np.stack([sines, cosines], axis=2).reshape(len(sines), -1)


@sinusoidal.wrong(
    "You put all sines first and then all cosines; here they take turns: sines in the even "
    "columns, cosines in the odd ones."
)
def halves(n_positions, width):
    angles = _angles(n_positions, width)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


@sinusoidal.wrong("Sine and cosine have changed places: column 0 is a sine, column 1 a cosine.")
def swapped(n_positions, width):
    angles = _angles(n_positions, width)
    return _table(np.cos(angles), np.sin(angles))


@sinusoidal.wrong("Your first row is position 1; positions are counted from 0.")
def from_one(n_positions, width):
    angles = _angles(n_positions + 1, width)[1:]
    return _table(np.sin(angles), np.cos(angles))


@sinusoidal.wrong(
    "Every column has an angle of its own in your table; the sine and the cosine of a pair share "
    "theirs, with the exponent 2i / width for both."
)
def angle_for_each_column(n_positions, width):
    angles = np.arange(n_positions)[:, None] / 10000 ** (np.arange(width) / width)
    return _table(np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2]))


@sinusoidal.wrong("Your exponent is i / width; it is 2i / width, the number of the even column.")
def half_the_exponent(n_positions, width):
    divisors = 10000 ** (np.arange(width // 2) / width)
    angles = np.arange(n_positions)[:, None] / divisors
    return _table(np.sin(angles), np.cos(angles))


@sinusoidal.wrong(
    "Your divisor is (10000**2) * i / width, which is 0 for i = 0: put brackets around the whole "
    "exponent, 10000 ** (2 * i / width)."
)
def brackets_forgotten(n_positions, width):
    angles = np.arange(n_positions)[:, None] / (10000**2 * np.arange(width // 2) / width)
    return _table(np.sin(angles), np.cos(angles))


@sinusoidal.wrong(
    "You raise the quotient p / 10000 to the power; only 10000 is raised to it, and p is divided "
    "by the result."
)
def quotient_raised(n_positions, width):
    angles = (np.arange(n_positions)[:, None] / 10000) ** (np.arange(0, width, 2) / width)
    return _table(np.sin(angles), np.cos(angles))


@sinusoidal.wrong(
    "You take i for the number of the column; it is the number of the pair, the same for two "
    "neighbouring columns and half the number of the even one."
)
def column_for_pair(n_positions, width):
    angles = np.arange(n_positions)[:, None] / 10000 ** (2 * np.arange(width) / width)
    return _table(np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2]))


@sinusoidal.wrong(
    "Your exponents are twice too large: the number of the even column is 2i already, so divide "
    "that by width, without another 2."
)
def doubled_twice(n_positions, width):
    angles = np.arange(n_positions)[:, None] / 10000 ** (2 * np.arange(0, width, 2) / width)
    return _table(np.sin(angles), np.cos(angles))


@sinusoidal.wrong("You multiply the position by the power of 10000; divide by it.")
def multiplied(n_positions, width):
    angles = np.arange(n_positions)[:, None] * 10000 ** (np.arange(0, width, 2) / width)
    return _table(np.sin(angles), np.cos(angles))


@sinusoidal.wrong(
    "You take the angles for degrees; np.sin and np.cos count in radians, and nothing is to be "
    "converted."
)
def degrees(n_positions, width):
    angles = np.radians(_angles(n_positions, width))
    return _table(np.sin(angles), np.cos(angles))


@sinusoidal.wrong("Rows and columns have changed places: a row is a position.")
def turned(n_positions, width):
    return my_sinusoidal(n_positions, width).T
