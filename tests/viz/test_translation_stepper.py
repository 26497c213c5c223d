"""TranslationStepper without a browser: the Python half, and the logic of the page."""

# L layers, H heads, T target step, S source position

import json
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from llmlab.viz import TranslationStepper
from llmlab.viz.translation_stepper import _title

from .javascript import run_javascript

HOSTILE = "</script><img src=x onerror=alert(1)>"
MODULE = "translation_stepper.js"
L, H = 2, 3


def softmax(score):
    weights = np.exp(score - score.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True)).astype(np.float32)


def reading(source, target, *, seed=0, layers=L, heads=H, text=None):
    """What a reader returns for these tokens, with random attention."""
    rng = np.random.default_rng(seed)
    score = 3 * rng.normal(size=(layers, heads, len(target), len(source)))
    share = softmax(rng.normal(size=(len(target), 5)))
    names = [" uno", " dos", HOSTILE, "<end>"]
    return SimpleNamespace(
        source_tokens=tuple(source),
        target_tokens=tuple(target),
        text="".join(target[:-1]).strip() if text is None else text,
        weights_LHTS=softmax(score),
        candidates=tuple(
            tuple(zip([token, *names], map(float, row), strict=True))
            for token, row in zip(target, share, strict=True)
        ),
    )


def backwards(text):
    """A translator that reverses every word and the order of the words."""
    words = text.split(" ")
    source = [words[0], *(f" {word}" for word in words[1:])]
    target = [f" {word[::-1]}" for word in words[::-1]]
    return reading(source, [target[0].strip(), *target[1:], "<end>"], seed=len(text))


def changed(**values):
    """A reader whose answers to "bad" are broken in one place."""

    def read(text):
        result = backwards(text)
        if text == "bad":
            vars(result).update(values)
        return result

    return read


def js(body, **values):
    given = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    return run_javascript(MODULE, given + body)


# --- the Python half ---


def test_everything_is_sent_at_construction():
    widget = TranslationStepper(backwards, text="one two three", examples=["four", "a\ud800"])
    expected = backwards("one two three")
    sent = widget.reading
    assert (sent["n"], sent["error"], sent["sentence"]) == (0, "", "one two three")
    assert sent["source"] == ["one", " two", " three"]
    assert sent["target"] == ["eerht", " owt", " eno", "<end>"]
    assert sent["translation"] == widget.translation == "eerht owt eno"
    assert (sent["layers"], sent["heads"]) == (L, H)
    assert [[tuple(pair) for pair in step] for step in sent["candidates"]] == [
        list(step) for step in expected.candidates
    ]
    weights = np.frombuffer(widget.weights, "<f4").reshape(L, H, 4, 3)
    np.testing.assert_array_equal(weights, expected.weights_LHTS)
    assert (widget.step, widget.layer, widget.head) == (1, None, None)
    assert widget.examples == ["four", "a\ufffd"]
    json.dumps(sent)


def test_a_request_is_answered_in_one_update(monkeypatch):
    widget = TranslationStepper(backwards, text="one")
    updates = []
    monkeypatch.setattr(widget, "send_state", lambda key=None: updates.append(set(key)))
    widget.step = 2
    updates.clear()
    widget.set_state({"request": {"n": 7, "text": "two words"}})
    assert updates == [{"text", "reading", "weights", "step"}]
    assert (widget.text, widget.reading["n"]) == ("two words", 7)
    assert widget.reading["sentence"] == "two words"
    assert (widget.translation, widget.step) == ("sdrow owt", 1)
    assert len(widget.weights) == 4 * L * H * 3 * 2


def test_a_text_set_in_python_is_translated_once_and_announced():
    texts = []
    widget = TranslationStepper(lambda text: texts.append(text) or backwards(text), text="a")
    widget.step = 2
    for n, text in [(-1, "b c"), (-2, "d e f")]:
        widget.text = text
        assert widget.reading["n"] == n
        assert (widget.reading["sentence"], widget.step) == (text, 1)
    widget.text = "d e f"
    assert texts == ["a", "b c", "d e f"]


@pytest.mark.parametrize("wrap", [np.asarray, torch.tensor, lambda w: torch.tensor(w).half()])
def test_weights_may_be_arrays_or_tensors(wrap):
    def read(text):
        result = backwards(text)
        result.weights_LHTS = wrap(result.weights_LHTS)
        return result

    sent = np.frombuffer(TranslationStepper(read, text="a b").weights, "<f4")
    np.testing.assert_allclose(sent, backwards("a b").weights_LHTS.ravel(), atol=1e-3)


def test_attention_is_the_head_or_the_mean_that_is_chosen():
    weights_LHTS = backwards("a b c").weights_LHTS
    widget = TranslationStepper(backwards, text="a b c", layer=1, head=2)
    np.testing.assert_array_equal(widget.attention(), weights_LHTS[1, 2])
    widget.head = None
    np.testing.assert_allclose(widget.attention(), weights_LHTS[1].mean(0), rtol=1e-6)
    widget.head = 0
    widget.layer = None
    assert widget.head is None
    mean_TS = weights_LHTS.reshape(L * H, *weights_LHTS.shape[2:]).mean(0)
    np.testing.assert_allclose(widget.attention(), mean_TS, rtol=1e-6)
    widget.attention()[:] = 0  # a copy
    np.testing.assert_allclose(widget.attention().sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("step", 0, "step=0 is not there; use 1 to 3"),
        ("step", 4, "step=4 is not there; use 1 to 3"),
        ("layer", L, f"layer={L} is not there; use 0 to {L - 1}"),
        ("head", -1, f"head=-1 is not there; use 0 to {H - 1}"),
        ("head", 1, "head=1 of which layer"),
    ],
)
def test_places_are_checked_whenever_they_are_set(name, value, message):
    widget = TranslationStepper(backwards, text="a b")
    with pytest.raises(ValueError, match=message):
        setattr(widget, name, value)
    assert getattr(widget, name) != value
    widget.step = 3


def test_a_step_of_the_sentence_before_does_no_harm():
    widget = TranslationStepper(backwards, text="a b c d e f")
    widget.set_state({"step": 7})
    assert widget.step == 7
    widget.set_state({"request": {"n": 1, "text": "a"}})
    widget.set_state({"step": 7})
    assert widget.step == 2
    widget.set_state({"step": -3})
    assert widget.step == 1
    # A page may tell both at once.
    widget.set_state({"request": {"n": 2, "text": "a b c d"}, "step": 2})
    assert 1 <= widget.step <= 5


def test_a_head_that_the_next_reading_lacks_becomes_the_mean():
    def read(text):
        size = 1 if text == "small" else 4
        return reading(["a"], ["b", "<end>"], layers=size, heads=size)

    widget = TranslationStepper(read, text="large", layer=3, head=2)
    widget.text = "small"
    assert (widget.layer, widget.head) == (None, None)
    assert widget.reading["error"] == ""


def test_a_refusal_is_shown_and_the_picture_stays():
    def read(text):
        if not text:
            raise ValueError("type a sentence first")
        return backwards(text)

    widget = TranslationStepper(read, text="one two")
    widget.step = 2
    before = {**widget.reading}, widget.weights
    widget.request = {"n": 5, "text": ""}
    assert widget.reading == {**before[0], "n": 5, "error": "type a sentence first"}
    assert (widget.weights, widget.step, widget.text) == (before[1], 2, "")
    assert widget.translation == "owt eno"
    assert "one two" in repr(widget)
    widget.request = {"n": 6, "text": "three"}
    assert (widget.reading["n"], widget.reading["error"]) == (6, "")
    with pytest.raises(ValueError, match="type a sentence first"):
        TranslationStepper(read, text="")


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (KeyError("lost"), "KeyError: 'lost'"),
        (ValueError(), "read cannot translate this sentence"),
        (ValueError("half \ud800 pair"), "half \ufffd pair"),
        (RuntimeError("x" * 5000), "RuntimeError: " + "x" * 900),
        (KeyboardInterrupt(), "read was interrupted; press Translate to try again"),
        (None, "TypeError: read('bad') returned a NoneType without source_tokens; return a"),
    ],
)
def test_whatever_goes_wrong_becomes_a_message_and_the_widget_goes_on(outcome, message):
    def read(text):
        if text != "bad":
            return backwards(text)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    widget = TranslationStepper(read, text="good")
    widget.request = {"n": 1, "text": "bad"}
    assert widget.reading["error"].startswith(message)
    assert len(widget.reading["error"]) <= 1001
    assert widget.translation == "doog"
    widget.request = {"n": 2, "text": "fine"}
    assert (widget.reading["error"], widget.translation) == ("", "enif")


WEIGHTS = backwards("bad").weights_LHTS
PAIRS = backwards("bad").candidates


def with_weight(value):
    weights = WEIGHTS.copy()
    weights[1, 2, 0, 0] = value
    return weights


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"text": 3}, TypeError, r"read\('bad'\)\.text=3 is not a string; give"),
        ({"source_tokens": "bad"}, TypeError, r"source_tokens='bad' is one text; give"),
        ({"target_tokens": ()}, ValueError, r"target_tokens is empty; give at least one"),
        ({"target_tokens": ("a", 1)}, TypeError, r"target_tokens\[1\]=1 is not a string"),
        (
            {"weights_LHTS": WEIGHTS[0]},
            ValueError,
            r"shape \(3, 2, 1\), but there are 2 target and 1 source tokens; give \(layers, heads",
        ),
        ({"weights_LHTS": WEIGHTS[:, :, :1]}, ValueError, r"shape \(2, 3, 1, 1\), but"),
        ({"weights_LHTS": WEIGHTS[:0]}, ValueError, r"shape \(0, 3, 2, 1\), but"),
        ({"weights_LHTS": "x"}, ValueError, "weights_LHTS is no table of numbers"),
        ({"weights_LHTS": with_weight(np.nan)}, ValueError, r"\[1, 2, 0, 0\]=nan, but a weight"),
        ({"weights_LHTS": with_weight(np.inf)}, ValueError, r"\[1, 2, 0, 0\]=inf, but a weight"),
        ({"weights_LHTS": with_weight(-0.5)}, ValueError, r"\[1, 2, 0, 0\]=-0.5, but a weight"),
        ({"weights_LHTS": with_weight(0.5)}, ValueError, r"\[1, 2, 0\] sums to 0.5, but"),
        ({"candidates": PAIRS[:1]}, ValueError, "holds 1 steps for 2 target tokens; give"),
        ({"candidates": None}, TypeError, "candidates=None is no list; give"),
        ({"candidates": (("a", 0.5), ())}, TypeError, r"candidates\[0\]\[0\]='a' is no candidate"),
        ({"candidates": (((1, 0.5),), ())}, TypeError, r"candidates\[0\]\[0\]=\(1, 0.5\) is no"),
        (
            {"candidates": ((), (("a", 2.0),))},
            ValueError,
            r"candidates\[1\]\[0\] has probability 2",
        ),
        ({"candidates": ((), (("a", np.nan),))}, ValueError, "has probability nan, but"),
        ({"candidates": ((), (("a", 0.8),) * 2)}, ValueError, r"candidates\[1\] sums to 1.6, but"),
    ],
)
def test_a_reading_that_cannot_be_drawn_is_named(values, error, message):
    with pytest.raises(error, match=message):
        TranslationStepper(changed(**values), text="bad")
    widget = TranslationStepper(changed(**values), text="good")
    widget.request = {"n": 1, "text": "bad"}
    assert widget.reading["error"].startswith(f"{error.__name__}: read('bad')")
    assert widget.translation == "doog"


@pytest.mark.parametrize("name", ["source_tokens", "text", "weights_LHTS", "candidates"])
def test_a_reading_without_a_part_is_named(name):
    def read(text):
        result = backwards(text)
        delattr(result, name)
        return result

    with pytest.raises(TypeError, match=f"returned a SimpleNamespace without {name}; return a"):
        TranslationStepper(read)


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match="read='x' is not a function; pass a TranslationReader"):
        TranslationStepper("x")
    with pytest.raises(TypeError, match="text=3 is not a string; give the sentence"):
        TranslationStepper(backwards, text=3)
    with pytest.raises(TypeError, match="examples='x y' is one text; give the list"):
        TranslationStepper(backwards, examples="x y")
    with pytest.raises(ValueError, match="head=1 of which layer"):
        TranslationStepper(backwards, head=1)
    with pytest.raises(ValueError, match="layer=7 is not there; use 0 to 1"):
        TranslationStepper(backwards, layer=7)
    with pytest.raises(ZeroDivisionError):
        TranslationStepper(lambda text: 1 / 0)


@pytest.mark.parametrize(("n_source", "n_target"), [(65, 3), (3, 65)])
def test_longer_sentences_are_refused_with_their_length(n_source, n_target):
    def read(text):
        return reading(["a"] * n_source, ["b"] * n_target) if text == "bad" else backwards(text)

    message = f"the sentence has {n_source} tokens and its translation {n_target}; at most 64"
    with pytest.raises(ValueError, match=message):
        TranslationStepper(read, text="bad")
    widget = TranslationStepper(read, text="good")
    widget.request = {"n": 1, "text": "bad"}
    assert widget.reading["error"].startswith(message)


def test_more_than_five_candidates_and_none_at_all():
    many = tuple((f"t{i}", 0.1) for i in range(8))
    widget = TranslationStepper(changed(candidates=(many, ())), text="bad")
    assert [len(step) for step in widget.reading["candidates"]] == [5, 0]


def test_half_a_surrogate_pair_never_reaches_the_wire():
    def read(text):
        return reading(["\ud800"], ["\udc00", "<end>"], text="\ud83d")

    widget = TranslationStepper(read, text="a\ud800")
    assert (widget.text, widget.translation) == ("a\ufffd", "\ufffd")
    widget.request = {"n": 1, "text": "😀\ud83d"}
    assert widget.text == "😀\ufffd"
    json.dumps(widget.reading, ensure_ascii=False).encode("utf-8")


def test_requests_on_another_thread_and_texts_from_the_main_one_end_on_one_text():
    widget = TranslationStepper(backwards)

    def ask():
        for n in range(60):
            widget.request = {"n": n, "text": " ".join("b" * (n % 5 + 1))}

    thread = threading.Thread(target=ask)
    thread.start()
    for n in range(60):
        widget.text = " ".join("p" * (n % 7 + 1))
    thread.join()
    count = len(widget.text.split(" "))
    assert widget.reading["sentence"] == widget.text
    assert len(widget.reading["source"]) == count
    assert len(widget.weights) == 4 * L * H * (count + 1) * count


def test_the_words_of_a_saved_notebook_hang_on_nothing_that_differs():
    widget = TranslationStepper(backwards, text="one two")
    assert repr(widget) == "TranslationStepper(text='one two')"
    widget.layer, widget.head, widget.step = 1, 0, 2
    assert repr(widget) == "TranslationStepper(text='one two', layer=1, head=0)"
    data, _ = widget._repr_mimebundle_()
    assert data["text/plain"] == repr(widget)
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (["This", " is"], ["Esto", " es", "<end>"]),
        ([HOSTILE, "$x$", "\\frac", "😀", "مرحبا", "\u0301", "", "\x00"], ["$", "\n", "<end>"]),
        (["a"], ["<end>"]),
        ([f" w{n}" for n in range(64)], [f" 漢字漢字漢字{n}" for n in range(64)]),
    ],
    ids=["plain", "hostile", "empty", "64"],
)
def test_the_picture_is_drawn_whatever_the_tokens(source, target):
    widget = TranslationStepper(lambda text: reading(source, target), text=HOSTILE * 9)
    data, _ = widget._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["image/png"] == widget._repr_mimebundle_()[0]["image/png"]


def test_the_pictures_title_says_what_is_seen():
    weights = np.full((1, 2, 4, 3), 0.1, np.float32)
    for t, s in enumerate((2, 0, 1, 1)):
        weights[0, :, t, s] = 0.8
    weights[0, 1, 1] = [0.9, 0.05, 0.05]
    weights[0, :, 2:] = [0, 1, 0]  # the full stop and the end, which are no words

    def read(text):
        result = reading(["two", " black", " dogs"], [" perros", " dos", ".", "<end>"])
        result.weights_LHTS = weights
        return result

    widget = TranslationStepper(read, text="two black dogs")
    assert _title(widget._shown, widget.attention(), None, None) == [
        "“two black dogs” becomes “perros dos.”",
        "“dos” looks at “two” with 85 % (mean of all layers and heads)",
    ]
    widget.layer, widget.head = 0, 0
    assert _title(widget._shown, widget.attention(), 0, 0)[-1] == (
        "“perros” looks at “dogs” with 80 % (layer 0, head 0)"
    )


# --- the browser's half: pure parts ---


def test_maps_are_those_of_numpy():
    rng = np.random.default_rng(1)
    cases = []
    for shape in [(1, 1, 1, 1), (2, 3, 4, 5), (3, 2, 5, 4), (3, 1, 1, 6), (1, 4, 7, 2)]:
        cases.append(softmax(rng.uniform(0, 4) * rng.normal(size=shape)))
    body = """
        return cases.map(({ numbers, layers, heads, size }) => {
            const places = [[null, null], [layers - 1, null], [0, heads - 1], [layers - 1, 0]];
            return places.map(([l, h]) => {
                const map = m.mapOf(Float32Array.from(numbers), { layers, heads, size }, l, h);
                return { map: [...map], scale: m.scaleOf(map), best: m.strongest(map, 3) };
            });
        });
    """
    sent = [
        {"numbers": w.ravel().tolist(), "layers": len(w), "heads": w.shape[1], "size": w[0, 0].size}
        for w in cases
    ]
    for weights_LHTS, found in zip(cases, js(body, cases=sent), strict=True):
        expected = [
            weights_LHTS.mean((0, 1)),
            weights_LHTS[-1].mean(0),
            weights_LHTS[0, -1],
            weights_LHTS[-1, 0],
        ]
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours["map"], theirs.ravel(), rtol=1e-5)
            # The darkest colour stands for a round share that no weight passes, and that is near.
            tenths = 10 * ours["scale"]
            assert abs(tenths - round(tenths)) < 1e-9
            assert theirs.max() <= ours["scale"] + 1e-6 <= max(0.1, theirs.max() + 0.1) + 2e-6
            best = np.argsort(-np.array(ours["map"]), kind="stable")[:3]
            assert ours["best"] == best.tolist()


def test_a_share_is_never_written_as_more_than_it_is():
    body = "return shares.map((share) => [m.percent(share), m.percent(share, 1)]);"
    shares = [0, 1e-9, 0.004, 0.0051, 0.5, 0.8249, 0.994, 0.9951, 0.9996, 1]
    assert js(body, shares=shares) == [
        ["0 %", "0 %"],
        ["<1 %", "<0.1 %"],
        ["<1 %", "0.4 %"],
        ["1 %", "0.5 %"],
        ["50 %", "50.0 %"],
        ["82 %", "82.5 %"],
        ["99 %", "99.4 %"],
        [">99 %", "99.5 %"],
        [">99 %", ">99.9 %"],
        ["100 %", "100 %"],
    ]


def test_tokens_are_shown_and_said_as_what_they_are():
    tokens = [" cat", "<end>", "\u0301", " ", "", "\n", "\u202e", "a" * 40, HOSTILE, "مرحبا", "é"]
    body = """
        return tokens.map((token) => {
            const parts = m.pieces(token);
            return [parts.map(({ text }) => text).join(''), parts.map(({ mark }) => mark),
                    m.spoken(token)];
        });
    """
    shown = dict(zip(tokens, js(body, tokens=tokens), strict=True))
    assert shown[" cat"] == ["␣cat", [True, False], "cat"]
    assert shown["<end>"] == ["■ end", [True], "end of the sentence"]
    assert shown["\u0301"][0] == "◌\u0301"
    assert shown[" "] == ["␣", [True], "space"]
    assert shown[""] == ["(empty)", [True], "empty token"]
    assert shown["\n"] == ["⏎", [True], "newline"]
    assert shown["\u202e"][0] == "\\u202e"
    assert shown["a" * 40][0] == "a" * 16 + "…"
    assert shown[HOSTILE][0] == HOSTILE.replace(" ", "␣")[:16] + "…"
    assert shown["مرحبا"] == ["مرحبا", [False], "مرحبا"]
    assert shown["é"] == ["é", [False], "é"]


def test_the_translation_grows_token_by_token_and_ends_as_the_kernel_has_it():
    target = [" Er", " ist", "\u202e", "<pad>", " m", "ü", "de", "<end>"]
    body = "return target.map((_, t) => m.written({ target, translation }, t + 1));"
    texts = js(body, target=target, translation="Er ist müde.\u202e")
    assert texts[:2] == ["Er", "Er ist"]
    assert texts[2:5] == ["Er ist", "Er ist", "Er ist m"]
    assert texts[6:] == ["Er ist müde", "Er ist müde."]
    target = [" m", "\\xc3", "\\xbc", "de\\n", "<end>"]
    assert js(body, target=target, translation="müde")[:4] == ["m", "m\ufffd", "mü", "müde\\n"]


def test_bytes_are_read_wherever_they_start():
    body = """
        const bytes = new Uint8Array(3 + 4 * numbers.length);
        const view = new DataView(bytes.buffer, 3);
        numbers.forEach((number, i) => view.setFloat32(4 * i, number, true));
        return [...m.floats(view)];
    """
    assert js(body, numbers=[0.25, 0.5, 1]) == [0.25, 0.5, 1]


# --- the browser's half: the session ---

FAKE_KERNEL = """
    const made = (n, sentence, T, error = '', layers = 2, heads = 2) => ({
        reading: {
            n, error, sentence, layers, heads, source: ['one', ' two'],
            target: Array.from({ length: T }, (_, t) => (t === T - 1 ? '<end>' : ` t${t}`)),
            translation: `whole ${sentence}`, candidates: Array.from({ length: T }, () => []),
        },
        weights: new DataView(Float32Array.from({ length: layers * heads * T * 2 },
            (_, i) => (i % 2 ? 0.75 : 0.25)).buffer),
    });
    const state = { text: 'first', examples: [], step: 1, layer: null, head: null,
                    ...made(0, 'first', 4) };
    const listeners = {}, sent = [], told = [];
    const model = {
        get: (name) => state[name],
        set: (name, value) => { state[name] = value; listeners['change:' + name]?.(); },
        save_changes: () => (state.request && state.request !== sent.at(-1)
            ? sent.push(state.request) : told.push(state.step)),
        on: (name, callback) => { listeners[name] = callback; },
        off: (name) => { delete listeners[name]; },
    };
    const answer = (n, text, T = 3, error = '') => {
        state.text = text;
        if (error) state.reading = { ...state.reading, n, error };
        else Object.assign(state, made(n, text, T));
        listeners['change:reading']?.();
    };
    const until = async (ready) => {
        for (let i = 0; i < 4000 && !ready(); i++) await new Promise((d) => setTimeout(d, 5));
        if (!ready()) throw new Error(`never: ${ready}`);
    };
    const session = new m.Session(model);
"""


def test_one_request_at_a_time_the_newest_last_and_late_answers_are_not_shown():
    body = """
        session.type('second');
        const before = sent.length;
        session.translate();
        session.translate('third');
        session.translate('fourth');
        const waiting = sent.length;
        answer(12345, 'of another page');
        const other = [session.reading.sentence, session.busy];
        answer(sent[0].n, 'second');
        const late = session.reading.sentence;
        answer(sent[1].n, 'fourth');
        session.close();
        return { before, waiting, other, late, texts: sent.map((r) => r.text),
                 now: session.reading.sentence, busy: session.busy, left: Object.keys(listeners) };
    """
    assert js(FAKE_KERNEL + body) == {
        "before": 0,
        "waiting": 1,
        "other": ["first", True],
        "late": "first",
        "texts": ["second", "fourth"],
        "now": "fourth",
        "busy": False,
        "left": [],
    }


def test_an_error_loses_nothing_and_an_unasked_answer_moves_along():
    body = """
        session.moveTo(3);
        session.translate('wrong');
        answer(sent[0].n, 'wrong', 0, 'no such word');
        const after = [session.error, session.draft, session.reading.sentence, session.step];
        session.type('half a senten');
        answer(-1, 'from Python');
        const kept = [session.draft, session.reading.sentence, session.error];
        session.translate('mine');
        answer(sent[1].n, 'mine');
        answer(-2, 'Python again');
        session.close();
        return { after, kept, moved: [session.draft, session.reading.sentence] };
    """
    assert js(FAKE_KERNEL + body) == {
        "after": ["no such word", "wrong", "first", 3],
        "kept": ["half a senten", "from Python", ""],
        "moved": ["Python again", "Python again"],
    }


@pytest.mark.parametrize(("calm", "end"), [(True, [3, False]), (False, [1, True])])
def test_a_new_translation_plays_unless_less_motion_is_wanted(calm, end):
    body = """
        globalThis.matchMedia = () => ({ matches: calm });
        session.translate('new');
        answer(sent[0].n, 'new');
        const found = [session.step, session.playing];
        session.close();
        return found;
    """
    assert js(FAKE_KERNEL + body, calm=calm) == end


def test_play_goes_step_by_step_to_the_end_and_from_there_to_the_start():
    body = """
        const steps = [], said = [];
        session.views.add({ draw: () => steps.push([session.step, session.playing]) });
        session.setSpeed(200);
        session.play();
        await until(() => !session.playing);
        const late = steps.some(([step, playing]) => step === 4 && playing);
        const once = steps.splice(0).map(([step]) => step);
        session.toggle();
        const again = [session.step, session.playing];
        await until(() => session.step === 2);
        session.moveTo(1);
        const stopped = session.playing;
        session.moveTo(99);
        const far = session.step;
        session.moveTo(-5);
        session.close();
        return { late, once: [...new Set(once)], again, stopped, far, near: session.step,
                 told: told.at(-1) };
    """
    assert js(FAKE_KERNEL + body) == {
        "late": False,
        "once": [1, 2, 3, 4],
        "again": [1, True],
        "stopped": False,
        "far": 4,
        "near": 1,
        "told": 1,
    }


def test_python_hears_of_the_last_of_many_steps_and_a_request_tells_it_too():
    body = """
        for (const step of [2, 3, 4, 2, 3]) session.moveTo(step);
        const early = told.length;
        await until(() => told.length > 0);
        const late = [...told];
        session.moveTo(4);
        session.translate('x');
        const count = [told.length, sent.length, state.step];
        session.close();
        return { early, late, count, end: told.length };
    """
    assert js(FAKE_KERNEL + body) == {"early": 0, "late": [3], "count": [1, 1, 4], "end": 1}


def test_a_head_counts_only_with_its_layer_and_what_is_gone_is_the_mean():
    body = """
        const at = (layer, head) => {
            session.change({ layer, head });
            return [session.layer, session.head];
        };
        const found = [at(1, 0), at(null, 0), at(5, 0), at(0, 9), at(0, 1)];
        session.close();
        return found;
    """
    expected = [[1, 0], [None, None], [None, None], [0, None], [0, 1]]
    assert js(FAKE_KERNEL + body) == expected


def test_steps_and_columns_in_words():
    body = """
        const words = [session.stepInWords(0), session.stepInWords(3)];
        session.moveTo(2);
        words.push(session.columnInWords(1));
        state.reading.target[1] = '<start>';
        state.weights = new DataView(Float32Array.from({ length: 32 }, () => 0.45).buffer);
        session.adopt();
        session.close();
        return [...words, session.stepInWords(1)];
    """
    assert js(FAKE_KERNEL + body) == [
        "Step 1 of 4: t0, looks at two 75 percent",
        "Step 4 of 4: end of the sentence, looks at two 75 percent",
        "two, looked at by t0 75 percent, t1 75 percent",
        "Step 2 of 4: start of the sentence, looks at one 45 percent, two 45 percent",
    ]
