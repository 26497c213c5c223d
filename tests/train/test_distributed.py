"""What can be said of a team without starting one; test_processes.py in pretraining starts it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmlab.model import GPT, GPTConfig
from llmlab.train import IGNORE, Batch, NextTokenLoss, train
from llmlab.train.distributed import (
    Team,
    class_of,
    joined_team,
    own_part,
    put_together,
    shared_out_like,
    whole,
)


def batch_of(n_rows, n_columns=3):
    ids_BT = torch.arange(n_rows * n_columns).reshape(n_rows, n_columns)
    return Batch((ids_BT, ids_BT + 100), ids_BT + 1)


@given(
    n_rows=st.integers(1, 12),
    size=st.integers(1, 9),
    most=st.none() | st.integers(1, 13),
)
def test_the_parts_are_the_batch_without_gap_or_overlap(n_rows, size, most):
    batch = batch_of(n_rows)
    parts = [Team(rank, size).own_parts(batch, most) for rank in range(size)]
    assert len({len(own) for own in parts}) == 1  # all wait for each other equally often
    learned = [part for own in parts for part in own if part.n_targets]
    for number, everything in enumerate((*batch.inputs, batch.targets_BT)):
        rows = [(*part.inputs, part.targets_BT)[number] for part in learned]
        assert torch.equal(torch.cat(rows), everything)
    assert sum(part.n_targets for own in parts for part in own) == batch.n_targets
    counts = [sum(len(part.targets_BT) for part in own if part.n_targets) for own in parts]
    assert max(counts) - min(counts) <= 1
    assert all(len(part.targets_BT) <= (most or n_rows) for part in learned)
    assert len(parts[0]) == -(-max(counts) // (most or max(counts)))


def test_a_part_of_no_rows_has_nothing_to_learn():
    empty = batch_of(4).rows(2, 2)
    assert (empty.n_targets, empty.n_tokens) == (0, 0)
    assert empty.targets_BT.tolist() == [[IGNORE] * 3]
    assert [tensor.shape for tensor in empty.inputs] == [(1, 3), (1, 3)]


def test_alone_nothing_is_sent_and_nothing_changes():
    team, value = Team(), torch.tensor([1.0, 2.0])
    batch = batch_of(3)
    assert team.own_parts(batch)[0] is batch
    assert team.total(value) is value
    assert team.any(True, value.device)
    assert not team.any(False, value.device)
    with joined_team(torch.device("cpu")) as joined:
        assert joined == team
    assert own_part(value) is whole(value) is put_together(value, value) is value
    assert shared_out_like(value, value) is value
    model = GPT(GPTConfig(vocab_size=5, context=4, width=8, n_layers=1, n_heads=2))
    assert team.reducing(model) is model
    assert class_of(model) is GPT


def test_small_portions_give_the_gradients_of_the_whole():
    config = GPTConfig(vocab_size=9, context=4, width=8, n_layers=1, n_heads=2)
    ids_BT = torch.randint(9, (7, 5))
    batch = Batch((ids_BT[:, :-1],), ids_BT[:, 1:].clone())
    batch.targets_BT[2:5] = IGNORE  # some portions have nothing to learn
    batch = Batch(batch.inputs, batch.targets_BT)
    torch.manual_seed(0)
    steps = {}
    for portion in (None, 1, 2, 7):
        torch.manual_seed(0)
        model = GPT(config)
        (steps[portion],) = train(model, [batch], steps=1, micro_batch=portion)
    for portion in (1, 2, 7):
        assert steps[portion].loss == pytest.approx(steps[None].loss, abs=1e-6)
        assert steps[portion].gradient_norm == pytest.approx(steps[None].gradient_norm, abs=1e-6)


def test_what_a_team_cannot_do_is_refused(monkeypatch):
    model = GPT(GPTConfig(vocab_size=9, context=4, width=8, n_layers=1, n_heads=2))
    with pytest.raises(ValueError, match="minutes=1 would end at another step in each of 2"):
        train(model, [], minutes=1, team=Team(0, 2))
    with pytest.raises(ValueError, match="micro_batch=0 must be a whole number of at least 1"):
        train(model, [], steps=1, micro_batch=0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(ValueError, match="2 processes cannot train together on 'mps'"),
        joined_team(torch.device("mps")),
    ):
        pass


def test_a_loss_that_is_not_one_is_still_refused():
    model = GPT(GPTConfig(vocab_size=9, context=4, width=8, n_layers=1, n_heads=2))
    batch = batch_of(1)
    batch = Batch((batch.inputs[0],), batch.targets_BT)
    with pytest.raises(ValueError, match="not a single number"):
        next(train(model, [batch], steps=1, loss=lambda m, b: m(*b.inputs)))
    assert NextTokenLoss()(model, batch).dim() == 0
