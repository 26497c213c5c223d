"""AttentionStepper without a browser: the arithmetic of both halves, and Python's manners."""

import base64
import json
import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlab.viz import AttentionStepper

from .javascript import run_javascript

HOSTILE = "</script><img src=x onerror=alert(1)>"
STATE = ("query", "scaled", "masked", "edits")


def vectors(*shape, seed=0, size=1.0):
    return np.float32(np.random.default_rng(seed).normal(size=shape) * size)


def stepper(t=4, d=4, w=3, s=None, **options):
    s = t if s is None else s
    options.setdefault("tokens", [f" t{n}" for n in range(t)])
    return AttentionStepper(
        vectors(t, d, seed=1), vectors(s, d, seed=2), vectors(s, w, seed=3), **options
    )


BYTES = """
    const bytes = (text) =>
        new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
"""


def in_javascript(body, **arguments):
    consts = BYTES + "".join(
        f"const {name} = {json.dumps(value)};\n" for name, value in arguments.items()
    )
    return run_javascript("attention_stepper.js", consts + body)


def case(widget):
    """What the browser is told of a widget."""
    state = {name: getattr(widget, name) for name in STATE}
    return {"numbers": base64.b64encode(widget.numbers).decode(), "state": state}


ATTEND = """
    return cases.map(({ numbers, state }) => {
        const { dots, scores, divided, kept, powers, sum, weights, output } =
            m.attend(m.read(bytes(numbers)), state);
        // JSON has no infinity.
        return { dots, scores, divided, kept: kept.map((x) => x === -Infinity ? 'masked' : x),
                 powers, sum, weights, output };
    });
"""


def oracle(q, k, v, seen, widget):
    """The same row by torch, in float64."""
    q, k, v = (torch.from_numpy(np.asarray(part)).double() for part in (q, k, v))
    score = q[widget.query] @ k.T
    for row, key, number in widget.edits:
        if row == widget.query:
            score[key] = number
    scaled = score / math.sqrt(q.shape[1]) if widget.scaled else score
    hidden = torch.from_numpy(~seen[widget.query])
    kept = scaled.masked_fill(hidden, -torch.inf) if widget.masked else scaled
    weight = torch.softmax(kept, dim=-1)
    return {
        "scores": score,
        "divided": scaled,
        "kept": kept,
        "weights": weight,
        "output": weight @ v,
    }


@st.composite
def attentions(draw):
    """Inputs of all sizes, what is seen, and a widget in any state."""
    t, s = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    d, w = draw(st.integers(1, 64)), draw(st.integers(1, 64))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = 10.0 ** draw(st.integers(-3, 2))
    causal = draw(st.booleans())
    s = t if causal else s
    q, k, v = (np.float32(rng.normal(size=shape) * size) for shape in ((t, d), (s, d), (s, w)))
    seen = np.tri(t, dtype=bool) if causal else rng.random((t, s)) < 0.6
    seen[:, 0] = True
    widget = AttentionStepper(
        q,
        k,
        v,
        tokens=["a"] * t,
        keys=["b"] * s,
        causal=causal,
        mask=None if causal else seen,
        query=draw(st.integers(0, t - 1)),
    )
    widget.scaled, widget.masked = draw(st.booleans()), draw(st.booleans())
    number = st.floats(-1e3, 1e3)
    edit = st.tuples(st.integers(0, t - 1), st.integers(0, s - 1), number)
    widget.edits = draw(st.lists(edit, max_size=5))
    return (q, k, v, seen), widget


@settings(max_examples=20)
@given(st.lists(attentions(), min_size=5, max_size=10))
def test_every_step_agrees_with_torch_in_both_halves(batch):
    rows = in_javascript(ATTEND, cases=[case(widget) for _, widget in batch])
    for (inputs, widget), row in zip(batch, rows, strict=True):
        expected = oracle(*inputs, widget)
        row["kept"] = [-math.inf if number == "masked" else number for number in row["kept"]]
        for name, numbers in expected.items():
            np.testing.assert_allclose(row[name], numbers, rtol=1e-9, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(widget.weights(), expected["weights"], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(widget.output(), expected["output"], rtol=1e-9, atol=1e-9)
        assert row["sum"] == pytest.approx(sum(row["powers"]))
        hidden = ~inputs[3][widget.query] & widget.masked
        assert (np.array(row["weights"])[hidden] == 0).all()


def test_the_row_is_a_row_of_attention():
    q, k, v = (torch.randn(1, 1, 7, 8, dtype=torch.float64).float() for _ in range(3))
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True)[0, 0].numpy()
    widget = AttentionStepper(q[0, 0], k[0, 0], v[0, 0], tokens=list("abcdefg"))
    cases = []
    for query in range(7):
        widget.query = query
        np.testing.assert_allclose(widget.output(), expected[query], rtol=1e-5, atol=1e-6)
        cases.append(case(widget))
    outputs = [row["output"] for row in in_javascript(ATTEND, cases=cases)]
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_what_is_masked_does_not_move_the_output_until_the_mask_is_off():
    q, k, v = vectors(4, 4, seed=1), vectors(4, 4, seed=2), vectors(4, 3, seed=3)
    one = AttentionStepper(q, k, v, tokens=list("abcd"), query=1)
    k[2:], v[3] = 9.0, -9.0
    other = AttentionStepper(q, k, v, tokens=list("abcd"), query=1)
    here, there = in_javascript(ATTEND, cases=[case(one), case(other)])
    assert here["output"] == there["output"]
    assert (one.output() == other.output()).all()
    one.masked = other.masked = False
    here, there = in_javascript(ATTEND, cases=[case(one), case(other)])
    assert here["output"] != there["output"]
    assert not np.allclose(one.output(), other.output())


@pytest.mark.parametrize("size", [3e38, 1e20])
def test_large_scores_do_not_overflow(size):
    q = np.array([[size, -size]], dtype=np.float32)
    k = np.array([[size, -size], [-size, size], [size, -size]], dtype=np.float32)
    widget = AttentionStepper(
        q, k, [[1.0], [2.0], [3.0]], tokens=["a"], keys=["b"] * 3, causal=False
    )
    (row,) = in_javascript(ATTEND, cases=[case(widget)])
    assert row["weights"] == widget.weights().tolist() == [0.5, 0, 0.5]
    assert row["output"] == widget.output().tolist() == [2.0]
    widget.edits = [(0, 0, 1.7e308), (0, 1, -1.7e308), (0, 2, 0.0)]
    (row,) = in_javascript(ATTEND, cases=[case(widget)])
    assert row["weights"] == widget.weights().tolist() == [1, 0, 0]
    assert widget._repr_mimebundle_()[0]["image/png"]


def test_the_same_added_to_every_score_changes_no_weight():
    widget = stepper()
    before = widget.weights()
    scores = in_javascript(ATTEND, cases=[case(widget)])[0]["scores"]
    widget.edits = [(3, key, score + 50) for key, score in enumerate(scores)]
    (row,) = in_javascript(ATTEND, cases=[case(widget)])
    np.testing.assert_allclose(row["weights"], before, rtol=1e-9)
    np.testing.assert_allclose(widget.weights(), before, rtol=1e-9)


def test_products_add_up_to_the_score():
    body = """
        const data = { D: 3, q: [0, 0, 0, 1, 2, 3], k: [4, 5, -6] };
        return m.products(data, 1, 0);
    """
    assert in_javascript(body) == [4, 10, -18]


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=64))
@settings(max_examples=10)
def test_the_largest_products_and_the_rest_are_all_of_them(numbers):
    found = in_javascript("return m.selected(numbers)", numbers=numbers)
    places = found["places"]
    assert places == sorted(set(places))
    assert len(places) <= 9
    assert len(places) + found["others"] == len(numbers)
    left = [abs(number) for i, number in enumerate(numbers) if i not in places]
    assert max(left, default=0) <= min(abs(numbers[i]) for i in places)
    assert sum(numbers[i] for i in places) + found["rest"] == pytest.approx(sum(numbers), abs=1e-9)


# --- what people read, hear and type ---


def test_numbers_are_read_and_written():
    numbers = [0, -0.0, 1.005, -1.27, 0.004, -0.00097, 2.9e-5, 12345.678, -1e308, 999.994]
    written = in_javascript("return numbers.map((x) => m.shown(x))", numbers=numbers)
    assert written == [
        "0.00", "0.00", "1.00", "−1.27", "0.004", "−0.001", "3e−5", "1.2e+4", "−1.0e+308", "999.99",
    ]  # fmt: skip
    assert in_javascript("return [m.shown(-Infinity), m.shown(0.0004, 3)]") == ["−∞", "0.0004"]
    assert in_javascript("return [2, 1.7320508, 8].map(m.brief)") == ["2", "1.73", "8"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.5", 1.5), (" -2 ", -2), ("−2.5", -2.5), ("+.5", 0.5), ("3.", 3), ("1e3", 1000),
        ("1E-2", 0.01), ("007", 7), ("1e308", 1e308),
        ("abc", None), ("", None), (" ", None), ("1e400", None), ("-1e400", None),
        ("Infinity", None), ("NaN", None), ("0x10", None), ("1,5", None), ("1 2", None),
        (".", None), ("-", None),
        ("1e", None), ("--1", None), ("٣", None), (HOSTILE, None), ("\x00", None),
        ("\ud800", None),
    ],
)  # fmt: skip
def test_only_finite_numbers_are_scores(text, number):
    found = in_javascript("return String(m.parsed(text))", text=text)  # JSON has no infinity
    assert found == "null" if number is None else float(found) == number


def test_tokens_are_read_and_heard():
    tokens = [" the", "\n", "\0", "\u202e", "", "x" * 40, HOSTILE, "constructor", "\ud800"]
    body = "return tokens.map((t) => [m.pieces(t).map((p) => p.text).join(''), m.spoken(t)])"
    assert in_javascript(body, tokens=tokens) == [
        ["␣the", "space the"],
        ["⏎", "newline"],
        ["\\x00", "character 0"],
        ["\\u202e", "character 202E"],
        ["(empty)", "empty token"],
        ["x" * 14 + "…", "x" * 14 + " and so on"],
        ["</script><img␣…", "</script><img space and so on"],
        ["constructor", "constructor"],
        ["\\ud800", "character D800"],
    ]


SENTENCES = """
    return cases.map(({ numbers, state }) => {
        const data = m.read(bytes(numbers));
        const row = m.attend(data, state);
        return [[0, 1, 2, 3, 4].map((step) => m.stepSentence(step, row, state)),
                m.notes(data, state, causal)];
    });
"""


def sentences(widget, causal=True):
    return in_javascript(SENTENCES, cases=[case(widget)], causal=causal)[0]


def test_every_step_says_what_it_does():
    steps, notes = sentences(stepper(query=1))
    assert steps == [
        "Step 1: multiply query and key number by number, and add up",
        "Step 2: divide by 2, the root of 4",
        "Step 3: the mask hides 2 keys: their scores become −∞",
        "Step 4: softmax: exp of every score, divided by the sum of them all",
        "Step 5: every value times its weight, added up",
    ]
    assert notes == []
    assert sentences(stepper(query=2))[0][2] == "Step 3: the mask hides 1 key: its score becomes −∞"
    assert sentences(stepper(query=3))[0][2] == "Step 3: the mask hides no key from this query"
    assert sentences(stepper(d=3))[0][1] == "Step 2: divide by 1.73, the root of 3"


def test_a_switch_that_is_off_says_what_it_breaks():
    widget = stepper(query=1)
    widget.edits = [(1, 0, 4.0), (1, 1, 0.0), (2, 2, 9.0)]
    widget.scaled = False
    steps, notes = sentences(widget)
    assert steps[1] == "Step 2: the scale is off, so the scores stay as they are"
    # 1 / (1 + exp(-2)) and 1 / (1 + exp(-4))
    assert notes == [
        "Without the scale, the largest weight goes from 0.88 to 0.98.",
        "2 scores are written over by hand.",
    ]
    widget.scaled, widget.masked = True, False
    widget.edits = [(1, key, 0.0) for key in range(4)]
    steps, notes = sentences(widget)
    assert steps[2] == "Step 3: the mask is off, so every key stays"
    hidden = "Without the mask, the future is visible: later tokens get 0.50 of the weight."
    assert notes == [hidden, "4 scores are written over by hand."]
    assert sentences(widget, causal=False)[1][0] == (
        "Without the mask, hidden keys are visible: they get 0.50 of the weight."
    )
    widget.edits = []
    widget.query = 3
    assert sentences(widget)[1] == [
        "This query may see every key: without the mask nothing changes."
    ]
    widget = stepper(d=1)
    widget.scaled = False
    assert sentences(widget)[1] == [
        "The width is 1, and so is its root: the scale changes nothing."
    ]


FAKE_KERNEL = """
    const state = { ...start.state, step: 0, numbers: bytes(start.numbers), words: bytes(words) };
    const listeners = {}, sent = [];
    const model = {
        get: (name) => state[name],
        set: (name, value) => { state[name] = value; listeners['change:' + name]?.(); },
        save_changes: () => sent.push([state.query, state.step, state.scaled, state.edits]),
        on: (name, callback) => { listeners[name] = callback; },
        off: (name) => { delete listeners[name]; },
    };
    const rest = (ms) => new Promise((done) => setTimeout(done, ms));
    const session = new m.Session(model);
"""


def with_a_fake_kernel(widget, body):
    words = base64.b64encode(widget.words).decode()
    return in_javascript(FAKE_KERNEL + body, start=case(widget), words=words)


def test_python_hears_once_after_a_pause_and_nothing_runs_over_the_edge():
    body = """
        for (let i = 0; i < 9; i++) session.goTo(session.state.step + 1);
        session.ask(-5);
        session.write(2, 7.5);
        session.write(2, 8.5);
        session.write(0, 1);
        const silent = sent.length;
        await rest(600);
        const heard = [...sent];
        session.ask(99);
        session.reset();
        const kept = session.state.edits;
        session.ask(0);
        session.reset();
        session.goTo(-1);
        session.look(-7);
        const low = session.key;
        session.look(99);
        model.set('scaled', false);
        const undone = session.row.scores[2] === session.row.dots[2];
        session.close();
        return { silent, heard, kept, undone, keys: [low, session.key], state: session.state,
                 last: sent.at(-1), left: Object.keys(listeners) };
    """
    result = with_a_fake_kernel(stepper(), body)
    edits = [[0, 0, 1], [0, 2, 8.5]]
    assert result["silent"] == 0
    assert result["heard"] == [[0, 4, True, edits]]
    assert result["kept"] == edits
    assert result["undone"] is True
    assert result["keys"] == [0, 3]
    assert result["state"] == {"query": 0, "step": 0, "scaled": False, "masked": True, "edits": []}
    assert result["last"] == [0, 0, False, []]
    assert result["left"] == []


def test_the_row_follows_what_python_sets():
    body = """
        const before = session.row.weights;
        model.set('query', 1);
        const moved = session.row.weights;
        model.set('edits', [[1, 0, 100]]);
        return { before, moved, edited: session.row.weights, said: session.stepSentence };
    """
    widget = stepper()
    result = with_a_fake_kernel(widget, body)
    np.testing.assert_allclose(result["before"], widget.weights(), atol=1e-12)
    widget.query = 1
    np.testing.assert_allclose(result["moved"], widget.weights(), atol=1e-12)
    assert result["edited"][0] == pytest.approx(1)
    assert result["said"] == "Step 1: multiply query and key number by number, and add up"


# --- the Python half ---


def test_the_state_can_be_set_and_is_checked():
    widget = stepper()
    assert (widget.query, widget.step, widget.scaled, widget.masked) == (3, 0, True, True)
    assert stepper(query=0).query == 0
    for name, wrong, message in [
        ("query", 4, "query=4 is no row; use 0 to 3"),
        ("query", -1, "query=-1 is no row"),
        ("step", 5, "step=5 is none of the five; use 0 to 4"),
        ("step", -1, "step=-1 is none"),
        ("edits", [(0, 0)], r"edits holds \(0, 0\); give \(query, key, score\), such as"),
        ("edits", [(0, 0, "abc")], "give .query, key, score."),
        ("edits", [(0.5, 0, 1)], "give .query, key, score."),
        ("edits", [3], "edits holds 3; give"),
        ("edits", [(4, 0, 1.0)], "4 queries and 4 keys; count both from 0"),
        ("edits", [(0, -1, 1.0)], "count both from 0"),
        ("edits", [(0, 0, math.inf)], "a score that is a finite number"),
        ("edits", [(0, 0, math.nan)], "a score that is a finite number"),
    ]:
        before = getattr(widget, name)
        with pytest.raises(ValueError, match=message):
            setattr(widget, name, wrong)
        assert getattr(widget, name) == before
    with pytest.raises(ValueError, match="query=9 is no row"):
        stepper(query=9)
    widget.edits = [(2, 1, 5), (0, 3, np.float32(0.5)), (2, 1, 6)]
    assert widget.edits == [[0, 3, 0.5], [2, 1, 6.0]]
    widget.set_state({"query": 2, "step": 4, "scaled": False, "edits": [[2, 0, 1.5]]})
    assert (widget.query, widget.step, widget.scaled) == (2, 4, False)
    assert widget.edits == [[2, 0, 1.5]]


def test_what_the_browser_says_is_not_sent_back(monkeypatch):
    widget = stepper()
    updates = []
    monkeypatch.setattr(widget, "_send", lambda message, **_: updates.append(message))
    widget.set_state(
        {"query": 1, "step": 3, "scaled": False, "masked": False, "edits": [[1, 0, 2.5]]}
    )
    assert updates == []


def test_weights_and_output_are_those_of_the_present_state():
    widget = stepper(query=0)
    assert widget.weights().tolist() == [1, 0, 0, 0]
    np.testing.assert_allclose(widget.output(), vectors(4, 3, seed=3)[0])
    widget.masked = False
    widget.edits = [(0, key, 2.0) for key in range(4)]
    assert widget.weights().tolist() == [0.25] * 4
    np.testing.assert_allclose(widget.output(), vectors(4, 3, seed=3).mean(axis=0), rtol=1e-6)


def test_tensors_and_lists_are_welcome_and_are_copied():
    q = torch.randn(3, 4, requires_grad=True)
    half = AttentionStepper(q.bfloat16(), q.half(), q, tokens=list("abc"))
    assert half.weights().shape == (3,)
    k = np.ones((1, 2))
    widget = AttentionStepper([[1, 2]], k, [[5]], tokens=["a"])
    k[:] = np.nan
    assert widget.output().tolist() == [5]


N = math.nan


@pytest.mark.parametrize(
    ("q", "k", "v", "options", "message"),
    [
        (np.zeros((1, 2, 3, 4)), [[1]], [[1]], {}, r"q has shape \(1, 2, 3, 4\); give a table"),
        ([[1]], np.zeros((0, 1)), [[1]], {}, r"k has shape \(0, 1\); give a table"),
        ([[1]], [[1]], [1], {}, r"v has shape \(1,\); give a table"),
        ([[1], [1, 2]], [[1]], [[1]], {}, "q is no table of numbers"),
        (np.zeros((41, 2)), [[1]], [[1]], {}, "at most 40 positions of 64 numbers, so take a part"),
        ([[1]], [[1]], np.zeros((1, 65)), {}, r"v has shape \(1, 65\); .* take a part"),
        ([[1, N]], [[1, 2]], [[1]], {}, r"q\[0, 1\]=nan cannot be computed with"),
        ([[1]], [[-math.inf]], [[1]], {}, r"k\[0, 0\]=-inf cannot be computed with"),
        ([[1]], [[1]], [[1e39]], {}, r"v\[0, 0\]=1e\+39 cannot .* fit into 32 bits"),
        ([[1, 2]], [[1]], [[1]], {}, "q holds 2 numbers a position and k 1; .* the same width"),
        ([[1]], [[1]], [[1], [2]], {}, "1 keys and 2 values; give one value for each key"),
        ([[1]], [[1]], [[1]], {"tokens": ["a", "b"]}, "2 tokens for 1 queries; give one for each"),
        ([[1]], [[1]], [[1]], {"tokens": []}, "0 tokens for 1 queries; give one for each"),
        (
            [[1]],
            [[1]] * 2,
            [[1]] * 2,
            {"causal": False},
            "1 keys for 2 keys; give one for each .with keys=",
        ),
        ([[1]], [[1]] * 2, [[1]] * 2, {"keys": ["a", "b"]}, "causal=True needs .* causal=False"),
        ([[1]], [[1]], [[1]], {"mask": [[False]]}, "query 0 may look at no key, .* be True some"),
        ([[1]], [[1]], [[1]], {"mask": [[1]]}, "mask has shape .* give booleans of shape"),
        ([[1]], [[1]], [[1]], {"mask": [True]}, "mask has shape .* give booleans of shape"),
    ],
)
def test_what_cannot_be_stepped_through_is_refused_with_a_sentence(q, k, v, options, message):
    with pytest.raises(ValueError, match=message):
        AttentionStepper(q, k, v, **{"tokens": ["a"], **options})


def test_a_mask_that_hides_everything_is_refused_with_keys_of_its_own():
    mask = np.ones((2, 3), dtype=bool)
    mask[1] = False
    with pytest.raises(ValueError, match="query 1 may look at no key, so its weights cannot add"):
        stepper(t=2, s=3, keys=list("xyz"), causal=False, mask=mask)
    mask[1, 2] = True
    widget = stepper(t=2, s=3, keys=list("xyz"), causal=False, mask=torch.from_numpy(mask))
    assert widget.weights().tolist() == [0, 0, 1]


def test_a_mask_and_causal_together_hide_what_either_hides():
    mask = np.ones((3, 3), dtype=bool)
    mask[2, 0] = False
    widget = stepper(t=3, mask=mask)
    assert (widget.weights() > 0).tolist() == [False, True, True]
    widget.query = 1
    assert (widget.weights() > 0).tolist() == [True, True, False]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("mask", [None, np.ones((2, 2), dtype=bool)], ids=["no mask", "mask"])
def test_the_future_is_spoken_of_only_where_it_is_all_that_is_hidden(causal, mask):
    words = json.loads(stepper(t=2, causal=causal, mask=mask).words)
    assert words["causal"] is (causal and mask is None)


def test_tokens_that_are_no_texts_are_refused():
    with pytest.raises(TypeError, match="tokens='abcd' is one text; give the list"):
        stepper(tokens="abcd")
    with pytest.raises(TypeError, match=r"keys\[0\]=7 is not a string"):
        stepper(keys=[7, "a", "b", "c"])


def test_the_picture_and_the_words_of_a_saved_notebook():
    widget = stepper(tokens=["The", " $cat$", "\n", HOSTILE])
    data, _ = widget._repr_mimebundle_()
    expected = "AttentionStepper(4 queries, 4 keys, query=3 '</script><i…', step=0)"
    assert data["text/plain"] == repr(widget) == expected
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id
    widget.scaled, widget.query, widget.edits = False, 1, [(0, 0, 1)]
    expected = (
        "AttentionStepper(4 queries, 4 keys, query=1 '␣$cat$', step=0, scaled=False, edits=1)"
    )
    assert repr(widget) == expected


@pytest.mark.parametrize("token", ["", "$^$", "\x00", "\ud800", "漢字 😀", HOSTILE, "x" * 500])
@pytest.mark.parametrize("t", [1, 12, 40])
def test_every_token_has_a_picture(token, t):
    widget = stepper(t=t, w=64 if t == 40 else 1, tokens=[token] * t)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert widget._repr_mimebundle_()[0]["image/png"].startswith(b"\x89PNG")


def test_zeros_have_a_picture():
    zero = np.zeros((2, 2))
    widget = AttentionStepper(zero, zero, zero, tokens=["a", "b"])
    assert widget._repr_mimebundle_()[0]["image/png"].startswith(b"\x89PNG")
