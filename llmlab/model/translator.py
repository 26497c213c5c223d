"""Translator: an encoder that reads one text and a decoder that writes another about it.

B batch, S source position, T target position, C width, V vocabulary
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from numbers import Real
from typing import NamedTuple

import torch
from torch import Tensor, nn

from llmlab.model import ops
from llmlab.model.caches import DecoderCache, check_rows
from llmlab.model.configs import TransformerConfig, check_ids
from llmlab.model.layers import (
    Block,
    CrossBlock,
    Rotary,
    build_attention,
    build_feed_forward,
    build_norm,
)


@dataclass(frozen=True, kw_only=True)
class TranslatorConfig(TransformerConfig):
    """The sizes and choices that make one Translator.

    `context` is the longest source, and the longest target with its start, in tokens. `pad_id`
    fills short texts up to the length of the longest in a batch, and nothing attends to it in the
    source; None makes a model that cannot tell padding from text. `start_id` opens every target,
    `end_id` closes it. `dropout` is the share of the embeddings and of each layer's result that is
    left out at random in training (Vaswani et al. 2017, section 5.4). Both texts share one table
    of embeddings, and the output head as well if `tied`. The rest is as in `GPTConfig`.
    Raises ``ValueError`` for sizes and ids that do not fit together.
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
        self._make_whole("n_encoder_layers", "n_decoder_layers")
        super().__post_init__()
        if self.context < 2:
            raise ValueError(
                f"context={self.context} leaves no room for a token after the start; use at least 2"
            )
        number = isinstance(self.dropout, Real) and not isinstance(self.dropout, bool)
        if not number or not 0 <= self.dropout < 1:
            raise ValueError(
                f"dropout={self.dropout!r} is no share of at least 0 and below 1; use 0.0 or 0.1"
            )
        object.__setattr__(self, "dropout", float(self.dropout))  # this class is frozen
        self._check_special()

    def _check_special(self) -> None:
        names = [
            name
            for name in ("pad_id", "start_id", "end_id")
            if name != "pad_id" or self.pad_id is not None
        ]
        self._make_whole(*names, least=0)
        for name in names:
            if getattr(self, name) >= self.vocab_size:
                raise ValueError(
                    f"{name}={getattr(self, name)} is outside the vocabulary of "
                    f"{self.vocab_size:,}; take it from the tokenizer's special_tokens"
                )
        for one, other in combinations(names, 2):
            if getattr(self, one) == getattr(self, other):
                raise ValueError(
                    f"{one} and {other} are both {getattr(self, one)}; give each its own token"
                )

    @property
    def n_parameters(self) -> int:
        """How many learned numbers the model has, by formula."""
        encoder = self._in_attention() + self._in_feed_forward() + 2 * self._in_norm()
        decoder = 2 * self._in_attention() + self._in_feed_forward() + 3 * self._in_norm()
        layers = self.n_encoder_layers * encoder + self.n_decoder_layers * decoder
        return self._in_embeddings(n_texts=2) + layers + 2 * self._in_norm()


class Memory(NamedTuple):
    """What the encoder makes of the sources: a vector for each token, and which tokens count.

    `vectors_BSC` are floats. `mask_BS` is True for real tokens; None where all count.
    """

    vectors_BSC: Tensor
    mask_BS: Tensor | None

    def select(self, rows_B: Tensor) -> Memory:
        """Take these texts, in this order; one may be taken several times.

        Raises ``ValueError`` for what is no list of the rows there are.
        """
        check_rows(rows_B, len(self.vectors_BSC))
        mask_BS = None if self.mask_BS is None else self.mask_BS.index_select(0, rows_B)
        return Memory(self.vectors_BSC.index_select(0, rows_B), mask_BS)


class Translator(nn.Module):
    """The encoder-decoder Transformer: source and target ids in, scores for each next token out.

    The encoder reads the whole source at once. The decoder reads the target up to each position
    and asks the encoder's vectors for what it needs, by cross-attention. Sources are padded on
    the right with `config.pad_id`, and the mask is made from that; targets begin with
    `config.start_id` and are padded on the right as well, which needs no mask, since no position
    sees a later one. A source of nothing but padding is read as if one such token were its text.

    `attend` is the attention function it runs on: `ops.attend_fused`, `ops.attend`, or your own.
    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3. With ``norm="layer"`` and
    ``positions="learned"`` it differs from that in its norms, which stand in front of each layer
    ("pre-norm"; Xiong et al. 2020), in learned positions, and in embeddings that are not scaled;
    as a rule it has RMSNorm (Zhang and Sennrich 2019), rotary positions in self-attention and none
    in cross-attention (Su et al. 2021), squared ReLU (So et al. 2021), and no biases.
    """

    def __init__(self, config: TranslatorConfig, *, attend: ops.Attend = ops.attend_fused):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        learned = config.positions == "learned"
        self.source_positions = nn.Embedding(config.context, config.width) if learned else None
        self.target_positions = nn.Embedding(config.context, config.width) if learned else None
        self.encoder = nn.ModuleList(
            Block(
                build_attention(config, attend=attend),
                build_feed_forward(config),
                tuple(build_norm(config) for _ in range(2)),
                config.dropout,
            )
            for _ in range(config.n_encoder_layers)
        )
        self.encoder_norm = build_norm(config)
        self.decoder = nn.ModuleList(
            CrossBlock(
                build_attention(config, attend=attend, causal=True),
                build_attention(config, attend=attend),
                build_feed_forward(config),
                tuple(build_norm(config) for _ in range(3)),
                config.dropout,
            )
            for _ in range(config.n_decoder_layers)
        )
        self.decoder_norm = build_norm(config)
        self.dropout = nn.Dropout(config.dropout)
        if not config.tied:
            self.output = nn.Linear(config.width, config.vocab_size, bias=False)
        self._initialise()

    def _initialise(self) -> None:
        """Draw small embeddings; let every layer begin by adding nothing to the residual stream.

        The first scores are then close to each other, and the first loss to ln(vocabulary). The
        other matrices keep the size of what they are given.
        """
        tables = ("embedding.weight", "positions.weight", "output.weight")
        for name, parameter in self.named_parameters():
            if name.endswith("bias") or name.endswith(("out.weight", "down.weight")):
                nn.init.zeros_(parameter)
            elif name.endswith(tables):
                nn.init.normal_(parameter, std=0.02)
            elif parameter.dim() == 2:
                nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.token_embedding.weight.device

    def forward(self, source_BS: Tensor, target_BT: Tensor) -> Tensor:
        """Score every possible next token after each target token: logits, (B, T, V).

        Raises ``ValueError`` for what is no batch of ids, for texts that are empty or longer than
        the context, for batches of different size and for ids outside the vocabulary; on a GPU,
        where looking at the ids would cost time, these are not found.
        """
        return self.head(self.hidden_states(source_BS, target_BT))

    def hidden_states(self, source_BS: Tensor, target_BT: Tensor) -> Tensor:
        """Run everything but the output head: the last normalised vectors, (B, T, C)."""
        return self.decoder_states(target_BT, self.encode(source_BS))

    def encode(self, source_BS: Tensor) -> Memory:
        """Read the sources: a vector for each token, (B, S, C). Errors are those of `forward`."""
        check_ids(source_BS, self.config, room=self.config.context, of=" of the source")
        x_BSC, rotary = self._embed(source_BS, self.source_positions, start=0)
        mask_BS = self._source_mask(source_BS)
        mask_BTS = _for_each_query(mask_BS, source_BS.shape[1])
        for block in self.encoder:
            x_BSC = block(x_BSC, mask_BTS=mask_BTS, rotary=rotary)
        return Memory(self.encoder_norm(x_BSC), mask_BS)

    def decode(
        self, target_BT: Tensor, memory: Memory, *, cache: DecoderCache | None = None
    ) -> Tensor:
        """Score the next token after each target token, given what `encode` returned: (B, T, V).

        With a `cache` (`new_cache`), give only the target tokens that it has not seen. Raises
        ``ValueError`` as `forward` does, and for a cache of other texts.
        """
        return self.head(self.decoder_states(target_BT, memory, cache=cache))

    def decoder_states(
        self, target_BT: Tensor, memory: Memory, *, cache: DecoderCache | None = None
    ) -> Tensor:
        """Run `decode` without the output head: the last normalised vectors, (B, T, C)."""
        self._check_target(target_BT, memory, cache)
        n_new = target_BT.shape[1]
        start = 0 if cache is None else cache.length
        x_BTC, rotary = self._embed(target_BT, self.target_positions, start=start)
        mask_BTS = _for_each_query(memory.mask_BS, n_new)
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
            cache.advance(n_new)
        return self.decoder_norm(x_BTC)

    def head(self, x_BTC: Tensor) -> Tensor:
        """Turn vectors of the last layer into one score for each token of the vocabulary."""
        weight_VC = self.token_embedding.weight if self.config.tied else self.output.weight
        return ops.linear(x_BTC, weight_VC)

    def new_cache(self) -> DecoderCache:
        """Make an empty cache that can hold targets of the full context."""
        return DecoderCache(self.config.n_decoder_layers, self.config.context)

    def _embed(
        self, ids_BT: Tensor, positions: nn.Embedding | None, *, start: int
    ) -> tuple[Tensor, Rotary | None]:
        """Look the tokens up and say where they stand: in their vectors, or by angles beside."""
        x_BTC = self.token_embedding(ids_BT)
        places_T = torch.arange(start, start + ids_BT.shape[1], device=ids_BT.device)
        if positions is not None:
            return self.dropout(x_BTC + positions(places_T)), None
        config = self.config
        if config.positions == "none":
            return self.dropout(x_BTC), None
        cos, sin = ops.rotary_angles(config.query_width, places_T, config.rotary_base)
        return self.dropout(x_BTC), (cos.to(x_BTC.dtype), sin.to(x_BTC.dtype))

    def _source_mask(self, source_BS: Tensor) -> Tensor | None:
        """Tell text from padding. Where all is padding the first counts as text: a query that
        may look at nothing would get weights of 0 / 0.
        """
        if self.config.pad_id is None:
            return None
        mask_BS = source_BS != self.config.pad_id
        mask_BS[:, 0] |= ~mask_BS.any(dim=1)
        return mask_BS

    def _check_target(self, target_BT: Tensor, memory: Memory, cache: DecoderCache | None) -> None:
        if not isinstance(memory, Memory):
            raise TypeError(
                f"{type(memory).__name__} is no memory; give what model.encode(source) returns"
            )
        room = self.config.context if cache is None else None
        check_ids(target_BT, self.config, room=room, of=" of the target")
        n_sources, n_targets = len(memory.vectors_BSC), len(target_BT)
        if n_sources != n_targets:
            raise ValueError(
                f"there are {n_sources} sources and {n_targets} targets; give one row of each for "
                "every pair"
            )
        if cache is not None:
            cache.check_room(target_BT.shape[1])


def _for_each_query(mask_BS: Tensor | None, n_queries: int) -> Tensor | None:
    """Let every query see the same tokens, those that count: (B, T, S)."""
    return None if mask_BS is None else mask_BS[:, None, :].expand(-1, n_queries, -1)
