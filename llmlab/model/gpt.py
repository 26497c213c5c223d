"""GPT: a decoder-only Transformer that gives every position a score for each possible next token.

One class serves two families by its config: GPT-2 (LayerNorm, learned positions, GELU, biases)
and Llama (RMSNorm, rotary positions, SwiGLU, grouped-query heads).

B batch, T query position, S key position, C width, V vocabulary
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llmlab.model import ops
from llmlab.model.caches import KVCache
from llmlab.model.configs import TransformerConfig, check_ids
from llmlab.model.layers import (
    Block,
    build_attention,
    build_feed_forward,
    build_norm,
)


@dataclass(frozen=True, kw_only=True)
class GPTConfig(TransformerConfig):
    """The sizes and choices that make one GPT; the defaults are GPT-2's.

    `context` is the longest text in tokens, `width` the length of each token's vector, `hidden`
    the width inside the feed-forward part (default 4 * width), `n_kv_heads` the number of key
    and value heads (default n_heads), `head_width` the length of a query (default
    width / n_heads), `tied` whether the output head is the token embedding itself.
    `norm` is "layer" or "rms", `activation` "gelu", "swiglu" or "relu2" (see `FeedForward`), and
    `positions` "learned", "rotary", or "none" to see what a model is worth without.
    `qk_norm` normalises each head's queries and keys (see `Attention`); with `zero_init` every
    layer begins by adding nothing to the residual stream (Zhang et al. 2019, "Fixup").
    Raises ``ValueError`` for sizes that do not fit together.
    """

    n_layers: int
    n_kv_heads: int | None = None
    head_width: int | None = None
    zero_init: bool = False

    def __post_init__(self):
        self._make_whole("n_layers")
        for name in ("n_kv_heads", "head_width"):
            if getattr(self, name) is not None:
                self._make_whole(name)
        super().__post_init__()
        if self.n_heads % self.kv_heads:
            fits = [n for n in range(1, self.n_heads + 1) if self.n_heads % n == 0]
            raise ValueError(
                f"n_heads={self.n_heads} cannot share n_kv_heads={self.n_kv_heads} evenly; "
                f"use one of {fits}"
            )

    def _check_heads(self) -> None:
        if self.head_width is None:
            super()._check_heads()

    @property
    def kv_heads(self) -> int:
        """How many heads the keys and values have."""
        return self.n_kv_heads or self.n_heads

    @property
    def query_width(self) -> int:
        """How long one head's query is."""
        return self.head_width or self.width // self.n_heads

    @property
    def n_parameters(self) -> int:
        """How many learned numbers the model has, by formula."""
        block = self._in_attention() + self._in_feed_forward() + 2 * self._in_norm()
        return self._in_embeddings(n_texts=1) + self.n_layers * block + self._in_norm()


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
        self.blocks = nn.ModuleList(
            Block(
                build_attention(config, attend=attend, causal=True),
                build_feed_forward(config),
                (build_norm(config), build_norm(config)),
            )
            for _ in range(config.n_layers)
        )
        self.final_norm = build_norm(config)
        if not config.tied:
            self.output = nn.Linear(config.width, config.vocab_size, bias=False)
        if self.token_embedding.weight.device.type != "meta":
            self._initialise()

    def _initialise(self) -> None:
        """Draw small weights, smaller ones where a layer adds to the residual stream (GPT-2).

        With `zero_init` those are 0, and the first scores are those of the embeddings alone. In a
        tied head a token then scores itself with about width times the embeddings' size, which
        is kept to 4, so that the first loss is that of a guess in wide models too.
        """
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() == 2:
                into_stream = name.endswith(("out.weight", "down.weight"))
                shrink = 1.0
                if into_stream:
                    shrink = 0.0 if self.config.zero_init else (2 * self.config.n_layers) ** -0.5
                elif name == "token_embedding.weight" and self.config.zero_init:
                    shrink = min(1.0, 200 / self.config.width)
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
        x_BTC = self.embed(ids_BT, mask_BT=mask_BT, cache=cache)
        options = self.block_options(x_BTC, mask_BT=mask_BT, cache=cache)
        for layer, block in enumerate(self.blocks):
            x_BTC = block(x_BTC, cache=cache, layer=layer, **options)
        if cache is not None:
            cache.advance(ids_BT.shape[1])
        return self.final_norm(x_BTC)

    def embed(
        self, ids_BT: Tensor, *, mask_BT: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """Turn tokens into the vectors that enter the first block, (B, T, C)."""
        self._check(ids_BT, mask_BT, cache)
        x_BTC = self.token_embedding(ids_BT)
        if self.position_embedding is None:
            return x_BTC
        return x_BTC + self.position_embedding(self._positions(x_BTC, mask_BT, cache))

    def block_options(
        self, x_BTC: Tensor, *, mask_BT: Tensor | None = None, cache: KVCache | None = None
    ) -> dict:
        """Give what every block needs beside `x`: who may look where, and the turns of positions.

        So ``block(x_BTC, **model.block_options(x_BTC, mask_BT=mask_BT))`` runs one block alone.
        """
        rotary = None
        if self.config.positions == "rotary":
            rotary = self._rotary(self._positions(x_BTC, mask_BT, cache), x_BTC.dtype)
        mask_BTS = None if mask_BT is None else _attention_mask(mask_BT)
        return {"mask_BTS": mask_BTS, "rotary": rotary}

    def head(self, x_BTC: Tensor) -> Tensor:
        """Turn vectors of the last layer into one score for each token of the vocabulary."""
        weight_VC = self.token_embedding.weight if self.config.tied else self.output.weight
        return ops.linear(x_BTC, weight_VC)

    def new_cache(self) -> KVCache:
        """Make an empty cache that can hold a text of the full context."""
        return KVCache(self.config.n_layers, self.config.context)

    def _positions(self, x_BTC: Tensor, mask_BT: Tensor | None, cache: KVCache | None) -> Tensor:
        """Number the tokens, (T,), or only the real ones of each row, (B, T)."""
        if mask_BT is not None:
            return (mask_BT.long().cumsum(dim=1) - 1).clamp(min=0)
        start = 0 if cache is None else cache.length
        return torch.arange(start, start + x_BTC.shape[1], device=x_BTC.device)

    def _rotary(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        config = self.config
        cos, sin = ops.rotary_angles(config.query_width, positions, config.rotary_base)
        if positions.dim() == 2:  # one row of positions a text: add the axis of the heads
            cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
        return cos.to(dtype), sin.to(dtype)

    def _check(self, ids_BT: Tensor, mask_BT: Tensor | None, cache: KVCache | None) -> None:
        check_ids(ids_BT, self.config, room=self.config.context if cache is None else None)
        if mask_BT is not None and (mask_BT.shape != ids_BT.shape or mask_BT.dtype != torch.bool):
            raise ValueError(
                f"the mask is {mask_BT.dtype} of shape {tuple(mask_BT.shape)}; give booleans of "
                f"the ids' shape {tuple(ids_BT.shape)}, True for real tokens"
            )
        if cache is not None:
            if mask_BT is not None:
                raise ValueError("a mask and a cache do not go together; leave out one of them")
            cache.check_room(ids_BT.shape[1])


def _attention_mask(mask_BT: Tensor) -> Tensor:
    """Let every position see the real tokens, and itself, so that no query sees nothing."""
    itself_TS = torch.eye(mask_BT.shape[1], dtype=torch.bool, device=mask_BT.device)
    return mask_BT.unsqueeze(1) | itself_TS
