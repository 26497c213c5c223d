import doctest
import lzma
import math
import random

import numpy as np
import pytest
import torch

from llmlab.inference import (
    NgramModel,
    bits_per_byte,
    compressed_bits_per_byte,
    copying,
    longest_common_run,
    perplexity,
    token_surprises,
)
from llmlab.model import GPT, GPTConfig
from llmlab.text import WordTokenizer

TEXT = "abc ab a\ncab, abc éé ab 🙂 ba abab abc"


@pytest.fixture
def text_ids(tokens):
    return tokens.encode(TEXT * 3)


def one_by_one(model, ids, *, stride):
    """What the docstring says, a token at a time: the window it is told in, read anew."""
    context, found = model.config.context, []
    for place in range(1, len(ids)):
        start = 0  # the first window that holds the token as a target
        while place > start + context:
            start += stride
        with torch.no_grad():
            logits_V = model(torch.tensor([ids[start:place]]))[0, -1].double()
        found.append(float(-logits_V.log_softmax(dim=-1)[ids[place]]))
    return found


@pytest.mark.parametrize("stride", [1, 5, 12, 24])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_each_token_is_told_once_after_all_that_its_window_holds(
    tiny, text_ids, stride, batch_size
):
    assert len(text_ids) > 3 * tiny.config.context
    for n in (2, 24, 25, 26, 49, len(text_ids)):
        ids = text_ids[:n]
        found = token_surprises(tiny, ids, stride=stride, batch_size=batch_size)
        assert found.shape == (n - 1,)
        assert found == pytest.approx(one_by_one(tiny, ids, stride=stride), rel=1e-4, abs=1e-4)


def test_half_the_context_is_what_is_left_out(tiny, text_ids):
    half = token_surprises(tiny, text_ids, stride=12)
    assert list(token_surprises(tiny, text_ids)) == list(half)


def test_the_mode_of_the_model_stays(tiny, text_ids):
    tiny.train()
    token_surprises(tiny, text_ids)
    assert tiny.training
    tiny.eval()
    token_surprises(tiny, text_ids)
    assert not tiny.training


def knows_nothing(tokens):
    config = GPTConfig(vocab_size=tokens.vocab_size, context=16, width=8, n_layers=1, n_heads=1)
    model = GPT(config)
    with torch.no_grad():
        model.token_embedding.weight.zero_()  # and so every score is 0
    return model


def test_who_knows_nothing_pays_for_every_token_alike(tokens):
    model = knows_nothing(tokens)
    texts = ["abc ab", "é"]
    n_tokens = sum(len(tokens.encode(text)) for text in texts)
    n_bytes = len("abc abé".encode())
    expected = n_tokens * math.log2(tokens.vocab_size) / n_bytes
    assert n_bytes == 8
    for start_id in (None, 0):
        found = bits_per_byte(model, tokens, texts, start_id=start_id)
        assert found == pytest.approx(expected, rel=1e-6)
        found = perplexity(model, tokens, texts, start_id=start_id)
        assert found == pytest.approx(tokens.vocab_size, rel=1e-5)


def test_bits_are_nats_over_all_texts_by_their_bytes(tiny, tokens):
    texts = ["abc ab a", TEXT * 3, "", "b"]
    nats = sum(
        token_surprises(tiny, [0, *tokens.encode(text)], stride=7).sum() for text in texts if text
    )
    n_bytes = sum(len(text.encode()) for text in texts)
    n_tokens = sum(len(tokens.encode(text)) for text in texts)
    found = bits_per_byte(tiny, tokens, texts, start_id=0, stride=7)
    assert found == pytest.approx(nats / math.log(2) / n_bytes)
    found = perplexity(tiny, tokens, texts, start_id=0, stride=7)
    assert found == pytest.approx(math.exp(nats / n_tokens))


def test_bits_per_byte_do_not_depend_on_how_text_is_cut(tokens):
    """A model of bytes and one of merged tokens with the same probabilities get the same bits."""

    class Fair:
        """Gives every byte 1/256, whatever tokens it comes in."""

        def __init__(self, tokenizer):
            self.bytes = tokenizer.token_bytes

        def surprises(self, ids):
            return np.array([len(self.bytes[token]) * math.log(256) for token in ids])

    for tokenizer in (tokens, tokens.first_merges(0)):
        fair = Fair(tokenizer)
        assert bits_per_byte(fair, tokenizer, TEXT, start_id=0) == pytest.approx(8)
    assert perplexity(Fair(tokens), tokens, "abc" * 9, start_id=0) > 256**2


def test_a_counting_model_is_measured_in_the_same_way(tokens):
    ids = tokens.encode(TEXT * 20)
    model = NgramModel(ids, order=3, vocab_size=tokens.vocab_size)
    whole = model.surprises([0, *tokens.encode(TEXT)])[1:]
    assert list(token_surprises(model, [0, *tokens.encode(TEXT)])) == list(whole)
    expected = whole.sum() / math.log(2) / len(TEXT.encode())
    assert bits_per_byte(model, tokens, TEXT, start_id=0) == pytest.approx(expected)


def test_what_loses_characters_is_not_measured(tiny, tokens):
    words = WordTokenizer.train(["a b c"])
    with pytest.raises(ValueError, match="does not come back from this tokenizer as it was"):
        bits_per_byte(tiny, words, "a d")


def test_nonsense_is_refused(tiny, tokens):
    for texts in ([], "", ["", ""]):
        with pytest.raises(ValueError, match="there is no text to measure"):
            bits_per_byte(tiny, tokens, texts)
    with pytest.raises(ValueError, match=r"1 token id\(s\) have no token that follows"):
        token_surprises(tiny, [1])
    for stride in (0, 25):
        with pytest.raises(
            ValueError, match=f"stride={stride} must be a whole number from 1 to 24"
        ):
            token_surprises(tiny, [1, 2, 3], stride=stride)
    with pytest.raises(ValueError, match="token id 9999 is outside the vocabulary"):
        token_surprises(tiny, [1, 9999])
    with pytest.raises(TypeError, match="a dict is no list of texts"):
        bits_per_byte(tiny, tokens, {"a": "b"})


def test_compressed_text_is_counted_in_bits():
    draw = random.Random(0)
    noise = "".join(chr(draw.randrange(32, 96)) for _ in range(20_000))
    alone = compressed_bits_per_byte(noise)
    assert 5.9 < alone < 6.3  # 64 signs, six bits
    assert compressed_bits_per_byte(noise, given=noise) < 0.1
    assert compressed_bits_per_byte([noise[:9_000], noise[9_000:]]) == pytest.approx(alone)
    plain = 8 * len(lzma.compress(noise.encode(), preset=9)) / len(noise)
    assert alone <= plain + 0.05
    assert compressed_bits_per_byte("a" * 10_000) < 0.2
    with pytest.raises(ValueError, match="there is no text to measure"):
        compressed_bits_per_byte("", given="abc")


def longest_slowly(text, corpus):
    for length in range(len(text), 0, -1):
        for start in range(len(text) - length + 1):
            run = text[start : start + length]
            if any(run in known for known in corpus):
                return run
    return None


def test_the_longest_run_is_found():
    draw = random.Random(1)
    for _ in range(200):
        corpus = ["".join(draw.choices("abc", k=draw.randint(0, 30))) for _ in range(3)]
        text = "".join(draw.choices("abcd", k=draw.randint(0, 12)))
        found, expected = longest_common_run(text, corpus), longest_slowly(text, corpus)
        if expected is None:
            assert found is None
            continue
        assert len(found.text) == len(expected)
        assert text[found.start :].startswith(found.text)
        assert corpus[found.source][found.place :].startswith(found.text)


def test_it_says_where_a_run_stands():
    plays = {"One": "to be or", "Two": "not to be or not"}
    found = longest_common_run("says: not to be? No", plays)
    assert found == ("not to be", 6, "Two", 0)
    assert longest_common_run("xyz", "") is None
    assert doctest.testmod(copying).failed == 0
