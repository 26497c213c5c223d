"""The exercises of notebook 6: GPT."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from llmlab.exercises.exercise import Exercise


def _table(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    """Draw a tensor of numbers with one decimal, which can be read and copied."""
    return torch.from_numpy(rng.normal(size=shape).round(1))


# --- the block ---------------------------------------------------------------------------------


class ToyPart:
    """A stand-in for a layer of a model, simple enough to be followed on paper."""

    def __init__(self, does: str, function: Callable[[torch.Tensor], torch.Tensor]):
        self.does = does
        self._function = function

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Turn vectors (T, C) into vectors of the same shape."""
        return self._function(x)

    def __repr__(self) -> str:
        return f"a part that {self.does}"


def _largest_is(size: float) -> ToyPart:
    def scaled(x: torch.Tensor) -> torch.Tensor:
        return size * x / x.abs().amax(dim=-1, keepdim=True)

    return ToyPart(f"scales each row to a largest number of {size:g}", scaled)


_NORM_1, _NORM_2 = _largest_is(1), _largest_is(2)
_MEAN = ToyPart(
    "takes, for each row, the mean of all rows up to it",
    lambda x: x.cumsum(dim=0) / torch.arange(1, len(x) + 1)[:, None],
)
_SQUARE = ToyPart("squares every number", torch.square)
_PARTS = (_NORM_1, _MEAN, _NORM_2, _SQUARE)


def _rows(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


block = Exercise(
    "gpt.block",
    prompt="""
**1. The block.** Write one block of a GPT, with its norms in front ("pre-norm"). You are given
the stream `x` of shape (T, C), a row for each token, and the four parts of the block as
functions; each takes rows and gives rows of the same shape.

- Attention reads the stream through `norm_1`, and what it gives is *added* to the stream.
- The feed-forward part reads the *new* stream through `norm_2`, and what it gives is added, too.

`check` uses simple parts that you can follow on paper. Say `norm_1` scales each row so that its
largest number is 1, `norm_2` so that it is 2, `attention` takes the mean of all rows up to each,
and `feed_forward` squares every number. For `x = [[2, 4]]`: `norm_1` gives [0.5, 1], which
attention leaves as it is (there is only one row), and the stream becomes [2.5, 5]. `norm_2` makes
[1, 2] of that, the squares are [1, 4], and the result is `[[3.5, 9]]`.
""",
    stub='''
def my_block(x, norm_1, attention, norm_2, feed_forward):
    """Return the stream x (T, C) after one block."""
    return ...
''',
    hints=(
        "Two steps, one after the other. Each is: the stream, plus what a part makes of a norm of "
        "the stream.",
        "The first step is x = x + attention(norm_1(x)).",
        "The second step has the same form, and reads the x that comes out of the first.",
    ),
    fixed=(
        (_rows([2, 4]), *_PARTS),
        (_rows([2, 4], [-1, 3]), *_PARTS),
        (_rows([1, -2, 0.5], [4, 2, 0], [-3, 1, 1]), *_PARTS),
        (_rows([2, 4], [-1, 3]), _NORM_2, _MEAN, _NORM_1, _SQUARE),
    ),
)


@block.reference
def my_block(x, norm_1, attention, norm_2, feed_forward):
    x = x + attention(norm_1(x))
    return x + feed_forward(norm_2(x))


@block.fresh
def a_stream(rng, size):
    n_tokens, width = 1 + size // 2, int(rng.integers(2, 5))
    x = _table(rng, n_tokens, width) + 0.05  # no row of zeros, which has no largest number
    return x, *_PARTS


@block.wrong(
    "Your norms stand behind the addition: norm(x + part(x)). That is the block of 2017 "
    "(post-norm), in which the stream itself is scaled at every step. Here a part reads a norm of "
    "the stream, and the stream is only added to."
)
def post_norm(x, norm_1, attention, norm_2, feed_forward):
    x = norm_1(x + attention(x))
    return norm_2(x + feed_forward(x))


@block.wrong(
    "Nothing is added in your block: each part replaces the stream by what it gives. Add it to the "
    "stream, x + part(norm(x)), so that nothing gets lost."
)
def no_residual(x, norm_1, attention, norm_2, feed_forward):
    return feed_forward(norm_2(attention(norm_1(x))))


@block.wrong(
    "You add to the normalised copy and go on with that. Only the parts read the copy; add to the "
    "stream as it was before the norm."
)
def stream_is_the_copy(x, norm_1, attention, norm_2, feed_forward):
    x = norm_1(x)
    x = x + attention(x)
    x = norm_2(x)
    return x + feed_forward(x)


@block.wrong(
    "Both of your parts read the stream as it was at the beginning. (There are models that do so, "
    "GPT-J was one.) Here the feed-forward part reads what attention has already added to."
)
def side_by_side(x, norm_1, attention, norm_2, feed_forward):
    return x + attention(norm_1(x)) + feed_forward(norm_2(x))


@block.wrong(
    "Your second step starts from what attention gives alone, without the stream: the first "
    "addition is missing."
)
def first_addition_missing(x, norm_1, attention, norm_2, feed_forward):
    x = attention(norm_1(x))
    return x + feed_forward(norm_2(x))


@block.wrong(
    "You return what the feed-forward part gives, without the stream: the second addition is "
    "missing."
)
def second_addition_missing(x, norm_1, attention, norm_2, feed_forward):
    x = x + attention(norm_1(x))
    return feed_forward(norm_2(x))


@block.wrong(
    "Your norms are missing: the parts read the stream itself. Let each read a normalised copy, "
    "norm(x)."
)
def without_norms(x, norm_1, attention, norm_2, feed_forward):
    x = x + attention(x)
    return x + feed_forward(x)


@block.wrong(
    "Your feed-forward part reads the stream itself. It has a norm of its own in front: norm_2."
)
def second_norm_missing(x, norm_1, attention, norm_2, feed_forward):
    x = x + attention(norm_1(x))
    return x + feed_forward(x)


@block.wrong("You use norm_1 twice. Each part has a norm of its own: the second reads norm_2(x).")
def one_norm_for_both(x, norm_1, attention, norm_2, feed_forward):
    x = x + attention(norm_1(x))
    return x + feed_forward(norm_1(x))


@block.wrong(
    "Your norms stand behind the parts: x + norm(part(x)). What is read has to be normalised, not "
    "what is added."
)
def norm_of_what_is_added(x, norm_1, attention, norm_2, feed_forward):
    x = x + norm_1(attention(x))
    return x + norm_2(feed_forward(x))


@block.wrong(
    "Your feed-forward part comes first. Attention comes first here: it gathers, and the "
    "feed-forward part works on what was gathered."
)
def feed_forward_first(x, norm_1, attention, norm_2, feed_forward):
    x = x + feed_forward(norm_2(x))
    return x + attention(norm_1(x))


@block.wrong(
    "The result is right, but += changes the tensor x itself, which belongs to whoever called you. "
    "Write x = x + …, which makes a new one."
)
def into_the_stream(x, norm_1, attention, norm_2, feed_forward):
    x += attention(norm_1(x))
    x += feed_forward(norm_2(x))
    return x


@block.law
def stream_keeps_its_shape(given, x, norm_1, attention, norm_2, feed_forward):
    if np.shape(given) != tuple(x.shape):
        return (
            f"The stream has the shape {tuple(x.shape)} and keeps it; yours has the shape "
            f"{tuple(np.shape(given))}."
        )
    return None


# --- parameters by formula ---------------------------------------------------------------------

parameters = Exercise(
    "gpt.parameters",
    prompt="""
**2. Count the parameters.** How many learned numbers does a GPT of GPT-2's design have? Return
the number. With the width C:

- the embedding of tokens has `vocab_size` rows of C numbers, that of positions `context` rows;
- each of the `n_layers` blocks has two LayerNorms, attention, and a feed-forward part;
- a LayerNorm has a scale and a shift: C numbers each;
- attention has four matrices of C times C (query, key, value, output), each with a bias of C;
- the feed-forward part has one matrix from C to 4C, with a bias of 4C, and one from 4C to C, with
  a bias of C;
- after the last block comes one more LayerNorm;
- the head is *tied*: it is the embedding of tokens, used again.

A vocabulary of 10, a context of 4, a width of 2 and one layer with one head make 20 + 8 in the
embeddings, 8 in the two LayerNorms, 16 + 8 in attention, 16 + 8 + 16 + 2 in the feed-forward part
and 4 in the last LayerNorm: 106.
""",
    stub='''
def my_parameters(vocab_size, context, width, n_layers, n_heads):
    """Return the number of parameters of a GPT of GPT-2's design."""
    return ...
''',
    hints=(
        "Make a sum for one block first: its norms, its attention, its feed-forward part. What is "
        "there once in the whole model, and not in each block?",
        "Attention is 4·C² + 4·C, the feed-forward part 8·C² + 5·C, the two norms of a block 4·C.",
        "Heads only cut the width into pieces: C numbers stay C numbers, so n_heads does not come "
        "into it at all. And a tied head costs nothing.",
    ),
    fixed=(
        (10, 4, 2, 1, 1),
        (10, 4, 2, 2, 2),
        (7, 5, 4, 3, 2),
        (100, 16, 12, 4, 3),
        (50_257, 1_024, 768, 12, 12),
    ),
)


@parameters.reference
def my_parameters(vocab_size, context, width, n_layers, n_heads):
    norm = 2 * width
    attention = 4 * width**2 + 4 * width
    feed_forward = 8 * width**2 + 5 * width
    block = 2 * norm + attention + feed_forward
    return (vocab_size + context) * width + n_layers * block + norm


@parameters.fresh
def sizes(rng, size):
    n_heads = int(rng.integers(1, 1 + size))
    width = n_heads * int(rng.integers(1, 3 + size))
    vocab_size, context = (int(n) for n in rng.integers(3, 100 * size, 2))
    return vocab_size, context, width, int(rng.integers(1, 2 + size)), n_heads


def _block(width: int) -> int:
    return 12 * width**2 + 13 * width


@parameters.wrong(
    "This is the estimate of notebook 1: a good one, but without biases, norms and positions. "
    "Count those, too."
)
def estimated(vocab_size, context, width, n_layers, n_heads):
    return vocab_size * width + n_layers * 12 * width**2


@parameters.wrong(
    "Your matrices have no biases. Each has one number for every number that comes out of it: C "
    "for each of the four in attention, 4·C and C in the feed-forward part."
)
def no_biases(vocab_size, context, width, n_layers, n_heads):
    block = 12 * width**2 + 4 * width
    return (vocab_size + context) * width + n_layers * block + 2 * width


@parameters.wrong(
    "You count the head on top. It is tied: the same table as the embedding of tokens, and a "
    "number that is used twice is one number."
)
def head_counted(vocab_size, context, width, n_layers, n_heads):
    return (2 * vocab_size + context) * width + n_layers * _block(width) + 2 * width


@parameters.wrong("The last LayerNorm, after all blocks, is missing: 2·C numbers.")
def no_last_norm(vocab_size, context, width, n_layers, n_heads):
    return (vocab_size + context) * width + n_layers * _block(width)


@parameters.wrong(
    "The positions are missing: their table has a row of C numbers for each place of the context."
)
def no_positions(vocab_size, context, width, n_layers, n_heads):
    return vocab_size * width + n_layers * _block(width) + 2 * width


@parameters.wrong(
    "You count one number for each channel of a norm, as RMSNorm has it. A LayerNorm has two: a "
    "scale and a shift."
)
def norms_without_shift(vocab_size, context, width, n_layers, n_heads):
    return (vocab_size + context) * width + n_layers * (_block(width) - 2 * width) + width


@parameters.wrong("Each block has two norms, one in front of each part. You count one.")
def one_norm_a_block(vocab_size, context, width, n_layers, n_heads):
    return (vocab_size + context) * width + n_layers * (_block(width) - 2 * width) + 2 * width


@parameters.wrong(
    "You give every head matrices of the full width. The heads share the width: together their "
    "queries have C numbers, so the matrices are C times C however many heads there are."
)
def full_width_heads(vocab_size, context, width, n_layers, n_heads):
    attention = 3 * n_heads * (width**2 + width) + width**2 + width
    block = 8 * width**2 + 9 * width + attention
    return (vocab_size + context) * width + n_layers * block + 2 * width


@parameters.wrong(
    "You count three matrices in attention. There are four: query, key, value, and the output "
    "projection, which mixes the heads."
)
def no_output_projection(vocab_size, context, width, n_layers, n_heads):
    block = _block(width) - width**2 - width
    return (vocab_size + context) * width + n_layers * block + 2 * width


@parameters.wrong(
    "Your feed-forward part is as narrow inside as outside. It is four times as wide inside: one "
    "matrix from C to 4·C, one from 4·C back to C."
)
def narrow_feed_forward(vocab_size, context, width, n_layers, n_heads):
    block = 6 * width**2 + 10 * width
    return (vocab_size + context) * width + n_layers * block + 2 * width


@parameters.wrong(
    "The first bias of the feed-forward part is too short: what comes out of the first matrix has "
    "4·C numbers, and so has its bias."
)
def short_bias(vocab_size, context, width, n_layers, n_heads):
    block = _block(width) - 3 * width
    return (vocab_size + context) * width + n_layers * block + 2 * width


@parameters.wrong("You count one block. There are n_layers of them, each with its own numbers.")
def one_block(vocab_size, context, width, n_layers, n_heads):
    return (vocab_size + context) * width + _block(width) + 2 * width


@parameters.wrong(
    "You count the last LayerNorm, or the embeddings, in every block. They are there once in the "
    "whole model: multiply only a block by n_layers."
)
def everything_in_each_block(vocab_size, context, width, n_layers, n_heads):
    return n_layers * ((vocab_size + context) * width + _block(width) + 2 * width)


@parameters.law
def is_a_count(given, vocab_size, context, width, n_layers, n_heads):
    if np.ndim(given) or int(given) != given or given <= 0:
        return "A number of parameters is one whole number above 0."
    return None


# --- temperature and its limits ----------------------------------------------------------------


def _scores(*scores: float) -> torch.Tensor:
    return torch.tensor(scores, dtype=torch.float64)


temperature = Exercise(
    "gpt.temperature",
    prompt="""
**3. Temperature, to its limits.** From the scores of V tokens, a tensor of shape (V,), make the
probabilities to draw the next token with: divide the scores by the temperature, then softmax. And
at the limits:

- At temperature 0 nothing can be divided. The smaller the temperature gets, the more the highest
  score takes; so 0 means: it takes all. The result is 1 at its place and 0 elsewhere. If several
  are the highest, the first of them takes all.
- The larger it gets, the more alike the probabilities become. At `math.inf`, infinity, every
  token has 1/V.

Scores may be as high as 1000 or as low as −1000, which must not turn anything into `nan`. Leave
the tensor `scores` as it is.

The scores `[1.0986, 0]` give the probabilities `[0.75, 0.25]` at temperature 1, since e to the
power of 1.0986 is 3. At temperature 0.5 they are `[0.9, 0.1]`, at 0 `[1, 0]`, at infinity
`[0.5, 0.5]`.
""",
    stub='''
def my_temperature(scores, temperature):
    """Return the probabilities (V,) of the scores (V,) at a temperature."""
    return ...
''',
    hints=(
        "Which of the limits does the formula serve by itself? Try 5 / math.inf.",
        "For 0, make zeros of the shape of the scores, torch.zeros_like(scores), and put a 1 in "
        "the right place.",
        "scores.argmax() is the place of the highest score, the first if there are several. And "
        "torch's own softmax is safe with scores of any size.",
    ),
    fixed=(
        (_scores(1.0986, 0), 1.0),
        (_scores(1.0986, 0), 0.5),
        (_scores(2, 1, 0), 2.0),
        (_scores(1.0986, 0), 0),
        (_scores(1.0986, 0), math.inf),
        (_scores(1, 3, 3, 0), 0),
        (_scores(-1, -3, -2), 0),
        (_scores(1000, 999, -1000), 1.0),
        (_scores(-1000, -999, -999), 0.25),
        (_scores(3, 2, 1), 0.01),
    ),
)


@temperature.reference
def my_temperature(scores, temperature):
    if temperature == 0:
        probabilities = torch.zeros_like(scores)
        probabilities[scores.argmax()] = 1
        return probabilities
    return (scores / temperature).softmax(dim=-1)


@temperature.fresh
def scores_and_a_temperature(rng, size):
    scores = _table(rng, 1 + size) * float(rng.choice([1, 3, 300]))
    return scores, float(rng.choice([0, 0.1, 0.5, 1, 2, 10, math.inf]))


@temperature.wrong(
    "You multiply by the temperature. A low temperature has to sharpen the differences: divide by "
    "it."
)
def multiplied(scores, temperature):
    if temperature == 0:
        return my_temperature(scores, 0)
    return (scores * temperature).softmax(dim=-1)


@temperature.wrong(
    "You divide the probabilities, after the softmax. They no longer sum to 1 then, and their "
    "proportions are what they were. Divide the scores, and take the softmax of that."
)
def after_the_softmax(scores, temperature):
    if temperature == 0:
        return my_temperature(scores, 0)
    return scores.softmax(dim=-1) / temperature


@temperature.wrong(
    "At temperature 0 your function divides by 0, and the softmax of what comes out is nan. Treat "
    "0 by itself, before you divide."
)
def divided_by_zero(scores, temperature):
    return (scores / temperature).softmax(dim=-1)


@temperature.wrong(
    "At temperature 0 the plain probabilities come out of your function, as at temperature 1. In "
    "Python, 0 counts as false, so that “temperature or 1” and “if temperature” are traps. At 0 "
    "the highest score takes all."
)
def zero_is_one(scores, temperature):
    return (scores / (temperature or 1)).softmax(dim=-1)


@temperature.wrong(
    "At temperature 0, two tokens with the highest score share in your result. The first of them "
    "takes all: put a single 1 at scores.argmax()."
)
def equals_share(scores, temperature):
    if temperature == 0:
        best = (scores == scores.max()).to(scores.dtype)
        return best / best.sum()
    return (scores / temperature).softmax(dim=-1)


@temperature.wrong(
    "At temperature 0, every token with the highest score gets a 1 in your result, and together "
    "they may have more than 1. The first of them takes all: put a single 1 at scores.argmax()."
)
def all_of_the_best(scores, temperature):
    if temperature == 0:
        return (scores == scores.max()).to(scores.dtype)
    return (scores / temperature).softmax(dim=-1)


@temperature.wrong(
    "At temperature 0 you return the place of the best token. Return probabilities here as well: a "
    "1 at that place, 0 everywhere else."
)
def place_at_zero(scores, temperature):
    if temperature == 0:
        return scores.argmax()
    return (scores / temperature).softmax(dim=-1)


@temperature.wrong(
    "At temperature 0 the last of several highest scores takes all in your result; it has to be "
    "the first. (argmax gives the first, a sorted list may end with another.)"
)
def last_of_equals(scores, temperature):
    if temperature == 0:
        probabilities = torch.zeros_like(scores)
        probabilities[len(scores) - 1 - scores.flip(0).argmax()] = 1
        return probabilities
    return (scores / temperature).softmax(dim=-1)


@temperature.wrong(
    "Your limits have changed places: at 0 all tokens are alike in your result. A low temperature "
    "sharpens, so at 0 the best takes all."
)
def alike_at_zero(scores, temperature):
    if temperature == 0:
        return torch.full_like(scores, 1 / len(scores))
    return (scores / temperature).softmax(dim=-1)


@temperature.wrong(
    "Your powers of e get too large for the computer: e to the power of 1000 is infinite, and "
    "infinity divided by itself is nan. Subtract the highest score first, or use torch's softmax."
)
def too_large(scores, temperature):
    if temperature == 0:
        return my_temperature(scores, 0)
    powers = (scores / temperature).exp()
    return powers / powers.sum()


@temperature.wrong(
    "You return the divided scores. They are no probabilities yet: take the softmax of them."
)
def no_softmax(scores, temperature):
    if temperature == 0:
        return my_temperature(scores, 0)
    return scores / temperature


@temperature.wrong(
    "The probabilities are right, but /= changes the tensor scores itself, which belongs to "
    "whoever called you. scores / temperature makes a new one."
)
def into_the_scores(scores, temperature):
    if temperature == 0:
        return my_temperature(scores, 0)
    scores /= temperature
    return scores.softmax(dim=-1)


@temperature.law
def are_probabilities(given, scores, temperature):
    if np.shape(given) != tuple(scores.shape):
        return f"Return one probability for each of the {len(scores)} scores."
    given = np.asarray(given)
    if not np.isfinite(given).all():
        return "There is a nan or an infinite number in your result."
    if (given < 0).any() or abs(given.sum() - 1) > 1e-4:
        return f"Probabilities are not below 0 and sum to 1. Yours sum to {given.sum():.4g}."
    return None


# --- top-p, with ties --------------------------------------------------------------------------


def _shares(*sixteenths: int) -> torch.Tensor:
    """Make probabilities whose sums are exact in a computer."""
    return torch.tensor(sixteenths, dtype=torch.float64) / 16


top_p = Exercise(
    "gpt.top_p",
    prompt="""
**4. Top-p.** From the probabilities `p` of V tokens keep the most likely ones, as few as possible,
that *together reach* `share`. Set all others to 0, and divide by what is left, so that the result
sums to 1 again. The order of the tokens stays as it is: place *i* belongs to token *i*.

- At least one token is always kept.
- If what is kept comes to exactly `share`, that is enough.
- Of tokens with equal probabilities, the one with the smaller id is taken first. So it may
  happen that one is kept and its equal is not.

`p` is a tensor of shape (V,) that sums to 1, `share` a number above 0 and up to 1. All numbers
here are such that their sums come out exactly. Leave `p` as it is.

For `p = [0.125, 0.5, 0.125, 0.25]`: with `share = 0.5`, token 1 is enough, and the result is
`[0, 1, 0, 0]`. With 0.75 tokens 1 and 3 are kept, `[0, 0.667, 0, 0.333]`. With 0.8 token 0 comes
in, and its equal, token 2, does not: `[0.143, 0.571, 0, 0.286]`.
""",
    stub='''
def my_top_p(p, share):
    """Return p (V,) with only the likeliest tokens that reach the share."""
    return ...
''',
    hints=(
        "On paper: sort, the most likely first, and add up until the sum reaches the share. The "
        "token that reaches it still belongs to those that are kept.",
        "sorted(range(len(p)), key=lambda i: -p[i]) lists the ids, the most likely first; of "
        "equals Python leaves the smaller id in front.",
        "Begin with kept = torch.zeros_like(p). Go through the ids, copy p[i], add it to a total, "
        "and break as soon as the total is at least the share. At the end, divide by kept.sum().",
    ),
    fixed=(
        (_shares(8, 4, 2, 2), 0.5),
        (_shares(2, 8, 2, 4), 0.75),
        (_shares(2, 8, 2, 4), 0.8),
        (_shares(4, 4, 4, 4), 0.25),
        (_shares(4, 4, 4, 4), 0.6),
        (_shares(1, 12, 3), 0.3),
        (_shares(3, 3, 4, 3, 3), 0.5),
        (_shares(1, 2, 3, 4, 6), 0.9),
        (_shares(2, 6, 8), 1.0),
        (_shares(16), 0.5),
    ),
)


@top_p.reference
def my_top_p(p, share):
    kept = torch.zeros_like(p)
    total = 0.0
    for i in sorted(range(len(p)), key=lambda i: -p[i]):  # the most likely first
        kept[i] = p[i]
        total += p[i]
        if total >= share:
            break
    return kept / kept.sum()


@top_p.fresh
def probabilities_and_a_share(rng, size):
    weights = rng.integers(1, 6, 1 + size)
    whole = 2 ** int(np.ceil(np.log2(weights.sum())))
    weights[int(rng.integers(len(weights)))] += whole - weights.sum()
    return torch.tensor(weights, dtype=torch.float64) / whole, int(rng.integers(1, 17)) / 16


def _sorted(p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return p.sort(descending=True, stable=True)


def _back(sorted_p: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Put what was sorted back to its places, and make it sum to 1."""
    return torch.zeros_like(sorted_p).index_copy(0, order, sorted_p / sorted_p.sum())


@top_p.wrong(
    "You keep only what stays within the share, so the token that reaches it falls out, and where "
    "the first token alone is more than the share nothing is left: 0 divided by 0. Keep tokens "
    "until their sum reaches the share, the last one included."
)
def only_what_stays_within(p, share):
    sorted_p, order = _sorted(p)
    return _back(sorted_p * (sorted_p.cumsum(0) <= share), order)


@top_p.wrong(
    "You keep only tokens up to which the sum is below the share, so the token that reaches it "
    "always falls out, and sometimes nothing is left at all. It has to stay."
)
def only_what_stays_below(p, share):
    sorted_p, order = _sorted(p)
    return _back(sorted_p * (sorted_p.cumsum(0) < share), order)


@top_p.wrong(
    "Your first token is safe, but of the others you drop the one that reaches the share, so that "
    "less than the share is kept. The last one that is needed stays."
)
def the_last_one_dropped(p, share):
    sorted_p, order = _sorted(p)
    keep = sorted_p.cumsum(0) <= share
    keep[0] = True
    return _back(sorted_p * keep, order)


@top_p.wrong(
    "When the sum reaches the share exactly, you take one token more. Exactly is enough: stop as "
    "soon as the total is at least the share."
)
def one_too_many(p, share):
    sorted_p, order = _sorted(p)
    return _back(sorted_p * (sorted_p.cumsum(0) - sorted_p <= share), order)


@top_p.wrong(
    "You keep every token that is as likely as the last one you need: all equals come in together. "
    "As few as possible are to be kept; of equals, those with the smaller ids."
)
def all_equals(p, share):
    sorted_p, _ = _sorted(p)
    last = sorted_p[int((sorted_p.cumsum(0) < share).sum())]
    kept = p * (p >= last)
    return kept / kept.sum()


@top_p.wrong(
    "Of equals you take the one with the larger id first. A list that is sorted upwards and then "
    "turned round does that. The smaller id comes first."
)
def larger_ids_first(p, share):
    kept, total = torch.zeros_like(p), 0.0
    for i in sorted(range(len(p)), key=lambda i: (-p[i], -i)):
        kept[i] = p[i]
        total += p[i]
        if total >= share:
            break
    return kept / kept.sum()


@top_p.wrong(
    "What you keep does not sum to 1: it still has the probabilities it had among all. Divide by "
    "its sum."
)
def not_scaled(p, share):
    sorted_p, order = _sorted(p)
    kept = sorted_p * (sorted_p.cumsum(0) - sorted_p < share)
    return torch.zeros_like(p).index_copy(0, order, kept)


@top_p.wrong(
    "Your result is sorted. Place i has to belong to token i: put each probability back to where "
    "it came from."
)
def left_sorted(p, share):
    sorted_p, _ = _sorted(p)
    kept = sorted_p * (sorted_p.cumsum(0) - sorted_p < share)
    return kept / kept.sum()


@top_p.wrong(
    "You go through the tokens in the order of their ids. Go through them by their probabilities, "
    "the most likely first."
)
def not_by_probability(p, share):
    kept = p * (p.cumsum(0) - p < share)
    return kept / kept.sum()


@top_p.wrong(
    "You begin with the least likely tokens. sort goes upwards unless you say descending=True; the "
    "most likely come first."
)
def least_likely_first(p, share):
    sorted_p, order = p.sort(stable=True)
    return _back(sorted_p * (sorted_p.cumsum(0) - sorted_p < share), order)


@top_p.wrong(
    "You keep the tokens whose own probability is at least the share. It is their sum that has to "
    "reach it."
)
def each_by_itself(p, share):
    kept = p * (p >= share)
    return kept / kept.sum()


@top_p.wrong("You return which tokens are kept. Return their probabilities, and 0 for the others.")
def the_ids(p, share):
    return torch.nonzero(my_top_p(p, share)).flatten()


@top_p.law
def keeps_its_meaning(given, p, share):
    if np.shape(given) != tuple(p.shape):
        return f"Return one probability for each of the {len(p)} tokens."
    given = np.asarray(given)
    if not np.isfinite(given).all():
        return "There is a nan in your result: has everything been cut, and 0 divided by 0?"
    if abs(given.sum() - 1) > 1e-4:
        return f"What is kept has to sum to 1, and yours sums to {given.sum():.4g}."
    reached = float(p[given > 0].sum())
    if reached < share:
        return f"The tokens you keep have {reached:g} together, which does not reach {share:g}."
    return None


# --- one step with a cache ---------------------------------------------------------------------


def _empty(width: int) -> torch.Tensor:
    return torch.zeros(0, width, dtype=torch.float64)


_ONE = _rows([1])
_MATRICES = (_rows([1, 0], [0, 2]), _rows([0, 1], [1, 1]), _rows([2, 1], [0, 1]))

step = Exercise(
    "gpt.step",
    prompt="""
**5. One step with a cache.** A text grows by one token, with the vector `x` of shape (C,). The
keys and values of the tokens before it are known: `keys` and `values`, both of shape (S, D). At
the beginning of a text S is 0. Compute the new token's attention, without touching the earlier
tokens again. Return three things:

- what the new token gets: the weighted sum of all values it may see, of shape (D,);
- the keys, now with that of the new token as the *last* row: shape (S + 1, D);
- the values, likewise.

`W_q`, `W_k` and `W_v` are matrices of shape (C, D): the query is `x @ W_q`. The new token sees
all tokens before it, and itself. Scores are divided by the root of D. `check` compares with the
last row of the whole attention computed at once: cached has to equal uncached.

With C = D = 1, all three matrices `[[1]]`, `keys = [[3]]` and `values = [[4]]`, the new token `x =
[0]` has the query 0, so both scores are 0 and both weights 0.5. It gets 0.5 · 4 + 0.5 · 0 = 2, and
the result is `([2], [[3], [0]], [[4], [0]])`.
""",
    stub='''
def my_step(x, keys, values, W_q, W_k, W_v):
    """Return what the token x gets (D,), and all keys and values (S + 1, D)."""
    mixed = ...
    return mixed, keys, values
''',
    hints=(
        "First let keys and values grow by one row, then let the new query look at all of them. No "
        "mask is needed: nothing that it should not see is there yet.",
        "torch.cat([keys, row]) puts rows below rows. The new key x @ W_k has the shape (D,); with "
        "(x @ W_k)[None] it has the shape (1, D), a table of one row.",
        "keys @ q gives all scores at once, of shape (S + 1,). Divide by q.shape[-1] ** 0.5, take "
        "the softmax, and multiply: weights @ values.",
    ),
    fixed=(
        (_rows([0])[0], _rows([3]), _rows([4]), _ONE, _ONE, _ONE),
        (_rows([1])[0], _empty(1), _empty(1), _ONE, _ONE, _ONE),
        (_rows([1, -1])[0], _empty(2), _empty(2), *_MATRICES),
        (_rows([1, 0.5])[0], _rows([1, 2]), _rows([3, 0]), *_MATRICES),
        (_rows([0.5, 1])[0], _rows([1, 0], [0, 1]), _rows([2, 0], [0, 4]), *_MATRICES),
        (
            _rows([1, 2, 0])[0],
            _rows([1, 0], [0, 1], [1, 1]),
            _rows([1, 2], [3, 4], [5, 7]),
            _rows([1, 0], [0, 1], [1, 1]),
            _rows([0, 1], [0.5, 0], [1, 0]),
            _rows([1, 1], [0, 2], [1, 0]),
        ),
    ),
)


@step.reference
def my_step(x, keys, values, W_q, W_k, W_v):
    keys = torch.cat([keys, (x @ W_k)[None]])
    values = torch.cat([values, (x @ W_v)[None]])
    scores = keys @ (x @ W_q) / keys.shape[-1] ** 0.5
    return scores.softmax(dim=-1) @ values, keys, values


@step.fresh
def a_token_and_a_cache(rng, size):
    width, head_width = (int(n) for n in rng.integers(2, 5, 2))
    n_before = int(rng.integers(0, 2 * size))
    keys, values = (_table(rng, n_before, head_width) for _ in range(2))
    matrices = (_table(rng, width, head_width) for _ in range(3))
    return _table(rng, width), keys, values, *matrices


def _grown(x, keys, values, W_k, W_v):
    return torch.cat([keys, (x @ W_k)[None]]), torch.cat([values, (x @ W_v)[None]])


@step.wrong(
    "Your new token does not see itself: it looks before its own key and value are there. Let keys "
    "and values grow first."
)
def does_not_see_itself(x, keys, values, W_q, W_k, W_v):
    weights = (keys @ (x @ W_q) / keys.shape[-1] ** 0.5).softmax(dim=-1)
    return weights @ values, *_grown(x, keys, values, W_k, W_v)


@step.wrong(
    "You put the new row in front. The rows are in the order of the text, so it is the last one: "
    "torch.cat([keys, new])."
)
def in_front(x, keys, values, W_q, W_k, W_v):
    mixed, _, _ = my_step(x, keys, values, W_q, W_k, W_v)
    return mixed, torch.cat([(x @ W_k)[None], keys]), torch.cat([(x @ W_v)[None], values])


@step.wrong("Your scores are not scaled: divide them by the root of D, the width of a key.")
def not_scaled_scores(x, keys, values, W_q, W_k, W_v):
    keys, values = _grown(x, keys, values, W_k, W_v)
    return (keys @ (x @ W_q)).softmax(dim=-1) @ values, keys, values


@step.wrong("You divide the scores by D. Divide them by its square root.")
def divided_by_the_width(x, keys, values, W_q, W_k, W_v):
    keys, values = _grown(x, keys, values, W_k, W_v)
    return (keys @ (x @ W_q) / keys.shape[-1]).softmax(dim=-1) @ values, keys, values


@step.wrong(
    "You hide all keys but the first. A causal mask that starts at the upper left corner takes "
    "your single query for the first token. It is the last one, and may see every key there is: no "
    "mask is needed."
)
def masked_as_the_first(x, keys, values, W_q, W_k, W_v):
    keys, values = _grown(x, keys, values, W_k, W_v)
    scores = ((x @ W_q)[None] @ keys.T) / keys.shape[-1] ** 0.5
    seen = torch.ones(scores.shape, dtype=torch.bool).tril()
    return (scores.masked_fill(~seen, -torch.inf).softmax(dim=-1) @ values)[0], keys, values


@step.wrong(
    "You keep the vector x itself in the cache. What later tokens need are its key and its value: "
    "x @ W_k and x @ W_v."
)
def keeps_the_vector(x, keys, values, W_q, W_k, W_v):
    keys, values = torch.cat([keys, x[None]]), torch.cat([values, x[None]])
    return (keys @ (x @ W_q) / keys.shape[-1] ** 0.5).softmax(dim=-1) @ values, keys, values


@step.wrong(
    "You keep the query in place of the key. A query is asked once and never needed again; later "
    "tokens look for the key."
)
def keeps_the_query(x, keys, values, W_q, W_k, W_v):
    return my_step(x, keys, values, W_q, W_q, W_v)


@step.wrong(
    "What the token gets is right, but the keys and values that you return have not grown: the "
    "next token would not see this one. Return the longer tables."
)
def not_grown(x, keys, values, W_q, W_k, W_v):
    mixed, _, _ = my_step(x, keys, values, W_q, W_k, W_v)
    return mixed, keys, values


@step.wrong(
    "You return only the new token's key and value. Return all of them: the rows that there were, "
    "and the new one below."
)
def only_the_new_rows(x, keys, values, W_q, W_k, W_v):
    mixed, _, _ = my_step(x, keys, values, W_q, W_k, W_v)
    return mixed, (x @ W_k)[None], (x @ W_v)[None]


@step.wrong("You mix the keys. By the keys a token is found; what it hands over are the values.")
def mixes_the_keys(x, keys, values, W_q, W_k, W_v):
    keys, values = _grown(x, keys, values, W_k, W_v)
    return (keys @ (x @ W_q) / keys.shape[-1] ** 0.5).softmax(dim=-1) @ keys, keys, values


@step.wrong("Your weights are the plain scores and do not sum to 1: the softmax is missing.")
def no_weights(x, keys, values, W_q, W_k, W_v):
    keys, values = _grown(x, keys, values, W_k, W_v)
    return (keys @ (x @ W_q) / keys.shape[-1] ** 0.5) @ values, keys, values


@step.wrong("Keys and values have changed places in what you return: first the keys.")
def values_first(x, keys, values, W_q, W_k, W_v):
    mixed, keys, values = my_step(x, keys, values, W_q, W_k, W_v)
    return mixed, values, keys


@step.wrong(
    "What the token gets is right. Return the keys and values as well, which the next step needs: "
    "return mixed, keys, values."
)
def mixed_alone(x, keys, values, W_q, W_k, W_v):
    return my_step(x, keys, values, W_q, W_k, W_v)[0]


def _parts(given: Any) -> tuple[np.ndarray, ...] | None:
    if not isinstance(given, list | tuple) or len(given) != 3:
        return None
    return tuple(np.asarray(part) for part in given)


@step.law
def three_of_the_right_shape(given, x, keys, values, W_q, W_k, W_v):
    parts = _parts(given)
    if parts is None:
        return "Return three things: what the token gets, all keys, all values."
    n, width = keys.shape
    wanted = {"mixed": (width,), "keys": (n + 1, width), "values": (n + 1, width)}
    for (name, shape), part in zip(wanted.items(), parts, strict=True):
        if part.shape != shape:
            return f"{name} has the shape {part.shape} and should have {shape}."
    return None


@step.law
def a_mean_lies_between(given, x, keys, values, W_q, W_k, W_v):
    mixed, _, all_values = _parts(given)
    low, high = all_values.min(axis=0) - 1e-6, all_values.max(axis=0) + 1e-6
    if (mixed < low).any() or (mixed > high).any():
        return "A weighted mean lies between the smallest and the largest value; yours does not."
    return None
