"""Tokenizers in model folders, as `tokenizers` and `transformers` write them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from llmlab.text import read_tokenizer

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTE_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False)
PLAIN_BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
CUTS = {
    "gpt2": BYTE_LEVEL,
    "digits": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), BYTE_LEVEL]),
    "llama3": pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(LLAMA3), "isolated"), PLAIN_BYTES]
    ),
}
TRAINING_TEXT = [
    "The quick brown fox doesn't jump over 12 lazy dogs; it's 1,234 miles away.",
    "def add(a, b):\n    return a + b\n\n\nprint(add(10, 200))",
    "Größe, naïve, 漢字, 😀😀 and the other things that we'll say, again and again and again.",
] * 3


def train(cut) -> Tokenizer:
    oracle = Tokenizer(models.BPE())
    oracle.pre_tokenizer = cut
    oracle.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=350,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    oracle.train_from_iterator(TRAINING_TEXT, trainer)
    oracle.add_special_tokens([AddedToken("<|im_end|>", special=True)])
    return oracle


@pytest.fixture(scope="module", params=CUTS)
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    train(CUTS[request.param]).save(str(folder / "tokenizer.json"))
    return folder


@given(text=st.text(max_size=40) | st.text(alphabet="aThe 12'sS\r\n\t.!é漢😀", max_size=40))
def test_ids_equal_those_of_the_library_that_wrote_the_folder(read, text):
    ours, oracle = read
    oracle.encode_special_tokens = True
    assert ours.encode(text) == oracle.encode(text).ids
    assert ours.decode(ours.encode(text)) == text
    oracle.encode_special_tokens = False
    marked = f"{text}<|im_end|>{text}"
    assert ours.encode(marked, special=True) == oracle.encode(marked).ids


@pytest.fixture(scope="module")
def read(folder):
    return read_tokenizer(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))


def test_name_size_and_marks_come_from_the_folder(folder):
    tokenizer = read_tokenizer(str(folder))
    assert tokenizer.name == folder.name
    assert tokenizer.special_tokens == {"<|endoftext|>": 0, "<|im_end|>": tokenizer.vocab_size - 1}
    assert tokenizer.vocab_size == 351


def test_a_tokenizer_saved_by_transformers_is_read(tmp_path):
    from transformers import PreTrainedTokenizerFast

    oracle = PreTrainedTokenizerFast(
        tokenizer_object=train(CUTS["gpt2"]), eos_token="<|endoftext|>"
    )
    oracle.save_pretrained(tmp_path)
    ours = read_tokenizer(tmp_path)
    for text in TRAINING_TEXT:
        assert ours.encode(text) == oracle(text, add_special_tokens=False)["input_ids"]


def test_the_older_pair_of_files_is_read_as_gpt2(tmp_path):
    oracle = train(CUTS["gpt2"])
    oracle.model.save(str(tmp_path))
    ids = json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))
    (tmp_path / "vocab.json").write_text(json.dumps(ids | {"<|im_end|>": 350}), encoding="utf-8")
    ours = read_tokenizer(tmp_path)
    assert ours.special_tokens == {"<|endoftext|>": 0, "<|im_end|>": 350}
    for text in TRAINING_TEXT:
        assert ours.encode(text) == oracle.encode(text).ids
    lines = (tmp_path / "merges.txt").read_text(encoding="utf-8").splitlines()
    swapped = "\n".join([lines[0], lines[2], lines[1], *lines[3:]])
    (tmp_path / "merges.txt").write_text(swapped, encoding="utf-8")
    with pytest.raises(ValueError, match=r"vocab\.json: its merges are not in the order"):
        read_tokenizer(tmp_path)


def test_merges_may_be_written_as_text(folder, tmp_path):
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["merges"] = [
        merge if isinstance(merge, str) else " ".join(merge) for merge in content["model"]["merges"]
    ]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert read_tokenizer(tmp_path) == read_tokenizer(folder)


def test_a_folder_without_a_tokenizer_gives_none(tmp_path):
    assert read_tokenizer(tmp_path) is None


def of_another_kind():
    unigram = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁a", -1.0)], unk_id=0))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    yield "unigram", unigram, "it is a Unigram tokenizer"
    word_piece = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    yield "word piece", word_piece, "it is a WordPiece tokenizer"
    fallback = Tokenizer(models.BPE({"a": 0, "<0x00>": 1}, [], byte_fallback=True))
    yield "byte fallback", fallback, "another kind of BPE"
    normal = train(BYTE_LEVEL)
    normal.normalizer = normalizers.NFC()
    yield "normalizer", normal, "another kind of BPE"
    for name, cut, message in (
        ("none", None, "it has no pre-tokenizer"),
        ("words", pre_tokenizers.Whitespace(), "ends in Whitespace"),
        ("prefix", pre_tokenizers.ByteLevel(add_prefix_space=True), "ends in ByteLevel"),
        ("uncut", PLAIN_BYTES, "its way of cutting text"),
        (
            "removed",
            pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(" "), "removed"), PLAIN_BYTES]),
            "its way of cutting text",
        ),
        (
            "whole numbers",
            pre_tokenizers.Sequence([pre_tokenizers.Digits(False), BYTE_LEVEL]),
            "its way of cutting text",
        ),
        (
            "three steps",
            pre_tokenizers.Sequence([pre_tokenizers.Digits(True), CUTS["llama3"]]),
            "its way of cutting text|ends in",
        ),
    ):
        oracle = train(BYTE_LEVEL)
        if cut is None:
            content = json.loads(oracle.to_str()) | {"pre_tokenizer": None}
            oracle = Tokenizer.from_str(json.dumps(content))
        else:
            oracle.pre_tokenizer = cut
        yield name, oracle, message


KINDS = {name: (oracle, message) for name, oracle, message in of_another_kind()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_of_another_kind_is_refused_by_its_name(tmp_path, kind):
    oracle, message = KINDS[kind]
    oracle.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match=message) as raised:
        read_tokenizer(tmp_path)
    assert str(tmp_path / "tokenizer.json") in str(raised.value)


@pytest.mark.parametrize("name", ["tokenizer.model", "spiece.model"])
def test_a_sentencepiece_file_is_refused_by_its_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"\n\x0e\n\x05<unk>")
    with pytest.raises(ValueError, match=f"{name}.* SentencePiece.* byte-level BPE"):
        read_tokenizer(tmp_path)


def changed(folder, tmp_path, change):
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    change(content)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


def test_merges_in_another_order_than_the_ids_are_refused(folder, tmp_path):
    def swap(content):
        merges = content["model"]["merges"]
        merges[3], merges[4] = merges[4], merges[3]

    with pytest.raises(ValueError, match="not in the order of the ids"):
        read_tokenizer(changed(folder, tmp_path, swap))


def test_added_tokens_that_hide_in_ordinary_text_are_refused(folder, tmp_path):
    def unmark(content):
        content["added_tokens"][-1]["special"] = False

    with pytest.raises(ValueError, match="to be found in ordinary text before any merging"):
        read_tokenizer(changed(folder, tmp_path, unmark))


def test_a_gap_in_the_ids_is_refused(folder, tmp_path):
    def lift(content):
        content["added_tokens"][-1]["id"] += 5

    with pytest.raises(ValueError, match="vocabularies without gaps only"):
        read_tokenizer(changed(folder, tmp_path, lift))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": "b"}', '{"model": {"type": "BPE"}}'])
@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.json"])
def test_a_broken_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=name):
        read_tokenizer(tmp_path)
