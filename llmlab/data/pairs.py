"""Pairs to translate: sentences from the catalog, numbers written out by num2words."""

import gzip
import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from llmlab.data.members import read_member
from llmlab.data.sources import catalog

__all__ = ["Pair", "SentencePairs", "hold_out", "number_pairs", "references", "sentence_pairs"]

LANGUAGES = {"es": "Spanish", "de": "German", "fr": "French"}
MULTI30K_PARTS = {"train": "train", "val": "val", "test": "test_2016_flickr"}


class Pair(NamedTuple):
    """An English sentence, its translation, and whom to name when showing them."""

    source: str
    target: str
    attribution: str


class SentencePairs(Sequence[Pair]):
    """Sentence pairs of one language; an index gives a `Pair`, a slice gives `SentencePairs`."""

    def __init__(self, pairs: Sequence[Pair], *, language: str, licence: str):
        self._pairs = tuple(pairs)
        self.language, self.licence = language, licence

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, key):
        chosen = self._pairs[key]
        if isinstance(key, slice):
            return SentencePairs(chosen, language=self.language, licence=self.licence)
        return chosen

    def __iter__(self):
        return iter(self._pairs)

    def __eq__(self, other) -> bool:
        if not isinstance(other, SentencePairs):
            return NotImplemented
        return (self.language, self._pairs) == (other.language, other._pairs)

    __hash__ = None

    def __repr__(self) -> str:
        return f"<{len(self):,} sentence pairs, English-{LANGUAGES[self.language]}, {self.licence}>"


def sentence_pairs(
    language: Literal["es", "de", "fr"] = "es",
    *,
    split: Literal["train", "val", "test"] | None = None,
) -> SentencePairs:
    """Return English sentences with their translations.

    ``"es"``: 140,868 pairs of Tatoeba, short ones first, some English sentences several times;
    from the package index, CC BY 2.0 FR, each pair with its own attribution. It is one piece, so
    `split` must be None: hold some back by English sentence, not by pair.

    ``"de"`` and ``"fr"``: Multi30k, descriptions of photographs, 1.3 MB of the web, made for
    research, no licence stated (Elliott et al. 2016, arXiv:1605.00459). `split` is ``"train"``
    (29,000 pairs, also if None), ``"val"`` (1,014) or ``"test"`` (1,000).

    Raises `ValueError` for another language or split, `FetchError` when they cannot be brought.
    """
    if language not in LANGUAGES:
        raise ValueError(f'{language=} has no sentence pairs; use "es", "de" or "fr"')
    if language == "es":
        if split is not None:
            raise ValueError(f"{split=}: English-Spanish comes in one piece; leave split out")
        return _tatoeba()
    part = MULTI30K_PARTS.get(split or "train")
    if part is None:
        raise ValueError(f'{split=} is not a part of Multi30k; use "train", "val" or "test"')
    return _multi30k(language, part)


def _tatoeba() -> SentencePairs:
    entry = catalog()["tatoeba-en-es"]
    text = read_member(entry.name, entry.members[0]).decode("utf-8")
    columns = (line.split("\t") for line in text.split("\n") if line.strip())
    pairs = [Pair(source.strip(), target.strip(), whom) for source, target, whom in columns]
    return SentencePairs(_filled(pairs), language="es", licence=entry.licence)


def _multi30k(language: str, part: str) -> SentencePairs:
    entry = catalog()[f"multi30k-en-{language}"]
    names = [f"{part}.en.gz", f"{part}.{language}.gz"]
    english, translated = (
        gzip.decompress(read_member(entry.name, name)).decode("utf-8").rstrip("\n").split("\n")
        for name in names
    )
    if len(english) != len(translated):
        raise ValueError(
            f"{names[0]} has {len(english)} lines but {names[1]} has {len(translated)}, so they "
            "do not match line by line; fetch both files of the same revision"
        )
    whom = f"Multi30k, {entry.attribution}"
    pairs = [Pair(s.strip(), t.strip(), whom) for s, t in zip(english, translated, strict=True)]
    return SentencePairs(_filled(pairs), language=language, licence=entry.licence)


def _filled(pairs: list[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.source and pair.target]


def number_pairs(
    language: Literal["de", "es", "fr"] = "de", limit: int = 10_000
) -> list[tuple[str, str]]:
    """Return the numbers 0 to `limit` - 1 in English words and in those of another language.

    As num2words writes them: ("twenty-one", "einundzwanzig"), and with ands and commas
    ("one thousand, two hundred and thirty-four"). Raises `ValueError` for another language or a
    limit outside 1 to 1,000,000.
    """
    if language not in LANGUAGES:
        raise ValueError(f'{language=} is not offered; use "de", "es" or "fr"')
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= 1_000_000:
        raise ValueError(f"{limit=} must be a whole number from 1 to 1000000")
    from num2words import num2words

    return [(num2words(n, lang="en"), num2words(n, lang=language)) for n in range(limit)]


def hold_out(pairs: Sequence[tuple], n: int, *, seed: int = 0) -> tuple[Sequence, Sequence]:
    """Split pairs into those to learn from and those of `n` English texts to be tested on.

    All pairs of one English text go the same way, and so do texts that differ only in capitals,
    spaces and punctuation, so that nothing that is tested has been learned from. Which texts are
    held out depends on themselves and `seed` alone, not on their order. Both parts keep the order,
    and for `SentencePairs` their kind. Raises `ValueError` when `n` is not from 1 to the number
    of different texts less one.

    >>> hold_out([("Hi.", "Hallo."), ("Two.", "Zwei."), ("hi", "hallo")], 1, seed=2)
    ([('Two.', 'Zwei.')], [('Hi.', 'Hallo.'), ('hi', 'hallo')])
    """
    keys = [same_text(pair[0]) for pair in pairs]
    texts = set(keys)
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n < len(texts):
        raise ValueError(
            f"{n=} texts cannot be held out of {len(texts):,} different ones; "
            "use a whole number of at least 1 that leaves some to learn from"
        )

    def lot(text: str) -> bytes:
        return hashlib.sha256(f"{seed} {text}".encode()).digest()

    held = set(sorted(texts, key=lot)[:n])
    learned = _like(pairs, [pair for pair, key in zip(pairs, keys, strict=True) if key not in held])
    tested = _like(pairs, [pair for pair, key in zip(pairs, keys, strict=True) if key in held])
    return learned, tested


def references(pairs: Iterable[tuple]) -> dict[str, list[str]]:
    """List the translations of each English text, both in the order of the pairs.

    >>> references([("Hi.", "Hola."), ("Go.", "Ve."), ("Hi.", "Buenas.")])
    {'Hi.': ['Hola.', 'Buenas.'], 'Go.': ['Ve.']}
    """
    translations: dict[str, list[str]] = {}
    for source, target, *_ in pairs:
        known = translations.setdefault(source, [])
        if target not in known:
            known.append(target)
    return translations


def same_text(text: str) -> str:
    """What is left of a text without capitals, spaces and punctuation; if nothing, all of it."""
    return re.sub(r"[\W_]+", "", text).casefold() or text


def _like(pairs: Sequence[tuple], chosen: list[tuple]) -> Sequence[tuple]:
    if isinstance(pairs, SentencePairs):
        return SentencePairs(chosen, language=pairs.language, licence=pairs.licence)
    return chosen
