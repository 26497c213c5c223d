"""A tiny random model with a tiny tokenizer of its own."""

import pytest
import torch
from torch import nn

from llmlab.model import GPT, GPTConfig
from llmlab.model.layers import Attention, Block, FeedForward
from llmlab.text import BPETokenizer
from llmlab.text.tokenizers import _BYTE_TO_CHARACTER, GPT2_PATTERN

MERGED = ["ab", "abc", "Ġa", "Ġab", "éÉ"]


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Tiny products gain nothing from a second thread, which waits long on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tokens():
    names = ["<|endoftext|>", *_BYTE_TO_CHARACTER.values(), *MERGED]
    return BPETokenizer(names, pattern=GPT2_PATTERN, special=["<|endoftext|>"])


@pytest.fixture(scope="session")
def tiny(tokens):
    return make_tiny(vocab_size=tokens.vocab_size)


def make_tiny(*, vocab_size, n_kv_heads=2, qk_norm=False, **options):
    config = GPTConfig(
        vocab_size=vocab_size, context=24, width=16, n_layers=2, n_heads=4, n_kv_heads=n_kv_heads,
        norm="rms", positions="rotary", activation="swiglu", tied=False, qk_norm=qk_norm,
    )  # fmt: skip
    return shaken(GPT(config, **options))


def shaken(model):
    """Give every parameter, the biases and norms too, a value of its own."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval()


class DecoderBlock(nn.Module):
    """Attention to the own text, attention to another, feed-forward."""

    def __init__(self, width, n_heads):
        super().__init__()
        self.attention = Attention(width, n_heads, causal=True)
        self.cross_attention = Attention(width, n_heads, n_kv_heads=1)
        self.feed_forward = FeedForward(width, width, activation="gelu", bias=True)

    def forward(self, x_BTC, *, memory_BSC, mask_BTS=None):
        x_BTC = x_BTC + self.attention(x_BTC)
        x_BTC = x_BTC + self.cross_attention(x_BTC, memory_BSC=memory_BSC, mask_BTS=mask_BTS)
        return x_BTC + self.feed_forward(x_BTC)


class TinyTranslator(nn.Module):
    """An encoder of two layers and a decoder of three, put together from the package's layers."""

    def __init__(self, width=8, n_heads=2):
        super().__init__()
        self.embedding = nn.Embedding(23, width)
        self.encoder = nn.ModuleList(
            Block(
                Attention(width, n_heads),
                FeedForward(width, width, activation="gelu", bias=True),
                (nn.LayerNorm(width), nn.LayerNorm(width)),
            )
            for _ in range(2)
        )
        self.decoder = nn.ModuleList(DecoderBlock(width, n_heads) for _ in range(3))

    def forward(self, source_BS, target_BT):
        memory_BSC = self.embedding(source_BS)
        for block in self.encoder:
            memory_BSC = block(memory_BSC)
        x_BTC = self.embedding(target_BT)
        for block in self.decoder:
            x_BTC = block(x_BTC, memory_BSC=memory_BSC)
        return x_BTC @ self.embedding.weight.T


@pytest.fixture(scope="session")
def translator():
    return shaken(TinyTranslator())
