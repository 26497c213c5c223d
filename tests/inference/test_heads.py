"""Statistics of heads: patterns whose numbers are known beforehand, and the real model's heads."""

import doctest
import importlib
import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from llmlab.inference import ablate, head_statistics, induction_scores, trace

from .conftest import make_tiny

T = 6


def row(*places, of=T):
    """Share the weight out equally among places."""
    return [sum(place == s for place in places) / len(places) for s in range(of)]


PATTERNS = {
    # name: the pattern, entropy, previous token, first token
    "itself": ([row(t) for t in range(T)], 0.0, 0.0, 0.0),
    "before": ([row(max(t - 1, 0)) for t in range(T)], 0.0, 1.0, 1 / 5),
    "first": ([row(0) for _ in range(T)], 0.0, 1 / 5, 1.0),
    "first and before": (
        [row(0)] + [row(0, t - 1) for t in range(1, T)],
        4 / 5,  # position 1 finds both in one place
        (1 + 4 * 0.5) / 5,
        (1 + 4 * 0.5) / 5,
    ),
    "all so far": (
        [row(*range(t + 1)) for t in range(T)],
        sum(math.log2(n) for n in range(2, T + 1)) / 5,
        sum(1 / n for n in range(2, T + 1)) / 5,
        sum(1 / n for n in range(2, T + 1)) / 5,
    ),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_made_by_hand_have_the_numbers_they_were_made_for(name):
    weights_TS, *expected = PATTERNS[name]
    found = head_statistics(torch.tensor(weights_TS))
    assert list(found) == ["entropy", "previous token", "first token"]
    for value, number in zip(found.values(), expected, strict=True):
        assert float(value) == pytest.approx(number, abs=1e-6)


def test_the_example_in_the_docstring_holds():
    result = doctest.testmod(importlib.import_module("llmlab.inference.heads"))
    assert result.attempted
    assert not result.failed


def random_weights(*shape, seed, causal):
    scores = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3
    if causal:
        visible = torch.ones(shape[-2:], dtype=torch.bool).tril(shape[-1] - shape[-2])
        scores = scores.masked_fill(~visible, -torch.inf)
    return scores.softmax(dim=-1)


@given(
    n_queries=st.integers(1, 6),
    n_earlier=st.integers(0, 3),
    causal=st.booleans(),
    seed=st.integers(0, 99),
)
def test_all_queries_that_have_a_choice_count_alike(n_queries, n_earlier, causal, seed):
    weights_LHTS = random_weights(2, 3, n_queries, n_queries + n_earlier, seed=seed, causal=causal)
    found = head_statistics(weights_LHTS, causal=causal)
    for layer in range(2):
        for head in range(3):
            rows = weights_LHTS[layer, head].double().numpy()
            positions = [n_earlier + t for t in range(n_queries)]
            chosen = [t for t in range(n_queries) if positions[t] or not causal]
            later = [t for t in range(n_queries) if positions[t]]
            expected = {
                "entropy": [scipy.stats.entropy(rows[t], base=2) for t in chosen] or [0.0],
                "previous token": [rows[t, positions[t] - 1] for t in later] or [math.nan],
                "first token": [rows[t, 0] for t in chosen] or [math.nan],
            }
            for name, values in expected.items():
                assert float(found[name][layer, head]) == pytest.approx(
                    np.mean(values), abs=1e-5, nan_ok=True
                )


def test_heads_and_texts_stay_apart_and_arrays_are_as_good_as_tensors():
    weights = random_weights(2, 3, 4, 5, 5, seed=0, causal=True)
    array = weights.numpy().copy()
    array.flags.writeable = False
    for given_weights in (weights, weights.numpy(), array, weights.double()):
        for name, value in head_statistics(given_weights).items():
            assert value.shape == (2, 3, 4)
            assert value.dtype == torch.float32
            assert_close(value[1, 2, 3], head_statistics(weights[1, 2, 3])[name])


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        (torch.rand(3), r"shape \(3,\) are no attention weights; give fractions"),
        (torch.ones(2, 2, dtype=torch.long), "int64"),
        (torch.rand(2, 3, 0, 4), r"\(2, 3, 0, 4\)"),
        (torch.rand(3, 2), "3 queries for 2 keys cannot be causal"),
        (torch.tensor([[1.0, 0.0], [-2.0, 3.0]]), "from -2 to 3 are no .* by softmax"),
        (torch.tensor([[1.0, 0.0], [-0.01, 1.0]]), "from -0.01 to 1 "),
        (torch.tensor([[1.0, 0.0], [0.0, 1.01]]), "from 0 to 1.01 "),
        (torch.tensor([[1.0, 0.0], [torch.nan, 1.0]]), "from nan to nan "),
    ],
)
def test_what_are_no_weights_is_told(weights, told):
    with pytest.raises(ValueError, match=told):
        head_statistics(weights)


def test_what_rounding_adds_to_weights_is_let_through():
    weights = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    for name, value in head_statistics(weights + torch.tensor([[5e-4, -5e-4]])).items():
        assert_close(value, head_statistics(weights)[name], atol=0.01, rtol=0)


def looking_at(distance):
    """An attention function whose every head looks back so far, and at the first token before."""

    def my_attend(q_BHTD, k_BHSD, v_BHSD, *, causal=False, mask_BTS=None):
        places_T = (torch.arange(q_BHTD.shape[2]) - distance).clamp(min=0)
        return v_BHSD[:, :, places_T]

    return my_attend


@pytest.mark.parametrize("n_tokens", [2, 3, 7, 12])
def test_a_head_that_looks_for_what_followed_has_score_1(n_tokens):
    options = {"n_tokens": n_tokens, "n_texts": 3}
    # the token after the last occurrence of this one is n - 1 positions back
    model = make_tiny(vocab_size=23, attend=looking_at(n_tokens - 1))
    assert_close(induction_scores(model, **options), torch.ones(2, 4))
    for distance in (n_tokens - 2, n_tokens, 0):
        if distance != n_tokens - 1:
            model = make_tiny(vocab_size=23, attend=looking_at(distance))
            assert_close(induction_scores(model, **options), torch.zeros(2, 4))


def test_the_random_texts_repeat_and_have_no_token_twice(tiny, monkeypatch):
    read = []
    whole = tiny.hidden_states
    monkeypatch.setattr(tiny, "hidden_states", lambda ids: (read.append(ids), whole(ids))[1])
    before = torch.get_rng_state()
    found = [
        induction_scores(tiny, n_tokens=9, n_texts=5, generator=torch.Generator().manual_seed(seed))
        for seed in (3, 3, 4)
    ]
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    for ids_BT in read:
        assert ids_BT.shape == (5, 18)
        assert torch.equal(ids_BT[:, :9], ids_BT[:, 9:])
        assert all(len(set(ids_T.tolist())) == 9 for ids_T in ids_BT)
        assert not torch.equal(ids_BT[0], ids_BT[1])


def test_scores_are_the_mean_of_the_weights_in_question(tiny):
    generator = torch.Generator().manual_seed(7)
    ids_T = torch.randperm(tiny.config.vocab_size, generator=generator)[:5].repeat(2)
    with torch.no_grad(), trace(tiny) as record:
        tiny(ids_T[None])
    ids, total = ids_T.tolist(), torch.zeros(2, 4)
    for place in range(5, 10):
        total += record.weights_LHTS[:, :, place, ids.index(ids[place]) + 1]
    generator = torch.Generator().manual_seed(7)
    found = induction_scores(tiny, n_tokens=5, n_texts=1, generator=generator)
    assert_close(found, total / 5)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"n_tokens": 1}, "n_tokens=1 must be a whole number from 2 to 12"),
        ({"n_tokens": 13}, "n_tokens=13 must be a whole number from 2 to 12"),
        ({"n_tokens": 2.5}, "n_tokens=2.5"),
        ({"n_tokens": 5, "n_texts": 0}, "n_texts=0"),
    ],
)
def test_sizes_that_do_not_fit_are_told(tiny, options, told):
    with pytest.raises(ValueError, match=told):
        induction_scores(tiny, **options)


def test_only_a_gpt_has_induction_scores(translator):
    with pytest.raises(TypeError, match="TinyTranslator is no GPT"):
        induction_scores(translator)


TEXT = (
    "The old man who lived by the sea went out every morning to catch fish, "
    "but the weather was bad and he came home with nothing for his wife."
)


@pytest.fixture(scope="module")
def real_statistics(smollm2):
    model, tokenizer = smollm2
    with torch.inference_mode(), trace(model) as record:
        model(torch.tensor([tokenizer.encode(TEXT)]))
    return head_statistics(record.weights_LHTS)


@pytest.fixture(scope="module")
def real_induction(smollm2):
    generator = torch.Generator().manual_seed(0)
    return induction_scores(smollm2[0], n_tokens=25, n_texts=2, generator=generator)


def test_the_real_model_has_heads_that_look_one_back(real_statistics):
    score_LH = real_statistics["previous token"]
    for head in ((16, 0), (1, 2), (11, 1), (2, 1)):
        assert score_LH[head] > 0.5  # measured: 0.77, 0.75, 0.65, 0.61
    assert score_LH.median() < 0.15


def test_the_real_model_has_heads_that_rest_on_the_first_token(real_statistics):
    score_LH = real_statistics["first token"]
    assert score_LH[18, 8] > 0.98
    assert 15 < (score_LH > 0.9).sum() < 60
    assert real_statistics["entropy"][18, 8] < 0.1


def test_the_real_model_has_induction_heads(real_induction):
    assert real_induction.shape == (30, 9)
    for head in ((18, 6), (17, 4), (17, 5), (17, 3)):
        assert real_induction[head] > 0.5  # measured: 0.87, 0.72, 0.68, 0.66
    assert real_induction.median() < 0.05
    assert real_induction[:8].max() < 0.2  # what they look for is first written by heads below


def test_induction_needs_the_head_that_looks_one_back(smollm2, real_induction):
    # Olsson et al. 2022: that head writes beside each token what came before it, and induction
    # heads look for just that
    def with_off(head):
        generator = torch.Generator().manual_seed(0)
        with ablate(smollm2[0], [head]):
            return induction_scores(smollm2[0], n_tokens=25, n_texts=2, generator=generator)

    without, control = with_off((16, 0)), with_off((16, 1))
    for head in ((17, 3), (17, 4), (17, 5), (18, 6)):
        assert without[head] < 0.4 * real_induction[head]
        assert control[head] > 0.9 * real_induction[head]
