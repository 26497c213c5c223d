import doctest
import json
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmlab.data import shakespeare
from llmlab.text import BPETokenizer, WordTokenizer, clean, split_words, train_bpe, words
from llmlab.text.words import join_words

FAMILY = "👩\u200d👩\u200d👧"
# what could stick together, or fall apart, when words are cut, joined and cut again
TRICKY = st.text(
    "aZs1٣'\"’“-/_@.,:;!?()[]{}«»¿$#% \n漢字かなテ、。「」한é\u0301\u0338\u200d\u200c"
    "😀🏽\ufe0f\u20e3🇩🇪👩\U000e0067<>",
    max_size=30,
)
ANY_TEXT = st.text(max_size=30) | TRICKY


@given(text=ANY_TEXT)
def test_splitting_loses_white_space_only(text):
    found = split_words(text)
    assert "".join(found) == "".join(c for c in text if not c.isspace() or c in "\x1c\x1d\x1e\x1f")
    assert all(found)


@given(text=ANY_TEXT)
def test_a_word_is_not_cut_again(text):
    for word in split_words(text):
        assert split_words(word) == [word]


@given(text=ANY_TEXT)
@example(text="'a' 'b'c 'tis 'd. e' f")
@example(text="( \u0301 - \u0301 x- \u200dy")
@example(text="か な 漢 か な")
def test_words_that_are_joined_are_found_again(text):
    found = split_words(clean(text))
    joined = join_words(found)
    assert clean(joined) == joined
    assert split_words(joined) == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("Hello, world!", "Hello|,|world|!"),
        ("don't O'Neil's y'all'd", "don't|O'Neil's|y'all'd"),
        ("don’t", "don’t"),
        ("'tis rock 'n' roll, dogs'", "'|tis|rock|'|n|'|roll|,|dogs|'"),
        ("3.14 1,000,000 10:30 7. 8,", "3.14|1,000,000|10:30|7|.|8|,"),
        ("-5 +5 5% $5", "-|5|+|5|5|%|$|5"),
        ("H2O x² 2nd ½ Ⅷ ٣٤٥", "H2O|x²|2nd|½|Ⅷ|٣٤٥"),
        ("well-known snake_case a/b", "well|-|known|snake|_|case|a|/|b"),
        ("wait... what?!", "wait|.|.|.|what|?|!"),
        ("e\u0301te\u0301 n\u0303", "e\u0301te\u0301|n\u0303"),
        ("!\u0301a", "!\u0301|a"),
        ("Straße Ελλάδα Москва", "Straße|Ελλάδα|Москва"),
        ("漢字かな交じり文、テスト。", "漢|字|かな|交|じり|文|、|テスト|。"),
        ("한국어 हिन्दी ไม่", "한국어|हिन्दी|ไม่"),
        ("می\u200cخواهم שלום", "می\u200cخواهم|שלום"),
        (f"😀😀 {FAMILY}👍🏽", f"😀|😀|{FAMILY}|👍🏽"),
        ("🇩🇪🇫🇷 ❤\ufe0f 1\ufe0f\u20e3", "🇩🇪|🇫🇷|❤\ufe0f|1\ufe0f\u20e3"),
        ("<unk> a\x00b", "<|unk|>|a|\x00|b"),
        (" \t\n\u00a0\u3000", ""),
    ],
)
def test_examples_of_words(text, expected):
    assert split_words(text) == [word for word in expected.split("|") if word]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello, world! Don't panic: it's only 3.14.",
        'He said: "Yes. No." Then he left; "really?"',
        "It's 'only' a [small] (very small) well-known and/or snake_case test...",
        "¿Qué? ¡Sí! «Oui», $5 and 50% of #1.",
        "'Tis here. 'Tis gone; the dogs'.",
        "the dogs'",
        '"...," he said',
        "- one two",
        "漢字かな交じり文、テスト。",
        f"a 😀 b {FAMILY} 🇩🇪",
        "speak - - no",
        "over-night-train",
    ],
)
def test_examples_that_are_joined_as_they_were_written(text):
    assert join_words(split_words(text)) == text


@pytest.mark.parametrize("text", ["\ud800", "ok \udfff"])
def test_a_lone_surrogate_is_refused_until_it_is_cleaned_away(text):
    with pytest.raises(ValueError, match="lone surrogate"):
        split_words(text)
    assert "\ud800" not in split_words(clean(text))


@pytest.mark.parametrize("text", [None, b"bytes", 7, ["a"]])
def test_what_is_no_text_is_refused(text):
    tokenizer = WordTokenizer(["a"])
    for function in (split_words, tokenizer.encode, tokenizer.tokens):
        with pytest.raises(TypeError, match=f"{type(text).__name__} is not text; give a str"):
            function(text)


# --- the tokenizer ---


@pytest.fixture(scope="module")
def plays():
    return list(shakespeare().values())[:4]


@pytest.fixture(scope="module")
def hamlet_words(plays):
    return WordTokenizer.train(plays, vocab_size=2_000, lower=True)


def test_ids_go_by_frequency_then_by_the_alphabet():
    tokenizer = WordTokenizer.train(["b a c", "c, a c", "é Z"])
    assert tokenizer.vocabulary == ["<unk>", "c", "a", ",", "Z", "b", "é"]
    assert tokenizer.vocab_size == 7
    assert tokenizer.encode("a b c") == [2, 5, 1]
    assert tokenizer.unk_id == 0


@given(texts=st.lists(ANY_TEXT, max_size=4), lower=st.booleans())
def test_no_word_of_the_training_texts_is_unknown(texts, lower):
    tokenizer = WordTokenizer.train(texts, lower=lower)
    counts = Counter(word for text in texts for word in split_words(clean(text, lower=lower)))
    assert sorted(tokenizer.vocabulary[1:]) == sorted(counts)
    numbers = [counts[word] for word in tokenizer.vocabulary[1:]]
    assert numbers == sorted(numbers, reverse=True)
    for text in texts:
        ids = tokenizer.encode(text)
        assert 0 not in ids
        assert tokenizer.encode(tokenizer.decode(ids)) == ids
        assert tokenizer.tokens(text) == split_words(clean(text, lower=lower))


@given(texts=st.lists(TRICKY, max_size=4), size=st.integers(1, 9), least=st.integers(1, 3))
def test_limits_keep_the_most_frequent_words(texts, size, least):
    whole = WordTokenizer.train(texts)
    counts = Counter(word for text in texts for word in whole.tokens(text))
    enough = [word for word in whole.vocabulary[1:] if counts[word] >= least]
    tokenizer = WordTokenizer.train(texts, vocab_size=size, min_count=least)
    assert tokenizer.vocabulary == ["<unk>", *enough[: size - 1]]
    for text in texts:
        known = [t if t in tokenizer.vocabulary else "<unk>" for t in whole.tokens(text)]
        assert tokenizer.tokens(text) == known
        assert [tokenizer.token(n) for n in tokenizer.encode(text)] == known


def test_one_text_need_not_stand_in_a_list(plays):
    assert WordTokenizer.train(plays[0]) == WordTokenizer.train(plays[:1])
    assert WordTokenizer.train(iter(plays)) == WordTokenizer.train(plays)


def test_another_numbering_changes_the_ids_and_nothing_else(hamlet_words, plays):
    shuffled = WordTokenizer(hamlet_words.vocabulary[:0:-1], lower=True)
    text = plays[0][:5_000]
    assert shuffled.encode(text) != hamlet_words.encode(text)
    assert shuffled.tokens(text) == hamlet_words.tokens(text)
    assert shuffled.decode(shuffled.encode(text)) == hamlet_words.decode(hamlet_words.encode(text))
    assert shuffled != hamlet_words


def test_small_letters_are_made_on_request():
    assert WordTokenizer.train("The the THE").vocabulary == ["<unk>", "THE", "The", "the"]
    tokenizer = WordTokenizer.train("The the THE", lower=True)
    assert tokenizer.vocabulary == ["<unk>", "the"]
    assert tokenizer.encode("tHe") == [1]


def test_unknown_words_have_id_0():
    tokenizer = WordTokenizer.train("The cat sat.")
    assert tokenizer.encode("The dog sat 😀.") == [2, 0, 4, 0, 1]
    assert tokenizer.tokens("The dog sat 😀.") == ["The", "<unk>", "sat", "<unk>", "."]
    assert tokenizer.decode(tokenizer.encode("The dog sat.")) == "The <unk> sat."
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""
    assert WordTokenizer([]).encode("all unknown") == [0, 0]


def test_the_name_of_the_unknown_word_in_a_text_is_ordinary_text():
    tokenizer = WordTokenizer.train("the <unk> of <unk>")
    assert tokenizer.vocabulary == ["<unk>", "<", ">", "unk", "of", "the"]
    ids = tokenizer.encode("the <unk>")
    assert ids == [5, 1, 3, 2]
    assert tokenizer.encode(tokenizer.decode(ids)) == ids
    assert WordTokenizer(["the"]).encode("<unk>") == [0, 0, 0]


def test_halves_of_characters_and_nul_do_not_stop_it():
    tokenizer = WordTokenizer.train(["a\x00b \ud800c"])
    assert tokenizer.vocabulary == ["<unk>", "ab", "c"]
    assert tokenizer.encode("\udfffa\x00b") == [1]


@pytest.mark.parametrize("wrong", [-1, 3, 2**70, 1.0, "1", None])
def test_an_id_that_no_word_has_is_refused(wrong):
    tokenizer = WordTokenizer(["a", "b"], name="tiny")
    with pytest.raises(ValueError, match=rf"id {wrong!r} is no word of tiny; ids go from 0 to 2"):
        tokenizer.decode([1, wrong])


def test_ids_may_come_as_tensors_and_arrays():
    import numpy as np
    import torch

    tokenizer = WordTokenizer(["a", "b"])
    assert tokenizer.decode(np.array([1, 2, 0])) == "a b <unk>"
    assert tokenizer.decode(torch.tensor([1, 2, 0])) == "a b <unk>"


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        (["a", "b", "a"], "the word 'a' occurs twice"),
        (["<unk>"], "the word '<unk>' occurs twice"),
        (["New York"], r"'New York' is not one word: texts are read as \['New', 'York'\]"),
        ([""], "'' is not one word"),
        (["don’t"], "'don’t' is not one word"),
        (["e\u0301"], "is not one word"),
        (["a\ud800"], "is not one word"),
    ],
)
def test_a_vocabulary_with_words_that_cannot_be_met_is_refused(vocabulary, message):
    with pytest.raises(ValueError, match=message):
        WordTokenizer(vocabulary)


def test_a_vocabulary_of_small_letters_has_no_capitals():
    assert WordTokenizer(["The"]).encode("The") == [1]
    with pytest.raises(ValueError, match=r"'The' is not one word: texts are read as \['the'\]"):
        WordTokenizer(["The"], lower=True)


@pytest.mark.parametrize("vocabulary", ["abc", [1], [b"a"], None])
def test_a_vocabulary_that_is_no_list_of_words_is_refused(vocabulary):
    with pytest.raises(TypeError):
        WordTokenizer(vocabulary)


@pytest.mark.parametrize("option", ["vocab_size", "min_count"])
@pytest.mark.parametrize("wrong", [0, -1, 1.5, "7", True])
def test_limits_that_are_none_are_refused(option, wrong):
    with pytest.raises(ValueError, match=f"{option}={wrong!r} must be a whole number of at least"):
        WordTokenizer.train("a", **{option: wrong})


def test_texts_that_are_none_are_refused():
    with pytest.raises(TypeError, match=r"give its \.values\(\)"):
        WordTokenizer.train(shakespeare())
    with pytest.raises(TypeError, match="NoneType is not text"):
        WordTokenizer.train(["a", None])


def test_a_saved_tokenizer_comes_back_equal(hamlet_words, plays, tmp_path):
    path = tmp_path / "words.json"
    hamlet_words.save(path)
    again = WordTokenizer.load(str(path))
    assert again == hamlet_words
    assert (again.name, again.lower) == (hamlet_words.name, True)
    assert again.encode(plays[1]) == hamlet_words.encode(plays[1])
    text = path.read_text(encoding="utf-8")
    assert json.loads(text)["words"] == hamlet_words.vocabulary[1:]
    assert '\n"the",\n' in text
    assert [file.name for file in tmp_path.iterdir()] == ["words.json"]


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "words.json"
    WordTokenizer(["a"]).save(path)

    def break_off(content, file, **options):
        file.write("{")
        raise OSError("disk full")

    monkeypatch.setattr("llmlab.text.files.json.dump", break_off)
    with pytest.raises(OSError, match="disk full"):
        WordTokenizer(["b"]).save(path)
    assert WordTokenizer.load(path) == WordTokenizer(["a"])
    assert [file.name for file in tmp_path.iterdir()] == ["words.json"]


def test_a_file_of_bytes_is_sent_to_its_own_class(tmp_path):
    train_bpe("low low", 257, progress=False).save(tmp_path / "bpe.json")
    with pytest.raises(ValueError, match=r"holds a BPETokenizer; .*BPETokenizer\.load\(path\)$"):
        WordTokenizer.load(tmp_path / "bpe.json")
    assert BPETokenizer.load(tmp_path / "bpe.json").vocab_size == 257


SAVED = {"format": "llmlab-words-1", "name": "", "lower": False, "words": ["a"]}
BROKEN = {
    "cut short": "{",
    "another JSON": "[]",
    "no format": "{}",
    "another format": SAVED | {"format": "other"},
    "a format that is no text": SAVED | {"format": []},
    "no words": {key: value for key, value in SAVED.items() if key != "words"},
    "a word twice": SAVED | {"words": ["a", "a"]},
    "two words as one": SAVED | {"words": ["a b"]},
    "a word that is no text": SAVED | {"words": [1]},
    "words in one text": SAVED | {"words": "abc"},
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_holds_no_tokenizer_is_refused(tmp_path, content):
    content = content if isinstance(content, str) else json.dumps(content)
    path = tmp_path / "broken.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"broken\.json is not a tokenizer saved by llmlab .*save"):
        WordTokenizer.load(path)


def test_equality_and_the_way_it_is_shown():
    assert WordTokenizer(["a"], name="x") == WordTokenizer(["a"], name="y")
    assert WordTokenizer(["a"]) != WordTokenizer(["a"], lower=True)
    assert WordTokenizer(["a"]) != ["<unk>", "a"]
    assert repr(WordTokenizer(["a"])) == "WordTokenizer('words', vocab_size=2)"


def test_examples_in_the_documentation_hold():
    result = doctest.testmod(words)
    assert result.attempted >= 2
    assert result.failed == 0
