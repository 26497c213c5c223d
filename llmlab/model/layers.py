"""The parts every model here is made of: attention, feed-forward, norms, blocks.

B batch, T query position, S key position, C width, H heads, D head width,
G query heads that share keys
"""

from __future__ import annotations

import inspect
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmlab.model import ops
from llmlab.model.caches import DecoderCache, KVCache, MemoryCache
from llmlab.model.configs import TransformerConfig

Rotary = tuple[Tensor, Tensor]


class Linear(nn.Linear):
    """A learned matrix product; `ops.linear` makes it quick for a single vector on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        return ops.linear(x, self.weight, self.bias)


class RMSNorm(nn.Module):
    """Root-mean-square normalisation with a learned weight per channel (`ops.rms_norm`)."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Normalise the last axis; the shape stays."""
        return ops.rms_norm(x_BTC, self.weight, self.eps)


class Observer(Protocol):
    """What may watch an `Attention` at work: a function that is shown what the heads will mix."""

    def __call__(
        self,
        attention: Attention,
        q_BHTD: Tensor,
        k_BHSD: Tensor,
        v_BHSD: Tensor,
        *,
        mask_BTS: Tensor | None,
        cache: KVCache | MemoryCache | None,
        crossing: bool,
    ) -> None:
        """Look, and change nothing; keys and values may have fewer heads than the queries.

        `crossing` says that they come from a memory, not from the queries' own text.
        """
        ...


class Attention(nn.Module):
    """Multi-head attention: self-attention, causal self-attention or cross-attention.

    Queries come from `x`, keys and values from `memory` (cross-attention) or from `x` itself.
    With fewer key heads than query heads, groups of query heads share one (Ainslie et al. 2023).
    With `qk_norm_eps`, each head's queries and keys are normalised (`RMSNorm`), before positions
    turn them, so that no score can grow without bound (Henry et al. 2020; Dehghani et al. 2023).
    `observers` are called at each run; as a rule there are none (see `llmlab.inference.trace`).
    Source: Vaswani et al. 2017, section 3.2.2.
    """

    observers: tuple[Observer, ...] = ()

    def __init__(
        self,
        width: int,
        n_heads: int,
        *,
        n_kv_heads: int | None = None,
        head_width: int | None = None,
        causal: bool = False,
        bias: bool = True,
        qk_norm_eps: float | None = None,
        attend: ops.Attend = ops.attend_fused,
    ):
        super().__init__()
        self.n_heads, self.n_kv_heads = n_heads, n_kv_heads or n_heads
        self.head_width = head_width or width // n_heads
        self.causal = causal
        self.attend = _checked(attend)
        self.query = Linear(width, self.n_heads * self.head_width, bias=bias)
        self.key = Linear(width, self.n_kv_heads * self.head_width, bias=bias)
        self.value = Linear(width, self.n_kv_heads * self.head_width, bias=bias)
        self.out = Linear(self.n_heads * self.head_width, width, bias=bias)
        self.query_norm = self.key_norm = None
        if qk_norm_eps is not None:
            self.query_norm = RMSNorm(self.head_width, qk_norm_eps)
            self.key_norm = RMSNorm(self.head_width, qk_norm_eps)

    def forward(
        self,
        x_BTC: Tensor,
        *,
        memory_BSC: Tensor | None = None,
        mask_BTS: Tensor | None = None,
        rotary: Rotary | None = None,
        cache: KVCache | MemoryCache | None = None,
        layer: int = 0,
    ) -> Tensor:
        """Let every position of `x` gather what it needs; returns the shape of `x`.

        `mask_BTS` is True where a query may look. With a `cache`, `x` holds only the new
        positions; for a memory it is a `MemoryCache`, which computes keys and values once.
        Raises ``ValueError`` when `attend` returns another shape than its queries'.
        """
        source_BSC = x_BTC if memory_BSC is None else memory_BSC
        q_BHTD = self._split(self.query(x_BTC), self.n_heads, self.query_norm)
        if isinstance(cache, MemoryCache):
            k_BHSD, v_BHSD = cache.once(layer, source_BSC, self._keys_values)
        else:
            k_BHSD, v_BHSD = self._keys_values(source_BSC)
        if rotary is not None:
            q_BHTD, k_BHSD = ops.rotate(q_BHTD, *rotary), ops.rotate(k_BHSD, *rotary)
        if isinstance(cache, KVCache):
            k_BHSD, v_BHSD = cache.extend(layer, k_BHSD, v_BHSD)
        for observe in self.observers:
            observe(
                self,
                q_BHTD,
                k_BHSD,
                v_BHSD,
                mask_BTS=mask_BTS,
                cache=cache,
                crossing=memory_BSC is not None,
            )
        n_sharing = self.n_heads // self.n_kv_heads
        if n_sharing == 1:
            mixed_BHTD = self._mix(q_BHTD, k_BHSD, v_BHSD, self.causal, mask_BTS)
        elif q_BHTD.shape[2] == 1 and mask_BTS is None and self.attend is ops.attend_fused:
            # A single position sees every key there is. So the heads that share keys can stand
            # in line as so many queries of one head, and no key or value has to be copied. The
            # result is the same; other functions get the shapes that people expect to see.
            q_BHGD = q_BHTD.view(q_BHTD.shape[0], self.n_kv_heads, n_sharing, self.head_width)
            mixed_BHTD = self._mix(q_BHGD, k_BHSD, v_BHSD, False, None).reshape(q_BHTD.shape)
        else:
            k_BHSD = k_BHSD.repeat_interleave(n_sharing, dim=1)
            v_BHSD = v_BHSD.repeat_interleave(n_sharing, dim=1)
            mixed_BHTD = self._mix(q_BHTD, k_BHSD, v_BHSD, self.causal, mask_BTS)
        return self.out(mixed_BHTD.transpose(1, 2).flatten(2))

    def _mix(
        self,
        q_BHTD: Tensor,
        k_BHSD: Tensor,
        v_BHSD: Tensor,
        causal: bool,
        mask_BTS: Tensor | None,
    ) -> Tensor:
        """Call `attend`, which may be a learner's own, and check what it returns."""
        mixed_BHTD = self.attend(q_BHTD, k_BHSD, v_BHSD, causal=causal, mask_BTS=mask_BTS)
        if not isinstance(mixed_BHTD, Tensor) or mixed_BHTD.shape != q_BHTD.shape:
            given = getattr(mixed_BHTD, "shape", type(mixed_BHTD).__name__)
            raise ValueError(
                f"attend returned {given}, not a tensor of the queries' shape "
                f"{tuple(q_BHTD.shape)}; return weights @ values, (batch, heads, queries, width)"
            )
        return mixed_BHTD

    def _keys_values(self, source_BSC: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = self.key(source_BSC), self.value(source_BSC)
        k_BHSD = self._split(keys, self.n_kv_heads, self.key_norm)
        return k_BHSD, self._split(values, self.n_kv_heads)

    def _split(self, x_BTC: Tensor, n_heads: int, norm: RMSNorm | None = None) -> Tensor:
        """Cut the width into heads, (B, T, H * D) to (B, H, T, D), and normalise each if asked."""
        x_BTHD = x_BTC.unflatten(-1, (n_heads, self.head_width))
        return (x_BTHD if norm is None else norm(x_BTHD)).transpose(1, 2)


def _checked(attend: ops.Attend) -> ops.Attend:
    """Refuse a function that cannot be called as `ops.attend` is, before a model is built on it."""
    try:
        inspect.signature(attend).bind(None, None, None, causal=True, mask_BTS=None)
    except TypeError as error:
        raise TypeError(
            f"attend={getattr(attend, '__name__', attend)!r} cannot be called as "
            f"attend(q, k, v, causal=..., mask_BTS=...): {error}; begin it with "
            "def my_attend(q, k, v, *, causal=False, mask_BTS=None):"
        ) from None
    return attend


class FeedForward(nn.Module):
    """Two matrices with a non-linearity between them, applied to each position by itself.

    `activation` is "gelu" (GPT-2's tanh form; Hendrycks and Gimpel 2016), "relu2" (`ops.relu2`;
    So et al. 2021) or "swiglu", which multiplies by a second, gated branch (Shazeer 2020, "GLU
    Variants Improve Transformer").
    """

    def __init__(self, width: int, hidden: int, *, activation: str, bias: bool):
        super().__init__()
        self.activation = activation
        self.up = Linear(width, hidden, bias=bias)
        self.gate = Linear(width, hidden, bias=bias) if activation == "swiglu" else None
        self.down = Linear(hidden, width, bias=bias)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Widen, bend, narrow; the shape stays."""
        if self.gate is not None:
            return self.down(F.silu(self.gate(x_BTC)) * self.up(x_BTC))
        if self.activation == "relu2":
            return self.down(ops.relu2(self.up(x_BTC)))
        return self.down(F.gelu(self.up(x_BTC), approximate="tanh"))


def build_attention(
    config: TransformerConfig, *, attend: ops.Attend, causal: bool = False
) -> Attention:
    """Make an attention layer of the sizes in a config."""
    return Attention(
        config.width,
        config.n_heads,
        n_kv_heads=config.kv_heads,
        head_width=config.query_width,
        causal=causal,
        bias=config.attention_bias,
        qk_norm_eps=config.norm_eps if config.qk_norm else None,
        attend=attend,
    )


def build_feed_forward(config: TransformerConfig) -> FeedForward:
    """Make a feed-forward layer of the sizes in a config."""
    return FeedForward(
        config.width,
        config.hidden_width,
        activation=config.activation,
        bias=config.feed_forward_bias,
    )


def build_norm(config: TransformerConfig) -> nn.Module:
    """Make the norm that a config names."""
    kind = nn.LayerNorm if config.norm == "layer" else RMSNorm
    return kind(config.width, eps=config.norm_eps)


class Block(nn.Module):
    """One layer: attention, then feed-forward, each added to the residual stream.

    Both read a normalised copy of the stream ("pre-norm", Xiong et al. 2020). `dropout` is the
    share of what is added that is left out at random in training.
    """

    def __init__(
        self,
        attention: Attention,
        feed_forward: FeedForward,
        norms: tuple[nn.Module, nn.Module],
        dropout: float = 0.0,
    ):
        super().__init__()
        self.attention_norm, self.feed_forward_norm = norms
        self.attention = attention
        self.feed_forward = feed_forward
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTC: Tensor, **attention_options) -> Tensor:
        """Pass the residual stream on; `attention_options` go to `Attention.forward`."""
        mixed_BTC = self.attention(self.attention_norm(x_BTC), **attention_options)
        x_BTC = x_BTC + self.dropout(mixed_BTC)
        return x_BTC + self.dropout(self.feed_forward(self.feed_forward_norm(x_BTC)))


class CrossBlock(nn.Module):
    """One layer of a decoder: self-attention, cross-attention to a memory, feed-forward.

    Source: Vaswani et al. 2017, section 3.1, but with the norms in front, as in `Block`.
    """

    def __init__(
        self,
        attention: Attention,
        cross_attention: Attention,
        feed_forward: FeedForward,
        norms: tuple[nn.Module, nn.Module, nn.Module],
        dropout: float = 0.0,
    ):
        super().__init__()
        self.attention_norm, self.cross_attention_norm, self.feed_forward_norm = norms
        self.attention = attention
        self.cross_attention = cross_attention
        self.feed_forward = feed_forward
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x_BTC: Tensor,
        *,
        memory_BSC: Tensor,
        memory_mask_BTS: Tensor | None = None,
        rotary: Rotary | None = None,
        cache: DecoderCache | None = None,
        layer: int = 0,
    ) -> Tensor:
        """Pass the residual stream on; `memory_mask_BTS` is True where a position may look.

        Only self-attention has positions: `rotary` says nothing about those of the memory.
        """
        own, source = (None, None) if cache is None else (cache.target, cache.source)
        mixed_BTC = self.attention(
            self.attention_norm(x_BTC), rotary=rotary, cache=own, layer=layer
        )
        x_BTC = x_BTC + self.dropout(mixed_BTC)
        asked_BTC = self.cross_attention(
            self.cross_attention_norm(x_BTC),
            memory_BSC=memory_BSC,
            mask_BTS=memory_mask_BTS,
            cache=source,
            layer=layer,
        )
        x_BTC = x_BTC + self.dropout(asked_BTC)
        return x_BTC + self.dropout(self.feed_forward(self.feed_forward_norm(x_BTC)))
