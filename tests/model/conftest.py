"""Tiny random models, with weights large enough that every part of them matters."""

import pytest
import torch

from llmlab.model import GPT, GPTConfig, Translator

from .translators import FAMILIES

SIZES = {"vocab_size": 23, "context": 12, "width": 16, "n_layers": 2, "n_heads": 4}
GPT2 = GPTConfig(**SIZES)
LLAMA = GPTConfig(
    **SIZES,
    n_kv_heads=2,
    hidden=24,
    norm="rms",
    positions="rotary",
    activation="swiglu",
    attention_bias=False,
    feed_forward_bias=False,
    tied=False,
)
RECIPE = GPTConfig(
    **SIZES,
    norm="rms",
    positions="rotary",
    activation="relu2",
    attention_bias=False,
    feed_forward_bias=False,
    qk_norm=True,
    zero_init=True,
)
GPTS = {"gpt2": GPT2, "llama": LLAMA, "recipe": RECIPE}


def shaken(model, *, seed=0, size=0.3):
    """Give every parameter, the biases and norms too, a value of its own."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * size)
    return model.eval()


def random_translator(config, *, seed=0, size=0.2, **options):
    """Make the same model each time; a new one's matrices are not small beside the shaking."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return shaken(Translator(config, **options), seed=seed, size=size)


@pytest.fixture(scope="session", params=GPTS.values(), ids=GPTS)
def tiny(request):
    """A GPT of one of the families; tests must not change it."""
    return shaken(GPT(request.param)).requires_grad_(False)


@pytest.fixture(scope="session", params=FAMILIES.values(), ids=FAMILIES)
def translator(request):
    """A Translator of one of two families; tests must not change it."""
    return random_translator(request.param).requires_grad_(False)


@pytest.fixture(scope="session")
def ids_BT():
    return torch.randint(23, (3, 10), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Tiny products gain nothing from a second thread, which waits long on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
