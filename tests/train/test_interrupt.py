"""Ctrl-C during training: the step is finished, the model stays usable, the signal comes back."""

import itertools
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from llmlab.train import NextTokenLoss, TrainingError, optimizer_for, train

from .toys import some_batches, tiny, weights


@pytest.fixture(autouse=True)
def pythons_own_handler():
    """A run in the background inherits an ignored Ctrl-C; here it counts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def handler():
    return signal.getsignal(signal.SIGINT)


def pressing(at, *, times=1):
    """A loss during whose call number `at` somebody presses Ctrl-C."""
    calls = itertools.count(1)

    def loss(model, batch):
        if next(calls) == at:
            for _ in range(times):
                ctrl_c()
        return NextTokenLoss()(model, batch)

    return loss


@pytest.fixture
def after_three():
    """The weights of three undisturbed steps."""
    model = tiny()
    list(train(model, some_batches(), steps=3))
    return weights(model)


def test_in_a_step_it_ends_the_loop_after_that_step(after_three):
    model = tiny().eval()
    found = list(train(model, some_batches(), steps=9, loss=pressing(at=3)))
    assert [step.number for step in found] == [1, 2, 3]
    assert weights(model).equal(after_three)
    assert not model.training
    assert handler() is signal.default_int_handler


def test_in_the_body_it_ends_the_loop_after_the_body(after_three):
    model, done = tiny(), []
    for step in train(model, some_batches(), steps=9):
        if step.number == 3:
            ctrl_c()
        done.append(step.number)
    assert done == [1, 2, 3]
    assert weights(model).equal(after_three)
    assert handler() is signal.default_int_handler


def test_while_a_batch_is_made_or_the_optimiser_works(after_three):
    def batches():
        for number, batch in enumerate(some_batches(), start=1):
            if number == 3:
                ctrl_c()
            yield batch

    model = tiny()
    assert len(list(train(model, batches(), steps=9))) == 3
    assert weights(model).equal(after_three)

    model = tiny()
    optimizer = optimizer_for(model)
    optimizer.optimizers[1].register_step_pre_hook(
        lambda own, *_: ctrl_c() if len(own.state) and next(calls) == 1 else None
    )
    calls = itertools.count(0)
    assert len(list(train(model, some_batches(), steps=9, optimizer=optimizer))) == 3
    assert weights(model).equal(after_three)


def test_with_accumulation_the_whole_step_is_finished():
    models = tiny(), tiny()
    (step,) = train(models[0], some_batches(), steps=9, accumulate=3, loss=pressing(at=2))
    assert step.number == 1
    list(train(models[1], some_batches(), steps=1, accumulate=3))
    assert weights(models[0]).equal(weights(models[1]))


def test_a_stopped_run_can_be_taken_up(after_three):
    model, batches = tiny(), some_batches()
    optimizer = optimizer_for(model)
    options = {"optimizer": optimizer, "steps": 3}
    (first,) = train(model, batches, loss=pressing(at=1), **options)
    list(train(model, batches, start=first.number, **options))
    assert weights(model).equal(after_three)


def test_pressed_twice_in_a_step_it_interrupts_at_once():
    model = tiny().eval()
    steps = train(model, some_batches(), steps=9, loss=pressing(at=3, times=2))
    with pytest.raises(KeyboardInterrupt):
        list(steps)
    assert not model.training
    assert handler() is signal.default_int_handler
    assert list(steps) == []


def test_pressed_twice_in_the_body_it_interrupts_at_once():
    done = []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        for step in train(tiny(), some_batches(), steps=9):
            ctrl_c()
            done.append(step.number)
            ctrl_c()
            done.append("not reached")
    assert done == [1]
    assert handler() is signal.default_int_handler


def test_pressed_in_a_step_and_again_in_its_body():
    done = []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        for step in train(tiny(), some_batches(), steps=9, loss=pressing(at=2)):
            done.append(step.number)
            if step.number == 2:
                ctrl_c()
    assert done == [1, 2]


def test_before_the_first_step_and_after_the_last_it_is_as_ever():
    steps = train(tiny(), some_batches(), steps=2)
    assert handler() is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()
    next(steps)
    assert handler() is not signal.default_int_handler
    list(steps)
    assert handler() is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()


def wrong(model, batch):
    return NextTokenLoss()(model, batch) * float("nan")


@pytest.mark.parametrize("end", ["break", "error in the body", "error in a step", "close", "nan"])
def test_the_handler_comes_back_however_training_ends(end):
    mine = []

    def own(number, frame):
        mine.append(number)

    signal.signal(signal.SIGINT, own)
    loss = wrong if end == "nan" else NextTokenLoss()
    batches = [next(some_batches())] if end == "error in a step" else some_batches()
    steps = train(tiny(), batches, steps=9, loss=loss)
    with suppress(ZeroDivisionError, ValueError, TrainingError):
        for _ in steps:
            assert handler() is not own
            if end == "break":
                break
            if end == "error in the body":
                raise ZeroDivisionError
            if end == "close":
                steps.close()
    # a for loop over a name keeps the generator alive, as in a notebook
    if end in ("break", "error in the body"):
        del steps
    assert handler() is own


def test_a_second_press_goes_to_the_handler_of_before():
    mine = []
    signal.signal(signal.SIGINT, lambda number, frame: mine.append(number))
    found = list(train(tiny(), some_batches(), steps=9, loss=pressing(at=2, times=3)))
    assert len(found) == 2
    assert mine == [signal.SIGINT] * 2


def test_the_systems_own_handler_becomes_pythons():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with pytest.raises(KeyboardInterrupt):
        list(train(tiny(), some_batches(), steps=9, loss=pressing(at=2, times=2)))
    assert handler() == signal.SIG_DFL


def test_where_it_is_ignored_it_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert len(list(train(tiny(), some_batches(), steps=4, loss=pressing(at=2, times=2)))) == 4
    assert handler() == signal.SIG_IGN


def test_in_another_thread_no_handler_is_set():
    seen, found = [], []

    def work():
        for step in train(tiny(), some_batches(), steps=3):
            seen.append(handler())
            found.append(step.number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [1, 2, 3]
    assert seen == [signal.default_int_handler] * 3


def test_runs_inside_one_another_give_the_signal_back_in_turn():
    outer = train(tiny(), some_batches(), steps=5)
    next(outer)
    of_outer = handler()
    inner = list(train(tiny(), some_batches(), steps=5, loss=pressing(at=2)))
    assert len(inner) == 2
    assert handler() is of_outer
    assert len(list(outer)) == 4


def test_a_forgotten_run_does_not_swallow_ctrl_c():
    forgotten = train(tiny(), some_batches(), steps=5)
    next(forgotten)
    later = train(tiny(), some_batches(), steps=5)
    next(later)
    of_later = handler()
    forgotten.close()
    assert handler() is of_later  # that of the run which goes on
    later.close()
    with pytest.raises(KeyboardInterrupt):  # what is left passes it on
        ctrl_c()


def test_a_run_that_ends_in_another_thread_steps_aside():
    steps = train(tiny(), some_batches(), steps=5)
    next(steps)
    thread = threading.Thread(target=steps.close)
    thread.start()
    thread.join()
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()


CHILD = """
import signal, sys, torch
signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)
from tests.train.toys import some_batches, tiny
from llmlab.train import train
model = tiny().eval()
last = 0
for step in train(model, some_batches(), steps=10**9):
    assert step.number == last + 1
    last = step.number
    print(step.number, flush=True)
assert not model.training
assert all(parameter.isfinite().all() for parameter in model.parameters())
assert model(torch.tensor([[1, 2, 3]])).isfinite().all()
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
print("the end", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process")
def test_ctrl_c_from_outside_at_any_moment():
    with subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as child:
        try:
            for line in child.stdout:
                if line == "7\n":
                    break
            child.send_signal(signal.SIGINT)  # the child is by now anywhere in its loop
            rest = child.stdout.read().split("\n")
        finally:
            child.kill()
    assert rest[-2:] == ["the end", ""]
    numbers = [int(line) for line in rest[:-2]]
    assert numbers == list(range(8, 8 + len(numbers)))
