"""Scores of many texts, outputs that are kept, and which words move a score."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from llmlab.inference import class_probabilities, kept_outputs, leave_one_out
from llmlab.model import GPT, Classifier, GPTConfig

TEXTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9], [2, 2], [9, 8, 7, 6], [1]]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    gpt = GPT(GPTConfig(vocab_size=12, context=8, width=8, n_layers=2, n_heads=2))
    made = Classifier(gpt, 3, n_frozen=1)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(torch.randn(weight.shape) * 0.3)
    return made.eval()


@pytest.mark.parametrize("batch_size", [1, 2, 4, 100])
def test_every_text_is_scored_as_if_it_were_alone(model, batch_size):
    found_NK = class_probabilities(model, TEXTS, batch_size=batch_size, pad_id=11)
    assert found_NK.shape == (6, 3)
    assert not found_NK.requires_grad
    for text, p_K in zip(TEXTS, found_NK, strict=True):
        with torch.no_grad():
            alone_K = model(torch.tensor([text]))[0].softmax(dim=-1)
        assert_close(p_K, alone_K)
    assert found_NK.std(dim=0).min() > 1e-3


@pytest.mark.parametrize("batch_size", [1, 4])
def test_what_is_kept_can_stand_in_for_the_texts(model, batch_size):
    kept = kept_outputs(model, TEXTS, batch_size=batch_size)
    assert [x_TC.shape for x_TC in kept] == [(len(text), 8) for text in TEXTS]
    assert_close(class_probabilities(model, kept), class_probabilities(model, TEXTS))


def test_the_last_vector_is_all_that_a_head_needs(model):
    head_only = Classifier(model.trunk, 3)
    kept = kept_outputs(head_only, TEXTS, last_only=True)
    assert [x_TC.shape for x_TC in kept] == [(1, 8)] * 6
    assert_close(class_probabilities(head_only, kept), class_probabilities(head_only, TEXTS))


def test_kept_outputs_do_not_hold_the_padding_in_memory(model):
    kept = kept_outputs(model, TEXTS)
    assert all(x_TC.untyped_storage().nbytes() == x_TC.numel() * 4 for x_TC in kept)


def test_a_bar_shows_on_request(model, capsys):
    class_probabilities(model, TEXTS)
    assert capsys.readouterr().err == ""
    class_probabilities(model, TEXTS, progress=True)
    assert "6/6" in capsys.readouterr().err


def test_no_texts_are_refused(model):
    with pytest.raises(ValueError, match="there are no texts"):
        class_probabilities(model, [])
    with pytest.raises(ValueError, match="text 0 is empty"):
        kept_outputs(model, [[1], []])


# --- leave one out ---


def by_length(texts):
    return [1 / (1 + len(text)) for text in texts]


@given(st.text(alphabet="ab \n\t!é", max_size=30).filter(str.strip))
def test_the_words_are_the_text(text):
    asked = []

    def probability(texts):
        asked.extend(texts)
        return by_length(texts)

    whole, words = leave_one_out(probability, text)
    assert "".join(word for word, _ in words) == text
    assert [word.strip() for word, _ in words] == text.split()
    assert asked[0] == text
    assert whole == 1 / (1 + len(text))
    for number, (_, without) in enumerate(words):
        left = text.split()
        del left[number]
        assert asked[1 + number].split() == left
        assert without == 1 / (1 + len(asked[1 + number]))


def test_an_additive_score_is_taken_apart_exactly():
    worth = {"win": 2.0, "cash": 1.0, "mum": -1.5}

    def probability(texts):
        scores = np.array([sum(worth.get(word, 0) for word in text.split()) for text in texts])
        return 1 / (1 + np.exp(-scores))

    whole, words = leave_one_out(probability, "win cash for mum now")

    def log_odds(p):
        return np.log(p / (1 - p))

    found = {word.strip(): log_odds(whole) - log_odds(without) for word, without in words}
    assert found == pytest.approx({"win": 2, "cash": 1, "for": 0, "mum": -1.5, "now": 0})


def test_all_texts_are_asked_for_at_once():
    calls = []
    leave_one_out(lambda texts: calls.append(len(texts)) or by_length(texts), "a b c")
    assert calls == [4]


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_text_without_words_is_refused(text):
    with pytest.raises(ValueError, match="has no word"):
        leave_one_out(by_length, text)


def test_what_else_is_refused():
    with pytest.raises(ValueError, match="has 201 words"):
        leave_one_out(by_length, "a " * 201)
    leave_one_out(by_length, "a " * 200)
    with pytest.raises(ValueError, match=r"shape \(1,\) for 3 texts"):
        leave_one_out(lambda texts: [0.5], "a b")
    with pytest.raises(ValueError, match=r"gave 1.5, which is no number from 0 to 1"):
        leave_one_out(lambda texts: [0.5, 1.5], "a")
    with pytest.raises(ValueError, match="gave nan"):
        leave_one_out(lambda texts: [0.5, float("nan")], "a")
