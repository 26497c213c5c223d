import io
import json
import math
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlab.viz import TrainingBoard
from llmlab.viz.training_board import _duration, _short
from llmlab.viz.training_curve import BUCKETS, Thinned, TimeLeft
from llmlab.viz.training_picture import sample_lines

HOSTILE = "</script><img src=x onerror=alert(1)>"
numbers = st.floats(allow_nan=True, allow_infinity=True, width=32)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def a_step(number, loss=2.0, **more):
    return SimpleNamespace(number=number, loss=loss, **more)


def a_run(count, *, start=0, total=None, seconds=0.1, rule=lambda number: 1 + 7 / number):
    """Steps as a training loop gives them."""
    total = total or count
    for number in range(start + 1, count + 1):
        yield SimpleNamespace(
            number=number,
            loss=rule(number),
            learning_rate=0.02,
            gradient_norm=1.5,
            tokens_per_second=12345.6,
            elapsed=(number - start) * seconds,
            steps=total,
            progress=number / total,
        )


def frozen(board):
    """The board with a clock that stands still: nothing is sent after the first step."""
    board._clock = Clock()
    return board


def series(board):
    """Read the bytes that go to the browser."""
    result, data = [], board.curves
    while data:
        count = int(np.frombuffer(data, "<u4", 1)[0])
        steps = np.frombuffer(data, "<u4", count, 4).tolist()
        values = np.frombuffer(data, "<f4", count, 4 + 4 * count).tolist()
        result.append(list(zip(steps, values, strict=True)))
        data = data[4 + 8 * count :]
    return result


# --- thinning ------------------------------------------------------------------------------------


def thinned(values, first=1):
    points = Thinned()
    for step, value in enumerate(values, first):
        points.add(step, value)
    return points


def same(one, other):
    return repr(one) == repr(other)  # NaN differs from itself


@given(st.lists(numbers, max_size=BUCKETS))
def test_a_short_run_is_kept_whole(values):
    expected = [(i, v if math.isfinite(v) else math.nan) for i, v in enumerate(values, 1)]
    assert same(thinned(values).points(), expected)


@settings(max_examples=40)
@given(st.integers(1, 5000), st.integers(0, 2**32 - 1), st.floats(0, 0.3))
def test_thinning_keeps_the_ends_and_the_extremes_and_stays_small(count, seed, share):
    generator = np.random.default_rng(seed)
    values = generator.standard_cauchy(count)
    values[generator.random(count) < share] = math.nan
    kept = thinned(values.tolist()).points()
    steps = [step for step, _ in kept]
    assert len(kept) <= 3 * BUCKETS + 2
    assert steps == sorted(set(steps))
    assert all(same(values[step - 1].item(), value) for step, value in kept)
    assert steps[0] == 1
    assert steps[-1] == count
    shown = [value for _, value in kept]
    assert any(map(math.isnan, shown)) == np.isnan(values).any()
    if np.isfinite(values).any():
        assert np.nanmin(shown) == np.nanmin(values)
        assert np.nanmax(shown) == np.nanmax(values)


def test_thinning_is_equally_fine_from_beginning_to_end():
    steps = [step for step, _ in thinned(np.random.default_rng(0).normal(size=30_000)).points()]
    assert max(after - before for before, after in pairwise(steps)) <= 4 * 30_000 / BUCKETS
    assert len(steps) > BUCKETS


def test_a_single_step_that_is_no_number_is_never_thinned_away():
    for place in (1, 777, 9999, 10_000):
        kept = thinned([math.inf if i == place else 2.0 for i in range(1, 10_001)]).points()
        assert [step for step, value in kept if math.isnan(value)] == [place]


@given(st.integers(1, 1500), st.integers(1, 1600), st.integers(0, 99))
def test_rewinding_forgets_exactly_what_came_later(count, step, seed):
    values = np.random.default_rng(seed).normal(size=count).tolist()
    points = thinned(values)
    before = points.points()
    points.rewind(step)
    assert points.points() == [point for point in before if point[0] < step]
    points.add(step, 5.0)
    assert points.points()[-1] == points.last == (step, 5.0)


# --- the time that is left -----------------------------------------------------------------------


def test_time_left_of_an_even_run_is_exact():
    left = TimeLeft()
    for step in range(1, 501):
        left.add(step * 0.25, step / 1000)
    assert left.seconds() == pytest.approx(125)


def test_time_left_goes_by_the_last_part_of_the_run():
    left = TimeLeft()
    for step in range(1, 501):  # the first half took 500 s,
        left.add(step, step / 1000)
    for step in range(501, 801):  # now a step takes twice as long
        left.add(500 + 2 * (step - 500), step / 1000)
    assert left.seconds() == pytest.approx(2 * 200, rel=0.05)


def test_nothing_is_promised_before_a_second_has_gone_by():
    left = TimeLeft()
    assert left.seconds() is None
    left.add(0.5, 0.1)
    left.add(1.4, 0.2)
    assert left.seconds() is None
    left.add(1.6, 0.3)
    assert left.seconds() == pytest.approx(0.7 * 1.1 / 0.2)


def test_a_run_that_begins_anew_is_timed_anew():
    left = TimeLeft()
    for step in range(100):
        left.add(10.0 * step, step / 100)
    for step in range(50, 75):
        left.add(0.5 * (step - 49), step / 100)
    assert left.seconds() == pytest.approx(0.26 * 50, rel=0.05)


def test_the_memory_of_the_clock_is_bounded():
    left = TimeLeft()
    for step in range(200_000):
        left.add(step * 0.05, step / 200_000)
    assert len(left._marks) < 200


# --- the board -----------------------------------------------------------------------------------


def test_a_run_from_beginning_to_end():
    board = TrainingBoard("Learning", steps=500, baselines={"a guess": 8.29})
    assert board.run["status"] == "waiting for the first step"
    seen = [step.number for step in board.watch(a_run(500))]
    assert seen == list(range(1, 501))
    assert board.run["state"] == "finished"
    assert board.run["progress"] == 1
    assert board.run["status"] == "finished at step 500 after 50 s"
    losses, means = series(board)
    assert losses[0] == (1, 8)
    assert losses[-1] == (500, pytest.approx(1 + 7 / 500))
    recent = [1 + 7 / number for number in range(491, 501)]
    assert board.smooth == 10
    assert means[-1] == (500, pytest.approx(np.mean(recent)))
    assert dict(board.run["numbers"])["mean of the last 10 steps"] == "1.01"


def test_what_the_board_says_while_it_runs():
    board = frozen(TrainingBoard())
    for step in a_run(650, total=1300):
        board.add(step)
    board._publish()
    assert board.run["status"] == "step 650 of 1,300 · 1 min 5 s gone · about 1 min 5 s left"
    assert board.run["progress"] == 0.5
    assert board.run["numbers"][2:] == [
        ["learning rate", "0.0200"],
        ["tokens a second", "12,300"],
        ["gradient norm", "1.50"],
    ]


def test_number_and_loss_are_all_a_step_needs():
    board = TrainingBoard()
    for number in range(1, 4):
        board.add(a_step(number, loss=np.float32(2)))
    board.finish()
    assert board.run["status"] == "finished at step 3"
    assert board.run["progress"] is None
    assert board.numbers() == "loss 2.00 · mean of the last 3 steps 2.00"


def test_training_by_minutes_knows_its_progress_without_a_number_of_steps():
    board = TrainingBoard()
    for number in range(1, 101):
        board.add(a_step(number, steps=None, progress=number / 400, elapsed=number * 0.15))
    board._publish()
    assert board.run["status"] == "step 100 · 15 s gone · about 45 s left"
    board.finish()
    assert board.run["state"] == "stopped"


def test_a_resumed_run_begins_where_it_was_left():
    board = TrainingBoard(steps=1300)
    for step in board.watch(a_run(1300, start=600)):
        if step.number == 601:
            assert (board.run["first"], board.run["progress"]) == (600, 601 / 1300)
    assert board.run["status"] == "finished at step 1,300 after 1 min 10 s"
    assert series(board)[0][0][0] == 601


def test_going_on_with_the_same_board_keeps_what_is_on_it():
    board = TrainingBoard()
    list(board.watch(a_run(300, total=600)))
    assert board.run["status"].startswith("stopped at step 300 of 600")
    list(board.watch(a_run(600, start=300)))
    assert board.run["state"] == "finished"
    losses = series(board)[0]
    assert (losses[0][0], losses[-1][0]) == (1, 600)


def test_running_the_cell_again_begins_anew():
    board = TrainingBoard()
    for rule in (lambda number: 9.0, lambda number: 3.0):
        for step in board.watch(a_run(400, rule=rule)):
            if step.number == 400:
                board.score("BLEU", 20)
                board.sample(None, {"a": "b"})
    losses, means, bleu = series(board)
    assert {value for _, value in losses + means} == {3.0}
    assert bleu == [(400, 20)]
    assert board.run["first"] == 0


def test_resuming_from_an_older_checkpoint_takes_the_board_back():
    board = TrainingBoard()
    board.sample(0, {"a": "nothing"})
    for step in a_run(560, rule=lambda number: 9.0):
        board.add(step)
        if step.number in (500, 560):
            board.score("BLEU", step.number)
            board.sample(None, {"a": "b"})
    for step in a_run(600, start=500, rule=lambda number: 3.0):
        board.add(step)
    board.finish()
    losses, _, bleu = series(board)
    assert {value for step, value in losses if step <= 500} == {9.0}
    assert {value for step, value in losses if step > 500} == {3.0}
    assert bleu == [(500, 500)]
    assert [moment for moment, _ in json.loads(board.samples)] == [0, 500]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_a_gap_and_is_named(bad):
    board = TrainingBoard()
    for step in a_run(20, rule=lambda number: bad if number == 7 else 2.0):
        board.add(step)
    board.finish()
    assert board.run["note"] == "the loss was no number at step 7"
    losses, means = series(board)
    assert [step for step, value in losses if math.isnan(value)] == [7]
    assert [step for step, value in means if math.isnan(value)] == [7]
    assert means[-1] == (20, 2.0)
    json.dumps(board.run, allow_nan=False)
    assert board._repr_mimebundle_()[0]["image/png"]


def test_every_loss_may_be_no_number():
    board = TrainingBoard(baselines={"a": 2})
    list(board.watch(a_run(5, rule=lambda number: math.nan)))
    assert "at 5 steps, the last one 5" in board.note()
    assert board._repr_mimebundle_()[0]["image/png"]


@pytest.mark.parametrize(
    ("losses", "log"),
    [
        ([8, 2], False),
        ([5.7, 0.01], True),
        ([1e9, 3, 3, 3], True),
        ([5, 0], False),
        ([5, -1], False),
    ],
)
def test_powers_of_ten_where_the_loss_falls_far(losses, log):
    board = TrainingBoard(smooth=1)
    for number, loss in enumerate(losses, 1):
        board.add(a_step(number, loss))
    board.finish()
    assert board.run["log"] is log
    assert board.figure().axes[0].get_yscale() == ("log" if log else "linear")


def test_at_most_five_messages_a_second():
    board, sent = TrainingBoard(), []
    board._clock = clock = Clock()
    board.observe(lambda change: sent.append(change.new["status"]), "run")
    for step in a_run(2000, seconds=0.005):
        clock.now = step.elapsed
        board.add(step)
        board.score("BLEU", 1)
        board.sample(None, {"a": str(step.number)})
    assert 45 <= len(sent) <= 51
    board.finish()
    assert sent[-1].startswith("finished at step 2,000")


@pytest.mark.parametrize(
    ("minutes", "messages"), [(1, 290), (10, 750), (60, 1400)], ids=["1", "10", "60"]
)
def test_messages_become_rarer_in_a_long_run(minutes, messages):
    """Where no one reads them until a cell ends, about 2,000 wait; then some are lost."""
    board, sent_at = TrainingBoard(), []
    board._clock = clock = Clock()
    board.observe(lambda change: sent_at.append(clock.now), "run")
    board.show()
    for step in a_run(600 * minutes, seconds=0.1):
        clock.now = step.elapsed
        board.add(step)
    assert 0.7 * messages < len(sent_at) <= messages
    gaps = np.diff(sent_at)
    assert gaps[10:100].max() < 0.35
    assert gaps.max() < 5.2


def test_messages_stay_small_however_long_the_run():
    board = frozen(TrainingBoard("long"))
    rule = np.random.default_rng(0).normal(3, 1, 100_001).tolist()
    for step in a_run(100_000, rule=rule.__getitem__):
        board.add(step)
        if step.number % 10 == 0:
            board.score("BLEU", step.number)
            board.sample(None, {"a": "b"})
    board.finish()
    losses, means, bleu = series(board)
    assert max(map(len, (losses, means, bleu))) <= 3 * BUCKETS + 2
    assert len(board.curves) < 16_000
    assert len(board.samples) + len(json.dumps(board.run)) < 3000
    assert min(value for _, value in losses) == pytest.approx(min(rule[1:]))
    assert max(value for _, value in losses) == pytest.approx(max(rule[1:]))


def test_scores_have_a_panel_each():
    board = TrainingBoard()
    board.score("BLEU", 0)
    board.add(a_step(10))
    board.score("BLEU", 23.1)
    board.score("BLEU", 23.4)  # the same step again: the newer one counts
    board.score("exact", 0.5, step=10)
    board.finish()
    assert board.run["scores"] == ["BLEU", "exact"]
    assert series(board)[2:] == [[(0, 0), (10, pytest.approx(23.4))], [(10, 0.5)]]
    titles = [axes.get_title(loc="left") for axes in board.figure().axes]
    assert titles[1:] == ["BLEU: 23.4 at step 10", "exact: 0.5 at step 10"]
    with pytest.raises(ValueError, match="'BLEU' has a point at step 10, so none can follow"):
        board.score("BLEU", 1, step=9)
    board.score("c", 1)
    board.score("d", 1)
    with pytest.raises(ValueError, match="'e' would be score number 5; a board has room for 4"):
        board.score("e", 1)
    with pytest.raises(TypeError, match="BLEU='good' is not a number; give one"):
        board.score("BLEU", "good")


def test_samples_are_a_table_of_sentences_and_moments():
    board = TrainingBoard()
    board.sample(0, {"Hi.": "", "Bye.": "xx"})
    board.add(a_step(10))
    board.sample(None, {"Hi.": "Hola."})
    board.finish()
    assert json.loads(board.samples) == [[0, {"Hi.": "", "Bye.": "xx"}], [10, {"Hi.": "Hola."}]]
    assert str(board).endswith("step 0: Hi. → \nstep 0: Bye. → xx\nstep 10: Hi. → Hola.")
    for step in range(11, 40):
        board.add(a_step(step))
        board.sample(None, {"Hi.": "Hola."})
    board.finish()
    assert [moment for moment, _ in json.loads(board.samples)] == [0, *range(29, 40)]
    with pytest.raises(ValueError, match="22 sentences are more than the 20 a board has room for"):
        board.sample(None, {str(i): "" for i in range(20)})
    with pytest.raises(TypeError, match=r"texts=\{\} is no dict of texts; give sentences"):
        board.sample(None, {})
    with pytest.raises(TypeError, match=r"step=1.5 is not a whole number"):
        board.sample(1.5, {"a": "b"})
    with pytest.raises(TypeError, match=r"text=3 is not a string"):
        board.sample(None, {"a": 3})


# --- every way to end ----------------------------------------------------------------------------


class Loop:
    """A training loop that remembers whether it was closed."""

    def __init__(self, steps):
        self.steps, self.closed = iter(steps), False

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.steps)

    def close(self):
        self.closed = True


def test_a_loop_that_is_left_stops_the_board_and_what_is_behind_it():
    board, loop = TrainingBoard(), Loop(a_run(100))
    for step in board.watch(loop):
        if step.number == 37:
            break
    assert board.run["status"] == "stopped at step 37 of 100 after 4 s"
    assert loop.closed


@pytest.mark.parametrize("error", [RuntimeError("no memory"), KeyboardInterrupt()])
def test_an_exception_in_the_loops_body_stops_the_board(error):
    board, loop = TrainingBoard(), Loop(a_run(100))

    def loop_with_an_error():
        for step in board.watch(loop):
            if step.number == 37:
                raise error

    with pytest.raises(type(error)):
        loop_with_an_error()
    assert board.run["status"] == "stopped at step 37 of 100 after 4 s"
    assert loop.closed


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ValueError("loss is nan at step 38"), ": ValueError: loss is nan at step 38"),
     (KeyboardInterrupt(), "")],
)  # fmt: skip
def test_an_exception_in_training_is_named_and_raised(error, reason):
    def failing():
        yield from a_run(37, total=100)
        raise error

    board = TrainingBoard()
    with pytest.raises(type(error)):
        list(board.watch(failing()))
    assert board.run["status"] == f"stopped at step 37 of 100 after 4 s{reason}"


def test_training_that_ends_early_by_itself_was_stopped():
    board = TrainingBoard(steps=100)
    list(board.watch(a_run(37, total=100)))
    assert board.run["state"] == "stopped"
    board = TrainingBoard(steps=100)
    assert list(board.watch(iter(()))) == []
    assert board.run["status"] == "no step was made"


class Kernel:
    """Stands for IPython with a kernel, and keeps what is displayed."""

    kernel = object()

    def __init__(self, monkeypatch):
        import IPython
        import IPython.display

        self.shown: list[dict] = []
        monkeypatch.setattr(IPython, "get_ipython", lambda: self)
        monkeypatch.setattr(IPython.display, "display", self.display)

    def display(self, board, *, display_id):
        assert display_id is True
        self.shown.append(board._repr_mimebundle_()[0])
        return self

    def update(self, board):
        self.shown.append(board._repr_mimebundle_()[0])


def test_in_a_notebook_the_output_is_made_at_once_and_updated_once_at_the_end(monkeypatch, capsys):
    kernel = Kernel(monkeypatch)
    board = TrainingBoard("Learning to translate", steps=40)
    for step in board.watch(a_run(40)):
        if step.number == 1:
            assert len(kernel.shown) == 1
            assert "image/png" not in kernel.shown[0]
    first, last = kernel.shown
    assert last["image/png"].startswith(b"\x89PNG")
    view = "application/vnd.jupyter.widget-view+json"
    assert first[view] == last[view]
    # What is compared when a notebook is tested is the same before and after, run after run.
    assert first["text/plain"] == last["text/plain"] == "TrainingBoard('Learning to translate')"
    assert capsys.readouterr() == ("", "")
    board.finish()
    assert len(kernel.shown) == 2


def test_in_a_notebook_the_final_picture_is_stored_after_an_exception_too(monkeypatch):
    kernel = Kernel(monkeypatch)
    board = TrainingBoard()
    with pytest.raises(ZeroDivisionError):
        [1 / (step.number - 20) for step in board.watch(a_run(40))]
    assert kernel.shown[-1]["image/png"]
    assert len(kernel.shown) == 2


# --- in a terminal -------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def __init__(self, tty):
        super().__init__()
        self._tty = tty

    def isatty(self):
        return self._tty


def written(monkeypatch, *, tty, title="Learning", **settings):
    stream = Terminal(tty)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "60")
    board = TrainingBoard(title, **settings)
    board._clock = clock = Clock()
    for step in board.watch(a_run(1000)):
        clock.now = step.elapsed
        if step.number == 500:
            board.sample(None, {"Hi.": "Ho\x1b]0;la"})
    return stream.getvalue()


def test_a_terminal_has_one_line_rewritten_in_place(monkeypatch):
    text = written(monkeypatch, tty=True)
    before, sample, after, summary = text.removesuffix("\n").split("\n")
    assert sample == "step 500: Hi. → Ho\\x1b]0;la"
    lines = before.split("\r")[1:] + after.split("\r")[1:]
    assert {len(line) for line in lines} == {59}
    assert 300 <= len(lines) <= 501
    assert lines[0].startswith("Learning · step 1 of 1,000 · 0 s gone")
    assert summary.startswith("Learning · finished at step 1,000 after 1 min 40 s · loss 1.01")


def test_a_log_file_has_a_line_a_tenth_and_a_summary(monkeypatch):
    lines = written(monkeypatch, tty=False).splitlines()
    assert len(lines) == 10 + 1 + 1  # each tenth, the sample, the summary
    assert "\r" not in "".join(lines)
    assert lines[0].startswith("Learning · step 1 of 1,000")
    assert lines[-1].startswith("Learning · finished at step 1,000 after 1 min 40 s")


def test_nothing_that_a_terminal_obeys_is_written(monkeypatch):
    text = written(monkeypatch, tty=True, title="\x1b[2Jbad\n\u202e")
    assert not set(text) & {"\x1b", "\u202e"}


def test_plain_python_writes_to_stderr_only():
    code = (
        "from types import SimpleNamespace as S\n"
        "from llmlab.viz import TrainingBoard\n"
        "for s in TrainingBoard('T').watch([S(number=1, loss=2.0)]): pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == "T · finished at step 1 · loss 2.00 · " + (
        "mean of the last step 2.00"
    )


# --- pictures, words and refusals ----------------------------------------------------------------


def test_the_picture_holds_what_was_drawn():
    board = TrainingBoard("Title", steps=300, baselines={"a guess": 8.5}, label="loss (nats)")
    for step in board.watch(a_run(300)):
        if step.number == 150:
            board.sample(None, {"$x$ in": "$y$ out"})
    figure = board.figure()
    axes = figure.axes[0]
    dashed, raw, mean = axes.get_lines()
    assert dashed.get_ydata()[0] == 8.5
    assert list(zip(*raw.get_data(), strict=True)) == board._losses.points()
    assert list(zip(*mean.get_data(), strict=True)) == board._means.points()
    assert figure.get_suptitle() == "Title"
    assert axes.get_ylabel() == "loss (nats)"
    assert [text.get_text() for text in axes.texts] == ["a guess: 8.5"]
    assert [text.get_text() for text in figure.axes[-1].texts] == [
        "$x$ in",
        "    step 150:  $y$ out",
    ]


def test_the_picture_of_few_steps_has_ticks_at_whole_ones():
    board = TrainingBoard("short", steps=3)
    for _ in board.watch(a_run(3)):
        pass
    axis = board.figure().axes[-1].xaxis
    assert [float(place) % 1 for place in axis.get_ticklocs()] == [0] * len(axis.get_ticklocs())


def test_labels_of_the_picture_lie_beside_the_data_and_apart():
    board = TrainingBoard("T", baselines={"one": 6.0, "another one": 6.05, "a third one": 5.9})
    list(board.watch(a_run(300)))
    figure = board.figure()
    figure.draw_without_rendering()
    axes = figure.axes[0]
    boxes = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.y0)
    assert all(box.x0 > axes.get_window_extent().x1 for box in boxes)
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(one.y1 <= two.y0 for one, two in pairwise(boxes))
    assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1


def test_an_empty_board_has_a_figure_and_no_stored_picture():
    board = TrainingBoard()
    assert "image/png" not in board._repr_mimebundle_()[0]
    board.figure().savefig(io.BytesIO())


HARD = [HOSTILE, "$x$ \\frac{", "", "\x00", "a\ud800", "漢字 😀", "x" * 3000, " \n\t "]


@pytest.mark.parametrize("text", HARD)
def test_any_text_can_stand_anywhere(text):
    board = TrainingBoard(text, label=text, baselines={text: 3.0})
    board.add(a_step(1))
    board.score(text, 1)
    board.sample(None, {text: text})
    board.finish()
    json.dumps(board.run).encode("utf-8")
    board.run["title"].encode("utf-8")
    json.loads(board.samples)
    assert board._repr_mimebundle_()[0]["image/png"]
    assert str(board)


@given(st.text())
def test_samples_as_lines_hold_no_line_longer_than_the_picture(text):
    lines = sample_lines({5: {text: text}})
    assert len(lines) >= 2
    assert all(len(line) <= 96 for line, _ in lines)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: TrainingBoard(steps=0), ValueError, "steps=0 is not 1 or more"),
        (lambda: TrainingBoard(steps=1.5), TypeError, "steps=1.5 is not a whole number"),
        (lambda: TrainingBoard(smooth=0), ValueError, "smooth=0 is not 1 or more"),
        (lambda: TrainingBoard(3), TypeError, "title=3 is not a string"),
        (lambda: TrainingBoard(baselines={"a": math.nan}), ValueError, "baseline 'a'=nan has no"),
        (
            lambda: TrainingBoard(baselines=dict.fromkeys("abcde", 1.0)),
            ValueError,
            "5 baselines would hide the curve; give 4 at most",
        ),
        (lambda: TrainingBoard().watch(None), TypeError, r"watch\(None\) cannot be looped over"),
        (lambda: TrainingBoard().add(2.0), TypeError, "2.0 has no 'number'; a step needs"),
        (
            lambda: TrainingBoard().add(SimpleNamespace(number=1)),
            TypeError,
            "has no 'loss'; a step needs a number",
        ),
        (lambda: TrainingBoard().add(a_step(0)), ValueError, "step number 0 is not 1 or more"),
        (lambda: TrainingBoard().add(a_step(1, "x")), TypeError, "the loss a number"),
    ],
)
def test_refusals_say_what_to_do(make, error, message):
    with pytest.raises(error, match=message):
        make()


@given(st.floats(0, 1e7))
def test_durations_are_close_to_the_truth(seconds):
    def parsed(words):
        units = {"s": 1, "min": 60, "h": 3600}
        parts = words.replace(",", "").split()
        return sum(int(n) * units[u] for n, u in zip(parts[::2], parts[1::2], strict=True))

    assert abs(parsed(_duration(seconds)) - seconds) <= (0.5 if seconds < 3599 else 60)
    assert abs(parsed(_duration(seconds, rough=True)) - seconds) <= (5 if seconds < 3590 else 65)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_three_digits_are_close_to_the_truth(number):
    assert float(_short(number).replace(",", "")) == pytest.approx(number, rel=0.0051)
