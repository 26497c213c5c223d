"""Attention and feed-forward layers."""

import pytest
import torch
from torch.testing import assert_close

from llmlab.model import KVCache, ops
from llmlab.model.layers import Attention, FeedForward

from .conftest import shaken


def test_attention_without_groups_equals_pytorchs_multi_head_attention():
    ours = shaken(Attention(12, 3)).double()
    theirs = torch.nn.MultiheadAttention(12, 3, batch_first=True, dtype=torch.float64)
    parts = ours.query, ours.key, ours.value
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    theirs.out_proj.load_state_dict(ours.out.state_dict())
    x_BTC, memory_BSC = torch.randn(2, 4, 12).double(), torch.randn(2, 6, 12).double()
    for source in (x_BTC, memory_BSC):
        expected, _ = theirs(x_BTC, source, source)
        assert_close(ours(x_BTC, memory_BSC=source), expected)


def test_grouped_heads_equal_full_heads_with_repeated_keys_and_values():
    grouped = shaken(Attention(12, 6, n_kv_heads=2, head_width=4))
    full = Attention(12, 6, head_width=4)
    state = grouped.state_dict()
    for part in ("key", "value"):
        for kind in ("weight", "bias"):
            heads = state[f"{part}.{kind}"].unflatten(0, (2, 4))
            state[f"{part}.{kind}"] = heads.repeat_interleave(3, dim=0).flatten(0, 1)
    full.load_state_dict(state)
    x_BTC = torch.randn(2, 5, 12)
    assert_close(grouped(x_BTC), full(x_BTC))


def test_only_causal_attention_keeps_the_order_of_what_it_reads():
    x_BTC, order = torch.randn(1, 6, 8), torch.tensor([3, 1, 5, 0, 2, 4])
    free = shaken(Attention(8, 2))
    assert_close(free(x_BTC[:, order]), free(x_BTC)[:, order])
    causal = shaken(Attention(8, 2, causal=True))
    assert not torch.allclose(causal(x_BTC[:, order]), causal(x_BTC)[:, order], atol=1e-3)


@pytest.mark.parametrize("crossing", [False, True])
def test_normalised_queries_and_keys_are_their_formula(crossing):
    layer = shaken(Attention(12, 2, n_kv_heads=1, bias=False, qk_norm_eps=0.1)).double()
    x_BTC = torch.randn(1, 4, 12).double()
    memory_BSC = torch.randn(1, 5, 12).double() if crossing else x_BTC
    q_BTHD = (x_BTC @ layer.query.weight.T).view(1, 4, 2, 6)
    k_BSD = memory_BSC @ layer.key.weight.T
    q_BTHD = q_BTHD / (q_BTHD.square().mean(-1, keepdim=True) + 0.1).sqrt()
    k_BSD = k_BSD / (k_BSD.square().mean(-1, keepdim=True) + 0.1).sqrt()
    q_BTHD, k_BSD = q_BTHD * layer.query_norm.weight, k_BSD * layer.key_norm.weight
    scores_BHTS = torch.einsum("bthd,bsd->bhts", q_BTHD, k_BSD) / 6**0.5
    mixed_BHTD = scores_BHTS.softmax(-1) @ (memory_BSC @ layer.value.weight.T)[:, None]
    expected = mixed_BHTD.transpose(1, 2).reshape(1, 4, 12) @ layer.out.weight.T
    assert_close(layer(x_BTC, memory_BSC=memory_BSC if crossing else None), expected)


def test_with_norms_no_score_grows_with_the_queries_and_keys():
    layer = Attention(12, 2, bias=False, qk_norm_eps=1e-6)
    x_BTC = torch.randn(1, 5, 12)
    with torch.no_grad():
        before = layer(x_BTC)
        layer.query.weight *= 100
        layer.key.weight *= 100
        assert_close(layer(x_BTC), before, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("activation", ["gelu", "swiglu", "relu2"])
def test_feed_forward_is_its_formula_at_each_position(activation):
    layer = shaken(FeedForward(4, 6, activation=activation, bias=True))
    x_BTC = torch.randn(1, 3, 4)
    up = torch.nn.functional.linear(x_BTC, layer.up.weight, layer.up.bias)
    if activation == "swiglu":
        gate = torch.nn.functional.linear(x_BTC, layer.gate.weight, layer.gate.bias)
        bent = gate * torch.sigmoid(gate) * up
    elif activation == "relu2":
        bent = up.clamp(min=0) ** 2
    else:
        bent = 0.5 * up * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (up + 0.044715 * up**3)))
    expected = bent @ layer.down.weight.T + layer.down.bias
    assert_close(layer(x_BTC), expected)


@pytest.mark.parametrize(
    ("attend", "given"),
    [
        (lambda q, k, v, **_: None, "NoneType"),
        (lambda q, k, v, **_: q.flatten(2), r"torch.Size\(\[1, 2, 12\]\)"),
        (lambda q, k, v, **_: ops.attend(q, k, v).transpose(1, 2), r"torch.Size\(\[1, 3, 2, 4\]\)"),
    ],
)
def test_an_own_attention_that_returns_nonsense_is_told_what_it_returned(attend, given):
    message = rf"attend returned {given}.*shape \(1, 2, 3, 4\); return weights @ values"
    with pytest.raises(ValueError, match=message):
        Attention(8, 2, attend=attend)(torch.randn(1, 3, 8))


@pytest.mark.parametrize("attend", [ops.attend, ops.attend_fused])
def test_an_observer_sees_what_is_mixed_and_changes_nothing(attend):
    layer = shaken(Attention(12, 6, n_kv_heads=2, head_width=4, causal=True, attend=attend))
    x_BTC, seen = torch.randn(2, 5, 12), []

    def observe(attention, q_BHTD, k_BHSD, v_BHSD, *, mask_BTS, cache, crossing):
        seen.append((attention, q_BHTD, k_BHSD, v_BHSD, mask_BTS, cache))

    expected = layer(x_BTC)
    layer.observers = (observe,)
    cache, mask_BTS = KVCache(1, 8), torch.ones(2, 5, 5, dtype=torch.bool)
    assert torch.equal(layer(x_BTC, cache=cache, mask_BTS=mask_BTS), layer(x_BTC))
    assert torch.equal(layer(x_BTC), expected)
    attention, q_BHTD, k_BHSD, v_BHSD, mask, given_cache = seen[0]
    assert (attention, given_cache) == (layer, cache)
    assert mask is mask_BTS
    k_BHSD, v_BHSD = (x.repeat_interleave(3, dim=1) for x in (k_BHSD, v_BHSD))
    mixed_BHTD = ops.attend(q_BHTD, k_BHSD, v_BHSD, causal=True)
    assert_close(layer.out(mixed_BHTD.transpose(1, 2).flatten(2)), expected)
    assert Attention(12, 6).observers == ()
