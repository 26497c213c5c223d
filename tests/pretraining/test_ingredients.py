import pytest
import torch

from llmlab.data import wikitext
from llmlab.pretraining import PretrainingRecipe, prepare
from llmlab.pretraining.ingredients import END, documents

TABLES = {
    "data": {"vocab_size": 270, "held_out": 0.25, "validation": 0.3},
    "model": {"context": 8, "width": 16, "n_heads": 2, "n_layers": 1},
    "training": {"batch_size": 4, "steps": 20},
}


@pytest.fixture
def recipe(tmp_path):
    """Eight documents, of which two are held out and two are for validation."""
    for number, letter in enumerate("ABCDEFGH"):
        path = tmp_path / "corpus" / f"part{number % 2}" / f"{letter}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{letter}{letter} the {letter} of the {letter}. " * 9, encoding="utf-8")
    (tmp_path / "corpus" / "empty.txt").write_text(" \n", encoding="utf-8")
    (tmp_path / "corpus" / "notes.md").write_text("not read", encoding="utf-8")
    tables = TABLES | {"data": TABLES["data"] | {"corpus": str(tmp_path / "corpus")}}
    return PretrainingRecipe.from_dict(tables)


def test_a_folder_of_texts_is_read_by_document(recipe):
    texts = documents(recipe.data.corpus)
    assert list(texts) == [f"part{n % 2}/{'ABCDEFGH'[n]}.txt" for n in (0, 2, 4, 6, 1, 3, 5, 7)]
    assert texts["part1/B.txt"].startswith("BB the B of the B. BB")


def test_nothing_held_out_is_learned_from(recipe):
    made = prepare(recipe, progress=False)
    assert (len(made.held_out), len(made.validation)) == (2, 2)
    kept = {path[-5] for path in (*made.held_out, *made.validation)}
    assert len(kept) == 4
    text = made.tokenizer.decode(made.train_ids)
    assert set(text) & set("ABCDEFGH") == set("ABCDEFGH") - kept
    assert text.count(END) == 4
    assert made.train_ids[-1] == made.tokenizer.special_tokens[END]
    # nor does the tokenizer know them: no token joins a letter of theirs with anything
    learned = [made.tokenizer.decode([number]) for number in range(256, 269)]
    assert not any(letter * 2 in token for letter in kept for token in learned)
    # and the batches are made of the training ids and no others
    read = [next(made.batches).inputs[0] for _ in range(made.batches.n_per_epoch)]
    assert set(torch.cat([ids_BT.flatten() for ids_BT in read]).tolist()) <= {0, *made.train_ids}


def test_what_is_prepared_depends_on_the_recipe_alone(recipe):
    first, second = prepare(recipe, progress=False), prepare(recipe, progress=False)
    assert first.batches.fingerprint == second.batches.fingerprint
    assert first.held_out == second.held_out
    again = prepare(recipe, tokenizer=first.tokenizer)
    assert again.train_ids == first.train_ids
    assert again.model.config == recipe.model
    whole = prepare(recipe.changed(data={"validation": 0.0}), progress=False)
    assert whole.validation == {}
    assert whole.held_out == first.held_out
    assert len(whole.train_ids) > len(first.train_ids)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: None, r"corpus='.*' is no folder here; use 'shakespeare' or 'wikitext-2'"),
        (lambda folder: folder.mkdir(), r"has no \.txt file with text in it"),
        (
            lambda folder: folder.mkdir() or (folder / "a.txt").write_bytes(b"\xff"),
            r"a\.txt is not UTF-8 text",
        ),
    ],
)
def test_a_folder_that_cannot_be_read_is_refused(tmp_path, make, words):
    make(tmp_path / "texts")
    with pytest.raises(ValueError, match=words):
        documents(str(tmp_path / "texts"))


def test_wikitext_is_cut_into_its_articles():
    articles = documents("wikitext-2")
    assert 600 <= len(articles) <= 640  # published as 600 articles; a few lines look like headings
    text = wikitext("train")
    assert "".join(articles.values()) in text or sum(map(len, articles.values())) > 0.999 * len(
        text
    )
    assert all(body.startswith(f" = {title} = \n") for title, body in articles.items())
    assert not any(title.startswith("=") for title in articles)
    assert "Valkyria Chronicles III" in articles
