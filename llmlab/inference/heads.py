"""Say in a few numbers what an attention head does.

L layer, B batch, H heads, T query position, S key position
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from llmlab.inference.trace import trace
from llmlab.model import GPT
from llmlab.text.inputs import whole_number

_ROUNDING = 1e-3  # by which weights of half precision may leave [0, 1]


def head_statistics(weights_LHTS: Tensor | np.ndarray, *, causal: bool = True) -> dict[str, Tensor]:
    """Describe each head by where its attention goes, on the average over the queries of a text.

    Takes weights of shape (..., T, S), without padding; with ``T < S`` the queries are the last
    of the positions. Returns tensors (...), float32:

    - "entropy" in bits: over how many keys a query spreads, 0 for one key, k for 2**k equal ones;
    - "previous token": the weight on the position just before the query's;
    - "first token": the weight on position 0.

    Queries with nothing to choose are left out. With `causal` that is position 0, which sees only
    itself, in all three; else it is position 0 for the "previous token", which it has not got.
    Where no query is left, the entropy is 0 and the weights are NaN. Raises ``ValueError`` for
    what has not the shape of weights or is not from 0 to 1.

    >>> weights = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
    >>> for name, value in head_statistics(weights).items():
    ...     print(name, float(value))
    entropy 0.5
    previous token 0.75
    first token 0.25
    """
    weights = _checked_weights(weights_LHTS)
    n_queries, n_keys = weights.shape[-2:]
    if n_queries > n_keys and causal:
        raise ValueError(
            f"{n_queries} queries for {n_keys} keys cannot be causal, as each position is a key "
            "too; give weights of shape (..., T, S) with T up to S, or causal=False"
        )
    alone = causal and n_queries == n_keys  # position 0 is there, and sees only itself
    choosing = weights[..., 1:, :] if alone else weights
    entropy = torch.special.entr(choosing).sum(dim=-1) / math.log(2)
    before = weights.diagonal(offset=n_keys - n_queries - 1, dim1=-2, dim2=-1)
    return {
        "entropy": entropy.mean(dim=-1) if choosing.shape[-2] else entropy.sum(dim=-1),
        "previous token": before.mean(dim=-1),
        "first token": choosing[..., 0].mean(dim=-1),
    }


def _checked_weights(weights: Tensor | np.ndarray) -> Tensor:
    if isinstance(weights, np.ndarray) and not weights.flags.writeable:
        weights = weights.copy()  # torch would warn that it might write
    weights = torch.as_tensor(weights)
    if weights.dim() < 2 or not all(weights.shape[-2:]) or not weights.is_floating_point():
        raise ValueError(
            f"{weights.dtype} of shape {tuple(weights.shape)} are no attention weights; give "
            "fractions of shape (..., queries, keys), for example record.weights_LHTS"
        )
    weights = weights.detach().float()
    low, high = (float(value) for value in weights.aminmax())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # so that NaN is refused as well
        raise ValueError(
            f"numbers from {low:.4g} to {high:.4g} are no attention weights, which go from 0 to 1; "
            "scores become weights by softmax(dim=-1)"
        )
    return weights.clamp_min(0) if low < 0 else weights  # less than nothing has no entropy


@torch.inference_mode()
def induction_scores(
    model: GPT,
    *,
    n_tokens: int = 25,
    n_texts: int = 4,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Measure how much each head looks for what followed the last time: (L, H), from 0 to 1.

    The model reads `n_texts` sequences of `n_tokens` random tokens, no two alike, each sequence
    twice over. The score is the mean weight from a token of the second half to the token after
    its earlier occurrence. Raises ``ValueError`` for sizes that do not fit into the model.
    Source: Olsson et al. 2022, "In-context Learning and Induction Heads".
    """
    if not isinstance(model, GPT):
        raise TypeError(f"{type(model).__name__} is no GPT; give one, such as load_pretrained()[0]")
    config = model.config
    most = min(config.vocab_size, config.context // 2)
    n_tokens = whole_number(n_tokens, "n_tokens", least=2, most=most)
    n_texts = whole_number(n_texts, "n_texts", least=1)
    device = "cpu" if generator is None else generator.device
    once_BT = torch.stack(
        [
            torch.randperm(config.vocab_size, generator=generator, device=device)[:n_tokens]
            for _ in range(n_texts)
        ]
    )
    with trace(model) as record:
        model.hidden_states(once_BT.repeat(1, 2).to(model.device))
    # query n_tokens + i is to find key i + 1, so they are n_tokens - 1 apart
    diagonal = record.weights_LBHTS.diagonal(offset=1 - n_tokens, dim1=-2, dim2=-1)
    return diagonal[..., 1:].float().mean(dim=(1, -1))
