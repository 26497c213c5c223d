"""How well a model predicts documents it has not seen."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from llmlab.model import GPT
from llmlab.pretraining.ingredients import END
from llmlab.text import BPETokenizer
from llmlab.train import NextTokenLoss, packed_batches


@torch.no_grad()
def held_out_score(
    model: GPT, tokenizer: BPETokenizer, texts: Iterable[str]
) -> tuple[float, float]:
    """Give the loss over documents, each ended as in training: in nats a token, in bits a byte."""
    texts = list(texts)
    end_id = tokenizer.special_tokens[END]
    ids = [token_id for text in texts for token_id in (*tokenizer.encode(text), end_id)]
    context = min(model.config.context, len(ids) - 1)
    batches = packed_batches(ids, context=context, batch_size=16)
    loss, total, n_targets = NextTokenLoss(), 0.0, 0
    for _ in range(batches.n_per_epoch):
        batch = next(batches)
        total += loss(model, batch.to(model.device)).item()
        n_targets += batch.n_targets
    n_bytes = sum(len(text.encode("utf-8")) for text in texts)
    return total / n_targets, total / math.log(2) / n_bytes
