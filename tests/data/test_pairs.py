import doctest
import gzip
import importlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.data import (
    Pair,
    SentencePairs,
    hold_out,
    number_pairs,
    references,
    sentence_pairs,
)

from .toys import use, web_entry


@pytest.fixture(scope="module")
def spanish():
    return sentence_pairs()


def test_spanish_pairs_are_whole(spanish):
    assert len(spanish) == 140_868
    assert spanish[0] == ("Go.", "Ve.", spanish[0].attribution)
    assert spanish[0].attribution.startswith("CC-BY 2.0 (France) Attribution: tatoeba.org #2877272")
    assert ("Run!", "¡Corre!") in {pair[:2] for pair in spanish[:20]}
    assert all(
        isinstance(pair, Pair)
        and pair.source == pair.source.strip() != ""
        and pair.target == pair.target.strip() != ""
        and "tatoeba.org" in pair.attribution
        for pair in spanish
    )
    assert "ñ" in "".join(pair.target for pair in spanish[:5000])


def test_pairs_are_a_sequence(spanish):
    some = spanish[1:4]
    assert isinstance(some, SentencePairs)
    assert list(some) == [spanish[1], spanish[2], spanish[3]]
    assert some == spanish[1:4] != spanish[:3]
    assert repr(spanish) == "<140,868 sentence pairs, English-Spanish, CC BY 2.0 FR>"


def test_other_languages_and_splits_are_refused():
    with pytest.raises(ValueError, match="language='it' has no sentence pairs; use \"es\""):
        sentence_pairs("it")
    with pytest.raises(ValueError, match="split='train': English-Spanish comes in one piece"):
        sentence_pairs("es", split="train")
    with pytest.raises(ValueError, match=r"split='dev' is not .*; use .train., .val. or .test."):
        sentence_pairs("de", split="dev")


@pytest.fixture
def multi30k(cache, server, monkeypatch):
    """A Multi30k of few lines, on a server on this machine."""

    def serve(**lines):
        packed = {
            f"{part}.{language}.gz": gzip.compress(text.encode())
            for part in ("train", "val", "test_2016_flickr")
            for language, text in lines.items()
        }
        server.files = {f"/{name}": content for name, content in packed.items()}
        languages = [language for language in lines if language != "en"]
        use(
            monkeypatch, *(web_entry(server.address, packed, f"multi30k-en-{x}") for x in languages)
        )

    return serve


def test_german_and_french_come_from_the_web(multi30k):
    multi30k(
        en="A dog.\n \nTwo\u2028cats. \n", de="Ein Hund.\nLeer\nZwei Mäuse.\n", fr="Un\n\nDeux\n"
    )
    for split in (None, "train", "val", "test"):
        german = sentence_pairs("de", split=split)
        assert [pair[:2] for pair in german] == [
            ("A dog.", "Ein Hund."),
            ("Two\u2028cats.", "Zwei Mäuse."),
        ]
    assert german[0].attribution == "Multi30k, toy"
    assert repr(german) == "<2 sentence pairs, English-German, toy>"
    assert [pair.target for pair in sentence_pairs("fr")] == ["Un", "Deux"]


def test_files_of_different_length_are_refused(multi30k):
    multi30k(en="A\nB\nC\n", de="A\nB\n")
    with pytest.raises(ValueError, match=r"train.en.gz has 3 lines but train.de.gz has 2"):
        sentence_pairs("de")


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("de", {0: "null", 1: "eins", 21: "einundzwanzig", 101: "einhunderteins"}),
        ("es", {0: "cero", 21: "veintiuno", 22: "veintidós", 100: "cien", 1000: "mil"}),
        ("fr", {0: "zéro", 21: "vingt et un", 71: "soixante et onze", 99: "quatre-vingt-dix-neuf"}),
    ],
)
def test_number_words(language, words):
    pairs = number_pairs(language, limit=1001)
    assert len(pairs) == 1001
    assert {number: pairs[number][1] for number in words} == words
    assert pairs[21][0] == "twenty-one"
    assert pairs[101][0] == "one hundred and one"
    for side in zip(*pairs, strict=True):
        assert len(set(side)) == 1001


def test_ten_thousand_numbers_are_the_default():
    pairs = number_pairs()
    assert len(pairs) == 10_000
    assert pairs[1234] == (
        "one thousand, two hundred and thirty-four",
        "eintausendzweihundertvierunddreißig",
    )


def test_number_pairs_refuse_nonsense():
    with pytest.raises(ValueError, match="language='xx' is not offered; use \"de\""):
        number_pairs("xx")
    for limit in (0, 1.5, True, 1_000_001):
        with pytest.raises(ValueError, match="must be a whole number from 1 to 1000000"):
            number_pairs(limit=limit)


def bare(text):
    return "".join(character for character in text.casefold() if character.isalnum())


def test_nothing_that_is_tested_was_learned_from(spanish):
    short = spanish[:20_000]
    learned, tested = hold_out(short, 500)
    assert {type(learned), type(tested)} == {SentencePairs}
    assert (tested.language, tested.licence) == ("es", short.licence)
    assert sorted([*learned, *tested]) == sorted(short)
    sides = [{bare(pair.source) for pair in side} for side in (learned, tested)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == 500
    assert any(len(texts) > 1 for texts in references(tested).values())
    places = {pair: place for place, pair in enumerate(short)}
    for side in (learned, tested):
        assert [places[pair] for pair in side] == sorted(places[pair] for pair in side)


def test_what_is_held_out_depends_on_the_texts_and_the_seed_only():
    pairs = number_pairs(limit=300)
    _, tested = hold_out(pairs, 40)
    assert sorted(hold_out(pairs[::-1], 40)[1]) == sorted(tested)
    assert set(tested) < set(hold_out(pairs, 80)[1])
    assert hold_out(pairs, 40, seed=1)[1] != tested
    english = [source for source, _ in tested[:3]]
    assert english == ["two", "seven", "nine"]  # on every machine


@given(st.lists(st.sampled_from(["Hi", "hi!", "Go.", "?", "!", "¿", "a_b", "ab"]), min_size=2))
def test_texts_that_differ_in_signs_only_stay_together(texts):
    pairs = [(text, str(place)) for place, text in enumerate(texts)]
    kinds = {bare(text) or text for text in texts}
    for n in (0, len(kinds), True, 1.0):
        with pytest.raises(ValueError, match="texts cannot be held out of"):
            hold_out(pairs, n)
    for n in range(1, len(kinds)):
        learned, tested = hold_out(pairs, n)
        assert sorted(learned + tested) == sorted(pairs)
        assert len({bare(text) or text for text, _ in tested}) == n
        assert not {bare(t) or t for t, _ in learned} & {bare(t) or t for t, _ in tested}


def test_references_are_all_translations_once():
    pairs = [
        ("Hi.", "Hola.", "x"),
        ("Go.", "Ve.", "x"),
        ("Hi.", "Buenas.", "x"),
        ("Hi.", "Hola.", "y"),
    ]
    assert references(pairs) == {"Hi.": ["Hola.", "Buenas."], "Go.": ["Ve."]}
    assert references([]) == {}


def test_examples():
    result = doctest.testmod(importlib.import_module("llmlab.data.pairs"))
    assert result.attempted >= 2
    assert result.failed == 0
