"""Answers to the exercises on attention that nobody foresaw: what the laws and the judge say."""

import numpy as np
import pytest
import torch

from llmlab.exercises import attention
from llmlab.exercises.checking import judge
from llmlab.exercises.shelf import find


def told(id, answer):
    """The text of the card, which must not be that of a known mistake."""
    exercise = find(f"attention.{id}")
    result = judge(exercise, answer, np.random.default_rng(0))
    assert result.status == "not yet"
    assert result.text not in [message for _, message in exercise.wrong_answers]
    return result.text


def passes(id, answer):
    return judge(find(f"attention.{id}"), answer, np.random.default_rng(0)).passed


def dots(q, k):
    return q @ k.T


def visible(scores, real):
    n = scores.shape[-1]
    past = torch.ones(n, n, dtype=torch.bool).tril()
    return past & (real[:, None, :] | torch.eye(n, dtype=torch.bool))


def back(n):
    """What every token asks for, with strength 1: the key of the token before it."""
    return torch.diag(torch.ones(n - 1), -1)


def circle(n):
    """Two numbers for each position: keys on a circle, each query at the key before."""
    angle = 0.5 * torch.arange(n)  # never a whole turn
    q, k = (torch.stack([a.cos(), a.sin()], dim=1) for a in (angle - 0.5, angle))
    return 40 * q, 40 * k


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("scores", lambda q, k: torch.einsum("td,sd->ts", q, k)),
        ("scores", lambda q, k: [[float(a @ b) for b in k] for a in q]),
        ("scale", lambda q, k: (q / q.shape[1] ** 0.25) @ (k / q.shape[1] ** 0.25).mT),
        ("scale", lambda q, k: q.numpy() @ k.numpy().T / np.sqrt(k.shape[1])),
        ("softmax", lambda scores: torch.softmax(scores, scores.ndim - 1)),
        ("softmax", lambda scores: (scores - scores.logsumexp(-1, keepdim=True)).exp()),
        ("masks", lambda s, real: s.masked_fill(~visible(s, real), -1e9).softmax(-1)),
        ("masks", lambda s, real: (s - 1e4 * ~visible(s, real)).softmax(-1)),
        ("merge_heads", lambda x: torch.cat(x.unbind(1), dim=-1)),
        ("merge_heads", lambda x: x.permute(0, 2, 1, 3).flatten(2)),
        ("previous_token", lambda n: (99 * torch.eye(n).roll(1, 0), torch.eye(n))),
        ("previous_token", circle),
        ("previous_token", lambda n: (500 * np.eye(n, n + 3, k=-1), np.eye(n, n + 3))),
    ],
)
def test_right_answers_of_other_kinds_pass(id, answer):
    assert passes(id, answer)


@pytest.mark.parametrize(
    ("id", "answer", "words"),
    [
        ("scores", lambda q, k: dots(q, k).flatten(), "(T, S) = (1, 1)"),
        ("scores", lambda q, k: 3 * dots(q, k), "the dot products times 3;"),
        ("scores", lambda q, k: dots(q, k) / 2, "the dot products times 0.5;"),
        ("scale", lambda q, k: dots(q, k) / 3, "divide the dot products by 3. The width is 2"),
        ("scale", lambda q, k: dots(q, k) * 3, "multiply the dot products by 3."),
        ("scale", lambda q, k: k @ q.T / q.shape[1], "(T, S) = (1, 2)"),
        ("softmax", lambda s: s.exp() / s.exp().sum(dim=0), "your columns that sum to 1"),
        ("softmax", lambda s: s.softmax(-1) / s.softmax(-1).sum(), "all your numbers together"),
        ("softmax", lambda s: s.softmax(-1).round(decimals=2), "one of yours sums to 0.99."),
        ("softmax", lambda s: 2**s / (2**s).sum(-1, keepdim=True), "scores times 0.6931"),
        ("softmax", lambda s: s - s.mean(-1, keepdim=True) + 1 / s.shape[-1], "never below 0."),
        ("softmax", lambda s: (s - s.min()) / (s.max() - s.min()), "divided by 0"),
        (
            "softmax",
            lambda s: s.clamp(max=80).exp() / s.clamp(max=80).exp().sum(-1, keepdim=True),
            "Subtract the largest score",
        ),
        ("merge_heads", lambda x: x.transpose(1, 2).flatten(2)[0], "(B, T, H·D) = (1, 1, 4)"),
        ("merge_heads", lambda x: x.flip(1).transpose(1, 2).flatten(2), "in another order"),
        ("merge_heads", lambda x: x.flip(2).transpose(1, 2).flatten(2), "the numbers of token 0"),
    ],
)
def test_what_the_laws_say(id, answer, words):
    assert words in told(id, answer)


def test_no_factor_is_read_off_a_single_row_or_number():
    exercise = find("attention.scale")
    one, two, flat = exercise.fixed[0], exercise.fixed[1], (torch.ones(2, 2), torch.ones(2, 2))
    for q, k in (one, flat):
        assert attention.divided_by_the_root(dots(q, k) * 7, q, k) is None
    assert attention.divided_by_the_root(dots(*two) * 7, *two)
    assert attention.divided_by_the_root(dots(*two) * 7 + 1, *two) is None


@pytest.mark.parametrize(
    "answer",
    [
        lambda s: torch.full_like(s, 1 / s.shape[-1]),  # all equal, whatever the scores
        lambda s: s.tril().softmax(dim=-1),
        lambda s: s.mT.softmax(dim=-1),  # another shape
        lambda s: s.softmax(dim=-1).round(decimals=2),
    ],
)
def test_no_factor_is_read_off_weights_of_something_else(answer):
    inputs = find("attention.softmax").inputs(np.random.default_rng(0))
    for (scores,) in inputs:
        said = attention.scores_as_they_are(answer(scores), scores)
        assert said is None


def hide(scores, mask):
    return scores.masked_fill(~mask, -torch.inf).softmax(dim=-1)


def causal(scores):
    return torch.ones_like(scores, dtype=torch.bool).tril()


def unpadded(scores, real):
    return real[:, None, :] | torch.eye(scores.shape[-1], dtype=torch.bool)


def divided(weights):
    return weights / weights.sum(dim=-1, keepdim=True)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda s, real: (s - 5 * ~visible(s, real)).softmax(-1), "The future leaks in: in text 0"),
        (lambda s, real: (s - 5 * ~causal(s)).softmax(-1), "to key 1, which comes later"),
        (lambda s, real: hide(s - 5 * ~unpadded(s, real), causal(s)), "The padding leaks in"),
        (lambda s, real: hide(s, unpadded(s, real)).tril(), "Row 0 of text 0 sums to 0.5"),
        (lambda s, real: hide(s, causal(s)) * unpadded(s, real), "Row 1 of text 0 sums to 0.5"),
        (lambda s, real: divided(hide(s, causal(s)) * unpadded(s, real)), "has no weight left"),
        (lambda s, real: hide(s, causal(s) & ~real[:, None, :]), "the right way round"),
        (
            lambda s, real: s.masked_fill(~visible(s, real), -torch.inf).softmax(dim=0),
            "is nan in part",
        ),
        (
            lambda s, real: hide(s, visible(s, real) & (torch.arange(s.shape[-1]) < 2)),
            "query 2 gives nothing to itself",
        ),
        (
            lambda s, real: hide(
                s, causal(s) & (real[:, None, :] | real[:, :, None].logical_not())
            ),
            "The padding leaks in",
        ),
    ],
)
def test_what_is_said_of_masks(answer, words):
    assert words in told("masks", answer)


# The same text three times: but for the score of a later key, and of padding.
HIDDEN = torch.tensor([[[0, 0], [0, 0]], [[0, 9], [0, 0]], [[0, 0], [9, 0]]]).float()


@pytest.mark.parametrize(
    ("texts", "kind", "row"), [((0, 1), "keys that come later", 0), ((0, 2), "padding", 1)]
)
def test_what_is_hidden_and_moves_the_result_is_named(texts, kind, row):
    scores, real = HIDDEN[list(texts)], torch.tensor([[False, True]] * 2)
    right = attention.my_masked_weights(scores, real)
    assert attention.what_is_hidden_moves_nothing(right, scores, real) is None
    moved = right.clone()
    moved[1, row] = torch.tensor([0.5, 0.5])
    message = attention.what_is_hidden_moves_nothing(moved, scores, real)
    assert f"row {row} of the texts 0 and 1 differs only in scores of {kind}," in message


def test_a_visible_score_may_move_the_result():
    scores, real = torch.zeros(2, 2, 2), torch.ones(2, 2, dtype=torch.bool)
    scores[1, 1, 0] = 3
    right = attention.my_masked_weights(scores, real)
    assert not torch.equal(right[0], right[1])
    assert attention.what_is_hidden_moves_nothing(right, scores, real) is None


def test_scores_that_count_although_they_get_no_weight_are_told():
    """Dividing by the sum over all keys and mending each row at its own place hides the leak."""

    def mended(scores, real):
        weights = scores.softmax(dim=-1) * visible(scores, real)
        return weights + torch.diag_embed(1 - weights.sum(dim=-1))

    scores, real = torch.zeros(2, 3, 3), torch.ones(2, 3, dtype=torch.bool)
    scores[1, 1, 2] = 9
    said = [law(mended(scores, real), scores, real) for law in find("attention.masks").laws]
    assert next(filter(None, said)).startswith("What is hidden still moves your result: row 1")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda n: torch.eye(n), "Return two things"),
        (lambda n: (torch.eye(n),) * 3, "Return two things"),
        (lambda n: (None, torch.eye(n)), "Your q has to be a tensor of shape (n, D), and is None."),
        (lambda n: (torch.eye(n), [[1]]), "Your k has to be a tensor of shape (n, D), and is a li"),
        (lambda n: (torch.arange(n), torch.arange(n)), "Your q has the shape (2,)."),
        (lambda n: (torch.eye(n), torch.ones(n, 0)), "Your k has the shape (2, 0)."),
        (lambda n: (torch.eye(n)[1:], torch.eye(n)), "Your q has the shape (1, 2), and with n = 2"),
        (lambda n: (torch.eye(5), torch.eye(5)), "Your q has the shape (5, 5), and with n = 2"),
        (lambda n: (torch.eye(n), torch.ones(n, 1)), "width 2 and your k the width 1"),
        (lambda n: (torch.eye(n), torch.eye(n).log()), "Your k holds inf or nan."),
        (lambda n: (1e30 * back(n), 1e30 * torch.eye(n)), "too large for a computer"),
        (lambda n: (9 * torch.eye(n), torch.eye(n)), "1.00, goes to itself"),
        (lambda n: (9 * back(n), back(n)), "goes to itself"),
        (lambda n: (torch.zeros(n, 2), torch.eye(n, 2)), "All 2 keys that it sees have the same"),
        (lambda n: (100 * torch.eye(n).roll(-1, 0), torch.eye(n)), "your queries look forward"),
        (lambda n: (6 * back(n), torch.eye(n)), "only 3.00 above the next best"),
        (
            lambda n: (99 * (back(n) + 2 * back(n) @ back(n)), torch.eye(n)),
            "token 2 puts 0.00 of its weight on token 1, and at least 0.9 is asked for (the "
            "tokens before it do well). Most of it, 1.00, goes to token 0",
        ),
    ],
)
def test_what_the_judge_of_the_previous_token_says(answer, words):
    assert words in told("previous_token", answer)


@pytest.mark.parametrize("weight", [0.89, 0.91])
def test_nine_tenths_of_the_weight_are_enough(weight):
    gap = np.log(weight / (1 - weight)) * np.sqrt(2)
    q, k = torch.tensor([[0, 0], [gap, 0]]), torch.eye(2)
    assert (attention._judge_previous_token((q, k), 2) is None) == (weight > 0.9)
