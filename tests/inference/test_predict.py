"""NextTokenPredictor: the scores of a fresh reading, whatever was typed before."""

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from llmlab.inference import NextTokenPredictor
from llmlab.text import BPETokenizer

from .conftest import make_tiny


def fresh(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]))[0, -1].numpy()


def test_any_edits_of_the_text_give_the_scores_of_a_fresh_reading(tiny, tokens):
    class Typing(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.predictor = NextTokenPredictor(tiny, tokens)
            self.text = ""

        @rule(piece=st.text(alphabet="abc é", min_size=1, max_size=4), place=st.floats(0, 1))
        def insert(self, piece, place):
            start = int(place * len(self.text))
            self.text = (self.text[:start] + piece + self.text[start:])[:20]

        @rule(first=st.floats(0, 1), second=st.floats(0, 1))
        def delete(self, first, second):
            start, end = sorted(int(share * len(self.text)) for share in (first, second))
            self.text = self.text[:start] + self.text[end:]

        @rule(text=st.text(alphabet="abc é", max_size=12))
        def replace(self, text):
            self.text = text

        @rule()
        def refuse_too_much(self):
            with pytest.raises(ValueError, match="reads at most 24; shorten it"):
                self.predictor(self.text + "!?" * 20)

        @invariant()
        def scores_are_those_of_a_fresh_reading(self):
            ids = tokens.encode(self.text) or [tokens.special_tokens["<|endoftext|>"]]
            if len(ids) <= tiny.config.context:
                found = self.predictor(self.text)
                np.testing.assert_allclose(found, fresh(tiny, ids), atol=1e-4)

    Typing.TestCase.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)
    Typing.TestCase("runTest").runTest()


def test_only_what_changed_is_computed_again(tokens):
    read = []

    def counting(q_BHTD, k_BHSD, v_BHSD, **_):
        read.append(q_BHTD.shape[2])
        return torch.zeros_like(q_BHTD)

    predictor = NextTokenPredictor(
        make_tiny(vocab_size=tokens.vocab_size, n_kv_heads=4, attend=counting), tokens
    )
    for text, n_read in (("xyzw", 4), ("xyzwv", 1), ("xyzwv", 1), ("xyz", 1), ("xyvw", 2)):
        read.clear()
        predictor(text)
        assert read == [n_read] * 2


def test_scores_are_one_float32_a_token_and_your_own(tiny, tokens):
    predictor = NextTokenPredictor(tiny, tokens)
    first = predictor("abc")
    assert first.shape == (262,)
    assert first.dtype == np.float32
    first[:] = 0
    assert np.abs(predictor("abc")).max() > 0


def test_an_empty_text_is_the_beginning_of_a_document(tiny, tokens):
    np.testing.assert_allclose(NextTokenPredictor(tiny, tokens)(""), fresh(tiny, [0]), atol=1e-5)
    without_marks = BPETokenizer(list("abc"), pattern=".")
    with pytest.raises(ValueError, match="the text is empty; type at least one character"):
        NextTokenPredictor(tiny, without_marks)("")


def test_a_text_of_the_whole_context_is_read_and_one_more_refused(tiny, tokens):
    predictor = NextTokenPredictor(tiny, tokens)
    ids = tokens.encode("x" * 24)
    np.testing.assert_allclose(predictor("x" * 24), fresh(tiny, ids), atol=1e-4)
    with pytest.raises(ValueError, match="the text has 25 tokens and the model reads at most 24"):
        predictor("x" * 25)


def test_a_character_without_a_token_is_named_and_the_predictor_lives_on(smollm2):
    predictor = NextTokenPredictor(*smollm2)
    before = predictor("The capital of France is")
    with pytest.raises(ValueError, match=r"no token for the byte 0x04 \(token 3 of the text\)"):
        predictor("The capital\x04")
    with pytest.raises(ValueError, match="lone surrogate"):
        predictor("The \ud800")
    np.testing.assert_allclose(predictor("The capital of France is"), before, atol=1e-4)
    assert smollm2[1].token(int(before.argmax())) == " Paris"
