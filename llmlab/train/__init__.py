"""Training: batches, losses, schedules, optimisers, the loop, and checkpoints.

``pair_batches``                 batches of texts to translate, similar lengths together
``packed_batches``               batches of one long text, cut into pieces
``masked_batches``               batches of texts of which only marked tokens are learned
``Batch``, ``IGNORE``            one batch; the target where nothing is to be learned
``NextTokenLoss``                the loss of a model on a batch
``cross_entropy``                of logits; ``head_cross_entropy`` never holds all of them

``schedules``                    how the learning rate rises and falls with the steps
``Muon``                         the optimiser for the matrices inside a model
"""

from llmlab.train import schedules
from llmlab.train.batches import IGNORE, Batch, masked_batches, packed_batches, pair_batches
from llmlab.train.losses import NextTokenLoss, cross_entropy, head_cross_entropy
from llmlab.train.optim import Muon

__all__ = [
    "IGNORE",
    "Batch",
    "Muon",
    "NextTokenLoss",
    "cross_entropy",
    "head_cross_entropy",
    "masked_batches",
    "packed_batches",
    "pair_batches",
    "schedules",
]
