"""The browser's half of AttentionExplorer without a browser: its pure parts, and its session."""

# L layers, H heads, T query position, S key position

import base64
import itertools
import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from .javascript import run_javascript

HOSTILE = "</script><img src=x onerror=alert(1)>"
MODULE = "attention_explorer.js"
seeds = st.integers(0, 2**32 - 1)


def js(body, **values):
    """Run a function body that sees these values by their names."""
    given = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    return run_javascript(MODULE, given + body)


def attention(*shape, causal, seed=0):
    """Random rows that sum to one, float32 (..., T, S)."""
    score = np.random.default_rng(seed).normal(size=shape) * 2
    if causal:
        score = np.where(np.tri(*shape[-2:]), score, -np.inf)
    weights = np.exp(score - score.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True)).astype(np.float32)


def quantised(weights):
    return np.rint(255 * weights.astype(np.float64)).astype(np.uint8)


def rows_quantised(weights):
    """Bytes of which 255 is the largest of its row, and these largest, float32."""
    peaks = weights.max(-1)
    return quantised(weights / np.where(peaks > 0, peaks, 1)[..., None]), peaks


def as_drawn(weights):
    """What the browser makes of them: nearest of 255 steps up to the largest of the row."""
    bytes_, peaks = rows_quantised(weights)
    return bytes_ * (peaks[..., None].astype(np.float64) / 255)


def layer_bytes(weights_HTS):
    """One layer as the kernel sends it."""
    (heads, peaks), (mean, mean_peaks) = map(rows_quantised, (weights_HTS, weights_HTS.mean(0)))
    return list(b"".join(array.tobytes() for array in (heads, mean, peaks, mean_peaks)))


def pooled(map_TS, rows, columns):
    """The largest of each rectangle, one loop at a time."""
    starts = [
        [r * size // count for r in range(count + 1)]
        for size, count in zip(map_TS.shape, (rows, columns), strict=True)
    ]
    result = np.zeros((rows, columns), map_TS.dtype)
    for r in range(rows):
        for c in range(columns):
            piece = map_TS[starts[0][r] : starts[0][r + 1], starts[1][c] : starts[1][c + 1]]
            result[r, c] = piece.max()
    return result


def sent(weights_LHTS, *, whole=True, causal=True, exact=False, thumb=32, start=0):
    """A part's header and the bytes it points into, as the contract of the wire says it."""
    L, H, T, S = weights_LHTS.shape
    data = bytearray(start)

    def add(array):
        at = len(data)
        data.extend(np.ascontiguousarray(array).tobytes())
        return at

    def add_rows(weights):
        return [add(array) for array in rows_quantised(weights)]

    rows, cols = min(T, thumb), min(S, thumb)
    at, peaks_at = add_rows(weights_LHTS) if whole else (None, None)
    mean_at, mean_peaks_at = add_rows(weights_LHTS.mean(1)) if whole else (None, None)
    all_at, all_peaks_at = add_rows(weights_LHTS.mean((0, 1)))
    header = {
        "name": "self-attention",
        "queries": [f"q{t}" for t in range(T)],
        "keys": [f"k{s}" for s in range(S)],
        "layers": L,
        "heads": H,
        "causal": causal,
        "whole": whole,
        "at": at,
        "peaks_at": peaks_at,
        "mean_at": mean_at,
        "mean_peaks_at": mean_peaks_at,
        "all_at": all_at,
        "all_peaks_at": all_peaks_at,
        "statistics": {"entropy": [float(i) for i in range(L * H)]},
    }
    if exact:
        add(b"\0" * (-len(data) % 4))
        header["exact_at"] = add(weights_LHTS)
    thumbs = [[pooled(quantised(w), rows, cols) for w in layer] for layer in weights_LHTS]
    header["thumb"] = {"rows": rows, "cols": cols, "at": add(np.array(thumbs))}
    return header, list(data)


# --- colours ---


def _linear(colours):
    share = np.asarray(colours) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def _lab(linear):
    """CIE L*a*b* of linear sRGB under D65."""
    matrix = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    xyz = linear @ np.transpose(matrix) / [0.95047, 1, 1.08883]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


# What people without one kind of cone see, after Machado, Oliveira and Fernandes (2009), table 1.
SIGHT = {
    "all cones": np.eye(3),
    "no red cones": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green cones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no blue cones": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def tables():
    body = """
        const rgb = (table) => Array.from(table, (colour) => m.rgb(colour));
        return [false, true].map((dark) => {
            const { weight, tint, difference, ink } = m.colourTables(dark);
            return [rgb(weight), rgb(tint), rgb(difference), m.rgb(ink)];
        });
    """
    return [[np.array(table) for table in theme] for theme in js(body)]


@pytest.fixture(scope="module")
def themes():
    return tables()


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("dark", [False, True])
def test_a_larger_weight_is_never_nearer_to_the_page_whatever_eyes_look(themes, dark, sight):
    weight, tint, difference, _ = themes[dark]
    for table, least in (
        (weight, 55),
        (tint, 12),
        (difference[255:], 40),
        (difference[255::-1], 40),
    ):
        seen = np.clip(_linear(table) @ np.transpose(SIGHT[sight]), 0, 1)
        lightness = _lab(seen)[:, 0] * (1 if dark else -1)
        assert np.diff(lightness).min() > -0.5  # eight bits a channel round
        assert (np.diff(lightness[::16]) > 0).all()
        assert lightness[-1] - lightness[0] > least


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("dark", [False, True])
def test_more_and_less_are_different_colours_whatever_eyes_look(themes, dark, sight):
    difference = themes[dark][2]
    assert len(difference) == 511
    lab = _lab(np.clip(_linear(difference) @ np.transpose(SIGHT[sight]), 0, 1))
    for size in (80, 128, 255):
        apart = np.linalg.norm(lab[255 + size] - lab[255 - size])
        assert apart > (8 if sight == "no blue cones" else 25), size
    if sight == "all cones":
        np.testing.assert_allclose(lab[255:, 0], lab[255::-1, 0], atol=6)


@pytest.mark.parametrize("dark", [False, True])
def test_a_map_is_seen_on_every_tint(themes, dark):
    _, tint, difference, ink = themes[dark]
    for ground in (*tint[::15], *difference[135:376:20]):
        lightness = _lab(_linear([ground, ink]))[:, 0]
        assert abs(lightness[0] - lightness[1]) > 38


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("signed", "share"), [(False, 0), (False, 1), (True, -1), (True, 1)])
def test_a_thumbnail_shows_a_faint_weight(themes, dark, signed, share):
    body = """
        const colours = m.blended(m.colourTables(dark), { peak: 1, signed }, share);
        return Array.from(colours, (colour) => m.rgb(colour));
    """
    lab = _lab(_linear(js(body, dark=dark, signed=signed, share=share)))
    towards_ink = (lab[:, 0] - lab[0, 0]) * (1 if dark else -1)
    assert towards_ink[26] > 6  # a weight of 0.1; two or three can just be told apart
    assert towards_ink[255] > 3 * towards_ink[26]
    assert np.diff(towards_ink).min() > -0.5


# --- the wire ---


@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_bytes_and_floats_are_read_wherever_they_start(start):
    numbers = np.array([0.25, -1.5, 3e-9], dtype="<f4")
    body = """
        const buffer = new Uint8Array([...new Array(start).fill(9), ...data]).buffer;
        const bytes = m.bytesOf(new DataView(buffer, start));
        return [[...bytes], [...m.floatsAt(bytes, 0, 3)], [...m.floatsAt(bytes, 4, 1)],
                m.bytesOf(undefined).length];
    """
    found = js(body, start=start, data=list(numbers.tobytes()))
    assert found == [list(numbers.tobytes()), numbers.tolist(), [-1.5], 0]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_maps_means_and_rows_are_those_of_numpy(whole, causal):
    weights_LHTS = attention(3, 2, 5, 5 if causal else 4, causal=causal, seed=3)
    header, data = sent(weights_LHTS, whole=whole, causal=causal, exact=True, start=1)
    layer = layer_bytes(weights_LHTS[1])
    body = """
        const part = new m.Part(header, new Uint8Array(data));
        const heads = [[1, 0], [1, 1], [1, -1], [-1, -1]];
        const before = heads.map(([l, h]) => part.weights(l, h) !== null);
        if (!header.whole) part.keep(1, new Uint8Array(layer));
        const bare = new m.Part({ ...header, exact_at: undefined }, part.bytes);
        return { before, maps: heads.map(([l, h]) => [...part.weights(l, h)]),
                 rows: heads.map(([l, h]) => [...part.exactRow(l, h, 2)]),
                 statistics: heads.map(([l, h]) => part.statistic('entropy', l, h)),
                 missing: [part.statistic('induction', 0, 0) ?? null, bare.exactRow(0, 0, 0)] };
    """
    found = js(body, header=header, data=data, layer=layer)
    maps = [
        weights_LHTS[1, 0],
        weights_LHTS[1, 1],
        weights_LHTS[1].mean(0),
        weights_LHTS.mean((0, 1)),
    ]
    assert found["before"] == ([True] * 4 if whole else [False, False, False, True])
    for ours, exact, row in zip(found["maps"], maps, found["rows"], strict=True):
        np.testing.assert_allclose(ours, as_drawn(exact).ravel(), rtol=1e-6)
        np.testing.assert_allclose(row, exact[2], atol=1e-7)
    assert found["statistics"] == [2, 3, 2.5, 2.5]
    assert found["missing"] == [None, None]


def test_only_some_layers_are_kept_and_only_whole_ones():
    weights_LHTS = attention(20, 1, 2, 2, causal=True)
    header, data = sent(weights_LHTS, whole=False)
    layers = [layer_bytes(weights_HTS) for weights_HTS in weights_LHTS]
    body = """
        const part = new m.Part(header, new Uint8Array(data));
        for (let l = 0; l < 20; l++) part.keep(l, new Uint8Array(layers[l]));
        part.keep(0, new Uint8Array(23));
        return [[...part.fetched.keys()], [...part.weights(19, -1)], part.weights(0, 0)];
    """
    kept, mean, gone = js(body, header=header, data=data, layers=layers)
    assert kept == list(range(8, 20))
    np.testing.assert_allclose(mean, as_drawn(weights_LHTS[19, 0]).ravel(), rtol=1e-6)
    assert gone is None


@given(st.integers(1, 600), st.integers(1, 32))
@settings(max_examples=20)
def test_a_token_lies_in_the_thumbnail_row_that_was_made_of_it(count, rows):
    rows = min(rows, count)
    starts = np.arange(rows) * count // rows
    expected = np.searchsorted(starts, np.arange(count), side="right") - 1
    body = "return Array.from({ length: count }, (_, t) => m.pooledRow(t, count, rows));"
    assert js(body, count=count, rows=rows) == expected.tolist()


def test_before_a_layer_comes_its_thumbnails_stand_in():
    weights_LHTS = attention(2, 3, 11, 7, causal=False, seed=5)
    header, data = sent(weights_LHTS, whole=False, causal=False, thumb=4)
    body = """
        const part = new m.Part(header, new Uint8Array(data));
        const small = [[1, 2], [1, -1], [-1, -1]].map(([l, h]) => part.miniature(l, h));
        return [part.guess(1, 2), ...small].map((numbers) => [...numbers]);
    """
    guess, small, layer, all_ = js(body, header=header, data=data)
    maps_LHRC = np.array([[pooled(quantised(w), 4, 4) for w in heads] for heads in weights_LHTS])
    assert small == maps_LHRC[1, 2].ravel().tolist()
    np.testing.assert_allclose(layer, maps_LHRC[1].mean(0).ravel(), atol=0.5)
    np.testing.assert_allclose(all_, maps_LHRC.mean((0, 1)).ravel(), atol=0.5)
    rows = [max(r for r in range(4) if r * 11 // 4 <= t) for t in range(11)]
    columns = [max(c for c in range(4) if c * 7 // 4 <= s) for s in range(7)]
    levels = np.round(255 * np.array(guess)).reshape(11, 7)
    np.testing.assert_allclose(levels, 255 * np.array(guess).reshape(11, 7), atol=1e-4)
    assert (levels == maps_LHRC[1, 2][np.ix_(rows, columns)]).all()
    assert (levels >= quantised(weights_LHTS[1, 2])).all()


@given(st.integers(1, 32), st.integers(1, 60))
@settings(max_examples=15)
def test_every_cell_of_a_thumbnail_is_seen_in_order(count, side):
    spans = js("return m.spansOf(count, side);", count=count, side=side)
    assert len(spans) == side
    assert spans[0][0] == 0
    assert spans[-1][1] == count
    assert set().union(*(range(*span) for span in spans)) == set(range(count))
    assert all(a[0] <= b[0] for a, b in itertools.pairwise(spans))


# --- the map that is shown ---

SHOWN = """
    const shownOf = ({ values, rows, columns, causal, signed = false }) => new m.Shown({
        queries: Array.from({ length: rows }, (_, t) => `q${t}`),
        keys: Array.from({ length: columns }, (_, t) => `k${t}`),
        values: Float32Array.from(values), causal, signed,
    });
"""


def shown(bytes_TS, *, causal, signed=False):
    """A map of weights, or of differences, that are multiples of 1/255."""
    return shown_weights(bytes_TS / 255, causal=causal, signed=signed)


def shown_weights(weights_TS, *, causal, signed=False):
    rows, columns = weights_TS.shape
    values = weights_TS.ravel().tolist()
    return {"values": values, "rows": rows, "columns": columns, "causal": causal, "signed": signed}


@pytest.mark.parametrize("scale", ["fixed", "row"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("signed", [True, False])
def test_every_cell_has_the_colour_of_its_value(scale, causal, signed):
    rng = np.random.default_rng(7)
    bytes_TS = rng.integers(0, 256, size=(6, 6)) // rng.integers(1, 9, size=(6, 1))
    bytes_TS[3] = 0  # a row without a peak
    if signed:
        bytes_TS = bytes_TS * rng.choice([-1, 1], size=(6, 6))
    body = (
        SHOWN
        + """
        const pixels = new Uint32Array(36).fill(7);
        const tables = m.colourTables(false);
        shownOf(map).paint(pixels, tables, scale);
        const table = map.signed ? tables.difference : tables.weight;
        return Array.from(pixels, (colour) => colour === 0 ? null : table.indexOf(colour));
    """
    )
    found = js(body, map=shown(bytes_TS, causal=causal, signed=signed), scale=scale)
    allowed = np.tri(6, dtype=bool) if causal else np.ones((6, 6), bool)
    gain = np.ones((6, 1))
    if scale == "row":
        peak = np.where(allowed, np.abs(bytes_TS), 0).max(1, keepdims=True)
        gain = np.where(peak > 0, 255 / np.maximum(peak, 1), 1)
    expected = np.round(bytes_TS * gain) + (255 if signed else 0)
    for ours, value, open_ in zip(found, expected.ravel(), allowed.ravel(), strict=True):
        if not open_:
            assert ours is None
        else:
            # neighbours may share a colour: the first of them is found
            assert ours is not None
            assert abs(ours - value) <= 3


def test_a_difference_is_the_second_less_the_first_where_both_have_tokens():
    a, b = attention(6, 6, causal=True), attention(5, 5, causal=True, seed=1)
    b[1] = a[1, :5] + np.float32([-1e-3, 1e-3, 0, 0, 0])  # a step is larger
    body = (
        SHOWN
        + """
        const [one, two] = [a, b].map(shownOf);
        one.queries[1] = one.keys[1] = 'cat';
        const found = m.Shown.difference(one, two);
        return { values: [...found.values], queries: found.queries, keys: found.keys,
                 kind: [found.signed, found.causal, found.coarse, found.rows, found.columns],
                 positions: m.differingPositions(one.queries, two.queries) };
    """
    )
    found = js(body, a=shown_weights(a, causal=True), b=shown_weights(b, causal=True))
    least = (a.max(1)[:5] + b.max(1)) / 255
    expected = b - a[:5, :5]
    expected[np.abs(expected) <= least[:, None]] = 0
    assert not expected[1].any()
    np.testing.assert_allclose(found["values"], expected.ravel(), atol=1e-7)
    assert found["queries"] == ["q0", "cat|q1", "q2", "q3", "q4"]
    assert found["keys"][1] == "cat|k1"
    assert found["kind"] == [True, True, False, 5, 5]
    assert found["positions"] == [1]


@settings(max_examples=12)
@given(
    seeds, st.integers(1, 9), st.integers(1, 9), st.booleans(), st.sampled_from(["fixed", "row"])
)
def test_lines_are_the_strongest_cells(seed, rows, columns, causal, scale):
    causal = causal and rows == columns
    values_TS = np.random.default_rng(seed).integers(0, 256, size=(rows, columns))
    body = SHOWN + "return [1500, 4].map((most) => shownOf(map).lines(scale, most));"
    everything, few = js(body, map=shown(values_TS, causal=causal), scale=scale)
    allowed = np.tri(rows, columns, dtype=bool) if causal else np.ones((rows, columns), bool)
    strength = np.where(allowed, values_TS, 0).astype(float)
    if scale == "row":
        strength *= 255 / np.maximum(strength.max(1, keepdims=True), 1)
    cells = {(line["query"], line["key"]): 255 * line["strength"] for line in everything}
    below = {(line["query"], line["key"]): line["below"] for line in everything}
    for (q, k), value in np.ndenumerate(strength):
        if value > 3.5:
            assert not below[q, k]
            np.testing.assert_allclose(cells[q, k], value, atol=0.51)
        elif value < 2.5:
            assert (q, k) not in cells
    assert len(few) == min(4, len(everything))
    if few:
        weakest = min(line["strength"] for line in few)
        chosen = {(line["query"], line["key"]) for line in few}
        rest = [v for cell, v in cells.items() if cell not in chosen]
        assert max(rest, default=0) <= 255 * weakest


def flat(size):
    """What a text of one token again and again does: every key that may be read, alike."""
    return np.tri(size, dtype=np.float32) / np.arange(1, size + 1, dtype=np.float32)[:, None]


LEVELS = """
    const levels = (shown, scale) => {
        const pixels = new Uint32Array(shown.rows * shown.columns);
        const tables = m.colourTables(false);
        shown.paint(pixels, tables, scale);
        const table = shown.signed ? tables.difference : tables.weight;
        return [...new Set(pixels)].map((colour) => colour && table.indexOf(colour));
    };
    const part = (header, data) => new m.Part(header, new Uint8Array(data));
    const map = ({ queries, keys, causal }, values) =>
        new m.Shown({ queries, keys, causal, values });
"""


def test_a_flat_row_of_512_keys_is_painted_evenly():
    weights = flat(512)
    noise = np.random.default_rng(0).uniform(-1e-5, 1e-5, weights.shape)
    weights *= (1 + noise).astype(np.float32)
    header, data = sent(weights[None, None], whole=True)
    body = (
        LEVELS
        + """
        const one = part(header, Uint8Array.from(atob(data), (c) => c.charCodeAt(0)));
        const found = [[0, 0], [0, -1], [-1, -1]].map(([l, h]) => map(one, one.weights(l, h)));
        return [...found.map((shown) => levels(shown, 'row')), levels(found[0], 'fixed').length];
    """
    )
    *per_row, fixed = js(body, header=header, data=base64.b64encode(bytes(data)).decode())
    for levels in per_row:
        assert sorted(levels) == [0, js_last_level()]  # masked, and one colour for all others
    assert fixed > 10


def js_last_level():
    """The first place of the strongest colour: neighbours may be the same."""
    return js("const { weight } = m.colourTables(false); return weight.indexOf(weight[255]);")


@pytest.mark.parametrize("scale", ["fixed", "row"])
def test_texts_that_differ_by_less_than_a_step_paint_as_no_change(scale):
    one = attention(1, 1, 60, 60, causal=True) * np.float32(0.01) + flat(60) * np.float32(0.99)
    two = one * (1 + np.random.default_rng(1).choice([-1e-3, 1e-3], one.shape)).astype(np.float32)
    three = one.copy()
    three[0, 0, 50, 7] *= 1.5  # and what is larger than a step is seen
    (header, a), (_, b), (_, c) = (sent(w) for w in (one, two, three))
    body = (
        LEVELS
        + """
        const [one, two, three] = [a, b, c].map((data) => part(header, data))
            .map((part) => map(part, part.weights(0, 0)));
        const [no, yes] = [two, three].map((other) => m.Shown.difference(one, other));
        return [levels(no, scale), no.lines(scale).length, levels(yes, scale).length,
                yes.lines(scale).map(({ query, key }) => [query, key])];
    """
    )
    levels, lines, more, changed = js(body, header=header, a=a, b=b, c=c, scale=scale)
    assert (sorted(levels), lines) == ([0, 255], 0)
    assert more == 3
    assert changed == ([[50, 7]] if scale == "row" else [])  # 0.01 is too faint for a line


@pytest.mark.parametrize("size", [40, 512])
def test_of_equally_strong_lines_some_are_drawn_evenly_spaced(size):
    body = (
        SHOWN
        + """
        const all = { queries: new Array(size).fill('q'), keys: new Array(size).fill('k') };
        const values = new Float32Array(size * size);
        for (let at = 0; at < values.length; at++) {
            const [query, key] = [Math.floor(at / size), at % size];
            if (key <= query) values[at] = 1 / (query + 1);
        }
        const shown = new m.Shown({ ...all, causal: true, values });
        const lines = shown.lines('row');
        return [lines.map(({ query, key }) => (query * (query + 1)) / 2 + key),
                [...new Set(lines.map(({ strength }) => strength))],
                m.paleness(lines, 'row', 640), m.paleness(lines, 'fixed', 640)];
    """
    )
    places, strengths, pale, true_ = js(body, size=size)
    assert len(places) == 700
    assert strengths == [1]
    apart = np.diff([-1, *places])
    assert apart.max() - apart.min() <= 1
    assert 0.1 < pale < 0.3
    assert true_ == 1


@settings(max_examples=15)
@given(st.lists(st.sampled_from([0.1, 0.5, 1]), max_size=30), st.integers(1, 12))
def test_of_the_lines_of_one_token_the_strongest_stay_in_order(strengths, most):
    body = "return m.thinned(strengths.map((strength, key) => ({ strength, key })), most);"
    found = js(body, strengths=strengths, most=most)
    assert [line["strength"] for line in found] == [strengths[line["key"]] for line in found]
    kept = sorted((line["strength"] for line in found), reverse=True)
    assert kept == sorted(strengths, reverse=True)[:most]
    keys = [line["key"] for line in found]
    assert keys == sorted(set(keys))
    if len(set(strengths)) == 1:
        apart = np.diff(keys)
        assert not len(apart) or apart.max() - apart.min() <= 1


def test_few_lines_are_drawn_in_full():
    body = "return m.paleness([{ strength: 1 }, { strength: 0.5 }], 'row', 400);"
    assert js(body) == 1


def test_lines_of_a_difference_say_its_sign():
    body = SHOWN + "return shownOf(map).lines('fixed').map(({ key, below }) => [key, below]);"
    values_TS = np.array([[-90, 0, 40]])
    found = js(body, map=shown(values_TS, causal=False, signed=True))
    assert found == [[0, True], [2, False]]


def test_in_a_long_text_only_lines_that_can_be_seen_are_drawn():
    values_TS = np.zeros((100, 100), int)
    values_TS[:, 3], values_TS[:, 5] = 200, 12
    body = SHOWN + "return shownOf(map).lines('fixed').map(({ key }) => key);"
    assert js(body, map=shown(values_TS, causal=False)) == [3] * 100


@given(st.lists(st.integers(-5, 5), max_size=12), st.integers(1, 6))
@settings(max_examples=15)
def test_strongest_come_first_equal_ones_in_order(numbers, count):
    expected = sorted((i for i, x in enumerate(numbers) if x), key=lambda i: -abs(numbers[i]))
    assert js("return m.strongest(n, count);", n=numbers, count=count) == expected[:count]


# --- places ---


@pytest.mark.parametrize(
    ("pitch", "step"), [(28, 1), (10, 1), (9.9, 2), (5, 2), (4.9, 5), (2, 5), (1, 10), (0.3, 50)]
)
def test_labels_thin_out_in_round_steps(pitch, step):
    assert js("return m.labelStep(pitch);", pitch=pitch) == step


@settings(max_examples=25)
@given(
    st.integers(240, 1200),
    st.integers(1, 512),
    st.integers(1, 512),
    st.integers(20, 95),
    st.integers(20, 95),
)
def test_pictures_fit_their_room_and_do_not_meet(width, rows, columns, query_label, key_label):
    given = {
        "width": width,
        "rows": rows,
        "columns": columns,
        "queryLabel": query_label,
        "keyLabel": key_label,
    }
    found = js("return m.plan(given);", given=given)
    heat, lines = found["heat"], found["lines"]
    assume(width >= 300 or query_label + key_label < 120)
    assert heat["width"] <= width + 1
    assert lines["x"] + lines["width"] <= width + 1
    assert heat["across"] > 0 < heat["down"]
    assert rows * heat["down"] <= 641
    assert lines["to"] - lines["from"] >= 40
    right = heat["left"] + columns * heat["across"]
    if found["beside"]:
        assert heat["across"] >= (11 if rows > 14 else 18)
        assert lines["x"] >= right  # only labels, which lean above the rows, reach over the lines
        assert lines["y"] + lines["top"] == heat["top"]
        assert lines["queryPitch"] == heat["down"]
    else:
        assert lines["y"] >= heat["height"]
    tall = max(rows * lines["queryPitch"], columns * lines["keyPitch"])
    assert lines["top"] + tall <= lines["height"]


def test_lines_end_level_and_stay_between_their_ends():
    body = "return [0, 0.001, 0.5, 0.999, 1].map((share) => m.lineHeight(10, 50, share));"
    heights = js(body)
    np.testing.assert_allclose(heights, [10, 10, 30, 50, 50], atol=1e-3)


# --- the picture as a file ---


def picture(values_TS, tokens, *, causal=True, signed=False, image=None):
    body = (
        SHOWN
        + """
        const shown = shownOf(map);
        tokens.forEach((token, t) => { shown.queries[t] = shown.keys[t] = token; });
        return m.svgPicture({ shown, title: tokens[0], notes: [tokens[1] ?? ''], scale: 'fixed',
                              tables: m.colourTables(false), image: image ?? undefined });
    """
    )
    return js(body, map=shown(values_TS, causal=causal, signed=signed), tokens=tokens, image=image)


def test_an_svg_file_is_xml_that_shows_its_tokens_and_runs_nothing():
    tokens = [HOSTILE, " a&b", '"q"', "\x00\ud800\uffff", "]]>", "é漢"]
    values_TS = quantised(attention(6, 6, causal=True))
    text = picture(values_TS, tokens)
    root = ET.fromstring(text)
    names = {node.tag.split("}")[1] for node in root.iter()}
    assert not names & {"script", "img", "foreignObject", "a"}
    assert "<img" not in text
    texts = [node.text for node in root.iter() if node.tag.endswith("}text")]
    for name in ("key: who is looked at →", "query:", "who looks ↓", "looks", "is looked at"):
        assert texts.count(name) == 1, name
    for label in ("</script><img␣…", "␣a&b", '"q"', r"\x00\ud800\uffff", "]]>", "é漢"):
        assert texts.count(label) >= 4 - 2 * (label in tokens[:2]), label
    assert "masked" in texts
    for node in root.iter():
        for name in node.attrib:
            assert not name.startswith("on")


@pytest.mark.parametrize("causal", [True, False])
def test_an_svg_file_has_every_cell_once_in_its_colour(causal):
    values_TS = quantised(attention(7, 7, causal=causal, seed=2))
    values_TS[4, :5] = 77  # neighbours of one colour
    root = ET.fromstring(picture(values_TS, ["a"] * 7, causal=causal))
    group = next(g for g in root.iter() if g.get("shape-rendering") == "crispEdges")
    box = next(r for r in root.iter() if r.get("fill") == "none" and r.tag.endswith("rect"))
    left, top, side = (float(box.get(name)) for name in ("x", "y", "width"))
    cell = side / 7
    table = tables()[0][0]
    found = np.full((7, 7), -1)
    for rect in group:
        q = round((float(rect.get("y")) - top) / cell)
        k = round((float(rect.get("x")) - left) / cell)
        count = round(float(rect.get("width")) / cell)
        colour = [int(c) for c in rect.get("fill")[4:-1].split(",")]
        assert (found[q, k : k + count] == -1).all()
        found[q, k : k + count] = np.flatnonzero((table == colour).all(1))[0]
    masked = ~np.tri(7, dtype=bool) & causal
    assert ((found == -1) == masked).all()
    np.testing.assert_allclose(found[~masked], values_TS[~masked], atol=2)


def test_an_svg_file_of_many_cells_holds_them_as_one_image():
    text = picture(np.zeros((80, 80), int), ["x"] * 80, image="data:image/png;base64,AA==")
    root = ET.fromstring(text)
    assert [n.get("href") for n in root.iter() if n.tag.endswith("image")] == [
        "data:image/png;base64,AA=="
    ]
    assert len(text) < 40_000


@given(st.text(), st.characters(exclude_categories=()))
@example("a", "\ud800")
@example("a", "\x00")
@settings(max_examples=40)
def test_escaped_text_comes_back_from_xml(text, character):
    text = f"{text}{character}<&>\"'"
    escaped = js("return m.escaped(text);", text=text)
    back = ET.fromstring(f"<t a={json.dumps('')}>{escaped}</t>").text
    allowed = "".join(
        c
        if c in "\t\n\r"
        or ("\x20" <= c <= "\ufffd" and not "\ud800" <= c <= "\udfff")
        or c > "\uffff"
        else "\ufffd"
        for c in text
    )
    assert back == allowed.replace("\r\n", "\n").replace("\r", "\n")
    assert ET.fromstring(f'<t a="{escaped}"/>').get("a") is not None


# --- what people read ---


def test_unseen_characters_are_written_out_and_spoken():
    tokens = [" it", "\n", "\x00", "\ud800", "\u202e", "x" * 99, "", "a b"]
    body = "return tokens.map((token) => [m.readable(token), m.spoken(token)]);"
    found = dict(zip(tokens, js(body, tokens=tokens), strict=True))
    assert found[" it"] == ["␣it", "space it"]
    assert found["\n"] == ["⏎", "newline"]
    assert found["\x00"] == [r"\x00", "character 0"]
    assert found["\ud800"] == [r"\ud800", "character D800"]
    assert found["\u202e"] == [r"\u202e", "character 202E"]
    assert found["x" * 99][0] == "x" * 60 + "…"
    assert found[""] == ["(empty)", "empty token"]
    assert js("return m.wellFormed(t);", t="a\ud800b😀") == "a\ufffdb😀"


def test_numbers_are_written_as_well_as_they_are_known():
    body = """return [
        m.written(0.34171), m.written(0.34171, { exact: false }), m.written(-0.2, { signed: true }),
        m.written(0.001, { exact: false, signed: true }),
        m.written(0.5, { exact: false, signed: true }),
        ...[7.6e-5, 0.00099996, 0.001, 0.012345, 1, 0].map((value) => m.written(value)),
        m.written(-7.6e-5, { signed: true }), m.written(0, { signed: true }),
        m.percent(0), m.percent(0.0001), m.percent(0.12345), m.percent(0.9999), m.percent(1)];"""
    weights = ["0.342", "0.34", "−0.200", "0.00", "+0.50"]
    weights += ["7.60e-5", "1.00e-3", "0.00100", "0.0123", "1.00", "0", "−7.60e-5", "0"]
    assert js(body) == [*weights, "0 %", "<0.1 %", "12.3 %", ">99.9 %", "100 %"]


def test_heads_and_means_have_names():
    body = "return [[3, 2], [3, -1], [-1, -1]].map(([l, h]) => m.headName(l, h, part));"
    assert js(body, part={"layers": 30, "heads": 9}) == [
        "Layer 3, head 2",
        "Layer 3, mean of 9 heads",
        "Mean of all 270 heads",
    ]


# --- the session ---

# A model and a clock that the test holds, and a kernel that answers when the test says so.
SESSION = """
    let now = 0, timer = 0, alive = true;
    const timers = new Map(), listeners = new Map(), sent = [];
    globalThis.setTimeout = (call, ms = 0) => {
        timers.set(++timer, [now + ms, call]);
        return timer;
    };
    globalThis.clearTimeout = (id) => timers.delete(id);
    const wait = (ms) => {
        const end = now + ms;
        for (;;) {
            const past = [...timers].filter(([, [at]]) => at <= end);
            const due = past.sort((a, b) => a[1][0] - b[1][0])[0];
            if (!due) break;
            timers.delete(due[0]);
            now = due[1][0];
            due[1][1]();
        }
        now = end;
    };
    const bytes = (list) => new DataView(Uint8Array.from(list).buffer);
    const state = { ...traits, a_bytes: bytes(traits.a_bytes), b_bytes: bytes(traits.b_bytes) };
    const change = (values) => {
        Object.assign(state, values);
        for (const name of Object.keys(values)) {
            for (const listener of [...(listeners.get(`change:${name}`) ?? [])]) listener();
        }
    };
    let told;
    const model = {
        get: (name) => state[name],
        set: (name, value) => { change({ [name]: value }); told = name; },
        save_changes: () => {
            if (!alive) throw new Error('no kernel');
            sent.push(told === 'request' ? state.request : { view: { ...state.view } });
        },
        on: (event, call) => listeners.set(event, [...(listeners.get(event) ?? []), call]),
        off: (event, call) => listeners.set(event, listeners.get(event).filter((l) => l !== call)),
    };
    const reads = () => sent.filter(({ kind }) => kind === 'read')
        .map(({ side, text, off }) => [side, text, off]);
    const answer = (request, extra = {}) => {
        const { side, n, text, off } = request;
        const parts = text === '' && side === 'b' ? [] : traits.a.parts;
        change({ [`${side}_bytes`]: state.a_bytes,
                 [side]: { ...traits.a, n, text, shown_text: text, off, parts, ...extra } });
    };
    const session = new m.Session(model);
    const drawn = [];
    session.views.add(new Proxy({}, { get: (_, name) => () => drawn.push(name) }));
"""


def traits(*, whole=True, text="one", b="", causal=True, T=3, L=2, H=2, next_tokens=True, parts=1):
    header, data = sent(attention(L, H, T, T, causal=causal, seed=9), whole=whole, causal=causal)
    following = {"tokens": ["x"], "before": [0.5], "after": [0.5]} if next_tokens else None
    a = {
        "n": 0,
        "text": text,
        "off": [],
        "error": "",
        "shown_text": text,
        "longest": 512,
        "parts": [header] * parts,
        "next": following,
    }
    other = {**a, "text": b, "shown_text": b} if b else {**a, "text": "", "parts": [], "next": None}
    view = {"layer": 0, "head": 0}
    return {"a": a, "a_bytes": data, "b": other, "b_bytes": data if b else [], "view": view}


def session(body, **options):
    return js(SESSION + body, traits=traits(**options))


def test_a_burst_of_typing_is_one_request_and_only_the_newest_text_follows_a_slow_answer():
    body = """
        for (const text of ['t', 'tw', 'two']) { session.change(session.a, text); wait(100); }
        const early = sent.length;
        wait(50);
        const first = sent[0];
        session.change(session.a, 'three'); wait(500);
        session.change(session.a, 'four'); wait(500);
        const waiting = [sent.length, session.settled, session.status];
        answer(first);
        const stale = [session.a.text, session.a.reading.text, session.settled];
        const second = sent[1];
        answer(second);
        return { early, waiting, stale, reads: reads(), n: second.n - first.n,
                 end: [session.a.reading.text, session.settled, session.status, sent.length] };
    """
    found = session(body)
    assert found["early"] == 0
    assert found["waiting"] == [1, False, "computing…"]
    assert found["stale"] == ["four", "two", False]
    assert found["reads"] == [["a", "two", []], ["a", "four", []]]
    assert found["n"] == 1
    assert found["end"] == ["four", True, "", 2]


def test_an_answer_to_somebody_else_changes_the_text_and_asks_nothing():
    body = """
        answer({ side: 'a', n: -1, text: 'python', off: [[0, 1]] });
        change({ answer: { n: 5, kind: 'layer', side: 'a', part: 0, layer: 0, of: 0, error: '' } });
        return [session.a.text, session.off, session.settled, sent.length];
    """
    assert session(body) == ["python", [[0, 1]], True, 0]


def test_a_text_that_the_kernel_tidied_up_is_not_asked_for_again():
    body = """
        session.change(session.a, 'two\\ud800'); wait(200);
        answer(sent[0], { text: 'two?' });
        wait(5000);
        return [session.a.text, session.settled, sent.length, sent[0].text];
    """
    assert session(body) == ["two?", True, 1, "two\ufffd"]


def test_an_error_keeps_the_last_good_reading():
    body = """
        const good = session.a.reading;
        session.change(session.a, ''); wait(200);
        answer(sent[0], { error: 'the text is empty', shown_text: 'one' });
        const failed = [session.a.error, session.a.reading === good, good.text, session.settled];
        session.change(session.a, 'two'); wait(200);
        answer(sent[1]);
        return [failed, session.a.error, session.a.reading.text];
    """
    assert session(body) == [["the text is empty", True, "one", True], "", "two"]


def test_requests_of_all_kinds_go_one_at_a_time_the_text_first():
    body = """
        const kinds = () => sent.filter(({ kind }) => kind).map(({ kind }) => kind);
        const newest = () => sent.findLast(({ kind }) => kind);
        const reply = (list) => change({
            answer: { ...newest(), of: session.a.reading.n, error: '' }, payload: bytes(list),
        });
        session.askForPage();
        session.choose({ layer: 1, head: 1 });
        session.wantRow(2);
        session.change(session.a, 'two');
        wait(200);
        const seen = [kinds().length];
        reply(new Array(63).fill(0)); // two maps and their mean of nine bytes, and nine peaks
        seen.push(kinds().length);
        answer(newest());
        seen.push(kinds().length);
        reply(new Array(63).fill(0)); // two maps and their mean of nine bytes, and nine peaks
        seen.push(kinds().length);
        reply(new Array(12).fill(0));
        return [seen, kinds(), session.shown.coarse];
    """
    seen, kinds, coarse = session(body, whole=False)
    assert seen == [1, 2, 3, 4]
    assert kinds == ["layer", "read", "layer", "row", "html"]
    assert coarse is False


def test_a_layer_that_is_not_here_is_asked_for_once_and_drawn_from_its_thumbnail_until_it_comes():
    body = """
        const before = [session.shown.coarse, session.settled];
        session.choose({ layer: 1, head: 0 });
        session.choose({ layer: 1, head: 1 });
        const layers = () => sent.filter(({ kind }) => kind === 'layer').map(({ layer }) => layer);
        const asked = sent.find(({ kind }) => kind === 'layer');
        const one = layers();
        const reply = (request, of) => change({
            answer: { ...request, of, error: '' },
            payload: bytes(layer),
        });
        reply(asked, 0);
        const two = layers();
        reply(sent.filter(({ kind }) => kind === 'layer').at(-1), 0);
        const here = [session.shown.coarse, [...session.shown.values], session.settled];
        session.choose({ head: -1 });
        return { before, one, two, here, mean: [...session.shown.values], asked: layers().length };
    """
    weights_HTS = attention(2, 3, 3, causal=True, seed=4)
    values = {"traits": traits(whole=False), "layer": layer_bytes(weights_HTS)}
    found = js(SESSION + body, **values)
    assert found["before"] == [True, False]
    assert found["one"] == [0]  # the one asked for at the start is still under way
    assert found["two"] == [0, 1]
    coarse, values, settled = found["here"]
    assert (coarse, settled) == (False, True)
    np.testing.assert_allclose(values, as_drawn(weights_HTS[1]).ravel(), rtol=1e-6)
    mean_TS = as_drawn(weights_HTS.mean(0))
    np.testing.assert_allclose(found["mean"], mean_TS.ravel(), rtol=1e-6)
    assert found["asked"] == 2


def test_a_layer_of_an_older_reading_is_dropped():
    body = """
        const asked = sent.find(({ kind }) => kind === 'layer');
        change({ answer: { ...asked, of: 99, error: '' }, payload: bytes(new Array(63).fill(1)) });
        return [session.shown.coarse, session.part.fetched.size];
    """
    assert session(body, whole=False) == [True, 0]


def test_exact_numbers_of_a_row_come_when_a_person_rests_on_it():
    body = """
        const rough = session.row(2);
        session.wantRow(0); wait(30);
        session.wantRow(2); wait(100);
        const rows = () => sent.filter(({ kind }) => kind === 'row');
        const [asked] = rows();
        const numbers = new Float32Array([0.125, 0.25, 0.625]);
        change({ answer: { ...asked, of: 0, error: '' }, payload: new DataView(numbers.buffer) });
        const exact = session.row(2);
        session.wantRow(2); wait(100);
        const again = rows().length;
        session.choose({ head: 1 });
        return [rough.exact, [...rough.numbers], exact.exact, [...exact.numbers], again,
                asked.query, session.row(2).exact, session.status];
    """
    rough, numbers, exact, row, again, query, other, status = session(body)
    weights_TS = attention(2, 2, 3, 3, causal=True, seed=9)[0, 0]
    assert [rough, exact, other] == [False, True, False]
    np.testing.assert_allclose(numbers, weights_TS[2], atol=weights_TS[2].max() / 510 + 1e-6)
    assert row == [0.125, 0.25, 0.625]
    assert (again, query, status) == (1, 2, "")


def test_exact_numbers_of_an_older_text_are_forgotten():
    body = """
        session.wantRow(2); wait(100);
        change({ answer: { ...sent[0], of: 0, error: '' },
                 payload: new DataView(new Float32Array([0, 0, 1]).buffer) });
        const before = session.row(2).exact;
        answer({ side: 'a', n: -1, text: 'two', off: [] });
        return [before, session.row(2).exact];
    """
    assert session(body) == [True, False]


def test_a_row_of_a_difference_needs_both_texts():
    body = """
        session.choose({ mode: 'difference' });
        session.wantRow(1); wait(100);
        const rows = () => sent.filter(({ kind }) => kind === 'row');
        const reply = (list) => change({ answer: { ...rows().at(-1), of: 0, error: '' },
                                         payload: new DataView(new Float32Array(list).buffer) });
        reply([0.5, 0.5, 0]);
        const half = session.row(1).exact;
        reply([0.25, 0.75, 0]);
        const { exact, numbers } = session.row(1);
        return [half, exact, [...numbers], rows().map(({ side }) => side)];
    """
    assert session(body, b="two") == [False, True, [-0.25, 0.25], ["a", "b"]]


def test_heads_are_switched_off_on_both_texts_and_the_kernel_may_sort_them():
    body = """
        session.switch(1, 0);
        session.switch(0, 1);
        answer(sent[0]);
        while (sent.length < 10 && session.courier.inFlight) {
            const request = session.courier.inFlight;
            answer(request, { off: [...request.off].sort() });
        }
        wait(5000);
        const done = [session.settled, reads(), session.isOff(1, 0), session.isOff(1, 1)];
        session.switch(1, 0);
        session.switch(-1, -1);
        return [done, session.off];
    """
    (settled, reads, off, on), rest = session(body, b="two")
    assert (settled, off, on) == (True, True, False)
    assert reads[0] == ["a", "one", [[1, 0]]]
    assert sorted(map(tuple, reads[-1][2])) == [(0, 1), (1, 0)]
    assert {side for side, *_ in reads} == {"a", "b"}
    assert len(reads) <= 4
    assert rest == [[0, 1]]


@pytest.mark.parametrize("options", [{"next_tokens": False}, {"parts": 2}])
def test_heads_of_other_models_cannot_be_switched_off(options):
    body = "session.switch(0, 0); return [session.canSwitch, session.off, sent.length];"
    assert session(body, **options) == [False, [], 0]


def test_a_comparison_starts_with_a_copy_and_ends_without_a_trace():
    body = """
        session.compare();
        answer(session.courier.inFlight);
        const nothing = session.shown.values.every((value) => value === 0);
        const same = [session.view.mode, session.b.text, nothing];
        session.change(session.b, ''); wait(200);
        answer(session.courier.inFlight);
        const emptied = [session.comparing, session.shown.signed, session.settled];
        session.endComparison();
        const { view, comparing, courier, settled } = session;
        return [same, emptied, view.mode, comparing, courier.inFlight, settled];
    """
    assert session(body) == [
        ["difference", "one", True],
        [True, False, True],
        "a",
        False,
        None,
        True,
    ]


def test_python_hears_of_a_choice_when_the_person_stops_choosing():
    body = """
        for (const head of [1, 0, 1]) { session.choose({ head }); wait(50); }
        const early = [sent.length, drawn.length];
        wait(200);
        early.push(drawn.length); // it is drawn already
        change({ view: { ...state.view, layer: 1, head: -1, scale: 'row' } });
        wait(1000);
        alive = false;
        session.choose({ layer: -1, head: -1 });
        wait(1000);
        return [early, sent, session.view.scale, session.view.layer];
    """
    early, sent, scale, layer = session(body)
    assert early == [0, 3, 3]
    assert [message["view"]["head"] for message in sent] == [1]
    assert (scale, layer) == ("row", -1)


def test_a_choice_stays_inside_what_there_is():
    body = """
        session.choose({ layer: 1, head: 1, query: 2 });
        const statistic = 'induction';
        change({ view: { layer: 9, head: 9, query: 7, mode: 'difference', part: 3, statistic } });
        const { view } = session;
        return [view.layer, view.head, view.query, view.mode, view.part, view.statistic];
    """
    assert session(body) == [1, 1, None, "a", 0, "entropy"]


def test_without_a_kernel_the_picture_can_still_be_looked_at():
    body = """
        alive = false;
        session.change(session.a, 'two'); wait(500);
        const slow = session.status;
        wait(20000);
        session.choose({ layer: 1, head: 1 });
        const dead = session.status;
        session.close();
        const left = [...listeners.values()].flat().length + timers.size;
        return [slow, dead.includes('run the cell again'), session.view.layer, left];
    """
    assert session(body) == ["computing…", True, 1, 0]


def test_a_saved_page_asks_nothing():
    body = """
        session.wantRow(1); session.switch(0, 0); wait(1000);
        return [session.standalone, sent.length, session.off];
    """
    found = js(SESSION + body, traits={**traits(), "standalone": True})
    assert found == [True, 0, []]
