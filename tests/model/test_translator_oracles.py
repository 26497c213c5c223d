"""The Translator against PyTorch's own Transformer, and against numpy."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given
from hypothesis import strategies as st
from torch.testing import assert_close

from .conftest import random_translator
from .translators import CLASSIC, OURS, PAD, SOURCE, TARGET, padded, words


def their_transformer(model):
    """Put the same weights into `torch.nn.Transformer`; what we have no bias for gets zeros."""
    config = model.config
    bend = {"gelu": lambda x: F.gelu(x, approximate="tanh"), "relu2": lambda x: F.relu(x) ** 2}
    theirs = torch.nn.Transformer(
        config.width,
        config.n_heads,
        config.n_encoder_layers,
        config.n_decoder_layers,
        config.hidden_width,
        dropout=0.0,
        activation=bend[config.activation],
        layer_norm_eps=config.norm_eps,
        batch_first=True,
        norm_first=True,
    ).eval()

    def copy_linear(ours, weight, bias):
        weight.copy_(torch.cat([layer.weight for layer in ours]))
        zeros = [torch.zeros(len(layer.weight)) for layer in ours]
        biases = [
            z if layer.bias is None else layer.bias for z, layer in zip(zeros, ours, strict=True)
        ]
        bias.copy_(torch.cat(biases))

    def copy_attention(ours, attention):
        three = (ours.query, ours.key, ours.value)
        copy_linear(three, attention.in_proj_weight, attention.in_proj_bias)
        copy_linear([ours.out], attention.out_proj.weight, attention.out_proj.bias)

    def copy_block(ours, layer):
        copy_attention(ours.attention, layer.self_attn)
        norms = [ours.attention_norm]
        if hasattr(ours, "cross_attention"):
            copy_attention(ours.cross_attention, layer.multihead_attn)
            norms.append(ours.cross_attention_norm)
        norms.append(ours.feed_forward_norm)
        for number, norm in enumerate(norms, start=1):
            getattr(layer, f"norm{number}").load_state_dict(norm.state_dict())
        copy_linear([ours.feed_forward.up], layer.linear1.weight, layer.linear1.bias)
        copy_linear([ours.feed_forward.down], layer.linear2.weight, layer.linear2.bias)

    with torch.no_grad():
        for stack in ("encoder", "decoder"):
            for ours, layer in zip(
                getattr(model, stack), getattr(theirs, stack).layers, strict=True
            ):
                copy_block(ours, layer)
            norm = getattr(model, f"{stack}_norm")
            getattr(theirs, stack).norm.load_state_dict(norm.state_dict())
    return theirs


def their_scores(theirs, model, source_BS, target_BT):
    """Run the oracle; embeddings, positions and the output are not part of it."""
    places = torch.arange(12)
    padding_BS = source_BS == PAD
    n_targets = target_BT.shape[1]
    x_BTC = theirs(
        model.token_embedding(source_BS) + model.source_positions(places[: source_BS.shape[1]]),
        model.token_embedding(target_BT) + model.target_positions(places[:n_targets]),
        tgt_mask=torch.ones(n_targets, n_targets, dtype=torch.bool).triu(1),
        src_key_padding_mask=padding_BS,
        memory_key_padding_mask=padding_BS,
        tgt_is_causal=True,
    )
    table = model.token_embedding if model.config.tied else model.output
    return x_BTC @ table.weight.T


pairs = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 7)), min_size=1, max_size=4)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@given(
    config=st.builds(
        lambda n_heads, head_width, **rest: dataclasses.replace(
            CLASSIC, n_heads=n_heads, width=n_heads * head_width, **rest
        ),
        n_heads=st.integers(1, 3),
        head_width=st.integers(1, 5),
        hidden=st.none() | st.integers(1, 20),
        n_encoder_layers=st.integers(1, 3),
        n_decoder_layers=st.integers(1, 3),
        activation=st.sampled_from(["gelu", "relu2"]),
        attention_bias=st.booleans(),
        feed_forward_bias=st.booleans(),
        tied=st.booleans(),
        norm_eps=st.sampled_from([1e-5, 1e-2]),
    ),
    pairs=pairs,
    seed=st.integers(0, 9),
)
@example(CLASSIC, [(9, 7), (4, 7), (1, 2)], 0)
def test_the_same_weights_in_pytorchs_transformer_give_the_same_scores(config, pairs, seed):
    model = random_translator(config, seed=seed)
    theirs = their_transformer(model)
    n_source, n_target = map(max, zip(*pairs, strict=True))
    source_BS = padded(words(len(pairs), n_source, seed=seed), [n for n, _ in pairs])
    target_BT = padded(words(len(pairs), n_target, seed=seed + 1), [n for _, n in pairs])
    with torch.no_grad():
        expected = their_scores(theirs, model, source_BS, target_BT)
        assert_close(model(source_BS, target_BT), expected, atol=1e-5, rtol=1e-5)
        model, theirs = model.double(), theirs.double()
        expected = their_scores(theirs, model, source_BS, target_BT)
        assert_close(model(source_BS, target_BT), expected, atol=1e-10, rtol=1e-10)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
def test_and_the_same_gradients():
    model = random_translator(CLASSIC).double()
    theirs = their_transformer(model).double()
    outer = [model.token_embedding.weight, model.target_positions.weight]
    found = torch.autograd.grad(model(SOURCE, TARGET).logsumexp(-1).sum(), outer)
    expected = torch.autograd.grad(
        their_scores(theirs, model, SOURCE, TARGET).logsumexp(-1).sum(), outer
    )
    assert_close(found, expected, atol=1e-9, rtol=1e-9)


def by_hand(model, source, target):
    """Translate with numpy, head by head: RMSNorm, positions as turning complex numbers."""
    config = model.config
    weights = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}

    def norm(x_TC, name):
        size = np.sqrt((x_TC**2).mean(axis=1, keepdims=True) + config.norm_eps)
        return x_TC / size * weights[f"{name}.weight"]

    def turn(x_TD):
        pairs = x_TD.shape[1] // 2
        speed = config.rotary_base ** (-np.arange(pairs) / pairs)
        turned = (x_TD[:, :pairs] + 1j * x_TD[:, pairs:]) * np.exp(
            1j * np.arange(len(x_TD))[:, None] * speed
        )
        return np.concatenate((turned.real, turned.imag), axis=1)

    def attention(x_TC, memory_SC, name, *, causal, rotary):
        q, k, v = (
            x @ weights[f"{name}.{part}.weight"].T
            for x, part in ((x_TC, "query"), (memory_SC, "key"), (memory_SC, "value"))
        )
        mixed = []
        for one in np.split(np.arange(config.width), config.n_heads):
            q_TD, k_SD = (turn(q[:, one]), turn(k[:, one])) if rotary else (q[:, one], k[:, one])
            shares = np.exp(q_TD @ k_SD.T / np.sqrt(len(one)))
            shares = np.tril(shares) if causal else shares
            mixed.append(shares / shares.sum(axis=1, keepdims=True) @ v[:, one])
        return np.concatenate(mixed, axis=1) @ weights[f"{name}.out.weight"].T

    def feed_forward(x_TC, name):
        up = x_TC @ weights[f"{name}.up.weight"].T
        if config.activation == "swiglu":
            gate = x_TC @ weights[f"{name}.gate.weight"].T
            return gate / (1 + np.exp(-gate)) * up @ weights[f"{name}.down.weight"].T
        return np.maximum(up, 0) ** 2 @ weights[f"{name}.down.weight"].T

    table_VC = weights["token_embedding.weight"]
    memory = table_VC[source]
    for layer in range(config.n_encoder_layers):
        at = f"encoder.{layer}"
        x = norm(memory, f"{at}.attention_norm")
        memory = memory + attention(x, x, f"{at}.attention", causal=False, rotary=True)
        memory = memory + feed_forward(
            norm(memory, f"{at}.feed_forward_norm"), f"{at}.feed_forward"
        )
    memory = norm(memory, "encoder_norm")
    y = table_VC[target]
    for layer in range(config.n_decoder_layers):
        at = f"decoder.{layer}"
        x = norm(y, f"{at}.attention_norm")
        y = y + attention(x, x, f"{at}.attention", causal=True, rotary=True)
        x = norm(y, f"{at}.cross_attention_norm")
        y = y + attention(x, memory, f"{at}.cross_attention", causal=False, rotary=False)
        y = y + feed_forward(norm(y, f"{at}.feed_forward_norm"), f"{at}.feed_forward")
    y = norm(y, "decoder_norm")
    return y @ (table_VC if config.tied else weights["output.weight"]).T


@pytest.mark.parametrize("activation", ["relu2", "swiglu"])
@pytest.mark.parametrize("tied", [False, True])
def test_the_usual_config_computes_what_numpy_does(activation, tied):
    config = dataclasses.replace(
        OURS, activation=activation, tied=tied, rotary_base=100.0, norm_eps=1e-3
    )
    model = random_translator(config, size=0.2).double()
    source, target = words(9).tolist(), words(7, seed=2).tolist()
    with torch.no_grad():
        found = model(torch.tensor([source]), torch.tensor([target]))[0]
    # the angles of rotary positions are single-precision numbers
    assert_close(found.numpy(), by_hand(model, source, target), atol=1e-5, rtol=1e-5)
