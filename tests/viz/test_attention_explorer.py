"""AttentionExplorer without a browser: readings, bytes on the wire, pictures and saved pages."""

import base64
import errno
import hashlib
import html.parser
import json
import threading
import warnings
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from ipywidgets.widgets.widget import _remove_buffers

from llmlab.viz import AttentionExplorer
from llmlab.viz.attention_wire import (
    WHOLE_BYTES,
    quantised,
    rows_quantised,
    thumbnails,
)

from .javascript import run_javascript

HOSTILE = [
    "</script><img src=x onerror=alert(1)>", "<!--", "]]>", "\u2028", "\x00", "\ud800", "$x$ & 'y'",
    "", "漢字", "\u202e", "{title}",
]  # fmt: skip
VOCABULARY = [f" word{i}" for i in range(30)]


def random_weights(rng, shape, *, causal=True):
    scores = rng.normal(size=shape).astype(np.float32) * 2
    if causal:
        scores[..., np.triu(np.ones(shape[2:], bool), 1)] = -np.inf
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def part(queries, keys=None, *, layers=2, heads=3, causal=True, seed=0, **changes):
    rng = np.random.default_rng(seed)
    keys = queries if keys is None else keys
    shape = (layers, heads, len(queries), len(keys))
    weights_LHTS = random_weights(rng, shape, causal=causal)
    statistics = {
        "entropy": rng.uniform(0, 3, (layers, heads)).astype(np.float32),
        "first token": weights_LHTS[..., 0].mean(axis=-1),
    }
    fields = {
        "name": "self-attention", "queries": tuple(queries), "keys": tuple(keys),
        "weights_LHTS": weights_LHTS, "causal": causal, "statistics": statistics,
    }  # fmt: skip
    return SimpleNamespace(**fields | changes)


def reading(*parts, probabilities=None, vocabulary=None):
    return SimpleNamespace(parts=parts, probabilities=probabilities, vocabulary=vocabulary)


class FakeReader:
    """A model whose weights depend on the text, and whose next token on the heads that are off."""

    def __init__(self):
        self.calls = []

    def __call__(self, text, *, off=()):
        self.calls.append((text, tuple(off)))
        if text == "":
            raise ValueError("the text is empty; type at least one character")
        if "crash" in text:
            raise KeyError("lost")
        if "interrupt" in text:
            raise KeyboardInterrupt
        score_V = np.random.default_rng(len(text)).normal(size=len(VOCABULARY))
        score_V += sum((layer + 1) * np.sin(head + np.arange(len(score_V))) for layer, head in off)
        probabilities = np.exp(score_V) / np.exp(score_V).sum()
        tokens = text.split(" ")
        return reading(
            part(tokens, seed=len(text)),
            probabilities=probabilities.astype(np.float32),
            vocabulary=VOCABULARY,
        )


def explorer_on(raw, **options):
    return AttentionExplorer(lambda text, *, off=(): raw, text="x", **options)


def ask(explorer, **request):
    """Send a request as the browser does, and return the answer and its payload."""
    explorer.set_state({"request": request})
    return explorer.answer, explorer.payload


def unpacked(explorer, side="a"):
    """The maps of every part, read from the wire as the contract says: (L, H, T, S) weights."""
    data = getattr(explorer, f"{side}_bytes")
    for described in getattr(explorer, side)["parts"]:
        shape = tuple(described[name] for name in ("layers", "heads"))
        shape += (len(described["queries"]), len(described["keys"]))
        size = int(np.prod(shape))
        bytes_ = np.frombuffer(data, np.uint8, size, described["at"]).reshape(shape)
        peaks = np.frombuffer(data, "<f4", size // shape[-1], described["peaks_at"])
        yield bytes_ * (peaks.reshape(*shape[:-1], 1) / 255)


def wire_size(T, layers=2, heads=3):
    """Bytes of a reading that is sent whole."""
    maps = layers * heads + layers + 1  # heads, means of layers, mean of all
    return maps * (T * T + 4 * T) + layers * heads * min(T, 32) ** 2


def assert_nearest_steps(found, weights):
    """Each is as near to the weight as a byte goes: half a step of its row."""
    half = weights.max(axis=-1, keepdims=True) / np.float64(510) + 1e-38
    assert (np.abs(found - weights) <= half * (1 + 1e-4)).all()


# --- bytes ---

weight_arrays = arrays.arrays(
    np.float32, st.integers(1, 50), elements=st.floats(0, 1, width=32, allow_nan=False)
)


@given(weight_arrays)
def test_a_byte_is_the_nearest_of_256_steps(weights):
    bytes_ = quantised(weights)
    assert bytes_.dtype == np.uint8
    np.testing.assert_array_less(np.abs(bytes_ - weights * 255.0), 0.5 + 1e-4)
    order = np.argsort(weights, kind="stable")
    assert np.all(np.diff(bytes_[order].astype(int)) >= 0)


def test_bytes_stay_in_range_where_rounding_left_it():
    assert quantised(np.float32([-0.01, 1.01, 0, 1])).tolist() == [0, 255, 0, 255]


@pytest.mark.parametrize("largest", [1, 0.5, 1 / 512, 1e-30])
def test_a_row_has_all_256_steps_however_small_its_weights_are(largest):
    weights = (np.arange(256)[::-1] / 255 * largest).astype(np.float32)
    bytes_, peaks = rows_quantised(np.stack([weights, np.zeros(256, np.float32)]))
    assert bytes_.tolist() == [list(range(255, -1, -1)), [0] * 256]
    assert peaks.tolist() == [np.float32(largest), 0]
    assert (bytes_.dtype, peaks.dtype) == (np.uint8, np.float32)


@given(weight_arrays)
def test_a_weight_is_sent_to_half_a_step_of_its_row(weights):
    bytes_, peaks = rows_quantised(weights[np.newaxis])
    assert peaks[0] == weights.max()
    assert_nearest_steps(bytes_ * (peaks[:, np.newaxis].astype(np.float64) / 255), weights)


def test_rows_stay_in_range_where_rounding_left_it():
    bytes_, peaks = rows_quantised(np.float32([[-0.01, 1.01], [-0.01, 0]]))
    assert (bytes_.tolist(), peaks.tolist()) == ([[0, 255], [0, 0]], [1, 0])


@pytest.mark.parametrize(("T", "S"), [(5, 5), (32, 32), (33, 33), (70, 40), (20, 100), (1, 1)])
def test_a_thumbnail_holds_the_largest_weight_of_each_rectangle(T, S):
    weights_LHTS = random_weights(np.random.default_rng(0), (2, 2, T, S), causal=False)
    thumbs_LHRC = thumbnails(weights_LHTS)
    rows, cols = min(T, 32), min(S, 32)
    assert thumbs_LHRC.shape == (2, 2, rows, cols)
    for row in range(rows):
        for col in range(cols):
            block = weights_LHTS[
                :,
                :,
                row * T // rows : (row + 1) * T // rows,
                col * S // cols : (col + 1) * S // cols,
            ]
            expected = quantised(block.max(axis=(2, 3)))
            np.testing.assert_array_equal(thumbs_LHRC[:, :, row, col], expected)


@pytest.mark.parametrize("size", [1, 20, 32, 33, 60])
def test_one_byte_a_value_their_rows_peaks_and_small_pictures_are_all_that_travels(size):
    raw = reading(part([f"t{i}" for i in range(size)], layers=3, heads=4))
    explorer = explorer_on(raw)
    assert len(explorer.a_bytes) == wire_size(size, layers=3, heads=4)
    _, paths, buffers = _remove_buffers(explorer.get_state())
    # Nested buffers break in some front ends: every one is a trait of its own.
    assert {tuple(path) for path in paths} == {("a_bytes",), ("b_bytes",), ("payload",)}
    assert sum(len(buffer) for buffer in buffers) == len(explorer.a_bytes)
    [maps] = unpacked(explorer)
    assert_nearest_steps(maps, raw.parts[0].weights_LHTS)


@pytest.mark.parametrize(("T", "whole"), [(1000, True), (1001, False)])
def test_beyond_4_megabytes_layers_come_one_at_a_time(T, whole):
    raw = reading(part(["x"] * T, layers=1, heads=4))
    assert (raw.parts[0].weights_LHTS.size <= WHOLE_BYTES) == whole
    explorer = explorer_on(raw, longest=T)
    described = explorer.a["parts"][0]
    assert described["whole"] == whole
    if whole:
        return
    assert [described[name] for name in ("at", "peaks_at", "mean_at", "mean_peaks_at")] == [
        None
    ] * 4
    assert len(explorer.a_bytes) == T * T + 4 * T + 4 * 32 * 32
    answer, payload = ask(explorer, n=5, kind="layer", side="a", part=0, layer=0)
    assert (answer["n"], answer["of"], answer["error"]) == (5, 0, "")
    weights_HTS = raw.parts[0].weights_LHTS[0]
    assert len(payload) == 5 * (T * T + 4 * T)
    bytes_ = np.frombuffer(payload, np.uint8, 5 * T * T).reshape(5, T, T)
    peaks = np.frombuffer(payload, "<f4", 5 * T, 5 * T * T).reshape(5, T, 1)
    assert_nearest_steps(bytes_ * (peaks / 255), np.stack([*weights_HTS, weights_HTS.mean(axis=0)]))


def test_the_limit_counts_all_parts_together():
    parts = [part(["x"] * 900, layers=1, heads=3, name=name) for name in ("encoder", "decoder")]
    explorer = explorer_on(reading(*parts), longest=900)
    assert [described["whole"] for described in explorer.a["parts"]] == [False, False]


def test_the_browser_reads_the_bytes_as_they_were_written():
    encoder = part(["a", "b", "c"], causal=False, name="encoder")
    cross = part(["x", "y"], ["a", "b", "c"], causal=False, name="cross-attention", seed=1)
    long = part(["t"] * 40, layers=2, heads=2, name="long", seed=2)
    explorer = explorer_on(reading(encoder, cross, long))
    saved = _saved(explorer._page().decode())
    assert all(described["exact_at"] % 4 == 0 for described in saved["traits"]["a"]["parts"])
    body = f"""
        const bytes = Uint8Array.from(atob({json.dumps(saved["arrays"]["a_bytes"])}), (c) =>
            c.charCodeAt(0));
        const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
        const view = new DataView(await new Response(stream).arrayBuffer());
        const live = new Uint8Array({list(explorer.a_bytes)});
        const read = (header, view) => new m.Reading(header, m.bytesOf(view)).parts.map(
            (part) => ({{
            maps: [[0, 0], [1, 1], [1, -1], [-1, -1]].map(([l, h]) => [...part.weights(l, h)]),
            rows: [[1, 1], [0, -1], [-1, -1]].map(([l, h]) => part.exactRow(l, h, 1)).map((row) =>
                row && [...row]),
            small: [...part.miniature(1, 1)],
        }}));
        return [read({json.dumps(explorer.a)}, new DataView(live.buffer)),
                read({json.dumps(saved["traits"]["a"])}, view)];
    """
    live, standalone = run_javascript("attention_explorer.js", body)
    for number, raw in enumerate([encoder, cross, long]):
        w = raw.weights_LHTS
        expected = [w[0, 0], w[1, 1], w[1].mean(axis=0), w.mean(axis=(0, 1))]
        for found in (live[number], standalone[number]):
            for ours, map_TS in zip(found["maps"], expected, strict=True):
                assert_nearest_steps(np.reshape(ours, map_TS.shape), map_TS)
            assert found["small"] == thumbnails(w)[1, 1].ravel().tolist()
        assert live[number]["rows"] == [None] * 3
        exact = standalone[number]["rows"]
        assert exact[0] == w[1, 1, 1].tolist()  # to the last bit
        np.testing.assert_allclose(exact[1], w[0].mean(axis=0)[1], rtol=1e-6)
        np.testing.assert_allclose(exact[2], w.mean(axis=(0, 1))[1], rtol=1e-6)


# --- exact numbers ---


def test_weights_and_rows_are_the_float32_that_was_read():
    reader = FakeReader()
    explorer = AttentionExplorer(reader, text="one two three", compare="one two four more")
    for side, text in (("a", "one two three"), ("b", "one two four more")):
        weights_LHTS = reader(text).parts[0].weights_LHTS
        places = {
            (1, 2): weights_LHTS[1, 2],
            (0, -1): weights_LHTS[0].mean(axis=0),
            (-1, -1): weights_LHTS.mean(axis=(0, 1)),
        }
        for (layer, head), map_TS in places.items():
            found_TS = explorer.weights(layer, head, side=side)
            assert found_TS.dtype == np.float32
            np.testing.assert_array_equal(found_TS, map_TS)
            answer, payload = ask(
                explorer,
                n=layer + 9,
                kind="row",
                side=side,
                part=0,
                layer=layer,
                head=head,
                query=2,
            )
            assert answer["error"] == ""
            np.testing.assert_array_equal(np.frombuffer(payload, "<f4"), map_TS[2])


def test_what_weights_gives_away_is_a_copy():
    explorer = AttentionExplorer(FakeReader(), text="one two")
    explorer.weights(0, 0)[:] = 7
    assert explorer.weights(0, 0).max() <= 1


def test_double_precision_and_tensors_are_welcome():
    import torch

    weights_LHTS = random_weights(np.random.default_rng(0), (1, 1, 3, 3)).astype(np.float64)
    for given_ in (weights_LHTS, torch.tensor(weights_LHTS), weights_LHTS.tolist()):
        raw = reading(part(["a", "b", "c"], layers=1, heads=1, weights_LHTS=given_, statistics={}))
        np.testing.assert_array_equal(
            explorer_on(raw).weights(0, 0), weights_LHTS[0, 0].astype(np.float32)
        )


# --- what a reading must be ---

GOOD = part(["a", "b"])
HALF = np.full((2, 3, 2, 2), 0.5, np.float32)
NAN, TWO, LATER, SHORT = (GOOD.weights_LHTS.copy() for _ in range(4))
NAN[1, 2, 1, 0], TWO[0, 1, 0, 0], SHORT[1, 0, 1] = np.nan, 2, [0.4, 0.4]
LATER[1, 1, 0] = [0.25, 0.75]


@pytest.mark.parametrize(
    ("raw", "error", "words"),
    [
        (None, TypeError, r"read\('x'\) returned a NoneType without parts; return an"),
        (reading(), ValueError, r"parts=\(\) is empty; give at least one"),
        (reading(3), TypeError, r"parts\[0\] is a int without name; return AttentionParts"),
        (reading(part(["a"], name="")), TypeError, r"parts\[0\].name='' is no name; use"),
        (
            reading(SimpleNamespace(**vars(part(["a"])) | {"queries": "a"})),
            TypeError,
            "queries is one string; give a list",
        ),
        (reading(part(["a", b"b"])), TypeError, r"queries\[1\]=b'b' is not a string; give"),
        (reading(part(["a", "b"], ["a", 3])), TypeError, r"keys\[1\]=3 is not a string; give"),
        (
            reading(SimpleNamespace(**vars(part(["a"])) | {"queries": ()})),
            ValueError,
            "queries is empty; give at least one token",
        ),
        (
            reading(part(["a"], weights_LHTS=GOOD.weights_LHTS)),
            ValueError,
            r"shape \(2, 3, 2, 2\), but there are 1 queries and 1 keys; give \(layers, heads, 1, 1",
        ),
        (reading(part(["a"], weights_LHTS=np.ones((1, 1)))), ValueError, r"shape \(1, 1\), but"),
        (reading(part(["a"], weights_LHTS=np.ones((0, 1, 1, 1)))), ValueError, r"shape \(0, 1,"),
        (reading(part(["a"], weights_LHTS="no")), TypeError, "a str and no array of numbers; give"),
        (
            reading(part(["a", "b"], weights_LHTS=NAN)),
            ValueError,
            r"weights_LHTS\[1, 2, 1, 0\]=nan \(1 such values\), but a weight lies from 0 to 1",
        ),
        (reading(part(["a", "b"], weights_LHTS=TWO)), ValueError, r"\[0, 1, 0, 0\]=2 \(1 such"),
        (reading(part(["a", "b"], weights_LHTS=-HALF)), ValueError, r"=-0.5 \(24 such values\)"),
        (
            reading(part(["a", "b"], weights_LHTS=SHORT)),
            ValueError,
            r"\[1, 0, 1\] sums to 0.8, but the weights of a query sum to 1; return them after the",
        ),
        (
            reading(part(["a", "b"], weights_LHTS=LATER)),
            ValueError,
            r"\[1, 1, 0, 1\]=0.75 is weight on a later token, but causal=True; mask before",
        ),
        (
            reading(part(["a"], ["a", "b"])),
            ValueError,
            "1 queries and 2 keys, but causal attention reads its own tokens",
        ),
        (
            reading(part(["a"], statistics={"entropy": [1.0]})),
            ValueError,
            r"statistics\['entropy'\] has shape \(1,\); give one number per layer and head, \(2, 3",
        ),
        (
            reading(part(["a"], statistics={"entropy": np.full((2, 3), np.nan)})),
            ValueError,
            r"\[0, 0\]=nan cannot be drawn; leave out a statistic",
        ),
        (
            reading(GOOD, probabilities=np.full(3, 1 / 3), vocabulary=["a", "b"]),
            ValueError,
            r"probabilities has shape \(3,\), but the vocabulary has 2 tokens; return one",
        ),
        (
            reading(GOOD, probabilities=np.array([3.0, 1.0]), vocabulary=["a", "b"]),
            ValueError,
            "probabilities sum to 4, the smallest is 1; return the softmax",
        ),
        (
            reading(GOOD, probabilities=np.full(2, np.nan), vocabulary=["a", "b"]),
            ValueError,
            "probabilities sum to nan",
        ),
    ],
)
def test_a_reading_that_is_none_is_named_at_construction_and_shown_later(raw, error, words):
    with pytest.raises(error, match=words):
        explorer_on(raw)
    returned = [reading(GOOD), raw]
    explorer = AttentionExplorer(lambda text, *, off=(): returned.pop(0), text="x")
    before = explorer.a_bytes
    explorer.text = "y"
    assert explorer.a["error"].startswith(f"{error.__name__}: read('y')")
    assert explorer.a["shown_text"] == "x"
    assert explorer.a_bytes == before


def test_other_mistakes_at_construction():
    with pytest.raises(TypeError, match="read='x' is not a function; pass AttentionReader"):
        AttentionExplorer("x")
    with pytest.raises(ValueError, match="longest=0 tokens cannot be shown; use 512"):
        AttentionExplorer(FakeReader(), longest=0)
    with pytest.raises(TypeError, match="text=3 is not a string"):
        AttentionExplorer(FakeReader(), text=3)
    with pytest.raises(ValueError, match="layer=2 is not there; use 0 to 1; -1 is the mean"):
        AttentionExplorer(FakeReader(), layer=2)
    with pytest.raises(ValueError, match="head=True is not there; use 0 to 2; -1 is the mean"):
        AttentionExplorer(FakeReader(), head=True)
    with pytest.raises(ValueError, match="statistic='induction' is unknown; use entropy, first"):
        AttentionExplorer(FakeReader(), statistic="induction")
    with pytest.raises(ValueError, match="the text is empty; type at least one character"):
        AttentionExplorer(FakeReader(), text="")
    with pytest.raises(ZeroDivisionError):
        AttentionExplorer(lambda text, *, off=(): 1 / 0)


def test_too_many_tokens_are_refused_where_they_are_typed():
    explorer = AttentionExplorer(FakeReader(), text="a b c", longest=3)
    explorer.text = "a b c d"
    assert explorer.a["error"] == "the text has 4 tokens and at most 3 are shown; shorten it"
    assert explorer.a["shown_text"] == "a b c"


# --- the talk with the browser ---


def test_a_text_is_answered_in_one_update(monkeypatch):
    explorer = AttentionExplorer(FakeReader(), text="one two")
    updates = []
    monkeypatch.setattr(explorer, "send_state", lambda key=None: updates.append(set(key)))
    ask(explorer, n=7, kind="read", side="a", text="one two three", off=[[1, 2]])
    assert updates == [{"a", "a_bytes"}]
    assert (explorer.a["n"], explorer.text, explorer.off) == (7, "one two three", ((1, 2),))
    assert explorer.a["parts"][0]["queries"] == ["one", "two", "three"]
    ask(explorer, n=8, kind="read", side="b", text="one", off=[])
    assert updates[1:] == [{"b", "b_bytes"}]
    assert (explorer.b["n"], explorer.compare) == (8, "one")
    ask(explorer, n=9, kind="row", side="b", part=0, layer=0, head=0, query=0)
    assert updates[2:] == [{"answer", "payload"}]
    assert (explorer.answer["n"], explorer.answer["of"]) == (9, 8)
    ask(explorer, n=10, kind="read", side="b", text="", off=[])
    assert explorer.b == {
        "n": 10, "text": "", "off": [], "error": "", "shown_text": "", "shown_off": [],
        "longest": 512, "parts": [], "next": None,
    }  # fmt: skip
    assert explorer.b_bytes == b""
    assert explorer.compare is None


def test_what_is_sent_is_plain_json():
    explorer = AttentionExplorer(FakeReader(), text="one two", compare="three")
    ask(explorer, n=1, kind="html")
    state, _, _ = _remove_buffers(explorer.get_state())
    json.dumps({name: value for name, value in state.items() if name != "layout"}, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is empty; type at least one character"),
        ("crash", "KeyError: 'lost'"),
        ("interrupt", "read was interrupted; change the text to try again"),
    ],
)
def test_whatever_goes_wrong_becomes_a_message_and_the_picture_stays(text, message):
    explorer = AttentionExplorer(FakeReader(), text="one two")
    before, data, picture = explorer.a, explorer.a_bytes, explorer._repr_mimebundle_()[0]
    ask(explorer, n=3, kind="read", side="a", text=text, off=[[0, 0]])
    assert explorer.a == before | {"n": 3, "text": text, "off": [[0, 0]], "error": message}
    assert explorer.a_bytes == data
    assert explorer._repr_mimebundle_()[0]["image/png"] == picture["image/png"]
    with pytest.raises(ValueError, match=message[:20]):
        explorer.weights(0, 0)
    with pytest.raises(ValueError, match=message[:20]):
        explorer.next_tokens()
    ask(explorer, n=4, kind="read", side="a", text="well again", off=[])
    assert (explorer.a["error"], explorer.a["shown_text"]) == ("", "well again")


def test_an_error_of_the_second_text_leaves_the_first_alone():
    explorer = AttentionExplorer(FakeReader(), text="one two", compare="one")
    a, b = explorer.a, explorer.b
    explorer.compare = "crash"
    assert explorer.a == a
    assert explorer.b["error"] == "KeyError: 'lost'"
    assert explorer.b["parts"] == b["parts"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"kind": "layer", "side": "a", "part": 0, "layer": 2}, "layer=2 is not there; use 0 to 1"),
        ({"kind": "layer", "side": "a", "part": 1, "layer": 0}, "part=1 is not there; use 0 to 0"),
        (
            {"kind": "row", "side": "a", "part": 0, "layer": 0, "head": 0, "query": 9},
            "query=9 is not there; use 0 to 1",
        ),
        (
            {"kind": "row", "side": "a", "part": 0, "layer": -1, "head": 1, "query": 0},
            "layer=-1 is the mean over all layers and heads",
        ),
        ({"kind": "layer", "side": "b", "part": 0, "layer": 0}, 'side="b" has no text'),
    ],
)
def test_a_late_request_for_what_is_gone_is_answered_with_a_message(request_, message):
    explorer = AttentionExplorer(FakeReader(), text="one two")
    answer, payload = ask(explorer, n=2, **request_)
    assert (answer["n"], payload) == (2, b"")
    assert answer["error"].startswith(message)


def test_off_heads_are_checked_wherever_they_come_from():
    explorer = AttentionExplorer(FakeReader(), text="one two")
    for off, words in [
        ([(2, 0)], "layer=2 is not there; use 0 to 1"),
        ([(0, -1)], "head=-1 is not there; use 0 to 2"),
        ([(0, 1.5)], "head=1.5 is not there"),
        ([(0, 1, 2)], r"off holds \(0, 1, 2\); give pairs of layer and head"),
        ([3], "off holds 3; give pairs"),
    ]:
        with pytest.raises(ValueError, match=words):
            explorer.off = off
        assert explorer.off == ()
        ask(explorer, n=1, kind="read", side="a", text="one", off=off)
        assert explorer.a["error"]
        assert explorer.a["off"] == []
    explorer.off = [(np.int64(1), 2), (0, 1), (1, 2)]
    assert explorer.off == ((0, 1), (1, 2))
    assert explorer.a["off"] == explorer.a["shown_off"] == [[0, 1], [1, 2]]
    parts = [part(["a"], name=name) for name in ("encoder", "decoder")]
    with pytest.raises(ValueError, match="has 2 kinds of attention; heads can be switched off wh"):
        explorer_on(reading(*parts)).off = [(0, 0)]


def test_next_tokens_before_and_after():
    reader = FakeReader()
    explorer = AttentionExplorer(reader, text="one two")
    p = reader("one two").probabilities
    ids = np.argsort(-p)[:10]
    assert explorer.next_tokens() == [(VOCABULARY[i], float(p[i]), float(p[i])) for i in ids]
    explorer.off = [(1, 0)]
    q = reader("one two", off=[(1, 0)]).probabilities
    ids = sorted(np.argsort(-np.maximum(p, q))[:10], key=lambda i: -p[i])
    expected = [(VOCABULARY[i], float(p[i]), float(q[i])) for i in ids]
    assert explorer.next_tokens() == expected
    assert VOCABULARY[q.argmax()] in [token for token, _, _ in expected]
    tokens, before, after = zip(*expected, strict=True)
    assert explorer.a["next"] == {
        "tokens": list(tokens), "before": list(before), "after": list(after)
    }  # fmt: skip
    silent = explorer_on(reading(GOOD))
    assert (silent.a["next"], silent.next_tokens()) == (None, [])


def test_python_sets_texts_heads_and_choice_and_announces_them():
    reader = FakeReader()
    explorer = AttentionExplorer(reader, text="one two", layer=1, head=2, statistic="first token")
    assert explorer.view == {
        "part": 0, "layer": 1, "head": 2, "statistic": "first token", "scale": "fixed",
        "query": None, "mode": "a",
    }  # fmt: skip
    explorer.text = "one two three"
    explorer.compare = "one two four"
    assert (explorer.a["n"], explorer.b["n"]) == (-1, -2)
    explorer.off = [(0, 1)]
    assert reader.calls[-4:] == [
        ("one two three", ((0, 1),)), ("one two three", ()),
        ("one two four", ((0, 1),)), ("one two four", ()),
    ]  # fmt: skip
    explorer.text = "one"
    assert explorer.a["off"] == [[0, 1]]
    explorer.compare = None
    assert explorer.b["text"] == ""
    explorer.select(-1, -1)
    assert (explorer.view["layer"], explorer.view["head"]) == (-1, -1)
    with pytest.raises(ValueError, match=r"layer=-1 is the mean over all layers and heads, it has"):
        explorer.select(-1, 2)
    with pytest.raises(ValueError, match="head=3 is not there; use 0 to 2; -1 is the mean"):
        explorer.select(0, 3)
    with pytest.raises(ValueError, match="part=1 is not there; use 0 to 0"):
        explorer.select(0, 0, part=1)
    with pytest.raises(ValueError, match='side="b" has no text; set compare first'):
        explorer.weights(0, 0, side="b")
    with pytest.raises(ValueError, match="side='c' is not there"):
        explorer.weights(0, 0, side="c")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scale": "log"}, "scale='log' is unknown; use fixed, row"),
        ({"mode": "c"}, "mode='c' is unknown; use a, b, difference"),
        ({"statistic": "entorpy"}, "statistic='entorpy' is unknown; use entropy, first token"),
        ({"zoom": 2}, "view has no 'zoom'; it holds part, layer"),
        ({"query": -1}, "query=-1 is not there; use 0 to 511"),
    ],
)
def test_a_view_that_makes_no_sense_is_refused(change, words):
    explorer = AttentionExplorer(FakeReader(), text="one two")
    view = explorer.view
    with pytest.raises(ValueError, match=words):
        explorer.view = {**view, **change}
    assert explorer.view == view


def test_a_second_page_and_a_reload_find_everything():
    explorer = AttentionExplorer(FakeReader(), text="one two", compare="one three")
    explorer.off = [(1, 1)]
    explorer.select(1, 0)
    state = explorer.get_state()
    assert state["view"]["layer"] == 1
    for side, text in (("a", "one two"), ("b", "one three")):
        assert (state[side]["text"], state[side]["off"]) == (text, [[1, 1]])
        assert state[side]["parts"]
        assert len(state[f"{side}_bytes"]) == wire_size(2)


def test_requests_on_another_thread_and_texts_from_the_main_one_end_on_one_text():
    explorer = AttentionExplorer(FakeReader(), text="x")

    def request():
        for n in range(60):
            ask(explorer, n=n, kind="read", side="a", text="b " * (n % 5) + "b", off=[])

    thread = threading.Thread(target=request)
    thread.start()
    for n in range(60):
        explorer.text = "p " * (n % 7) + "p"
    thread.join()
    assert explorer.a["parts"][0]["queries"] == explorer.text.split(" ")
    assert len(explorer.a_bytes) == wire_size(len(explorer.text.split(" ")))


# --- hostile text ---


def test_half_a_surrogate_pair_never_reaches_the_wire():
    explorer = explorer_on(
        reading(part(["\ud800", "a\udc00"]), probabilities=[1.0, 0.0], vocabulary=["\ud800", "b"])
    )
    assert explorer.a["parts"][0]["queries"] == ["\ufffd", "a\ufffd"]
    assert explorer.next_tokens()[0][0] == "\ufffd"
    reader = FakeReader()
    explorer = AttentionExplorer(reader, text="a\ud800")
    explorer.compare = "\udc00b"
    ask(explorer, n=1, kind="read", side="a", text="😀\ud83d", off=[])
    assert [text for text, _ in reader.calls] == ["a\ufffd", "\ufffdb", "😀\ufffd"]


class Page(html.parser.HTMLParser):
    """What a browser would make of a page: its elements, and the text of scripts and titles."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.inside = [], {}, False
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.inside = True

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.texts[len(self.elements) - 1] = self.texts.get(len(self.elements) - 1, "") + data

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data[:80]!r}")

    def text(self, tag, **attributes):
        [found] = [
            self.texts.get(i, "")
            for i, (name, given_) in enumerate(self.elements)
            if name == tag and attributes.items() <= given_.items()
        ]
        return found


def _saved(source):
    return json.loads(Page(source).text("script", type="application/json"))


def _bytes(saved, name):
    return zlib.decompress(base64.b64decode(saved["arrays"][name]))


def hostile_explorer(**options):
    raw = reading(
        part(HOSTILE, name="</style>"),
        probabilities=np.full(len(HOSTILE), 1 / len(HOSTILE)),
        vocabulary=HOSTILE,
    )
    return AttentionExplorer(lambda text, *, off=(): raw, text="".join(HOSTILE), **options)


def test_a_saved_page_holds_the_text_as_text_and_one_script(tmp_path):
    explorer = hostile_explorer(compare=HOSTILE[0])
    explorer.save(tmp_path / "page.html")
    source = (tmp_path / "page.html").read_text("utf-8")
    page = Page(source)
    names = [name for name, _ in page.elements]
    assert names == [
        "html", "head", "meta", "meta", "meta", "title", "style", "body", "main", "h1", "div",
        "noscript", "img", "script", "script",
    ]  # fmt: skip
    assert page.elements[0] == ("html", {"lang": "en"})
    assert source.startswith("<!doctype html>")
    assert "onerror=alert(1)" in page.text("title")
    assert "\x00" not in source
    assert not set(page.text("script", type="application/json")) & set("<>&\u2028\u2029")
    saved = _saved(source)
    tokens = [token.replace("\ud800", "\ufffd") for token in HOSTILE]
    assert saved["traits"]["a"]["parts"][0]["queries"] == tokens
    assert saved["traits"]["standalone"] is True
    [policy] = [a["content"] for _, a in page.elements if "http-equiv" in a]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    digest = hashlib.sha256(page.text("script", type="module").encode()).digest()
    assert rules == {
        "default-src": "'none'",
        "script-src": f"'sha256-{base64.b64encode(digest).decode()}'",
        "style-src": "'unsafe-inline'",
        "img-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert "http:" not in source.replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in source


def test_a_saved_page_holds_every_number_and_the_present_choice():
    explorer = AttentionExplorer(FakeReader(), text="one two three", compare="one two four")
    explorer.off = [(1, 1)]
    explorer.select(1, 2)
    explorer.text = "crash"  # the page shows what is seen: the last good reading
    _, payload = ask(explorer, n=6, kind="html")
    assert (explorer.answer["name"], explorer.answer["error"]) == ("attention.html", "")
    saved = _saved(payload.decode("utf-8"))
    assert saved["traits"]["view"] == explorer.view
    for side, text in (("a", "one two three"), ("b", "one two four")):
        trait, data = saved["traits"][side], _bytes(saved, f"{side}_bytes")
        assert (trait["text"], trait["shown_text"], trait["error"]) == (text, text, "")
        assert trait["off"] == [[1, 1]]
        [described] = trait["parts"]
        assert described["exact_at"] % 4 == 0
        exact = np.frombuffer(data, "<f4", 2 * 3 * 9, described["exact_at"])
        expected = FakeReader()(text).parts[0].weights_LHTS
        np.testing.assert_array_equal(exact.reshape(2, 3, 3, 3), expected)


def test_a_page_of_a_long_text_holds_all_layers_though_the_wire_did_not():
    raw = reading(part(["x"] * 1001, layers=1, heads=4))
    explorer = explorer_on(raw, longest=1001)
    saved = _saved(explorer._page().decode())
    [described] = saved["traits"]["a"]["parts"]
    assert described["whole"] is True
    assert "exact_at" not in described  # more than a million numbers
    data = _bytes(saved, "a_bytes")
    maps = np.frombuffer(data, np.uint8, 4 * 1001**2, described["at"]).reshape(4, 1001, 1001)
    peaks = np.frombuffer(data, "<f4", 4 * 1001, described["peaks_at"]).reshape(4, 1001, 1)
    assert_nearest_steps(maps * (peaks / 255), raw.parts[0].weights_LHTS[0])


def test_a_page_that_would_be_too_large_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("llmlab.viz.attention_explorer._LARGEST_PAGE", 20)
    explorer = AttentionExplorer(FakeReader(), text="one two")
    words = "the page would hold 24 weights and has room for 20; shorten the text"
    with pytest.raises(ValueError, match=words):
        explorer.save(tmp_path / "page.html")
    answer, payload = ask(explorer, n=1, kind="html")
    assert answer["error"].startswith(words)
    assert payload == b""
    assert list(tmp_path.iterdir()) == []


# --- still forms ---


def test_the_words_and_the_picture_of_a_saved_notebook():
    explorer = AttentionExplorer(FakeReader(), text="one two")
    data, _ = explorer._repr_mimebundle_()
    assert data["text/plain"] == repr(explorer) == "AttentionExplorer(text='one two', 2 x 3 heads)"
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.model_id
    explorer.compare = "y" * 90
    assert repr(explorer) == (
        f"AttentionExplorer(text='one two', compare='{'y' * 60}…', 2 x 3 heads)"
    )


def test_the_picture_follows_the_view():
    explorer = AttentionExplorer(FakeReader(), text="one two three", compare="one two")
    pictures = []
    for change in (
        {}, {"layer": 1, "head": 2}, {"layer": -1, "head": -1}, {"scale": "row", "mode": "a"},
        {"statistic": "first token"}, {"mode": "b"}, {"mode": "difference"},
    ):  # fmt: skip
        explorer.view = {**explorer.view, **change}
        pictures.append(explorer._repr_mimebundle_()[0]["image/png"])
    assert len(set(pictures)) == len(pictures)
    explorer.compare = None
    assert explorer._repr_mimebundle_()[0]["image/png"] == pictures[4]


def test_the_still_picture_names_the_part_where_there_are_several():
    one, two = part(["a", "b"]), part(["a", "b"])
    several = explorer_on(reading(one, two))._repr_mimebundle_()[0]["image/png"]
    assert several != explorer_on(reading(one))._repr_mimebundle_()[0]["image/png"]


def test_what_is_drawn_is_what_was_read():
    reader = FakeReader()
    explorer = AttentionExplorer(reader, text="one two three", compare="one two", layer=1, head=2)
    a = reader("one two three").parts[0].weights_LHTS[1, 2]
    b = reader("one two").parts[0].weights_LHTS[1, 2]
    shown = explorer._shown()
    np.testing.assert_array_equal(shown.drawn(), b - a[:2, :2])
    assert shown.tokens("keys") == ["one", "two"]
    explorer.view = {**explorer.view, "mode": "a"}
    np.testing.assert_array_equal(explorer._shown().drawn(), a)
    explorer.view = {**explorer.view, "scale": "row"}
    np.testing.assert_array_equal(explorer._shown().drawn().max(axis=1), 1)
    explorer.view = {**explorer.view, "mode": "b", "scale": "fixed"}
    np.testing.assert_array_equal(explorer._shown().drawn(), b)
    explorer.compare = "two two"
    explorer.view = {**explorer.view, "mode": "difference"}
    assert explorer._shown().tokens("queries") == ["one | two", "two"]


def test_no_picture_of_any_token_warns():
    explorer = hostile_explorer(compare="x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for mode in ("a", "difference"):
            explorer.view = {**explorer.view, "mode": mode}
            assert explorer._repr_mimebundle_()[0]["image/png"].startswith(b"\x89PNG")
    for count in (1, 2, 600):
        explorer = explorer_on(reading(part(["$\\frac$"] * count, statistics={})), longest=600)
        assert explorer._repr_mimebundle_()[0]["image/png"]


@pytest.mark.parametrize(
    ("suffix", "start"),
    [(".png", b"\x89PNG"), (".SVG", b"<?xml"), (".html", b"<!doctype html>")],
)
def test_save_writes_the_file_whole(tmp_path, suffix, start):
    explorer = hostile_explorer()
    path = tmp_path / f"attention{suffix}"
    path.write_bytes(b"old")
    explorer.save(str(path))
    assert path.read_bytes().startswith(start)
    assert list(tmp_path.iterdir()) == [path]
    first = path.read_bytes()
    explorer.save(path)
    assert path.read_bytes() == first


def test_an_svg_is_well_formed_and_holds_no_text_that_could_be_markup(tmp_path):
    import xml.etree.ElementTree as ET

    hostile_explorer().save(tmp_path / "a.svg")
    tags = {element.tag.split("}")[1] for element in ET.parse(tmp_path / "a.svg").iter()}
    assert "script" not in tags


def test_save_leaves_the_old_file_when_it_cannot_write(tmp_path, monkeypatch):
    explorer = AttentionExplorer(FakeReader(), text="one two")
    old = tmp_path / "a.png"
    old.write_bytes(b"old")
    with pytest.raises(ValueError, match=r"path='a.gif' does not say which format; end it in .png"):
        explorer.save("a.gif")
    with pytest.raises(ValueError, match="does not say which format"):
        explorer.save(tmp_path / "attention")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*missing; make it first"):
        explorer.save(tmp_path / "missing" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder; add a file name"):
        explorer.save(tmp_path / "folder.png")

    def full(self, data):
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"No space left on device; .* the file is as it was before"):
        explorer.save(old)
    assert old.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "folder.png"]
