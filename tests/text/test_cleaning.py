import doctest
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.text import clean, cleaning

# all that Hypothesis knows, lone surrogates too, mixed with what the rules are about
ANY_TEXT = st.text(
    st.characters(exclude_categories=[])
    | st.sampled_from(" \t\n\r\x00\x1c\x85\u00a0\u00ad\u200b\u200d\u202e\u2028\ufeff\u037e")
    | st.sampled_from("\u0301\u0307ΣİK“’e")
)
EVERY_CHARACTER = [
    character
    for character in map(chr, range(0x110000))
    if unicodedata.category(character) not in ("Cn", "Co")  # unassigned, private
]


@given(text=ANY_TEXT, lower=st.booleans())
def test_cleaning_twice_changes_nothing(text, lower):
    once = clean(text, lower=lower)
    assert clean(once, lower=lower) == once


@pytest.mark.parametrize("lower", [False, True])
def test_every_character_alone_and_in_a_word_is_cleaned_at_once(lower):
    wrong = []
    for character in EVERY_CHARACTER:
        for text in (character, f"a{character}\u0301Σ"):
            once = clean(text, lower=lower)
            wrong += [text] if clean(once, lower=lower) != once else []
    assert wrong == []


@given(text=ANY_TEXT, lower=st.booleans())
def test_what_is_left_is_plain(text, lower):
    cleaned = clean(text, lower=lower)
    assert unicodedata.is_normalized("NFC", cleaned)
    assert cleaned == " ".join(cleaned.split())  # Python's own idea of white space
    assert not {unicodedata.category(character) for character in cleaned} & {"Cc", "Cs"}
    assert not set("“”„‘’‚") & set(cleaned)
    assert not lower or cleaned == unicodedata.normalize("NFC", cleaned.lower())
    cleaned.encode("utf-8")


@given(text=ANY_TEXT, lower=st.booleans())
def test_both_ways_to_write_an_accent_are_cleaned_to_one(text, lower):
    expected = clean(text, lower=lower)
    assert clean(unicodedata.normalize("NFD", text), lower=lower) == expected


@given(words=st.lists(st.text("abcdefgé漢1.,!?-'\"", min_size=1)))
def test_plain_text_is_left_alone(words):
    text = " ".join(words)
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("", ""),
        (" \t\r\n\u3000", ""),
        ("one\x00 two\x07", "one two"),
        ("one\r\n\ttwo\x0b\x1c\u2028\u00a0three", "one two three"),
        ("“Don’t”, ‘he’ said„“", '"Don\'t", \'he\' said""'),
        ("one\x1ctwo\x85three", "one two three"),
        ("cafe\u0301", "caf\u00e9"),
        ("e\x00\u0301", "\u00e9"),
        ("zu\u00adsam\u200bmen \ufeff\u202ego", "zusammen go"),
        ("x² ½ ﬁ Ａ ℌ …", "x² ½ ﬁ Ａ ℌ …"),
        ("می\u200cخواهم 👩\u200d👧", "می\u200cخواهم 👩\u200d👧"),
        ("a\ud800b\udfff", "ab"),
        ("<b>&amp;</b>", "<b>&amp;</b>"),
        ("Straße ΟΔΟΣ", "Straße ΟΔΟΣ"),
    ],
)
def test_examples(text, cleaned):
    assert clean(text) == cleaned


def test_lower_case_is_made_on_request():
    assert clean("Straße ΟΔΟΣ İ ÀB", lower=True) == "straße οδος i\u0307 àb"
    assert clean("Straße", lower=False) == "Straße"


@pytest.mark.parametrize("text", [None, b"bytes", 7, ["a"]])
def test_what_is_no_text_is_refused(text):
    with pytest.raises(TypeError, match=f"{type(text).__name__} is not text; give a str"):
        clean(text)


def test_examples_in_the_documentation_hold():
    result = doctest.testmod(cleaning)
    assert result.attempted >= 1
    assert result.failed == 0
