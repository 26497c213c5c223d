"""Learning to sort texts into classes: batches with labels, and a loss that weighs the classes.

B batch, T position, C width, K class
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmlab.text.inputs import whole_number
from llmlab.train.batches import Batch, Batches, by_length

Texts = Sequence[Sequence[int]] | Sequence[Tensor]


def padded(texts: Texts, *, pad_id: int = 0) -> tuple[Tensor, Tensor]:
    """Put texts into one tensor, filled up on the right, and say where real tokens are.

    A text is a list of token ids, or the vectors that a `Classifier` kept of it, (T, C), which
    are filled up with zeros. Returns (B, T) or (B, T, C), and a boolean mask (B, T), True for
    real tokens. Raises ``ValueError`` for no texts, an empty one, and for a mixture of the two.
    """
    rows = [_row(text, number) for number, text in enumerate(texts)]
    if not rows:
        raise ValueError("there are no texts; give at least one")
    kinds = {(row.is_floating_point(), row.shape[1:]) for row in rows}
    if len(kinds) > 1:
        raise ValueError(
            "some texts are lists of ids and others are vectors, or they differ in width; "
            "give texts of one kind"
        )
    lengths_B = torch.tensor([len(row) for row in rows])
    mask_BT = torch.arange(int(lengths_B.max())) < lengths_B[:, None]
    fill = 0.0 if rows[0].is_floating_point() else pad_id
    together = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=fill)
    return together, mask_BT.to(together.device)


def labelled_batches(
    texts: Texts, labels: Iterable[int], *, batch_size: int, pad_id: int = 0, seed: int = 0
) -> Batches:
    """Make batches of texts and the classes that they belong to; each text comes once an epoch.

    `texts` are as in `padded`, `labels` numbers from 0 up. The inputs of a batch are the texts and
    their mask, the targets the labels, (B,). Texts of similar length share a batch, in an order
    that depends on `seed` alone.

    Raises ``ValueError`` for texts that `padded` refuses, and for labels that are not as many as
    the texts or are no classes.
    """
    batch_size = whole_number(batch_size, "batch_size", least=1)
    pad_id = whole_number(pad_id, "pad_id", least=0)
    rows = [_row(text, number) for number, text in enumerate(texts)]
    labels_N = _labels(labels)
    if len(labels_N) != len(rows):
        raise ValueError(
            f"there are {len(rows):,} texts and {len(labels_N):,} labels; give one label a text, "
            "in the same order"
        )
    padded(rows[:1])  # says what is wrong with no texts at all
    lengths = np.array([len(row) for row in rows])

    def make(places: np.ndarray) -> Batch:
        inputs = padded([rows[place] for place in places], pad_id=pad_id)
        n_tokens = int(lengths[places].sum())
        return Batch(inputs, labels_N[torch.from_numpy(places)], len(places), n_tokens)

    # kept vectors are told apart by their last one: to read all of them would take too long
    contents = [row if row.dim() == 1 else row[-1].float().view(torch.int32) for row in rows]
    return Batches(
        by_length((lengths,), batch_size),
        make,
        n_per_epoch=-(-len(rows) // batch_size),
        seed=seed,
        settings=("labelled", batch_size, pad_id),
        arrays=(lengths, torch.cat(contents).cpu().numpy(), labels_N.numpy()),
    )


def class_weights(labels: Iterable[int], n_classes: int) -> Tensor:
    """Weigh each class by the inverse of how frequent it is, (K,).

    With N labels, n of them of a class, its weight is N / (K n): all classes together have the
    same say, and the mean over the labels is 1.
    Raises ``ValueError`` for a class without any label.

    >>> class_weights([0, 0, 0, 1], 2)
    tensor([0.6667, 2.0000])
    """
    n_classes = whole_number(n_classes, "n_classes", least=1)
    labels_N = _labels(labels)
    counts_K = torch.bincount(labels_N, minlength=n_classes)
    if len(counts_K) > n_classes:
        raise ValueError(
            f"label {int(labels_N.max())} is none of n_classes={n_classes} classes, which are "
            f"counted from 0; use n_classes={len(counts_K)}"
        )
    if not counts_K.all():
        raise ValueError(
            f"no label is of class {int(counts_K.argmin())}, so no weight would do it justice; "
            "give labels of every class"
        )
    return len(labels_N) / (n_classes * counts_K.float())


@dataclass(frozen=True)
class ClassLoss:
    """The loss of a classifier on a batch: the sum of -log p(right class), in nats.

    Call it as ``loss(model, batch)``; give it to ``train(..., loss=...)``. `weights` holds a
    number for each class, by which the surprise at its texts is multiplied (`class_weights`), and
    is 1 for all if left out.
    """

    weights: Sequence[float] | None = None

    def __post_init__(self):
        if self.weights is None:
            return
        weights = tuple(float(weight) for weight in self.weights)
        if not all(0 < weight < float("inf") for weight in weights):
            raise ValueError(f"weights={weights} must be finite numbers above 0, one a class")
        object.__setattr__(self, "weights", weights)

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        """Give the loss as a sum, to be divided by ``batch.n_targets``."""
        logits_BK = model(*batch.inputs).float()
        n_classes = logits_BK.shape[-1]
        if self.weights is not None and len(self.weights) != n_classes:
            raise ValueError(
                f"there are {len(self.weights)} weights, and the model tells {n_classes} classes "
                "apart; give one weight for each"
            )
        weights_K = None if self.weights is None else logits_BK.new_tensor(self.weights)
        return F.cross_entropy(logits_BK, batch.targets_BT, weight=weights_K, reduction="sum")


def _row(text: Sequence[int] | Tensor, number: int) -> Tensor:
    """Make a tensor of one text's ids or vectors."""
    if isinstance(text, str | bytes):
        raise ValueError(
            f"text {number} is {text!r:.40}, not a list of token ids; "
            "encode it first: tokenizer.encode(text)"
        )
    row = torch.as_tensor(text)
    if not len(row):
        raise ValueError(f"text {number} is empty; leave it out, or end each with a token")
    if row.is_floating_point():
        if row.dim() != 2:
            raise ValueError(
                f"text {number} has vectors of shape {tuple(row.shape)}; give (tokens, width)"
            )
        return row
    if row.dim() != 1 or row.dtype == torch.bool:
        raise ValueError(f"text {number} is {text!r:.40}; give a list of token ids")
    return row.long()


def _labels(labels: Iterable[int]) -> Tensor:
    labels = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    for number, label in enumerate(labels):
        if not isinstance(label, int | np.integer) or label < 0:
            raise ValueError(
                f"label {number} is {label!r}; give the number of its class, counted from 0"
            )
    return torch.tensor([int(label) for label in labels], dtype=torch.int64)
