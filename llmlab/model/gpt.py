"""GPT: a decoder-only Transformer that gives every position a score for each possible next token.

One class serves two families by its config: GPT-2 (LayerNorm, learned positions, GELU, biases)
and Llama (RMSNorm, rotary positions, SwiGLU, grouped-query heads).

B batch, T query position, S key position, C width, V vocabulary
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor, nn

from llmlab.model import ops
from llmlab.model.layers import Attention, Block, FeedForward, KVCache, RMSNorm

_CHOICES = {
    "norm": ("layer", "rms"),
    "positions": ("learned", "rotary"),
    "activation": ("gelu", "swiglu"),
}


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """The sizes and choices that make one GPT; the defaults are GPT-2's.

    `context` is the longest text in tokens, `width` the length of each token's vector, `hidden`
    the width inside the feed-forward part (default 4 * width), `n_kv_heads` the number of key
    and value heads (default n_heads), `head_width` the length of a query (default
    width / n_heads), `tied` whether the output head is the token embedding itself.
    Raises ``ValueError`` for sizes that do not fit together.
    """

    vocab_size: int
    context: int
    width: int
    n_layers: int
    n_heads: int
    n_kv_heads: int | None = None
    head_width: int | None = None
    hidden: int | None = None
    norm: str = "layer"
    norm_eps: float = 1e-5
    positions: str = "learned"
    rotary_base: float = 10_000.0
    activation: str = "gelu"
    attention_bias: bool = True
    feed_forward_bias: bool = True
    tied: bool = True

    def __post_init__(self):
        for name in ("vocab_size", "context", "width", "n_layers", "n_heads"):
            self._make_whole(name)
        for name in ("n_kv_heads", "head_width", "hidden"):
            if getattr(self, name) is not None:
                self._make_whole(name)
        for name in ("norm_eps", "rotary_base"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(
                    f"{name}={getattr(self, name)} is not a number above 0; "
                    f"use {getattr(type(self), name)}"
                )
        for name in ("attention_bias", "feed_forward_bias", "tied"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r} is neither True nor False")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                choices = " or ".join(repr(choice) for choice in allowed)
                raise ValueError(f"{name}={getattr(self, name)!r} is unknown; use {choices}")
        if self.head_width is None and self.width % self.n_heads:
            below = self.width - self.width % self.n_heads
            fits = [size for size in (below, below + self.n_heads) if size]
            raise ValueError(
                f"width={self.width} does not split into n_heads={self.n_heads} equal parts; "
                f"use {' or '.join(map(str, fits))}"
            )
        if self.n_heads % self.kv_heads:
            fits = [n for n in range(1, self.n_heads + 1) if self.n_heads % n == 0]
            raise ValueError(
                f"n_heads={self.n_heads} cannot share n_kv_heads={self.n_kv_heads} evenly; "
                f"use one of {fits}"
            )
        if self.positions == "rotary" and self.query_width % 2:
            raise ValueError(
                f"rotary positions turn pairs of channels, and a head of {self.query_width} is "
                "odd; use an even head width, or positions='learned'"
            )

    def _make_whole(self, name: str) -> None:
        """Store a size as a plain int, whatever kind of whole number it came as."""
        value = getattr(self, name)
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name}={value!r} is not a whole number of at least 1; give one")
        object.__setattr__(self, name, int(value))  # this class is frozen

    @property
    def kv_heads(self) -> int:
        """How many heads the keys and values have."""
        return self.n_kv_heads or self.n_heads

    @property
    def query_width(self) -> int:
        """How long one head's query is."""
        return self.head_width or self.width // self.n_heads

    @property
    def hidden_width(self) -> int:
        """How wide the feed-forward part is inside."""
        return self.hidden or 4 * self.width


class GPT(nn.Module):
    """The decoder-only language model: token ids in, scores (logits) for the next token out.

    `attend` is the attention function it runs on: `ops.attend_fused`, `ops.attend`, or your own.
    Sources: Radford et al. 2019 (GPT-2), Touvron et al. 2023 (Llama).
    """

    def __init__(self, config: GPTConfig, *, attend: ops.Attend = ops.attend_fused):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        learned = config.positions == "learned"
        self.position_embedding = nn.Embedding(config.context, config.width) if learned else None
        self.blocks = nn.ModuleList(self._block(attend) for _ in range(config.n_layers))
        self.final_norm = self._norm()
        if not config.tied:
            self.output = nn.Linear(config.width, config.vocab_size, bias=False)
        if self.token_embedding.weight.device.type != "meta":
            self._initialise()

    def _norm(self) -> nn.Module:
        kind = nn.LayerNorm if self.config.norm == "layer" else RMSNorm
        return kind(self.config.width, eps=self.config.norm_eps)

    def _block(self, attend: ops.Attend) -> Block:
        config = self.config
        attention = Attention(
            config.width,
            config.n_heads,
            n_kv_heads=config.kv_heads,
            head_width=config.query_width,
            causal=True,
            bias=config.attention_bias,
            attend=attend,
        )
        feed_forward = FeedForward(
            config.width,
            config.hidden_width,
            activation=config.activation,
            bias=config.feed_forward_bias,
        )
        return Block(attention, feed_forward, (self._norm(), self._norm()))

    def _initialise(self) -> None:
        """Draw small weights, smaller ones where a layer adds to the residual stream (GPT-2)."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() == 2:
                into_stream = name.endswith(("out.weight", "down.weight"))
                shrink = (2 * self.config.n_layers) ** -0.5 if into_stream else 1.0
                nn.init.normal_(parameter, std=0.02 * shrink)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.token_embedding.weight.device

    def forward(
        self, ids_BT: Tensor, *, mask_BT: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """Score every possible next token at each position: logits, (B, T, V).

        `mask_BT` is True for real tokens and False for padding, on either side. With a `cache`
        (`new_cache`), give only the tokens that it has not seen. Raises ``ValueError`` for
        texts longer than the context and for ids outside the vocabulary; on a GPU, where looking
        at the ids would cost time, it is `generate` that refuses those.
        """
        return self.head(self.hidden_states(ids_BT, mask_BT=mask_BT, cache=cache))

    def hidden_states(
        self, ids_BT: Tensor, *, mask_BT: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """Run everything but the output head: the last normalised vectors, (B, T, C)."""
        self._check(ids_BT, mask_BT, cache)
        positions = self._positions(ids_BT, mask_BT, cache)
        x_BTC = self.token_embedding(ids_BT)
        rotary = None
        if self.position_embedding is not None:
            x_BTC = x_BTC + self.position_embedding(positions)
        else:
            rotary = self._rotary(positions, x_BTC.dtype)
        mask_BTS = None if mask_BT is None else _attention_mask(mask_BT)
        for layer, block in enumerate(self.blocks):
            x_BTC = block(x_BTC, mask_BTS=mask_BTS, rotary=rotary, cache=cache, layer=layer)
        if cache is not None:
            cache.advance(ids_BT.shape[1])
        return self.final_norm(x_BTC)

    def head(self, x_BTC: Tensor) -> Tensor:
        """Turn vectors of the last layer into one score for each token of the vocabulary."""
        weight_VC = self.token_embedding.weight if self.config.tied else self.output.weight
        return ops.linear(x_BTC, weight_VC)

    def new_cache(self) -> KVCache:
        """Make an empty cache that can hold a text of the full context."""
        return KVCache(self.config.n_layers, self.config.context)

    def _positions(self, ids_BT: Tensor, mask_BT: Tensor | None, cache: KVCache | None) -> Tensor:
        """Number the tokens, (T,), or only the real ones of each row, (B, T)."""
        if mask_BT is not None:
            return (mask_BT.long().cumsum(dim=1) - 1).clamp(min=0)
        start = 0 if cache is None else cache.length
        return torch.arange(start, start + ids_BT.shape[1], device=ids_BT.device)

    def _rotary(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        config = self.config
        cos, sin = ops.rotary_angles(config.query_width, positions, config.rotary_base)
        if positions.dim() == 2:  # one row of positions a text: add the axis of the heads
            cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
        return cos.to(dtype), sin.to(dtype)

    def _check(self, ids_BT: Tensor, mask_BT: Tensor | None, cache: KVCache | None) -> None:
        if ids_BT.dim() != 2 or ids_BT.dtype not in (torch.int64, torch.int32):
            raise ValueError(
                f"ids of shape {tuple(ids_BT.shape)} and type {ids_BT.dtype} are not a batch of "
                "token ids; give integers of shape (batch, tokens), e.g. torch.tensor([ids])"
            )
        n_new = ids_BT.shape[1]
        if n_new == 0:
            raise ValueError("the text has no tokens; give at least one")
        if mask_BT is not None and (mask_BT.shape != ids_BT.shape or mask_BT.dtype != torch.bool):
            raise ValueError(
                f"the mask is {mask_BT.dtype} of shape {tuple(mask_BT.shape)}; give booleans of "
                f"the ids' shape {tuple(ids_BT.shape)}, True for real tokens"
            )
        if cache is not None:
            if mask_BT is not None:
                raise ValueError("a mask and a cache do not go together; leave out one of them")
            cache.check_room(n_new)
        elif n_new > self.config.context:
            raise ValueError(
                f"{n_new} tokens do not fit into the context of {self.config.context}; "
                f"shorten the text, for example with ids[:, -{self.config.context}:]"
            )
        self._check_range(ids_BT)

    def _check_range(self, ids_BT: Tensor) -> None:
        """Refuse ids without an embedding; on a GPU only `generate` does, as looking costs time."""
        if ids_BT.device.type != "cpu" or torch.compiler.is_compiling():
            return
        low, high = (int(extreme) for extreme in ids_BT.aminmax())
        if low < 0 or high >= self.config.vocab_size:
            raise ValueError(
                f"token id {low if low < 0 else high} is outside the vocabulary of "
                f"{self.config.vocab_size:,}; ids go from 0 to {self.config.vocab_size - 1:,}: "
                "encode the text with this model's own tokenizer"
            )


def _attention_mask(mask_BT: Tensor) -> Tensor:
    """Let every position see the real tokens, and itself, so that no query sees nothing."""
    itself_TS = torch.eye(mask_BT.shape[1], dtype=torch.bool, device=mask_BT.device)
    return mask_BT.unsqueeze(1) | itself_TS


def count_parameters(model: nn.Module | GPTConfig) -> int:
    """Count the learned numbers of a model, or of the model a config describes, by formula.

    A tensor used twice (a tied head) counts once.
    """
    if isinstance(model, nn.Module):
        return sum(parameter.numel() for parameter in model.parameters())
    width, heads_width = model.width, model.n_heads * model.query_width
    kv_width = model.kv_heads * model.query_width
    attention = 2 * width * heads_width + 2 * width * kv_width
    attention += model.attention_bias * (heads_width + 2 * kv_width + width)
    n_matrices = 3 if model.activation == "swiglu" else 2
    feed_forward = n_matrices * width * model.hidden_width
    feed_forward += model.feed_forward_bias * ((n_matrices - 1) * model.hidden_width + width)
    norm = width * (2 if model.norm == "layer" else 1)
    embeddings = model.vocab_size * width * (1 if model.tied else 2)
    embeddings += model.context * width * (model.positions == "learned")
    return embeddings + model.n_layers * (attention + feed_forward + 2 * norm) + norm
