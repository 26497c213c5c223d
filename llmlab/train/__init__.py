"""Training: batches, losses, schedules, optimisers, the loop, and checkpoints.

``pair_batches``                 batches of texts to translate, similar lengths together
``packed_batches``               batches of one long text, cut into pieces
``masked_batches``               batches of texts of which only marked tokens are learned
``labelled_batches``             batches of texts and the classes that they belong to
``Batch``, ``IGNORE``            one batch; the target where nothing is to be learned
``NextTokenLoss``                the loss of a model on a batch
``ClassLoss``                    of a classifier; ``class_weights`` gives rare classes their say
``cross_entropy``                of logits; ``head_cross_entropy`` never holds all of them

``train``                        the loop, which yields a ``Step`` after each step
``TrainingError``                why it cannot go on
``schedules``                    how the learning rate rises and falls with the steps
``optimizer_for``                the right optimiser for each parameter of a model
``Muon``                         the one for the matrices inside; ``JointOptimizer`` joins several

``save_checkpoint``              write a model, and all that a run needs to go on, to one file
``load_checkpoint``              read such a file: a ``Checkpoint``

``distributed``                  several processes that train one model: a ``Team``
"""

from llmlab.train import schedules
from llmlab.train.batches import IGNORE, Batch, masked_batches, packed_batches, pair_batches
from llmlab.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from llmlab.train.classes import ClassLoss, class_weights, labelled_batches
from llmlab.train.loop import Step, TrainingError, train
from llmlab.train.losses import NextTokenLoss, cross_entropy, head_cross_entropy
from llmlab.train.optim import JointOptimizer, Muon, optimizer_for

__all__ = [
    "IGNORE",
    "Batch",
    "Checkpoint",
    "ClassLoss",
    "JointOptimizer",
    "Muon",
    "NextTokenLoss",
    "Step",
    "TrainingError",
    "class_weights",
    "cross_entropy",
    "head_cross_entropy",
    "labelled_batches",
    "load_checkpoint",
    "masked_batches",
    "optimizer_for",
    "packed_batches",
    "pair_batches",
    "save_checkpoint",
    "schedules",
    "train",
]
