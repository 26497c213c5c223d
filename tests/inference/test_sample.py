"""From scores to a choice: the settings' meaning, the distribution of the draws, generating."""

import doctest
import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch.testing import assert_close

from llmlab.inference import generate, next_token_probabilities, sample

from .conftest import make_tiny

SCORES = torch.tensor([2.0, -1.0, 1.2, 0.1, 1.5, -3.0, 0.8, 0.0])


def test_the_examples_in_the_docstrings_hold():
    result = doctest.testmod(sample)
    assert result.attempted >= 3
    assert result.failed == 0


def oracle(scores, *, temperature=1.0, top_k=None, top_p=None):
    """The definition, a number at a time."""
    weights = [math.exp((score - max(scores)) / temperature) for score in scores]
    shares = {token: weight / sum(weights) for token, weight in enumerate(weights)}
    ranked = sorted(shares, key=lambda token: (-shares[token], token))
    ranked = ranked[: top_k or len(ranked)]
    if top_p is not None:
        whole = sum(shares[token] for token in ranked)
        reached, n_kept = 0.0, 0
        while reached < top_p and n_kept < len(ranked):
            reached += shares[ranked[n_kept]] / whole
            n_kept += 1
        ranked = ranked[:n_kept]
    whole = sum(shares[token] for token in ranked)
    return [shares[token] / whole if token in ranked else 0.0 for token in shares]


scores = st.lists(st.integers(-40, 40).map(lambda n: n / 8), min_size=1, max_size=12)


@given(
    scores=scores,
    temperature=st.floats(0.05, 5),
    top_k=st.none() | st.integers(1, 14),
    top_p=st.none() | st.floats(0.01, 1),
)
def test_probabilities_follow_the_definition(scores, temperature, top_k, top_p):
    settings = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    if top_p is not None:  # where the shares just reach p, rounding decides
        below, above = (oracle(scores, **settings | {"top_p": top_p + d}) for d in (-1e-5, 1e-5))
        assume(below == above)
    found_V = next_token_probabilities(torch.tensor(scores), **settings)
    assert_close(found_V, torch.tensor(oracle(scores, **settings)), atol=1e-5, rtol=1e-4)


@given(scores=scores)
def test_temperature_0_gives_all_to_the_first_of_the_best(scores):
    best_V = torch.zeros(len(scores))
    best_V[scores.index(max(scores))] = 1
    for others in ({}, {"top_k": 3}, {"top_p": 0.3}):
        settings = {"temperature": 0.0} | others
        assert_close(next_token_probabilities(torch.tensor(scores), **settings), best_V)


@given(
    temperature=st.floats(0, 1e300),
    top_k=st.none() | st.integers(1, 10),
    top_p=st.none() | st.floats(0, 1, exclude_min=True),
)
def test_every_allowed_setting_gives_probabilities(temperature, top_k, top_p):
    found_V = next_token_probabilities(SCORES, temperature=temperature, top_k=top_k, top_p=top_p)
    assert found_V.min() >= 0
    assert found_V.sum().item() == pytest.approx(1)
    assert found_V[0] == found_V.max()


def test_of_equals_the_smaller_ids_stay():
    equal_V = torch.zeros(4)
    assert next_token_probabilities(equal_V, top_k=3).tolist() == pytest.approx([1 / 3] * 3 + [0])
    assert next_token_probabilities(equal_V, top_p=0.5).tolist() == [0.5, 0.5, 0, 0]
    kept_V = next_token_probabilities(equal_V, top_p=0.51)
    assert kept_V.tolist() == pytest.approx([1 / 3] * 3 + [0])


def test_top_p_1_keeps_everything_even_what_rounding_hides():
    scores_V = torch.tensor([20.0, 0.0, 0.0])
    assert next_token_probabilities(scores_V, top_p=1.0).tolist() == scores_V.softmax(0).tolist()
    many_V = torch.randn(50_000, generator=torch.Generator().manual_seed(0)) * 4
    assert_close(next_token_probabilities(many_V, top_p=1.0), many_V.softmax(0))


def test_a_constant_added_to_all_scores_changes_nothing():
    for constant in (-1000, 1000):
        settings = {"temperature": 0.7, "top_k": 6, "top_p": 0.9}
        moved_V = next_token_probabilities(SCORES + constant, **settings)
        assert_close(moved_V, next_token_probabilities(SCORES, **settings), atol=1e-4, rtol=0)


def test_the_scores_stay_as_they_are():
    before_V = SCORES.clone()
    next_token_probabilities(SCORES, temperature=0.5, top_k=3, top_p=0.5)
    assert SCORES.equal(before_V)


def test_forbidden_tokens_are_never_chosen():
    scores_V = torch.tensor([-math.inf, 1.0, -math.inf, 0.0])
    for settings in ({}, {"top_k": 4}, {"top_p": 1.0}, {"temperature": 0}):
        assert next_token_probabilities(scores_V, **settings)[[0, 2]].tolist() == [0, 0]


def follows(counts: Counter, expected: list[float]) -> bool:
    """Say whether draws may come from a distribution; a chance of 1 in 10,000 says no wrongly."""
    if any(expected[token] == 0 for token in counts):
        return False
    n_draws = sum(counts.values())
    possible = [token for token, share in enumerate(expected) if share > 0]
    observed = [counts[token] for token in possible]
    return chisquare(observed, [expected[token] * n_draws for token in possible]).pvalue > 1e-4


def draws(probabilities_of, settings, *, n_draws=4000) -> Counter:
    generator = torch.Generator().manual_seed(20)
    probabilities_V = probabilities_of(SCORES, **settings)
    return Counter(sample.choose(probabilities_V, generator=generator) for _ in range(n_draws))


SETTINGS = [
    {},
    {"temperature": 0.6},
    {"temperature": 1.5, "top_k": 4},
    {"top_p": 0.8},
    {"temperature": 2.0, "top_p": 0.8},
    {"temperature": 0.8, "top_k": 5, "top_p": 0.9},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_draws_follow_the_distribution(settings):
    expected = oracle(SCORES.tolist(), **settings)
    assert follows(draws(next_token_probabilities, settings), expected)


def without_the_token_that_crosses(scores_V, *, temperature=1.0, top_p):
    sorted_V, order_V = (scores_V / temperature).softmax(0).sort(descending=True)
    sorted_V[sorted_V.cumsum(0) > top_p] = 0
    return torch.zeros_like(sorted_V).index_copy(0, order_V, sorted_V)


def with_one_token_too_many(scores_V, *, temperature=1.0, top_p):
    sorted_V, order_V = (scores_V / temperature).softmax(0).sort(descending=True)
    n_kept = int((sorted_V.cumsum(0) < top_p).sum()) + 2
    sorted_V[n_kept:] = 0
    return torch.zeros_like(sorted_V).index_copy(0, order_V, sorted_V)


def with_the_temperature_after_the_cut(scores_V, *, temperature=1.0, top_p):
    kept_V = next_token_probabilities(scores_V, top_p=top_p) > 0
    return (scores_V / temperature).masked_fill(~kept_V, -math.inf).softmax(0)


def in_the_order_of_the_ids(scores_V, *, temperature=1.0, top_p):
    probabilities_V = (scores_V / temperature).softmax(0)
    return probabilities_V * (probabilities_V.cumsum(0) - probabilities_V < top_p)


@pytest.mark.parametrize(
    "wrong",
    [
        without_the_token_that_crosses,
        with_one_token_too_many,
        with_the_temperature_after_the_cut,
        in_the_order_of_the_ids,
    ],
)
def test_draws_of_a_wrong_top_p_do_not(wrong):
    settings = {"temperature": 2.0, "top_p": 0.8}
    assert not follows(draws(wrong, settings), oracle(SCORES.tolist(), **settings))


def test_what_generate_draws_follows_the_distribution():
    model, settings = make_tiny(vocab_size=8), {"temperature": 0.9, "top_p": 0.9}
    generator = torch.Generator().manual_seed(3)
    counts = Counter(
        next(generate(model, [1, 2], max_new_tokens=1, generator=generator, **settings))
        for _ in range(1500)
    )
    with torch.no_grad():
        scores = model(torch.tensor([[1, 2]]))[0, -1].tolist()
    expected = oracle(scores, **settings)
    assert max(expected) < 0.9
    assert follows(counts, expected)


WRONG = {
    "below 0": ({"temperature": -0.1}, r"temperature=-0.1 is no temperature; use 0 for"),
    "infinite": ({"temperature": math.inf}, "temperature=inf is no temperature"),
    "not a number": ({"temperature": math.nan}, "temperature=nan is no temperature"),
    "no token": ({"top_k": 0}, "top_k=0 is no number of tokens; use a whole number above 0"),
    "part of a token": ({"top_k": 2.5}, "top_k=2.5 is no number of tokens"),
    "a yes": ({"top_k": True}, "top_k=True is no number of tokens"),
    "no share": ({"top_p": 0}, "top_p=0 is no share; use a number above 0 and up to 1"),
    "per cent": ({"top_p": 90}, "top_p=90 is no share"),
}


@pytest.mark.parametrize(("settings", "message"), WRONG.values(), ids=WRONG.keys())
def test_settings_without_meaning_are_refused_before_anything_runs(tiny, settings, message):
    with pytest.raises(ValueError, match=message):
        next_token_probabilities(SCORES, **settings)
    with pytest.raises(ValueError, match=message):
        generate(tiny, [1], **settings)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_broken_scores_are_refused(value):
    scores_V = SCORES.clone()
    scores_V[2] = value
    with pytest.raises(ValueError, match=f"highest score is {value}, .*weights are broken"):
        next_token_probabilities(scores_V)


def test_scores_of_several_positions_are_refused():
    with pytest.raises(ValueError, match=r"shape \(1, 8\) are not one score a token.*\[0, -1\]"):
        next_token_probabilities(SCORES[None], top_k=3)


def uncached(model, ids, *, n_new, generator=None, **settings):
    """Generate by reading the whole text again for every token."""
    for _ in range(n_new):
        with torch.no_grad():
            scores_V = model(torch.tensor([ids]))[0, -1]
        token_id = sample.choose(
            next_token_probabilities(scores_V, **settings), generator=generator
        )
        ids = [*ids, token_id]
        yield token_id


@given(ids=st.lists(st.integers(0, 255), min_size=1, max_size=20), seed=st.integers(0, 99))
def test_generating_with_the_cache_equals_reading_everything_again(tiny, ids, seed):
    n_new = tiny.config.context - len(ids)
    for settings in ({"temperature": 0.0}, {"temperature": 1.2, "top_k": 40, "top_p": 0.95}):
        generators = [torch.Generator().manual_seed(seed) for _ in range(2)]
        found = generate(tiny, ids, max_new_tokens=n_new, generator=generators[0], **settings)
        expected = uncached(tiny, ids, n_new=n_new, generator=generators[1], **settings)
        assert list(found) == list(expected)


def test_greedy_generation_equals_that_of_transformers(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    from llmlab.model import load_pretrained

    torch.manual_seed(0)
    oracle = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
            initializer_range=0.5, eos_token_id=None,
        )
    ).eval()  # fmt: skip
    oracle.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="no tokenizer"):
        model, _ = load_pretrained(tmp_path, device="cpu")
    ids_1T = torch.tensor([[3, 1, 4, 1, 5]])
    mask_1T = torch.ones_like(ids_1T)
    expected = oracle.generate(ids_1T, attention_mask=mask_1T, max_new_tokens=50, do_sample=False)
    found = list(generate(model, ids_1T[0].tolist(), max_new_tokens=50, temperature=0))
    assert found == expected[0, 5:].tolist()
    assert len(set(found)) > 5


def test_tokens_come_one_by_one_as_they_are_computed():
    lengths = []

    def counting(q_BHTD, k_BHSD, v_BHSD, **_):
        lengths.append((q_BHTD.shape[2], k_BHSD.shape[2]))
        return torch.zeros_like(q_BHTD)

    model = make_tiny(vocab_size=9, n_kv_heads=4, attend=counting)
    stream = generate(model, [1, 2, 3], max_new_tokens=4)
    assert lengths == []
    next(stream)
    assert lengths == [(3, 3)] * 2
    next(stream)
    assert lengths[2:] == [(1, 4)] * 2
    list(stream)
    assert lengths[-1] == (1, 6)


def test_it_ends_after_a_stop_token_which_it_yields(tiny):
    whole = list(generate(tiny, [5, 6], max_new_tokens=20, temperature=0))
    stop = whole[7]
    until = whole[: whole.index(stop) + 1]
    settings = {"max_new_tokens": 20, "temperature": 0}
    assert list(generate(tiny, [5, 6], stop=stop, **settings)) == until
    assert list(generate(tiny, [5, 6], stop=[stop, -1], **settings)) == until
    assert list(generate(tiny, [5, 6, stop], stop={stop}, max_new_tokens=0)) == []


def test_the_same_seed_gives_the_same_text_and_another_one_another(tiny):
    texts = [
        tuple(generate(tiny, [1], max_new_tokens=20, generator=torch.Generator().manual_seed(seed)))
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_generating_leaves_the_world_as_it_was(tiny):
    state = torch.get_rng_state()
    generator = torch.Generator().manual_seed(1)
    for _ in generate(tiny, [1], max_new_tokens=3, generator=generator):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
    assert torch.get_rng_state().equal(state)


def test_a_certain_choice_uses_up_no_random_number():
    generator = torch.Generator().manual_seed(1)
    state = generator.get_state()
    assert sample.choose(torch.tensor([0.0, 1.0]), generator=generator) == 1
    assert generator.get_state().equal(state)


def test_ids_may_come_as_any_iterable_of_whole_numbers(tiny):
    settings = {"max_new_tokens": 3, "temperature": 0}
    expected = list(generate(tiny, [1, 2], **settings))
    for ids in ((1, 2), iter([1, 2]), torch.tensor([1, 2]), np.array([1, 2])):
        assert list(generate(tiny, ids, **settings)) == expected


@pytest.mark.parametrize("ids", [[1.7], "12", 5, [True]], ids=repr)
@pytest.mark.parametrize("name", ["ids", "stop"])
def test_what_is_no_token_id_is_refused_at_once(tiny, name, ids):
    if name == "stop" and ids == 5:
        return
    given = {"ids": [1]} | {name: ids}
    with pytest.raises(TypeError, match="token id"):
        generate(tiny, **given)


def test_a_token_to_stop_at_may_be_any_kind_of_whole_number(tiny):
    settings = {"max_new_tokens": 6, "temperature": 0}
    second = list(generate(tiny, [1, 2], **settings))[1]
    expected = list(generate(tiny, [1, 2], **settings, stop=second))
    assert len(expected) <= 2
    kinds = (np.int64(second), torch.tensor(second), torch.tensor([second]), np.array([second, 0]))
    for stop in (*kinds, {second}, iter([second])):
        assert list(generate(tiny, [1, 2], **settings, stop=stop)) == expected


def test_scores_may_be_an_array_and_top_k_a_number_of_numpy():
    expected = next_token_probabilities(SCORES, top_k=3)
    assert next_token_probabilities(SCORES.numpy(), top_k=np.int64(3)).equal(expected)


PROMPTS = {
    "nothing": ([], {}, "there is no text to continue; give at least one token id"),
    "too large": ([1, 262], {}, "token id 262 is outside the vocabulary of 262: the text has a"),
    "negative": ([-1], {}, "token id -1 is outside the vocabulary"),
    "fewer than none": ([1], {"max_new_tokens": -1}, "max_new_tokens=-1 is no number of tokens"),
    "half a token": ([1], {"max_new_tokens": 2.5}, "max_new_tokens=2.5 is no number of tokens"),
    "too many": (
        [1] * 4,
        {"max_new_tokens": 21},
        "4 tokens and max_new_tokens=21 exceed the context of 24; use max_new_tokens=20",
    ),
    "no room": ([1] * 24, {"max_new_tokens": 1}, "exceed the context of 24; shorten the text"),
}


@pytest.mark.parametrize(("ids", "settings", "message"), PROMPTS.values(), ids=PROMPTS.keys())
def test_what_cannot_be_continued_is_refused_at_once(tiny, ids, settings, message):
    assert tiny.config.vocab_size == 262
    with pytest.raises(ValueError, match=message):
        generate(tiny, ids, **settings)


def test_the_whole_context_can_be_filled(tiny):
    assert len(list(itertools.islice(generate(tiny, [1] * 4, max_new_tokens=20), 99))) == 20
