"""EmbeddingMap without a browser: the Python half, and the JavaScript half's pure functions."""

import itertools
import json
import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmlab.viz import EmbeddingMap
from llmlab.viz.embedding_map import MOST_SHOWN, place_labels
from llmlab.viz.word_space import WordSpace, fit_plane

from .javascript import run_javascript

HOSTILE = "</script><img src=x onerror=alert(1)>"
ODD = [
    HOSTILE,
    r"$\frac$",
    "漢字😀",
    "مرحبا",
    "\ud800",
    "x" * 200,
    "\u202e",
    " the",
    "+",
    "-",
    "a-b",
]
PEOPLE = ["king", "queen", "man", "woman"]
FRUITS = ["apple", "mango", "orange"]
WORDS = [*PEOPLE, *FRUITS, "kin", "Paris", "paris", "kingdom", *ODD]


def two_clouds(words=WORDS, *, width=12, seed=0):
    """People point one way, fruits another, all others anywhere."""
    rng = np.random.default_rng(seed)
    vectors_VC = rng.normal(size=(len(words), width))
    for i, word in enumerate(words):
        if word in PEOPLE + FRUITS:
            vectors_VC[i] = 0.6 * vectors_VC[i] + 4 * np.eye(width)[int(word in FRUITS)]
    return vectors_VC


def small_map(**options):
    return EmbeddingMap(WORDS, two_clouds(), **(options or {"shown": PEOPLE + FRUITS}))


def units(vectors_VC):
    vectors_VC = np.asarray(vectors_VC, dtype=np.float64)
    return vectors_VC / np.linalg.norm(vectors_VC, axis=1, keepdims=True)


def names(count):
    return [f"w{i}" for i in range(count)]


seeds = st.integers(0, 2**32 - 1)


# --- neighbours ---


@given(seeds, st.integers(2, 60), st.integers(1, 20))
def test_neighbours_are_the_largest_cosines_of_all_other_words(seed, count, width):
    vectors_VC = np.random.default_rng(seed).normal(size=(count, width))
    found = EmbeddingMap(names(count), vectors_VC).neighbours("w1")
    cosine_V = units(vectors_VC) @ units(vectors_VC)[1]
    assert len(found) == min(8, count - 1)
    assert "w1" not in dict(found)
    exact = [cosine_V[int(word[1:])] for word, _ in found]
    np.testing.assert_allclose([cosine for _, cosine in found], exact, atol=1e-4)
    expected = np.sort(np.delete(cosine_V, 1))[::-1][:8]
    np.testing.assert_allclose([cosine for _, cosine in found], expected, atol=1e-4)


def test_a_sum_adds_unit_vectors_and_leaves_its_words_out():
    vectors_VC = two_clouds()
    vectors_VC[1] *= 1000  # length says nothing
    unit_VC = units(vectors_VC)
    target_C = unit_VC[0] - unit_VC[2] + unit_VC[3]
    cosine_V = unit_VC @ target_C / np.linalg.norm(target_C)
    found = EmbeddingMap(WORDS, vectors_VC).neighbours("king - man + woman", 5)
    expected = [i for i in np.argsort(-cosine_V) if i not in (0, 2, 3)][:5]
    assert [word for word, _ in found] == [WORDS[i] for i in expected]
    np.testing.assert_allclose([cosine for _, cosine in found], cosine_V[expected], atol=1e-4)


def test_equal_vectors_stand_in_the_order_of_the_words():
    vectors_VC = np.array([[1, 2], [3, 1], [6, 2], [3, 1], [0, 1]])
    words = ["q", "a", "b", "c", "d"]
    found = EmbeddingMap(words, vectors_VC).neighbours("q", 4)
    assert [word for word, _ in found] == ["d", "a", "b", "c"]


@settings(max_examples=15)
@given(seeds, st.integers(1, 30), st.integers(1, 9), st.integers(1, 12))
def test_both_halves_find_the_same_neighbours_places_and_shares(seed, count, width, shown):
    rng = np.random.default_rng(seed)
    vectors_VC = rng.normal(size=(count, width))
    vectors_VC[rng.integers(count)] = vectors_VC[0]
    shown = names(count)[:shown]
    if count > 3:
        shown.append("w0 - w2 + w3")
    widget = EmbeddingMap(names(count), vectors_VC, shown=shown)
    result = run_javascript("embedding_map.js", f"{SESSION(widget)} return seen(session);")
    np.testing.assert_allclose(result["positions"], widget.place(), atol=1e-5)
    np.testing.assert_allclose(result["shares"], widget.shares(), atol=1e-5)
    for name, found in zip(shown, result["nearest"], strict=True):
        expected = widget.neighbours(name)
        assert [word for word, _ in found] == [word for word, _ in expected]
        cosines = [[cosine for _, cosine in pairs] for pairs in (found, expected)]
        np.testing.assert_allclose(*cosines, atol=1e-12)


# --- the plane ---


@given(seeds, st.integers(3, 12), st.integers(3, 20))
def test_positions_are_the_principal_components_of_unit_vectors(seed, count, width):
    vectors_VC = np.random.default_rng(seed).normal(size=(count, width)) ** 3 + 0.5
    widget = EmbeddingMap(names(count), vectors_VC, shown=names(count))
    unit_VC = units(vectors_VC)
    off_VC = unit_VC - unit_VC.mean(axis=0)
    value, vector = np.linalg.eigh(off_VC.T @ off_VC)
    np.testing.assert_allclose(widget.shares(), value[::-1][:2] / value.sum(), atol=1e-3)
    scatter_22 = widget.place().T @ widget.place()
    np.testing.assert_allclose(np.diag(scatter_22), value[::-1][:2], atol=1e-3)
    np.testing.assert_allclose(scatter_22[0, 1], 0, atol=1e-9)
    if value[-1] - value[-2] > 0.1:
        first_V = off_VC @ vector[:, -1]
        np.testing.assert_allclose(np.abs(widget.place()[:, 0]), np.abs(first_V), atol=3e-3)


@given(seeds)
def test_neither_length_nor_a_rotation_of_the_vectors_changes_the_picture(seed):
    rng = np.random.default_rng(seed)
    vectors_VC = rng.normal(size=(6, 5)) * [5, 3, 1, 1, 1]
    turn_CC = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    turned_VC = vectors_VC @ turn_CC * rng.uniform(1e-3, 1e3, size=(6, 1))
    spread = np.linalg.svd(units(vectors_VC) - units(vectors_VC).mean(axis=0))[1]
    if min(spread[0] - spread[1], spread[1] - spread[2]) < 0.1:
        return  # nearly equal components turn easily
    ours, turned = (
        EmbeddingMap(names(6), array, shown=names(6)).place() for array in (vectors_VC, turned_VC)
    )
    far = np.abs(ours) > 0.11 * np.abs(ours).max(axis=0)
    near = np.abs(ours) < 0.09 * np.abs(ours).max(axis=0)
    if np.all(far | near):  # else rounding may choose another word for an axis to point to
        np.testing.assert_allclose(ours, turned, atol=3e-3)


def test_axes_point_to_the_first_word_that_lies_out():
    vectors_VC = np.array([[-9.0, 1, 0], [9, 1, 0], [0, 1, 5], [0, 1, -4], [-9, 1, 0.1]])
    place = EmbeddingMap(names(5), vectors_VC, shown=names(5)).place()
    assert place[0, 0] > 0 > place[1, 0]
    assert place[2, 1] > 0 > place[3, 1]
    back = EmbeddingMap(names(5), vectors_VC, shown=names(5)[::-1]).place()
    assert back[3, 0] < 0 < back[0, 0]


@pytest.mark.parametrize("count", [3, 5, 8])
def test_where_all_words_are_equally_far_apart_the_picture_is_still_one(count):
    widget = EmbeddingMap(names(count), np.eye(count), shown=names(count))
    place = widget.place()
    assert place[0, 0] > 0
    np.testing.assert_allclose(place[0, 1], 0, atol=1e-9)
    assert place[1, 1] > 0
    np.testing.assert_allclose(widget.shares(), 1 / (count - 1), atol=1e-9)
    moved = EmbeddingMap(names(count), np.roll(np.eye(count), 1, axis=1), shown=names(count))
    np.testing.assert_allclose(moved.place(), place, atol=1e-9)
    result = run_javascript("embedding_map.js", f"{SESSION(widget)} return seen(session);")
    np.testing.assert_allclose(result["positions"], place, atol=1e-9)


@pytest.mark.parametrize(
    ("shown", "place", "shares"),
    [
        ([], np.zeros((0, 2)), [0, 0]),
        (["a"], [[0, 0]], [0, 0]),
        (["a", "b"], [[2**-0.5, 0], [-(2**-0.5), 0]], [1, 0]),
        (["a", "same"], [[0, 0], [0, 0]], [0, 0]),
        (["a", "same", "b"], [[8**0.5 / 6, 0]] * 2 + [[-(8**0.5) / 3, 0]], [1, 0]),
        (["a", "opposite"], [[1, 0], [-1, 0]], [1, 0]),
    ],
)
def test_few_words(shown, place, shares):
    vectors_VC = [[1, 0, 0], [0, 2, 0], [3, 0, 0], [-1, 0, 0]]
    widget = EmbeddingMap(["a", "b", "same", "opposite"], vectors_VC, shown=shown)
    np.testing.assert_allclose(widget.place(), place, atol=1e-4)
    np.testing.assert_allclose(widget.shares(), shares, atol=1e-4)
    assert widget._repr_mimebundle_()[0]["image/png"].startswith(b"\x89PNG")
    result = run_javascript("embedding_map.js", f"{SESSION(widget)} return seen(session);")
    np.testing.assert_allclose(np.reshape(result["positions"], (-1, 2)), place, atol=1e-4)
    np.testing.assert_allclose(result["shares"], shares, atol=1e-4)


def test_eigenvalues_and_vectors_are_those_of_numpy():
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(30, 30)) ** 3
    matrix = matrix @ matrix.T
    found = run_javascript(
        "embedding_map.js",
        f"return m.eigen({matrix.tolist()}).map(({{ value, vector }}) => [value, [...vector]]);",
    )
    values = np.array([value for value, _ in found])
    vectors = np.array([vector for _, vector in found])
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix)[::-1], atol=1e-9 * values[0])
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(30), atol=1e-12)
    np.testing.assert_allclose(matrix @ vectors.T, vectors.T * values, atol=1e-9 * values[0])


def test_the_two_clouds_are_two_clouds():
    place = small_map().place()
    assert place[:4, 0].min() > 0 > place[4:, 0].max()


# --- words on the map ---


def test_adding_and_removing_words_moves_no_other_until_it_is_fitted_again():
    widget = small_map()
    before = widget.place()
    widget.shown = [*widget.shown, "kin", "king - man + woman"]
    np.testing.assert_array_equal(widget.place()[:7], before)
    assert widget.fitted == PEOPLE + FRUITS
    widget.shown = widget.shown[1:]
    np.testing.assert_array_equal(widget.place()[:6], before[1:])
    widget.fit()
    assert widget.fitted == widget.shown
    assert np.abs(widget.place()[:6] - before[1:]).max() > 1e-3


def test_the_plane_is_fitted_by_itself_while_it_rests_on_fewer_than_three_words():
    widget = small_map(shown=[])
    for word in PEOPLE:
        widget.shown = [*widget.shown, word]
        assert widget.fitted == widget.shown[:3]
    widget.shown = FRUITS
    assert widget.fitted == FRUITS
    widget.shown = []
    assert widget.fitted == []


def test_words_are_found_as_written_then_in_lower_case_and_once():
    widget = small_map(shown=["Paris", "KING", "king", "PARIS", "Queen - MAN+woman", " the"])
    assert widget.shown == ["Paris", "king", "paris", "queen - man + woman", " the"]
    assert small_map(groups={"a": FRUITS, "b": ["king"]}).shown == [*FRUITS, "king"]
    assert small_map(groups={"a": FRUITS}, shown=["king"]).shown == ["king"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("king-man+woman", "king - man + woman"),
        ("- man + king", "- man + king"),
        ("king − man – woman", "king - man - woman"),
        ("a-b", "a-b"),
        ("a-b - king", "a-b - king"),
        ("a-b-king", None),
        ("+", "+"),
        ("+ + -", "+ + -"),
        ("king - -", "king - -"),
        ("king -", None),
        ("king queen", None),
        ("king - man woman", None),
        ("king - king", None),
        ("king - nobody", None),
        ("- king", None),
        ("", None),
        (" + ".join(["king"] * 21), None),
    ],
)
def test_both_halves_read_sums_alike(text, name):
    space = WordSpace(WORDS, two_clouds())
    if name is None:
        with pytest.raises(ValueError, match=r"; (take|write)"):
            space.terms(text)
    else:
        assert space.name(space.terms(text)) == name
        assert space.terms(name) == space.terms(text)
    body = f"""
        {SESSION(small_map())}
        const {{ entries, left }} = session.space.read({json.dumps(text)});
        return [entries.map((terms) => session.space.name(terms)), left];
    """
    entries, left = run_javascript("embedding_map.js", body)
    if name is not None:
        assert (entries, left) == ([name], [])
    elif text == "king queen":  # in the box these are two words
        assert (entries, left) == (["king", "queen"], [])
    else:
        assert (entries, left) == ([], [text] if text else [])


def test_the_box_takes_several_words_and_keeps_what_it_does_not_know():
    body = f"""
        {SESSION(small_map())}
        const read = (text) => {{
            const {{ entries, unknown, wrong, left }} = session.space.read(text);
            return [entries.map((terms) => session.space.name(terms)), unknown, wrong.length, left];
        }};
        return ['king, Queen  apple,,MANGO', 'king pear - man , apple', 'kng king', 'king - kng',
                ' the', ' , '].map(read);
    """
    assert run_javascript("embedding_map.js", body) == [
        [["king", "queen", "apple", "mango"], [], 0, []],
        [["apple"], [], 1, ["king pear - man"]],
        [["king"], ["kng"], 0, ["kng"]],
        [[], ["kng"], 0, ["king - kng"]],
        [[" the"], [], 0, []],
        [[], [], 0, []],
    ]


# --- near spellings ---


def slips(a, b):
    """Optimal string alignment distance by its definition."""
    if not a or not b:
        return len(a) + len(b)
    least = [slips(a[1:], b) + 1, slips(a, b[1:]) + 1, slips(a[1:], b[1:]) + (a[0] != b[0])]
    if len(a) > 1 and len(b) > 1 and a[:2] == b[1::-1]:
        least.append(slips(a[2:], b[2:]) + 1)
    return min(least)


few_letters = st.text(alphabet="abc😀", min_size=1, max_size=6)


@settings(max_examples=25)
@given(few_letters, st.lists(few_letters, min_size=1, max_size=12, unique=True))
@example("abcab", ["abcba", "acbab", "bacab", "abc", "abcabc", "abcabcc"])
def test_near_spellings_are_few_slips_away_and_alike_in_both_halves(text, words):
    widget = EmbeddingMap(words, np.ones((len(words), 1)))
    near = widget._space.near(text)
    most = 1 if len(text) < 5 else 2
    close = [word for word in words if slips(text, word) <= most]
    close.sort(key=lambda word: (slips(text, word), word[0] != text[0]))
    assert near[: len(close)] == close[:3]
    longer = [word for word in words if word.startswith(text) and word not in close[:3]]
    assert near[len(close) :] == (longer if len(text) >= 3 else [])[: max(0, 3 - len(close))]
    body = f"{SESSION(widget)} return session.space.near({json.dumps(text)});"
    assert run_javascript("embedding_map.js", body) == near


def test_an_unknown_word_is_refused_with_near_spellings():
    widget = small_map()
    with pytest.raises(ValueError, match=r"among the 22 words: 'kng' \(near spellings: king\);"):
        widget.neighbours("kng")
    with pytest.raises(ValueError, match=r"among the 22 words: 'zzzz'; take words"):
        widget.shown = ["king", "zzzz"]
    assert widget.shown == PEOPLE + FRUITS
    assert widget._space.near("x" * 41) == []


# --- what is refused ---


@pytest.mark.parametrize(
    ("words", "vectors", "message"),
    [
        ([], np.ones((0, 2)), r"words=\[\] is empty; give one word per row"),
        (["a", "b"], np.ones((3, 2)), r"shape \(3, 2\), but there are 2 words; give one row"),
        (["a"], np.ones(1), r"shape \(1,\), but there are 1 words; give"),
        (["a"], np.ones((1, 0)), r"shape \(1, 0\), but"),
        (["a", "b", "a"], np.ones((3, 2)), r"words\[2\]='a' stands at 0 already; give each"),
        (["a", ""], np.ones((2, 2)), r"words\[1\] is empty; leave it"),
        (["a", "b"], [[1, 1], [0, 0]], r"vector of 'b' \(row 1\) is all zeros and points nowhere"),
        (["a", "b"], [[1, np.nan], [0, 1]], r"vector of 'a' \(row 0\) holds nan, but every number"),
        (["a", "b"], [[1, 1], [-np.inf, 1]], r"vector of 'b' \(row 1\) holds inf, but every"),
    ],
)
def test_words_and_vectors_that_make_no_sense(words, vectors, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingMap(words, vectors)


def test_other_mistakes():
    with pytest.raises(TypeError, match=r"words\[1\]=3 is not a string; give"):
        EmbeddingMap(["a", 3], np.ones((2, 2)))
    with pytest.raises(TypeError, match="vectors of <U1 are not numbers; give an array"):
        EmbeddingMap(["a"], [["x"]])
    with pytest.raises(TypeError, match=r"shown='king' is one string; give a list, shown="):
        small_map(shown="king")
    with pytest.raises(ValueError, match="6 groups cannot be told apart; give at most 5"):
        small_map(groups={str(i): [] for i in range(6)})
    with pytest.raises(ValueError, match="'king' is in two groups, 'a' and 'b'; keep one"):
        small_map(groups={"a": ["king"], "b": ["king"]})
    with pytest.raises(ValueError, match="a group cannot be called 'yours'; give it a name"):
        small_map(groups={"yours": []})
    with pytest.raises(ValueError, match=r"in groups\['a'\] is a sum; list single words"):
        small_map(groups={"a": ["king + man"]})
    with pytest.raises(ValueError, match="not among the 22 words: 'pear'"):
        small_map(groups={"a": ["pear"]})
    for count in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match=f"count={count} neighbours cannot be listed; use"):
            small_map().neighbours("king", count)
    many = names(MOST_SHOWN + 1)
    with pytest.raises(ValueError, match="201 words do not fit on the map; show at most 200"):
        EmbeddingMap(many, np.ones((len(many), 2)), shown=many)
    with pytest.raises(ValueError, match="MiB for the browser, more than 64; take the most"):
        EmbeddingMap(names(40), np.broadcast_to(np.ones(1), (40, 1_000_000)))


@pytest.mark.parametrize("scale", [5e-324, 1e-300, 1.0, 1e300])
def test_very_small_and_very_large_vectors_keep_their_direction(scale):
    vectors_VC = np.array([[1.0, 1], [1, 0], [1, 1]]) * scale
    found = dict(EmbeddingMap(names(3), vectors_VC).neighbours("w0"))
    np.testing.assert_allclose([found["w2"], found["w1"]], [1, 0.5**0.5], atol=1e-4)


# --- the wire ---


def test_what_travels_is_16_bit_rows_and_ascii():
    widget = small_map(groups={"people": PEOPLE}, shown=["\ud800", "king - man"])
    assert len(widget.vectors) == 2 * len(WORDS) * 12
    row = np.frombuffer(widget.vectors, "<i2").reshape(len(WORDS), 12)[3]
    assert np.abs(row).max() == 32767
    exact = units(two_clouds())[3]
    np.testing.assert_allclose(row / np.linalg.norm(row.astype(float)), exact, atol=3e-5)
    assert json.loads(widget.vocabulary.decode("ascii")) == WORDS
    assert json.loads(widget.groups.decode("ascii")) == [["people", [0, 1, 2, 3]]]
    assert widget.marks["shown"] == [[[1, WORDS.index("\ud800")]], [[1, 0], [-1, 2]]]


def test_python_follows_the_browser_and_tells_it_once(monkeypatch):
    widget = small_map()
    updates = []
    monkeypatch.setattr(widget, "send_state", lambda key=None: updates.append(key))
    heard = []
    widget.observe(lambda change: heard.append(change.new), "shown")
    marks = {"shown": [[[1, 1]], [[1, 0], [-1, 2], [1, 3]]], "fitted": [[[1, 4]]]}
    widget.set_state({"marks": marks})
    assert widget.shown == ["queen", "king - man + woman"]
    assert widget.fitted == ["apple"]
    assert heard == [widget.shown]
    assert updates == []
    widget.shown = ["king"]
    assert updates == ["marks"]
    assert widget.marks == {"shown": [[[1, 0]]], "fitted": [[[1, 0]]]}


def SESSION(widget):
    """JavaScript that opens a session on a model with this widget's traits."""
    state = {name: list(getattr(widget, name)) for name in ("vocabulary", "vectors", "groups")}
    return f"""
        const bytes = {json.dumps(state)}, listeners = {{}}, saved = [];
        const state = {{ marks: {json.dumps(widget.marks)} }};
        for (const name in bytes) state[name] = new DataView(new Uint8Array(bytes[name]).buffer);
        let alive = true;
        const model = {{
            get: (name) => state[name],
            set: (name, value) => {{ state[name] = value; listeners['change:' + name]?.(); }},
            save_changes: () => {{
                if (!alive) throw new Error('no kernel');
                saved.push(JSON.parse(JSON.stringify(state.marks)));
            }},
            on: (name, callback) => {{ listeners[name] = callback; }},
            off: (name) => {{ delete listeners[name]; }},
        }};
        const session = new m.Session(model);
        const seen = (session) => ({{
            names: session.names, positions: session.positions, shares: session.shares,
            nearest: session.names.map((name) => session.neighbours(name)
                .map(([id, cosine]) => [session.space.words[id], cosine])),
        }});
    """


def test_the_browser_adds_removes_undoes_and_fits_by_the_same_rule_as_python():
    widget = small_map()
    steps = [("add", "kin"), ("remove", "king"), ("add", "king - man + woman"), ("fit",)]
    steps += [("remove", word) for word in PEOPLE[1:]]
    steps += [("clear",), ("add", "apple"), ("add", "mango"), ("add", "kin"), ("add", "orange")]
    body = f"""
        {SESSION(widget)}
        const look = () => [session.names, session.fitted.map((terms) => session.space.name(terms)),
                            session.positions];
        const looks = [look()];
        for (const [what, word] of {json.dumps(steps)}) {{
            if (what === 'add') session.add(session.space.read(word).entries);
            else session[what](word);
            looks.push(look());
        }}
        const back = [];
        while (session.history.length) {{ session.undo(); back.push(look()); }}
        session.close();
        return {{ looks, back, saved: saved.length, left: Object.keys(listeners) }};
    """
    result = run_javascript("embedding_map.js", body)
    for (what, *word), (shown, fitted, positions) in zip(steps, result["looks"][1:], strict=True):
        if what == "fit":
            widget.fit()
        elif what == "clear":
            widget.shown = []
        elif what == "add":
            widget.shown = [*widget.shown, *word]
        else:
            widget.shown = [name for name in widget.shown if name != word[0]]
        assert (widget.shown, widget.fitted) == (shown, fitted)
        np.testing.assert_allclose(np.reshape(positions, (-1, 2)), widget.place(), atol=1e-6)
    assert result["back"] == result["looks"][-2::-1]
    assert result["saved"] == 2 * len(steps)
    assert result["left"] == []


def test_the_browser_goes_on_without_a_kernel_and_follows_python_with_one():
    widget = small_map()
    body = f"""
        {SESSION(widget)}
        alive = false;
        session.add([[[1, 7]]]);
        session.add([[[1, 7]], [[1, 8]], [[1, 8]]]);
        const alone = [...session.names];
        alive = true;
        model.set('marks', {{ shown: [[[1, 0]]], fitted: [[[1, 0]]] }});
        const followed = [...session.names];
        session.undo();
        return {{ alone, followed, undone: session.names, saved: saved.length }};
    """
    result = run_javascript("embedding_map.js", body)
    assert result["alone"] == [*PEOPLE, *FRUITS, "kin", "Paris"]
    assert result["followed"] == ["king"]
    assert result["undone"] == result["alone"]
    assert result["saved"] == 1


def test_the_map_holds_no_more_than_200_words():
    words = names(MOST_SHOWN + 5)
    widget = EmbeddingMap(words, np.random.default_rng(0).normal(size=(len(words), 3)))
    body = f"""
        {SESSION(widget)}
        const done = session.add({json.dumps([[[1, i]] for i in range(len(words))])});
        return [session.names.length, done.left];
    """
    assert run_javascript("embedding_map.js", body) == [MOST_SHOWN, words[MOST_SHOWN:]]


def test_the_numbers_are_read_wherever_they_start():
    for start in (0, 1, 2, 3):
        body = f"""
            const buffer = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0]).buffer;
            const view = new DataView(buffer, {start}, 4);
            view.setInt16(0, -5, true);
            view.setInt16(2, 32767, true);
            return [...m.integers(view)];
        """
        assert run_javascript("embedding_map.js", body) == [-5, 32767]


# --- what people read ---


def test_unseen_characters_are_written_out():
    body = (
        "return ['a b', '\\ud800', '\\u202e', 'x'.repeat(99), '\\0'].map((w) => m.readable(w))"
        ".concat([0, 0.5449, 1].map(m.percent));"
    )
    expected = ["a␣b", r"\ud800", r"\u202e", "x" * 60 + "…", r"\x00", "0 %", "54 %", "100 %"]
    assert run_javascript("embedding_map.js", body) == expected


def test_ticks_are_round_and_inside():
    body = "return [[-0.53, 0.71, 5], [0.001, 0.0041, 3], [-2, -1, 4]].map((a) => m.ticks(...a));"
    for found, (low, high) in zip(
        run_javascript("embedding_map.js", body),
        [(-0.53, 0.71), (0.001, 0.0041), (-2, -1)],
        strict=True,
    ):
        assert low <= min(found["values"]) < max(found["values"]) <= high
        assert f"{found['step']:.0e}"[0] in "125"
        np.testing.assert_allclose(np.diff(found["values"]), found["step"])


boxes = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 300), st.integers(1, 90), st.integers(8, 20)),
    max_size=8,
)


@settings(max_examples=15)
@given(boxes)
@example([(200 + 9 * i % 23, 150 + 5 * i % 17, 60, 14) for i in range(40)])
def test_both_halves_place_labels_alike(boxes):
    points, sizes = [box[:2] for box in boxes], [box[2:] for box in boxes]
    ours = place_labels(points, sizes, width=400, height=300)
    body = f"return m.placeLabels({json.dumps(points)}, {json.dumps(sizes)}, 400, 300);"
    assert run_javascript("embedding_map.js", body) == [list(corner) for corner in ours]


def test_labels_do_not_cover_each_other_where_there_is_room():
    grid = [(x, y) for x in (60, 180, 300) for y in (40, 90, 140)]
    points = [*grid, (303, 142), (299, 141), (395, 5), (5, 5), (5, 295)]
    sizes = [(50, 15)] * len(points)
    corners = place_labels(points, sizes, width=400, height=300)
    for (left, top), (other_left, other_top) in itertools.combinations(corners, 2):
        assert abs(left - other_left) >= 50 or abs(top - other_top) >= 15
    for left, top in corners:
        assert 0 <= left <= 350
        assert 0 <= top <= 285


# --- the picture ---


def test_the_picture_and_the_words_of_a_saved_notebook():
    widget = EmbeddingMap(names(20_000), np.random.default_rng(0).normal(size=(20_000, 2)))
    assert repr(widget) == "EmbeddingMap(0 shown of 20,000 words)"
    widget.shown = names(7)
    data, _ = widget._repr_mimebundle_()
    assert data["text/plain"] == "EmbeddingMap(7 shown of 20,000 words)"
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id


def test_odd_words_are_drawn_without_a_warning():
    sums = ["- - + +", f"{HOSTILE.split()[0]}"]
    groups = {r"$\odd$ 漢字": ODD[:5], "_hidden \ud800": ["king"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for options in ({"shown": [*ODD, sums[0]]}, {"groups": groups}):
            data = small_map(**options)._repr_mimebundle_()[0]
            assert data["image/png"].startswith(b"\x89PNG")
            json.dumps(data["text/plain"])


def test_the_plane_of_nothing_is_nothing():
    plane = fit_plane(np.zeros((0, 3)))
    assert plane.place(np.zeros((0, 3))).shape == (0, 2)
    assert plane.shares(np.zeros((0, 3))).tolist() == [0, 0]
