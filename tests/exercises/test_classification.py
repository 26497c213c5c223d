"""Answers to the exercises on classifying that nobody foresaw, and oracles for the references."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_recall_fscore_support  # not in the checks' time

from llmlab.exercises import classification
from llmlab.exercises.checking import judge
from llmlab.exercises.shelf import find
from llmlab.model.ops import last_real
from llmlab.train import class_weights


def told(id, answer):
    """The text of the card, which must not be that of a known mistake."""
    exercise = find(f"classification.{id}")
    result = judge(exercise, answer, np.random.default_rng(0))
    assert result.status == "not yet"
    assert result.text not in [message for _, message in exercise.wrong_answers]
    return result.text


def passes(id, answer):
    return judge(find(f"classification.{id}"), answer, np.random.default_rng(0)).passed


@pytest.fixture(params=range(30))
def rng(request):
    return np.random.default_rng(request.param)


def split_backwards(messages, n_test):
    """Number the copies; those with the number 0 stay."""
    keys = [" ".join(text.split()).casefold() for _, text in messages]
    kept = [m for n, m in enumerate(messages) if keys[n] not in keys[:n]]
    return kept[: len(kept) - n_test], kept[len(kept) - n_test :]


def by_flipping(x, real):
    place = real.shape[1] - 1 - real.flip(1).int().argmax(dim=1)
    return x.gather(1, place[:, None, None].expand(-1, 1, x.shape[-1])).squeeze(1)


def in_a_loop(x, real):
    return torch.stack([vectors[mask][-1] for vectors, mask in zip(x, real, strict=True)])


def with_scikit_learn(is_spam, called_spam):
    scores = precision_recall_fscore_support(
        is_spam, called_spam, average="binary", zero_division=0
    )
    return scores[:3]


def f1_of_counts(is_spam, called_spam):
    hits = sum(a and b for a, b in zip(is_spam, called_spam, strict=True))
    wrong = sum(a != b for a, b in zip(is_spam, called_spam, strict=True))
    precision, recall, _ = with_scikit_learn(is_spam, called_spam)
    return precision, recall, hits / (hits + wrong / 2) if hits else 0.0


def threshold_with_scikit_learn(probabilities, is_spam):
    limits = sorted(set(probabilities), reverse=True)
    scores = [f1_score(is_spam, np.array(probabilities) >= limit) for limit in limits]
    return limits[int(np.argmax(np.round(scores, 12)))]


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("split", split_backwards),
        ("split", lambda m, n: list(map(tuple, split_backwards(m, n)))),
        ("last_real", by_flipping),
        ("last_real", in_a_loop),
        ("last_real", last_real),
        ("class_weights", lambda labels, k: class_weights(labels, k)),
        ("class_weights", lambda labels, k: len(labels) / k / np.bincount(labels, minlength=k)),
        ("f1", with_scikit_learn),
        ("f1", f1_of_counts),
        ("threshold", threshold_with_scikit_learn),
    ],
)
def test_right_answers_of_other_kinds_pass(id, answer):
    assert passes(id, answer)


@pytest.mark.parametrize(
    ("id", "answer", "words"),
    [
        ("split", lambda m, n: m, "Return two lists"),
        ("split", lambda m, n: (m[:1], m[:1]), "A message stands on both sides"),
        ("last_real", lambda x, real: x[:, -1:], "has to have the shape"),
        ("last_real", lambda x, real: x.sum(dim=1) + 7, "is not that of any of its real tokens"),
        ("class_weights", lambda labels, k: [1.0] * (k + 1), "one for each class."),
        ("class_weights", lambda labels, k: list(range(1, k + 1)), "is not the same for all"),
        (
            "class_weights",
            lambda labels, k: [3 / labels.count(c) for c in range(k)],
            "The mean of the weights over the examples is",
        ),
        ("f1", lambda a, b: 0.5, "Return three numbers"),
        ("f1", lambda a, b: (0.5, 2.0, 0.7), "All three are shares"),
        ("f1", lambda a, b: (0.5, 0.5, 0.7), "F1 is a mean of precision and recall"),
        ("threshold", lambda p, a: 0.123, "one of the probabilities in the list"),
    ],
)
def test_what_the_laws_say(id, answer, words):
    assert words in told(id, answer)


def test_the_threshold_is_the_best_of_all_numbers(rng):
    p, is_spam = classification.some_probabilities(rng, 5)
    limit = classification.my_threshold(p, is_spam)
    best = _f1(p, is_spam, limit)
    assert limit in p
    for other in np.linspace(0, 1, 201):
        assert _f1(p, is_spam, other) <= best + 1e-12
        if other > limit + 1e-9 and any(other <= each for each in p):
            assert _f1(p, is_spam, other) < best


def _f1(p, is_spam, limit):
    called = [each >= limit for each in p]
    return classification.my_f1(is_spam, called)[2]


def test_the_last_real_vector_does_not_depend_on_the_padding(rng):
    x, real = classification.a_padded_batch(rng, 6)
    found = classification.my_last_real(x, real)
    other = torch.where(real.unsqueeze(-1), x, torch.full_like(x, 1e6))
    assert torch.equal(classification.my_last_real(other, real), found)
    for side in (0, 1):  # more padding, left or right
        wider = torch.nn.functional.pad(x, (0, 0, 2 * (1 - side), 2 * side), value=5.0)
        mask = torch.nn.functional.pad(real, (2 * (1 - side), 2 * side), value=False)
        assert torch.equal(classification.my_last_real(wider, mask), found)


def test_the_inputs_have_padding_on_either_side_and_no_hole():
    sides = set()
    for seed in range(30):
        _, real = classification.a_padded_batch(np.random.default_rng(seed), 4)
        for row in real.tolist():
            sides |= {"left"} if not row[0] else set()
            sides |= {"right"} if not row[-1] else set()
            first, last = row.index(True), len(row) - 1 - row[::-1].index(True)
            assert all(row[first : last + 1])
    assert sides == {"left", "right"}


def test_the_split_is_a_partition_of_the_different_messages(rng):
    messages, n_test = classification.some_messages(rng, 6)
    training, testing = classification.my_split(messages, n_test)
    keys = [" ".join(text.lower().split()) for _, text in training + testing]
    assert len(testing) == n_test
    assert training
    assert len(set(keys)) == len(keys)
    assert set(keys) == {" ".join(text.lower().split()) for _, text in messages}
    assert training[0] == messages[0]
    assert len(keys) < len(messages)  # or there is nothing to remove


def test_the_examples_in_the_prompts():
    messages = [("spam", "Call NOW"), ("ham", "Ok"), ("spam", "call  now"), ("ham", "Bye")]
    assert classification.my_split(messages, 1) == (messages[:2], messages[3:])
    assert classification.my_class_weights([0, 0, 0, 1], 2) == pytest.approx([2 / 3, 2])
    spam, called = [True, True, True, False, False], [True, False, False, True, False]
    assert classification.my_f1(spam, called) == pytest.approx((1 / 2, 1 / 3, 0.4))
    p, is_spam = [0.9, 0.7, 0.4, 0.1], [True, False, True, False]
    assert classification.my_threshold(p, is_spam) == 0.4
    at_each = [_f1(p, is_spam, limit) for limit in p]
    assert at_each == pytest.approx([2 / 3, 1 / 2, 4 / 5, 2 / 3])
