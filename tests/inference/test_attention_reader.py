"""AttentionReader: all attention of a text, as trace and ablate show it, and never out of date."""

import re
import threading
import time

import numpy as np
import pytest
import torch

from llmlab.inference import (
    AttentionReader,
    ablate,
    attention_reader,
    head_statistics,
    induction_scores,
    trace,
)
from llmlab.model import GPT, GPTConfig, attend, ops
from llmlab.text import BPETokenizer

from .conftest import make_tiny
from .test_trace import footprint

TEXT = "abc ab é\U0001f600 x"


@pytest.fixture
def model(tokens):
    return make_tiny(vocab_size=tokens.vocab_size)


@pytest.fixture
def read(model, tokens):
    return AttentionReader(model, tokens)


def traced(model, tokens, text, off=()):
    ids_1T = torch.tensor([tokens.encode(text)])
    with torch.no_grad(), trace(model) as record, ablate(model, off):
        logits_V = model(ids_1T)[0, -1]
    return record.weights_LHTS, logits_V


def assert_reads(reading, weights_LHTS, logits_V):
    (part,) = reading.parts
    np.testing.assert_allclose(part.weights_LHTS, weights_LHTS, atol=1e-5)
    np.testing.assert_allclose(reading.probabilities, logits_V.softmax(-1), atol=1e-5)


@pytest.mark.parametrize("off", [(), [(0, 1)], [[1, 3], [0, 0], [1, 3]], {(1, 2)}])
def test_a_reading_is_what_trace_and_ablate_show(read, model, tokens, off):
    reading = read(TEXT, off=off)
    weights_LHTS, logits_V = traced(model, tokens, TEXT, {tuple(pair) for pair in off})
    assert_reads(reading, weights_LHTS, logits_V)
    (part,) = reading.parts
    assert part.name == "self-attention"
    assert part.causal is True
    assert part.queries == part.keys == tuple(tokens.tokens(TEXT))
    assert "\\xf0" in part.keys  # a part of a character is readable as well
    assert part.weights_LHTS.dtype == reading.probabilities.dtype == np.float32
    names = ["entropy", "previous token", "first token", "induction"]
    assert list(part.statistics) == names
    for name, value_LH in head_statistics(weights_LHTS).items():
        np.testing.assert_allclose(part.statistics[name], value_LH, atol=1e-5)
    generator = torch.Generator().manual_seed(0)
    induction_LH = induction_scores(model, n_tokens=12, n_texts=2, generator=generator)
    np.testing.assert_allclose(part.statistics["induction"], induction_LH, atol=1e-6)
    assert all(value_LH.dtype == np.float32 for value_LH in part.statistics.values())
    best = logits_V.softmax(-1).topk(10)
    assert [token for token, _ in reading.next_tokens] == [tokens.token(i) for i in best.indices]
    np.testing.assert_allclose([p for _, p in reading.next_tokens], best.values, atol=1e-5)
    assert list(reading.vocabulary) == tokens.vocabulary
    assert footprint(model) == footprint(make_tiny(vocab_size=tokens.vocab_size))


def test_a_text_of_one_token_has_only_what_means_something(read):
    reading = read("abc")
    (part,) = reading.parts
    assert part.weights_LHTS.shape == (2, 4, 1, 1)
    assert set(part.statistics) == {"entropy", "induction"}
    assert (part.statistics["entropy"] == 0).all()


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("", ValueError, "the text is empty; type at least one character"),
        ("x" * 25, ValueError, "the text has 25 tokens and the model reads at most 24; shorten it"),
        ("a\ud83d", ValueError, "character 1 of the text is .*a lone surrogate"),
        (None, TypeError, "NoneType is not text; give a str"),
        (b"abc", TypeError, "bytes is not text"),
        (["abc"], TypeError, "list is not text"),
    ],
)
def test_what_is_no_text_to_read_is_told_and_the_reader_lives_on(read, text, error, told):
    with pytest.raises(error, match=told):
        read(text)
    assert read("x" * 24).parts[0].weights_LHTS.shape[-1] == 24


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\U0001f468‍\U0001f469‍\U0001f467", " ", "\n\r"])
def test_any_text_has_readable_tokens(read, tokens, text):
    (part,) = read(text).parts
    assert part.keys == tuple(tokens.tokens(text))
    assert np.isfinite(part.weights_LHTS).all()


def test_a_character_without_a_token_is_named(smollm2):
    read = AttentionReader(*smollm2)
    with pytest.raises(ValueError, match=r"no token for the byte 0x04 \(token 3 of the text\)"):
        read("The capital\x04")
    reading = read("The capital of France is")
    assert reading.next_tokens[0][0] == " Paris"


@pytest.mark.parametrize(
    ("off", "error", "told"),
    [
        ([(2, 0)], ValueError, "no layer 2"),
        ([(0, -1)], ValueError, "no head -1"),
        ((0, 1), TypeError, "0 in heads is no pair"),
        ("01", TypeError, "heads='01' are no heads"),
        (None, TypeError, "heads=None are no heads"),
    ],
)
def test_heads_that_are_not_there_are_told_and_the_reader_lives_on(read, off, error, told):
    with pytest.raises(error, match=told):
        read("abc", off=off)
    assert read("abc", off=[(0, 1)]).parts


def count_runs(model, monkeypatch):
    runs, whole = [], model.hidden_states
    monkeypatch.setattr(
        model, "hidden_states", lambda ids, **o: (runs.append(ids.shape), whole(ids, **o))[1]
    )
    return runs


def test_what_was_read_is_not_read_again_and_induction_is_measured_once(read, model, monkeypatch):
    runs = count_runs(model, monkeypatch)
    first = read("abc x")
    assert sorted(runs) == [(1, 3), (2, 24)]
    assert read("abc x") is first
    read("abc x", off=[(0, 1), (1, 1)])
    off = read("abc x", off=[(1, 1), (0, 1)])
    assert off is not first
    assert read("abc x") is first
    read("abc")
    assert len(runs) == 4


def test_only_as_much_is_kept_as_does_no_harm(read, model, monkeypatch):
    monkeypatch.setattr(attention_reader, "_KEPT_BYTES", 2 * (2 * 4 * 5 * 5 * 4))  # two of 5 tokens
    read("a")  # induction
    runs = count_runs(model, monkeypatch)
    for text, n_runs in (
        ("vwxyz", 1),
        ("12345", 1),
        ("vwxyz", 0),
        ("67890", 1),  # in place of what was asked for longest ago
        ("vwxyz", 0),
        ("12345", 1),
        ("x" * 24, 1),  # in place of all others, though it is too large itself
        ("x" * 24, 0),
        ("vwxyz", 1),
    ):
        runs.clear()
        read(text)
        assert len(runs) == n_runs


def test_a_model_that_changed_is_asked_again(read, model, tokens):
    before = read(TEXT)
    with torch.no_grad():
        model.blocks[0].attention.key.weight.add_(0.5)  # in place, as optimizers do it
    reading = read(TEXT)
    assert_reads(reading, *traced(model, tokens, TEXT))
    name = "induction"
    assert (reading.parts[0].statistics[name] != before.parts[0].statistics[name]).any()
    state = {name: tensor * 1.5 for name, tensor in model.state_dict().items()}
    model.load_state_dict(state, assign=True)  # by other tensors, as loading may do it
    assert_reads(read(TEXT), *traced(model, tokens, TEXT))
    whole = read(TEXT)
    with ablate(model, [(0, 1)]):
        assert_reads(read(TEXT), *traced(model, tokens, TEXT))
        assert not np.allclose(read(TEXT).probabilities, whole.probabilities, atol=1e-4)
    assert_reads(read(TEXT), *traced(model, tokens, TEXT))

    def my_uniform(q_BHTD, k_BHSD, v_BHSD, *, causal=False, mask_BTS=None):
        return attend(q_BHTD * 0, k_BHSD, v_BHSD, causal=causal, mask_BTS=mask_BTS)

    for block in model.blocks:
        block.attention.attend = my_uniform
    assert_reads(read(TEXT), *traced(model, tokens, TEXT))
    third_LHS = read(TEXT).parts[0].weights_LHTS[..., 2, :3]
    np.testing.assert_allclose(third_LHS, np.full((2, 4, 3), 1 / 3), atol=1e-6)


def test_nobody_can_change_a_reading_for_others(read):
    reading = read(TEXT)
    for array in (reading.parts[0].weights_LHTS, reading.probabilities):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0


def test_threads_do_not_disturb_each_other_nor_whoever_runs_the_model(model, tokens):
    read, wrong = AttentionReader(model, tokens), []
    text, ids_1T = "abc x", torch.tensor([tokens.encode("abc x")])
    with torch.no_grad():
        undisturbed = model(ids_1T)

    def ask(head):
        weights_LHTS, logits_V = expected[head]
        for turn in range(15):
            reading = read(f"{text}{turn % 3}"[:5], off=[(0, head)])
            try:
                assert_reads(reading, weights_LHTS, logits_V)
            except AssertionError as error:
                wrong.append(error)

    def run():
        with torch.no_grad():
            wrong.extend(1 for _ in range(100) if not torch.equal(model(ids_1T), undisturbed))

    expected = {head: traced(model, tokens, text, [(0, head)]) for head in range(3)}
    threads = [threading.Thread(target=ask, args=(head,)) for head in expected]
    threads.append(threading.Thread(target=run))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_one_text_is_read_at_a_time(read, model, monkeypatch):
    inside, most, whole = [], [], model.hidden_states

    def hidden_states(ids_BT):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.002)  # the others' chance to come in
        inside.pop()
        return whole(ids_BT)

    monkeypatch.setattr(model, "hidden_states", hidden_states)
    threads = [threading.Thread(target=read, args=(text,)) for text in ("a", "b", "vw", "xyz")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 5  # four texts, and induction once


def test_more_tokens_in_the_model_than_in_the_tokenizer_get_names(tokens):
    read = AttentionReader(make_tiny(vocab_size=tokens.vocab_size + 2), tokens)
    reading = read("abc")
    assert reading.vocabulary[-3:] == (tokens.vocabulary[-1], "<262>", "<263>")
    assert len(reading.probabilities) == len(reading.vocabulary) == 264


def test_a_model_too_small_to_repeat_anything_has_no_induction():
    config = GPTConfig(vocab_size=3, context=3, width=4, n_layers=1, n_heads=1)
    reading = AttentionReader(GPT(config), BPETokenizer(list("abc"), pattern="."))("ab")
    assert set(reading.parts[0].statistics) == {"entropy", "previous token", "first token"}
    assert len(reading.next_tokens) == len(reading.vocabulary) == 3


def test_half_a_model_is_refused(model, tokens, translator):
    with pytest.raises(TypeError, match=r"model=TinyTranslator is no GPT; give a model and its"):
        AttentionReader(translator, tokens)
    with pytest.raises(TypeError, match="model=NoneType"):
        AttentionReader(tokenizer=tokens)
    with pytest.raises(ValueError, match="the tokenizer is missing"):
        AttentionReader(model)


def test_a_text_that_would_take_too_much_memory_is_refused_before_it_is_read(monkeypatch):
    config = GPTConfig(vocab_size=3, context=9, width=4, n_layers=1, n_heads=1)
    model = GPT(config)
    read = AttentionReader(model, BPETokenizer(list("abc"), pattern="."), longest=4)
    assert len(read("abca").parts[0].queries) == 4
    monkeypatch.setattr(model, "hidden_states", None)
    told = "^the text has 5 tokens and at most 4 are shown; shorten it$"
    with pytest.raises(ValueError, match=told):
        read("abcab")


@pytest.mark.parametrize("longest", [-3, 0, 2.5, True, "512", None])
def test_a_longest_text_that_is_no_number_of_tokens_is_refused(longest, model, tokens):
    told = f"longest={longest!r} must be a whole number of at least 1"
    with pytest.raises(ValueError, match=re.escape(told)):
        AttentionReader(model, tokens, longest=longest)


def test_reading_computes_no_more_than_a_run_of_the_model(read, model, monkeypatch):
    read("abc")  # induction
    products, plain = [], ops.attention_weights
    monkeypatch.setattr(
        ops, "attention_weights", lambda *a, **o: (products.append(1), plain(*a, **o))[1]
    )
    runs = count_runs(model, monkeypatch)
    read("abc x")
    assert runs == [(1, 3)]
    assert len(products) == 2  # once a layer, for all its heads


def test_without_arguments_it_reads_the_real_model(monkeypatch, smollm2):
    monkeypatch.setattr(attention_reader, "load_pretrained", lambda: smollm2)
    reading = AttentionReader()("The animal did not cross the street because it was too tired")
    (part,) = reading.parts
    assert part.weights_LHTS.shape == (30, 9, 12, 12)
    assert part.keys[1] == " animal"
