"""What training begins with: documents, a tokenizer, batches, and a model's first weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from llmlab.data import shakespeare, split_documents, wikitext
from llmlab.model import GPT
from llmlab.pretraining.recipe import PretrainingRecipe
from llmlab.text import BPETokenizer, gpt2_tokenizer, train_bpe
from llmlab.train import packed_batches
from llmlab.train.batches import Batches

END = "<|endoftext|>"
_CORPORA = ("shakespeare", "wikitext-2")


class Ingredients(NamedTuple):
    """What training begins with, and the documents kept from it: title -> text."""

    model: GPT
    tokenizer: BPETokenizer
    batches: Batches
    train_ids: list[int]
    validation: dict[str, str]
    held_out: dict[str, str]


def prepare(
    recipe: PretrainingRecipe, *, tokenizer: BPETokenizer | None = None, progress: bool = True
) -> Ingredients:
    """Read the documents, hold some out, learn the tokenizer, cut batches, draw the first weights.

    Depends on the recipe alone. `tokenizer` saves the time to learn it anew, when a run goes on.
    Raises ``FetchError`` when the corpus cannot be brought, ``ValueError`` for a folder without
    texts and for a corpus too small to be split.
    """
    training, validation, held_out = split(documents(recipe.data.corpus), recipe)
    if tokenizer is None:
        tokenizer = _tokenizer(recipe, training, progress=progress)
    end_id = tokenizer.special_tokens[END]
    ids = [token_id for text in training.values() for token_id in (*tokenizer.encode(text), end_id)]
    batches = packed_batches(
        ids,
        context=recipe.model.context,
        batch_size=recipe.training.batch_size,
        seed=recipe.training.seed,
    )
    model = recipe.make_model()
    return Ingredients(model, tokenizer, batches, ids, validation, held_out)


def documents(corpus: str) -> dict[str, str]:
    """Read a corpus as documents, title -> text.

    Raises ``FetchError`` when it cannot be brought, ``ValueError`` for a folder without texts.
    """
    if corpus == "shakespeare":
        return shakespeare()
    if corpus == "wikitext-2":
        return _articles(wikitext("train"))
    folder = Path(corpus).expanduser()
    if not folder.is_dir():
        raise ValueError(
            f"corpus={corpus!r} is no folder here; use {' or '.join(map(repr, _CORPORA))}, or the "
            "path of a folder of .txt files"
        )
    paths = sorted(path for path in folder.rglob("*.txt") if path.is_file())
    texts = {path.relative_to(folder).as_posix(): _read(path) for path in paths}
    texts = {title: text for title, text in texts.items() if text.strip()}
    if not texts:
        raise ValueError(f"the folder {corpus!r} has no .txt file with text in it; put some there")
    return texts


def split(
    texts: dict[str, str], recipe: PretrainingRecipe
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Share documents out: to train on, for validation, held out for the test."""
    data, seed = recipe.data, recipe.training.seed
    training, held_out = split_documents(texts, data.held_out, seed=seed)
    validation: dict[str, str] = {}
    if data.validation:
        training, validation = split_documents(training, data.validation, seed=seed)
    return training, validation, held_out


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from None


def _articles(text: str) -> dict[str, str]:
    """Cut WikiText-2 at the headings of its articles: `` = Title = ``, but not `` = = Part``."""
    pieces = re.split(r"^ = (?!=)(.+?) = *\n", text, flags=re.MULTILINE)[1:]
    articles: dict[str, str] = {}
    for title, body in zip(pieces[::2], pieces[1::2], strict=True):
        articles[title] = articles.get(title, "") + f" = {title} = \n{body}"
    return articles


def _tokenizer(
    recipe: PretrainingRecipe, training: dict[str, str], *, progress: bool
) -> BPETokenizer:
    if recipe.data.tokenizer == "gpt2":
        return gpt2_tokenizer()
    return train_bpe(training.values(), recipe.data.vocab_size, special=[END], progress=progress)
