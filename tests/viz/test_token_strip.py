"""TokenStrip without a browser: both halves against tiktoken, and the Python half's manners."""

import base64
import itertools
import json
import warnings

import pytest
import regex
import tiktoken
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmlab.text.tokenizers import GPT2_PATTERN, SMOLLM_PATTERN
from llmlab.viz import TokenStrip
from llmlab.viz.cutting import NEVER, Cutter, javascript_pattern, removals
from llmlab.viz.token_strip import colours

from .javascript import run_javascript

HOSTILE = "</script><img src=x onerror=alert(1)>"
FAMILY = "👩\u200d👩\u200d👧"
TEXTS = [
    "",
    " ",
    "The capital of France is Paris. I'll, we've, don't; O'Neil 'S 's's",
    "Die Donaudampfschifffahrtsgesellschaft fährt über Köln, daß es kracht.",
    "¿Dónde está la niña? Señor Muñoz comió 1.234,56 piñas.",
    "def f(x):\n\treturn {**x, 'a': [1, 2][::-1]}  # ok\n\n\nclass A: pass\r\n",
    "1 12 123 1234567890 3.14159 1,000,000 ٣٤٥ ४५६ ½ ² Ⅷ",
    f"😀 🎉🎉 👍🏽 {FAMILY} 🇩🇪 ❤\ufe0f 1\ufe0f\u20e3 𝔘𝔫𝔦",
    "漢字かな交じり文、テスト。 한국어 中文測試",
    "שלום עולם مرحبا بالعالم \u202eabc\u202c",
    " \t\n\r\f\v\x85\xa0\u1680\u2003\u2028\u2029\u202f\u3000\u200b\ufeff x \x1c\x1d\x1e\x1f y  ",
    "a\x85b\u2028c\ufeffd\x1ce  \x1c 1  5 \x85\x85z",
    "".join(map(chr, range(128))) + "\x00\x00",
    "e\u0301 n\u0303 \u0301 ก็ไม่ हिन्दी Z̷̢̛a̸l̶g̴o̵",
    HOSTILE + " <|endoftext|> <|im_start|>user",
    "a" * 3000 + " " * 3000 + "x",
    "\ufffe\uffff\U0010ffff\ue000",
]
# Categories that Unicode may yet give to characters differ between versions of Unicode.
ASSIGNED = st.characters(exclude_categories=["Cs", "Cn"], max_codepoint=0x2FFFF)
texts = st.text(st.one_of(ASSIGNED, st.sampled_from(" \t\n\r\x85\u2028\u00a0 '12aB,")), max_size=40)

JAVASCRIPT = """
    const raw = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    const v = new m.Vocabulary(new DataView(raw.buffer));
    const regex = new RegExp(rule, 'gu');
"""


def token_bytes(tokenizer):
    special = set(tokenizer.special_tokens.values())
    size = tokenizer.vocab_size
    return [b"" if i in special else tokenizer.decode_bytes([i]) for i in range(size)]


def oracle(vocabulary, pattern, merges):
    """What tiktoken makes of the single bytes and the first merges."""
    ids = {token: i for i, token in enumerate(vocabulary) if len(token) == 1}
    missing = [bytes([byte]) for byte in range(256) if bytes([byte]) not in ids]
    ids |= {byte: len(vocabulary) + n for n, byte in enumerate(missing)}
    merged = [(token, i) for i, token in enumerate(vocabulary) if len(token) > 1]
    ids |= dict(merged[:merges])
    return tiktoken.Encoding("oracle", pat_str=pattern, mergeable_ranks=ids, special_tokens={})


def in_javascript(strip, body, **arguments):
    arguments |= {"packed": base64.b64encode(strip.vocabulary).decode(), "rule": strip.rule}
    consts = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in arguments.items())
    return run_javascript("token_strip.js", consts + JAVASCRIPT + body)


CUTS = """
    const known = new Map();
    return texts.map((text) => {
        const merged = new m.Merged(text, regex, v, known);
        return merges.map((k) => merged.cut(k).ids);
    });
"""


@pytest.fixture(scope="module", params=["gpt2", "smollm"])
def tokenizer(request):
    if request.param == "gpt2":
        return request.getfixturevalue("gpt2")
    return request.getfixturevalue("smollm2")[1]


@pytest.fixture(scope="module")
def strip(tokenizer):
    return TokenStrip(token_bytes(tokenizer), pattern=tokenizer.pattern)


@pytest.fixture(scope="module")
def oracles(tokenizer, strip):
    numbers = [0, 1, 2, 10, 300, 5000, 20_000, strip.merges - 1, strip.merges]
    return {k: oracle(token_bytes(tokenizer), tokenizer.pattern, k) for k in numbers}


def test_all_merges_give_what_the_tokenizer_gives(tokenizer, strip):
    strip.merges = strip._cutter.merges
    for text in TEXTS:
        strip.text = text
        assert [number for number, _ in strip.tokens()] == tokenizer.encode(text)
        assert b"".join(token for _, token in strip.tokens()) == text.encode()
    shown = in_javascript(strip, CUTS, texts=TEXTS, merges=[strip.merges])
    assert [ids for (ids,) in shown] == [tokenizer.encode(text) for text in TEXTS]


def test_the_first_merges_give_what_a_tokenizer_of_only_these_gives(strip, oracles):
    shown = in_javascript(strip, CUTS, texts=TEXTS, merges=list(oracles))
    for text, rows in zip(TEXTS, shown, strict=True):
        for (k, encoding), ids in zip(oracles.items(), rows, strict=True):
            assert ids == encoding.encode_ordinary(text)
            strip.merges, strip.text = k, text
            assert [number for number, _ in strip.tokens()] == ids


@settings(max_examples=8)
@given(st.lists(texts, min_size=150, max_size=300), st.integers(0, 48_900))
def test_any_text_and_any_number_of_merges(gpt2, smollm2, batch, merges):
    for tokenizer in (gpt2, smollm2[1]):
        strip = TokenStrip(token_bytes(tokenizer), pattern=tokenizer.pattern, merges=merges)
        some = oracle(token_bytes(tokenizer), tokenizer.pattern, merges)
        shown = in_javascript(strip, CUTS, texts=batch, merges=[merges, strip._cutter.merges])
        for text, (few, full) in zip(batch, shown, strict=True):
            assert full == tokenizer.encode(text), ascii(text)
            assert few == some.encode_ordinary(text), ascii(text)
            strip.text = text
            assert [number for number, _ in strip.tokens()] == few, ascii(text)


# --- vocabularies that no BPE made: any order, tokens that no merges reach ---

words = st.text("ab c", min_size=2, max_size=5).map(str.encode)
vocabularies = st.lists(words, unique=True, max_size=12)


@given(vocabularies, st.text("ab c", max_size=12), st.data())
@example([b"abc", b"ab"], "abc", None)
@example([b"abc", b"ab"], "abca", None)  # the ranks of the run fall: first ab, then abc
def test_any_vocabulary_of_python(merged, text, data):
    vocabulary = [bytes([byte]) for byte in range(256)] + merged
    cutter = Cutter(vocabulary, pattern=GPT2_PATTERN)
    numbers = range(len(merged) + 1) if data is None else [data.draw(st.integers(0, len(merged)))]
    for merges in numbers:
        expected = oracle(vocabulary, GPT2_PATTERN, merges).encode_ordinary(text)
        assert [number for number, _ in cutter.tokens(text, merges=merges)] == expected


@settings(max_examples=25)
@given(vocabularies, st.lists(st.text("ab c", max_size=12), min_size=20, max_size=40))
@example([b"abc", b"ab"], ["abc", "abca"])
def test_any_vocabulary_of_javascript(merged, batch):
    vocabulary = merged[:3] + [bytes([byte]) for byte in range(250)] + [b""] + merged[3:]
    strip = TokenStrip(vocabulary, pattern=SMOLLM_PATTERN)
    numbers = list(range(len(merged) + 1))
    shown = in_javascript(strip, CUTS, texts=batch, merges=numbers)
    for k in numbers:
        encoding = oracle(vocabulary, SMOLLM_PATTERN, k)
        assert [rows[k] for rows in shown] == [encoding.encode_ordinary(text) for text in batch]


@given(st.binary(max_size=30), vocabularies)
def test_more_merges_only_take_boundaries_away(piece, merged):
    gone = removals(piece, {t: i for i, t in enumerate(merged, start=1)}, longest=5)
    assert len(gone) == len(piece)
    assert gone[:1] == [NEVER] * bool(piece)
    assert all(1 <= number <= len(merged) or number == NEVER for number in gone)


# --- the rule for cutting ---


@pytest.mark.parametrize(
    "pattern",
    [
        GPT2_PATTERN,
        SMOLLM_PATTERN,
        r"\s|\S+",
        r"[^\S\n]+|.|\n",
        r".+|\n",
        r"\S+$|[\s\S]",
        r"\d{1,3}+|\D++",
        r"(?:ab|a)++c?|[\s\S]",
        r"(^.)|[-a-c\]\^&]+?|\P{L}$|[\S\s]",
        r"\p{Lu}\pL*?|\'|[\D\d]",
    ],
)
def test_patterns_mean_the_same_here_and_in_javascript(pattern):
    arguments = (
        f"const rule = {json.dumps(javascript_pattern(pattern))}, texts = {json.dumps(TEXTS)};"
    )
    body = "return texts.map((text) => m.split(text, new RegExp(rule, 'gu')));"
    shown = run_javascript("token_strip.js", arguments + body)
    cutter = Cutter([b"a"], pattern=pattern)
    for text, pieces in zip(TEXTS, shown, strict=True):
        assert pieces == cutter.split(text) == cut_by_the_original(pattern, text)


def cut_by_the_original(pattern, text):
    """Cut with the `regex` library, which has the possessive repetitions of the original."""
    # It differs from tiktoken in what white space is, and `$` takes a line end before it.
    pattern = pattern.replace(r"[^\S\n]", r"[\p{White_Space}--\n]").replace("$", r"\Z")
    pattern = pattern.replace(r"\s", r"\p{White_Space}").replace(r"\S", r"\P{White_Space}")
    matches = regex.finditer(pattern, text, regex.V1)
    return [match.group() for match in matches if match.group()]


def test_what_no_rule_matches_is_kept():
    cutter = Cutter([b"a"], pattern="b+")
    assert cutter.split("aabbac") == ["aa", "bb", "ac"]
    shown = run_javascript("token_strip.js", "return m.split('aabbac', /b+/gu);")
    assert shown == ["aa", "bb", "ac"]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "it is empty"),
        (None, "it is no text"),
        ("(?i:a)", r"the group \(\?i: is unknown"),
        ("a(?<=b)", r"the group \(\?<= is unknown"),
        ("[a", "a class \\[ is not closed"),
        ("[]", "a class is empty"),
        ("[[a]]", "a class lies in another"),
        ("[a&&b]", "a class lies in another"),
        ("[z-a]", "bad character range"),
        (r"[a-\s]", "is no range"),
        ("(a", "a group is not closed"),
        ("a)", "closes a group that it does not open"),
        ("*", "where it has no meaning"),
        ("a{2,1}", "min repeat greater than max"),
        ("(?=a)*", "cannot be repeated"),
        ("(a++b)++", "lie in one another"),
        (r"\w", r"\\w is unknown here"),
        (r"(a)\1", r"\\1 is unknown here"),
        (r"\p{Greek}", "is no general category"),
        ("x\\", "ends in a single backslash"),
    ],
)
def test_a_pattern_that_browsers_would_read_differently_is_refused(pattern, reason):
    with pytest.raises(ValueError, match=f"cannot be used in a browser: .*{reason}"):
        TokenStrip([b"a"], pattern=pattern)


# --- what people read and hear ---


def test_what_people_read_and_hear(gpt2):
    strip = TokenStrip(token_bytes(gpt2), pattern=GPT2_PATTERN)
    body = """
        const bytes = [' the', '\\n', '\\0', '\\u202e', 'é漢😀', '\\ufeffx'].map(m.bytesOf);
        bytes.push('\\xf0\\x9f', 'a\\xc3', '\\xed\\xa0\\x80', '\\xff');
        const merged = new m.Merged(' the', regex, v);
        const long = new m.Merged('\\ud83d\\ude00'.repeat(20000), regex, v);
        return {
            read: bytes.map(m.label), heard: bytes.map(m.spoken), hex: m.hex(bytes[4]),
            history: merged.history(0, 4), single: merged.history(0, 1),
            well: m.wellFormed('a\\ud800b\\ude00😀'),
            long: [long.characters, long.missing],
        };
    """
    result = in_javascript(strip, body)
    assert result["read"] == [
        "␣the", "⏎", r"\x00", r"\u202e", "é漢😀", r"\ufeffx",
        r"\xf0\x9f", r"a\xc3", r"\xed\xa0\x80", r"\xff",
    ]  # fmt: skip
    assert result["heard"][:4] == ["space the", "newline", "character 0", "character 202E"]
    assert result["heard"][6:8] == ["byte F0 byte 9F", "a byte C3"]
    assert result["hex"] == "é漢😀".encode().hex(" ")
    assert result["history"] == [
        {"merge": 1, "left": " ", "right": "t"},
        {"merge": 3, "left": "h", "right": "e"},
        {"merge": 7, "left": " t", "right": "he"},
    ]
    assert result["single"] == []
    assert result["well"] == "a\ufffdb\ufffd😀"
    assert result["long"] == [10_000, 10_000]


def test_the_history_of_every_token_is_made_of_real_merges(strip):
    body = """
        let wrong = 0, tokens = 0;
        for (const text of texts) {
            const merged = new m.Merged(text, regex, v);
            for (const k of [10, 1000, v.merges]) {
                const { starts, ids } = merged.cut(k);
                ids.forEach((id, i) => {
                    const token = merged.bytes.slice(starts[i], starts[i + 1]);
                    const parts = [...token];
                    for (const { merge, left, right } of merged.history(starts[i], starts[i + 1])) {
                        const place = parts.findIndex(
                            (part, j) => part === left && parts[j + 1] === right);
                        parts.splice(place, 2, left + right);
                        wrong += place < 0 || merge > k || v.mergeOf.get(left + right) !== merge;
                    }
                    wrong += parts.length !== 1 || parts[0] !== token || v.ids.get(token) !== id;
                    tokens++;
                });
            }
        }
        return { wrong, tokens };
    """
    result = in_javascript(strip, body, texts=TEXTS[:-2])
    assert result["wrong"] == 0
    assert result["tokens"] > 2000


def test_a_token_that_no_merges_reach_is_told_apart():
    strip = TokenStrip([b"abc"], pattern=GPT2_PATTERN)
    body = "const t = new m.Merged('abc', regex, v); return [t.cut(1).ids, t.history(0, 3)];"
    assert in_javascript(strip, body) == [[0], None]


@given(st.lists(st.integers(0, 60_000), max_size=60))
def test_neighbours_differ_in_colour(ids):
    places = colours(ids)
    assert all(a != b for a, b in itertools.pairwise(places))
    assert set(places) <= set(range(6))


def test_both_halves_give_the_same_colours():
    ids = [5, 5, 5, 11, 0, 6, 12, 13, 50_000, 1, 1]
    assert run_javascript("token_strip.js", f"return m.colours({ids})") == colours(ids)


def test_the_slider_reaches_every_small_number_and_the_last():
    for stops in run_javascript("token_strip.js", "return [0, 1, 7, 50000].map(m.stops)"):
        last = stops[-1]
        assert stops[:17] == list(range(min(last, 16) + 1))
        assert all(a < b <= a * 1.04 + 1 for a, b in itertools.pairwise(stops))
        assert len(stops) < 320
    assert last == 50_000


def test_boxes_lie_in_rows_without_overlap():
    body = """
        const widths = Array.from({ length: 200 }, (_, i) => 10 + (i * 37) % 90);
        const breaks = widths.map((_, i) => i % 23 === 0);
        return { widths, breaks, ...m.arrange(widths, breaks, 300) };
    """
    found = run_javascript("token_strip.js", body)
    for i in range(1, 200):
        same = found["rowOf"][i] == found["rowOf"][i - 1]
        if same:
            assert found["left"][i] == found["left"][i - 1] + found["widths"][i - 1] + 3
            assert not found["breaks"][i - 1]
        else:
            assert found["rows"][found["rowOf"][i]] == i
            assert found["left"][i] == 0
        assert found["left"][i] + found["widths"][i] <= 300


FAKE_KERNEL = """
    const state = {
        vocabulary: new DataView(raw.buffer), rule, text: 'the theme', merges: v.merges,
    };
    const listeners = {}, sent = [];
    const model = {
        get: (name) => state[name],
        set: (name, value) => { state[name] = value; listeners['change:' + name]?.(); },
        save_changes: () => sent.push([state.text, state.merges]),
        on: (name, callback) => { listeners[name] = callback; },
        off: (name) => { delete listeners[name]; },
    };
    const rest = (ms) => new Promise((done) => setTimeout(done, ms));
    const session = new m.Session(model);
"""


def test_python_hears_once_after_a_pause_and_moves_the_view(gpt2):
    strip = TokenStrip(token_bytes(gpt2), pattern=GPT2_PATTERN)
    body = (
        FAKE_KERNEL
        + """
        const full = session.ids.length;
        for (let k = 100; k >= 0; k--) session.merges = k;
        session.text = 'half \\ud800';
        const silent = sent.length;
        await rest(600);
        const heard = [...sent];
        session.merges = 1e9;
        session.merges = session.vocabulary.merges;
        model.set('text', 'from Python');
        const moved = session.ids;
        session.close();
        return { full, silent, heard, moved, sent, left: Object.keys(listeners) };
    """
    )
    result = in_javascript(strip, body)
    assert result == {
        "full": 2,
        "silent": 0,
        "heard": [["half \ufffd", 0]],
        "moved": gpt2.encode("from Python"),
        "sent": [["half \ufffd", 0], ["from Python", 50_000]],
        "left": [],
    }


# --- the Python half ---


def small(**options):
    vocabulary = [b"", *(bytes([byte]) for byte in range(256)), b"th", b"the", HOSTILE.encode()]
    return TokenStrip(vocabulary, pattern=GPT2_PATTERN, **options)


def test_text_and_merges_can_be_set_and_are_checked():
    strip = small(text="the")
    assert strip.merges == 3
    assert strip.tokens() == [(258, b"the")]
    strip.merges = 1
    assert strip.tokens() == [(257, b"th"), (102, b"e")]
    for wrong in (-1, 4):
        with pytest.raises(ValueError, match=f"merges={wrong} is not between 0 and 3, the number"):
            strip.merges = wrong
    with pytest.raises(ValueError, match="merges=4 is not between"):
        small(merges=4)
    strip.text = ""
    assert strip.tokens() == []
    strip.set_state({"text": "th", "merges": 0})
    assert [token for _, token in strip.tokens()] == [b"t", b"h"]


def test_what_the_browser_says_is_not_sent_back(monkeypatch):
    strip = small()
    updates = []
    monkeypatch.setattr(strip, "_send", lambda message, **_: updates.append(message))
    strip.set_state({"text": "new", "merges": 2})
    assert updates == []
    assert (strip.text, strip.merges) == ("new", 2)


def test_nonsense_is_refused_with_a_sentence():
    with pytest.raises(ValueError, match=r"vocabulary=\[\] has no tokens; give the bytes"):
        TokenStrip([], pattern=GPT2_PATTERN)
    with pytest.raises(TypeError, match=r"vocabulary\[1\]=' the' is not bytes; give the bytes"):
        TokenStrip([b"a", " the"], pattern=GPT2_PATTERN)
    with pytest.raises(ValueError, match=r"vocabulary\[2\]=b'a' is there already with id 0; keep"):
        TokenStrip([b"a", b"", b"a", b""], pattern=GPT2_PATTERN)


def test_half_a_surrogate_pair_becomes_the_replacement_character():
    strip = small(text="a\ud800")
    assert strip.text == "a\ufffd"
    strip.text = "\udc00b"
    assert strip.text == "\ufffdb"


def test_a_vocabulary_without_bytes_gives_them_ids_at_its_end():
    strip = TokenStrip([b"b", b"ab"], pattern=GPT2_PATTERN, text="\x00a", merges=0)
    assert strip.tokens() == [(2, b"\x00"), (2 + 97, b"a")]
    strip.text, strip.merges = "ab\xff", 1
    assert [token for _, token in strip.tokens()] == [b"ab", b"\xc3", b"\xbf"]


def test_the_picture_and_the_words_of_a_saved_notebook():
    strip = small(text="the cat")
    data, _ = strip._repr_mimebundle_()
    expected = "TokenStrip(text='the cat', merges=3, vocabulary=260 tokens)"
    assert data["text/plain"] == repr(strip) == expected
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == strip.model_id
    assert len(repr(small(text="y" * 500))) < 150


@pytest.mark.parametrize("text", [*TEXTS, "$x$ " * 99, "\n" * 99, "word " * 5000])
def test_every_text_has_a_picture(text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert small(text=text)._repr_mimebundle_()[0]["image/png"].startswith(b"\x89PNG")
