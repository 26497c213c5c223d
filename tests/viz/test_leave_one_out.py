"""LeaveOneOut without a browser: the Python half, and the JavaScript half's pure functions."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.inference import leave_one_out
from llmlab.viz import LeaveOneOut
from llmlab.viz.leave_one_out import log_odds

from .javascript import run_javascript

WORTH = {"win": 2.0, "prize": 3.0, "mum": -2.5}


def probability(texts):
    odds = [sum(WORTH.get(word, 0) for word in text.lower().split()) - 1 for text in texts]
    return [1 / (1 + math.exp(-each)) for each in odds]


def read(text):
    return leave_one_out(probability, text)


def widget_with(read=read, **options):
    return LeaveOneOut(read, **{"text": "win a prize mum"} | options)


probabilities = st.floats(0, 1)


# --- laws that both halves obey ---


@given(probabilities, probabilities)
def test_log_odds_rise_with_the_probability_and_are_finite(one, other):
    assert math.isfinite(log_odds(one))
    assert math.isclose(log_odds(one), -log_odds(1 - one), abs_tol=1e-6)
    if one < other:
        assert log_odds(one) <= log_odds(other)


def test_both_halves_agree():
    numbers = [0, 1e-9, 1e-6, 0.01, 0.3, 0.5, 0.9, 0.999, 1 - 1e-9, 1]
    by_browser = run_javascript("leave_one_out.js", f"return {numbers}.map(m.logOdds)")
    assert by_browser == pytest.approx([log_odds(number) for number in numbers], rel=1e-9)
    reading = {"probability": 0.9, "words": [["win", 0.4], [" a", 0.9], [" day", 0.97]]}
    moved = run_javascript("leave_one_out.js", f"return m.influences({json.dumps(reading)})")
    widget = widget_with(lambda text: (0.9, [*map(tuple, reading["words"])]), text="win a day")
    assert moved == pytest.approx([value for _, value in widget.influences()])
    assert moved[0] > 0 == moved[1] > moved[2]


def test_an_additive_classifier_is_taken_apart():
    found = {word.strip(): moved for word, moved in widget_with().influences()}
    assert found == pytest.approx({"win": 2, "a": 0, "prize": 3, "mum": -2.5})


# --- the JavaScript half ---


def taken_apart(text):
    """The words of a text, and the text without each of them."""
    asked = []
    _, words = leave_one_out(lambda texts: asked.extend(texts) or [0.5] * len(texts), text)
    return words, asked[1:]


def test_a_word_is_taken_out_as_the_kernel_does():
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice([*"ab!é \t\n"], size=rng.integers(1, 20))) for _ in range(60)]
    cases = []
    for text in filter(str.strip, [*texts, " one", "one ", "two\nlines "]):
        words, shorter = taken_apart(text)
        cases += [(words, place, left) for place, left in enumerate(shorter)]
    assert len(cases) > 100
    body = f"return {json.dumps(cases)}.map(([words, place]) => m.without(words, place))"
    assert run_javascript("leave_one_out.js", body) == [left for _, _, left in cases]


def test_what_people_read():
    reading = {"probability": 0.9, "words": [["win", 0.4], [" day\n", 0.9]]}
    body = f"""
        const reading = {json.dumps(reading)};
        return {{
            sentences: [0, 1].map((place) => m.sentence(reading, place, 'spam')),
            parts: m.parts(' \\tday!\\n'),
            strengths: [m.strengths([0, 1, -2]), m.strengths([0, 8, -2])],
            percents: [0, 1, 0.0004, 0.5, 0.9996].map(m.percent),
            well: m.wellFormed('a\\ud800b'),
        }};
    """
    assert run_javascript("leave_one_out.js", body) == {
        "sentences": [
            "without “win”: spam 40.0 %, not 90.0 %",
            "without “day”: spam 90.0 %, as now",
        ],
        "parts": {"before": " \t", "word": "day!", "after": "\n"},
        "strengths": [[0, 0.5, 1], [0, 1, 0.25]],
        "percents": ["0 %", "100 %", "<0.1 %", "50.0 %", ">99.9 %"],
        "well": "a\ufffdb",
    }


FAKE_KERNEL = """
    const words = (text) => text.split(/(?=\\s)/).map((word) => [word, 0.5]);
    const state = {
        text: 'x y', answer: { n: 0, error: '' }, labels: ['ham', 'spam'], threshold: 0.5,
        reading: { probability: 0.9, words: words('x y') },
    };
    const listeners = {}, sent = [];
    const model = {
        get: (name) => state[name],
        set: (name, value) => { state[name] = value; listeners['change:' + name]?.(); },
        save_changes: () => sent.push(state.request),
        on: (name, callback) => { listeners[name] = callback; },
        off: (name) => { delete listeners[name]; },
    };
    const answer = (n, text, error = '') => {
        state.text = text;
        if (!error) state.reading = { probability: 0.9, words: words(text) };
        model.set('answer', { n, error });
    };
    const rest = (ms = 250) => new Promise((done) => setTimeout(done, ms));
    const session = new m.Session(model);
"""


def test_one_request_at_a_time_and_the_newest_text_last():
    body = (
        FAKE_KERNEL
        + """
        for (const text of ['x y 1', 'x y 12']) session.change(text, 'typing');
        await rest();
        for (const text of ['x y 123', 'x y 1234']) session.change(text, 'typing');
        await rest();
        const waiting = sent.length;
        answer(sent[0].n, 'x y 12');
        const between = session.settled;
        answer(sent[1].n, 'x y 1234');
        session.close();
        return { waiting, between, texts: sent.map((r) => r.text), settled: session.settled,
                 undo: session.history, left: Object.keys(listeners) };
    """
    )
    assert run_javascript("leave_one_out.js", body) == {
        "waiting": 1,
        "between": False,
        "texts": ["x y 12", "x y 1234"],
        "settled": True,
        "undo": ["x y"],
        "left": [],
    }


def test_words_are_taken_out_and_put_back():
    body = (
        FAKE_KERNEL
        + """
        session.remove(0);
        await rest(30);
        const early = session.text;
        session.remove(0); // the colours do not belong to this text yet
        answer(sent[0].n, 'y');
        session.remove(0); // the last word stays
        const late = session.text;
        session.undo();
        await rest(30);
        answer(sent[1].n, 'x y', 'no');
        session.remove(1); // refused: nothing to take out of
        session.close();
        return { early, late, text: session.text, error: session.error,
                 texts: sent.map((r) => r.text) };
    """
    )
    assert run_javascript("leave_one_out.js", body) == {
        "early": "y",
        "late": "y",
        "text": "x y",
        "error": "no",
        "texts": ["y", "x y"],
    }


def test_an_unasked_answer_moves_the_text():
    body = (
        FAKE_KERNEL
        + """
        answer(-1, 'from Python');
        const moved = [session.text, session.settled, [...session.history]];
        session.close();
        return moved;
    """
    )
    assert run_javascript("leave_one_out.js", body) == ["from Python", True, ["x y"]]


# --- the Python half ---


def test_the_reading_is_there_at_construction():
    widget = widget_with()
    assert widget.answer == {"n": 0, "error": ""}
    assert widget.reading["probability"] == pytest.approx(probability(["win a prize mum"])[0])
    assert [word for word, _ in widget.reading["words"]] == ["win", " a", " prize", " mum"]


def test_a_request_is_answered_in_one_update(monkeypatch):
    widget = widget_with()
    updates = []
    monkeypatch.setattr(widget, "send_state", lambda key=None: updates.append(set(key)))
    widget.set_state({"request": {"n": 7, "text": "hello mum"}})
    assert updates == [{"text", "answer", "reading"}]
    assert (widget.text, widget.answer) == ("hello mum", {"n": 7, "error": ""})
    assert [word for word, _ in widget.reading["words"]] == ["hello", " mum"]


def test_the_text_set_in_python_is_read_and_announced():
    widget = widget_with()
    for n, text in [(-1, "one"), (-2, "two words")]:
        widget.text = text
        assert widget.answer == {"n": n, "error": ""}
        assert "".join(word for word, _ in widget.reading["words"]) == text


def test_a_refusal_is_shown_and_the_colours_stay():
    widget = widget_with()
    before = widget.reading
    widget.text = " "
    assert widget.answer["error"] == "the text has no word; write something"
    assert widget.reading == before
    with pytest.raises(ValueError, match="has no word"):
        widget.influences()
    assert "image/png" not in widget._repr_mimebundle_()[0]
    empty = widget_with(text="")
    assert "has no word" in empty.answer["error"]
    assert empty.reading == {}


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (KeyError("lost"), "KeyError: 'lost'"),
        (KeyboardInterrupt(), "read was interrupted; change the text to try again"),
        (0.5, "ValueError: read('bad') returned 0.5; return a probability and a list of pairs"),
        ((0.5, [("bad",)]), "ValueError: read('bad') returned (0.5, [('bad',)]); return"),
        ((1.5, [("bad", 0.5)]), "ValueError: read('bad') returned 1.5 for a probability"),
        ((0.5, [("bad", math.nan)]), "ValueError: read('bad') returned nan for a probability"),
        ((0.5, [("bad", "x")]), "ValueError: read('bad') returned 'x' for a probability"),
        ((0.5, [(b"bad", 0.5)]), "ValueError: read('bad') returned a word that is no text"),
        ((0.5, [("ba", 0.5)]), "ValueError: read('bad') returned words that are not the text"),
        (RuntimeError("half \ud800 pair"), "RuntimeError: half \ufffd pair"),
    ],
)
def test_whatever_goes_wrong_becomes_a_message_and_the_widget_goes_on(outcome, message):
    def sometimes(text):
        if text != "bad":
            return read(text)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    widget = widget_with(sometimes)
    widget.request = {"n": 1, "text": "bad"}
    assert widget.answer["error"].startswith(message)
    widget.request = {"n": 2, "text": "good"}
    assert widget.answer == {"n": 2, "error": ""}


def test_a_programming_error_is_raised_at_construction():
    with pytest.raises(ValueError, match=r"returned 0.5; return a probability and a list"):
        widget_with(lambda text: 0.5)
    with pytest.raises(ZeroDivisionError):
        widget_with(lambda text: 1 / 0)
    with pytest.raises(TypeError, match="read='x' is not a function; pass one"):
        widget_with("x")
    with pytest.raises(ValueError, match=r"labels=\['one'\] must be two names"):
        widget_with(labels=["one"])
    with pytest.raises(ValueError, match=r"threshold=1\.0 is not between 0 and 1; use"):
        widget_with(threshold=1.0)


def test_what_a_notebook_stores():
    widget = widget_with(text="$win$ a _prize_ " + "x" * 80)
    data, _ = widget._repr_mimebundle_()
    assert data["text/plain"] == repr(widget)
    assert repr(widget) == (
        "LeaveOneOut(text='$win$ a _prize_ " + "x" * 44 + "…', labels=('ham', 'spam'))"
    )
    assert data["image/png"]
    one_word = widget_with(text="漢字")  # nothing moves, and the font lacks the signs
    assert one_word._repr_mimebundle_()[0]["image/png"]
