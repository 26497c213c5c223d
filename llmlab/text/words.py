"""A tokenizer of whole words: what is not in its vocabulary is unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from operator import index
from pathlib import Path

import regex

from llmlab.text.cleaning import clean
from llmlab.text.files import WORDS_FORMAT, read_tokenizer_file, write_tokenizer_file
from llmlab.text.inputs import each_text, utf8, whole_number

# A letter or digit, with the accents on it and the joiners inside Persian and Hindi words.
# Chinese characters follow one another without spaces; each stands alone.
_LETTER = r"(?: (?!\p{Han}) [\p{L}\p{N}] [\p{M}\u200c\u200d]* )"
_PICTURE = r"(?: \p{Extended_Pictographic} [\p{M}\p{Emoji_Modifier}\U000e0020-\U000e007f]* )"
_WORD = regex.compile(
    rf"""
      \p{{Nd}}+ (?: [.,:] \p{{Nd}}+ )+        # 3.14  1,000,000  10:30
    | {_LETTER}+ (?: ['’] {_LETTER}+ )*       # don't  O'Neil's  H2O  x²
    | \p{{Han}} \p{{M}}*
    | \p{{Regional_Indicator}}{{2}}           # a flag
    | {_PICTURE} (?: \u200d {_PICTURE} )*     # a family of emoji is one, however many they are
    | \S \p{{M}}*                             # any other sign
    """,
    regex.VERBOSE,
)


def split_words(text: str) -> list[str]:
    """Cut a text into words, numbers and signs, in their order; white space is dropped.

    An apostrophe between letters belongs to the word, a point or comma between digits to the
    number; every other sign stands alone. Words of scripts without spaces between them are
    found only roughly: each Chinese character is one, a run of Japanese syllables or of Thai
    letters is one. An emoji is one, with its colour, flag or family.

    Raises ``ValueError`` for a lone surrogate, which is no text (`clean` drops it).

    >>> split_words("Don't panic: it's only 3.14!")
    ["Don't", 'panic', ':', "it's", 'only', '3.14', '!']
    """
    utf8(text)
    return _WORD.findall(text)


class WordTokenizer:
    """A tokenizer whose tokens are words; every word it does not know becomes ``<unk>``, id 0.

    `words` lists the vocabulary in the order of its ids, from 1 up. Texts are cleaned by `clean`
    (with ``lower=True`` to small letters) and cut by `split_words` before words are looked up, so
    what the cleaning drops and the unknown words do not come back from the ids.

    A text may hold the characters ``<unk>``; they are three words, as ``<``, ``unk`` and ``>``.
    """

    unk = "<unk>"
    unk_id = 0

    def __init__(self, words: Iterable[str], *, lower: bool = False, name: str = "words"):
        if isinstance(words, str):
            raise TypeError(f"{words[:20]!r} is one str; give a list of words, or use train(texts)")
        self.name = name
        self.lower = lower
        self.vocabulary: list[str] = [self.unk, *words]
        self._ids = {word: number for number, word in enumerate(self.vocabulary)}
        if len(self._ids) != len(self.vocabulary):
            twice = next(word for word, n in Counter(self.vocabulary).items() if n > 1)
            raise ValueError(f"the word {twice!r} occurs twice in the vocabulary; keep one")
        for word in self.vocabulary[1:]:
            if self._words(word) != [word]:
                raise ValueError(
                    f"{word!r} is not one word: texts are read as {self._words(word)}; make the "
                    "vocabulary of words as split_words(clean(text)) gives them"
                )

    @classmethod
    def train(
        cls,
        texts: str | Iterable[str],
        *,
        vocab_size: int | None = None,
        min_count: int = 1,
        lower: bool = False,
        name: str = "words",
    ) -> WordTokenizer:
        """Make a vocabulary of the words of some texts, the most frequent first.

        Equally frequent words stand in the order of the alphabet. Words that occur fewer than
        `min_count` times are left out, and so are the rarest until there are at most `vocab_size`
        tokens, ``<unk>`` among them.
        """
        whole_number(min_count, "min_count", least=1)
        if vocab_size is not None:
            whole_number(vocab_size, "vocab_size", least=1)
        counts: Counter[str] = Counter()
        for text in each_text(texts):
            counts.update(split_words(clean(text, lower=lower)))
        frequent = [word for word in counts if counts[word] >= min_count]
        frequent.sort(key=lambda word: (-counts[word], word))
        most = None if vocab_size is None else vocab_size - 1
        return cls(frequent[:most], lower=lower, name=name)

    @property
    def vocab_size(self) -> int:
        """How many tokens there are, ``<unk>`` among them."""
        return len(self.vocabulary)

    def _words(self, text: str) -> list[str]:
        return split_words(clean(text, lower=self.lower))

    def encode(self, text: str) -> list[int]:
        """Turn a text into ids, one a word; an empty text gives an empty list."""
        return [self._ids.get(word, self.unk_id) for word in self._words(text)]

    def tokens(self, text: str) -> list[str]:
        """Cut a text into the tokens a model sees, ``<unk>`` for each unknown word."""
        return [self.vocabulary[token_id] for token_id in self.encode(text)]

    def token(self, token_id: int) -> str:
        """Show the word of one id; raises ``ValueError`` for an id that no word has."""
        try:
            number = index(token_id)
            if 0 <= number < self.vocab_size:
                return self.vocabulary[number]
        except TypeError:
            pass
        raise ValueError(
            f"id {token_id!r} is no word of {self.name}; ids go from 0 to {self.vocab_size - 1:,}"
        )

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids back into text, with spaces where a reader expects them.

        Raises ``ValueError`` for an id that no word has.
        """
        return join_words([self.token(token_id) for token_id in ids])

    def to_dict(self) -> dict:
        """Give the tokenizer's fields as JSON can hold them, its format among them."""
        return {
            "format": WORDS_FORMAT,
            "name": self.name,
            "lower": self.lower,
            "words": self.vocabulary[1:],
        }

    @classmethod
    def from_dict(cls, content: dict) -> WordTokenizer:
        """Make the tokenizer that `to_dict` described."""
        return cls(content["words"], lower=content["lower"], name=content["name"])

    def save(self, path: str | Path) -> None:
        """Write the tokenizer as a JSON file that people can read, whole or not at all."""
        write_tokenizer_file(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> WordTokenizer:
        """Read a tokenizer that `save` wrote; raises ``ValueError`` for any other file."""
        return read_tokenizer_file(path, WORDS_FORMAT, cls.from_dict)

    def __repr__(self) -> str:
        return f"WordTokenizer({self.name!r}, vocab_size={self.vocab_size:,})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WordTokenizer):
            return NotImplemented
        return self.lower == other.lower and self.vocabulary == other.vocabulary

    __hash__ = None


_CLOSING = frozenset(".,;:!?…)]}»%")
_OPENING = frozenset("([{«¿¡$€£#")
_BETWEEN_WORDS = frozenset("-/_@")
_WITHOUT_SPACES = regex.compile(r"[、。，．：；！？「」『』（）《》]")
_STARTS_AS_WORD = regex.compile(r"[\p{L}\p{N}]")
_STARTS_AS_MARK = regex.compile(r"[\p{M}\u200c\u200d]")
_HAN = regex.compile(r"\p{Han}")
_EAST_ASIAN = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")


def join_words(words: list[str]) -> str:
    """Write words and signs as a text, from which `split_words` makes the same list again.

    >>> join_words(["Don't", "panic", ":", "it's", "only", "3.14", "!"])
    "Don't panic: it's only 3.14!"
    """
    signs = _as_opening_or_closing(words)
    text = "".join(words[:1])
    for place in range(1, len(words)):
        text += words[place] if _touch(words, signs, place) else f" {words[place]}"
    return text


def _as_opening_or_closing(words: list[str]) -> list[str]:
    """Give each word as it behaves, quotes as the brackets ``(`` and ``)``.

    Straight quotes do not show their side: a double one opens or closes in turns, a single one
    closes when one is open in its sentence or when a sign or nothing follows it.
    """
    behaviour, is_open = [], {'"': False, "'": False}
    for word, following in zip(words, [*words, "."][1:], strict=True):
        if word in is_open:
            closes = is_open[word] or (word == "'" and following in _CLOSING)
            is_open[word] = not closes
            word = ")" if closes else "("
        elif word in (".", "!", "?"):
            is_open["'"] = False
        behaviour.append(word)
    return behaviour


def _touch(words: list[str], signs: list[str], place: int) -> bool:
    """Say whether no space stands before the word at `place`."""
    left, right = signs[place - 1], signs[place]
    if _STARTS_AS_MARK.match(right):
        return False  # it would become a part of what stands before it
    if left in _OPENING or right in _CLOSING:
        return True
    if _WITHOUT_SPACES.match(left) or _WITHOUT_SPACES.match(right):
        return True
    if _HAN.match(left) or _HAN.match(right):
        return bool(_EAST_ASIAN.match(left) and _EAST_ASIAN.match(right))
    for middle in (place - 1, place):
        if words[middle] in _BETWEEN_WORDS and 0 < middle < len(words) - 1:
            around = words[middle - 1], words[middle + 1]
            return all(_STARTS_AS_WORD.match(word) for word in around)
    return False
