"""Gradients written out by hand, against those that PyTorch derives and against differences."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck
from torch.testing import assert_close

from llmlab.model import gradients, ops


def random(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_()


def plain_rotate(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


# Angles of which no two are alike: the gradient must not rely on there being only half as many.
COS, SIN = (random(5, 8, seed=seed).detach() for seed in (7, 8))
CASES = {
    "rms_norm": (
        lambda x, w: ops.rms_norm(x, w, 0.1),
        lambda x, w: F.rms_norm(x, (8,), w, 0.1),
        gradients.RMSNorm,
        2,
    ),
    "relu2": (ops.relu2, lambda x: F.relu(x).square(), gradients.SquaredReLU, 1),
    "rotate": (
        lambda x: ops.rotate(x, COS, SIN),
        lambda x: plain_rotate(x, COS, SIN),
        gradients.Rotation,
        1,
    ),
}


def inputs(number, dtype=torch.float64):
    return (random(2, 3, 5, 8, dtype=dtype), random(8, seed=1, dtype=dtype))[:number]


@pytest.mark.parametrize("name", CASES)
def test_results_and_gradients_are_those_that_pytorch_derives(name):
    function, plain, by_hand, number = CASES[name]
    found, expected = inputs(number), inputs(number)
    result, reference = function(*found), plain(*expected)
    assert type(result.grad_fn).__name__ == f"{by_hand.__name__}Backward"
    assert torch.equal(result, reference)
    weights = random(*result.shape, seed=2).detach()
    (result * weights).sum().backward()
    (reference * weights).sum().backward()
    for one, other in zip(found, expected, strict=True):
        assert_close(one.grad, other.grad)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_small_differences(name):
    function, _, _, number = CASES[name]
    assert gradcheck(function, inputs(number))


@pytest.mark.parametrize("name", CASES)
def test_inputs_that_lie_apart_in_memory_and_none_at_all(name):
    function, plain, _, number = CASES[name]
    apart = random(2, 5, 3, 8).transpose(1, 2)
    others = inputs(number)[1:]
    assert_close(function(apart, *others), plain(apart, *others))
    nothing = torch.zeros(0, 3, 5, 8, dtype=torch.float64, requires_grad=True)
    function(nothing, *others).sum().backward()
    assert nothing.grad.shape == nothing.shape


def test_a_frozen_weight_gets_no_gradient_and_frozen_vectors_neither():
    x, weight = inputs(2)
    ops.rms_norm(x, weight.detach(), 0.1).sum().backward()
    assert x.grad is not None
    assert weight.grad is None
    expected = F.rms_norm(x.detach(), (8,), weight, 0.1).sum()
    (wanted,) = torch.autograd.grad(expected, weight)
    ops.rms_norm(x.detach(), weight, 0.1).sum().backward()
    assert_close(weight.grad, wanted)


def test_angles_that_are_learned_get_their_gradient():
    x, cos, sin = random(2, 5, 8), COS.clone().requires_grad_(), SIN.clone().requires_grad_()
    assert gradcheck(ops.rotate, (x, cos, sin))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_number_formats_and_what_is_not_differentiated(dtype):
    x, weight = inputs(2, dtype=dtype)
    assert ops.rms_norm(x, weight, 0.1).dtype == dtype
    assert ops.relu2(x).dtype == dtype
    with torch.no_grad():
        for result in (ops.rms_norm(x, weight, 0.1), ops.relu2(x)):
            assert result.grad_fn is None
            assert result.dtype == dtype
