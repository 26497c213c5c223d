"""Tiny translators and texts for them."""

import torch

from llmlab.model import TranslatorConfig

PAD, START, END = 0, 1, 2
SIZES = {
    "vocab_size": 23, "context": 12, "width": 16, "n_heads": 4,
    "n_encoder_layers": 2, "n_decoder_layers": 3, "pad_id": PAD, "start_id": START, "end_id": END,
}  # fmt: skip
OURS = TranslatorConfig(**SIZES)
CLASSIC = TranslatorConfig(
    **SIZES,
    hidden=24,
    norm="layer",
    positions="learned",
    activation="gelu",
    attention_bias=True,
    feed_forward_bias=True,
    tied=False,
)
FAMILIES = {"ours": OURS, "classic": CLASSIC}


def words(*shape, seed=1):
    """Draw ids that are no special ones."""
    return torch.randint(3, 23, shape, generator=torch.Generator().manual_seed(seed))


def padded(ids_BT, lengths):
    """Fill every row up behind its length."""
    lengths_B1 = torch.tensor(lengths)[:, None]
    return ids_BT.where(torch.arange(ids_BT.shape[1]) < lengths_B1, PAD)


SOURCE, TARGET = padded(words(3, 9), [9, 4, 1]), words(3, 7, seed=2)
