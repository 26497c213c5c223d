"""The mathematics of a Transformer as pure functions: tensors in, tensors out, nothing stored.

B batch, H heads, T query position, S key position, D head width, C width,
I input width, O output width, V vocabulary
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from llmlab.model import gradients


class Attend(Protocol):
    """What `GPT(config, attend=...)` calls: `attend`, `attend_fused`, or your own function."""

    def __call__(
        self,
        q_BHTD: Tensor,
        k_BHSD: Tensor,
        v_BHSD: Tensor,
        *,
        causal: bool = False,
        mask_BTS: Tensor | None = None,
    ) -> Tensor:
        """Return the mixed values, of the queries' shape."""
        ...


def causal_mask(n_queries: int, n_keys: int, device: torch.device | None = None) -> Tensor:
    """Say which keys each query may see: its own position and everything before it.

    Returns a boolean (T, S) tensor. The queries are the last T of the S positions, so that the
    same rule holds when the earlier keys come out of a cache.

    >>> causal_mask(2, 3).int()
    tensor([[1, 1, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    everything = torch.ones(n_queries, n_keys, dtype=torch.bool, device=device)
    return everything.tril(diagonal=n_keys - n_queries)


def attention_weights(
    q_BHTD: Tensor, k_BHSD: Tensor, *, causal: bool = False, mask_BTS: Tensor | None = None
) -> Tensor:
    """Share the attention of each query out among the keys: weights from 0 to 1 that sum to 1.

    `causal` hides every key that comes after its query. `mask_BTS` is True where a query may
    look; every query needs at least one key it may see. Returns (B, H, T, S).
    Source: "Attention Is All You Need" (Vaswani et al. 2017), section 3.2.1.

    >>> q = torch.zeros(1, 1, 2, 4)  # two queries that like every key equally
    >>> attention_weights(q, q, causal=True)
    tensor([[[[1.0000, 0.0000],
              [0.5000, 0.5000]]]])
    """
    scores_BHTS = q_BHTD @ k_BHSD.mT / math.sqrt(q_BHTD.shape[-1])
    if causal:
        visible_TS = causal_mask(q_BHTD.shape[-2], k_BHSD.shape[-2], q_BHTD.device)
        scores_BHTS = scores_BHTS.masked_fill(~visible_TS, -torch.inf)
    if mask_BTS is not None:
        scores_BHTS = scores_BHTS.masked_fill(~mask_BTS.unsqueeze(1), -torch.inf)
    return scores_BHTS.softmax(dim=-1)


def attend(
    q_BHTD: Tensor,
    k_BHSD: Tensor,
    v_BHSD: Tensor,
    *,
    causal: bool = False,
    mask_BTS: Tensor | None = None,
) -> Tensor:
    """Mix the values of the keys that fit each query: attention, written out step by step.

    Arguments as in `attention_weights`. Returns the mixed values, (B, H, T, D).
    Source: "Attention Is All You Need" (Vaswani et al. 2017), section 3.2.1.

    >>> q = torch.zeros(1, 1, 2, 4)  # two queries that like every key equally
    >>> v = torch.tensor([[[[1.0], [3.0]]]])
    >>> attend(q, q, v).flatten()
    tensor([2., 2.])
    >>> attend(q, q, v, causal=True).flatten()
    tensor([1., 2.])
    """
    weights_BHTS = attention_weights(q_BHTD, k_BHSD, causal=causal, mask_BTS=mask_BTS)
    return weights_BHTS @ v_BHSD


def attend_fused(
    q_BHTD: Tensor,
    k_BHSD: Tensor,
    v_BHSD: Tensor,
    *,
    causal: bool = False,
    mask_BTS: Tensor | None = None,
) -> Tensor:
    """Compute what `attend` computes with PyTorch's fused kernel, which never stores the scores.

    Same arguments, same result up to rounding, less time and memory.
    """
    n_queries, n_keys = q_BHTD.shape[-2], k_BHSD.shape[-2]
    if causal and n_queries == 1:
        causal = False  # the last position may see every key
    if mask_BTS is None and (not causal or n_queries == n_keys):
        return F.scaled_dot_product_attention(q_BHTD, k_BHSD, v_BHSD, is_causal=causal)
    visible = causal_mask(n_queries, n_keys, q_BHTD.device) if causal else None
    if mask_BTS is not None:
        mask_B1TS = mask_BTS.unsqueeze(1)
        visible = mask_B1TS if visible is None else mask_B1TS & visible
    return F.scaled_dot_product_attention(q_BHTD, k_BHSD, v_BHSD, attn_mask=visible)


def rms_norm(x_BTC: Tensor, weight_C: Tensor, eps: float) -> Tensor:
    """Scale each vector to a root mean square of 1, then by a learned weight per channel.

    Source: Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", equation 4.

    >>> rms_norm(torch.tensor([3.0, -3.0]), torch.ones(2), eps=0.0)
    tensor([ 1., -1.])
    """
    if gradients.pays(x_BTC, weight_C):
        return gradients.RMSNorm.apply(x_BTC, weight_C, eps)
    return F.rms_norm(x_BTC, weight_C.shape, weight_C, eps)


def relu2(x: Tensor) -> Tensor:
    """Square what is positive and drop the rest, number by number.

    Source: So et al. 2021, "Primer: Searching for Efficient Transformers", section 4.1.

    >>> relu2(torch.tensor([-2.0, 0.0, 3.0]))
    tensor([0., 0., 9.])
    """
    if gradients.pays(x):
        return gradients.SquaredReLU.apply(x)
    return F.relu(x).square()


def rotary_angles(head_width: int, positions: Tensor, base: float) -> tuple[Tensor, Tensor]:
    """Compute the cosines and sines by which rotary positions turn queries and keys.

    Channel i is paired with channel i + D/2; pair i turns by `position * base ** (-2 i / D)`
    radians. Returns two tensors of shape (*positions, D), float32.
    Source: Su et al. 2021, "RoFormer", section 3.2.2; the pairing is Llama's.

    >>> cos, sin = rotary_angles(4, torch.tensor([0, 1]), base=10_000.0)
    >>> sin
    tensor([[0.0000, 0.0000, 0.0000, 0.0000],
            [0.8415, 0.0100, 0.8415, 0.0100]])
    """
    exponents = torch.arange(0, head_width, 2, device=positions.device) / head_width
    angles = positions[..., None].float() * base**-exponents
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x_BHTD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of channels by its angle (`rotary_angles`); lengths do not change.

    >>> cos, sin = rotary_angles(2, torch.tensor([1]), base=10_000.0)  # one radian
    >>> rotate(torch.tensor([[1.0, 0.0]]), cos, sin)
    tensor([[0.5403, 0.8415]])
    """
    if gradients.pays(x_BHTD, cos, sin) and not (cos.requires_grad or sin.requires_grad):
        return gradients.Rotation.apply(x_BHTD, cos, sin)
    first, second = x_BHTD.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (x_BHTD * cos + turned * sin).to(x_BHTD.dtype)


def last_real(x_BTC: Tensor, mask_BT: Tensor) -> Tensor:
    """Take the vector of each text's last real token, on whichever side its padding is: (B, C).

    `mask_BT` is True for real tokens; every text needs one.

    >>> x = torch.tensor([[[1.0], [2.0], [0.0]], [[0.0], [0.0], [3.0]]])
    >>> last_real(x, torch.tensor([[True, True, False], [False, False, True]])).flatten()
    tensor([2., 3.])
    """
    places_T = torch.arange(mask_BT.shape[1], device=mask_BT.device)
    last_B = (mask_BT * places_T).amax(dim=1)
    return x_BTC[torch.arange(len(x_BTC), device=x_BTC.device), last_B]


def linear(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """Multiply every vector of `x` (..., I) by a weight matrix and add a bias: (..., O).

    Generating a token multiplies one vector by every weight matrix of the model, and takes as
    long as reading those matrices does. For so few vectors, matrix libraries tend to leave the
    reading to one core of a CPU; here every core gets its share of the rows.
    """
    n_vectors = x.numel() // x.shape[-1]
    if n_vectors > 4 or x.device.type != "cpu" or torch.is_grad_enabled():
        return F.linear(x, weight_OI, bias_O)
    n_out, n_in = weight_OI.shape
    n_cores = torch.get_num_threads()
    n_shared = n_out - n_out % n_cores
    shares = weight_OI[:n_shared].view(n_cores, n_shared // n_cores, n_in)
    x_IN = x.reshape(n_vectors, n_in).T
    out_ON = torch.bmm(shares, x_IN.expand(n_cores, n_in, n_vectors)).view(n_shared, n_vectors)
    if n_shared < n_out:
        out_ON = torch.cat((out_ON, weight_OI[n_shared:] @ x_IN))
    out = out_ON.T.reshape(*x.shape[:-1], n_out)
    return out if bias_O is None else out + bias_O
