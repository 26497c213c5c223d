"""`train_bpe` against a plain version and the trainer of the `tokenizers` library."""

import doctest

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from llmlab.data import shakespeare
from llmlab.text import BPETokenizer, bpe, train_bpe
from llmlab.text.bpe import count_pieces, learn_merges
from llmlab.text.tokenizers import GPT2_PATTERN

from .plain_bpe import encode_by_hand, merged_bytes, plain_merges

# characters that every part knows: `regex` and tiktoken have tables of different Unicode versions
KNOWN = st.characters(exclude_categories=["Cs", "Cn"])
# few letters, so that pairs overlap and occur equally often; the others have several bytes
TEXTS = st.lists(
    st.text(alphabet="aab c1'\n", max_size=30) | st.text(KNOWN, max_size=12), max_size=5
)
WHOLE = r"[\s\S]+"  # one piece of the whole text
PATTERNS = st.sampled_from([GPT2_PATTERN, WHOLE, r"\S+|\s+", r"[\s\S]"])


@pytest.fixture(scope="module")
def hamlet():
    return shakespeare()["Hamlet"][:40_000]


def trained(texts, n_merges, **options):
    """Train with as many merges as the texts have, `n_merges` at the most."""
    possible = len(plain_merges(texts, n_merges, options.get("pattern", GPT2_PATTERN)))
    return train_bpe(texts, 256 + possible, progress=False, **options)


@given(texts=TEXTS, n_merges=st.integers(0, 25), pattern=PATTERNS)
@example(texts=["aaaaaaa aaaa aaa"], n_merges=9, pattern=GPT2_PATTERN)
@example(texts=["abababa babab"], n_merges=9, pattern=GPT2_PATTERN)
def test_the_merges_are_those_of_counting_every_pair_again(texts, n_merges, pattern):
    expected = plain_merges(texts, n_merges, pattern)
    pieces = count_pieces(texts, pattern)
    assert [*learn_merges(pieces, n_merges)] == expected
    tokenizer = train_bpe(texts, 256 + len(expected), pattern=pattern, progress=False)
    assert tokenizer.token_bytes[256:] == merged_bytes(expected)


def test_the_merges_of_a_play_are_those_of_counting_every_pair_again(hamlet):
    expected = merged_bytes(plain_merges([hamlet], 120))
    assert train_bpe(hamlet, 376, progress=False).token_bytes[256:] == expected


def library_merges(texts, n_merges):
    """Train with the `tokenizers` library, on characters that stand in the order of the bytes.

    Its own byte-level alphabet has another order, by which it would settle ties otherwise.
    """
    alphabet = [chr(0x4E00 + byte) for byte in range(256)]
    oracle = Tokenizer(models.BPE())
    oracle.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + n_merges, initial_alphabet=alphabet, show_progress=False
    )
    cut = (regex.findall(GPT2_PATTERN, text) for text in texts)
    spelled = (
        " ".join("".join(alphabet[byte] for byte in piece.encode()) for piece in pieces)
        for pieces in cut
    )
    oracle.train_from_iterator(spelled, trainer)
    ids = oracle.get_vocab()
    tokens = sorted(ids, key=ids.__getitem__)
    return [bytes(ord(character) - 0x4E00 for character in token) for token in tokens][256:]


@given(texts=TEXTS, n_merges=st.integers(0, 25))
def test_the_merges_of_random_texts_are_those_of_another_library(texts, n_merges):
    ours = trained(texts, n_merges)
    assert ours.token_bytes[256:] == library_merges(texts, n_merges)


def test_the_merges_of_all_plays_are_those_of_another_library(plays, all_plays):
    assert all_plays.token_bytes[256:] == library_merges(plays, 4096 - 256)


@pytest.fixture(scope="module")
def plays():
    return list(shakespeare().values())


@pytest.fixture(scope="module")
def all_plays(plays):
    return train_bpe(plays, 4096, progress=False)


@given(text=st.text(alphabet="aab c1'\n", max_size=60) | st.text(KNOWN, max_size=30))
def test_encoding_applies_the_merges_one_after_another(play, text):
    tokenizer, merges = play
    assert tokenizer.encode(text) == encode_by_hand(text, merges)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(texts=TEXTS, text=st.text(alphabet="aab c1'\n", max_size=60), pattern=PATTERNS)
def test_encoding_by_any_rule_applies_the_merges_one_after_another(texts, text, pattern):
    merges = plain_merges(texts, 25, pattern)
    tokenizer = train_bpe(texts, 256 + len(merges), pattern=pattern, progress=False)
    for each in [text, *texts]:
        assert tokenizer.encode(each) == encode_by_hand(each, merges, pattern)


@pytest.fixture(scope="module")
def play(hamlet):
    """A tokenizer trained on part of a play, and its merges."""
    return train_bpe(hamlet, 376, progress=False), plain_merges([hamlet], 120)


def test_encoding_a_play_applies_the_merges_one_after_another(play, hamlet):
    tokenizer, merges = play
    assert tokenizer.encode(hamlet) == encode_by_hand(hamlet, merges)


def test_ids_are_the_bytes_then_the_merges_then_the_marks():
    marks = ["<|endoftext|>", "<|pad|>"]
    tokenizer = train_bpe("low low lower", 262, special=marks, progress=False)
    assert tokenizer.token_bytes[:256] == [bytes([byte]) for byte in range(256)]
    assert tokenizer.token_bytes[256:] == [b"lo", b"low", b" low", b"er", b"", b""]
    assert tokenizer.special_tokens == {"<|endoftext|>": 260, "<|pad|>": 261}
    assert tokenizer.vocab_size == 262
    assert tokenizer.encode("low<|pad|>", special=True) == [257, 261]


def test_of_equally_frequent_pairs_the_one_with_the_lower_ids_goes_first():
    assert merges_of("zy\nyx\nzx", 3) == [b"yx", b"zx", b"zy"]


def merges_of(texts, n_merges):
    return train_bpe(texts, 256 + n_merges, progress=False).token_bytes[256:]


def test_a_pair_counts_as_often_as_it_stands_somewhere():
    # aa stands twice in aaa, so four times; bc three times
    assert merges_of(["aaa\naaa\nbc\nbc\nbc"], 1) == [b"aa"]


def test_names_of_marks_in_the_texts_are_ordinary_text():
    texts = ["<|end|>" * 50]
    tokenizer = train_bpe(texts, 261, special=["<|end|>"], progress=False)
    assert tokenizer.tokens("<|end|>") == ["<|", "end", "|>"]
    assert tokenizer.special_tokens == {"<|end|>": 260}


def test_one_text_need_not_stand_in_a_list(hamlet):
    alone = train_bpe(hamlet, 300, progress=False)
    assert alone == train_bpe([hamlet], 300, progress=False)
    assert alone == train_bpe(iter([hamlet]), 300, progress=False)


@given(texts=TEXTS)
def test_the_order_of_the_texts_does_not_matter(texts):
    assert trained(texts, 12) == trained(texts[::-1], 12)


def test_no_merge_and_no_text_leave_the_bytes():
    tokenizer = train_bpe([], 256, progress=False)
    assert tokenizer.encode("é\0") == [0xC3, 0xA9, 0]
    assert tokenizer.n_merges == 0


@given(texts=TEXTS, k=st.integers(0, 12), marks=st.sampled_from([(), ("<|a|>",), ("é€", "<|b|>")]))
def test_the_first_merges_are_those_of_a_smaller_vocabulary(texts, k, marks):
    whole = trained(texts, 12)
    whole = train_bpe(texts, whole.vocab_size + len(marks), special=marks, progress=False)
    k = min(k, whole.n_merges)
    smaller = train_bpe(texts, 256 + k + len(marks), special=marks, progress=False)
    assert whole.first_merges(k) == smaller
    assert whole.first_merges(k).vocabulary == smaller.vocabulary
    assert whole.first_merges(whole.n_merges) == whole


def test_a_trained_tokenizer_is_saved_as_readable_json_and_comes_back(all_plays, tmp_path):
    path = tmp_path / "plays.json"
    all_plays.save(path)
    again = BPETokenizer.load(path)
    assert again == all_plays
    assert again.token_bytes == all_plays.token_bytes
    lines = path.read_text(encoding="utf-8").splitlines()
    assert '"Ġthe",' in lines
    assert '"Ġnot",' in lines
    assert len(lines) > 4096


def test_common_words_of_the_plays_are_one_token(all_plays, plays):
    assert all_plays.tokens(" my noble lord of England") == [
        " my", " noble", " lord", " of", " England"
    ]  # fmt: skip
    text = plays[0]
    assert all_plays.decode(all_plays.encode(text)) == text
    assert len(text) / len(all_plays.encode(text)) > 2.8


@pytest.mark.parametrize("vocab_size", [255, 0, -1, 300.0, "300", None, True])
def test_a_size_that_is_none_is_refused(vocab_size):
    message = r"vocab_size=.* must be a whole number of at least 256"
    with pytest.raises(ValueError, match=message):
        train_bpe("some text", vocab_size, progress=False)


def test_marks_count_towards_the_size():
    with pytest.raises(ValueError, match="at least 257"):
        train_bpe("some text", 256, special=["<|pad|>"], progress=False)


def test_texts_with_too_few_pairs_are_refused_and_the_advice_works():
    message = r"needs 744 merges, but after 3 these texts .*or vocab_size=260"
    with pytest.raises(ValueError, match=message):
        train_bpe("abcd", 1001, special=["<|pad|>"], progress=False)
    assert train_bpe("abcd", 260, special=["<|pad|>"], progress=False).n_merges == 3
    with pytest.raises(ValueError, match=r"after 0 .*vocab_size=256"):
        train_bpe("", 257, progress=False)


@pytest.mark.parametrize("texts", [None, 7, b"bytes", ["a", None], [["a"]], [b"bytes"]])
def test_what_is_no_text_is_refused(texts):
    with pytest.raises(TypeError, match="is not text; give a str"):
        train_bpe(texts, 300, progress=False)


def test_a_dictionary_of_texts_is_refused_with_the_remedy():
    with pytest.raises(TypeError, match=r"a dict is no list of texts; give its \.values\(\)"):
        train_bpe(shakespeare(), 300, progress=False)


def test_a_lone_surrogate_is_refused():
    with pytest.raises(ValueError, match=r"character 2 of the text .* a lone surrogate"):
        train_bpe(["fine", "ab\ud800"], 256, progress=False)


@pytest.mark.parametrize(
    ("special", "message"),
    [
        (["a"], "1 tokens occur twice, such as 'a'"),
        (["Ġ"], "1 tokens occur twice, such as 'Ġ'"),
        (["<|a|>", "<|a|>"], r"1 tokens occur twice, such as '<\|a\|>'"),
        ([""], "cannot be empty"),
        (["\ud800"], "lone surrogate"),
        (["low"], "'low' occurs in the texts so often .*another name"),
        (["Ġlow"], "'Ġlow' occurs in the texts so often .*another name"),
    ],
)
def test_a_mark_that_is_an_ordinary_token_too_is_refused(special, message):
    with pytest.raises(ValueError, match=message):
        train_bpe("low low lower lowest", 264, special=special, progress=False)


def test_one_mark_need_not_stand_in_a_list():
    tokenizer = train_bpe("", 257, special="<|pad|>", progress=False)
    assert tokenizer.special_tokens == {"<|pad|>": 256}


@pytest.mark.parametrize("pattern", ["(", "*", "(?r)a", r"\p{Nothing}"])
def test_a_pattern_that_is_none_is_refused(pattern):
    with pytest.raises(ValueError, match=r"(?i)parsing error|regular expression|regex"):
        train_bpe("some text", 258, pattern=pattern, progress=False)


@pytest.mark.parametrize(("pattern", "lost"), [(r"\w+", " "), (".", "\n"), ("", "o")])
def test_a_pattern_that_would_lose_text_is_refused(pattern, lost):
    with pytest.raises(ValueError, match=r"finds no piece for .* would be lost") as raised:
        train_bpe("one two\n", 258, pattern=pattern, progress=False)
    assert repr(lost) in str(raised.value)


def test_groups_in_a_pattern_do_no_harm():
    plain, grouped = (
        train_bpe("aab aab", 258, pattern=pattern, progress=False).token_bytes
        for pattern in (r"\s|\w+", r"(\s)|(\w)+")
    )
    assert grouped == plain


def test_breaking_off_leaves_nothing_broken(monkeypatch, hamlet):
    expected = train_bpe(hamlet, 300, progress=False)
    calls = []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 50:
            raise KeyboardInterrupt
        return merge(*arguments)

    merge = bpe.merge
    with monkeypatch.context() as patched:
        patched.setattr(bpe, "merge", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_bpe(hamlet, 300)
    assert train_bpe(hamlet, 300, progress=False) == expected


def test_progress_is_shown_on_request(capsys):
    train_bpe("low low lower", 258)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "learning merges: 100%" in shown.err
    assert "2/2" in shown.err
    train_bpe("low low lower", 258, progress=False)
    assert capsys.readouterr() == ("", "")


def test_examples_in_the_documentation_hold():
    result = doctest.testmod(bpe)
    assert result.attempted >= 1
    assert result.failed == 0
