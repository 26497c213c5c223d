"""Learning classes: batches with labels, weights of the classes, and the loss."""

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import nll_loss
from torch.testing import assert_close

from llmlab.model import GPT, Classifier, GPTConfig
from llmlab.train import ClassLoss, class_weights, labelled_batches, train
from llmlab.train.classes import padded

TEXTS = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=12)


def tiny_gpt():
    torch.manual_seed(0)
    return GPT(GPTConfig(vocab_size=12, context=8, width=8, n_layers=2, n_heads=2))


def one_epoch(batches):
    return [next(batches) for _ in range(batches.n_per_epoch)]


@given(texts=TEXTS, batch_size=st.integers(1, 5), seed=st.integers(0, 3))
def test_each_text_comes_once_an_epoch_with_its_own_label(texts, batch_size, seed):
    texts = [[*text, 10 + number % 2] for number, text in enumerate(texts)]  # ends with its label
    labels = [number % 2 for number in range(len(texts))]
    batches = labelled_batches(texts, labels, batch_size=batch_size, pad_id=11, seed=seed)
    for _ in range(2):
        found = []
        for batch in one_epoch(batches):
            ids_BT, mask_BT = batch.inputs
            assert (ids_BT[~mask_BT] == 11).all()
            rows = [ids_T[mask_T].tolist() for ids_T, mask_T in zip(ids_BT, mask_BT, strict=True)]
            assert [row[-1] - 10 for row in rows] == batch.targets_BT.tolist()
            assert batch.n_targets == len(rows) <= batch_size
            assert batch.n_tokens == sum(map(len, rows))
            found += rows
        assert sorted(found) == sorted(texts)


def test_texts_of_similar_length_share_a_batch():
    rng = np.random.default_rng(0)
    texts = [[1] * int(n) for n in rng.integers(1, 60, size=400)]
    batches = labelled_batches(texts, [0] * 400, batch_size=8)
    spread = [np.ptp(b.inputs[1].sum(dim=1).numpy()) for b in one_epoch(batches)]
    assert np.mean(spread) < 3


def test_the_order_depends_on_the_seed_alone():
    texts, labels = [[n % 7 + 1] * (n % 3 + 1) for n in range(30)], [n % 2 for n in range(30)]

    def series(seed):
        batches = labelled_batches(texts, labels, batch_size=4, seed=seed)
        return [batch.inputs[0].tolist() for batch in itertools.islice(batches, 20)]

    assert series(1) == series(1)
    assert series(1) != series(2)


def test_fingerprints_tell_the_data_apart():
    texts, vectors = [[1, 2], [3]], [torch.ones(2, 4), torch.zeros(1, 4)]

    def mark(texts, labels=(0, 1), **options):
        return labelled_batches(texts, labels, **{"batch_size": 2} | options).fingerprint

    assert mark(texts) == mark(texts)
    others = [mark([[1, 2], [4]]), mark(texts, (1, 1)), mark(texts, seed=1), mark(texts, pad_id=5)]
    others += [mark(vectors), mark([torch.ones(2, 4), torch.ones(1, 4) * 1e-9])]
    assert len({mark(texts), *others}) == 7


def test_kept_vectors_are_padded_with_zeros_and_masked():
    vectors = [torch.randn(n, 3) for n in (2, 4, 1)]
    x_BTC, mask_BT = padded(vectors)
    assert x_BTC.shape == (3, 4, 3)
    assert mask_BT.tolist() == [[n < length for n in range(4)] for length in (2, 4, 1)]
    assert not x_BTC[~mask_BT].any()
    for row, vector_TC in zip(x_BTC, vectors, strict=True):
        assert torch.equal(row[: len(vector_TC)], vector_TC)


def test_training_on_what_was_kept_is_training_on_the_texts():
    """The same steps, with and without the frozen layers computed anew each time."""
    texts, labels = [[1, 2, 3], [4, 5], [6, 7, 8, 9], [2]], [0, 1, 1, 0]
    model = Classifier(tiny_gpt(), 2, n_frozen=1)
    again = copy.deepcopy(model)
    with torch.no_grad():
        kept = [model.trunk_outputs(torch.tensor([text]))[0] for text in texts]
    losses = []
    for each, examples in ((model, texts), (again, kept)):
        batches = labelled_batches(examples, labels, batch_size=2)
        losses.append([step.loss for step in train(each, batches, steps=8, loss=ClassLoss())])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0][-1] < 0.8 * losses[0][0]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_weights_give_every_class_the_same_say(labels):
    labels += [0, 1, 2, 3]
    weights_K = class_weights(labels, 4)
    says = [sum(weights_K[label] for label in labels if label == k) for k in range(4)]
    assert says == pytest.approx([len(labels) / 4] * 4)
    assert weights_K[labels].mean() == pytest.approx(1)


def test_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.random.default_rng(0).choice(3, size=200, p=[0.7, 0.2, 0.1])
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert_close(class_weights(labels, 3), torch.tensor(theirs).float())
    assert class_weights(torch.tensor([True, False, False]), 2).tolist() == [0.75, 1.5]


class Given(nn.Module):
    """A model whose scores are the batch's first input."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, scores_BK, mask_BT):
        return scores_BK * self.scale


def batch_of(scores_BK, labels):
    from llmlab.train import Batch

    mask_BT = torch.ones(len(scores_BK), 1, dtype=torch.bool)
    return Batch((scores_BK, mask_BT), torch.tensor(labels))


@pytest.mark.parametrize("weights", [None, (1.0, 1.0, 1.0), (0.5, 2.0, 7.0)])
def test_the_loss_is_the_weighted_surprise(weights):
    scores_BK = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    labels = [0, 2, 1, 1, 0]
    found = ClassLoss(weights)(Given(), batch_of(scores_BK, labels)).detach()
    p = np.exp(scores_BK.double().numpy())
    p /= p.sum(axis=1, keepdims=True)
    by_hand = [-np.log(p[row, k]) * (weights or (1, 1, 1))[k] for row, k in enumerate(labels)]
    assert float(found) == pytest.approx(sum(by_hand), rel=1e-5)
    theirs = nll_loss(
        scores_BK.log_softmax(dim=1),
        torch.tensor(labels),
        weight=torch.tensor(weights or (1.0, 1.0, 1.0)),
        reduction="sum",
    )
    assert_close(found, theirs)


def test_a_weighted_class_is_found_more_often():
    rng = np.random.default_rng(0)
    labels = (rng.random(300) < 0.1).astype(int)
    x_NC = rng.normal(size=(300, 1)) + labels[:, None]  # the classes overlap
    vectors = [torch.tensor(row[None], dtype=torch.float32) for row in x_NC]
    found = []
    for weights in (None, class_weights(labels, 2)):
        head = Reading()
        batches = labelled_batches(vectors, labels, batch_size=300)
        optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
        for _ in train(head, batches, optimizer=optimizer, steps=100, loss=ClassLoss(weights)):
            pass
        scores_BK = head(*padded(vectors))
        found.append(int((scores_BK[:, 1] > scores_BK[:, 0]).sum()))
    unweighted, weighted = found
    assert unweighted < labels.sum() / 2
    assert weighted > 2 * labels.sum()


class Reading(nn.Module):
    """A line through the only number of a text."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(1, 2)

    def forward(self, x_BTC, mask_BT):
        return self.head(x_BTC[:, 0])


@pytest.mark.parametrize(
    ("texts", "labels", "words"),
    [
        ([], [], "there are no texts"),
        ([[1], []], [0, 1], "text 1 is empty"),
        ([[1], [2]], [0], "2 texts and 1 labels"),
        ([[1], "two"], [0, 1], "text 1 is 'two', not a list of token ids"),
        ([[1], [2]], [0, -1], "label 1 is -1; give the number of its class"),
        ([[1], [2]], [0, "spam"], "label 1 is 'spam'"),
        ([torch.ones(3)], [0], r"vectors of shape \(3,\)"),
        ([[[1]]], [0], "text 0 is"),
    ],
)
def test_what_is_refused(texts, labels, words):
    with pytest.raises(ValueError, match=words):
        labelled_batches(texts, labels, batch_size=2)


def test_more_that_is_refused():
    with pytest.raises(ValueError, match="give texts of one kind"):
        padded([[1, 2], torch.ones(2, 3)])
    with pytest.raises(ValueError, match="batch_size=0"):
        labelled_batches([[1]], [0], batch_size=0)
    with pytest.raises(ValueError, match="no label is of class 1"):
        class_weights([0, 2], 3)
    with pytest.raises(ValueError, match="label 2 is none of n_classes=2"):
        class_weights([0, 1, 2], 2)
    with pytest.raises(ValueError, match=r"weights=\(1.0, 0.0\) must be finite numbers above 0"):
        ClassLoss([1, 0])
    with pytest.raises(ValueError, match="2 weights, and the model tells 3 classes apart"):
        ClassLoss([1, 2])(Given(), batch_of(torch.zeros(1, 3), [0]))
