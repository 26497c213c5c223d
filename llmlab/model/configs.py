"""What the configs of all models share, and how it is checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar

_CHOICES = {
    "norm": ("layer", "rms"),
    "positions": ("learned", "rotary"),
    "activation": ("gelu", "swiglu", "relu2"),
}


@dataclass(frozen=True, kw_only=True)
class SharedConfig:
    """Sizes and choices that every Transformer here has."""

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

    def __post_init__(self):
        pass

    @property
    def query_width(self) -> int:
        return self.width // self.n_heads

    @property
    def hidden_width(self) -> int:
        return self.hidden or 4 * self.width

def check_ids(*a): pass
