"""TokenValues without a browser: the Python half, and the JavaScript half's pure functions."""

import doctest
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.viz import TokenValues, token_values
from llmlab.viz.token_values import _strength, written

from .javascript import run_javascript

TOKENS = ["<|im_start|>", "user", "\n", "Say", " hi", "."]
VALUES = {
    "learned": [False, False, False, True, True, True],
    "loss before": [None, 4.0, 0.5, 8.25, 0.0, 12.0],
    "loss after": [None, 3.0, 0.25, 0.01, 2.0, 0.1],
}


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(token_values).attempted == 1
    assert doctest.testmod(token_values).failed == 0


def test_what_is_sent():
    widget = TokenValues(TOKENS, VALUES)
    assert widget.labels == ["<|im_start|>", "user", "⏎", "Say", "␣hi", "."]
    assert widget.breaks == [False, False, True, False, False, False]
    assert [row["kind"] for row in widget.rows] == ["yes", "number", "number"]
    assert [row["values"] for row in widget.rows] == list(VALUES.values())
    assert json.loads(json.dumps(widget.rows)) == widget.rows
    assert widget.shown == "learned"
    assert widget.largest == 12.0


def test_arrays_and_tensors_are_plain_lists_afterwards():
    widget = TokenValues(
        ["a", "b"], {"x": np.array([1.5, 2.0], "f4"), "y": np.array([True, False])}
    )
    assert [row["values"] for row in widget.rows] == [[1.5, 2.0], [True, False]]
    assert [row["kind"] for row in widget.rows] == ["number", "yes"]


values = st.none() | st.booleans() | st.floats(0, 1e4)


@given(st.floats(0, 1e4), st.floats(0, 1e4))
def test_a_larger_number_is_never_paler(one, other):
    small, large = sorted((one, other))
    assert 0 <= _strength(small, large) <= _strength(large, large) <= 1
    assert _strength(large, large) == (1 if large else 0)


def test_both_halves_agree():
    cases = [None, True, False, 0.0, 0.04, 2.36, 9.94, 9.96, 12.6, 340.0]
    body = f"return {json.dumps(cases)}.map((v) => [m.written(v), m.strength(v, 340)])"
    ours = [[written(value), _strength(value, 340)] for value in cases]
    theirs = run_javascript("token_values.js", body)
    assert [text for text, _ in theirs] == [text for text, _ in ours]
    assert [s for _, s in theirs] == pytest.approx([s for _, s in ours])
    rows = TokenValues(TOKENS, VALUES).rows
    assert run_javascript("token_values.js", f"return m.largest({json.dumps(rows)})") == 12


def test_what_people_read_and_hear():
    rows = json.dumps(TokenValues(TOKENS, VALUES).rows)
    body = f"""
        const rows = {rows};
        return {{
            said: [m.said(rows[0], 3, 'nats'), m.said(rows[0], 0, 'nats'),
                   m.said(rows[1], 3, 'nats'), m.said(rows[1], 0, 'nats'), m.said(rows[2], 3, '')],
            spoken: ['␣hi', '⏎', 'a␣␣b', '<b>'].map(m.spoken),
        }};
    """
    assert run_javascript("token_values.js", body) == {
        "said": ["learned: yes", "learned: no", "loss before: 8.25 nats", "loss before: –",
                 "loss after: 0.01"],
        "spoken": ["space hi", "newline", "a space space b", "<b>"],
    }  # fmt: skip


def test_another_row_is_shown_without_the_kernel_and_told_to_it():
    rows = json.dumps(TokenValues(TOKENS, VALUES).rows)
    body = f"""
        const state = {{ labels: ['a'], breaks: [false], rows: {rows}, unit: 'nats',
                         shown: 'learned' }};
        const listeners = {{}}, saved = [];
        const model = {{
            get: (name) => state[name], set: (name, value) => {{ state[name] = value; }},
            save_changes: () => saved.push(state.shown),
            on: (name, callback) => {{ listeners[name] = callback; }},
            off: (name) => {{ delete listeners[name]; }},
        }};
        const session = new m.Session(model);
        let drawn = 0;
        session.views.add({{ draw: () => drawn++ }});
        session.show('loss after');
        const described = session.describe(3);
        state.shown = 'loss before';
        listeners['change:shown']();
        const now = session.row.name;
        session.close();
        return {{ saved, drawn, described, now, left: Object.keys(listeners) }};
    """
    assert run_javascript("token_values.js", body) == {
        "saved": ["loss after"],
        "drawn": 2,
        "described": "loss after: 0.01 nats, learned: yes, loss before: 8.25 nats",
        "now": "loss before",
        "left": [],
    }


def test_python_chooses_what_is_shown():
    widget = TokenValues(TOKENS, VALUES, shown="loss after")
    assert widget.shown == "loss after"
    with pytest.raises(ValueError, match="there is no 'loss' to show; use one of"):
        widget.shown = "loss"
    assert widget.shown == "loss after"


@pytest.mark.parametrize(
    ("tokens", "values", "message"),
    [
        ([], {"x": []}, "tokens=\\[\\] is empty; give at least one token"),
        (["a"], {}, "names nothing to show; give for example"),
        (["a"], [1.0], "names nothing to show; give for example"),
        (["a", "b"], {"x": [1.0]}, r"values\['x'\] has 1 entries for 2 tokens; give one a token"),
        (["a", "b"], {"x": [1.0, -2]}, r"values\['x'\]\[1\]=-2 is no number from 0 up"),
        (["a", "b"], {"x": [1.0, math.nan]}, r"values\['x'\]\[1\]=nan is no number"),
        (["a", "b"], {"x": [math.inf, 1]}, r"values\['x'\]\[0\]=inf is no number"),
        (["a", "b"], {"x": [True, 0.5]}, r"values\['x'\]\[0\]=True is no number"),
        (["a", "b"], {"x": ["1", None]}, r"values\['x'\]\[0\]='1' is no number"),
    ],
)
def test_what_does_not_fit(tokens, values, message):
    with pytest.raises(ValueError, match=message):
        TokenValues(tokens, values)


def test_what_is_no_list():
    with pytest.raises(TypeError, match=r"values\['x'\]='ab' is no list; give one entry a token"):
        TokenValues(["a", "b"], {"x": "ab"})
    with pytest.raises(TypeError, match="is one text; give the list of its tokens"):
        TokenValues("ab", {"x": [1, 2]})
    with pytest.raises(TypeError, match=r"tokens\[1\]=5 is not a string"):
        TokenValues(["a", 5], {"x": [1, 2]})


def test_what_a_notebook_stores():
    many = ["$x$_", "漢字", " " + "long" * 20, *[f" word{n}\n" for n in range(40)]]
    widget = TokenValues(many, {"$a$": [None] * len(many), "b": [True] * len(many)})
    data, _ = widget._repr_mimebundle_()
    assert data["text/plain"] == repr(widget) == "TokenValues(43 tokens, '$a$', 'b')"
    assert data["image/png"][:4] == b"\x89PNG"
    assert TokenValues(["a"], {"nothing": [None]})._repr_mimebundle_()[0]["image/png"]
