"""The mathematics: written out against fused, against PyTorch, and its laws."""

import doctest
import math
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from llmlab.model import attend, attend_fused, attention_weights, ops


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_the_examples_in_the_docstrings_hold():
    result = doctest.testmod(ops)
    assert result.attempted >= 9
    assert result.failed == 0


def attend_by_loops(q, k, v, *, causal, mask):
    """Attention of one head of one text, a number at a time."""
    out = []
    for t in range(len(q)):
        seen = [
            s
            for s in range(len(k))
            if (not causal or s <= t + len(k) - len(q)) and (mask is None or mask[t][s])
        ]
        weight = {
            s: math.exp(sum(a * b for a, b in zip(q[t], k[s], strict=True)) / math.sqrt(len(q[t])))
            for s in seen
        }
        total = sum(weight.values())
        out.append([sum(weight[s] * v[s][d] for s in seen) / total for d in range(len(v[0]))])
    return out


@given(
    n_queries=st.integers(1, 5),
    n_earlier=st.integers(0, 4),
    causal=st.booleans(),
    masked=st.booleans(),
    seed=st.integers(0, 99),
)
def test_written_out_and_fused_agree_with_plain_loops(n_queries, n_earlier, causal, masked, seed):
    n_keys = n_queries + n_earlier
    q_BHTD = random(2, 2, n_queries, 3, seed=seed)
    k_BHSD, v_BHSD = (random(2, 2, n_keys, 3, seed=seed + n) for n in (1000, 2000))
    mask_BTS = None
    if masked:
        mask_BTS = random(2, n_queries, n_keys, seed=seed + 3000) > 0
        mask_BTS |= torch.eye(n_queries, n_keys, dtype=torch.bool)  # each query sees something
    expected = [
        [
            attend_by_loops(
                *(x[b, h].tolist() for x in (q_BHTD, k_BHSD, v_BHSD)),
                causal=causal,
                mask=None if mask_BTS is None else mask_BTS[b].tolist(),
            )
            for h in range(2)
        ]
        for b in range(2)
    ]
    for attention in (attend, attend_fused):
        mixed_BHTD = attention(q_BHTD, k_BHSD, v_BHSD, causal=causal, mask_BTS=mask_BTS)
        assert_close(mixed_BHTD, torch.tensor(expected, dtype=torch.float64))


@given(
    n_queries=st.integers(1, 5),
    n_earlier=st.integers(0, 4),
    causal=st.booleans(),
    masked=st.booleans(),
    seed=st.integers(0, 99),
)
def test_weights_are_shares_of_what_a_query_may_see_and_mix_the_values(
    n_queries, n_earlier, causal, masked, seed
):
    n_keys = n_queries + n_earlier
    q_BHTD = random(2, 3, n_queries, 4, seed=seed, dtype=torch.float32)
    k_BHSD, v_BHSD = (
        random(2, 3, n_keys, 4, seed=seed + n, dtype=torch.float32) for n in (1000, 2000)
    )
    visible_BTS = torch.ones(2, n_queries, n_keys, dtype=torch.bool)
    mask_BTS = None
    if masked:
        mask_BTS = random(2, n_queries, n_keys, seed=seed + 3000) > 0
        mask_BTS |= torch.eye(n_queries, n_keys, dtype=torch.bool)
        visible_BTS &= mask_BTS
    if causal:
        visible_BTS &= ops.causal_mask(n_queries, n_keys)
    options = {"causal": causal, "mask_BTS": mask_BTS}
    weights_BHTS = attention_weights(q_BHTD, k_BHSD, **options)
    assert_close(weights_BHTS.sum(dim=-1), torch.ones(2, 3, n_queries))
    assert torch.equal(weights_BHTS > 0, visible_BTS.unsqueeze(1).expand_as(weights_BHTS))
    assert torch.equal(attend(q_BHTD, k_BHSD, v_BHSD, **options), weights_BHTS @ v_BHSD)
    swapped_BHTS = attention_weights(q_BHTD.flip(1), k_BHSD.flip(1), **options)
    assert torch.equal(swapped_BHTS.flip(1), weights_BHTS)  # heads know nothing of each other


def test_gradients_of_written_out_and_fused_agree():
    inputs = [random(2, 2, 5, 4, seed=n).requires_grad_() for n in range(3)]
    mask_BTS = torch.ones(2, 5, 5, dtype=torch.bool).tril()
    gradients = [
        torch.autograd.grad((attention(*inputs, mask_BTS=mask_BTS) ** 2).sum(), inputs)
        for attention in (attend, attend_fused)
    ]
    assert_close(*gradients)


def test_each_query_sees_itself_and_what_came_before():
    for n_queries, n_keys in ((1, 1), (3, 3), (1, 4), (2, 5)):
        mask_TS = ops.causal_mask(n_queries, n_keys)
        for t in range(n_queries):
            position = n_keys - n_queries + t
            assert mask_TS[t].tolist() == [s <= position for s in range(n_keys)]


def test_rms_norm_is_the_formula():
    x_BTC, weight_C = random(2, 3, 8), random(8, seed=1)
    expected = x_BTC / (x_BTC.square().mean(dim=-1, keepdim=True) + 0.1).sqrt() * weight_C
    assert_close(ops.rms_norm(x_BTC, weight_C, 0.1), expected)


def angles(positions, *, head_width=8, base=100.0):
    return ops.rotary_angles(head_width, torch.as_tensor(positions), base)


@given(position=st.integers(0, 8191), seed=st.integers(0, 99))
def test_turning_preserves_lengths(position, seed):
    x_D = random(8, seed=seed, dtype=torch.float32)
    assert_close(ops.rotate(x_D, *angles(position)).norm(), x_D.norm())


@given(
    first=st.integers(0, 500),
    second=st.integers(0, 500),
    shift=st.integers(0, 500),
    seed=st.integers(0, 99),
)
def test_scores_depend_on_the_distance_only(first, second, shift, seed):
    q_D, k_D = (random(8, seed=seed + n, dtype=torch.float32) for n in (0, 1000))

    def score(query_position, key_position):
        return ops.rotate(q_D, *angles(query_position)) @ ops.rotate(k_D, *angles(key_position))

    moved = score(first + shift, second + shift)
    assert_close(moved, score(first, second), atol=2e-3, rtol=1e-3)


def test_position_0_turns_nothing_and_others_turn_each_pair_at_its_own_pace():
    x_D = torch.tensor([1.0, 1.0, 0.0, 0.0])
    assert_close(ops.rotate(x_D, *angles(0, head_width=4)), x_D)
    turned_D = ops.rotate(x_D, *angles(3, head_width=4))
    slow = 3 / math.sqrt(100.0)
    expected = [math.cos(3), math.cos(slow), math.sin(3), math.sin(slow)]
    assert_close(turned_D, torch.tensor(expected))


@contextmanager
def threads(number):
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@given(
    n_vectors=st.integers(1, 6),
    n_in=st.integers(1, 9),
    n_out=st.integers(1, 40),
    n_threads=st.integers(1, 5),
    bias=st.booleans(),
    transposed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_linear_equals_pytorchs(n_vectors, n_in, n_out, n_threads, bias, transposed, seed):
    x_NI = random(n_vectors, n_in, seed=seed)
    weight_OI = random(n_in, n_out, seed=1).T if transposed else random(n_out, n_in, seed=1)
    bias_O = random(n_out, seed=2) if bias else None
    with threads(n_threads), torch.no_grad():
        assert_close(ops.linear(x_NI, weight_OI, bias_O), F.linear(x_NI, weight_OI, bias_O))
        assert_close(ops.linear(x_NI[0], weight_OI, bias_O), F.linear(x_NI[0], weight_OI, bias_O))


@pytest.mark.parametrize("n_out", [1, 2, 3, 50_257])
@pytest.mark.parametrize("shape", [(64,), (1, 64), (1, 1, 64), (4, 1, 64), (2, 2, 64), (5, 64)])
def test_linear_keeps_the_shape_for_odd_sizes(n_out, shape):
    x, weight_OI = random(*shape, dtype=torch.float32), random(n_out, 64, dtype=torch.float32)
    with torch.inference_mode():
        for bias_O in (None, random(n_out, dtype=torch.float32)):
            found, expected = ops.linear(x, weight_OI, bias_O), F.linear(x, weight_OI, bias_O)
            assert found.shape == (*shape[:-1], n_out)
            assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("n_vectors", [1, 4, 5])
def test_linear_has_the_right_gradients(n_vectors):
    inputs = [random(n_vectors, 3), random(7, 3, seed=1), random(7, seed=2)]
    inputs = [tensor.requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(ops.linear, inputs)
