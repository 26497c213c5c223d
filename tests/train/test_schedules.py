"""Schedules: closed forms, laws, and PyTorch's own where the two mean the same."""

import doctest
import math
import warnings
from dataclasses import FrozenInstanceError, asdict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmlab.train import schedules
from llmlab.train.schedules import Schedule, constant, cosine, linear


def test_the_example_in_the_docstring_holds():
    result = doctest.testmod(schedules)
    assert result.attempted >= 2
    assert result.failed == 0


@st.composite
def falling(draw):
    steps = draw(st.integers(1, 5_000))
    warmup = draw(st.integers(0, steps - 1))
    final = draw(st.floats(0, 1))
    return Schedule(draw(st.sampled_from(["cosine", "linear"])), steps, warmup, final)


@given(falling())
def test_the_peak_is_exactly_one_and_comes_right_after_the_warmup(schedule):
    assert schedule(schedule.warmup) == 1
    assert all(schedule(step) < 1 for step in range(schedule.warmup))


@given(falling(), st.floats(0, 10_000), st.floats(0, 10_000))
def test_up_during_the_warmup_then_down_and_never_up_again(schedule, one, other):
    early, late = sorted((one, other))
    assert schedule(0) > 0
    assert schedule.final - 1e-12 <= schedule(late) <= 1 or late < schedule.warmup
    if late <= schedule.warmup:
        assert schedule(early) <= schedule(late)
    if early >= schedule.warmup:
        assert schedule(early) >= schedule(late)


@given(falling(), st.integers(0, 10_000))
def test_the_end_is_exactly_the_final_share_and_stays(schedule, beyond):
    assert schedule(schedule.steps + beyond) == pytest.approx(schedule.final, abs=1e-15)


@given(falling(), st.floats(0, 5_000))
def test_there_is_no_jump(schedule, step):
    small = 1e-6
    steepest = math.pi / 2 / min(schedule.warmup + 1, schedule.steps - schedule.warmup)
    assert abs(schedule(step + small) - schedule(step)) <= small * steepest * 1.01 + 1e-12


@given(falling())
def test_the_last_step_still_learns(schedule):
    assert schedule(schedule.steps - 1) > 0


@given(st.integers(2, 500), st.floats(0, 1))
def test_halfway_down_is_halfway_between(half, final):
    for kind in (cosine, linear):
        assert kind(2 * half, final=final)(half) == pytest.approx((1 + final) / 2)


@given(st.integers(4, 5_000))
def test_cosine_is_a_cosine(steps):
    # a quarter of the way down 1 / 2 + sqrt(1 / 8) is left: above the straight line
    assert cosine(4 * steps)(steps) == pytest.approx(0.5 + math.sqrt(0.125))
    assert cosine(4 * steps)(3 * steps) == pytest.approx(0.5 - math.sqrt(0.125))


def torchs(make, n_steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(n_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        with warnings.catch_warnings(action="ignore"):
            scheduler.step()
    return rates


LR = torch.optim.lr_scheduler


@pytest.mark.parametrize("final", [0.0, 0.1])
def test_cosine_is_pytorchs(final):
    expected = torchs(lambda o: LR.CosineAnnealingLR(o, T_max=37, eta_min=final), 38)
    assert [cosine(37, final=final)(step) for step in range(38)] == pytest.approx(expected)


@pytest.mark.parametrize("final", [0.0, 0.1])
def test_linear_is_pytorchs_beyond_the_end_too(final):
    expected = torchs(lambda o: LR.LinearLR(o, 1.0, final, total_iters=37), 60)
    assert [linear(37, final=final)(step) for step in range(60)] == pytest.approx(
        expected, abs=1e-12
    )


def test_the_warmup_is_pytorchs():
    expected = torchs(lambda o: LR.LinearLR(o, 1 / 10, 1.0, total_iters=9), 20)
    assert [constant(warmup=9)(step) for step in range(20)] == pytest.approx(expected)


def test_warmup_and_way_down_are_pytorchs_one_after_the_other():
    def make(optimizer):
        up = LR.LinearLR(optimizer, 1 / 6, 1.0, total_iters=5)
        return LR.SequentialLR(optimizer, [up, LR.CosineAnnealingLR(optimizer, 20)], [5])

    expected = torchs(make, 25)
    assert [cosine(25, warmup=5)(step) for step in range(25)] == pytest.approx(expected)


@given(st.integers(0, 100), st.floats(0, 1e9))
def test_constant_stays_at_one(warmup, step):
    assert constant(warmup=warmup)(warmup + step) == 1


def test_a_schedule_is_a_value():
    assert cosine(10, warmup=2) == Schedule("cosine", 10, 2, 0)
    assert Schedule(**asdict(linear(10, final=0.5))) == linear(10, final=0.5)
    assert {type(value) for value in asdict(cosine(torch.tensor(10))).values()} == {str, int, float}
    assert hash(constant()) == hash(Schedule("constant"))
    with pytest.raises(FrozenInstanceError):
        cosine(10).steps = 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "cosin", "steps": 5}, r"kind='cosin' .* 'cosine', 'linear', 'constant'"),
        ({"kind": "cosine"}, "steps=None must be a whole number of at least 1"),
        ({"kind": "linear", "steps": 0}, "steps=0 must be a whole number of at least 1"),
        ({"kind": "linear", "steps": 10.0}, r"steps=10\.0 must be a whole number"),
        ({"kind": "linear", "steps": True}, "steps=True must be a whole number"),
        ({"kind": "linear", "steps": 9, "warmup": -1}, "warmup=-1 must be a whole number"),
        ({"kind": "linear", "steps": 9, "warmup": 9}, r"warmup=9 takes all .* use at most 8"),
        ({"kind": "constant", "steps": 9, "warmup": 9}, "warmup=9 takes all of steps=9"),
        ({"kind": "cosine", "steps": 9, "final": -0.1}, r"final=-0\.1 .* from 0 to 1"),
        ({"kind": "cosine", "steps": 9, "final": 1.1}, r"final=1\.1 .* from 0 to 1"),
        ({"kind": "cosine", "steps": 9, "final": math.nan}, "final=nan .* from 0 to 1"),
        ({"kind": "cosine", "steps": 9, "final": True}, "final=True .* from 0 to 1"),
        ({"kind": "constant", "final": 0.1}, r"never comes to final=0\.1; .* kind='linear'"),
    ],
)
def test_nonsense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**arguments)


@pytest.mark.parametrize("step", [-1, -1e-9, math.nan, math.inf])
def test_what_is_no_step_is_refused(step):
    with pytest.raises(ValueError, match="counted from 0"):
        cosine(10, warmup=3)(step)
