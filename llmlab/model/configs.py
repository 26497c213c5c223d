"""What all models share: their sizes and choices, how ids are checked, how parameters are counted.

B batch, T position
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor, nn

_CHOICES = {
    "norm": ("layer", "rms"),
    "positions": ("learned", "rotary", "none"),
    "activation": ("gelu", "swiglu", "relu2"),
}


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The sizes and choices that every Transformer here has; `GPTConfig` explains them."""

    vocab_size: int
    context: int
    width: int
    n_heads: int
    hidden: int | None = None
    norm: str = "layer"
    norm_eps: float = 1e-5
    positions: str = "learned"
    rotary_base: float = 10_000.0
    activation: str = "gelu"
    attention_bias: bool = True
    feed_forward_bias: bool = True
    tied: bool = True
    qk_norm: bool = False

    def __post_init__(self):
        self._make_whole("vocab_size", "context", "width", "n_heads")
        if self.hidden is not None:
            self._make_whole("hidden")
        for name in ("norm_eps", "rotary_base"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(
                    f"{name}={getattr(self, name)} is not a number above 0; "
                    f"use {getattr(type(self), name)}"
                )
        for name, value in vars(self).items():
            if isinstance(getattr(type(self), name, None), bool) and not isinstance(value, bool):
                raise ValueError(f"{name}={value!r} is neither True nor False")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                *others, last = map(repr, allowed)
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is unknown; use {', '.join(others)} or {last}"
                )
        self._check_heads()
        if self.positions == "rotary" and self.query_width % 2:
            raise ValueError(
                f"rotary positions turn pairs of channels, and a head of {self.query_width} is "
                "odd; use an even head width, or positions='learned'"
            )

    def _make_whole(self, *names: str, least: int = 1) -> None:
        """Store numbers as plain ints, whatever kind of whole number they came as."""
        for name in names:
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
                raise ValueError(
                    f"{name}={value!r} is not a whole number of at least {least}; give one"
                )
            object.__setattr__(self, name, int(value))  # this class is frozen

    def _check_heads(self) -> None:
        """Refuse heads that the width cannot be shared out among."""
        if self.width % self.n_heads:
            below = self.width - self.width % self.n_heads
            fits = [size for size in (below, below + self.n_heads) if size]
            raise ValueError(
                f"width={self.width} does not split into n_heads={self.n_heads} equal parts; "
                f"use {' or '.join(map(str, fits))}"
            )

    @property
    def kv_heads(self) -> int:
        """How many heads the keys and values have."""
        return self.n_heads

    @property
    def query_width(self) -> int:
        """How long one head's query is."""
        return self.width // self.n_heads

    @property
    def hidden_width(self) -> int:
        """How wide the feed-forward part is inside."""
        return self.hidden or 4 * self.width

    @property
    def n_parameters(self) -> int:
        """How many learned numbers the model has, by formula."""
        raise NotImplementedError

    def _in_attention(self) -> int:
        heads_width, kv_width = self.n_heads * self.query_width, self.kv_heads * self.query_width
        biases = self.attention_bias * (heads_width + 2 * kv_width + self.width)
        norms = self.qk_norm * 2 * self.query_width
        return 2 * self.width * (heads_width + kv_width) + biases + norms

    def _in_feed_forward(self) -> int:
        n_matrices = 3 if self.activation == "swiglu" else 2
        biases = self.feed_forward_bias * ((n_matrices - 1) * self.hidden_width + self.width)
        return n_matrices * self.width * self.hidden_width + biases

    def _in_norm(self) -> int:
        return self.width * (2 if self.norm == "layer" else 1)

    def _in_embeddings(self, *, n_texts: int) -> int:
        """Count the tokens, for the output once more if it is not tied, and learned positions."""
        n_positions = n_texts * self.context * (self.positions == "learned")
        return self.width * (self.vocab_size * (1 if self.tied else 2) + n_positions)


def count_parameters(model: nn.Module | TransformerConfig) -> int:
    """Count the learned numbers of a model, or of the model a config describes, by formula.

    A tensor used twice (a tied head) counts once.
    """
    if isinstance(model, nn.Module):
        return sum(parameter.numel() for parameter in model.parameters())
    return model.n_parameters


def check_ids(ids_BT: Tensor, config: TransformerConfig, *, room: int | None, of: str = "") -> None:
    """Raise ``ValueError`` for what is no batch of token ids that a model can read.

    `room` is how many positions there are, None where a cache has checked that; `of` says which
    text it is, where a model has several, for example " of the source". On a GPU, where looking
    at the ids would cost time, those outside the vocabulary are not found.
    """
    text = of.rpartition(" ")[2] or "text"
    if not isinstance(ids_BT, Tensor):
        raise ValueError(
            f"{type(ids_BT).__name__} is no batch of token ids{of}; give integers of shape "
            "(batch, tokens), e.g. torch.tensor([ids])"
        )
    if ids_BT.dim() != 2 or ids_BT.dtype not in (torch.int64, torch.int32):
        raise ValueError(
            f"ids{of} of shape {tuple(ids_BT.shape)} and type {ids_BT.dtype} are not a batch of "
            "token ids; give integers of shape (batch, tokens), e.g. torch.tensor([ids])"
        )
    n_tokens = ids_BT.shape[1]
    if n_tokens == 0:
        raise ValueError(f"the {text} has no tokens; give at least one")
    if room is not None and n_tokens > room:
        raise ValueError(
            f"{n_tokens} tokens{of} do not fit into the context of {room}; "
            f"shorten the {text}, for example with ids[:, -{room}:]"
        )
    if ids_BT.device.type != "cpu" or not ids_BT.numel() or torch.compiler.is_compiling():
        return
    low, high = (int(extreme) for extreme in ids_BT.aminmax())
    if low < 0 or high >= config.vocab_size:
        raise ValueError(
            f"token id {low if low < 0 else high}{of} is outside the vocabulary of "
            f"{config.vocab_size:,}; ids go from 0 to {config.vocab_size - 1:,}: "
            "encode the text with this model's own tokenizer"
        )
