"""Training: batches, losses, schedules, optimisers, the loop, and checkpoints.

``schedules``                    how the learning rate rises and falls with the steps
``Muon``                         the optimiser for the matrices inside a model
"""

from llmlab.train import schedules
from llmlab.train.optim import Muon

__all__ = [
    "Muon",
    "schedules",
]
