"""Split a collection of texts into those to learn from and those to be tested on, whole."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from llmlab.data.pairs import same_text

__all__ = ["split_documents"]

Documents = TypeVar("Documents", dict[str, str], list[str])


def split_documents(
    texts: Documents, share: float = 0.1, *, seed: int = 0
) -> tuple[Documents, Documents]:
    """Split documents into those to learn from and a `share` of them to be tested on.

    `texts` is a mapping of titles to texts, and then both parts are dicts, or a list of texts, and
    then both are lists; each keeps the order. A document goes to one side as a whole, because what
    comes later in a text is not new to who has read its beginning, and so do all documents that
    differ only in capitals, spaces and punctuation. The share counts different documents and is
    rounded to a whole number of them, at least one. Which ones it is depends on their titles (in a
    list, on the texts) and `seed` alone, not on their order.

    To hold out a further part for tuning, split the training part once more. Raises ``TypeError``
    for what is no collection of texts, ``ValueError`` for a share that leaves one side empty.

    >>> split_documents(["Go.", "Stop!", "STOP", "Wait."], share=1 / 3)
    (['Go.', 'Stop!', 'STOP'], ['Wait.'])
    """
    if isinstance(texts, Mapping):
        names, contents = list(texts), list(texts.values())
    elif isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise TypeError(
            f"{type(texts).__name__} is no collection of documents; give a list of texts, or a "
            "dictionary of titles and texts"
        )
    else:
        contents = list(texts)
        names = contents
    wrong = [value for value in (*contents, *names) if not isinstance(value, str)]
    if wrong:
        raise TypeError(f"{wrong[0]!r:.60} is not text; give each document as a str")
    held = _drawn(names, contents, share, seed)
    if isinstance(texts, Mapping):
        parts = [{}, {}]
        for name, text, out in zip(names, contents, held, strict=True):
            parts[out][name] = text
        return parts[0], parts[1]
    pairs = list(zip(contents, held, strict=True))
    return [text for text, out in pairs if not out], [text for text, out in pairs if out]


def _drawn(names: list[str], contents: list[str], share: float, seed: int) -> list[bool]:
    """Say of each document whether it is held out; copies of one document go together."""
    keys = [same_text(text) for text in contents]
    groups: dict[str, str] = {}  # each different text, and the first of its names
    for key, name in zip(keys, names, strict=True):
        groups[key] = min(name, groups.get(key, name))
    if len(groups) < 2:
        raise ValueError(
            f"{len(groups)} different document(s) cannot be split into two parts; give at least "
            "2, for example by cutting a long text at its chapters"
        )
    n = max(1, round(share * len(groups))) if 0 < share < 1 else 0
    if not 1 <= n < len(groups):
        raise ValueError(
            f"share={share!r} of {len(groups):,} different documents leaves one side empty; "
            f"use a number above 0 and below {1 - 0.5 / len(groups):.3g}, as a rule 0.1"
        )

    def lot(key: str) -> bytes:
        return hashlib.sha256(f"{seed} {groups[key]}".encode()).digest()

    held = set(sorted(groups, key=lot)[:n])
    return [key in held for key in keys]
