"""Answers to the exercises on GPTs that nobody foresaw, and what the references agree with."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from llmlab.exercises import gpt
from llmlab.exercises.checking import judge
from llmlab.exercises.shelf import find
from llmlab.inference import next_token_probabilities
from llmlab.model import GPT, PUBLISHED, GPTConfig, attend, count_parameters
from llmlab.model.layers import Attention, Block, FeedForward


def told(id, answer):
    """The text of the card, which must not be that of a known mistake."""
    exercise = find(f"gpt.{id}")
    result = judge(exercise, answer, np.random.default_rng(0))
    assert result.status == "not yet"
    assert result.text not in [message for _, message in exercise.wrong_answers]
    return result.text


def drawn(exercise):
    return [exercise.draw(np.random.default_rng(seed), 1 + seed % 8) for seed in range(24)]


def block_in_one_line(x, norm_1, attention, norm_2, feed_forward):
    return (middle := x + attention(norm_1(x))) + feed_forward(norm_2(middle))


def block_summed(x, norm_1, attention, norm_2, feed_forward):
    gathered = attention(norm_1(x))
    return torch.stack([x, gathered, feed_forward(norm_2(x + gathered))]).sum(dim=0)


def by_gathered_terms(vocab_size, context, width, n_layers, n_heads):
    return width * (vocab_size + context + 2 + n_layers * (12 * width + 13))


def by_building(vocab_size, context, width, n_layers, n_heads):
    config = GPTConfig(
        vocab_size=vocab_size, context=context, width=width, n_layers=n_layers, n_heads=n_heads
    )
    with torch.device("meta"):
        return count_parameters(GPT(config))


def temperature_by_hand(scores, temperature):
    if temperature == 0:
        return [float(place == scores.argmax()) for place in range(len(scores))]
    powers = [math.exp((score - max(scores)) / temperature) for score in scores]
    return [power / sum(powers) for power in powers]


def temperature_one_hot(scores, temperature):
    if not temperature:
        return functional.one_hot(scores.argmax(), len(scores))
    return functional.softmax(scores / temperature, dim=0)


def top_p_by_sorting(p, share):
    sorted_p, order = p.sort(descending=True, stable=True)
    kept = sorted_p.where(sorted_p.cumsum(0) - sorted_p < share, 0.0)
    return torch.zeros_like(p).scatter(0, order, kept / kept.sum())


def top_p_by_counting(p, share):
    order = np.argsort(-p.numpy(), kind="stable")
    n = int(np.searchsorted(np.cumsum(p.numpy()[order]), share)) + 1
    kept = np.zeros(len(p))
    kept[order[:n]] = p.numpy()[order[:n]]
    return kept / kept.sum()


def step_by_fused_attention(x, keys, values, W_q, W_k, W_v):
    keys = torch.vstack([keys, x @ W_k])
    values = torch.vstack([values, x @ W_v])
    q = (x @ W_q)[None, None, None]
    mixed = functional.scaled_dot_product_attention(q, keys[None, None], values[None, None])
    return mixed[0, 0, 0], keys, values


def step_in_numpy(x, keys, values, W_q, W_k, W_v):
    x, keys, values, W_q, W_k, W_v = (t.numpy() for t in (x, keys, values, W_q, W_k, W_v))
    keys, values = np.vstack([keys, x @ W_k]), np.vstack([values, x @ W_v])
    powers = np.exp(keys @ (x @ W_q) / np.sqrt(keys.shape[1]))
    return [powers / powers.sum() @ values, keys, values]


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("block", block_in_one_line),
        ("block", block_summed),
        ("parameters", by_gathered_terms),
        ("parameters", lambda *sizes: float(by_gathered_terms(*sizes))),
        ("temperature", temperature_by_hand),
        ("temperature", temperature_one_hot),
        ("top_p", top_p_by_sorting),
        ("top_p", top_p_by_counting),
        ("step", step_by_fused_attention),
        ("step", step_in_numpy),
    ],
)
def test_right_answers_of_other_kinds_pass(id, answer):
    result = judge(find(f"gpt.{id}"), answer, np.random.default_rng(0))
    assert result.passed, result


@pytest.mark.parametrize(
    ("id", "answer", "words"),
    [
        ("block", lambda x, n, a, m, f: x[0], "keeps it; yours has the shape (2,)"),
        ("parameters", lambda *sizes: -1, "one whole number above 0"),
        ("parameters", lambda *sizes: [106], "one whole number above 0"),
        ("temperature", lambda s, t: s[:1], "one probability for each of the 3 scores"),
        ("temperature", lambda s, t: s * math.nan, "There is a nan or an infinite number"),
        ("temperature", lambda s, t: torch.ones_like(s), "Yours sum to 3."),
        ("top_p", lambda p, share: p[:1], "one probability for each of the"),
        ("top_p", lambda p, share: p * math.nan, "There is a nan in your result"),
        ("top_p", lambda p, share: p * 3, "has to sum to 1, and yours sums to 3."),
        ("top_p", lambda p, share: (p == p.min()) / (p == p.min()).sum(), "does not reach"),
        ("step", lambda x, k, v, *w: k, "Return three things"),
        ("step", lambda x, k, v, *w: (x, x, x), "keys has the shape (1,) and should have (1, 1)"),
        ("step", lambda *given: shifted(*given), "lies between the smallest and the largest"),
    ],
)
def test_what_the_laws_say(id, answer, words):
    assert words in told(id, answer)


def shifted(*given):
    mixed, keys, values = gpt.my_step(*given)
    return mixed + 10, keys, values


def test_the_block_is_the_package_s():
    torch.manual_seed(0)
    attention = Attention(8, 2, causal=True)
    feed_forward = FeedForward(8, 16, activation="gelu", bias=True)
    norms = torch.nn.LayerNorm(8), torch.nn.RMSNorm(8)
    x = torch.randn(5, 8)
    with torch.inference_mode():
        ours = gpt.my_block(
            x, norms[0], lambda rows: attention(rows[None])[0], norms[1], feed_forward
        )
        theirs = Block(attention, feed_forward, norms)(x[None])[0]
    torch.testing.assert_close(ours, theirs)


def test_parameters_are_those_of_a_model_that_is_built():
    for sizes in [*gpt.parameters.fixed, *drawn(gpt.parameters)]:
        assert gpt.my_parameters(*sizes) == by_building(*sizes)
    small = PUBLISHED["GPT-2 small"]
    sizes = small.vocab_size, small.context, small.width, small.n_layers, small.n_heads
    assert gpt.my_parameters(*sizes) == count_parameters(small)


def test_temperature_is_the_package_s_and_its_limits_are_limits():
    for scores, temperature in [*gpt.temperature.fixed, *drawn(gpt.temperature)]:
        ours = gpt.my_temperature(scores, temperature)
        near = {0: 1e-7, math.inf: 1e9}.get(temperature, temperature)
        if temperature != math.inf:
            theirs = next_token_probabilities(scores, temperature=temperature)
            torch.testing.assert_close(ours.float(), theirs, rtol=1e-4, atol=1e-6)
        if (scores == scores.max()).sum() == 1:  # equals share, however cold it gets
            torch.testing.assert_close(ours, gpt.my_temperature(scores, near), rtol=1e-4, atol=1e-6)


def test_top_p_is_the_package_s():
    for p, share in [*gpt.top_p.fixed, *drawn(gpt.top_p)]:
        theirs = next_token_probabilities(p.log(), top_p=share)
        ours = gpt.my_top_p(p, share).float()
        if abs(float(p[ours > 0].sum()) - share) > 1e-6:  # else rounding may decide
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_probabilities_for_top_p_have_exact_sums():
    for p, _ in [*gpt.top_p.fixed, *drawn(gpt.top_p)]:
        assert p.sum() == 1
        assert p.min() > 0
        assert p.sort().values.sum() == p.sort(descending=True).values.sum() == 1


@pytest.mark.parametrize("seed", range(5))
def test_steps_with_a_cache_are_attention_at_once(seed):
    chance = torch.Generator().manual_seed(seed)
    x = torch.randn(7, 4, generator=chance, dtype=torch.float64)
    matrices = torch.randn(3, 4, 3, generator=chance, dtype=torch.float64)
    keys = values = torch.zeros(0, 3, dtype=torch.float64)
    rows = []
    for row in x:
        mixed, keys, values = gpt.my_step(row, keys, values, *matrices)
        rows.append(mixed)
    q, k, v = (x @ matrix for matrix in matrices)
    whole = attend(q[None, None], k[None, None], v[None, None], causal=True)[0, 0]
    torch.testing.assert_close(torch.stack(rows), whole)
    torch.testing.assert_close(keys, k)
    torch.testing.assert_close(values, v)


def test_the_card_names_the_parts_of_the_block():
    result = judge(find("gpt.block"), lambda *given: given[0], np.random.default_rng(0))
    assert "norm_1 = a part that scales each row to a largest number of 1" in repr(result)
