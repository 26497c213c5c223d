"""BLEU is sacrebleu's to the last bit; exact matches; what is no list of texts."""

import doctest
import re
import subprocess
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU

from llmlab.inference import bare_answer, corpus_bleu, evaluate, exact_match

WORDS = st.lists(
    st.sampled_from(["the", "a", "cat", "dog", "sat", "on", "mat", ".", "¿Qué", "don't", "3,5"]),
    max_size=9,
).map(" ".join)


def test_the_examples_in_the_docstrings_hold():
    result = doctest.testmod(evaluate)
    assert result.attempted >= 2
    assert result.failed == 0


def streams(references):
    """As sacrebleu wants them: the first reference of every sentence, then the second ones ..."""
    most = max(map(len, references))
    return [[(known + [None] * most)[n] for known in references] for n in range(most)]


@given(st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=4)), min_size=1, max_size=6))
def test_bleu_is_sacrebleus_with_any_number_of_references(pairs):
    hypotheses, references = [list(column) for column in zip(*pairs, strict=True)]
    metric = BLEU()
    assert (
        corpus_bleu(hypotheses, references)
        == metric.corpus_score(hypotheses, streams(references)).score
    )
    signature = str(metric.get_signature())
    assert signature.split("|version")[0].split("|", 1)[1] == "case:mixed|eff:no|tok:13a|smooth:exp"
    if len(set(map(len, references))) > 1:
        assert signature.startswith("nrefs:var|")
        assert signature.split("|version")[0] in corpus_bleu.__doc__


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6))
def test_one_reference_may_stand_without_a_list(pairs):
    hypotheses, references = [list(column) for column in zip(*pairs, strict=True)]
    expected = BLEU().corpus_score(hypotheses, [references]).score
    assert corpus_bleu(hypotheses, references) == expected
    assert corpus_bleu(tuple(hypotheses), [(one,) for one in references]) == expected
    assert corpus_bleu(iter(hypotheses), (iter([one]) for one in references)) == expected


@given(
    st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=3)), min_size=2, max_size=6),
    st.randoms(),
)
def test_neither_the_order_of_the_texts_nor_of_their_references_matters(pairs, random):
    expected = corpus_bleu(*zip(*pairs, strict=True))
    random.shuffle(pairs)
    shuffled = [(text, random.sample(known, len(known))) for text, known in pairs]
    assert corpus_bleu(*zip(*shuffled, strict=True)) == expected


def test_bleu_goes_from_0_to_100():
    text = "one two three four five"
    assert corpus_bleu([text, text], [[text], ["x", text]]) == pytest.approx(100)
    assert corpus_bleu(["six seven"], [text]) == 0
    assert corpus_bleu([""], [text]) == 0
    assert corpus_bleu(["one two three"], ["one two three"]) == 0  # without a run of four words


def test_exact_matches_are_a_share_of_the_texts():
    assert exact_match(["a", "b", "c", "d"], ["a", "b", "c", "x"]) == 0.75
    assert exact_match(["a"], [["x", "y", " a\n"]]) == 1
    assert exact_match(["\ta "], ["a"]) == 1
    assert exact_match(["a b"], ["a  b"]) == exact_match(["A"], ["a"]) == 0
    assert exact_match([""], [""]) == 1


@given(st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=3)), min_size=1))
def test_what_matches_everywhere_has_all_of_bleu(pairs):
    references = [known for _, known in pairs]
    hypotheses = [known[-1] for known in references]
    assert exact_match(hypotheses, references) == 1
    assume(any(len(BLEU().tokenizer(text).split()) >= 4 for text in hypotheses))
    assert corpus_bleu(hypotheses, references) == pytest.approx(100)


@pytest.mark.parametrize("measure", [corpus_bleu, exact_match])
@pytest.mark.parametrize(
    ("hypotheses", "references", "error", "told"),
    [
        ([], [], ValueError, "hypotheses is empty; give at least one text"),
        (["a"], [], ValueError, "1 hypotheses and references for 0 texts do not match; give for"),
        (["a", "b"], [["a"]], ValueError, "2 hypotheses and references for 1 texts do not match"),
        (["a"], [[]], ValueError, "references[0] is empty; give at least one text"),
        (["a", "b"], ["a", []], ValueError, "references[1] is empty"),
        ("abc", ["a"], TypeError, "hypotheses='abc' is no list of texts; give a list of str"),
        (["a"], "a", TypeError, "references='a' is no list; give one reference for each"),
        (["a"], None, TypeError, "references=None is no list"),
        (["a"], {"a": "b"}, TypeError, "references={'a': 'b'} is no list"),
        (None, ["a"], TypeError, "hypotheses=None is no list of texts"),
        (b"abc", ["a"], TypeError, "hypotheses=b'abc' is no list of texts"),
        ([None], ["a"], TypeError, "hypotheses[0] is no text but NoneType; give a str"),
        (["a", 3], ["a", "b"], TypeError, "hypotheses[1] is no text but int"),
        (["a"], [3], TypeError, "references[0]=3 is no list of texts"),
        (["a"], [["a", None]], TypeError, "references[0][1] is no text but NoneType"),
    ],
)
def test_what_cannot_be_compared_is_told(measure, hypotheses, references, error, told):
    with pytest.raises(error, match="^" + re.escape(told)):
        measure(hypotheses, references)


def test_sacrebleu_is_loaded_on_demand_without_a_word_and_without_the_network():
    code = """
import socket, sys
import llmlab.inference
assert "sacrebleu" not in sys.modules
def refuse(*arguments, **options):
    raise AssertionError("no network")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
assert llmlab.inference.exact_match(["a"], ["a"]) == 1
assert "sacrebleu" not in sys.modules
assert llmlab.inference.corpus_bleu(["a b c d"], [["a b c d"]]) > 99
assert "sacrebleu" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


# --- answers without what is no part of them ---


@given(st.text(max_size=20))
def test_a_bare_answer_stays_as_it_is(text):
    assert bare_answer(bare_answer(text)) == bare_answer(text)


words = st.text("abcÄñ7", min_size=1, max_size=6)


@given(
    st.lists(words, min_size=1, max_size=3),
    st.sampled_from(
        ["{}", " {}\n", "{}.", '"{}"', '"{}".', '"{}."', "'{} '", "“{}”", "«{}».", "`{}`"]
    ),
)
def test_wrapping_makes_no_difference(parts, form):
    answer = " ".join(parts)
    written = form.format("  ".join(parts))
    assert bare_answer(written) == answer
    assert exact_match([written], [answer], normalise=bare_answer) == 1


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ("madrid", "Madrid"),  # capitals may be what was asked for
        ("Madrid!", "Madrid"),
        ("The capital is Madrid.", "Madrid"),
        ("ice-cream", "ice cream"),
        ('"Madrid', "Madrid"),
        ("3.5", "35"),
        ("", "Madrid"),
    ],
)
def test_everything_else_does(given_, wanted):
    assert exact_match([given_], [wanted], normalise=bare_answer) == 0
    assert exact_match([wanted], [wanted], normalise=bare_answer) == 1


def test_two_ways_to_write_one_character_are_the_same():
    assert bare_answer("man\u0303ana") == "mañana"


def test_without_normalising_only_spaces_at_the_ends_are_dropped():
    assert exact_match(["Madrid."], ["Madrid"]) == 0
    assert exact_match([" Madrid\n"], ["Madrid"]) == 1
