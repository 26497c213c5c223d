"""NextToken without a browser: the Python half, and the JavaScript half's pure functions."""

import json
import math
import threading

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from llmlab.viz import NextToken
from llmlab.viz.next_token import probabilities, readable

from .javascript import VIZ, run_javascript

TOKENS = [" Paris", " London", "\n", "", "\x00", "\ud800", "</script><img src=x onerror=alert(1)>"]
LOGITS = np.array([2.0, 1.0, 2.0, 0.0, -1.0, -2.0, 0.5])

logits_arrays = arrays.arrays(
    np.float32, st.integers(1, 40), elements=st.floats(-50, 50, width=32, allow_nan=False)
)
temperatures = st.floats(0, 2)


def constant(text):
    return LOGITS


def widget_with(predict=constant, **options):
    return NextToken(predict, TOKENS, **options)


# --- probabilities: laws that both halves obey ---


@given(logits_arrays, temperatures)
@example(np.array([0, 1], np.float32), 5e-324)
def test_probabilities_sum_to_one_and_keep_the_order(logits_V, temperature):
    probability_V = probabilities(logits_V, temperature=temperature)
    assert math.isclose(probability_V.sum(), 1, abs_tol=1e-9)
    assert probability_V.min() >= 0
    order = np.argsort(-logits_V, kind="stable")
    assert np.all(np.diff(probability_V[order]) <= 0)


@given(logits_arrays)
def test_a_temperature_near_0_tends_to_the_most_likely_and_a_shift_changes_nothing(logits_V):
    at_zero = probabilities(logits_V, temperature=0)
    assert at_zero[logits_V.argmax()] == 1
    alone = np.sum(logits_V > logits_V.max() - 0.5) == 1
    if alone:
        np.testing.assert_allclose(probabilities(logits_V, temperature=0.005), at_zero, atol=1e-9)
    shifted = probabilities(logits_V.astype(float) + 1000, temperature=1)
    np.testing.assert_allclose(shifted, probabilities(logits_V, temperature=1), rtol=1e-9)


def test_both_halves_agree():
    rng = np.random.default_rng(0)
    logits_V = (rng.normal(size=1000) * 5).round(1).astype(np.float32)  # rounded: many are equal
    body = f"""
        const logits = new Float32Array({logits_V.tolist()});
        return [0, 0.05, 1, 2].map((t) => [...m.probabilities(logits, t)])
            .concat([m.topIds(logits, 50)]);
    """
    *by_browser, ids = run_javascript("next_token.js", body)
    for temperature, probability_V in zip([0, 0.05, 1, 2], by_browser, strict=True):
        expected = probabilities(logits_V, temperature=temperature)
        np.testing.assert_allclose(probability_V, expected, rtol=1e-9, atol=1e-300)
    assert ids == np.argsort(-logits_V, kind="stable")[:50].tolist()


def test_equal_logits_stand_in_the_order_of_their_ids():
    widget = widget_with(top=4)
    assert [token for token, _ in widget.top_tokens()] == [" Paris", "\n", " London", TOKENS[6]]
    ids = run_javascript("next_token.js", "return m.topIds(new Float32Array([1, 3, 3, 2, 3]), 4)")
    assert ids == [1, 2, 4, 3]


def test_sampling_follows_the_distribution_and_never_picks_the_impossible():
    body = """
        const p = [0, 0.25, 0, 0.5, 0.25, 0];
        return [0, 0.2499, 0.25, 0.7499, 0.75, 0.9999999, 1].map((u) => m.sampleId(p, u));
    """
    assert run_javascript("next_token.js", body) == [1, 1, 3, 3, 4, 4, 4]


# --- the JavaScript half ---


def test_what_people_read_and_hear():
    body = """
        const read = (token) => m.pieces(token).map((piece) => piece.text).join('');
        const tokens = [' Paris', '', '\\n', '\\0', '\\u202e', '\\ud800', 'a b', 'x'.repeat(99)];
        return {
            read: tokens.map(read),
            heard: [m.spoken(' Paris', 0.421), m.spoken('\\n', 1e-5), m.spoken('', 0.9999)],
            percents: [0, 1, 0.0004, 0.0005, 0.5, 0.9996].map(m.percent),
            well: m.wellFormed('a\\ud800b\\ude00😀'),
        };
    """
    result = run_javascript("next_token.js", body)
    assert result["read"] == [
        "␣Paris", "(empty)", "⏎", r"\x00", r"\u202e", r"\ud800", "a␣b", "x" * 60 + "…",
    ]  # fmt: skip
    assert result["heard"] == [
        "space Paris, 42.1 percent",
        "newline, less than 0.1 percent",
        "empty token, more than 99.9 percent",
    ]
    assert result["percents"] == ["0 %", "100 %", "<0.1 %", "0.1 %", "50.0 %", ">99.9 %"]
    assert result["well"] == "a\ufffdb\ufffd😀"


FAKE_KERNEL = """
    const bytes = (array) => new DataView(array.buffer);
    const state = {
        vocabulary: bytes(new TextEncoder().encode('["a", "b", "c"]')), top: 2, temperature: 1,
        text: 'x', logits: bytes(new Float32Array([1, 2, 0])), answer: { n: 0, error: '' },
    };
    const listeners = {}, sent = [];
    const model = {
        get: (name) => state[name],
        set: (name, value) => { state[name] = value; listeners['change:' + name]?.(); },
        save_changes: () => sent.push(state.request),
        on: (name, callback) => { listeners[name] = callback; },
        off: (name) => { delete listeners[name]; },
    };
    const answer = (n, text, logits, error = '') => {
        state.text = text;
        if (!error) state.logits = bytes(new Float32Array(logits));
        model.set('answer', { n, error });
    };
    const rest = (ms = 60) => new Promise((done) => setTimeout(done, ms));
    const session = new m.Session(model);
"""


def test_one_request_at_a_time_and_the_newest_text_last():
    body = (
        FAKE_KERNEL
        + """
        for (const text of ['x1', 'x12']) session.change(text, 'typing');
        await rest();
        for (const text of ['x123', 'x1234']) session.change(text, 'typing');
        await rest();
        const waiting = sent.length;
        answer(sent[0].n, 'x12', [0, 0, 9]);
        const between = session.settled;
        answer(sent[1].n, 'x1234', [9, 0, 0]);
        await rest();
        session.close();
        return { waiting, between, texts: sent.map((r) => r.text), ids: session.ids,
                 settled: session.settled, undo: session.history, left: Object.keys(listeners) };
    """
    )
    assert run_javascript("next_token.js", body) == {
        "waiting": 1,
        "between": False,
        "texts": ["x12", "x1234"],
        "ids": [0, 1],
        "settled": True,
        "undo": ["x"],
        "left": [],
    }


def test_an_unasked_answer_moves_the_text_and_a_late_one_does_not():
    body = (
        FAKE_KERNEL
        + """
        answer(-1, 'from Python', [0, 1, 2]);
        const moved = [session.text, session.settled, [...session.history]];
        session.change('mine', 'typing');
        await rest();
        answer(-2, 'Python again', [0, 1, 2]);  // the kernel has not seen 'mine' yet
        answer(sent[0].n, 'mine', [5, 1, 2]);   // late: the box says 'Python again'
        const late = [session.text, session.settled];
        await rest();
        session.close();
        return { moved, late, texts: sent.map((r) => r.text) };
    """
    )
    assert run_javascript("next_token.js", body) == {
        "moved": ["from Python", True, ["x"]],
        "late": ["Python again", False],
        "texts": ["mine", "Python again"],
    }


def test_an_error_keeps_the_bars_and_nothing_is_appended_meanwhile():
    body = (
        FAKE_KERNEL
        + """
        session.change('y', 'typing');
        await rest();
        session.append(0);
        answer(sent[0].n, 'y', [], 'no');
        session.append(0);
        session.sample();
        const after = [session.text, session.error, session.ids];
        session.undo();
        await rest();
        answer(sent[1].n, 'x', [1, 2, 0]);
        session.append(1);
        session.close();
        return { after, text: session.text };
    """
    )
    assert run_javascript("next_token.js", body) == {"after": ["y", "no", [1, 0]], "text": "xb"}


def test_the_number_of_bars_follows_the_kernel():
    body = (
        FAKE_KERNEL
        + """
        const ids = [session.ids];
        for (const top of [1, 3, 50]) {
            model.set('top', top);
            ids.push(session.ids);
        }
        session.close();
        return { ids, left: Object.keys(listeners) };
    """
    )
    ids = [[1, 0], [1], [1, 0, 2], [1, 0, 2]]
    assert run_javascript("next_token.js", body) == {"ids": ids, "left": []}


@pytest.mark.parametrize("file", sorted(VIZ.glob("*.js")), ids=lambda file: file.name)
@pytest.mark.parametrize(
    "banned", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https:"]
)
def test_javascript_never_makes_html_of_text(file, banned):
    assert banned not in file.read_text("utf-8")


# --- the Python half ---


def test_bars_are_there_at_construction():
    widget = widget_with()
    assert widget.answer == {"n": 0, "error": ""}
    np.testing.assert_array_equal(np.frombuffer(widget.logits, "<f4"), LOGITS.astype("<f4"))
    assert json.loads(widget.vocabulary.decode("utf-8")) == TOKENS
    assert math.isclose(sum(probability for _, probability in widget.top_tokens()), 1)


def test_a_request_is_answered_in_one_update(monkeypatch):
    widget = widget_with(lambda text: np.arange(7.0) * len(text))
    updates = []
    monkeypatch.setattr(widget, "send_state", lambda key=None: updates.append(set(key)))
    widget.set_state({"request": {"n": 7, "text": "hello"}})
    assert updates == [{"text", "answer", "logits"}]
    assert (widget.text, widget.answer) == ("hello", {"n": 7, "error": ""})
    np.testing.assert_array_equal(np.frombuffer(widget.logits, "<f4"), np.arange(7.0) * 5)


def test_the_text_set_in_python_is_predicted_and_announced():
    widget = widget_with(lambda text: LOGITS * len(text))
    for n, text in [(-1, "one"), (-2, "three")]:
        widget.text = text
        assert widget.answer == {"n": n, "error": ""}
        assert np.frombuffer(widget.logits, "<f4")[0] == 2 * len(text)


def test_a_refusal_is_shown_and_the_bars_stay():
    def predict(text):
        if text == "":
            raise ValueError("type a word first")
        return LOGITS

    widget = widget_with(predict)
    bars = widget.logits
    widget.text = ""
    assert widget.answer["error"] == "type a word first"
    assert widget.logits == bars
    with pytest.raises(ValueError, match="type a word first"):
        widget.top_tokens()
    assert "image/png" not in widget._repr_mimebundle_()[0]
    assert widget_with(predict, text="").answer["error"] == "type a word first"


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (KeyError("lost"), "KeyError: 'lost'"),
        (KeyboardInterrupt(), "predict was interrupted; change the text to try again"),
        (LOGITS[:3], "ValueError: predict('bad') returned shape (3,), but the vocabulary has 7"),
        (np.full(7, np.nan), "ValueError: predict('bad') returned nan as the logit of token 0"),
        (np.full(7, 1e300), "ValueError: predict('bad') returned inf as the logit of token 0"),
        (RuntimeError("half \ud800 pair"), "RuntimeError: half \ufffd pair"),
    ],
)
def test_whatever_goes_wrong_becomes_a_message_and_the_widget_goes_on(outcome, message):
    def predict(text):
        if text != "bad":
            return LOGITS
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    widget = widget_with(predict)
    widget.request = {"n": 1, "text": "bad"}
    assert widget.answer["error"].startswith(message)
    widget.request = {"n": 2, "text": "good"}
    assert widget.answer == {"n": 2, "error": ""}


def test_a_programming_error_is_raised_at_construction():
    with pytest.raises(ValueError, match=r"shape \(3,\), but the vocabulary has 7 tokens; return"):
        widget_with(lambda text: LOGITS[:3])
    with pytest.raises(ZeroDivisionError):
        widget_with(lambda text: 1 / 0)
    with pytest.raises(TypeError, match="predict='x' is not a function; pass one"):
        widget_with("x")
    with pytest.raises(ValueError, match=r"vocabulary=\[\] has no tokens; give"):
        NextToken(constant, [])
    with pytest.raises(TypeError, match=r"vocabulary\[1\]=b'x' is not a string; give"):
        NextToken(constant, ["a", b"x"])
    with pytest.raises(ValueError, match="top=0 bars cannot be shown; use 1 to 50"):
        widget_with(top=0)
    with pytest.raises(ValueError, match=r"temperature=3.0 is not between 0 and 2; use"):
        widget_with(temperature=3.0)
    widget = widget_with()
    with pytest.raises(ValueError, match="temperature=nan is not between 0 and 2; use"):
        widget.temperature = math.nan


@pytest.mark.parametrize("top", [-1, 0, 51])
def test_the_number_of_bars_is_checked_whenever_it_is_set(top):
    widget = widget_with(top=3)
    with pytest.raises(ValueError, match=f"top={top} bars cannot be shown; use 1 to 50"):
        widget.top = top
    assert len(widget.top_tokens()) == 3
    widget.top = 5
    assert len(widget.top_tokens()) == 5


def test_half_a_surrogate_pair_never_reaches_the_wire():
    widget = widget_with(text="a\ud800")
    assert widget.text == "a\ufffd"
    widget.text = "\udc00b"
    assert widget.text == "\ufffdb"
    widget.request = {"n": 1, "text": "😀\ud83d"}
    assert widget.text == "😀\ufffd"


def test_requests_on_another_thread_and_texts_from_the_main_one_end_on_one_text():
    widget = widget_with(lambda text: LOGITS * len(text))

    def ask():
        for n in range(200):
            widget.request = {"n": n, "text": "b" * (n % 5 + 1)}

    thread = threading.Thread(target=ask)
    thread.start()
    for n in range(200):
        widget.text = "p" * (n % 7 + 1)
    thread.join()
    assert np.frombuffer(widget.logits, "<f4")[0] == 2 * len(widget.text)


def test_the_picture_and_the_words_of_a_saved_notebook():
    widget = widget_with()
    data, _ = widget._repr_mimebundle_()
    assert data["text/plain"] == "NextToken(text='The capital of France is', vocabulary=7 tokens)"
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id
    assert widget_with(text="y" * 500)._repr_mimebundle_()[0]["image/png"]


@given(st.text())
def test_readable_text_has_nothing_unseen(token):
    assert readable(token).isprintable()
    assert readable(token)
