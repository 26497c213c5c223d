"""TranslationReader: what translate writes and trace shows of it, for any text."""

import dataclasses
import re
import threading
import time

import numpy as np
import pytest
import torch

from llmlab.inference import TranslationReader, trace, translate
from llmlab.inference.translation import search_targets

from .conftest import make_tiny
from .test_trace import footprint
from .translators import TEXTS, liking, make_tokenizer, make_translator, modes, never


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture
def model(tokenizer):
    return make_translator(tokenizer)


@pytest.fixture(params=[1, 3], ids="{0} beams".format)
def read(request, model, tokenizer):
    return TranslationReader(model, tokenizer, n_beams=request.param)


def found_ids(read, text):
    [found] = search_targets(
        read.model,
        read.tokenizer,
        [read.tokenizer.encode(text)],
        None,
        n_beams=read.n_beams,
        length_penalty=0.6,
    )
    return list(found.ids)


@pytest.mark.parametrize("text", TEXTS)
def test_a_reading_is_what_translate_writes_and_trace_shows(read, text):
    reading = read(text)
    model, tokenizer = read.model, read.tokenizer
    ids = found_ids(read, text)
    assert reading.source_tokens == tuple(tokenizer.tokens(text))
    assert reading.target_tokens == tuple(map(tokenizer.token, ids))
    assert reading.text == translate(model, tokenizer, text, n_beams=read.n_beams)
    written_1T = torch.tensor([[model.config.start_id, *ids[:-1]]])
    with torch.no_grad(), trace(model) as record:
        scores_TV = model(torch.tensor([tokenizer.encode(text)]), written_1T)[0]
    for weights, part in (
        (reading.weights_LHTS, "decoder.cross_attention"),
        (reading.encoder_LHSS, "encoder.attention"),
        (reading.decoder_LHTT, "decoder.attention"),
    ):
        np.testing.assert_allclose(weights, record.part(part).weights_LHTS, atol=1e-6)
        np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)
        assert weights.dtype == np.float32
        assert not weights.flags.writeable
    assert reading.weights_LHTS.shape[2:] == (len(ids), len(tokenizer.encode(text)))
    scores_TV[:, never(model, tokenizer)] = -torch.inf
    values_TK, ids_TK = scores_TV.softmax(dim=-1).topk(5)
    for candidates, values, best in zip(reading.candidates, values_TK, ids_TK, strict=True):
        assert [token for token, _ in candidates] == [tokenizer.token(i) for i in best.tolist()]
        np.testing.assert_allclose([value for _, value in candidates], values, atol=1e-9)


def test_the_end_is_a_token_unless_the_translation_was_cut_off(read):
    ends = {text: read(text).target_tokens[-1] == "<end>" for text in TEXTS}
    assert set(ends.values()) == {True, False}
    for text, ended in ends.items():
        assert ended == (found_ids(read, text)[-1] == read.model.config.end_id)
        assert "<end>" not in read(text).text


def test_greedy_takes_the_first_candidate_each_time(model, tokenizer):
    read = TranslationReader(model, tokenizer)
    for text in TEXTS:
        reading = read(text)
        firsts = tuple(candidates[0][0] for candidates in reading.candidates)
        assert firsts == reading.target_tokens


def test_each_row_is_where_the_decoder_looked_before_the_token_was_there(read):
    reading = read("ab abc a")
    ids = found_ids(read, "ab abc a")
    source_1S = torch.tensor([read.tokenizer.encode("ab abc a")])
    for step in range(len(ids)):
        target_1T = torch.tensor([[read.model.config.start_id, *ids[:step]]])
        with torch.no_grad(), trace(read.model) as record:
            read.model(source_1S, target_1T)
        for weights_LHTS, part in (
            (reading.weights_LHTS, "decoder.cross_attention"),
            (reading.decoder_LHTT[..., : step + 1], "decoder.attention"),
        ):
            last_LHS = record.part(part).weights_LHTS[:, :, -1]
            np.testing.assert_allclose(weights_LHTS[:, :, step], last_LHS, atol=1e-6)
    assert not reading.decoder_LHTT[:, :, 0, 1:].any()


def test_the_model_stays_as_it_was(tokenizer):
    model = make_translator(tokenizer, dropout=0.5)
    before = footprint(model)
    reading = TranslationReader(model, tokenizer)("abc ab")
    assert footprint(model) == before
    model.train()
    again = TranslationReader(model, tokenizer)("abc ab")
    assert set(modes(model)) == {True}
    assert again.target_tokens == reading.target_tokens
    assert (again.weights_LHTS == reading.weights_LHTS).all()


def test_a_model_that_changed_is_asked_again(tokenizer):
    model = make_translator(tokenizer)
    read = TranslationReader(model, tokenizer)
    before = read("abc ab")
    with torch.no_grad():
        model.decoder[0].cross_attention.query.weight.mul_(2)
    assert not np.allclose(read("abc ab").weights_LHTS[0, :, 0], before.weights_LHTS[0, :, 0])


def test_a_reading_is_frozen(read):
    reading = read("abc")
    with pytest.raises(dataclasses.FrozenInstanceError):
        reading.text = "x"
    with pytest.raises(ValueError, match="read-only"):
        reading.weights_LHTS[:] = 0


def test_half_characters_and_marks_are_readable(tokenizer):
    reading = TranslationReader(liking(tokenizer, b"\xf0"), tokenizer)("\U0001f600\x00")
    assert reading.source_tokens == ("\\xf0", "\\x9f", "\\x98", "\\x80", "\x00")
    assert set(reading.target_tokens) == {"\\xf0"}
    assert set(reading.text) == {"�"}
    reading = TranslationReader(liking(tokenizer, "<pad>", "<end>"), tokenizer)("<end>")
    assert reading.source_tokens == tuple(tokenizer.tokens("<end>"))
    assert len(reading.source_tokens) > 1  # as text, not as a mark
    assert (reading.target_tokens, reading.text) == (("<end>",), "")
    assert len(reading.candidates[0]) == 5


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("", ValueError, "^the text is empty; give something to translate$"),
        (" \n", ValueError, "^the text is only white space; give something to translate$"),
        ("x" * 41, ValueError, "^the text has 41 tokens and the model reads at most 40; shorten"),
        ("a\ud83d", ValueError, "^character 1 of the text is .* a lone surrogate"),
        (None, TypeError, "^NoneType is not text; give a str$"),
        (["abc"], TypeError, "^list is not text; give a str$"),
    ],
)
def test_what_is_no_text_is_told_and_the_reader_lives_on(read, text, error, told):
    with pytest.raises(error, match=told):
        read(text)
    assert len(read("x" * 40).source_tokens) == 40


def test_half_a_translator_is_refused(model, tokenizer):
    with pytest.raises(TypeError, match=r"model=GPT is no Translator; give one and the tokenizer"):
        TranslationReader(make_tiny(vocab_size=5), tokenizer)
    with pytest.raises(ValueError, match=re.escape("n_beams=0 must be a whole number of at least")):
        TranslationReader(model, tokenizer, n_beams=0)


def test_threads_do_not_disturb_each_other_and_one_text_is_read_at_a_time(
    model,
    tokenizer,
    monkeypatch,
):
    read = TranslationReader(model, tokenizer, n_beams=2)
    expected = {text: read(text) for text in ("abc", "ab abc a", "x", " a b")}
    inside, most, wrong, encode = [], [], [], model.encode

    def watched(source_BS):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.001)  # the others' chance to come in
        inside.pop()
        return encode(source_BS)

    monkeypatch.setattr(model, "encode", watched)

    def ask(text):
        for _ in range(5):
            reading = read(text)
            same = (reading.weights_LHTS == expected[text].weights_LHTS).all()
            if not same or reading.candidates != expected[text].candidates:
                wrong.append(text)

    threads = [threading.Thread(target=ask, args=(text,)) for text in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert max(most) == 1
    assert len(most) == 4 * 5 * 2  # once to translate, once to look
