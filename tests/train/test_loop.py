"""The training loop: against a loop written by hand, and what it does when things go wrong."""

import copy
import inspect
import itertools
import math
from dataclasses import FrozenInstanceError, astuple, fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from llmlab.model import Translator, TranslatorConfig
from llmlab.train import (
    IGNORE,
    Batch,
    NextTokenLoss,
    Step,
    TrainingError,
    loop,
    optimizer_for,
    packed_batches,
    pair_batches,
    schedules,
    train,
)

from .toys import IDS, VOCABULARY, some_batches, tiny, weights

MUON_LR = inspect.signature(optimizer_for).parameters["muon_lr"].default


def by_hand(model, batches, *, n_steps, schedule, clip, optimizer):
    """The loop as one writes it in a lesson."""
    losses, norms = [], []
    model.train()
    for number in range(n_steps):
        batch = next(batches)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * schedule(number)
        optimizer.zero_grad()
        loss = NextTokenLoss()(model, batch) / (batch.targets_BT != IGNORE).sum()
        loss.backward()
        norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), clip)))
        optimizer.step()
        losses.append(loss.item())
    return losses, norms


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_it_equals_a_loop_written_by_hand_bit_for_bit(kind):
    schedule = schedules.cosine(30, warmup=4)
    mine, theirs = tiny(), tiny()
    optimizer = optimizer_for(theirs, kind=kind)
    losses, norms = by_hand(
        theirs, some_batches(), n_steps=30, schedule=schedule, clip=0.5, optimizer=optimizer
    )
    options = {"optimizer": optimizer_for(mine, kind=kind), "schedule": schedule, "clip": 0.5}
    found = list(train(mine, some_batches(), steps=30, **options))
    assert weights(mine).equal(weights(theirs))
    assert [step.loss for step in found] == losses
    assert [step.gradient_norm for step in found] == norms
    assert max(norms) > 0.5
    first = optimizer.param_groups[0]["initial_lr"]
    rates = [first * schedule(number) for number in range(30)]
    assert [step.learning_rate for step in found] == rates


def test_the_same_run_twice_gives_the_same_weights():
    models = [tiny(), tiny()]
    for model in models:
        for _ in train(model, some_batches(), steps=10):
            pass
    assert weights(models[0]).equal(weights(models[1]))
    assert not weights(models[0]).equal(weights(tiny()))


@pytest.mark.parametrize("first", [0, 1, 7, 19, 20])
def test_a_run_in_two_parts_is_the_run_in_one(first):
    schedule = schedules.linear(20, warmup=3)
    whole, parts = tiny(), tiny()
    expected = list(train(whole, some_batches(), steps=20, schedule=schedule))
    optimizer, batches = optimizer_for(parts), some_batches()
    options = {"optimizer": optimizer, "schedule": schedule, "steps": 20}
    found = list(itertools.islice(train(parts, batches, **options), first))
    found += train(parts, batches, start=first, **options)
    assert weights(whole).equal(weights(parts))
    assert [step.number for step in found] == list(range(1, 21))
    for one, other in zip(found, expected, strict=True):
        assert (one.loss, one.learning_rate) == (other.loss, other.learning_rate)
        assert (one.progress, one.steps) == (other.number / 20, 20)


def test_a_gpt_learns_what_can_be_learned():
    """In 0 1 2 ... 10 0 1 ... each token tells the next, so the loss falls from ln V far down."""
    model = tiny()
    counting = packed_batches([i % VOCABULARY for i in range(400)], context=8, batch_size=8)
    optimizer = optimizer_for(model, adam_lr=0.03)
    options = {"optimizer": optimizer, "schedule": schedules.linear(80)}
    losses = [step.loss for step in train(model, counting, steps=80, **options)]
    assert abs(losses[0] - math.log(VOCABULARY)) < 0.1
    assert losses[-1] < 0.2


def test_a_translator_learns():
    sizes = {"vocab_size": 12, "context": 12, "width": 16, "n_heads": 2}
    special = {"pad_id": 0, "start_id": 1, "end_id": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Translator(
            TranslatorConfig(**sizes, n_encoder_layers=1, n_decoder_layers=1, **special)
        )
    pairs = [([a, b], [b, a]) for a in range(3, 12) for b in range(3, 12)]
    batches = pair_batches(pairs, batch_size=27, **special)
    optimizer = optimizer_for(model, adam_lr=0.02)
    options = {"optimizer": optimizer, "schedule": schedules.linear(100)}
    losses = [step.loss for step in train(model, batches, steps=100, **options)]
    assert abs(losses[0] - math.log(12)) < 0.2
    assert losses[-1] < 0.1


# ---- the arithmetic of a step


class Line(nn.Module):
    """A linear map, to be fitted by least squares: everything about it is known."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(3, 2, bias=False, dtype=torch.float64)
        nn.init.zeros_(self.map.weight)

    def forward(self, x_BI):
        return self.map(x_BI)


def squares(model, batch):
    """The sum of squared errors over the rows that are targets; half, so the gradient is plain."""
    return (model(*batch.inputs) - batch.targets_BT).square().sum() / 2


def rows(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x_BI = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    y_BO = x_BI @ torch.tensor([[1.0, -2], [0.5, 3], [-1, 0.25]], dtype=torch.float64)
    noise_BO = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return Batch((x_BI,), y_BO + 0.1 * noise_BO, n_targets=n, n_tokens=n)


def sgd(model, lr=1.0):
    return torch.optim.SGD(model.parameters(), lr=lr)


def test_it_finds_the_least_squares():
    batch, model = rows(50), Line()
    steps = train(
        model,
        itertools.repeat(batch),
        steps=300,
        optimizer=sgd(model, 0.5),
        loss=squares,
        clip=None,
    )
    last = list(steps)[-1]
    (x_BI,), y_BO = batch.inputs, batch.targets_BT
    best_IO = torch.linalg.lstsq(x_BI, y_BO).solution
    assert_close(model.map.weight.detach(), best_IO.T, atol=1e-9, rtol=0)
    assert last.loss == pytest.approx(float((x_BI @ best_IO - y_BO).square().sum() / 2 / 50))


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5), clip=st.sampled_from([None, 0.3]))
@settings(max_examples=25)
def test_accumulated_batches_are_one_large_batch(sizes, clip):
    parts = [rows(n, seed) for seed, n in enumerate(sizes)]
    whole = Batch(
        (torch.cat([part.inputs[0] for part in parts]),),
        torch.cat([part.targets_BT for part in parts]),
        n_targets=sum(sizes),
        n_tokens=sum(sizes),
    )
    models = Line(), Line()
    found = []
    for model, batches, accumulate in (
        (models[0], parts * 3, len(parts)),
        (models[1], [whole] * 3, 1),
    ):
        options = {"optimizer": sgd(model, 0.1), "loss": squares, "clip": clip}
        found.append(list(train(model, batches, steps=3, accumulate=accumulate, **options)))
    assert_close(weights(models[0]), weights(models[1]), atol=1e-12, rtol=1e-12)
    for one, other in zip(*found, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-6)
        assert one.gradient_norm == pytest.approx(other.gradient_norm, rel=1e-9)


def test_accumulation_counts_targets_not_batches():
    """Four texts with 1, 2, 5 and 8 targets, in one batch and one by one."""
    ids_BT = torch.tensor(IDS[:32]).view(4, 8)
    targets_BT = torch.tensor(IDS[1:33]).view(4, 8)
    for row, n_targets in enumerate((1, 2, 5, 8)):
        targets_BT[row, n_targets:] = IGNORE
    whole = Batch((ids_BT,), targets_BT)
    parts = [Batch((ids_BT[[row]],), targets_BT[[row]]) for row in range(4)]
    models = [tiny().double(), tiny().double()]
    list(train(models[0], [whole] * 3, steps=3))
    list(train(models[1], parts * 3, steps=3, accumulate=4))
    assert_close(weights(models[0]), weights(models[1]), atol=1e-9, rtol=0)


def test_a_batch_without_targets_among_others_adds_nothing():
    empty = Batch((torch.tensor([IDS[:8]]),), torch.full((1, 8), IGNORE))
    full = next(some_batches())
    models = [tiny(), tiny()]

    def loss(model, batch):
        return NextTokenLoss()(model, batch) / (batch.n_targets > 0)  # not asked about the empty

    (with_empty,) = train(models[0], [empty, full], steps=1, accumulate=2, loss=loss)
    (without,) = train(models[1], [full], steps=1)
    assert weights(models[0]).equal(weights(models[1]))
    assert with_empty.loss == without.loss


@pytest.mark.parametrize("clip", [0.25, 100.0, None])
def test_long_gradients_are_shortened_and_the_norm_is_told_from_before(clip):
    batch, model = rows(50), Line()
    (x_BI,), y_BO = batch.inputs, batch.targets_BT
    norm = float((y_BO.T @ x_BI / 50).norm())
    assert 0.25 < norm < 100
    (step,) = train(model, [batch], steps=1, optimizer=sgd(model), loss=squares, clip=clip)
    assert step.gradient_norm == pytest.approx(norm)
    assert float(weights(model).norm()) == pytest.approx(0.25 if clip == 0.25 else norm, rel=1e-5)


def test_gradients_of_before_do_not_count():
    models = tiny(), tiny()
    NextTokenLoss()(models[0], next(some_batches())).backward()
    for model in models:
        list(train(model, some_batches(), steps=2))
    assert weights(models[0]).equal(weights(models[1]))


def test_gradients_can_be_looked_at_after_a_step():
    model = tiny()
    for step in train(model, some_batches(), steps=2, clip=None):
        gradients = [parameter.grad for parameter in model.parameters()]
        assert float(nn.utils.get_total_norm(gradients)) == step.gradient_norm


def test_frozen_parameters_stay():
    model = tiny()
    model.blocks[0].requires_grad_(False)
    before = copy.deepcopy(model.blocks[0])
    list(train(model, some_batches(), steps=3))
    assert weights(model.blocks[0]).equal(weights(before))
    assert not weights(model).equal(weights(tiny()))


def test_it_trains_inside_no_grad_too():
    model, expected = tiny(), tiny()
    with torch.no_grad():
        list(train(model, some_batches(), steps=2))
    list(train(expected, some_batches(), steps=2))
    assert weights(model).equal(weights(expected))


# ---- the records


class Clock:
    """Time that passes only when told."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def slow(clock, seconds):
    def loss(model, batch):
        clock.now += seconds
        return NextTokenLoss()(model, batch)

    return loss


def test_a_step_cannot_be_changed():
    (step,) = train(tiny(), some_batches(), steps=1)
    assert [field.name for field in fields(Step)] == [
        "number",
        "loss",
        "learning_rate",
        "gradient_norm",
        "tokens_per_second",
        "elapsed",
        "steps",
        "progress",
    ]
    assert [type(value) for value in astuple(step)] == [int, *[float] * 5, int, float]
    with pytest.raises(FrozenInstanceError):
        step.loss = 0.0


def test_time_counts_inside_steps_only():
    clock = Clock()
    batches = some_batches()
    loss = slow(clock, 0.5)
    for step in train(tiny(), batches, steps=4, loss=loss, clock=clock, accumulate=2):
        assert step.elapsed == step.number
        first = some_batches()
        first.seek(batches.position - 2)
        assert step.tokens_per_second == next(first).n_tokens + next(first).n_tokens
        clock.now += 100  # the body of the loop takes its time


def test_a_clock_that_stands_still_divides_nothing_by_zero():
    steps = list(train(tiny(), some_batches(), steps=3, clock=lambda: 7.0))
    assert [(step.tokens_per_second, step.elapsed) for step in steps] == [(0.0, 0.0)] * 3


def test_padding_is_no_token():
    batch = Batch((torch.tensor([IDS[:8]]),), torch.tensor([IDS[1:9]]), n_tokens=5)
    clock = Clock()
    (step,) = train(tiny(), [batch], steps=1, loss=slow(clock, 1), clock=clock)
    assert step.tokens_per_second == 5


# ---- by minutes


def test_minutes_end_training_after_that_time_in_steps():
    clock = Clock()
    found = []
    for step in train(tiny(), some_batches(), minutes=0.5, loss=slow(clock, 7), clock=clock):
        found.append(step)
        clock.now += 1000
    assert [step.elapsed for step in found] == [7, 14, 21, 28, 35]
    assert [step.progress for step in found] == [7 / 30, 14 / 30, 21 / 30, 28 / 30, 1]
    assert {step.steps for step in found} == {None}


def test_by_minutes_the_schedule_runs_by_the_time():
    clock, model = Clock(), tiny()
    schedule = schedules.linear(1000, final=0.1)
    options = {"schedule": schedule, "loss": slow(clock, 6), "clock": clock}
    found = list(train(model, some_batches(), minutes=0.5, start=400, **options))
    assert [step.number for step in found] == [401, 402, 403, 404, 405]
    expected = [MUON_LR * schedule(1000 * done / 5) for done in range(5)]
    assert [step.learning_rate for step in found] == pytest.approx(expected)


def test_by_minutes_a_schedule_without_an_end_runs_by_the_steps():
    clock = Clock()
    options = {"schedule": schedules.constant(warmup=3), "loss": slow(clock, 10), "clock": clock}
    found = list(train(tiny(), some_batches(), minutes=1, **options))
    expected = [MUON_LR * factor for factor in (0.25, 0.5, 0.75, 1, 1, 1)]
    assert [step.learning_rate for step in found] == pytest.approx(expected)


def test_a_moment_is_time_for_one_step():
    assert len(list(train(tiny(), some_batches(), minutes=1e-9))) == 1


# ---- learning rates


def test_without_a_schedule_the_rates_stay_as_they_are():
    model = tiny()
    optimizer = optimizer_for(model)
    optimizer.param_groups[0]["lr"] = 0.125
    (step,) = train(model, some_batches(), steps=1, optimizer=optimizer)
    assert step.learning_rate == optimizer.param_groups[0]["lr"] == 0.125


@pytest.mark.parametrize("end", ["end", "break", "error"])
def test_after_a_schedule_the_rates_are_set_back(end):
    model = tiny()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    steps = train(model, some_batches(), steps=4, optimizer=optimizer, schedule=schedules.linear(4))
    try:
        for step in steps:
            assert optimizer.param_groups[0]["lr"] == step.learning_rate
            if step.number == 3 and end == "break":
                break
            if step.number == 3 and end == "error":
                raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    steps.close()
    assert optimizer.param_groups[0]["lr"] == optimizer.param_groups[0]["initial_lr"] == 0.01


def test_every_group_is_scaled():
    model = tiny()
    optimizer = optimizer_for(model, muon_lr=0.5, adam_lr=0.25)
    for step in train(
        model, some_batches(), steps=4, optimizer=optimizer, schedule=schedules.linear(4)
    ):
        factor = 1 - (step.number - 1) / 4
        assert [g["lr"] for g in optimizer.param_groups] == [0.5 * factor, 0.25 * factor]


def test_any_function_of_the_step_is_a_schedule():
    seen = []

    def schedule(step):
        seen.append(step)
        return 0.5

    found = list(train(tiny(), some_batches(), steps=5, start=2, schedule=schedule))
    assert seen == [2, 3, 4]
    assert {step.learning_rate for step in found} == {MUON_LR / 2}


def test_a_longer_schedule_is_a_run_that_stops_early():
    found = list(train(tiny(), some_batches(), steps=2, schedule=schedules.linear(4)))
    assert [step.learning_rate for step in found] == pytest.approx([MUON_LR, 0.75 * MUON_LR])


def test_a_schedule_that_ends_above_zero_may_be_shorter():
    schedule = schedules.linear(2, final=0.5)
    found = list(train(tiny(), some_batches(), steps=4, schedule=schedule))
    factors = [step.learning_rate / MUON_LR for step in found]
    assert factors == pytest.approx([1, 0.75, 0.5, 0.5])


# ---- the number format


def formats_used(model=None, **options):
    """Train one step; tell the format of matrix products in the loss."""
    used = []

    def loss(model, batch):
        used.append(model.hidden_states(*batch.inputs).dtype)
        probe = torch.ones(2, 2)
        used.append((probe @ probe).dtype)
        return NextTokenLoss()(model, batch)

    list(train(model or tiny(), some_batches(), steps=1, loss=loss, **options))
    assert not torch.is_autocast_enabled("cpu")
    return used[1]


def test_on_a_device_made_for_it_products_are_in_bfloat16(monkeypatch):
    assert formats_used() == torch.float32
    asked = []

    def fake(device):
        asked.append(device)
        return torch.bfloat16

    monkeypatch.setattr(loop, "fast_dtype", fake)
    assert formats_used() == torch.bfloat16
    assert asked == [torch.device("cpu")]
    assert formats_used(dtype=torch.float32) == torch.float32


def test_bfloat16_can_be_asked_for_and_learns_the_same():
    assert formats_used(dtype=torch.bfloat16) == torch.bfloat16
    models = tiny(), tiny()
    rough = list(train(models[0], some_batches(), steps=5, dtype=torch.bfloat16))
    exact = list(train(models[1], some_batches(), steps=5))
    assert {parameter.dtype for parameter in models[0].parameters()} == {torch.float32}
    for one, other in zip(rough, exact, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=0.02)
        assert one.gradient_norm == pytest.approx(other.gradient_norm, rel=0.1)
    assert not weights(models[0]).equal(weights(models[1]))


# ---- the model's mode


def test_the_model_trains_during_a_step_and_is_given_back_as_it_was():
    model = tiny().eval()
    model.blocks[1].train()
    before = [module.training for module in model.modules()]
    seen = []

    def loss(model, batch):
        seen.append(all(module.training for module in model.modules()))
        return NextTokenLoss()(model, batch)

    for step in train(model, some_batches(), steps=3, loss=loss):
        assert [module.training for module in model.modules()] == before
        if step.number == 2:
            model.train()
            before = [True] * len(before)
    assert seen == [True] * 3


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_comes_back_after_an_error_too(training):
    def loss(model, batch):
        raise ZeroDivisionError

    model = tiny().train(training)
    with pytest.raises(ZeroDivisionError):
        list(train(model, some_batches(), steps=3, loss=loss))
    assert {module.training for module in model.modules()} == {training}


# ---- numbers that are none


def spoil(kind, at):
    """A loss that goes wrong in its call number `at`."""
    calls = itertools.count(1)

    def loss(model, batch):
        good = NextTokenLoss()(model, batch)
        if next(calls) != at:
            return good
        if kind == "gradient":  # finite itself, but steep without bound
            return good + (0 * model.token_embedding.weight[0, 0]).abs().sqrt()
        return good * float(kind)

    return loss


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("nan", "the loss is nan"),
        ("inf", "the loss is inf"),
        ("-inf", "the loss is -inf"),
        ("gradient", "the gradient's norm is nan"),
    ],
)
@pytest.mark.parametrize("clip", [1.0, None])
def test_what_is_no_number_stops_training_before_it_spoils_the_weights(kind, what, clip):
    model = tiny().eval()
    optimizer = optimizer_for(model)
    steps = train(
        model,
        some_batches(),
        steps=9,
        start=2,
        optimizer=optimizer,
        loss=spoil(kind, at=6),
        accumulate=2,
        clip=clip,
    )
    assert [next(steps).number, next(steps).number] == [3, 4]
    before = weights(model).clone(), copy.deepcopy(optimizer.state_dict())
    with pytest.raises(TrainingError, match=rf"step 5: {what}; the weights are as they were"):
        next(steps)
    assert weights(model).equal(before[0])
    assert str(optimizer.state_dict()) == str(before[1])
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.training
    list(train(model, some_batches(), steps=1, optimizer=optimizer))  # and it can be used again
    assert weights(model).isfinite().all()


# ---- arguments and data that do not fit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "steps=None and minutes=None: say how long, by one of the two"),
        ({"steps": 5, "minutes": 1}, "steps=5 and minutes=1: say how long, by one of the two"),
        ({"steps": 0}, "steps=0 must be a whole number of at least 1"),
        ({"steps": -5}, "steps=-5 must be a whole number"),
        ({"steps": 5.0}, r"steps=5\.0 must be a whole number"),
        ({"minutes": 0}, "minutes=0 is no time to train"),
        ({"minutes": -1}, "minutes=-1 is no time"),
        ({"minutes": math.nan}, "minutes=nan is no time"),
        ({"minutes": math.inf}, "minutes=inf is no time"),
        ({"steps": 5, "start": 6}, "start=6 lies beyond steps=5, .* use steps=11"),
        ({"steps": 5, "start": -1}, "start=-1 must be a whole number of at least 0"),
        ({"steps": 5, "accumulate": 0}, "accumulate=0 must be a whole number of at least 1"),
        ({"steps": 5, "clip": 0}, "clip=0 is no length; use a number above 0, or None"),
        ({"steps": 5, "clip": math.nan}, "clip=nan is no length"),
        ({"steps": 5, "dtype": torch.float16}, r"dtype=torch\.float16 .* torch\.bfloat16"),
        (
            {"steps": 5, "schedule": schedules.linear(4)},
            "rate of 0 after its 4 steps, .* on to steps=5; make the schedule for 5 steps",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        train(tiny(), some_batches(), **options)


def test_a_single_batch_is_no_series():
    with pytest.raises(TypeError, match=r"a Batch is no series of batches; .* such as \[batch\]"):
        train(tiny(), next(some_batches()), steps=5)


def test_a_model_without_anything_to_train_is_refused():
    model = tiny()
    optimizer = optimizer_for(model)
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="GPT has no parameter to train"):
        train(model, some_batches(), steps=5)
    with pytest.raises(ValueError, match="moves no trainable parameter of this GPT"):
        train(model, some_batches(), steps=5, optimizer=optimizer)


def test_another_models_optimiser_is_refused():
    with pytest.raises(ValueError, match=r"this very model: optimizer_for\(model\)"):
        train(tiny(), some_batches(), steps=5, optimizer=optimizer_for(tiny()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 5}, "ended during step 4: 2 are missing for steps=5"),
        ({"steps": 5, "start": 1}, "ended during step 5: 1 are missing for steps=5"),
        ({"steps": 3, "accumulate": 2}, "ended during step 2: 3 are missing for steps=3"),
        ({"minutes": 60, "accumulate": 2}, "ended during step 2: step 2 needs 1 more"),
    ],
)
def test_batches_that_end_too_early_say_how_many_are_missing(options, message):
    three = list(itertools.islice(some_batches(), 3))
    with pytest.raises(ValueError, match=message):
        list(train(tiny(), three, **options))


def test_as_many_batches_as_needed_are_enough_and_no_more_are_taken():
    batches = some_batches()
    steps = train(tiny(), batches, steps=3, accumulate=2)
    assert batches.position == 0
    for step in steps:
        assert batches.position == 2 * step.number
    assert batches.position == 6
    six = list(itertools.islice(some_batches(), 6))
    assert len(list(train(tiny(), six, steps=3, accumulate=2))) == 3


def test_a_finished_run_has_no_further_step():
    model = tiny()
    assert list(train(model, [], steps=5, start=5)) == []
    assert weights(model).equal(weights(tiny()))


def test_a_step_without_targets_is_refused():
    empty = Batch((torch.tensor([IDS[:8]]),), torch.full((1, 8), IGNORE))
    with pytest.raises(ValueError, match=r"step 2 has nothing to learn: no target in its 1 batch"):
        list(train(tiny(), [next(some_batches()), empty], steps=2))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda model, batch: model(*batch.inputs), r"gave \(4, 8, 11\), not a single number"),
        (lambda model, batch: 3.0, "gave float, not a single number"),
        (lambda model, batch: torch.tensor(3.0), "does not depend on any parameter"),
        (lambda model, batch: NextTokenLoss()(model, batch).detach(), "does not depend on any"),
    ],
)
def test_a_loss_that_cannot_be_learned_from_is_refused(loss, message):
    with pytest.raises(ValueError, match=message):
        list(train(tiny(), itertools.repeat(next(some_batches())), steps=1, loss=loss))
