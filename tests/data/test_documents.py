import doctest
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlab.data import documents, shakespeare, split_documents

TITLES = [f"Play {number}" for number in range(40)]
PLAYS = {title: f"{title}. Enter a king, and {title.lower()} others." for title in TITLES}


def test_the_example():
    assert doctest.testmod(documents).failed == 0


@given(st.integers(2, 40), st.floats(0.05, 0.95), st.integers(0, 5))
def test_every_document_is_on_exactly_one_side(n, share, seed):
    plays = dict(list(PLAYS.items())[:n])
    expected = max(1, round(share * n))
    if expected == n:
        with pytest.raises(ValueError, match="leaves one side empty"):
            split_documents(plays, share, seed=seed)
        return
    learned, tested = split_documents(plays, share, seed=seed)
    assert learned | tested == plays
    assert not learned.keys() & tested.keys()
    assert len(tested) == expected
    places = {title: place for place, title in enumerate(plays)}
    for side in (learned, tested):
        assert [places[title] for title in side] == sorted(places[title] for title in side)


def test_it_depends_on_titles_and_seed_alone():
    learned, tested = split_documents(PLAYS)
    shuffled = list(PLAYS.items())
    random.Random(0).shuffle(shuffled)
    assert split_documents(dict(shuffled)) == (learned, tested)
    assert set(split_documents({title: title[::-1] for title in TITLES})[1]) == set(tested)
    assert set(split_documents(PLAYS, seed=1)[1]) != set(tested)
    # taking a play away moves no other from the training side to the test side, but the next
    without = {title: text for title, text in PLAYS.items() if title != next(iter(tested))}
    assert len(set(split_documents(without)[1]) - set(tested)) == 1


def test_copies_go_the_same_way():
    copies = {f"{title}, again": text.upper() + "!" for title, text in PLAYS.items()}
    learned, tested = split_documents(PLAYS | copies)
    assert len(tested) == 8
    assert {title.removesuffix(", again") for title in tested} == set(tested) & set(PLAYS)
    texts = list(PLAYS.values()) + list(copies.values())
    learned, tested = split_documents(texts)
    assert len(tested) == 8
    assert not {text.strip("!").casefold() for text in learned} & {
        text.strip("!").casefold() for text in tested
    }


def test_a_list_gives_lists_and_a_further_split_is_new():
    learned, tested = split_documents(list(PLAYS.values()), seed=3)
    assert type(learned) is type(tested) is list
    assert sorted(learned + tested) == sorted(PLAYS.values())
    smaller, validation = split_documents(learned, seed=3)
    assert not set(validation) & set(tested)
    assert sorted(smaller + validation) == sorted(learned)
    assert split_documents(iter(PLAYS.values()), seed=3) == (learned, tested)


def test_shakespeare_is_split_by_play():
    learned, tested = split_documents(shakespeare())
    assert list(tested) == [
        "Henry VI, Part 3",
        "Richard III",
        "Timon of Athens",
        "Titus Andronicus",
    ]
    assert len(learned) == 34


def test_nonsense_is_refused():
    for share in (0, 1, -0.1, 1.5, 0.99, float("nan")):
        with pytest.raises(ValueError, match=r"share=.*of 40 different documents leaves one side"):
            split_documents(PLAYS, share)
    with pytest.raises(ValueError, match=r"1 different document\(s\) cannot be split"):
        split_documents(["The same.", "the SAME"])
    with pytest.raises(TypeError, match="str is no collection of documents; give a list"):
        split_documents("To be, or not to be")
    with pytest.raises(TypeError, match="7 is not text; give each document as a str"):
        split_documents({"a": "x", "b": 7})
