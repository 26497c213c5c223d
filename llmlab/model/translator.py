"""Translator: an encoder that reads one text and a decoder that writes another about it.

B batch, S source position, T target position, C width, V vocabulary
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from llmlab.model import ops
from llmlab.model.configs import SharedConfig, check_ids
from llmlab.model.layers import (
    Attention,
    Block,
    CrossBlock,
    FeedForward,
    KVCache,
    MemoryCache,
    RMSNorm,
    Rotary,
)


@dataclass(frozen=True, kw_only=True)
class TranslatorConfig(SharedConfig):
    """The sizes and choices that make one Translator.

    `context` is the longest source and the longest target in tokens. `pad_id` fills short texts
    up to the length of the longest in a batch, and nothing attends to it; None for a model that
    cannot tell padding from text. `start_id` opens every target, `end_id` closes it. `dropout` is
    the share of each layer's result that is left out at random during training.
    """

    n_encoder_layers: int
    n_decoder_layers: int
    pad_id: int | None
    start_id: int
    end_id: int
    dropout: float = 0.0
    norm: str = "rms"
    positions: str = "rotary"
    activation: str = "relu2"
    attention_bias: bool = False
    feed_forward_bias: bool = False

    def __post_init__(self):
        super().__post_init__()


class Memory(NamedTuple):
    """What the encoder has understood: a vector for each source token, and which are real."""

    vectors_BSC: Tensor
    mask_BS: Tensor | None


class DecoderCache:
    """What the decoder need not compute again: its own keys and values, and the source's."""

    def __init__(self, n_layers: int, capacity: int):
        self.target = KVCache(n_layers, capacity)
        self.source = MemoryCache(n_layers)

    @property
    def length(self) -> int:
        """How many target tokens have been read."""
        return self.target.length

    def select(self, rows_B: Tensor) -> None:
        """Go on with these rows, in this order; a row may be taken several times."""
        self.target.select(rows_B)
        self.source.select(rows_B)


class Translator(nn.Module):
    """The encoder-decoder Transformer: source and target ids in, scores for each next token out."""

    def __init__(self, config: TranslatorConfig, *, attend: ops.Attend = ops.attend_fused):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        learned = config.positions == "learned"
        self.source_positions = nn.Embedding(config.context, config.width) if learned else None
        self.target_positions = nn.Embedding(config.context, config.width) if learned else None
        self.encoder = nn.ModuleList(
            Block(self._attention(attend), self._feed_forward(), self._norms(2), config.dropout)
            for _ in range(config.n_encoder_layers)
        )
        self.encoder_norm = self._norm()
        self.decoder = nn.ModuleList(
            CrossBlock(
                self._attention(attend, causal=True),
                self._attention(attend),
                self._feed_forward(),
                self._norms(3),
                config.dropout,
            )
            for _ in range(config.n_decoder_layers)
        )
        self.decoder_norm = self._norm()
        self.dropout = nn.Dropout(config.dropout)
        if not config.tied:
            self.output = nn.Linear(config.width, config.vocab_size, bias=False)
        self._initialise()

    def _norm(self):
        kind = nn.LayerNorm if self.config.norm == "layer" else RMSNorm
        return kind(self.config.width, eps=self.config.norm_eps)

    def _norms(self, n):
        return tuple(self._norm() for _ in range(n))

    def _attention(self, attend, causal=False):
        c = self.config
        return Attention(c.width, c.n_heads, causal=causal, bias=c.attention_bias, attend=attend)

    def _feed_forward(self):
        c = self.config
        return FeedForward(
            c.width, c.hidden_width, activation=c.activation, bias=c.feed_forward_bias
        )

    def _initialise(self):
        c = self.config
        n_layers = 2 * c.n_encoder_layers + 3 * c.n_decoder_layers
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() == 2:
                if "embedding" in name or "positions" in name or name.startswith("output"):
                    nn.init.normal_(parameter, std=0.02)
                elif name.endswith(("out.weight", "down.weight")):
                    nn.init.zeros_(parameter)
                else:
                    nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)

    @property
    def device(self) -> torch.device:
        return self.token_embedding.weight.device

    def forward(self, source_BS: Tensor, target_BT: Tensor) -> Tensor:
        return self.decode(target_BT, self.encode(source_BS))

    def encode(self, source_BS: Tensor) -> Memory:
        mask_BS = None if self.config.pad_id is None else source_BS != self.config.pad_id
        mask_BTS = None
        if mask_BS is not None:
            mask_BTS = mask_BS[:, None, :].expand(-1, source_BS.shape[1], -1)
        x_BSC, rotary = self._embed(source_BS, self.source_positions, 0)
        for block in self.encoder:
            x_BSC = block(x_BSC, mask_BTS=mask_BTS, rotary=rotary)
        return Memory(self.encoder_norm(x_BSC), mask_BS)

    def decode(self, target_BT, memory: Memory, *, cache: DecoderCache | None = None):
        return self.head(self.decoder_states(target_BT, memory, cache=cache))

    def hidden_states(self, source_BS, target_BT):
        return self.decoder_states(target_BT, self.encode(source_BS))

    def decoder_states(self, target_BT, memory, *, cache=None):
        start = 0 if cache is None else cache.length
        x_BTC, rotary = self._embed(target_BT, self.target_positions, start)
        mask_BTS = None
        if memory.mask_BS is not None:
            mask_BTS = memory.mask_BS[:, None, :].expand(-1, target_BT.shape[1], -1)
        for layer, block in enumerate(self.decoder):
            x_BTC = block(
                x_BTC,
                memory_BSC=memory.vectors_BSC,
                memory_mask_BTS=mask_BTS,
                rotary=rotary,
                cache=cache,
                layer=layer,
            )
        if cache is not None:
            cache.target.advance(target_BT.shape[1])
        return self.decoder_norm(x_BTC)

    def head(self, x_BTC: Tensor) -> Tensor:
        weight_VC = self.token_embedding.weight if self.config.tied else self.output.weight
        return ops.linear(x_BTC, weight_VC)

    def new_cache(self) -> DecoderCache:
        return DecoderCache(self.config.n_decoder_layers, self.config.context)

    def _embed(self, ids, positions: nn.Embedding | None, start: int):
        x = self.token_embedding(ids)
        where = torch.arange(start, start + ids.shape[1], device=ids.device)
        if positions is not None:
            return self.dropout(x + positions(where)), None
        c = self.config
        cos, sin = ops.rotary_angles(c.query_width, where, c.rotary_base)
        return self.dropout(x), (cos.to(x.dtype), sin.to(x.dtype))
