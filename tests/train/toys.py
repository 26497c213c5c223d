"""A tiny model and something for it to read."""

import torch

from llmlab.model import GPT, GPTConfig
from llmlab.train import packed_batches

VOCABULARY = 11
IDS = torch.randint(VOCABULARY, (400,), generator=torch.Generator().manual_seed(5)).tolist()


def tiny(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT(GPTConfig(vocab_size=VOCABULARY, context=8, width=8, n_layers=2, n_heads=2))


def some_batches():
    return packed_batches(IDS, context=8, batch_size=4, seed=3)


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
