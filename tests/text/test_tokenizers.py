"""Both tokenizers against the `tokenizers` library and plain tiktoken, and their laws."""

import hashlib
import json
import random
import sys

import pytest
import tiktoken
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from llmlab.text import BPETokenizer, WordTokenizer, gpt2_tokenizer
from llmlab.text.tokenizers import GPT2_PATTERN, token_to_bytes

from .conftest import build, gpt2_files

FAMILY = "👩\u200d👩\u200d👧"
HARD = {
    "empty": "",
    "one space": " ",
    "spaces": "a  b   c    d     ",
    "white space": " \t\n\r\f\v\u0085\u00a0\u1680\u2003\u2028\u2029\u202f\u3000\u200b x",
    "line ends": "one\ntwo\r\nthree\n\n\n four\r",
    "spaces before a digit": "a   1  2 3\n\n4 \t5",
    "digits": "1 12 123 1234567890 3.14159 1,000,000 -7 0x1F 1e-5",
    "digits of other scripts": "٣٤٥ ४५६ ½ ² Ⅷ 〇 १२ 5½",
    "contractions": "I'll we've don't it's 'tis O'Neil I'M 'S ' s '' 's's 5's",
    "code": "def f(x):\n\treturn {**x, 'a': [1, 2][::-1]}  # ok\n\n\nclass A: pass\n",
    "signs": '!@#$%^&*()_+-=[]{}|;:",./<>?`~ ... --- ???!!!',
    "web": "https://example.org/a?b=c&d=%20#e user@example.org",
    "accents": "naïve café Ångström Straße œuvre Ελλάδα Москва",
    "combining marks": "e\u0301 n\u0303 a\u0308\u0304 \u0301 ก็ไม่ हिन्दी Z̷̢̛a̸l̶g̴o̵",
    "emoji": f"😀 🎉🎉 👍🏽 {FAMILY} 🇩🇪 ❤\ufe0f 1\ufe0f\u20e3",
    "right to left": "שלום עולם مرحبا بالعالم \u202eabc\u202c",
    "east asian": "漢字かな交じり文、テスト。 한국어 中文測試",
    "other planes": "𝔘𝔫𝔦 𐍈 𠜎 \U0001f9ff \U000e0041",
    "byte order mark": "\ufefftext\ufeff",
    "noncharacters": "\ufffe\uffff\U0010ffff",
    "marks as text": "<|endoftext|> <|im_start|>user<|im_end|> <|endoftext",
    "long word": "Donaudampfschifffahrtsgesellschaft" * 20,
    "100 kB without a space": "".join(random.Random(1).choices("abcdefghij", k=100_000)),
    "100 kB of one letter": "a" * 100_000,
    "100 kB of spaces": " " * 100_000 + "x",
}
CONTROLS = "".join(map(chr, range(32))) + "\x7f"


def theirs(oracle, text):
    return oracle.encode(text, add_special_tokens=False).ids


def writable(tokenizer, text):
    """Say whether every byte of the text has a token; SmolLM2's vocabulary lacks a few."""
    return all(token_id < tokenizer.vocab_size for token_id in tokenizer.encode(text))


@pytest.mark.parametrize("text", HARD.values(), ids=HARD.keys())
def test_hard_strings_give_the_ids_of_the_oracle_and_come_back(pair, text):
    tokenizer, oracle = pair
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    if writable(tokenizer, text):
        assert ids == theirs(oracle, text)
    else:
        assert tokenizer.name == "SmolLM2"
        assert text in (HARD["other planes"], HARD["noncharacters"])


@given(text=st.text(max_size=60))
@example(text=CONTROLS)
@example(text="\x00" * 9)
def test_random_text_gives_the_ids_of_the_oracle_and_comes_back(pair, text):
    tokenizer, oracle = pair
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    if writable(tokenizer, text):
        assert ids == theirs(oracle, text)


@given(text=st.text(alphabet="aZ é1٣½'st \t\n\u00a0\u2003!_-\u0301漢😀", max_size=40))
def test_random_mixtures_that_try_the_cutting_rule_give_the_ids_of_the_oracle(pair, text):
    tokenizer, oracle = pair
    assert tokenizer.encode(text) == theirs(oracle, text)


def test_every_character_of_the_basic_plane_is_cut_and_merged_as_in_the_oracle(pair):
    tokenizer, oracle = pair
    block, wrong = 64, []
    characters = [chr(c) for c in range(0x10000) if not 0xD800 <= c < 0xE000]
    characters = [c for c in characters if writable(tokenizer, c)]
    assert len(characters) >= 63_488 - 8
    for start in range(0, len(characters), block):
        text = "".join(f"a{c}1{c}!{c} {c}  " for c in characters[start : start + block])
        if tokenizer.encode(text) != theirs(oracle, text):
            wrong.append(hex(ord(characters[start])))
    assert wrong == []


def test_every_token_that_is_text_encodes_as_in_the_oracle(pair):
    tokenizer, oracle = pair
    marks = set(tokenizer.special_tokens.values())
    texts = []
    for token_id in range(tokenizer.vocab_size):
        token = tokenizer.decode_bytes([token_id])
        if token_id not in marks and token.decode("utf-8", errors="replace").encode() == token:
            texts.append((token_id, token.decode("utf-8")))
    assert len(texts) > 0.95 * tokenizer.vocab_size
    encoded = oracle.encode_batch([text for _, text in texts], add_special_tokens=False)
    wrong, itself = [], 0
    for (token_id, text), encoding in zip(texts, encoded, strict=True):
        ids = tokenizer.encode(text)
        wrong += [text] if ids != encoding.ids else []
        itself += ids == [token_id]
    assert wrong == []
    assert itself > 0.95 * tokenizer.vocab_size  # the rest span a cut, such as " 1" or "\n\n  "


def test_gpt2_ids_equal_those_of_tiktoken(gpt2, tmp_path, monkeypatch):
    base = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
    for name, content in zip(("vocab.bpe", "encoder.json"), gpt2_files(), strict=True):
        key = hashlib.sha1((base + name).encode(), usedforsecurity=False).hexdigest()
        (tmp_path / key).write_bytes(content)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("tiktoken.registry.ENCODINGS", {})
    encoding = tiktoken.get_encoding("gpt2")
    assert encoding.n_vocab == gpt2.vocab_size == 50_257
    for text in HARD.values():
        assert gpt2.encode(text) == encoding.encode_ordinary(text)
        with_marks = encoding.encode(text, allowed_special="all")
        assert gpt2.encode(text, special=True) == with_marks


@given(text=st.text(max_size=30))
def test_tokens_join_to_the_text(tokenizer, text):
    ids = tokenizer.encode(text)
    assert b"".join(tokenizer.decode_bytes([token_id]) for token_id in ids) == text.encode()
    assert tokenizer.tokens(text) == [tokenizer.token(token_id) for token_id in ids]


@pytest.mark.parametrize("after", ["", "x", "7", " \n"])
def test_two_million_spaces_come_back(tokenizer, after):
    text = "a" + " \n" * 1_000_000 + after
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_very_long_space_is_cut_as_a_short_one(gpt2):
    n = 1_000_001
    space = "\t" * (n - 1)  # the last one stands alone, before a letter
    assert gpt2.encode(f"a{space}\tb") == [
        *gpt2.encode("a"), *gpt2.encode(space), *gpt2.encode("\t"), *gpt2.encode("b")
    ]  # fmt: skip


def test_tokens_show_parts_of_characters_as_bytes(gpt2):
    assert gpt2.tokens("Hi 🎉") == ["Hi", " \\xf0\\x9f", "\\x8e", "\\x89"]
    assert gpt2.decode(gpt2.encode("🎉")[:1]) == "\ufffd"


def test_marks_in_ordinary_text_stay_text(tokenizer):
    marks = set(tokenizer.special_tokens.values())
    for name, mark in tokenizer.special_tokens.items():
        text = f"a{name} b"
        assert not marks & set(tokenizer.encode(text))
        assert tokenizer.decode(tokenizer.encode(text)) == text
        ids = tokenizer.encode(text, special=True)
        assert ids == [*tokenizer.encode("a"), mark, *tokenizer.encode(" b")]
        assert tokenizer.decode(ids) == text


def test_known_vocabularies(gpt2, smollm):
    assert gpt2.vocab_size == len(gpt2.vocabulary) == 50_257
    assert gpt2.special_tokens == {"<|endoftext|>": 50_256}
    assert gpt2.encode("Hello, world") == [15_496, 11, 995]
    assert smollm.vocab_size == len(smollm.vocabulary) == 49_152
    assert [smollm.special_tokens[f"<|{name}|>"] for name in ("endoftext", "im_end")] == [0, 2]
    assert repr(gpt2) == "BPETokenizer('gpt2', vocab_size=50,257)"


def test_the_bytes_smollm2_has_no_token_for_get_ids_beyond_its_vocabulary(smollm):
    beyond = [token_id for token_id in smollm.encode(CONTROLS) if token_id >= smollm.vocab_size]
    assert smollm.decode_bytes(beyond) == b"\x04\x06\x13\x14\x16\x1d"
    with pytest.raises(ValueError, match="ids go from 0 to 49,151"):
        smollm.decode([60_000])


@pytest.mark.parametrize("text", ["\ud800", "ok \udfff end", "\udc00\ud800", "😀\ud83d"])
def test_a_lone_surrogate_is_refused_and_the_advice_works(tokenizer, text):
    place = next(n for n, character in enumerate(text) if "\ud800" <= character <= "\udfff")
    with pytest.raises(ValueError, match=rf"character {place} .* lone surrogate.*'ignore'"):
        tokenizer.encode(text)
    mended = text.encode("utf-8", "ignore").decode("utf-8")
    assert tokenizer.decode(tokenizer.encode(mended)) == mended


@pytest.mark.parametrize("text", [None, b"bytes", 7, ["a"]])
def test_what_is_no_text_is_refused(tokenizer, text):
    with pytest.raises(TypeError, match=f"{type(text).__name__} is not text; give a str"):
        tokenizer.encode(text)


@pytest.mark.parametrize("wrong", [-1, 60_000, 2**40, "a", None, 1.5])
def test_an_id_that_no_token_has_is_refused(tokenizer, wrong):
    with pytest.raises(ValueError, match=rf"id {wrong!r} is no token of .*; ids go from 0 to "):
        tokenizer.decode([5, wrong, 7])


def small(**changes):
    tokens = ["<|end|>", *"abcdefĠ", "ab", "Ġab", "cd", "<|pad|>"]
    given = {"tokens": tokens, "pattern": GPT2_PATTERN, "special": ["<|end|>", "<|pad|>"]}
    given |= changes
    return BPETokenizer(given.pop("tokens"), **given)


def test_earlier_tokens_merge_first():
    tokenizer = small(tokens=[*"abc", "bc", "ab"], special=[])
    assert tokenizer.tokens("abc") == ["a", "bc"]
    tokenizer = small(tokens=[*"abc", "ab", "bc"], special=[])
    assert tokenizer.tokens("abc") == ["ab", "c"]


@given(text=st.text(max_size=30))
def test_a_vocabulary_of_twelve_tokens_loses_no_text(text):
    assert small().decode(small().encode(text)) == text


def test_a_saved_tokenizer_comes_back_equal(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "saved.json")
    again = BPETokenizer.load(tmp_path / "saved.json")
    assert again == tokenizer
    assert again.name == tokenizer.name
    assert again.vocabulary == tokenizer.vocabulary
    for text in HARD.values():
        assert again.encode(text, special=True) == tokenizer.encode(text, special=True)


def test_other_tokens_or_marks_or_rules_make_another_tokenizer():
    assert small() == small(name="another name")
    assert small() != small(special=["<|end|>"], tokens=["<|end|>", *"abcdefĠ", "ab", "Ġab", "cd"])
    assert small() != small(pattern=r".")
    assert small() != "a tokenizer"


def test_the_saved_file_is_json_that_people_can_read(tmp_path):
    small(name="tiny").save(tmp_path / "tiny.json")
    text = (tmp_path / "tiny.json").read_text(encoding="utf-8")
    assert json.loads(text)["tokens"][8:11] == ["ab", "Ġab", "cd"]
    assert '\n"Ġab",\n' in text


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other access rights")
def test_a_saved_tokenizer_has_the_access_rights_of_any_new_file(tmp_path):
    small().save(tmp_path / "saved.json")
    (tmp_path / "other").touch()
    assert (tmp_path / "saved.json").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "saved.json"
    small().save(path)
    before = path.read_bytes()

    def break_off(content, file, **options):
        file.write('{"format": ')
        raise OSError("disk full")

    monkeypatch.setattr("llmlab.text.files.json.dump", break_off)
    with pytest.raises(OSError, match="disk full"):
        small(pattern=r".").save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["saved.json"]


SAVED = {"format": "llmlab-bpe-1", "tokens": ["a"], "pattern": ".", "special": [], "name": ""}
BROKEN = {
    "cut short": "{",
    "another JSON": "[]",
    "no format": "{}",
    "another format": SAVED | {"format": "other"},
    "no pattern": {key: value for key, value in SAVED.items() if key != "pattern"},
    "a token twice": SAVED | {"tokens": ["a", "a"]},
    "a token that is no bytes": SAVED | {"tokens": ["€"]},
    "a token that is no text": SAVED | {"tokens": [1]},
    "a broken pattern": SAVED | {"pattern": "("},
    "an unknown mark": SAVED | {"special": ["b"]},
    "no tokens": SAVED | {"tokens": []},
    "a pattern that is no text": SAVED | {"pattern": None},
    "brackets without end": "[" * 100_000,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_holds_no_tokenizer_is_refused(tmp_path, content):
    content = content if isinstance(content, str) else json.dumps(content)
    path = tmp_path / "broken.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"broken\.json is not a tokenizer saved by llmlab .*save"):
        BPETokenizer.load(path)


def test_a_binary_file_is_refused(tmp_path):
    (tmp_path / "broken.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not a tokenizer saved by llmlab"):
        BPETokenizer.load(tmp_path / "broken.json")


def test_a_vocabulary_with_a_token_twice_is_refused():
    with pytest.raises(ValueError, match="1 tokens occur twice"):
        small(tokens=["a", "b", "a"], special=[])


def test_a_mark_that_is_not_in_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match=r"'<\|no\|>' is not in the vocabulary"):
        small(special=["<|no|>"])


@pytest.mark.parametrize("token", ["€", "a b", "▁the"])
def test_a_token_with_a_character_that_is_no_byte_is_refused(token):
    with pytest.raises(ValueError, match="stands for no byte; llmlab reads byte-level BPE"):
        token_to_bytes(token)


def test_loading_twice_gives_equal_tokenizers(gpt2):
    assert gpt2_tokenizer() == gpt2


def test_the_bytes_of_the_tokens_stand_in_the_order_of_the_ids(tokenizer):
    marks = set(tokenizer.special_tokens.values())
    table = tokenizer.token_bytes
    assert len(table) == tokenizer.vocab_size
    for token_id, content in enumerate(table):
        assert content == (b"" if token_id in marks else tokenizer.decode_bytes([token_id]))
    for text in HARD.values():
        ids = tokenizer.encode(text)
        if max(ids, default=0) < tokenizer.vocab_size:
            assert b"".join(table[token_id] for token_id in ids) == text.encode()


@pytest.mark.parametrize("k", [0, 1, 500, 20_000])
def test_the_first_merges_of_gpt2_are_those_of_an_oracle_with_no_more(gpt2, k):
    merges, ids = gpt2_files()
    rules = [rule.split(" ") for rule in merges.decode("utf-8").splitlines()[1:]][:k]
    kept = {token for token in json.loads(ids) if len(token) == 1} | {"".join(r) for r in rules}
    kept = sorted(kept, key=json.loads(ids).__getitem__)
    oracle = build(
        {token: number for number, token in enumerate(kept)},
        [" ".join(rule) for rule in rules],
        special=["<|endoftext|>"],
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False),
    )
    ours = gpt2.first_merges(k)
    assert ours.n_merges == k
    assert ours.vocab_size == 257 + k
    for text in HARD.values():
        if len(text) < 50_000:
            assert ours.encode(text) == theirs(oracle, text)
            assert ours.decode(ours.encode(text)) == text


def test_all_merges_are_the_tokenizer_itself(tokenizer):
    assert tokenizer.first_merges(tokenizer.n_merges) == tokenizer
    none = tokenizer.first_merges(0)
    assert none.n_merges == 0
    assert none.special_tokens.keys() == tokenizer.special_tokens.keys()
    for text in HARD.values():
        assert len(none.encode(text)) == len(text.encode())
        assert none.decode(none.encode(text)) == text


@pytest.mark.parametrize("k", [-1, 50_001, 1.0, "1", None, True])
def test_merges_that_there_are_not_are_refused(gpt2, k):
    with pytest.raises(ValueError, match=rf"k={k!r} must be a whole number from 0 to 50,000"):
        gpt2.first_merges(k)


def test_a_file_of_words_is_sent_to_its_own_class(tmp_path):
    WordTokenizer(["a"]).save(tmp_path / "words.json")
    with pytest.raises(ValueError, match=r"holds a WordTokenizer; .*WordTokenizer\.load\(path\)$"):
        BPETokenizer.load(tmp_path / "words.json")
