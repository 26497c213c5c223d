import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmlab.exercises.comparing import difference, write

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(plain)
def test_a_value_equals_itself(value):
    assert difference(value, value) is None


@given(plain, plain)
def test_a_difference_is_said_both_ways(one, other):
    assert (difference(one, other) is None) == (difference(other, one) is None)


@given(plain)
def test_anything_can_be_written_shortly(value):
    assert len(write(value)) <= 301


@pytest.mark.parametrize(
    ("expected", "given_", "words"),
    [
        (1.0, 1.1, "1 is expected"),
        (1.0, float("nan"), "nan"),
        (10**9, 10**9 + 1, "1000000000 is expected"),
        (1.0, True, "a bool is given"),
        (1.0, "1", "a text is given"),
        (1.0, np.zeros((2, 3)), "shape (2, 3)"),
        (1.0, None, "return"),
        (1.0, ..., "..."),
        (True, 1, "True is expected"),
        (True, np.False_, "True is expected"),
        ("queen", "mango", "'mango' is given and 'queen' expected"),
        ("x" * 40, "x" * 39, "xx' is given and 'xx"),
        ("x" * 41, "x" * 40 + "y", "the texts differ from character 40 on"),
        ("x" * 40, "x" * 41, "the texts differ from character 40 on"),
        ("cat", 3, "a whole number is given"),
        ([1, 2], [1, 3], "at place 1, 3 is given and 2 expected"),
        ([1, 2], [1], "1 item is given, and 2 expected"),
        ([1, 2], [], "0 items are given, and 2 expected"),
        ([1], [1, 2], "2 items are given, and 1 expected"),
        ([("a", "b")], [("b", "a")], "at place 0, ('b', 'a') is given and ('a', 'b') expected"),
        ([0, [*range(50)]], [0, [*range(49), 0]], "at place 1: at place 49, 0 is given and 49"),
        ([np.zeros(50)], [np.eye(50)[7]], "at place 0: at place 7, 1 is given and 0 expected"),
        ([np.zeros((0, 2))], [np.zeros(0)], "at place 0: the result has shape (0,), and (0, 2)"),
        (["x" * 50], ["x" * 49], "at place 0: the texts differ from character 49 on"),
        ([10**50], [1], "at place 0, 1 is given and 1000"),
        ([1, 2], [1, None], "at place 1: there is a None in your answer, and 2 is expected"),
        ([1, (2, 3)], [1, (2, None)], "at place 1: at place 1: there is a None in your answer"),
        ([(1, None)], [(2, None)], "at place 0, (2, None) is given and (1, None) expected"),
        ({"a": 1}, {"a": None}, "under the key 'a': there is a None in your answer"),
        ([1, 2], "12", "a text is given"),
        ((1, 2), {1, 2}, "a set is given"),
        ({"a": 1}, {"a": 2}, "under the key 'a': 1 is expected"),
        ({"a": 1}, {}, "'a' is missing"),
        ({"a": 1}, {"a": 1, "b": 2}, "'b' should not be there"),
        ({"a": 1}, [1], "a dictionary is expected"),
        ({1, 2}, {1}, "2 is missing"),
        ({1}, {1, 2}, "2 should not be there"),
        ({1}, [1], "a set is expected"),
        (np.zeros((2, 3)), np.zeros((3, 2)), "shape (3, 2), and (2, 3)"),
        (np.zeros(2), np.array([0, 1.0]), "at place 1, 1 is given and 0 expected"),
        (np.zeros((2, 2)), np.eye(2), "place (0, 0)"),
        (np.zeros((2, 2)), np.eye(2), "2 of 4 numbers differ"),
        (np.zeros(2), np.array([np.nan, 0]), "nan"),
        (np.zeros(2), [[1, 2], [3]], "not all of the same length"),
        (np.zeros(2), np.array(["a", "b"]), "one of numbers is expected"),
        (torch.zeros(2), 3, "an array of shape (2,) is expected, and a whole number is given"),
        (b"ab", b"ac", "another one"),
    ],
)
def test_differences_are_said_in_words(expected, given_, words):
    assert words in difference(expected, given_)


@pytest.mark.parametrize(
    ("expected", "given_"),
    [
        (1, ...),
        (None, ...),
        ([1, 2], [1, ...]),
        ([1, 2], [0, ...]),
        ([1, 2], [1, 2, ...]),
        (1.0, (0.5, ...)),
        (np.zeros(2), [0, ...]),
        ((1.0, np.zeros(2)), (1.0, ...)),
        ([(1, 2), (3, 4)], [(1, 2), (3, ...)]),
        ({"a": {"b": [1]}}, {"a": {"b": [...]}}),
    ],
)
def test_dots_of_the_stub_are_found_wherever_they_are(expected, given_):
    assert difference(expected, given_) == "there is still a ... in your answer"


def test_dots_that_are_expected_are_no_fault():
    assert difference([1, ...], [1, ...]) is None
    assert difference([1, ...], [2, ...]) == "at place 0, 2 is given and 1 expected"


@pytest.mark.parametrize(
    ("expected", "given_"),
    [
        ([1, 2], (1, 2)),
        ([1, 2], np.array([1, 2])),
        (1.0, torch.tensor(1.0, requires_grad=True)),
        (1, np.float32(1)),
        (torch.ones(2), np.ones(2)),
        (np.ones(2), [1, 1]),
        (np.ones(2), [torch.tensor(1.0), 1]),
        (1 / 3, 0.33333),
        (np.array([np.nan]), np.array([np.nan])),
        (True, np.True_),
        (None, None),
    ],
)
def test_what_counts_as_equal(expected, given_):
    assert difference(expected, given_) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (torch.tensor([[1.0, 0.5]]), "[[1, 0.5]]"),
        ((1,), "(1,)"),
        ({"a": np.float32(0.25)}, "{'a': 0.25}"),
        (write, "write"),
        (..., "..."),
        (np.zeros(1000), "[0, 0, 0"),
        ((n for n in [1]), "<generator object <genexpr>>"),
        (b"ab", "b'ab'"),
    ],
)
def test_values_are_written_for_people(value, text):
    assert write(value).startswith(text)


def test_a_list_of_itself_and_a_doubling_list_are_written_at_once():
    doubling = [1]
    for _ in range(60):
        doubling = [doubling, doubling]
    assert len(write(doubling)) <= 301
    round_ = []
    round_.append(round_)
    assert len(write(round_)) <= 301


def test_numbers_near_zero_are_told_apart():
    assert difference(0.0, 1e-7) is None
    assert difference(0.0, 1e-3) is not None
