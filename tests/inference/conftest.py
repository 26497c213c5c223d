"""A tiny random model with a tiny tokenizer of its own."""

import pytest
import torch

from llmlab.model import GPT, GPTConfig
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


def make_tiny(*, vocab_size, n_kv_heads=2, **options):
    config = GPTConfig(
        vocab_size=vocab_size, context=24, width=16, n_layers=2, n_heads=4, n_kv_heads=n_kv_heads,
        norm="rms", positions="rotary", activation="swiglu", tied=False,
    )  # fmt: skip
    model = GPT(config, **options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval()
