"""The kinds of instructions: how each is put, and what it is asked about.

A family makes `Fact`s: an item, its answer, and its keys, which are the words, numbers or countries
that must be new in a test. `Lots` draws which keys are for what part, and in which order they come.
"""

import hashlib
import re
import string
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from llmlab.data.instruction_words import (
    ADJECTIVES,
    COUNTRIES,
    DAYS,
    KINDS,
    MONTHS,
    NOUNS,
    OPPOSITES,
    VERBS,
)

__all__ = ["HELD_OUT", "TRAINED", "Fact", "Family", "Lots"]

PARTS = ("train", "validation", "test")
WORDS = tuple(sorted({*NOUNS, *VERBS, *(word for kind in KINDS.values() for word in kind)}))
_PAIR_OF = {word: pair for pair in OPPOSITES for word in re.split("[/>]", pair)}


class Fact(NamedTuple):
    """What is asked about, the answer, what must be new in a test, and whom to name."""

    item: str
    answer: str
    keys: tuple[str, ...]
    attribution: str = ""


class Lots:
    """Drawing lots that depend on a seed and on what is drawn, and on nothing else.

    Hashes instead of a random generator: they are the same on every platform and in every version
    of Python, and adding one word does not change what becomes of the others.
    """

    def __init__(self, seed: int):
        self.seed = seed

    def digest(self, *what: object) -> bytes:
        """Return 32 bytes that are the lot of `what`."""
        return hashlib.sha256("\x1f".join(map(str, (self.seed, *what))).encode()).digest()

    def below(self, n: int, *what: object) -> int:
        """Return a whole number from 0 to n - 1."""
        return int.from_bytes(self.digest(*what)[:8], "big") % n

    def order(self, values: Iterable, name: str) -> list:
        """Return the values in the order of their lots."""
        return sorted(values, key=lambda value: self.digest(name, value))

    def part(self, key: str) -> str:
        """Say whether a key is for training (7 of 10), validation (1) or test (2)."""
        return (("train",) * 7 + ("validation",) + ("test",) * 2)[self.below(10, "part", key)]

    def one_part(self, keys: Iterable[str]) -> str | None:
        """Return the part that all keys are for, None if they are for several."""
        parts = {self.part(key) for key in keys}
        return parts.pop() if len(parts) == 1 else None


@dataclass(frozen=True, kw_only=True)
class Family:
    """One kind of instruction: its phrasings, its facts, and at most how many pairs of it.

    Fewer are taken of what a small language model, which sees tokens and no letters, hardly learns.
    """

    name: str
    phrasings: tuple[str, ...]
    facts: Callable[[Lots], Iterable[Fact]]
    pairs: int = 210

    def put(self, fact: Fact, phrasing: int) -> str:
        """Return the instruction for a fact; ``{an}`` is the item with its article."""
        article = "an" if fact.item[0] in "aeiou" else "a"
        return self.phrasings[phrasing].format(item=fact.item, an=f"{article} {fact.item}")


def word_key(word: str) -> str:
    """Return the key of a word; a word and its opposite have one between them."""
    return _PAIR_OF.get(word, word)


def _of_words(words: Iterable[str], answer: Callable[[str], str]) -> Callable[[Lots], list[Fact]]:
    """Make facts about single words."""
    return lambda lots: [Fact(word, answer(word), (word_key(word),)) for word in words]


def _inflected(tag: str) -> Callable[[str], str]:
    """Inflect as lemminflect does: NNS is a noun's plural, VBD a verb's past tense."""

    def inflect(word: str) -> str:
        from lemminflect import getInflection

        return getInflection(word, tag=tag)[0]

    return inflect


def _opposites(lots: Lots) -> Iterator[Fact]:
    for pair in OPPOSITES:
        first, second = re.split("[/>]", pair)
        yield Fact(first, second, (pair,))
        if "/" in pair:
            yield Fact(second, first, (pair,))


def _capitals(lots: Lots) -> Iterator[Fact]:
    from countryinfo import CountryInfo

    for country in COUNTRIES:
        yield Fact(country, CountryInfo(country).capital(), (country,))


def _kinds(lots: Lots) -> Iterator[Fact]:
    for kind, words in KINDS.items():
        yield from (Fact(word, kind, (word_key(word),)) for word in words)


def _sums(lots: Lots) -> Iterator[tuple[int, int, str]]:
    """Two small numbers in an order drawn by lot, and the key of all sums made of them."""
    for larger in range(2, 20):
        for smaller in range(1, min(larger, 10)):
            key = f"{smaller} and {larger} are {smaller + larger}"
            turned = lots.below(2, "turned", key)
            yield (smaller, larger, key) if turned else (larger, smaller, key)


def _additions(lots: Lots) -> Iterator[Fact]:
    for a, b, key in _sums(lots):
        yield Fact(f"{a} + {b}", str(a + b), (key,))


def _subtractions(lots: Lots) -> Iterator[Fact]:
    for a, b, key in _sums(lots):
        yield Fact(f"{a + b} - {a}", str(b), (key,))


def _larger(lots: Lots) -> Iterator[Fact]:
    pairs = [(a, b) for b in range(2, 100) for a in range(1, b)]
    for smaller, larger in lots.order(pairs, "larger")[:300]:
        key = f"{smaller} or {larger}"
        turned = lots.below(2, "turned", key)
        yield Fact(f"{larger} or {smaller}" if turned else key, str(larger), (key,))


def _number_words(lots: Lots) -> Iterator[Fact]:
    from num2words import num2words

    for number in range(200):
        yield Fact(str(number), num2words(number, lang="en"), (f"number {number}",))


def _digits(lots: Lots) -> Iterator[Fact]:
    return (Fact(words, number, keys) for number, words, keys, _ in _number_words(lots))


def _neighbours(lots: Lots) -> Iterator[tuple[str, str]]:
    """Pairs of which the second comes right after the first."""
    yield from zip(DAYS, DAYS[1:] + DAYS[:1], strict=True)
    yield from zip(MONTHS, MONTHS[1:] + MONTHS[:1], strict=True)
    yield from pairwise(string.ascii_uppercase)
    yield from pairwise(str(number) for number in range(1, 120))


def _called(value: str) -> str:
    if value.isdigit():
        return f"the number {value}"
    return f"the letter {value}" if len(value) == 1 else value


def _next(lots: Lots) -> Iterator[Fact]:
    for before, after in _neighbours(lots):
        yield Fact(_called(before), after, (f"{before}, {after}",))


def _previous(lots: Lots) -> Iterator[Fact]:
    for before, after in _neighbours(lots):
        yield Fact(_called(after), before, (f"{before}, {after}",))


def _phrases(lots: Lots) -> Iterator[Fact]:
    """Adjectives with nouns of the same part, in title case."""
    for part in PARTS:
        adjectives = [word for word in ADJECTIVES if lots.part(word_key(word)) == part]
        nouns = [word for word in NOUNS if lots.part(word_key(word)) == part]
        for noun in lots.order(nouns, "phrase"):
            for adjective in lots.order(adjectives, f"before {noun}")[:2]:
                keys = (word_key(adjective), word_key(noun))
                phrase = f"{adjective} {noun}"
                yield Fact(phrase, f"{adjective.capitalize()} {noun.capitalize()}", keys)


def _sorted_words(lots: Lots) -> Iterator[Fact]:
    """Three nouns of the same part that do not stand in the order of the alphabet."""
    for part in PARTS:
        nouns = [word for word in NOUNS if lots.part(word_key(word)) == part]
        for turn in range(4):
            words = lots.order(nouns, f"turn {turn}")
            for three in zip(words[::3], words[1::3], words[2::3], strict=False):
                if list(three) != sorted(three):
                    yield Fact(", ".join(three), ", ".join(sorted(three)), _keys(three))


def _keys(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(word_key, words))


@lru_cache(maxsize=1)
def _plain_translations() -> tuple[Fact, ...]:
    """Sentences of two or three plain words that Tatoeba translates in one way, and back."""
    from llmlab.data.pairs import same_text, sentence_pairs

    there, back, facts = {}, {}, []
    for source, target, attribution in sentence_pairs("es"):
        english, spanish = same_text(source), same_text(target)
        there.setdefault(english, set()).add(spanish)
        back.setdefault(spanish, set()).add(english)
        named = re.search(r"\b(Tom|Mary)\b", source)
        if re.fullmatch(r"[A-Z][a-z]*( I| [a-z]+){1,2}[.?]", source) and not named:
            facts.append((spanish, Fact(source, target, (f"sentence {english}",), attribution)))
    return tuple(
        fact
        for spanish, fact in facts
        if len(fact.answer.split()) <= 4
        and len(there[same_text(fact.item)]) == len(back[spanish]) == 1
    )


TRAINED = (
    Family(
        name="plural",
        phrasings=(
            "What is the plural of {item}?",
            "Write the plural of the noun {item}.",
            "Give the plural form of the word {item}.",
            "One {item}, but two what?",
        ),
        facts=_of_words(NOUNS, _inflected("NNS")),
    ),
    Family(
        name="past tense",
        phrasings=(
            "What is the past tense of {item}?",
            "Write the past tense of the verb {item}.",
            "Put the verb {item} into the simple past.",
            "Which past tense belongs to the verb {item}?",
        ),
        facts=_of_words(VERBS, _inflected("VBD")),
    ),
    Family(
        name="opposite",
        phrasings=(
            "What is the opposite of {item}?",
            "Write the opposite of the word {item}.",
            "Which word means the opposite of {item}?",
            "Give the antonym of {item}.",
        ),
        facts=_opposites,
    ),
    Family(
        name="capital",
        phrasings=(
            "What is the capital of {item}?",
            "Name the capital city of {item}.",
            "Which city is the capital of {item}?",
            "The capital of {item} is called what?",
        ),
        facts=_capitals,
    ),
    Family(
        name="kind",
        phrasings=(
            "Is {an} an animal, a fruit or a person?",
            "Animal, fruit or person: what is {an}?",
            "Say whether {an} is an animal, a fruit or a person.",
            "What kind of thing is {an}: animal, fruit or person?",
        ),
        facts=_kinds,
    ),
    Family(
        name="addition",
        phrasings=(
            "What is {item}?",
            "Calculate {item}.",
            "Work out the sum {item}.",
            "{item} = ?",
        ),
        facts=_additions,
    ),
    Family(
        name="subtraction",
        phrasings=(
            "What is {item}?",
            "Calculate {item}.",
            "Work out the difference {item}.",
            "{item} = ?",
        ),
        facts=_subtractions,
    ),
    Family(
        name="larger number",
        phrasings=(
            "Which number is larger, {item}?",
            "Write the larger number: {item}.",
            "Which of the two is greater: {item}?",
            "Pick the bigger number, {item}.",
        ),
        facts=_larger,
    ),
    Family(
        name="number in words",
        phrasings=(
            "Write the number {item} in words.",
            "How is the number {item} written in words?",
            "Spell out the number {item}.",
            "Write {item} as a word, not in digits.",
        ),
        facts=_number_words,
    ),
    Family(
        name="next",
        phrasings=(
            "What comes right after {item}?",
            "Name what follows {item}.",
            "What is next after {item}?",
            "Say what comes directly after {item}.",
        ),
        facts=_next,
    ),
    Family(
        name="previous",
        phrasings=(
            "What comes right before {item}?",
            "Name what goes before {item}.",
            "What is just before {item}?",
            "Say what comes directly before {item}.",
        ),
        facts=_previous,
    ),
    Family(
        name="upper case",
        phrasings=(
            "Write the word {item} in capital letters.",
            "Put the word {item} in upper case.",
            "Change {item} to all capitals.",
            "How does the word {item} look in upper case?",
        ),
        facts=_of_words(WORDS, str.upper),
    ),
    Family(
        name="title case",
        phrasings=(
            "Write {item} in title case.",
            "Start each word with a capital letter: {item}",
            "Put these words in title case: {item}",
            "Capitalize each word of this title: {item}",
        ),
        facts=_phrases,
    ),
    Family(
        name="first letter",
        phrasings=(
            "What is the first letter of the word {item}?",
            "Write the first letter of {item}.",
            "Which letter does the word {item} start with?",
            "With which letter does the word {item} begin?",
        ),
        facts=_of_words(WORDS, lambda word: word[0]),
    ),
    Family(
        name="last letter",
        phrasings=(
            "What is the last letter of the word {item}?",
            "Write the last letter of {item}.",
            "Which letter does the word {item} end with?",
            "With which letter does the word {item} end?",
        ),
        facts=_of_words(WORDS, lambda word: word[-1]),
        pairs=80,
    ),
    Family(
        name="sort words",
        phrasings=(
            "Sort these words alphabetically: {item}",
            "Put these words in alphabetical order: {item}",
            "Write these words from A to Z: {item}",
            "Arrange in the order of the alphabet: {item}",
        ),
        facts=_sorted_words,
        pairs=60,
    ),
    Family(
        name="count letters",
        phrasings=(
            "How many letters are in the word {item}?",
            "Count the letters of {item}.",
            "How many letters does the word {item} have?",
            "Of how many letters is the word {item} made?",
        ),
        facts=_of_words(
            [word for word in WORDS if 3 <= len(word) <= 6], lambda word: str(len(word))
        ),
        pairs=80,
    ),
    Family(
        name="reverse",
        phrasings=(
            "Write the word {item} backwards.",
            "Reverse the letters of {item}.",
            "Spell {item} from back to front.",
            "What is the word {item} spelled backwards?",
        ),
        facts=_of_words(
            [word for word in WORDS if len(word) <= 4 and word != word[::-1]],
            lambda word: word[::-1],
        ),
        pairs=60,
    ),
    Family(
        name="to Spanish",
        phrasings=(
            "Translate into Spanish: {item}",
            "Write this in Spanish: {item}",
            "Put this sentence into Spanish: {item}",
            "How do you say this in Spanish? {item}",
        ),
        facts=lambda lots: _plain_translations(),
        pairs=60,
    ),
)

# The reverse of "upper case" and of "number in words".
HELD_OUT = (
    Family(
        name="lower case",
        phrasings=(
            "Write the word {item} in small letters.",
            "Put the word {item} in lower case.",
            "Change {item} to all lower case.",
            "How does the word {item} look in lower case?",
        ),
        facts=lambda lots: [Fact(word.upper(), word, (word_key(word),)) for word in WORDS],
    ),
    Family(
        name="number in digits",
        phrasings=(
            "Write the number {item} in digits.",
            "How is the number {item} written in digits?",
            "Write {item} as digits, not in words.",
            "Which number is {item}, in digits?",
        ),
        facts=_digits,
    ),
)
