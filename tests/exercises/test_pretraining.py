"""Answers to the exercises on pretraining that nobody foresaw, and oracles for the references."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import nll_loss

from llmlab.exercises import pretraining
from llmlab.exercises.checking import judge
from llmlab.exercises.pretraining import ToyTable
from llmlab.exercises.shelf import find
from llmlab.train import IGNORE, packed_batches, schedules


def told(id, answer):
    """The text of the card, which must not be that of a known mistake."""
    exercise = find(f"pretraining.{id}")
    result = judge(exercise, answer, np.random.default_rng(0))
    assert result.status == "not yet"
    assert result.text not in [message for _, message in exercise.wrong_answers]
    return result.text


def passes(id, answer):
    return judge(find(f"pretraining.{id}"), answer, np.random.default_rng(0)).passed


def packed_in_one_pass(documents, end_id, context):
    rows, pieces = ([], []), ([], [])
    for ids, out in documents:
        rows[out].extend(ids)
        rows[out].append(end_id)
    for row, side in zip(rows, pieces, strict=True):
        while len(row) > context:
            side.append((row[:context], row[1 : context + 1]))
            del row[:context]
    return pieces


def packed_as_tensors(documents, end_id, context):
    sides = packed_in_one_pass(documents, end_id, context)
    return [[(torch.tensor(a), torch.tensor(b)) for a, b in side] for side in sides]


def with_the_package(step, steps, warmup, final):
    return schedules.linear(steps, warmup=warmup, final=final)(step)


def by_hand(model, reads, answers, steps, rate):
    losses = []
    for _ in range(steps):
        log_p = model(reads).log_softmax(dim=-1)
        loss = nll_loss(log_p.flatten(0, 1), answers.flatten())
        losses.append(loss)
        (gradient,) = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            model.table_VV.sub_(rate * gradient)
    return losses


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("pack", packed_in_one_pass),
        ("pack", packed_as_tensors),
        ("first_loss", lambda v, t, b: (-math.log(1 / v), math.log(v) / math.log(2) * t / b)),
        ("first_loss", lambda v, t, b: torch.tensor([math.log(v), math.log2(v) * t / b])),
        ("schedule", with_the_package),
        ("overfit", by_hand),
    ],
)
def test_right_answers_of_other_kinds_pass(id, answer):
    assert passes(id, answer)


@pytest.mark.parametrize(
    ("id", "answer", "words"),
    [
        ("pack", lambda d, end, c: packed_in_one_pass(d, end, c)[0][:1], "Return two lists"),
        ("pack", lambda d, end, c: ([[1, 2, 3]], []), "A piece is a pair"),
        ("pack", lambda d, end, c: ([([1], [2, 3])], []), "the length of the context, here"),
        ("first_loss", lambda v, t, b: math.log(v), "Return two numbers"),
        ("first_loss", lambda v, t, b: (-1.0, 2.0), "No surprise is below 0."),
        ("schedule", lambda step, steps, warmup, final: 1.5, "at most 1 at every step"),
        ("schedule", lambda step, steps, warmup, final: 0, "above 0 and at most 1"),
        ("overfit", lambda m, r, a, steps, rate: 0.5, "Return a list of losses."),
        ("overfit", lambda m, r, a, steps, rate: [0.5], "steps, each with a loss."),
        ("overfit", lambda m, r, a, steps, rate: [0.5] * steps, "a model which knows nothing: ln"),
    ],
)
def test_what_the_laws_say(id, answer, words):
    assert words in told(id, answer)


def test_pieces_are_those_of_the_package():
    """One epoch of packed_batches asks for the same tokens, each once."""
    documents = [([5, 6, 7, 3, 4], False), ([9, 9], True), ([8, 2, 6], False)]
    training, _ = pretraining.my_pack(documents, 0, 3)
    asked = [answer for _, answers in training for answer in answers]
    row = [5, 6, 7, 3, 4, 0, 8, 2, 6, 0]
    batches = packed_batches(row, context=3, batch_size=50)
    targets = next(batches).targets_BT.flatten()
    assert sorted(targets[targets != IGNORE].tolist()) == sorted(row[1:])
    assert asked == row[1:]


def test_the_schedule_is_the_package_s():
    for steps, warmup, final in [(6, 2, 0.0), (10, 0, 0.3), (10, 9, 0.5)]:
        ours = [pretraining.my_schedule(step, steps, warmup, final) for step in range(steps)]
        theirs = schedules.linear(steps, warmup=warmup, final=final)
        assert ours == pytest.approx([theirs(step) for step in range(steps)])


def test_the_examples_in_the_prompts():
    documents = [([5, 6, 7], False), ([8, 9], True), ([4], False)]
    training, testing = pretraining.my_pack(documents, 0, 2)
    assert training == [([5, 6], [6, 7]), ([7, 0], [0, 4])]
    assert testing == [([8, 9], [9, 0])]
    assert pretraining.my_first_loss(1024, 300, 1000) == pytest.approx((6.93, 3.0), abs=0.005)
    reads, answers = torch.tensor([[0, 1]]), torch.tensor([[1, 2]])
    losses = pretraining.my_overfit(ToyTable(4), reads, answers, 3, 2.0)
    assert losses == pytest.approx([1.386, 0.744, 0.437], abs=5e-4)
    prompt = pretraining.overfit.prompt
    assert all(f"{loss:.3f}" in prompt for loss in losses)


def test_the_toy_table_is_named_in_the_card():
    assert repr(ToyTable(4)) == "a table of scores for 4 tokens"
    assert ToyTable(4)(torch.tensor([[1, 2, 3]])).shape == (1, 3, 4)
