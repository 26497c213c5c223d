"""The browser's half of TrainingBoard without a browser: its pure parts, and what it is sent."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlab.viz.training_curve import Thinned

from .javascript import run_javascript

MODULE = "training_board.js"


def js(body, **values):
    """Run a function body that sees these values by their names."""
    given = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    return run_javascript(MODULE, given + body)


def test_curves_arrive_as_they_were_sent():
    sent = []
    for count in (0, 1, 5, 3000):
        points = Thinned()
        for step in range(1, count + 1):
            points.add(step, math.nan if step == 3 else math.sin(step) * 10**6)
        sent.append(points)
    data = b"".join(points.packed() for points in sent)
    # The bytes lie somewhere inside a larger buffer, as they do in a message.
    found = js(
        "const room = new Uint8Array(data.length + 12); room.set(data, 8);"
        "const view = new DataView(room.buffer, 8, data.length);"
        "return m.series(view).map(({ steps, values }) => [[...steps], [...values]]);",
        data=list(data),
    )
    assert len(found) == 4
    for points, (steps, values) in zip(sent, found, strict=True):
        expected = points.points()
        assert steps == [step for step, _ in expected]
        for value, (_, true) in zip(values, expected, strict=True):
            # JSON has no NaN: it came out as null
            assert value is None if math.isnan(true) else value == np.float32(true)


RANGES = [
    (0.02, 8.3, True), (2.1, 8.3, False), (-4, 3, False), (0, 0, False), (5, 5, False),
    (1e-9, 1e9, True), (1e-30, 2e-30, False), (0.7, 0.71, True), (3, 1e12, False), (1, 1, True),
]  # fmt: skip


@pytest.mark.parametrize(("low", "high", "log"), RANGES)
def test_an_axis_holds_its_numbers_and_ends_on_round_ones(low, high, log):
    axis = js("return m.axis(low, high, log)", low=low, high=high, log=log)
    assert axis["low"] <= low + 1e-9 * abs(low)
    assert axis["high"] >= high - 1e-9 * abs(high)
    assert axis["low"] < axis["high"]
    values = [tick["value"] for tick in axis["ticks"]]
    texts = [tick["text"] for tick in axis["ticks"]]
    assert values == sorted(values)
    assert 2 <= len(values) <= 20
    assert len(set(texts)) == len(texts)
    for value, text in zip(values, texts, strict=True):
        assert float(text.replace(",", "")) == pytest.approx(value, rel=1e-6, abs=1e-40)
    if not log:
        assert axis["low"] <= 0 <= axis["high"]
    shares = js(
        "const axis = m.axis(low, high, log); return [axis.low, axis.high].map((value) =>"
        " m.share(axis, value))",
        low=low,
        high=high,
        log=log,
    )
    assert shares == pytest.approx([0, 1])


@pytest.mark.parametrize("last", [1, 2, 8, 30])
def test_ticks_of_few_steps_are_whole_numbers(last):
    found = js("return m.ticks(0, last, 9, 1)", last=last)
    assert [tick["text"] for tick in found] == [str(int(tick["value"])) for tick in found]
    assert found[0]["value"] == 0
    assert len(found) >= 2


def test_ticks_do_not_jump_about_while_a_loss_falls():
    rng = np.random.default_rng(0)
    losses = (2 + 6.3 * np.exp(-np.arange(1300) / 200) + rng.normal(0, 0.2, 1300)).tolist()
    body = """
        const seen = new Set();
        for (let n = 1; n <= losses.length; n++) {
            const [low, high] = m.extent(losses.slice(0, n));
            seen.add(JSON.stringify(m.axis(low, high, log)));
        }
        return seen.size;
    """
    assert js(body, losses=losses, log=False) == 1
    assert js(body, losses=[0.001 + abs(loss) ** 5 for loss in losses], log=True) <= 12


def test_the_axis_of_steps_stands_still_when_the_end_is_known():
    body = "return steps.map((step) => m.lastStep(first, step, planned))"
    steps = list(range(1, 1301, 7))
    assert set(js(body, steps=steps, first=0, planned=1300)) == {1300}
    unplanned = js(body, steps=steps, first=0, planned=None)
    assert unplanned == sorted(unplanned)
    assert all(end >= step for end, step in zip(unplanned, steps, strict=True))
    assert all(end <= max(10, 1.7 * step) for end, step in zip(unplanned, steps, strict=True))
    assert len(set(unplanned)) < 20
    # A resumed run begins at its first step; a run that goes on past its plan gets room.
    assert js(body, steps=[601, 2000], first=600, planned=1300) == [1300, 2100]


label = st.tuples(st.floats(0, 230), st.sampled_from([14, 28]))


@settings(max_examples=5)
@given(st.lists(st.lists(label, min_size=1, max_size=4), min_size=20))
def test_labels_stand_apart_and_inside_and_in_order(cases):
    found = js(
        "return cases.map((labels) => m.spread(labels.map((l) => l[0]), labels.map((l) => l[1]),"
        " 0, 240))",
        cases=cases,
    )
    for labels, middles in zip(cases, found, strict=True):
        order = sorted(range(len(labels)), key=lambda i: labels[i][0])
        edges = [(middles[i] - labels[i][1] / 2, middles[i] + labels[i][1] / 2) for i in order]
        assert edges[0][0] >= -1e-9
        assert edges[-1][1] <= 240 + 1e-9
        assert all(one[1] <= two[0] + 1e-9 for one, two in pairwise(edges))


def test_a_label_alone_stands_beside_its_line():
    assert js("return m.spread([100, 180], [14, 28], 0, 240)") == [100, 180]


@settings(max_examples=5)
@given(st.lists(st.tuples(st.text(max_size=60), st.integers(1, 40)), min_size=20))
def test_a_label_has_two_lines_at_most_and_none_is_wider_than_its_room(cases):
    found = js(
        "return cases.map(([text, room]) => m.wrapped(text, room, (line) => [...line].length))",
        cases=cases,
    )
    for (text, room), lines in zip(cases, found, strict=True):
        assert 1 <= len(lines) <= 2
        assert all(len(line) <= room for line in lines)
        if len(lines) == 1 and "…" not in lines[0]:
            assert lines[0].split() == text.split()


def test_a_label_breaks_between_words():
    body = "return m.wrapped('word frequencies alone: 6.1', room, (line) => line.length)"
    assert js(body, room=30) == ["word frequencies alone: 6.1"]
    assert js(body, room=20) == ["word frequencies", "alone: 6.1"]
    assert js(body, room=9) == ["word", "frequenc…"]


@settings(max_examples=5)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 1000), max_size=30, unique=True), st.floats(-10, 1010)),
        min_size=20,
    )
)
def test_the_nearest_point_is_found(cases):
    cases = [(sorted(steps), wanted) for steps, wanted in cases]
    found = js("return cases.map(([steps, wanted]) => m.nearest(steps, wanted))", cases=cases)
    for (steps, wanted), at in zip(cases, found, strict=True):
        if not steps:
            assert at == -1
        else:
            assert abs(steps[at] - wanted) == min(abs(step - wanted) for step in steps)


def test_numbers_are_written_in_three_digits():
    numbers = [2.9137, 12345.6, 0, 0.00012345, 1e12, 3e-9, -4.5, None]
    found = js("return numbers.map((n) => m.short(n ?? NaN))", numbers=numbers)
    assert found == ["2.91", "12,300", "0", "0.000123", "1e+12", "3e-9", "-4.5", "no number"]
